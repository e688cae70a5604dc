"""The control socket's place and protocol: a JSON object a line, both ways."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = "control.sock"
TIMEOUT = 5.0  # seconds


class NotRunning(Exception):
    """No server answers on the control socket."""


class Refused(Exception):
    """The server answered with an error; the text is its own."""


def bind_control(directory: Path) -> socket.socket:
    """Bind the control socket in a data directory, for its owner alone (mode 0600).

    A socket that a dead server left behind is replaced. Raises OSError, and FileExistsError where
    a server is alive behind it.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / FILE
    if path.exists():
        try:
            ask(directory, "status")
        except (NotRunning, Refused):
            path.unlink()
        else:
            raise FileExistsError(f"another server runs with {directory}")
    listening = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen(16)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(mask)
    return listening


def ask(directory: Path, command: str, timeout: float = TIMEOUT, **arguments: Any) -> Any:
    """Ask a running server; of a table, all rows. Raises `NotRunning` or `Refused`."""
    rows: list[Any] = []
    for answer in answers(directory, command, timeout, **arguments):
        if "rows" not in answer:
            return answer.get("result", rows)
        rows += answer["rows"]
    raise Refused("no answer")


def answers(
    directory: Path, command: str, timeout: float = TIMEOUT, **arguments: Any
) -> Iterator[dict[str, Any]]:
    """Yield what a running server answers, up to its last line; raises `NotRunning`, `Refused`.

    The answer to ``follow`` ends with the server, or the reader.
    """
    line = json.dumps({"command": command, **arguments}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(directory / FILE))
            connection.sendall(line)
            with connection.makefile("rb") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if not answer.get("ok", True):
                        raise Refused(answer.get("error", "no answer"))
                    yield answer
                    if "ok" in answer:
                        if not arguments.get("follow"):
                            return
                        connection.settimeout(None)  # now nothing may change for long
    except (OSError, ValueError) as error:
        raise NotRunning(f"no server answers in {directory}: {error}") from None
