"""Other listeners while the server runs: those that stay keep everything (real sockets)."""

from __future__ import annotations

import msgspec

from sipproxy.transport.settings import Listen
from sipproxy.transport.sockets import bind_new
from sipproxy.transport.udp import UdpFlow
from tests.transport.sites import FOUR, Site, SiteCase, message

UDP, TCP = Listen("udp", FOUR, 0), Listen("tcp", FOUR, 0)
VIA = "SIP/2.0/TCP h;branch=z9hG4bK{}"


class ListeningTests(SiteCase):
    """A site with UDP and TCP that is told to listen elsewhere."""

    def setUp(self) -> None:
        self.server = self.site(UDP, TCP)
        self.bound = [*self.server.bound]

    def listen(self, *listens: Listen) -> Site:
        """Listen on these from now on."""
        self.bound = bind_new(listens, self.bound)
        self.server.network.adopt(self.bound)
        self.server.listens = [one.listen for one in self.bound]
        return self.server

    async def test_a_connection_stays(self) -> None:
        client = self.connect(FOUR, self.server.port("tcp"))
        await self.until(lambda: self.server.network.connections)
        port = self.server.port("tcp")
        server = self.listen(TCP, UDP, Listen("udp", "127.0.0.2", 0))
        self.assertEqual(server.port("tcp"), port)
        client.send(message(VIA.format(1)))
        self.assertEqual((await self.response(client)).status, 200)
        self.assertEqual(server.network.connections, 1)

    async def test_a_new_listener_serves(self) -> None:
        server = self.listen(UDP, TCP, Listen("tcp", "127.0.0.2", 0))
        client = self.connect("127.0.0.2", server.port("tcp", "127.0.0.2"))
        client.send(message(VIA.format(1)))
        self.assertEqual((await self.response(client)).status, 200)

    async def test_a_new_listener_for_datagrams(self) -> None:
        server = self.listen(UDP, TCP, Listen("udp", "127.0.0.2", 0))
        client, place = self.udp(), ("127.0.0.2", server.port("udp", "127.0.0.2"))
        client.sendto(message("SIP/2.0/UDP h;branch=z9hG4bK1;rport"), place)
        self.assertEqual((await self.response(client)).status, 200)

    async def test_one_that_is_gone(self) -> None:
        """Its connections are closed, and nobody is there any more."""
        client = self.connect(FOUR, self.server.port("tcp"))
        port = self.server.port("tcp")
        await self.until(lambda: self.server.network.connections)
        self.listen(UDP)
        self.assertEqual(await self.read(client), b"")
        await self.until(lambda: not self.server.network.connections)
        self.assertRaises(ConnectionRefusedError, self.connect, FOUR, port)

    def test_flows_of_a_socket_that_is_gone(self) -> None:
        """Whoever relies on one is told."""
        network, told = self.server.network, []
        flow = network._endpoints[0].flow(FOUR, 40000)
        flow.watch(lambda: told.append("gone"))
        name, lasting = network.name(flow), network.lasting_name(flow)
        self.listen(TCP)
        self.assertEqual((told, flow.is_open), (["gone"], False))
        self.assertEqual((network.find(name), network.lasting_name(flow)), (None, b""))
        self.assertIsNone(network.find_again(lasting))
        flow.send(b"into the void")

    def test_names_of_flows_outlive_the_order(self) -> None:
        """Record-Route tokens are about the socket that they were made for (RFC 5626 §5.3)."""
        network = self.server.network
        flow = network._endpoints[0].flow(FOUR, 40000)
        name = network.name(flow)
        self.listen(Listen("udp", "127.0.0.2", 0), TCP, UDP)
        found = network.find(name)
        assert isinstance(found, UdpFlow)
        self.assertEqual(found, flow)
        self.assertIs(found.endpoint, network._endpoints[1])
        self.listen(UDP, TCP)
        self.assertEqual(network.find(name), flow)

    async def test_another_name(self) -> None:
        """What it advertises holds for what is sent from now on, by every flow."""
        self.connect(FOUR, self.server.port("tcp"))
        network = self.server.network
        await self.until(lambda: network.connections)
        new = [Listen(one.transport, FOUR, 0, "sip.example.test:5062") for one in (UDP, TCP)]
        self.listen(*new)
        flows = [network._endpoints[0].flow(FOUR, 40000), *network._flows.values()]
        self.assertEqual([bytes(f.sent_by) for f in flows], [b"sip.example.test:5062"] * 2)

    async def test_limits_hold_for_connections_that_there_are(self) -> None:
        client = self.connect(FOUR, self.server.port("tcp"))
        await self.until(lambda: self.server.network.connections)
        network = self.server.network
        network.limit(msgspec.structs.replace(network.limits, head=200))
        long = b"Subject: " + b"x" * 200 + b"\r\nContent-Length: "
        client.send(message(VIA.format(1)).replace(b"Content-Length: ", long))
        self.assertTrue((await self.read(client)).startswith(b"SIP/2.0 513 "))
