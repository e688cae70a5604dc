"""The echo user in a whole server: what comes back, and what does not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.config import ConfigError
from sipproxy.sip.message import Request, Response
from sipproxy.testing import FakeClient, FakeServer

CONFIG = """
domains = ["example.test"]
[[listen]]
transport = "udp"
address = "127.0.0.1"
[auth]
required = false
[federation]
inbound = "open"
[proxy]
handlers = ["registrar", "echo"]
"""
REGISTER = """
    REGISTER sip:example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-r
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=r
    To: <sip:alice@example.test>
    Call-ID: r
    CSeq: 1 REGISTER
    Contact: <sip:alice@192.0.2.1>
    Content-Length: 0
    """
MESSAGE = """
    MESSAGE sip:{to} SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-m
    Max-Forwards: 70
    From: "Alice" <sip:{sender}>;tag=m
    To: <sip:{to}>
    Call-ID: m
    CSeq: 7 MESSAGE
    Content-Type: text/plain;charset=UTF-8
    Content-Length: 8
    {extra}

    Grüße!"""


class Echoing(SynchronousTestCase):
    """Alice, who is registered, writes to the echo user."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), CONFIG)
        self.alice = self.server.client("192.0.2.1")
        self.alice.send(REGISTER)
        self.alice.clear()

    def write(
        self,
        sender: str = "alice@example.test",
        to: str = "echo@example.test",
        extra: str = "Subject: a test",
    ) -> FakeClient:
        """Send a message from alice's address."""
        self.alice.send(MESSAGE.format(sender=sender, to=to, extra=extra))
        return self.alice

    def test_the_answer_is_bare(self) -> None:
        answer = self.write().received[0]
        assert isinstance(answer, Response)
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertNotIn(b"contact", answer.names)
        self.assertNotIn(b"content-type", answer.names)

    def test_the_message_comes_back(self) -> None:
        _, echo = self.write().received
        assert isinstance(echo, Request)
        self.assertEqual(echo.start, b"MESSAGE sip:alice@192.0.2.1 SIP/2.0")
        self.assertEqual(echo.from_.uri.raw, b"sip:echo@example.test")
        self.assertEqual(echo.to.uri.raw, b"sip:alice@example.test")
        self.assertEqual(echo.value(b"content-type"), b"text/plain;charset=UTF-8")
        self.assertEqual(echo.body, "Grüße!".encode())
        self.assertNotEqual(echo.call_id, b"m")
        self.assertNotIn(b"contact", echo.names)  # RFC 3428 §5
        self.assertNotIn(b"subject", echo.names)
        self.assertEqual(len(echo.values(b"via")), 1)

    def test_each_echo_is_another_message(self) -> None:
        first = self.write().received[-1].call_id
        again = MESSAGE.replace("z9hG4bK-m", "z9hG4bK-n").replace("Call-ID: m", "Call-ID: n")
        to, sender = "%65cho@example.test", "alice@example.test"
        self.alice.send(again.format(to=to, sender=sender, extra="Subject: again"))
        self.assertNotEqual(self.alice.received[-1].call_id, first)

    def test_a_stranger_gets_it_where_its_address_says(self) -> None:
        bob = self.server.client("192.0.2.9", 5070)
        self.write(sender="bob@192.0.2.9:5070")
        (echo,) = bob.received
        assert isinstance(echo, Request)
        self.assertEqual(echo.raw_uri, b"sip:bob@192.0.2.9:5070")

    def test_an_echo_is_not_echoed(self) -> None:
        for sender, extra in (
            ("echo@example.test", "Subject: of ours"),
            ("echo@b.test", "Subject: of another server"),
            ("parrot@b.test", "User-Agent: sipproxy-echo"),
        ):
            self.alice.clear()
            text = MESSAGE.replace("z9hG4bK-m", "z9hG4bK-" + sender.replace("@", "-"))
            text = text.replace("Call-ID: m", "Call-ID: " + sender)
            self.alice.send(text.format(sender=sender, to="echo@example.test", extra=extra))
            self.assertEqual([answer.start for answer in self.alice.received], [b"SIP/2.0 200 OK"])

    def test_others_are_not_answered_for(self) -> None:
        (answer,) = self.write(to="bob@example.test").received
        self.assertEqual(answer.start, b"SIP/2.0 480 Temporarily Unavailable")

    def test_what_is_required_is_refused(self) -> None:
        (answer,) = self.write(extra="Require: 100rel").received
        self.assertEqual(answer.start, b"SIP/2.0 420 Bad Extension")
        self.assertEqual(answer.value(b"unsupported"), b"100rel")


class Options(SynchronousTestCase):
    """The user can have another name."""

    def test_another_name(self) -> None:
        server = FakeServer(self.mktemp(), CONFIG + '[plugin.echo]\nuser = "parrot"')
        phone = server.client("192.0.2.1")
        text = MESSAGE.format(to="parrot@example.test", sender="a@b.test", extra="Subject: s")
        phone.send(text)
        self.assertEqual(phone.received[0].start, b"SIP/2.0 200 OK")

    def test_no_name(self) -> None:
        text = CONFIG + '[plugin.echo]\nuser = ""'
        error = self.assertRaises(ConfigError, FakeServer, self.mktemp(), text)
        self.assertEqual(error.problem, "user has to be the user part of an address")
