"""A whole server, a DNS and peers on loopback: from a server that is dead to one that lives."""

from __future__ import annotations

from pathlib import Path
from socket import MSG_PEEK
from typing import Any

from twisted.internet import reactor

from sipproxy import config
from sipproxy.node import Node
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from sipproxy.transport.sockets import bind_all
from tests.transport.sites import FOUR
from tests.transport.test_lookup import DnsCase

CONFIG = """
domains = ["example.test"]
[[listen]]
transport = "udp"
address = "127.0.0.1"
port = 0
[dns]
servers = ["{dns}"]
private = true
"""
HEADERS = {
    b"From": b"<sip:alice@example.test>;tag=1",
    b"To": b"<sip:carol@b.test>",
    b"Call-ID": b"1",
    b"CSeq": b"1 MESSAGE",
}


class Answers:
    """Whom the server sends for."""

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def answered(self, response: Response, transaction: Any) -> None:
        """Note an answer."""
        self.statuses.append(response.status)


class FailoverTest(DnsCase):
    """RFC 3263 §4.3, over sockets all the way."""

    def node(self, dns: str) -> Node:
        """Return a running server that asks this DNS."""
        home = Path(self.mktemp())
        home.mkdir()
        parsed = config.parse(home / "sipproxy.toml", CONFIG.format(dns=dns))
        node = Node(parsed, bind_all(parsed.settings.listen), reactor)
        node.start()
        self.addCleanup(node.stop)
        return node

    def send(self, node: Node) -> list[int]:
        """Send a request of the server's own, and return where its answer will be noted."""
        request, user = Request(b"MESSAGE", b"sip:carol@b.test", [], []), Answers()
        for name, value in HEADERS.items():
            request.append(name, value)
        node.send(request, user)  # type: ignore[arg-type]
        return user.statuses

    async def answer(self, peer: Any) -> None:
        """Have a peer answer its next request 200."""
        await self.until(lambda: self.is_readable(peer))
        data, sender = peer.recvfrom(65535)
        request = parse_datagram(data)
        assert isinstance(request, Request)
        peer.sendto(make_response(request, 200, b"tag").encode(), sender)

    def is_readable(self, peer: Any) -> bool:
        """Tell whether there is a datagram to read."""
        try:
            return bool(peer.recv(1, MSG_PEEK))
        except BlockingIOError:
            return False

    async def test_refused_by_tcp(self) -> None:
        await self.check("SIP+D2T")

    async def test_refused_by_udp(self) -> None:
        """ICMP tells."""
        await self.check("SIP+D2U")

    async def check(self, service: str) -> None:
        """Nobody listens at the port of the first service; the second is taken at once."""
        living, (_, _, dead) = self.udp(), self.refusing().rpartition(":")
        _, dns = self.serve(f"""
            b.test          NAPTR  1 1 s {service} _first.test
            b.test          NAPTR  2 1 s SIP+D2U _second.test
            _first.test     SRV    0 0 {dead} host.test
            _second.test    SRV    0 0 {living.getsockname()[1]} host.test
            host.test       A      {FOUR}""")
        node = self.node(dns)
        statuses = self.send(node)
        await self.answer(living)
        await self.until(lambda: statuses)
        self.assertEqual((statuses, len(node.network.breaker)), ([200], 1))
        again = self.send(node)  # the dead one is the last to be tried now
        await self.answer(living)
        await self.until(lambda: again)
        self.assertEqual(again, [200])

    async def test_no_dns(self) -> None:
        """As good as a 503 (RFC 3261 §8.1.3.1), and at once."""
        statuses = self.send(self.node(self.refusing()))
        await self.until(lambda: statuses)
        self.assertEqual(statuses, [503])
