"""In which order the parts of the front door are asked, and what becomes of their failures."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sipproxy.interfaces import Sender, Target
from sipproxy.proxy.front import Front
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Response
from sipproxy.sip.response import make_response
from sipproxy.testing import FakeServer
from tests.proxy.fakes import OPEN, Filter, Forwarder, Handler, Router, Senders, request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

TARGET = [Target(b"sip:bob@192.0.2.2")]
STAGES = ["sender", "filter", "handler", "router", "forwarder"]


class FrontCase(TableCase):
    """A front door with two parts of each kind."""

    def setUp(self) -> None:
        self.log: list[str] = []
        self.server = FakeServer(self.mktemp(), OPEN)
        self.core = self.server.node.core
        self.client = self.server.client("192.0.2.1")
        log = self.log
        self.senders = Senders("sender", log)
        self.filters = [Filter("filter", log), Filter("filter 2", log)]
        self.handlers = [Handler("handler", log, b"PUBLISH"), Handler("handler 2", log, b"FOO")]
        self.routers = [Router("router", log), Router("router 2", log, TARGET)]
        self.forwarder = Forwarder("forwarder", log)
        self.build()

    def build(self) -> None:
        """Make the front door of what there is by now."""
        self.front = Front(
            self.core, self.senders, self.filters, self.handlers, self.routers, self.forwarder
        )
        self.server.node.layer.user = self.front

    def send(self, method: str = "MESSAGE", *lines: str) -> None:
        """Let a request come."""
        self.client.send(request(*lines, method=method))

    @property
    def statuses(self) -> list[int]:
        """What was answered."""
        return [m.status for m in self.client.received if isinstance(m, Response)]

    def part(self, stage: str) -> Any:
        """Return the first part of a stage."""
        return {
            "sender": self.senders,
            "filter": self.filters[0],
            "handler": self.handlers[0],
            "router": self.routers[0],
            "forwarder": self.forwarder,
        }[stage]


class OrderTest(FrontCase):
    """Order is the order in the configuration (design.md §3, §6)."""

    @rows(
        {
            "routed": (
                "MESSAGE",
                ["sender", "filter", "filter 2", "router", "router 2", "forwarder"],
            ),
            "first handler": ("PUBLISH", ["sender", "filter", "filter 2", "handler"]),
            "second handler": ("FOO", ["sender", "filter", "filter 2", "handler 2"]),
        }
    )
    def test_order(self, method: str, order: list[str]) -> None:
        self.send(method)
        self.assertEqual(self.log, order)

    def test_the_first_of_two_that_claim(self) -> None:
        self.handlers[1].methods = self.handlers[0].methods
        self.build()
        self.send("PUBLISH")
        self.assertEqual(self.log[-1], "handler")

    def test_handlers_are_for_our_domains(self) -> None:
        self.client.send(request(method="PUBLISH", uri="sip:bob@b.test"))
        self.assertEqual(self.log[-1], "forwarder")

    def test_targets_of_the_first_router_that_has_any(self) -> None:
        other = [Target(b"sip:other")]
        self.routers[0].does = other
        self.send()
        self.assertIs(self.forwarder.targets, other)
        self.assertNotIn("router 2", self.log)

    @rfc(3261, "16.5", "an empty target set is answered 480")
    @rows({"no router knows": (None, 404), "there is nobody": ([], 480)})
    def test_no_targets(self, found: Any, status: int) -> None:
        """RFC 3261 §16.5."""
        self.routers[0].does, self.routers[1].does = found, None
        self.send()
        self.assertEqual(self.statuses, [status])
        self.assertNotIn("forwarder", self.log)

    @rows({name: name for name in STAGES})
    def test_each_may_take_its_time(self, stage: str) -> None:
        """A Deferred holds up what comes after it, and nothing else."""
        method = "PUBLISH" if stage == "handler" else "MESSAGE"
        self.send(method)
        order = self.log[:]
        self.log.clear()
        waiting = self.part(stage).does = Deferred()
        second = request(method=method).encode().replace(b"bK-1", b"bK-2")
        self.client.send(second.replace(b"Call-ID: 1", b"Call-ID: 2"))
        self.assertEqual(self.log, order[: order.index(stage) + 1])
        waiting.callback(Sender(b"alice@example.test", True) if stage == "sender" else None)
        self.assertEqual((self.log, self.statuses), (order, []))

    def test_targets_found_later(self) -> None:
        waiting = self.routers[0].does = Deferred()
        self.send()
        waiting.callback(TARGET)
        self.assertEqual(self.log[-2:], ["router", "forwarder"])


class FailureTest(FrontCase):
    """Whatever is raised becomes a response in one place (design.md §2 rule 7)."""

    @rows({name: name for name in STAGES})
    def test_refused(self, stage: str) -> None:
        self.part(stage).does = SipError(488, "Not With Me", [(b"X-Why", b"because")])
        self.send("PUBLISH" if stage == "handler" else "MESSAGE")
        self.assertEqual((self.statuses, self.log[-1]), ([488], stage))
        (response,) = self.client.received
        self.assertEqual((response.reason, response.value(b"x-why")), (b"Not With Me", b"because"))

    @rows({name: name for name in STAGES})
    def test_refused_later(self, stage: str) -> None:
        waiting = self.part(stage).does = Deferred()
        self.send("PUBLISH" if stage == "handler" else "MESSAGE")
        waiting.errback(Failure(SipError(488)))
        self.assertEqual((self.statuses, self.log[-1]), ([488], stage))

    @rows({name: name for name in STAGES})
    def test_bug(self, stage: str) -> None:
        """Logged, answered 500, and the next request is served."""
        self.part(stage).does = KeyError("x")
        self.send("PUBLISH" if stage == "handler" else "MESSAGE")
        self.assertEqual(self.statuses, [500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.client.send(request(method="OPTIONS", uri="sip:example.test"))
        self.assertEqual(self.statuses, [500, 200])

    @rows({name: name for name in STAGES})
    def test_bug_later(self, stage: str) -> None:
        waiting = self.part(stage).does = Deferred()
        self.send("PUBLISH" if stage == "handler" else "MESSAGE")
        waiting.errback(Failure(KeyError("x")))
        self.assertEqual(self.statuses, [500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_the_log_has_the_message(self) -> None:
        events: list[Any] = []
        self.core.log.observer, kept = events.append, self.core.log.observer
        self.addCleanup(setattr, self.core.log, "observer", kept)
        self.senders.does = KeyError("x")
        self.send("MESSAGE", "X-Marked: yes")
        self.assertIn("X-Marked: yes", events[0]["message"])


class ResponseFilterTest(FrontCase):
    """Every response goes through the response filters, in order."""

    def setUp(self) -> None:
        FrontCase.setUp(self)
        self.core.response_filters = list(self.filters)

    def test_order(self) -> None:
        self.routers[1].does = None
        self.send()
        (response,) = self.client.received
        self.assertEqual(response.raw_values(b"x-seen"), [b"filter", b"filter 2"])

    def test_bug(self) -> None:
        """The peer is told, and learns nothing of what the filter was to hide."""
        self.core.response_filters[1].does = KeyError("x")
        self.filters.clear()
        self.routers[1].does = None
        self.send()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.statuses, [500])

    @rfc(3261, "16.7", "step 5: any 2xx to INVITE goes upstream immediately")
    def test_a_bug_keeps_nobody_alone_in_a_call(self) -> None:
        """What the filter has done to the 2xx until then is undone; the others see it."""
        taken: list[Any] = []
        self.patch(self.forwarder, "forward", lambda *arguments: taken.append(arguments))
        self.send("INVITE")
        ((invite, server, *_),) = taken
        self.core.response_filters[0].does = KeyError("x")
        for status, tag in ((180, b"a"), (200, b"a"), (200, b"b")):
            self.core.respond_with(invite, server, make_response(invite, status, tag))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 3)
        self.assertEqual(self.statuses, [200, 200])
        marks = [response.raw_values(b"x-seen") for response in self.client.received]
        self.assertEqual(marks, [[b"filter 2"]] * 2)


class EntranceTest(FrontCase):
    """What is decided before anybody is asked."""

    def test_draining(self) -> None:
        """A server that stops takes no new requests (RFC 3261 §21.5.4)."""
        self.front.is_draining = True
        self.send()
        (response,) = self.client.received
        self.assertEqual((response.status, response.value(b"retry-after")), (503, b"10"))
        self.assertEqual(self.log, [])

    def test_max_forwards_is_not_for_what_we_handle(self) -> None:
        self.send("PUBLISH", "Max-Forwards: 0")
        self.assertEqual(self.log[-1], "handler")

    @rfc(3261, "16.3", "a merged request is no error to a proxy")
    @rfc(3261, "8.2.2.2", "the same request by another way is answered 482 by a UAS")
    def test_merged(self) -> None:
        """RFC 3261 §8.2.2.2: for a UAS, once; to a proxy a merged request is another one."""
        for method, last in (("PUBLISH", [482]), ("MESSAGE", [482])):
            for branch in (b"bK-1", b"bK-2"):
                self.client.send(request(method=method).encode().replace(b"bK-1", branch))
            self.assertEqual(self.statuses, last)
        self.assertEqual((self.log.count("handler"), self.log.count("forwarder")), (1, 2))

    def test_in_a_dialog_nothing_is_merged(self) -> None:
        for branch in (b"bK-1", b"bK-2"):
            octets = request(method="PUBLISH").encode().replace(b"bK-1", branch)
            self.client.send(octets.replace(b"To: <sip:bob@example.test>", b"To: <sip:b>;tag=2"))
        self.assertEqual((self.log.count("handler"), self.statuses), (2, []))

    @rfc(3261, "9.2", "a CANCEL of what is no INVITE is answered 200, and does nothing")
    def test_cancel_of_what_is_no_invite(self) -> None:
        """RFC 3261 §9.2, §16.10: 200 as long as it matches a transaction, and no effect."""
        self.send("MESSAGE")
        self.client.send(request(method="CANCEL"))
        self.assertEqual(self.statuses, [200])
