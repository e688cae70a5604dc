"""Sends spoiled messages by the hundred thousand to a real server, which has to survive them all.

``python -m tests.torture.soak [COUNT [SEED]]``
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sipproxy.ctl.client import Client, NoAnswer
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import BadMessage, parse_datagram
from sipproxy.sip.response import make_response
from tests.torture.messages import octets
from tests.torture.mutants import HOST, Mutator, at_home, realistic
from tests.torture.running import DOMAIN, RunningServer, bound
from tests.torture.table import ROWS

COUNT = 100_000
SEED = 20_261
GROWTH = 1.02  # what the second half may add to the memory after the first
BATCH = 200  # datagrams after which the server is waited for, so that no buffer overflows
CONNECTIONS = 0.1  # the share of batches that go over TCP
PER_CONNECTION = 10
# Transactions that may be under way at a time: what is held at most is the same in both halves.
CROWD = 2000
SETTLED = 60.0  # seconds; Timer H holds an INVITE that nobody acknowledges for 32
PATIENCE = 10.0


class Figures(NamedTuple):
    """What a soak measured."""

    count: int
    seconds: float  # of sending, without the waits for what lingers
    waited: float
    first: int  # KiB, after each half
    second: int
    answers: Counter[str]
    kept_in: int
    faults: list[str]

    @property
    def growth(self) -> float:
        """Memory after the second half, by that after the first."""
        return self.second / self.first

    def __str__(self) -> str:
        answers = ", ".join(f"{status} x{times}" for status, times in self.answers.most_common())
        return (
            f"{self.count} messages in {self.seconds:.0f} s, and {self.waited:.0f} s of waiting\n"
            f"memory: {self.first} KiB, then {self.second} KiB ({self.growth - 1:+.2%})\n"
            f"seen: {answers}\n"
            f"would have gone elsewhere: {self.kept_in}; faults logged: {len(self.faults)}"
        )


class Soak:
    """One sender, who is everybody's phone as well: most mutants lead to its address."""

    def __init__(self, server: RunningServer, seed: int) -> None:
        self.server = server
        self.answers: Counter[str] = Counter()
        self._socket = bound(HOST, 5060)
        self._socket.settimeout(0.2)
        port = self._socket.getsockname()[1]
        torture = [at_home(octets(name)) for name in ROWS]
        users = realistic(port, "UDP")
        self._registers = [data for data in users if data.startswith(b"REGISTER")]
        self._datagrams = Mutator(seed, torture + users * 4)
        self._streams = Mutator(seed + 1, torture + realistic(port, "TCP") * 4)
        self._port = port
        self._asked = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def run(self, count: int) -> None:
        """Send so many messages, in batches."""
        every = round(1 / CONNECTIONS)
        for number, begin in enumerate(range(0, count, BATCH)):
            size = min(BATCH, count - begin)
            if number % every == every - 1:
                for start in range(0, size, PER_CONNECTION):
                    self._connect(min(PER_CONNECTION, size - start))
            else:
                for message in self._batch(size):
                    self._socket.sendto(message, self.server.udp)
            self.ask()
            if number % 5 == 4:
                self._let_go()

    def _let_go(self) -> None:
        """Wait until the server has no more to do than it may."""
        while self.server.status()["transactions"] > CROWD:
            self._read_until(b"nothing")

    def _batch(self, size: int) -> Iterator[bytes]:
        """Return every user's REGISTER, so that there is somebody to reach, and the mutants."""
        for data in self._registers:
            yield self._datagrams.fresh(data)
        for _ in range(size):
            yield self._datagrams.make()

    def ask(self) -> None:
        """Send OPTIONS until they are answered, and read whatever else comes."""
        self._asked += 1
        branch = b"z9hG4bK-asked-%d" % self._asked
        options = realistic(self._port, "UDP")[4].replace(b"z9hG4bKbranch", branch)
        lines = options.split(b"\r\n")
        lines[0] = b"OPTIONS sip:%s SIP/2.0" % DOMAIN.encode()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._socket.sendto(b"\r\n".join(lines), self.server.udp)
            if self._read_until(branch):
                return
        raise NoAnswer("an answer to OPTIONS")

    def _read_until(self, branch: bytes) -> bool:
        while True:
            try:
                data, source = self._socket.recvfrom(65535)
            except TimeoutError:
                return False
            if data.startswith(b"SIP/2.0 "):
                self.answers[data[8:11].decode("ascii", "replace")] += 1
                if branch in data:
                    return True
                if b"INVITE" in data:
                    self._acknowledge(data, source)
            else:
                self._answer(data, source)

    def _acknowledge(self, data: bytes, source: tuple[str, int]) -> None:
        """End the transaction of an INVITE, which is held for half a minute else (§17.1.1.3)."""
        try:
            response = parse_datagram(data)
        except BadMessage:
            return
        if not isinstance(response, Response) or response.cseq.method != b"INVITE":
            return
        if response.status >= 300:
            copied = ((name, response.value(name) or b"") for name in (b"from", b"to", b"call-id"))
            headers = [(b"Via", response.first_value(b"via")), *copied]
            headers.append((b"CSeq", b"%d ACK" % response.cseq.number))
            ack = Request.build(b"ACK", b"sip:" + DOMAIN.encode(), headers)
            self._socket.sendto(ack.encode(), source)

    def _answer(self, data: bytes, source: tuple[str, int]) -> None:
        """Answer a request as a phone does, so that nobody waits for it."""
        self.answers["requests"] += 1
        try:
            request = parse_datagram(data)
        except BadMessage:
            self.answers["unreadable requests"] += 1
            return
        if isinstance(request, Request) and request.method != b"ACK":
            response = make_response(request, 200, b"soak")
            self._socket.sendto(response.encode(), source)

    def _connect(self, count: int) -> None:
        """Write messages to a connection, for as long as the server reads it."""
        with socket.create_connection(self.server.tcp, PATIENCE, (HOST, 0)) as connection:
            try:
                for _ in range(count):
                    connection.sendall(self._streams.make())
                connection.shutdown(socket.SHUT_WR)
                while data := connection.recv(65535):
                    self.answers["by TCP"] += data.count(b"SIP/2.0 ")
            except OSError:  # closed by the server, or reset while we wrote
                self.answers["closed"] += 1


def still_serves(server: RunningServer) -> None:
    """Register over each transport, and have OPTIONS answered; raises `AssertionError`."""
    for transport, address in (("udp", server.udp), ("tcp", server.tcp)):
        client = Client(transport, address, f"erin@{DOMAIN}", "")
        try:
            assert client.register(60).status == 200, f"REGISTER over {transport}"
            uri = b"sip:" + DOMAIN.encode()
            assert client.final(client.send(b"OPTIONS", uri, DOMAIN, [])).status == 200
            assert client.register(0).status == 200
        finally:
            client.close()


def soak(count: int, seed: int, report: Callable[[str], None]) -> Figures:
    """Send ``count`` messages in two halves, and return what was measured."""
    resident: list[int] = []
    sending = 0.0
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as directory,
        RunningServer(Path(directory)) as server,
    ):
        sender = Soak(server, seed)
        try:
            sender.run(count // 20)  # the allocator finds its level before anything is compared
            for half in (count // 2, count - count // 2):
                start = time.monotonic()
                sender.run(half)
                sending += time.monotonic() - start
                if not server.settle(SETTLED):
                    raise AssertionError(f"not settled: {server.status()}")
                resident.append(server.resident)
                report(f"{half} messages, {time.monotonic() - start:.0f} s: {resident[-1]} KiB")
            still_serves(server)
        finally:
            sender.close()
        kept_in, faults = len(server.kept_in), server.faults
    waited = time.monotonic() - began - sending
    return Figures(count, sending, waited, *resident, sender.answers, kept_in, faults)


def main() -> int:
    """Run from the command line; 0 where everything held."""
    parser = argparse.ArgumentParser(prog="tests.torture.soak", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=COUNT)
    parser.add_argument("seed", nargs="?", type=int, default=SEED)
    arguments = parser.parse_args()
    figures = soak(arguments.count, arguments.seed, print)
    print(figures)
    for fault in figures.faults[:20]:
        print(fault)
    return 0 if figures.growth <= GROWTH and not figures.faults else 1


if __name__ == "__main__":
    sys.exit(main())
