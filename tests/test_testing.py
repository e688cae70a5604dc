"""The fakes themselves, as plugin authors use them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.config import ConfigError
from sipproxy.sip.message import Request, Response
from sipproxy.testing import CONFIG, FakeFlow, FakeServer, authorized, octets

OPTIONS = """
    OPTIONS sip:{to} SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=1
    To: <sip:{to}>
    Call-ID: 1
    CSeq: 1 OPTIONS
    Content-Length: 0
    """
REGISTER = """
REGISTER sip:example.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1
Max-Forwards: 70
From: <sip:alice@example.test>;tag=1
To: <sip:alice@example.test>
Call-ID: 1
CSeq: 1 REGISTER
Contact: <sip:alice@192.0.2.1>
Content-Length: 0
"""


class Octets(SynchronousTestCase):
    """Messages as tests write them."""

    def test_octets_are_left_alone(self) -> None:
        self.assertEqual(octets(b" x\n"), b" x\n")

    def test_a_text_without_a_body(self) -> None:
        expected = b"A b SIP/2.0\r\nC: d\r\n\r\n"
        for text in (
            "A b SIP/2.0\nC: d",
            "\n   A b SIP/2.0\n   C: d\n\n",
            "A b SIP/2.0\r\nC: d\r\n",
        ):
            self.assertEqual(octets(text), expected)

    def test_a_text_with_a_body(self) -> None:
        self.assertEqual(
            octets("A b SIP/2.0\nC: d\n\none\ntwo"), b"A b SIP/2.0\r\nC: d\r\n\r\none\r\ntwo"
        )
        self.assertEqual(octets("A\n\nü"), "A\r\n\r\nü".encode())

    def test_a_message(self) -> None:
        request = Request.build(b"OPTIONS", b"sip:a", [(b"To", b"<sip:a>")])
        self.assertEqual(octets(request), request.encode())


class Flows(SynchronousTestCase):
    """`FakeFlow`."""

    def test_it_looks_like_one(self) -> None:
        udp, tcp = FakeFlow("192.0.2.1", 5060), FakeFlow("192.0.2.1", 5061, "tcp")
        self.assertEqual((udp.reliable, udp.via_transport), (False, b"UDP"))
        self.assertEqual((tcp.reliable, tcp.via_transport, tcp.port), (True, b"TCP", 5061))
        self.assertEqual(repr(tcp), "<FakeFlow TCP 192.0.2.1:5061>")

    def test_closing_tells_who_watches(self) -> None:
        flow = FakeFlow("192.0.2.1", 5060, "tcp")
        told: list[str] = []

        def one() -> None:
            told.append("one")

        def two() -> None:
            told.append("two")

        flow.watch(one)
        flow.watch(two)
        flow.unwatch(two)
        self.assertEqual(flow.watchers, 1)
        flow.close()
        flow.close()
        self.assertEqual((told, flow.is_open, flow.watchers), (["one"], False, 0))


class Servers(SynchronousTestCase):
    """`FakeServer` and its clients."""

    def test_the_example_of_the_module(self) -> None:
        server = FakeServer(self.mktemp(), accounts={"alice@example.test": "secret"})
        phone = server.client("192.0.2.1", 5060)
        phone.send(OPTIONS.format(to="example.test"))
        self.assertEqual(phone.received[-1].status, 200)

    def test_credentials(self) -> None:
        server = FakeServer(self.mktemp(), accounts={"alice@example.test": "secret"})
        phone = server.client("192.0.2.1")
        phone.send(REGISTER)
        challenge = phone.received[-1]
        assert isinstance(challenge, Response)
        again = authorized(REGISTER.replace("z9hG4bK1", "z9hG4bK2"), challenge, "alice", "secret")
        phone.send(again)
        self.assertEqual(phone.received[-1].start, b"SIP/2.0 200 OK")
        wrong = authorized(REGISTER.replace("z9hG4bK1", "z9hG4bK3"), challenge, "alice", "other")
        phone.send(wrong)
        self.assertEqual(phone.received[-1].start, b"SIP/2.0 401 Unauthorized")

    def test_credentials_for_a_proxy(self) -> None:
        server = FakeServer(self.mktemp(), accounts={"alice@example.test": "secret"})
        phone = server.client("192.0.2.1")
        text = OPTIONS.format(to="bob@example.test")
        phone.send(text)
        challenge = phone.received[-1]
        assert isinstance(challenge, Response)
        self.assertEqual(challenge.status, 407)
        phone.send(authorized(text.replace("z9hG4bK1", "z9hG4bK2"), challenge, "alice", "secret"))
        self.assertEqual(phone.received[-1].start, b"SIP/2.0 404 Not Found")

    def test_a_message_from_phone_to_phone(self) -> None:
        server = FakeServer(self.mktemp(), CONFIG + "[auth]\nrequired = false")
        alice, bob = server.client("192.0.2.1", 5060, "tcp"), server.client("192.0.2.2")
        alice.send(REGISTER)
        alice.clear()
        bob.send(OPTIONS.format(to="alice@example.test"))
        (request,) = alice.received
        assert isinstance(request, Request)
        self.assertEqual(request.via.transport, b"TCP")
        alice.answer(200, Allow="MESSAGE", Content_Language="en")
        (answer,) = bob.received
        self.assertEqual(answer.start, b"SIP/2.0 200 OK")
        self.assertEqual(answer.value(b"allow"), b"MESSAGE")
        self.assertEqual(answer.value(b"content-language"), b"en")
        self.assertEqual(answer.to.tag, b"tag-of-5060")

    def test_time_passes_when_the_test_says_so(self) -> None:
        server = FakeServer(self.mktemp(), CONFIG + "[auth]\nrequired = false")
        alice, bob = server.client("192.0.2.1"), server.client("192.0.2.2")
        alice.send(REGISTER)
        bob.send(OPTIONS.format(to="alice@example.test"))
        self.assertEqual(bob.received, [])
        server.advance(11)  # beyond the proxy's patience
        self.assertEqual(bob.received[-1].start, b"SIP/2.0 480 Temporarily Unavailable")

    def test_a_listener_that_advertises(self) -> None:
        advertise = 'address = "127.0.0.1"\nadvertise = "sip.example.test:5080"'
        text = CONFIG.replace('address = "127.0.0.1"', advertise) + "[auth]\nrequired = false"
        server = FakeServer(self.mktemp(), text)
        alice, bob = server.client("192.0.2.1"), server.client("192.0.2.2")
        alice.send(REGISTER)
        alice.clear()
        bob.send(OPTIONS.format(to="alice@example.test"))
        self.assertEqual(alice.received[0].via.sent_by, (b"sip.example.test", 5080))
        alice.answer(200)
        self.assertEqual(bob.received[-1].start, b"SIP/2.0 200 OK")

    def test_a_connection_that_closes_takes_its_bindings_along(self) -> None:
        server = FakeServer(self.mktemp(), CONFIG + "[auth]\nrequired = false")
        alice = server.client("192.0.2.1", 5060, "tcp")
        alice.send(REGISTER)
        self.assertEqual(len(list(server.node.location.aors())), 1)
        alice.flow.close()
        self.assertEqual(list(server.node.location.aors()), [])

    def test_a_fault_of_the_configuration(self) -> None:
        self.assertRaises(ConfigError, FakeServer, self.mktemp(), CONFIG + "[auth]\nx = 1")

    def test_stop(self) -> None:
        server = FakeServer(self.mktemp())
        server.stop()
        self.assertEqual(server.clock.getDelayedCalls(), [])

    def test_flows_have_names(self) -> None:
        server = FakeServer(self.mktemp())
        flow = server.client("192.0.2.1", 5060, "tcp").flow
        name = server.network.name(flow)
        self.assertIs(server.network.find(name), flow)
        flow.close()
        self.assertIsNone(server.network.find(name))
