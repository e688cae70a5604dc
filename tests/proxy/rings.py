"""Several servers of a test that reach each other, and whose users forward to each other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.testing import FakeFlow, FakeServer
from sipproxy.transport.identity import sent_by

CONFIG = """
domains = ["{name}.test"]
[auth]
required = false
[federation]
inbound = "open"
[[listen]]
transport = "udp"
address = "127.0.0.1"
port = {port}
"""
ROUTE = '[[route]]\ndomain = "{name}.test"\nto = "sip:127.0.0.1:{port}"\n'
REGISTER = """
    REGISTER sip:{domain} SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-{number}
    From: <sip:{user}@{domain}>;tag=1
    To: <sip:{user}@{domain}>
    Call-ID: {number}
    CSeq: 1 REGISTER
    Contact: <sip:{contact}>
    """
MESSAGE = """
    {method} sip:{to} SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-first
    Max-Forwards: 70
    From: <sip:{sender}>;tag=1
    To: <sip:{to}>
    Call-ID: round
    CSeq: 7 {method}
    {more}
    """
MOST = 100_000  # messages; a ring that needs more has no end


class Link(FakeFlow):
    """The way from one server to another; what is sent waits until the ring is run."""

    def __init__(self, ring: Ring, port: int, to: FakeServer) -> None:
        super().__init__("127.0.0.1", port)
        self._ring = ring
        self._to = to
        self.back: Link

    def send(self, data: bytes) -> None:
        """Put a message on its way."""
        self._ring.waiting.append((self._to, data, self.back))


class Ring:
    """Servers a.test, b.test..., and a count of what passes between them.

    ``forwards`` names the AORs of each user: what the contacts of the bindings are.
    """

    def __init__(self, directory: str, names: str, forwards: Mapping[str, Sequence[str]]) -> None:
        self.waiting: deque[tuple[FakeServer, bytes, FakeFlow]] = deque()
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.alive = 0  # the most client transactions at a time
        self.hops: list[int] = []
        ports = {name: 5060 + number for number, name in enumerate(names)}
        self.servers = {name: self._server(directory, name, ports) for name in names}
        self._connect(ports)
        for user, contacts in forwards.items():
            for contact in contacts:
                self._forward(user, contact)
        self.phone = self.servers[names[0]].client("192.0.2.1")

    def _server(self, directory: str, name: str, ports: Mapping[str, int]) -> FakeServer:
        routes = [ROUTE.format(name=n, port=port) for n, port in ports.items() if n != name]
        text = CONFIG.format(name=name, port=ports[name]) + "".join(routes)
        return FakeServer(str(Path(directory, name)), text)

    def _connect(self, ports: Mapping[str, int]) -> None:
        links = {}
        for one, server in self.servers.items():
            for other, port in ports.items():
                if one != other:
                    link = links[one, other] = Link(self, port, self.servers[other])
                    link.sent_by = sent_by(server.node.listens[0])
                    server.network.peers["udp", "127.0.0.1", port] = link
        for (one, other), link in links.items():
            link.back = links[other, one]

    def _forward(self, aor: str, contact: str) -> None:
        """Bind a user to somebody else; the phone that does it is reached nowhere."""
        user, domain = aor.split("@")
        server = self.servers[domain[0]]
        phone = server.client("192.0.2.1")
        number = f"{aor}-{contact}"
        phone.send(REGISTER.format(domain=domain, user=user, contact=contact, number=number))
        (answer,) = phone.received
        assert isinstance(answer, Response), answer
        assert answer.status == 200, answer

    def send(self, to: str, method: str = "MESSAGE", more: str = "X-More: 1") -> list[int]:
        """Send a request to a user of the first server; return what the sender is told.

        Every message is delivered in the order of sending; then time passes until nothing is left.
        """
        self.phone.clear()
        sender = "eve@" + to.partition("@")[2]
        self.phone.send(MESSAGE.format(to=to, method=method, sender=sender, more=more))
        self.run()
        for server in self.servers.values():
            server.clock.advance(0)
        told = [each.status for each in self.phone.received if isinstance(each, Response)]
        for _ in range(800):
            for server in self.servers.values():
                server.advance(0.1)
            self.run()
        return told

    def run(self) -> None:
        """Deliver what is on its way, and what comes of it."""
        for _ in range(MOST):
            if not self.waiting:
                return
            server, data, back = self.waiting.popleft()
            self._count(parse_datagram(data))
            server.deliver(data, back)
            layers = [server.node.layer for server in self.servers.values()]
            self.alive = max(self.alive, sum(len(layer._clients) for layer in layers))
        raise AssertionError("a ring without an end")

    def _count(self, message: Request | Response) -> None:
        if isinstance(message, Request):
            self.requests[message.method.decode()] += 1
            self.hops.append(message.max_forwards or 0)
        else:
            self.statuses[message.status] += 1

    @property
    def held(self) -> int:
        """How many transactions there are."""
        return sum(len(server.node.layer) for server in self.servers.values())
