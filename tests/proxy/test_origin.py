"""Requests of our own, which go as any request does."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sipproxy.interfaces import Target
from sipproxy.proxy.origin import Origin
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.testing import FakeServer
from tests.proxy.fakes import OPEN, Router, request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

NEAR, FAR = "192.0.2.2", "192.0.2.3"


class User:
    """Notes what becomes of a request."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def answered(self, response: Response, transaction: Any) -> None:
        """Note a response."""
        self.heard.append(str(response.status))

    def timed_out(self, transaction: Any) -> None:
        """Note that nothing came."""
        self.heard.append("timed out")

    def failed(self, transaction: Any) -> None:
        """Note that it could not be delivered."""
        self.heard.append("failed")


class OriginTest(TableCase):
    """A server that sends requests to where one router says."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN)
        self.router = Router("router", [], None)
        self.origin = Origin(self.server.node.core, [Router("first", [], None), self.router])
        self.user = User()
        self.phones = [self.server.client(host) for host in (NEAR, FAR)]
        self.targets = [Target(f"sip:bob@{host}".encode()) for host in (NEAR, FAR)]

    def send(self, user: User | None = None) -> None:
        outgoing = request(method="NOTIFY")
        outgoing.remove(b"via")
        self.origin.send(outgoing, user)

    def test_complete(self) -> None:
        """It gets Via, Max-Forwards and Content-Length, and no Record-Route: we are its UAC."""
        self.router.does = self.targets[:1]
        self.send(self.user)
        (sent,) = self.phones[0].received
        assert isinstance(sent, Request)
        self.assertEqual(sent.raw_uri, b"sip:bob@192.0.2.2")
        self.assertEqual(sent.raw_values(b"max-forwards"), [b"70"])
        self.assertEqual(sent.raw_values(b"content-length"), [b"0"])
        self.assertEqual((len(sent.values(b"via")), sent.values(b"record-route")), (1, []))
        self.phones[0].answer(200)
        self.assertEqual(self.user.heard, ["200"])

    def test_each_branch_is_heard_of(self) -> None:
        self.router.does = self.targets
        self.send(self.user)
        for phone, status in zip(self.phones, (200, 481), strict=True):
            phone.answer(status)
        self.assertEqual(self.user.heard, ["200", "481"])

    @rfc(5626, "7", "a request goes to the next flow of an instance where one has failed")
    @rows({"gone": (430, 0), "nobody there": (408, 0), "silent": (0, 5.2)})
    def test_another_flow_of_a_device(self, status: int, seconds: float) -> None:
        """What becomes of the last one is told, and nothing of those before it."""
        for target in self.targets:
            target.instance = b"one"
        self.router.does = self.targets
        self.send(self.user)
        first, second = self.phones
        self.assertEqual((len(first.received), len(second.received)), (1, 0))
        if status:
            first.answer(status)
        self.server.advance(seconds)
        self.assertEqual((self.user.heard, len(second.received)), ([], 1))
        second.answer(200)
        self.server.advance(40)
        self.assertEqual(self.user.heard, ["200"])

    def test_no_other_flow_of_a_device_that_refuses(self) -> None:
        for target in self.targets:
            target.instance = b"one"
        self.router.does = self.targets
        self.send(self.user)
        self.phones[0].answer(481)
        self.assertEqual((self.user.heard, self.phones[1].received), (["481"], []))

    def test_silence(self) -> None:
        self.router.does = self.targets[:1]
        self.send(self.user)
        self.server.advance(33)
        self.assertEqual(self.user.heard, ["timed out"])

    def test_connection_closed(self) -> None:
        phone = self.server.client("192.0.2.4", 5060, "tcp")
        self.router.does = [Target(b"sip:bob@192.0.2.4", flow=phone.flow)]
        self.send(self.user)
        phone.flow.close()
        self.server.advance(40)
        self.assertEqual(self.user.heard, ["failed"])

    def test_connection_closed_before(self) -> None:
        """Over what has ended nothing is sent, and the failure is told once."""
        phone = self.server.client("192.0.2.4", 5060, "tcp")
        phone.flow.close()
        phone.flow.watch = lambda closed: closed()  # as a connection does that has ended
        self.router.does = [Target(b"sip:bob@192.0.2.4", flow=phone.flow)]
        self.send(self.user)
        self.server.advance(40)
        self.assertEqual((self.user.heard, phone.received), (["failed"], []))

    def test_unreachable(self) -> None:
        """As good as a 503 (RFC 3261 §8.1.3.1)."""
        self.router.does = [Target(b"sip:bob@203.0.113.1")]
        self.send(self.user)
        self.assertEqual(self.user.heard, ["503"])

    @rows({"no router knows": (None, "404"), "nobody there": ([], "480")})
    def test_no_targets(self, found: Any, status: str) -> None:
        self.router.does = found
        self.send(self.user)
        self.assertEqual(self.user.heard, [status])

    @rows({"refused": (SipError(488), "488", 0), "bug": (KeyError("x"), "500", 1)})
    def test_router_fails_later(self, error: Exception, status: str, logged: int) -> None:
        waiting = self.router.does = Deferred()
        self.send(self.user)
        self.assertEqual(self.user.heard, [])
        waiting.errback(Failure(error))
        self.assertEqual(self.user.heard, [status])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), logged)

    def test_routers_that_take_their_time(self) -> None:
        first, waiting = Deferred(), Deferred()
        self.router.does = waiting
        self.origin = Origin(self.server.node.core, [Router("", [], first), self.router])
        self.send(self.user)
        first.callback(None)
        waiting.callback(self.targets[:1])
        self.assertEqual(len(self.phones[0].received), 1)

    @rows(
        {"sent": [Target(b"sip:bob@192.0.2.2")], "refused": [], "unreachable": [Target(b"sip:x")]}
    )
    def test_nobody_has_to_listen(self, targets: list[Target]) -> None:
        self.router.does = targets
        self.send()
        if self.phones[0].received:
            self.phones[0].answer(200)
        self.server.advance(40)
