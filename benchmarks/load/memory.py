"""What a server keeps: of a binding, a subscription, a transaction that has ended, a connection.

Each is a difference: first a server is warmed, then so many are added, all else being as before.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from benchmarks.load import generator
from benchmarks.load.cases import PAUSES, SETTLING, Figure, Size
from benchmarks.load.generator import Run
from benchmarks.load.servers import Server, Setting
from tests.interop.processes import HOST

LONG = 60.0  # seconds that a transaction is kept where it is what is measured
SHORT = 1.0  # and where it is not
TIMER_K = 5.0  # seconds that a NOTIFY answered is kept all the same (RFC 3261 §17.1.2.2)
QUERY = """REGISTER sip:example.test SIP/2.0\r
Via: SIP/2.0/{transport} 127.0.0.1:5060;rport;branch=z9hG4bK{number}\r
Max-Forwards: 70\r
From: <sip:query@example.test>;tag=1\r
To: <sip:query@example.test>\r
Call-ID: {number}\r
CSeq: 1 REGISTER\r
Content-Length: 0\r
\r
"""
CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname, CLIENT.verify_mode = False, ssl.CERT_NONE


@dataclass(frozen=True)
class Kept:
    """What is left of a load, for each of its operations."""

    name: str
    title: str
    op: str
    load: Mapping[str, object]
    counts: tuple[int, int, int]  # by `Size`
    linger: float = SHORT
    needs: Sequence[str] = ()
    unit: str = field(default="KiB", init=False)

    def setting(self, size: Size) -> Setting:
        """Return what it needs of a server."""
        return Setting(frozenset(self.needs), linger=self.linger)

    def measure(self, server: Server, size: Size, settles: bool) -> Figure:
        """Load twice: what the second time adds, is kept; what the first adds, may be spare."""
        first = self._run(server, size, "warm")
        before = server.memory()
        second = self._run(server, size, "kept")
        added = server.memory() - before
        run = first if first.fault else second
        if not (first.is_complete and second.is_complete):
            return Figure(None, None, run.fault, False)
        return Figure(added / self.counts[size.value], None, run.fault)

    def _run(self, server: Server, size: Size, prefix: str) -> Run:
        settles = self.linger == SHORT and size != Size.LEAST
        wait = max(SHORT, TIMER_K) + SETTLING if settles else 0.1
        count = self.counts[size.value]
        given: dict[str, object] = {"users": count, "window": 64, **self.load, "count": count}
        given |= {"user_prefix": prefix, "pres_prefix": prefix}
        return generator.run(server, self.op, **given, pause=PAUSES[size] / 3, settle=wait)


@dataclass(frozen=True)
class Idle:
    """What the process keeps of a connection that has had one answer, the kernel's part apart."""

    transport: str
    unit: str = field(default="KiB", init=False)

    @property
    def name(self) -> str:
        """What ``--only`` calls it."""
        return f"memory-{self.transport}"

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"memory of an idle connection by {self.transport.upper()}"

    def setting(self, size: Size) -> Setting:
        """Return what it needs of a server."""
        return Setting(frozenset([self.transport]), linger=SHORT)

    def measure(self, server: Server, size: Size, settles: bool) -> Figure:
        """Connect some to warm it, then those that are counted."""
        count = {Size.FULL: 1500, Size.QUICK: 500, Size.LEAST: 10}[size]
        with ExitStack() as connections:
            for number in range(count // 5):
                connections.enter_context(closing(self._connected(server, number)))
            before = server.memory()
            for number in range(count // 5, count // 5 + count):
                connections.enter_context(closing(self._connected(server, number)))
            return Figure((server.memory() - before) / count)

    def _connected(self, server: Server, number: int) -> socket.socket:
        """Return a connection by which somebody has asked for bindings, and has none."""
        is_tls = self.transport == "tls"
        port = server.tls_port if is_tls else server.port
        made = socket.create_connection((HOST, port), timeout=10)
        if is_tls:
            made = CLIENT.wrap_socket(made)
        made.sendall(QUERY.format(transport=self.transport.upper(), number=number).encode())
        assert made.recv(4096).startswith(b"SIP/2.0 200 ")
        return made


KEPT = [
    Kept("memory-binding", "memory of a binding", "register", {}, (20000, 5000, 20)),
    Kept(
        *("memory-subscription", "memory of a subscription", "subscribe", {"presentities": 500}),
        *((10000, 3000, 20), SHORT, ["presence"]),
    ),
    Kept(
        *("memory-transaction", "memory of a MESSAGE relayed and over", "message", {"users": 20}),
        *((15000, 4000, 20), LONG),
    ),
]
