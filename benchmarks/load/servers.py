"""A server that is measured: what a case asks of one, and how it is started and ended.

It runs in a directory of its own, listens on 127.0.0.1 only, and ends by its own process id.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.authority import Authority, dns
from tests.interop.processes import HOST, free_port

DOMAIN = "example.test"
PASSWORD = "secret"
PATIENCE = 20.0  # seconds that a server may take to serve, and to end
PROBE = """OPTIONS sip:example.test SIP/2.0\r
Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bKprobe{number}\r
Max-Forwards: 70\r
From: <sip:probe@elsewhere.test>;tag=1\r
To: <sip:example.test>\r
Call-ID: probe{number}\r
CSeq: 1 OPTIONS\r
Content-Length: 0\r
\r
"""


class NotServing(Exception):
    """A server does not start; the text is what it has said."""


@dataclass(frozen=True)
class Setting:
    """What a case needs of a server.

    ``needs`` are of ``tcp``, ``tls`` and ``presence``; who has an account is challenged, and where
    nobody has one, nobody is; a transaction that has ended is kept for ``linger`` seconds, 5 of
    which are Kamailio's own choice.
    """

    needs: frozenset[str] = frozenset()
    accounts: Sequence[str] = ()
    linger: float = 5.0


class Server:
    """A server that runs."""

    def __init__(self, home: Path, setting: Setting) -> None:
        self.port = free_port()
        self.tls_port = self.port + 1
        self.home = home
        if "tls" in setting.needs:
            Authority().write(home, "our", *dns(DOMAIN))
        command = self._prepared(setting)
        with (home / "log").open("wb") as log:
            self._child = subprocess.Popen(
                [str(word) for word in command],
                cwd=home,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._child.pid

    def _prepared(self, setting: Setting) -> Sequence[object]:
        """Write what it reads, and return the command that starts it."""
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def memory(self) -> float:
        """KiB that it uses."""
        raise NotImplementedError

    def wait(self) -> None:
        """Wait until it answers; raises `NotServing`."""
        deadline = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((HOST, 0))
            probe.settimeout(0.05)
            for number in range(10**6):
                text = PROBE.format(host=HOST, port=probe.getsockname()[1], number=number)
                try:
                    probe.sendto(text.encode(), (HOST, self.port))
                    probe.recv(65535)
                    return
                except OSError:
                    time.sleep(0.02)
                if self._child.poll() is not None or time.monotonic() > deadline:
                    log = (self.home / "log").read_text("utf-8", "replace")
                    raise NotServing(log[-2000:] or "it says nothing")

    def stop(self) -> None:
        """End it: politely, and if need be at once, with the children that it made."""
        self._child.terminate()
        try:
            self._child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait(PATIENCE)


def found(pattern: str, text: str) -> float:
    """Return the number that a pattern finds; raises `NotServing` where it finds none."""
    match = re.search(pattern, text)
    if match is None:
        raise NotServing(f"no {pattern!r} in {text[:200]!r}")
    return float(match.group(1))


@contextmanager
def running(start: type[Server], setting: Setting) -> Iterator[Server]:
    """Start a server, and end it afterwards; raises `NotServing`."""
    home = Path(tempfile.mkdtemp(prefix="sipproxy-bench-"))
    try:
        server = start(home, setting)
        try:
            server.wait()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
