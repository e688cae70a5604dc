"""Questions to real DNS servers on loopback, and requests that go where they say."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.names import dns

from sipproxy.transport.hops import Unreachable
from sipproxy.transport.lookup import Lookup, parse_server
from sipproxy.transport.names import SRV, A
from sipproxy.transport.resolver import Resolver
from sipproxy.transport.settings import Dns, Listen
from tests.sip.tables import TableCase, rows
from tests.transport.sites import FOUR, SIX, Site, SiteCase, has_ipv6
from tests.transport.zones import Server

ZONE = """
    one.test            A      198.51.100.1
    big.test            A      198.51.100.2
    alias.test          CNAME  one.test
    a.loop.test         CNAME  b.loop.test
    b.loop.test         CNAME  a.loop.test
""" + "\n".join(f"_big._udp.test SRV {n} 0 5060 h{n}.test" for n in range(1000))


class ServerTest(TableCase):
    """How the operator writes a server."""

    @rows(
        {
            "IPv4": ("192.0.2.53", ("192.0.2.53", 53)),
            "port": ("192.0.2.53:5353", ("192.0.2.53", 5353)),
            "IPv6": ("2001:db8::53", ("2001:db8::53", 53)),
            "brackets": ("[::1]", ("::1", 53)),
            "IPv6, port": ("[2001:DB8::53]:5353", ("2001:db8::53", 5353)),
        }
    )
    def test_server(self, text: str, server: tuple[str, int]) -> None:
        self.assertEqual(parse_server(text), server)

    @rows({name: name for name in ("", "ns.test", "192.0.2.1:x", "192.0.2.1:0", "[::1]:65536")})
    def test_no_server(self, text: str) -> None:
        self.assertRaises(ValueError, parse_server, text)


class DnsCase(SiteCase):
    """DNS servers on 127.0.0.1."""

    def serve(self, text: str, host: str = FOUR) -> tuple[Server, str]:
        """Return a server, by UDP and TCP on one port, and its address."""
        server = Server(text)
        tcp = reactor.listenTCP(0, server, interface=host)
        self.addCleanup(tcp.stopListening)
        port = tcp.getHost().port
        udp = reactor.listenUDP(port, dns.DNSDatagramProtocol(server), interface=host)
        self.addCleanup(udp.stopListening)
        return server, f"[{host}]:{port}"

    def silent(self) -> str:
        """Return the address of a socket that answers nothing."""
        return f"{FOUR}:{self.udp().getsockname()[1]}"

    def refusing(self) -> str:
        """Return an address that nobody listens at."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.bind((FOUR, 0))
            return f"{FOUR}:{plain.getsockname()[1]}"

    def lookup(self, *servers: str, timeouts: tuple[float, ...] = (5.0,)) -> Lookup:
        return Lookup(reactor, Dns(servers=servers, timeouts=timeouts))

    async def problem(self, found: Any) -> str:
        try:
            await found
        except Unreachable as problem:
            return str(problem)
        raise AssertionError("was answered")


class LookupTest(DnsCase):
    """One question."""

    async def test_answer(self) -> None:
        server, address = self.serve(ZONE)
        message = await self.lookup(address)("one.test", A)
        self.assertEqual([one.payload.dottedQuad() for one in message.answers], ["198.51.100.1"])
        self.assertEqual(server.replies, {"udp": 1, "tcp": 0})

    async def test_ipv6(self) -> None:
        """Over UDP and over TCP."""
        if has_ipv6():
            server, address = self.serve(ZONE, SIX)
            message = await self.lookup(address)("_big._udp.test", SRV)
            self.assertEqual(len(message.answers), 1000)
            self.assertEqual(server.replies, {"udp": 1, "tcp": 1})

    async def test_no_such_name(self) -> None:
        _, address = self.serve(ZONE)
        message = await self.lookup(address)("none.test", A)
        self.assertEqual((message.rCode, message.answers), (dns.ENAME, []))

    async def test_truncated(self) -> None:
        """RFC 1035 §4.2.1: what does not fit into a datagram is asked for by TCP."""
        server, address = self.serve(ZONE)
        message = await self.lookup(address)("_big._udp.test", SRV)
        self.assertEqual(len(message.answers), 1000)
        self.assertEqual(server.replies, {"udp": 1, "tcp": 1})

    async def test_truncated_and_no_tcp(self) -> None:
        server = Server(ZONE)
        udp = reactor.listenUDP(0, dns.DNSDatagramProtocol(server), interface=FOUR)
        self.addCleanup(udp.stopListening)
        asked = self.lookup(f"{FOUR}:{udp.getHost().port}")("_big._udp.test", SRV)
        self.assertEqual(await self.problem(asked), "_big._udp.test: no DNS server answers")

    async def test_the_next_server(self) -> None:
        """One that is not there, is silent or fails is passed over."""
        _, address = self.serve(ZONE)
        broken, failing = self.serve(ZONE)
        broken.code = dns.ESERVER
        for other in (self.refusing(), self.silent(), failing):
            lookup = self.lookup(other, address, timeouts=(0.05, 5.0))
            self.assertEqual(len((await lookup("one.test", A)).answers), 1)

    async def test_silence(self) -> None:
        asked = self.lookup(self.silent(), timeouts=(0.01, 0.01))("one.test", A)
        self.assertEqual(await self.problem(asked), "one.test: no DNS server answers")

    async def test_refused(self) -> None:
        """It is told at once, whatever the time that a server has."""
        asked = self.lookup(self.refusing(), timeouts=(3600.0,))("one.test", A)
        self.assertEqual(await self.problem(asked), "one.test: no DNS server answers")

    async def test_failure(self) -> None:
        """SERVFAIL and REFUSED."""
        server, address = self.serve(ZONE)
        for code in (dns.ESERVER, dns.EREFUSED):
            server.code = code
            found = await self.problem(self.lookup(address)("one.test", A))
            self.assertEqual(found, f"one.test: the DNS server answers with code {code}")

    async def test_an_answer_to_something_else(self) -> None:
        """Whatever its id says."""
        plain = self.udp()
        asked = self.lookup(f"{FOUR}:{plain.getsockname()[1]}")("one.test", A)
        waiting = Deferred.fromCoroutine(self.problem(asked))
        await self.until(lambda: self.answered_wrongly(plain))
        self.assertEqual(await waiting, "one.test: no DNS server answers")

    def answered_wrongly(self, plain: socket.socket) -> bool:
        """Answer a question, once it is there, with the answer to another."""
        try:
            data, sender = plain.recvfrom(512)
        except BlockingIOError:
            return False
        message = dns.Message()
        message.fromStr(data)
        message.answer, message.queries = 1, [dns.Query("evil.test", A)]
        plain.sendto(message.toStr(), sender)
        return True

    async def test_resolv_conf(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("# x\nsearch test\nnameserver\nnameserver ns.test\nnameserver 192.0.2.53\n")
        lookup = Lookup(reactor, Dns(), path)
        self.assertEqual(lookup.servers, [("192.0.2.53", 53)])

    async def test_no_server_is_known(self) -> None:
        lookup = Lookup(reactor, Dns(), self.mktemp())
        self.assertEqual(
            await self.problem(lookup("one.test", A)), "one.test: no DNS server is known"
        )


class ChainTest(DnsCase):
    """From NAPTR to a server that answers, over sockets all the way."""

    def chain(self, tcp: int, udp: int) -> tuple[Server, Site]:
        """Return a DNS that names two servers on this host, and a site that asks it."""
        server, address = self.serve(f"""
            b.test            NAPTR  1 1 s SIP+D2T _sip._tcp.b.test
            b.test            NAPTR  2 1 s SIP+D2U _sip._udp.b.test
            _sip._tcp.b.test  SRV    0 0 {tcp} host.b.test
            _sip._udp.b.test  SRV    0 0 {udp} alias.b.test
            alias.b.test      CNAME  host.b.test
            host.b.test       A      127.0.0.1
            {ZONE}""")
        return server, self.asking(address)

    def asking(self, address: str, **settings: Any) -> Site:
        settings = {"private": True, **settings}
        site = self.site(Listen("udp", FOUR, 0), Listen("tcp", FOUR, 0))
        site.network.resolver = Resolver(reactor, Dns(servers=(address,), **settings))
        return site

    async def test_chain(self) -> None:
        server, site = self.chain(5071, 5072)
        wanted = ["tcp 127.0.0.1:5071", "udp 127.0.0.1:5072"]
        self.assertEqual([str(hop) for hop in await site.hops("sip:b.test")], wanted)
        replies = dict(server.replies)
        self.assertEqual([str(hop) for hop in await site.hops("sip:b.test")], wanted)
        self.assertEqual(server.replies, replies)  # all of it was known

    async def test_sent(self) -> None:
        peer = self.udp()
        _, site = self.chain(1, peer.getsockname()[1])
        tcp, udp = await site.hops("sip:b.test")
        await self.assertFailure(site.network.reach(tcp, 500), Unreachable)
        site.send(site.network.reach(udp, 500))
        self.assertIn(b"MESSAGE sip:peer.test", await self.read(peer))

    async def test_private(self) -> None:
        """By default no stranger's name leads to this host."""
        _, address = self.serve("b.test A 127.0.0.1")
        site = self.asking(address, private=False)
        problem = await self.problem(site.hops("sip:b.test"))
        self.assertEqual(problem, "b.test: the DNS gives 127.0.0.1, where no foreign name may be")

    async def test_loop(self) -> None:
        _, site = self.chain(1, 1)
        problem = await self.problem(site.hops("sip:a.loop.test:5060"))
        self.assertEqual(problem, "a.loop.test: its aliases lead nowhere")

    async def test_nobody_answers(self) -> None:
        site = self.asking(self.silent(), timeouts=(0.01,))
        problem = await self.problem(site.hops("sip:b.test"))
        self.assertEqual(problem, "b.test: no DNS server answers")
