"""TCP on loopback sockets, and the way to a next hop (RFC 3261 §18.1.1, §18.2.2)."""

from __future__ import annotations

import contextlib
import socket
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.task import deferLater

from sipproxy.transport import network
from sipproxy.transport.identity import SentBy
from sipproxy.transport.names import AAAA, A, Hosts
from sipproxy.transport.resolver import Resolver, Unreachable
from sipproxy.transport.settings import Dns, Listen
from sipproxy.transport.stream import StreamFlow
from sipproxy.transport.udp import UdpFlow
from tests.rfc import rfc
from tests.transaction.fakes import answer
from tests.transport.sites import FOUR, SIX, Site, SiteCase, has_ipv6, message

LARGE = 1301  # one byte more than goes by UDP


class TcpCase(SiteCase):
    """A site with UDP and TCP on one address."""

    address = FOUR

    def setUp(self) -> None:
        listens = (Listen("udp", self.address, 0), Listen("tcp", self.address, 0))
        self.server = self.site(*listens)
        self.port = self.server.port("tcp", self.address)

    @property
    def written(self) -> str:
        """The address as URIs have it."""
        return f"[{self.address}]" if ":" in self.address else self.address

    def uri(self, plain: socket.socket, transport: str = "udp") -> str:
        """Return the URI of a plain socket."""
        return f"sip:{self.written}:{plain.getsockname()[1]};transport={transport}"


class ConnectionTest(TcpCase):
    """Connections that clients open."""

    async def test_request_and_response(self) -> None:
        client = self.connect(self.address, self.port)
        client.send(message("SIP/2.0/TCP phone.test;branch=z9hG4bK1;rport"))
        response = await self.response(client)
        port = client.getsockname()[1]
        self.assertEqual(response.via.params[b"received"], self.address.encode())
        self.assertEqual(response.via.params[b"rport"], b"%d" % port)
        self.assertEqual(self.server.network.connections, 1)

    async def test_ping(self) -> None:
        client = self.connect(self.address, self.port)
        client.send(b"\r\n\r\n")
        self.assertEqual(await self.read(client), b"\r\n")

    async def test_unreadable(self) -> None:
        """§18.3: answered 400, and closed, for nothing can be read after it."""
        client = self.connect(self.address, self.port)
        data = message("SIP/2.0/TCP h;branch=z9hG4bK1").replace(b"Content-Length: 0\r\n", b"")
        client.send(data)
        self.assertEqual((await self.response(client)).status, 400)
        self.assertEqual(await self.read(client), b"")
        await self.until(lambda: not self.server.network.connections)

    async def test_reused(self) -> None:
        """§18: a connection is used for whatever goes to its other end."""
        client = self.connect(self.address, self.port)
        await self.until(lambda: self.server.network.connections)
        flow = self.server.reach(self.uri(client, "tcp"))
        self.assertIsInstance(flow, StreamFlow)
        self.server.send(flow)
        request = await self.read(client)
        self.assertIn(b"Via: SIP/2.0/TCP %s:%d;" % (self.written.encode(), self.port), request)

    async def test_named(self) -> None:
        """The name of a connection finds it again until it is gone."""
        network = self.server.network
        client = self.connect(self.address, self.port)
        await self.until(lambda: network.connections)
        flow = self.server.reach(self.uri(client, "tcp"))
        name = network.name(flow)
        self.assertIs(network.find(name), flow)
        client.close()
        await self.until(lambda: not network.connections)
        self.assertIsNone(network.find(name))

    @rfc(3261, "18.2.2", "a response goes back on its connection, or by a new one to received")
    async def test_response_when_the_connection_is_gone(self) -> None:
        """§18.2.2: by a new connection to the address it came from and the port in Via."""
        self.server.is_answering = False
        listening = self.listener(self.address)
        client = self.connect(self.address, self.port)
        port = listening.getsockname()[1]
        client.send(message(f"SIP/2.0/TCP 192.0.2.1:{port};branch=z9hG4bK1"))
        await self.until(lambda: self.server.requests)
        client.close()
        await self.until(lambda: not self.server.network.connections)
        answer(self.server.layer, self.server.servers[0], self.server.requests[0], 200)
        response = await self.response(await self.accepted(listening))
        self.assertEqual((response.status, response.via.port), (200, port))

    async def test_responses_when_the_connection_is_gone(self) -> None:
        """All of them go by one new connection."""
        self.server.is_answering = False
        listening = self.listener(self.address)
        client = self.connect(self.address, self.port)
        client.send(message(f"SIP/2.0/TCP 192.0.2.1:{listening.getsockname()[1]};branch=z9hG4bK1"))
        await self.until(lambda: self.server.requests)
        client.close()
        await self.until(lambda: not self.server.network.connections)
        path = self.server.servers[0].path
        path.send(b"first ")
        accepted = await self.accepted(listening)
        self.assertEqual(await self.read(accepted), b"first ")
        path.send(b"second")
        self.assertEqual(await self.read(accepted), b"second")
        self.assertEqual(self.server.network.connections, 1)

    async def test_response_to_the_name_in_via(self) -> None:
        """RFC 3263 §5: where nobody is at that address and port."""
        listening = self.listener("127.0.0.2")
        server = await self.gone("phone.test", listening, Dns(private=True))
        answer(self.server.layer, server, self.server.requests[0], 200)
        response = await self.response(await self.accepted(listening))
        self.assertEqual((response.status, response.via.host), (200, b"phone.test"))

    async def test_response_to_a_name_of_our_site(self) -> None:
        """Whoever writes a Via may know names that lead where a stranger is not to get."""
        listening = self.listener("127.0.0.2")
        listening.settimeout(0)
        server = await self.gone("phone.test", listening, Dns())
        answer(self.server.layer, server, self.server.requests[0], 200)
        await self.until(lambda: not self.server.network._connecting)
        self.assertRaises(BlockingIOError, listening.accept)

    async def gone(self, name: str, listening: socket.socket, dns: Dns) -> Any:
        """Return the transaction of a client that has gone, whose Via has a name."""
        self.server.is_answering = False
        port = listening.getsockname()[1]
        hosts = self.mktemp()
        with open(hosts, "w") as file:
            file.write(f"127.0.0.3 {name}\n127.0.0.2 {name}\n")
        self.server.network.resolver = Resolver(reactor, dns, hosts=Hosts(reactor, hosts))
        client = self.connect(self.address, self.port)
        client.send(message(f"SIP/2.0/TCP {name}:{port};branch=z9hG4bK1"))
        await self.until(lambda: self.server.requests)
        client.close()
        await self.until(lambda: not self.server.network.connections)
        return self.server.servers[0]

    async def test_response_that_finds_no_way(self) -> None:
        self.server.is_answering = False
        client = self.connect(self.address, self.port)
        client.send(message("SIP/2.0/TCP 192.0.2.1:1;branch=z9hG4bK1"))
        await self.until(lambda: self.server.requests)
        client.close()
        await self.until(lambda: not self.server.network.connections)
        answer(self.server.layer, self.server.servers[0], self.server.requests[0], 200)
        await self.until(lambda: not self.server.network._connecting)


class ConnectionSixTest(ConnectionTest):
    """The same over IPv6."""

    address = SIX
    if not has_ipv6():
        skip = "there is no ::1 on this machine"


class ReachTest(TcpCase):
    """Which flow leads to a next hop."""

    async def test_udp(self) -> None:
        peer = self.udp()
        flow = self.server.reach(self.uri(peer))
        self.assertIsInstance(flow, UdpFlow)
        self.server.send(flow)
        port = self.server.port("udp")
        self.assertIn(b"Via: SIP/2.0/UDP 127.0.0.1:%d;" % port, await self.read(peer))

    async def test_connected_once(self) -> None:
        """Who asks while a connection is under way gets the same, and so do they later."""
        peer = self.listener()
        uri = self.uri(peer, "tcp")
        first, second = self.server.reach(uri), self.server.reach(uri)
        found = [await first, await second]
        self.assertIs(found[0], found[1])
        self.assertIs(self.server.reach(uri), found[0])
        self.server.send(found[0])
        wire = await self.accepted(peer)
        wire.send(self.answered(await self.read(wire)))
        await self.until(lambda: self.server.told)
        self.assertEqual(self.server.told, ["200"])

    def answered(self, request: bytes) -> bytes:
        """Return the octets of a 200 to a request."""
        return b"SIP/2.0 200 OK\r\n" + request.partition(b"\r\n")[2]

    async def test_refused(self) -> None:
        peer = self.listener()
        uri = self.uri(peer, "tcp")
        peer.close()
        await self.assertFailure(self.server.reach(uri), Unreachable)
        self.assertEqual(self.server.network._connecting, {})

    async def test_a_connection_that_is_ending_is_not_used(self) -> None:
        peer = self.listener()
        uri = self.uri(peer, "tcp")
        old = await self.server.reach(uri)
        old.send(b"x" * 9)
        old.close()
        new = await self.reached(self.server, uri)
        self.assertIsNot(new, old)

    @rfc(3261, "17.1.4", "a transport error ends the transaction, and its user is told")
    async def test_closed_by_the_peer(self) -> None:
        """§17.1.4: the transactions of a connection that closes have failed at once."""
        peer = self.listener()
        self.server.send(await self.server.reach(self.uri(peer, "tcp")))
        wire = await self.accepted(peer)
        await self.read(wire)
        wire.close()
        await self.until(lambda: self.server.told)
        self.assertEqual(self.server.told, ["failed"])

    @rfc(3261, "18.1.1", "more than 1300 bytes go by TCP, and by UDP where that fails")
    async def test_large_goes_by_tcp(self) -> None:
        """§18.1.1: a request of more than 1300 bytes."""
        peer = self.listener()
        uri = self.uri(peer)
        self.assertIsInstance(self.server.reach(uri, LARGE - 1), UdpFlow)
        self.assertIsInstance(await self.server.reach(uri, LARGE), StreamFlow)

    @rfc(3261, "18.1.1", "more than 1300 bytes go by TCP, and by UDP where that fails")
    async def test_large_goes_by_udp_after_all(self) -> None:
        """§18.1.1: where the attempt by TCP is refused."""
        peer = self.udp()
        flow = await self.server.reach(self.uri(peer), LARGE)
        self.assertIsInstance(flow, UdpFlow)
        self.server.send(flow)
        self.assertIn(b"Via: SIP/2.0/UDP", await self.read(peer))

    def test_no_way(self) -> None:
        for uri in (
            "sips:127.0.0.1;transport=udp",  # RFC 3261 §19.1.1
            "sips:127.0.0.1;transport=ws",
            "sip:127.0.0.1;transport=carrier-pigeon",
            "sip:[2001:db8::1]",  # no listener of the family
        ):
            self.assertRaises(Unreachable, self.server.reach, uri)

    def test_maddr(self) -> None:
        """RFC 3263 §4: maddr is where to go, the port stays."""
        flow = self.server.reach("sip:bob@b.test:5070;maddr=192.0.2.9")
        self.assertEqual((flow.host, flow.port), (b"192.0.2.9", 5070))

    def test_name(self) -> None:
        """A name that the operator has written into /etc/hosts: nobody is asked."""
        self.assertEqual(self.server.reach("sip:localhost:5070").port, 5070)

    def test_names_of_udp_flows(self) -> None:
        network = self.server.network
        flow = self.server.reach("sip:192.0.2.9:5070")
        self.assertEqual(network.find(network.name(flow)), flow)
        self.assertEqual(network.name(object()), b"")
        for name in (b"", b"x", b"u", b"u\xff" + network.name(flow)[2:], b"s12345678"):
            self.assertIsNone(network.find(name))


class LastingNameTest(SiteCase):
    """What a flow is found again by after a restart."""

    def lasting(self, server: Site, host: str = "192.0.2.9") -> bytes:
        """Return the lasting name of a flow over UDP."""
        return server.network.lasting_name(server.reach(f"sip:{host}:5070"))

    async def test_the_same_listener(self) -> None:
        """It is another socket, and may have another place in the configuration."""
        old = self.site(Listen("udp", FOUR, 0))
        name, port = self.lasting(old), old.port("udp")
        await old.stop()
        new = self.site(Listen("udp", "127.0.0.2", 0), Listen("udp", FOUR, port))
        flow = new.network.find_again(name)
        assert isinstance(flow, UdpFlow)
        self.assertEqual((flow.host, flow.port), (b"192.0.2.9", 5070))
        self.assertEqual(flow.sent_by, SentBy(b"UDP", FOUR.encode(), port))
        self.assertEqual(flow, new.network.find(new.network.name(flow)))

    def test_another_listener(self) -> None:
        name = self.lasting(self.site(Listen("udp", FOUR, 0)))
        self.assertIsNone(self.site(Listen("udp", FOUR, 0)).network.find_again(name))

    async def test_a_connection(self) -> None:
        server = self.site(Listen("tcp", FOUR, 0))
        self.connect(FOUR, server.port("tcp"))
        await self.until(lambda: server.network.connections)
        (flow,) = server.network._flows.values()
        self.assertEqual(server.network.lasting_name(flow), b"")

    def test_six(self) -> None:
        if not has_ipv6():
            raise SkipTest("::1 is not there")
        server = self.site(Listen("udp", SIX, 0))
        flow = server.reach("sip:[2001:db8::9]:5070")
        self.assertEqual(server.network.find_again(server.network.lasting_name(flow)), flow)


class MeansTest(SiteCase):
    """What we can send by is what the listeners have, and TCP."""

    def test_udp_alone(self) -> None:
        server = self.site(Listen("udp", FOUR, 0))
        self.assertEqual(server.network.means, ({"udp", "tcp", "tls"}, [A]))

    def test_tcp_alone(self) -> None:
        """A URI that says nothing of a transport goes by the one that there is."""
        server = self.site(Listen("tcp", FOUR, 0))
        self.assertEqual([str(hop) for hop in server.hops("sip:192.0.2.1")], ["tcp 192.0.2.1:5060"])
        self.assertRaises(Unreachable, server.hops, "sip:192.0.2.1;transport=udp")

    def test_both_families(self) -> None:
        if has_ipv6():
            server = self.site(Listen("udp", FOUR, 0), Listen("udp", SIX, 0))
            self.assertEqual(server.network.means.kinds, [AAAA, A])

    def test_a_hop_that_failed_is_the_last(self) -> None:
        server = self.site(Listen("udp", FOUR, 0))
        hosts = self.mktemp()
        with open(hosts, "w") as file:
            file.write("127.0.0.2 b.test\n127.0.0.3 b.test\n")
        server.network.resolver = Resolver(reactor, hosts=Hosts(reactor, hosts))
        first, second = server.hops("sip:b.test")
        server.network.breaker.failed(first, 60)
        self.assertEqual(server.hops("sip:b.test"), [second, first])


class SocketsTest(SiteCase):
    """Several listeners."""

    if not has_ipv6():
        skip = "there is no ::1 on this machine"

    def test_the_socket_of_the_family(self) -> None:
        server = self.site(Listen("udp", FOUR, 0), Listen("udp", SIX, 0))
        for address, host in ((FOUR, "127.0.0.9"), (SIX, "[::1]")):
            flow = server.reach(f"sip:{host}:5070")
            self.assertEqual(flow.sent_by.port, server.port("udp", address))

    @rfc(3581, "4", "with rport a response goes to the source, from the socket that it came to")
    def test_the_socket_that_is_near(self) -> None:
        """RFC 3581 §4, RFC 5626: what came by one socket goes on by it, if it fits."""
        server = self.site(Listen("udp", FOUR, 0), Listen("udp", "127.0.0.2", 0))
        endpoints = server.network._endpoints
        for endpoint in endpoints:
            near = endpoint.flow("192.0.2.1", 5060)
            self.assertIs(server.reach("sip:192.0.2.2", near=near).endpoint, endpoint)
        self.assertIs(server.reach("sip:192.0.2.2").endpoint, endpoints[0])

    @rfc(5626, "5.3", "the name of a UDP flow is good after a restart")
    def test_names_outlive_the_process(self) -> None:
        """They name a socket by its address: there may be others then, and in another order."""
        before = self.site(Listen("udp", FOUR, 0), Listen("udp", SIX, 0))
        flows = before.reach("sip:127.0.0.9:5070"), before.reach("sip:[::1]:5070")
        names = [before.network.name(flow) for flow in flows]
        six = Listen("udp", SIX, before.port("udp", SIX))
        before.stop()
        after = self.site(Listen("udp", "127.0.0.2", 0), six)
        self.assertIsNone(after.network.find(names[0]))
        found = after.network.find(names[1])
        self.assertEqual((found.address, found.sent_by.port), (("::1", 5070), six.port))
        self.assertIsNone(after.network.find(names[1][:4]))

    async def test_ipv4_peers_keep_their_address(self) -> None:
        """V6ONLY: nobody is called ::ffff:127.0.0.1."""
        server = self.site(Listen("tcp", "0.0.0.0", 0, "a.test"), Listen("tcp", "::", 0, "a.test"))
        for address, any_ in ((FOUR, "0.0.0.0"), (SIX, "::")):
            client = self.connect(address, server.port("tcp", any_))
            client.send(message("SIP/2.0/TCP h;branch=z9hG4bK1"))
            response = await self.response(client)
            self.assertEqual(response.via.params[b"received"], address.encode())


class SlowReaderTest(SiteCase):
    """A peer that reads when it likes: whatever is sent to it comes, and in order."""

    async def connected(self) -> tuple[Any, socket.socket]:
        """Return a flow, with little room in the kernel, and the client at its end."""
        server = self.site(write_queue=1 << 26)
        client = self.connect(FOUR, server.port("tcp"))
        client.send(message("SIP/2.0/TCP h;branch=z9hG4bK1"))
        await self.response(client)
        server.flows[0].transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        return server.flows[0], client

    async def test_in_order(self) -> None:
        flow, client = await self.connected()
        parts = [b"%07d\n" % number * (number * number) for number in range(90)]
        wanted, found, was_full = b"".join(parts), b"", False
        while len(found) < len(wanted):
            for _ in range(7):
                if parts:
                    flow.send(parts.pop(0))
            await deferLater(reactor, 0)
            was_full = was_full or flow._stalled is not None
            with contextlib.suppress(BlockingIOError):
                found += client.recv(200_000)
        self.assertTrue(was_full)
        self.assertTrue(found == wanted, "something is missing, or in another order")
        self.assertIsNone(flow._stalled)

    async def test_ends_with_the_rest(self) -> None:
        """What waits is read before the end of the connection is."""
        flow, client = await self.connected()
        for number in range(100):
            flow.send(b"%07d\n" % number * 2000)
        flow.close()
        found = b""
        while part := await self.read(client):
            found += part
        self.assertEqual((len(found), found[-9:]), (1_600_000, b"\n0000099\n"))


class LimitsTest(SiteCase):
    """What peers may not use up."""

    def limited(self, **limits: Any) -> tuple[Site, int]:
        """Return a site with limits, and its TCP port."""
        server = self.site(**limits)
        return server, server.port("tcp")

    async def test_connections(self) -> None:
        """All together, and of one address."""
        await self.check_connections({"connections": 2})
        await self.check_connections({"connections_per_address": 2})

    async def check_connections(self, limits: dict[str, int]) -> None:
        server, port = self.limited(**limits)
        first, second = (self.connect(FOUR, port) for _ in "ab")
        await self.until(lambda: server.network.connections == 2)
        third = self.connect(FOUR, port)
        self.assertEqual(await self.cut(third), b"")
        first.close()
        await self.until(lambda: server.network.connections == 1)
        fourth = self.connect(FOUR, port)
        fourth.send(b"\r\n\r\n")
        self.assertEqual(await self.read(fourth), b"\r\n")
        second.close()

    async def cut(self, plain: socket.socket) -> bytes:
        """Return what is read of a connection that is cut off: nothing."""
        try:
            return await self.read(plain)
        except ConnectionError:
            return b""

    async def test_descriptors(self) -> None:
        """No more than the process may have, and some to spare."""
        self.patch(network, "room", lambda wanted: min(wanted, 2))
        await self.check_connections({})

    async def test_our_own_connections_count(self) -> None:
        """A request that would need one too many has failed, once."""
        server, port = self.limited(connections=1)
        self.connect(FOUR, port)
        await self.until(lambda: server.network.connections)
        peer = self.listener()
        flow = await self.reached(server, f"sip:{FOUR}:{peer.getsockname()[1]};transport=tcp")
        server.send(flow)
        self.assertEqual((server.told, len(server.layer)), (["failed"], 0))

    async def test_a_peer_that_does_not_read(self) -> None:
        """Its connection is closed before its queue fills our memory."""
        server, port = self.limited(write_queue=100_000)
        client = self.connect(FOUR, port)
        await self.until(lambda: server.network.connections)
        flow = server.reach(f"sip:{FOUR}:{client.getsockname()[1]};transport=tcp")
        await self.until(lambda: flow.send(b"x" * 50_000) or not flow.is_open)
        self.assertEqual(server.network.connections, 0)


class EndTest(SiteCase):
    """A network that stops leaves nothing open."""

    async def test_stop(self) -> None:
        server = self.site()
        client = self.connect(FOUR, server.port("tcp"))
        await self.until(lambda: server.network.connections)
        await server.stop()
        self.assertEqual(await self.read(client), b"")
        await self.until(lambda: not server.network.connections)
        self.site(Listen("udp", FOUR, server.port("udp")), Listen("tcp", FOUR, server.port("tcp")))
