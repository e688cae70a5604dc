"""Where no request is sent, whoever's URI leads there."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.task import Clock

from sipproxy.sip.uri import parse_uri
from sipproxy.transport import inside
from sipproxy.transport.inside import KNOWN, MOST, Address, Inside
from sipproxy.transport.resolver import Unreachable
from sipproxy.transport.settings import Listen
from tests.sip.tables import TableCase, rows
from tests.transport.sites import FOUR, SIX, SiteCase, has_ipv6

PUBLIC = Listen("udp", "192.0.2.1"), Listen("tcp", "2001:db8::1", 5070)
WILDCARD = (Listen("udp", "0.0.0.0", advertise="sip.example.test"),)
LABORATORY = (Listen("udp", "127.0.0.1"), Listen("udp", "192.0.2.1"))
NAMED = [
    parse_uri(b"sip:127.0.0.1:5080"),
    parse_uri(b"sip:LOCALHOST:5090;transport=tcp"),
    parse_uri(b"sip:gate.b.test"),
    parse_uri(b"sip:224.0.1.76"),
]


class InsideTest(TableCase):
    """Ourselves, and what listens on this machine for itself."""

    @rows(
        {
            "ourselves": (PUBLIC, "192.0.2.1", 5060, "192.0.2.1:5060 is ourselves"),
            "ourselves, written otherwise": (PUBLIC, "2001:DB8:0::1", 5070, "ourselves"),
            "ourselves, as IPv6": (PUBLIC, "::ffff:192.0.2.1", 5060, "ourselves"),
            "another port of ours": (PUBLIC, "192.0.2.1", 5062, None),
            "a peer": (PUBLIC, "198.51.100.7", 5060, None),
            "a private network": (PUBLIC, "10.0.0.7", 5060, None),
            "loopback": (PUBLIC, "127.0.0.1", 6379, "inside"),
            "loopback, another": (PUBLIC, "127.1.2.3", 5060, "inside"),
            "loopback, IPv6": (PUBLIC, "::1", 5060, "inside"),
            "loopback, IPv4 as IPv6": (PUBLIC, "::ffff:127.0.0.1", 5060, "inside"),
            "this host": (PUBLIC, "0.0.0.0", 5060, "inside"),
            "this host, IPv6": (PUBLIC, "::", 5060, "inside"),
            "this network": (PUBLIC, "0.1.2.3", 5060, "inside"),
            "link": (PUBLIC, "169.254.169.254", 80, "inside"),
            "link, IPv6": (PUBLIC, "fe80::1", 5060, "inside"),
            "multicast": (PUBLIC, "224.0.1.75", 5060, "no one host"),
            "multicast, IPv6": (PUBLIC, "ff02::1", 5060, "no one host"),
            "multicast, IPv4 as IPv6": (PUBLIC, "::ffff:224.0.1.75", 5060, "no one host"),
            "broadcast": (PUBLIC, "255.255.255.255", 5060, "no one host"),
            "reserved": (PUBLIC, "240.0.0.1", 5060, "no one host"),
            "multicast, in a laboratory": (LABORATORY, "224.0.1.75", 5060, "no one host"),
            "multicast, named": (PUBLIC, "224.0.1.76", 5060, None),
            "named": (PUBLIC, "127.0.0.1", 5080, None),
            "named localhost": (PUBLIC, "127.0.0.1", 5090, None),
            "named localhost, IPv6": (PUBLIC, "::1", 5090, None),
            "beside what is named": (PUBLIC, "127.0.0.1", 5081, "inside"),
            "any address of this machine": (WILDCARD, "127.0.0.1", 5060, "ourselves"),
            "and another port": (WILDCARD, "127.0.0.1", 5061, "inside"),
            "none of this machine": (WILDCARD, "192.0.2.7", 5060, None),
            "of the other family": (WILDCARD, "2001:db8::1", 5060, None),
            "laboratory": (LABORATORY, "127.0.0.1", 5070, None),
            "laboratory, ourselves": (LABORATORY, "127.0.0.1", 5060, "ourselves"),
        }
    )
    def test_refused(
        self, listens: tuple[Listen, ...], address: str, port: int, why: str | None
    ) -> None:
        inside = Inside(listens, NAMED, Clock().seconds)
        if why is None:
            inside.refuse(address, port)
        else:
            error = self.assertRaises(Unreachable, inside.refuse, address, port)
            self.assertIn(why, str(error))


class ThisMachineTest(TableCase):
    """Whether an address is this machine's is asked of the kernel, not once for each request."""

    def setUp(self) -> None:
        self.asked: list[str] = []
        self.ours: set[str] = set()
        self.patch(inside, "_is_local", self.is_local)
        self.clock = Clock()
        self.inside = Inside(WILDCARD, (), self.clock.seconds)

    def is_local(self, address: Address) -> bool:
        """Be the kernel."""
        self.asked.append(str(address))
        return str(address) in self.ours

    def is_ours(self, address: str) -> bool:
        try:
            self.inside.refuse(address, 5060)
        except Unreachable:
            return True
        return False

    def test_once(self) -> None:
        for _ in range(3):
            self.assertFalse(self.is_ours("192.0.2.7"))
        self.assertEqual(self.asked, ["192.0.2.7"])

    def test_addresses_come_and_go(self) -> None:
        self.assertFalse(self.is_ours("192.0.2.7"))
        self.ours.add("192.0.2.7")
        self.clock.advance(KNOWN)
        self.assertTrue(self.is_ours("192.0.2.7"))
        self.ours.clear()
        self.clock.advance(KNOWN - 1)
        self.assertTrue(self.is_ours("192.0.2.7"))
        self.clock.advance(1)
        self.assertFalse(self.is_ours("192.0.2.7"))

    def test_bounded(self) -> None:
        """Who is asked for most lately is known, however many others there are."""
        for number in range(2 * MOST):
            self.is_ours(f"2001:db8::{number:x}")
            self.is_ours(f"198.51.{number >> 8}.{number & 255}")
            self.is_ours("192.0.2.7")
            self.assertLessEqual(len(self.inside._known), MOST)
        self.assertEqual(self.asked.count("192.0.2.7"), 1)
        self.assertEqual(len(self.asked), 2 * MOST + 1)  # of IPv6 there is no listener


class OnTheWayTest(SiteCase):
    """A network asks for each next hop, by whatever way it was found."""

    async def test_ourselves(self) -> None:
        server = self.site()
        server.network.refuse = Inside(server.listens, (), reactor.seconds).refuse
        for transport in ("udp", "tcp"):
            port = server.port(transport)
            for uri in (f"sip:{FOUR}:{port}", f"sip:x.test:{port};maddr={FOUR}"):
                with self.assertRaises(Unreachable):
                    await self.reached(server, f"{uri};transport={transport}")
        with self.assertRaises(Unreachable):
            await self.reached(server, f"sip:localhost:{server.port('udp')}")
        self.assertEqual(server.network.connections, 0)

    async def test_a_large_request(self) -> None:
        """Neither by TCP, nor by UDP after all."""
        server = self.site()
        server.network.refuse = Inside(server.listens, (), reactor.seconds).refuse
        with self.assertRaises(Unreachable):
            await self.reached(server, f"sip:{FOUR}:{server.port('udp')}", 5000)

    async def test_a_service_of_this_machine(self) -> None:
        """No octet reaches it."""
        server, service, plain = self.site(), self.listener(), self.udp()
        server.network.refuse = Inside(PUBLIC, (), reactor.seconds).refuse
        tcp, udp = service.getsockname()[1], plain.getsockname()[1]
        for uri in (f"sip:{FOUR}:{tcp};transport=tcp", f"sip:{FOUR}:{udp}"):
            with self.assertRaises(Unreachable):
                await self.reached(server, uri)
        self.assertRaises(BlockingIOError, service.accept)
        self.assertRaises(BlockingIOError, plain.recv, 1)

    async def test_a_peer_that_has_connected(self) -> None:
        """The connection that somebody has opened to us is no way into anything."""
        server = self.site()
        server.network.refuse = Inside(PUBLIC, (), reactor.seconds).refuse
        client = self.connect(FOUR, server.port("tcp"))
        await self.until(lambda: server.network.connections)
        flow = server.reach(f"sip:{FOUR}:{client.getsockname()[1]};transport=tcp")
        self.assertTrue(flow.is_open)


class OnTheWaySixTest(SiteCase):
    """The same over IPv6."""

    if not has_ipv6():
        skip = "there is no ::1 on this machine"

    async def test_ourselves(self) -> None:
        server = self.site(*self.listens())
        server.network.refuse = Inside(server.listens, (), reactor.seconds).refuse
        with self.assertRaises(Unreachable):
            await self.reached(server, f"sip:[::ffff:{FOUR}]:{server.port('udp')}")
        with self.assertRaises(Unreachable):
            await self.reached(server, f"sip:[{SIX}]:{server.port('udp', SIX)}")

    def listens(self) -> tuple[Listen, ...]:
        """Return a listener for each family."""
        return Listen("udp", FOUR, 0), Listen("udp", SIX, 0)
