"""Processes that tests start: servers of ours and peers, each ended by its own process id."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from sipproxy.ctl.socket import NotRunning, ask
from sipproxy.store.accounts import AccountTable

HOST = "127.0.0.1"
DEADLINE = 30.0  # seconds that anything may take to happen
ENDING = 15.0  # seconds that a process may take to end
# What has ended absorbs repetitions for so long instead of 32 s (Timers D, J, L and M).
LINGER = "[transactions]\nlinger = 4.0\n"
_PORTS = itertools.count(20000 + os.getpid() % 80 * 150, 2)  # below the kernel's own choices


def needs(program: str) -> str:
    """Return the path of an installed peer, or skip the test that asks."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SkipTest(f"{program} is not installed: .ci/run installs it")
    return found


def free_port() -> int:
    """Return a port that, like the one above it, is free for UDP and TCP, once for each caller."""
    return next(port for port in _PORTS if is_free(port) and is_free(port + 1))


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port of the loopback address."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True


def has_udp(port: int) -> bool:
    """Tell whether somebody has bound a UDP port, without touching it."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(wanted) for line in lines)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_for(happened: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Return what ``happened`` returns as soon as that is true; raises AssertionError."""
    deadline = time.monotonic() + seconds
    while not (result := happened()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)
    return result


def directory(case: TestCase) -> Path:
    """Return a directory for a test, with a path that is short enough for a socket."""
    made = Path(tempfile.mkdtemp(prefix="sipproxy-"))
    case.addCleanup(shutil.rmtree, made, ignore_errors=True)
    return made


class Process:
    """A program that runs in the foreground, with all that it prints in a file."""

    def __init__(
        self, case: TestCase, name: str, arguments: Sequence[str | Path], place: Path
    ) -> None:
        self.name = name
        self._log = place / f"{name}.log"
        self._arguments = [str(argument) for argument in arguments]
        self._child = self._started(place)
        case.addCleanup(self.stop)

    def _started(self, place: Path) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(
                self._arguments,
                cwd=place,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text("utf-8", "replace")

    def wait(self, seconds: float) -> int:
        """Wait for its end, and return its exit code."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} runs after {seconds} s:\n{self.output}") from None

    def wait_for(self, happened: Callable[[], Any], what: str) -> Any:
        """Wait for something that needs this process to run."""

        def happened_meanwhile() -> Any:
            if self._child.poll() is not None:
                raise AssertionError(f"{self.name} has ended:\n{self.output}")
            return happened()

        try:
            return wait_for(happened_meanwhile, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def say(self, line: str) -> None:
        """Write a line to its input."""
        assert self._child.stdin is not None
        self._child.stdin.write(line.encode() + b"\n")
        self._child.stdin.flush()

    def kill(self) -> None:
        """End it at once, as a crash does: it says goodbye to nobody."""
        self._child.kill()

    def stop(self) -> int:
        """End it: politely, and if need be at once, with the children that it made."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(ENDING)
            except subprocess.TimeoutExpired:
                os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.wait(ENDING)


def program(name: str) -> Path:
    """Return a program of the environment that the tests run in."""
    return Path(sys.executable).with_name(name)


def sipctl(place: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``sipctl`` in a server's directory."""
    command = [str(program("sipctl")), *arguments]
    return subprocess.run(
        command, cwd=place, input=given, capture_output=True, text=True, timeout=DEADLINE
    )


def configuration(domain: str, port: int, extra: str = "") -> str:
    """Return the text of a configuration that listens on a port, by UDP and TCP."""
    listen = "".join(
        f'[[listen]]\ntransport = "{transport}"\naddress = "{HOST}"\nport = {port}\n'
        for transport in ("udp", "tcp")
    )
    return f'domains = ["{domain}"]\n{listen}{extra}'


def password(aor: str) -> str:
    """Return the password that a test's account has."""
    return f"{aor} knows it"


class Server(Process):
    """One of our servers: ``twistd -n sipproxy`` in a directory of its own."""

    def __init__(
        self,
        case: TestCase,
        domain: str,
        users: Iterable[str] = (),
        extra: str = "",
        port: int | None = None,
    ) -> None:
        self.domain = domain
        self.port = port or free_port()
        self.place = directory(case)
        self._data = self.place / "var"
        self.place.joinpath("sipproxy.toml").write_text(configuration(domain, self.port, extra))
        if users:
            table = AccountTable(self._data)
            for user in users:
                aor = f"{user}@{domain}"
                table.put(aor, password(aor), replace=False)
        arguments = [program("twistd"), "-n", "--pidfile=", "sipproxy"]
        super().__init__(case, f"server of {domain}", arguments, self.place)

    def ready(self) -> Server:
        """Wait until it serves."""
        self.wait_for(self._answers, "the server's control socket")
        return self

    def crash(self) -> None:
        """Kill it, and wait until it serves again."""
        self.kill()
        self.wait(ENDING)
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._child = self._started(self.place)
        self.ready()

    def forgets(self) -> None:
        """Wait until no transaction is left: none lacks an answer or an ACK."""
        self.wait_for(lambda: not self._status()["transactions"], "the end of all transactions")

    def watchers(self) -> int:
        """Return how many subscriptions there are."""
        return int(self._status()["subscriptions"])

    def _answers(self) -> bool:
        try:
            return bool(self._status()["pid"] == self.pid)
        except NotRunning:
            return False

    def _status(self) -> dict[str, Any]:
        return ask(self._data, "status")
