"""A server in a process of its own, on loopback sockets, which stops with its `with` block."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sipproxy.ctl.socket import NotRunning, Refused, ask
from tests.torture.guarded import MARK, TRIM

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = "example.test"
# Only bindings say where to go on; what is kept is kept for seconds.
CONFIG = """
domains = [{domains}]
[auth]
required = false
[federation]
inbound = "open"
[transactions]
linger = 1
[proxy]
patience = 2
routers = ["location"]
[plugin.registrar]
min_expires = 1
default_expires = 2
max_expires = 2
[limits]
idle = 5
partial = 5
[[listen]]
transport = "udp"
address = "127.0.0.1"
port = 0
[[listen]]
transport = "tcp"
address = "127.0.0.1"
port = 0
"""
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB").search
_START = 20.0  # seconds that the server has to begin to serve in
_STOP = 15.0


class RunningServer:
    """``twistd -n sipproxy`` with its files in ``directory``."""

    def __init__(self, directory: Path, domains: tuple[str, ...] = (DOMAIN,)) -> None:
        self._log = directory / "twistd.log"
        self._errors = directory / "errors"
        self._data = directory / "var"
        config = directory / "sipproxy.toml"
        config.write_text(CONFIG.format(domains=", ".join(f'"{name}"' for name in domains)))
        command = [sys.executable, "-m", "tests.torture.guarded", "-n", "--pidfile="]
        command += ["-l", str(self._log), "sipproxy", "--config", str(config)]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=errors, stderr=errors)
        self.udp, self.tcp = self._addresses()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the process, politely at first."""
        self._process.terminate()
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Wait for the listeners, and return where they are."""
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                listen = {one["transport"]: one["port"] for one in self.status()["listen"]}
                return ("127.0.0.1", listen["udp"]), ("127.0.0.1", listen["tcp"])
            except (NotRunning, Refused, OSError):
                time.sleep(0.05)
        self.stop()
        raise AssertionError("the server did not start: " + self._errors.read_text())

    def status(self) -> dict[str, Any]:
        """Ask the control socket."""
        status: dict[str, Any] = ask(self._data, "status")
        return status

    @property
    def resident(self) -> int:
        """Memory that the process has in use, in KiB.

        What it has freed is given back first: how much of that the C library keeps depends on where
        the last large datagram lay, and differs by more than a leak that is looked for.
        """
        self._process.send_signal(TRIM)
        self.status()  # answered after the signal was
        match = _RESIDENT(Path(f"/proc/{self._process.pid}/status").read_text())
        assert match is not None
        return int(match.group(1))

    @property
    def log(self) -> str:
        """What was logged, and what was printed where no log is."""
        return self._log.read_text("utf-8", "replace") + self._errors.read_text("utf-8", "replace")

    @property
    def faults(self) -> list[str]:
        """Lines of the log that speak of a bug."""
        signs = ("Traceback", "a bug, met by", "Unhandled", "critical")
        return [line for line in self.log.splitlines() if any(sign in line for sign in signs)]

    @property
    def kept_in(self) -> list[str]:
        """What the server would have sent elsewhere."""
        lines = self._errors.read_text("utf-8", "replace").splitlines()
        return [line for line in lines if line.startswith(MARK)]

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is held any more; False where it takes longer than so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.status()
            if not (status["transactions"] or status["bindings"] or status["connections"]):
                return True
            time.sleep(0.25)
        return False


def bound(host: str, port: int = 0) -> socket.socket:
    """Return a UDP socket on an address of this machine; on another port if that one is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    try:
        sock.bind((host, port))
    except OSError:
        sock.bind((host, 0))
    return sock
