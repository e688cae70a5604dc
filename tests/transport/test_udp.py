"""UDP on loopback sockets: where responses go, and what the network returns (RFC 3261 §18)."""

from __future__ import annotations

import gc
import math
import select
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from sipproxy.sip.headers import parse_via
from sipproxy.transport import udp
from sipproxy.transport.datagrams import BATCH
from sipproxy.transport.identity import SentBy
from sipproxy.transport.settings import Listen
from sipproxy.transport.stun import answer, request
from sipproxy.transport.udp import UdpEndpoint, UdpFlow
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows
from tests.transport.sites import FOUR, SIX, SiteCase, has_ipv6, message


@rfc(3261, "18.2.2", "by UDP a response goes to maddr, received or sent-by, at Via's port")
@rfc(3581, "4", "with rport a response goes to the source, from the socket that it came to")
class ReplyPathTest(TableCase):
    """§18.2.2 and RFC 3581 §4: where a response goes, by its topmost Via."""

    @rows(
        {
            "port in Via": ("192.0.2.1:5080", "192.0.2.7", 5080),
            "no port in Via": ("phone.test", "192.0.2.7", 5060),
            "rport": ("192.0.2.1:5080;rport", "192.0.2.7", 40000),
            "rport with a value of its own": ("192.0.2.1:5080;rport=9", "192.0.2.7", 40000),
            "received of its own": ("192.0.2.1;received=192.0.2.99", "192.0.2.7", 5060),
            "the same port": ("192.0.2.1:40000", "192.0.2.7", 40000),
            "maddr": ("192.0.2.1:5080;maddr=192.0.2.50", "192.0.2.50", 5080),
            "maddr and rport": ("192.0.2.1;rport;maddr=192.0.2.50", "192.0.2.50", 5060),
            "maddr, multicast": ("192.0.2.1;maddr=224.0.1.75;rport", "192.0.2.7", 40000),
            "maddr, broadcast": ("192.0.2.1;maddr=255.255.255.255", "192.0.2.7", 5060),
            "maddr, any": ("192.0.2.1;maddr=0.0.0.0", "192.0.2.7", 5060),
            "maddr, IPv6 multicast": ("192.0.2.1;maddr=[ff02::1]", "192.0.2.7", 5060),
            "maddr, scope": ("192.0.2.1;maddr=[fe80::1%lo]", "192.0.2.7", 5060),
            "maddr, NUL in the scope": ('192.0.2.1;maddr="fe80::1%\\\0"', "192.0.2.7", 5060),
            "maddr, name": ("192.0.2.1;maddr=other.test", "192.0.2.7", 5060),
        }
    )
    def test_address(self, via: str, host: str, port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            endpoint = UdpEndpoint(plain, SentBy(b"UDP", b"h", 5060), reactor)
            flow = UdpFlow(endpoint, ("192.0.2.7", 40000))
            parsed = parse_via(f"SIP/2.0/UDP {via};branch=z9hG4bK1".encode())
            path = flow.reply_path(parsed)
            self.assertEqual(path, UdpFlow(endpoint, (host, port)))
            self.assertFalse(path.reliable)

    def test_equality(self) -> None:
        """A flow is a local socket and a remote address."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            one, two = (UdpEndpoint(plain, SentBy(b"UDP", b"h", 1), reactor) for _ in "ab")
            self.assertEqual(UdpFlow(one, ("h", 1)), UdpFlow(one, ("h", 1, 0, 0)))
            self.assertEqual(len({UdpFlow(one, ("h", 1)), UdpFlow(one, ("h", 1))}), 1)
            for other in (UdpFlow(two, ("h", 1)), UdpFlow(one, ("h", 2)), "h"):
                self.assertNotEqual(UdpFlow(one, ("h", 1)), other)


class UnsentTest(TableCase):
    """Datagrams that the kernel does not take."""

    def test_no_cycles(self) -> None:
        """Such a datagram leaves nothing that only the cycle collector could free."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            endpoint = UdpEndpoint(plain, SentBy(b"UDP", b"h", 1), Clock())
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            for address in (("127.0.0.1", 0), ("::1", 5060)):
                UdpFlow(endpoint, address).send(b"x")
            self.assertEqual(gc.collect(), 0)


class Readers(Clock):
    """A reactor that notes who is read."""

    def __init__(self) -> None:
        Clock.__init__(self)
        self.readers: list[Any] = []
        self.addReader, self.removeReader = self.readers.append, self.readers.remove


class Crowd:
    """A receiver that keeps the flows by which something came."""

    def __init__(self) -> None:
        self.flows: list[UdpFlow] = []

    def datagram(self, data: bytes, flow: UdpFlow) -> None:
        """Note who sent it."""
        self.flows.append(flow)

    def undeliverable(self, data: bytes) -> None:
        """Nothing comes back."""


class EndpointCase(TableCase):
    """An endpoint whose reactor is the test."""

    def setUp(self) -> None:
        self.reactor, self.crowd = Readers(), Crowd()
        self.plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.plain.setblocking(False)
        self.plain.bind((FOUR, 0))
        self.endpoint = UdpEndpoint(self.plain, SentBy(b"UDP", b"h", 1), self.reactor)
        self.endpoint.start(self.crowd)
        self.addCleanup(self.plain.close)

    def hear(self, *peers: socket.socket) -> None:
        """Have each send a datagram, and read them."""
        for peer in peers:
            peer.sendto(b"SIP/2.0", self.plain.getsockname())
            self.endpoint.doRead()

    def peer(self) -> socket.socket:
        """Return a socket that sends."""
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(peer.close)
        peer.bind((FOUR, 0))
        return peer


class FlowsTest(EndpointCase):
    """Who is known to a socket."""

    def test_one_object(self) -> None:
        """The same address is the same flow, and is read once."""
        one, other = self.peer(), self.peer()
        self.hear(one, other, one)
        first, second, third = self.crowd.flows
        self.assertIs(first, third)
        self.assertEqual(first, UdpFlow(self.endpoint, one.getsockname()))
        self.assertEqual((second.host, second.port), (FOUR.encode(), other.getsockname()[1]))

    def test_bounded(self) -> None:
        """However many there are, few are remembered."""
        self.patch(udp, "FLOWS", 3)
        peers = [self.peer() for _ in range(10)]
        self.hear(*peers, *peers)
        self.assertLessEqual(len(self.endpoint._flows), 3)
        known = [UdpFlow(self.endpoint, peer.getsockname()) for peer in peers]
        self.assertEqual(self.crowd.flows, known * 2)


class GivenUpTest(EndpointCase):
    """The reactor gives a reader up whose socket has an error."""

    def test_error(self) -> None:
        """What it was is read, and so is what comes later."""
        self.endpoint.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.reactor.readers, [self.endpoint, self.endpoint])

    def test_reactor_stops(self) -> None:
        self.endpoint.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.reactor.readers, [self.endpoint])

    def test_endpoint_has_stopped(self) -> None:
        self.endpoint.stop()
        self.endpoint.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.reactor.readers, [])
        self.assertEqual(self.endpoint.fileno(), -1)


class UdpCase(SiteCase):
    """A site with one UDP listener, and plain sockets."""

    address = FOUR

    def setUp(self) -> None:
        self.server = self.site(Listen("udp", self.address, 0))
        self.place = (self.address, self.server.port("udp", self.address))

    @property
    def written(self) -> str:
        """The address as Via has it."""
        return f"[{self.address}]" if ":" in self.address else self.address


class ResponseTest(UdpCase):
    """Responses over real sockets."""

    @rfc(3581, "4", "with rport a response goes to the source, from the socket that it came to")
    async def test_rport(self) -> None:
        """RFC 3581 §4: to the source, from the socket that the request came to."""
        client = self.udp(self.address)
        client.sendto(message("SIP/2.0/UDP phone.test:9;branch=z9hG4bK1;rport"), self.place)
        response = await self.response(client)
        port = client.getsockname()[1]
        self.assertEqual(response.status, 200)
        self.assertEqual(response.via.params[b"rport"], b"%d" % port)
        self.assertEqual(response.via.params[b"received"], self.address.encode())

    @rfc(3261, "18.2.2", "by UDP a response goes to maddr, received or sent-by, at Via's port")
    async def test_no_rport(self) -> None:
        """To the address that it came from, and the port that Via has."""
        client, listening = self.udp(self.address), self.udp(self.address)
        port = listening.getsockname()[1]
        via = f"SIP/2.0/UDP {self.written}:{port};branch=z9hG4bK1"
        client.sendto(message(via), self.place)
        response = await self.response(listening)
        self.assertEqual(response.raw_values(b"via"), [via.encode()])

    @rfc(3261, "18.2.1", "received is added where the sent-by is a name or another address")
    async def test_received(self) -> None:
        """§18.2.1: only where the sent-by is a name or another address."""
        client = self.udp(self.address)
        port = client.getsockname()[1]
        client.sendto(message(f"SIP/2.0/UDP 192.0.2.1:{port};branch=z9hG4bK1"), self.place)
        response = await self.response(client)
        self.assertEqual(response.via.params.get(b"received"), self.address.encode())
        self.assertNotIn(b"rport", response.via.params)

    async def test_malformed(self) -> None:
        """What can be answered is, by the same rules (§8.2.7)."""
        client = self.udp(self.address)
        data = message("SIP/2.0/UDP h;branch=z9hG4bK1;rport").replace(b"Length: 0", b"Length: 7")
        client.sendto(data, self.place)
        self.assertEqual((await self.response(client)).status, 400)
        self.assertEqual(self.server.requests, [])

    async def test_noise_stops_nothing(self) -> None:
        client = self.udp(self.address)
        for noise in (b"", b"\r\n\r\n", b"\0" * 9, b"SIP/2.0", b"\xff" * 2000):
            client.sendto(noise, self.place)
        for via in ("maddr=fe80::1%\\\0", 'maddr="fe80::1%\\\0"', "maddr=[fe80::1%x]"):
            client.sendto(message(f"SIP/2.0/UDP h;branch=z9hG4bK2;{via}"), self.place)
        while True:
            client.sendto(message("SIP/2.0/UDP h;branch=z9hG4bK1;rport"), self.place)
            response = await self.response(client)
            if response.via.branch == b"z9hG4bK1":
                break
        self.assertEqual(response.status, 200)

    async def test_largest(self) -> None:
        """§18.1.1: datagrams of every size that UDP has are taken."""
        client = self.udp(self.address)
        via = "SIP/2.0/UDP h;branch=z9hG4bK1;rport"
        body = b"x" * (65507 - len(message(via)) - 10)
        client.sendto(message(via, body=body), self.place)
        await self.response(client)
        self.assertEqual(self.server.requests[0].body, body)

    async def test_more_than_a_batch(self) -> None:
        client = self.udp(self.address)
        count = 2 * BATCH + 1
        for number in range(count):
            via = f"SIP/2.0/UDP h;branch=z9hG4bK{number};rport"
            client.sendto(message(via, number), self.place)
        for _ in range(count):
            await self.response(client)
        numbers = [request.cseq.number for request in self.server.requests]
        self.assertEqual(numbers, list(range(count)))

    async def test_bug_of_the_receiver(self) -> None:
        """Logged; the next datagram is served."""
        client = self.udp(self.address)
        kept, self.server.layer.user = self.server.layer.user, Faulty()
        client.sendto(message("SIP/2.0/UDP h;branch=z9hG4bK1;rport"), self.place)
        errors: list[Any] = []
        await self.until(lambda: errors.extend(self.flushLoggedErrors(KeyError)) or errors)
        self.server.layer.user = kept
        client.sendto(message("SIP/2.0/UDP h;branch=z9hG4bK2;rport"), self.place)
        self.assertEqual((await self.response(client)).status, 200)


class Faulty:
    """A user of the transaction layer with a bug."""

    def received(self, request: Any, transaction: Any) -> None:
        """Fail."""
        raise KeyError("x")


class SixTest(ResponseTest):
    """The same over IPv6, where addresses stand in brackets in Via and without in received."""

    address = SIX
    if not has_ipv6():
        skip = "there is no ::1 on this machine"


class KeepAliveTest(UdpCase):
    """RFC 5626 §8, §5.4: STUN on the port of SIP, and who is heard."""

    async def test_stun(self) -> None:
        client = self.udp(self.address)
        client.sendto(request(b"transaction1"), self.place)
        self.assertEqual(
            await self.read(client), answer(request(b"transaction1"), client.getsockname())
        )
        self.assertEqual(self.server.requests, [])

    async def test_heard(self) -> None:
        """Every datagram counts, but only those of a flow that is watched."""
        client, other = self.udp(self.address), self.udp(self.address)
        flow, silent = (
            self.server.reach(f"sip:{self.written}:{plain.getsockname()[1]}")
            for plain in (client, other)
        )
        self.assertEqual(flow.heard_at, -math.inf)
        for one in (flow, silent):
            one.watch(self.fail)
        begun = flow.heard_at
        for ping in (request(b"transaction1"), message("SIP/2.0/UDP h;branch=z9hG4bK1;rport")):
            before = flow.heard_at
            client.sendto(ping, self.place)
            await self.read(client)
            self.assertGreater(flow.heard_at, before)
        self.assertLessEqual(silent.heard_at, flow.heard_at)
        self.assertLess(abs(silent.heard_at - begun), flow.heard_at - begun)
        for one in (flow, silent):
            one.unwatch(self.fail)
            one.unwatch(self.fail)  # twice is as good
            self.assertEqual(one.heard_at, -math.inf)

    async def test_nobody_is_there(self) -> None:
        """§7: an ICMP error ends the flow for all who watch it."""
        closed = self.udp(self.address)
        port = closed.getsockname()[1]
        closed.close()
        flow = self.server.reach(f"sip:{self.written}:{port}")
        told: list[str] = []

        def faulty() -> None:
            told.append("faulty")
            raise KeyError("x")

        flow.watch(faulty)
        flow.watch(lambda: told.append("closed"))
        self.server.send(flow)
        await self.until(lambda: len(told) == 2)
        self.assertEqual((told, flow.heard_at), (["faulty", "closed"], -math.inf))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(flow.endpoint._ears, {})


class KeepAliveSixTest(KeepAliveTest):
    """The same over IPv6."""

    address = SIX
    if not has_ipv6():
        skip = "there is no ::1 on this machine"


@rfc(3261, "18.4", "what the network returns has failed at once")
class IcmpTest(UdpCase):
    """§18.4: what the network returns has failed at once, not after Timer F."""

    async def test_port_unreachable(self) -> None:
        closed = self.udp(self.address)
        port = closed.getsockname()[1]
        closed.close()
        flow = self.server.reach(f"sip:{self.written}:{port}")
        self.server.send(flow)
        await self.until(lambda: self.server.told)
        self.assertEqual(self.server.told, ["failed"])
        waiting = select.poll()
        waiting.register(flow.endpoint.fileno(), select.POLLIN)
        self.assertEqual(waiting.poll(0), [])  # else the reactor would turn for nothing

    async def test_others_are_not_disturbed(self) -> None:
        """An error belongs to the datagram that it returns, not to the next one sent."""
        closed, alive = self.udp(self.address), self.udp(self.address)
        ports = [plain.getsockname()[1] for plain in (closed, alive)]
        closed.close()
        for port in (ports[0], ports[1], ports[0], ports[1]):
            self.server.send(self.server.reach(f"sip:{self.written}:{port}"))
        await self.until(lambda: len(self.server.told) == 2)
        self.assertEqual(self.server.told, ["failed", "failed"])
        for _ in range(2):
            self.assertTrue((await self.read(alive)).startswith(b"MESSAGE"))
        client = self.udp(self.address)
        client.sendto(message("SIP/2.0/UDP h;branch=z9hG4bK1;rport"), self.place)
        self.assertEqual((await self.response(client)).status, 200)

    async def test_no_route(self) -> None:
        """What the kernel refuses to send has failed too."""
        flow = self.server.reach(f"sip:{self.written}:5060")
        flow = flow.endpoint.flow(flow.address[0], 0)  # port 0 cannot be sent to
        self.server.send(flow)
        await self.until(lambda: self.server.told)
        self.assertEqual(self.server.told, ["failed"])


class IcmpSixTest(IcmpTest):
    """The same over IPv6."""

    address = SIX
    if not has_ipv6():
        skip = "there is no ::1 on this machine"
