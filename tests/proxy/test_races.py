"""What crosses what in a call: answers, CANCEL, Timer C and broken connections, in any order.

A row is a list of steps, each with what it causes: ``a180 > 180; cancel > ok a.CANCEL``. A step is
a phone and its answer (``a180``) or the end of its connection (``aclose``), ``cancel`` by the
caller, or time: ``ring`` (Timer C; ``almost`` is less), ``next`` (for the next group) and ``wait``
(64*T1). What is caused are statuses for the caller (``ok`` is the 200 to her CANCEL) and requests
for phones (``a.ACK``).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

from zope.interface import implementer

from sipproxy.interfaces import IResponseFilter
from sipproxy.sip.message import Request, Response
from sipproxy.sip.response import make_response
from sipproxy.testing import FakeClient, FakeServer
from tests.proxy.fakes import OPEN
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

# Many calls at one moment, by a clock that jumps.
FAST = "[limits]\nsource_rate = 0\nconnection_rate = 0\nlateness = 0\n"
SECONDS = {"ring": 186, "almost": 180, "next": 21, "wait": 33}
REGISTER = """
    REGISTER sip:example.test SIP/2.0
    Via: SIP/2.0/TCP {host}:{port};branch=z9hG4bK-{port}
    From: <sip:bob@example.test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: {host}-{port}
    CSeq: 1 REGISTER
    Contact: <sip:bob@{host}:{port};transport=tcp>;q={q}
    Content-Length: 0
"""
CALL = """
    {method} sip:bob@example.test SIP/2.0
    Via: SIP/2.0/TCP 192.0.2.1:40000;branch=z9hG4bK-call-{number}
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: call-{number}
    CSeq: 1 {method}
    Content-Length: 0
"""


class Phone:
    """A phone of bob's on a connection."""

    def __init__(self, server: FakeServer, host: str, port: int, q: float) -> None:
        self.client = server.client(host, port, "tcp")
        self.client.send(REGISTER.format(host=host, port=port, q=q))
        self.client.clear()
        self.invite: Request | None = None

    def read(self) -> list[str]:
        """Return the methods of what has come, and keep the INVITE."""
        received = self.client.received
        self.client.clear()
        for request in received:
            assert isinstance(request, Request)
            if request.method == b"INVITE":
                self.invite = request
        return [request.method.decode() for request in received]

    def act(self, event: str) -> None:
        """Answer the INVITE, or close."""
        if event == "close":
            self.client.flow.close()
        elif self.invite is not None and self.client.flow.is_open:
            tag = b"%d" % self.client.flow.port
            self.client.send(make_response(self.invite, int(event), tag))


class RaceCase(TableCase):
    """Alice calls bob, who has phones named a, b..."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN + FAST)
        self.alice: FakeClient = self.server.client("192.0.2.1", 40000, "tcp")
        self.phones: dict[str, Phone] = {}
        self.number = 0

    def call(self, *preferences: float) -> None:
        """Give bob a phone for each q, and call him."""
        self.number += 1
        for name, q in zip("abc", preferences, strict=False):
            host = f"192.0.2.1{ord(name)}"
            self.phones[name] = Phone(self.server, host, 1024 + self.number, q)
        self.send("INVITE")
        self.seen()

    def send(self, method: str) -> None:
        """Let alice send a request of the call."""
        self.alice.send(CALL.format(method=method, number=self.number))

    def seen(self) -> list[str]:
        """Return what alice and the phones have received since this was asked last."""
        received = self.alice.received
        self.alice.clear()
        found = []
        for response in received:
            assert isinstance(response, Response)
            is_ok = response.cseq.method == b"CANCEL" and response.status == 200
            found.append("ok" if is_ok else str(response.status))
        for name, phone in self.phones.items():
            found += [f"{name}.{method}" for method in phone.read()]
        return found

    def happen(self, event: str) -> list[str]:
        """Let a step happen; return what it causes."""
        if event == "cancel":
            self.send("CANCEL")
        elif event in SECONDS:
            self.server.clock.advance(SECONDS[event])
        else:
            self.phones[event[0]].act(event[1:])
        return self.seen()

    def plays(self, text: str) -> None:
        """Check each step of a row."""
        for step in text.split("; "):
            event, _, effects = step.partition(" >")
            self.assertEqual(self.happen(event.strip()), effects.split(), step)

    def ends_well(self, order: Iterable[str], *preferences: float) -> None:
        """Check that one outcome comes of a call, each CANCEL at its time, and nothing is left."""
        self.call(*preferences)
        log: list[str] = []
        for event in order:
            log += [event, *self.happen(event)]
        log += self.happen("wait")
        self.has_one_outcome(log)
        for name, phone in self.phones.items():
            self.is_cancelled_in_time(name, log)
            phone.act("close")
        self.assertEqual(len(self.server.node.layer), 0, log)

    def has_one_outcome(self, log: list[str]) -> None:
        """Check what alice has received."""
        finals = [entry for entry in log if entry.isdigit() and entry >= "200"]
        if "481" in finals:  # the call had ended so long ago that nothing is known of it
            finals.remove("481")
            self.assertIn("ring", log[: log.index("cancel")], log)
        else:
            self.assertEqual(log.count("ok"), 1, log)
        self.assertTrue(len(finals) == 1 or set(finals) == {"200"}, log)

    def is_cancelled_in_time(self, name: str, log: list[str]) -> None:
        """Check that a phone has a CANCEL after its 1xx, before its final answer, once, or none."""
        cancel = f"{name}.CANCEL"
        self.assertLessEqual(log.count(cancel), 1, log)
        if cancel in log:
            before = set(log[: log.index(cancel)])
            self.assertIn(f"{name}180", before, log)
            self.assertFalse({f"{name}200", f"{name}486", f"{name}close"} & before, log)


class OneBranchTest(RaceCase):
    """One phone."""

    @rfc(3261, "9.1", "a CANCEL waits for a provisional response")
    @rfc(3261, "9.2", "a CANCEL after the final response does nothing")
    @rfc(3261, "16.7 step 5", "one final response goes upstream, or 2xx to an INVITE alone")
    @rfc(3261, "16.8", "when Timer C fires a branch that has said something is cancelled")
    @rfc(3261, "16.10", "a CANCEL is answered 200 at once, and goes to every pending branch")
    @rows(
        {
            "2xx": "a200 > 200",
            "1xx, 2xx": "a180 > 180; a183 > 183; a200 > 200",
            "1xx, non-2xx": "a180 > 180; a486 > 486 a.ACK",
            "100, 2xx": "a100 >; a200 > 200",
            "2xx, 2xx": "a200 > 200; a200 > 200",
            "2xx, then what is late": "a200 > 200; a180 >; a486 >; aclose >",
            "non-2xx, then what is late": "a486 > 486 a.ACK; a180 >; a200 >; aclose >",
            "silence": "wait > 408",
            "silence, 2xx": "wait > 408; a200 >",
            "failure": "aclose > 500",
            "1xx, failure": "a180 > 180; aclose > 500",
            "CANCEL, 1xx, 487": "cancel > ok; a180 > 180 a.CANCEL; a487 > 487 a.ACK",
            "CANCEL, 100, 487": "cancel > ok; a100 > a.CANCEL; a487 > 487 a.ACK",
            "CANCEL, 1xx, 2xx": "cancel > ok; a180 > 180 a.CANCEL; a200 > 200",
            "CANCEL, 2xx": "cancel > ok; a200 > 200",
            "CANCEL, non-2xx": "cancel > ok; a486 > 486 a.ACK",
            "CANCEL, silence": "cancel > ok; wait > 487",
            "CANCEL, failure": "cancel > ok; aclose > 487",
            "1xx, CANCEL, 487": "a180 > 180; cancel > ok a.CANCEL; a487 > 487 a.ACK",
            "1xx, CANCEL, 2xx": "a180 > 180; cancel > ok a.CANCEL; a200 > 200",
            "1xx, CANCEL, non-2xx": "a180 > 180; cancel > ok a.CANCEL; a486 > 486 a.ACK",
            "1xx, CANCEL, 1xx": "a180 > 180; cancel > ok a.CANCEL; a183 > 183; a487 > 487 a.ACK",
            "1xx, CANCEL, silence": "a180 > 180; cancel > ok a.CANCEL; wait > 487; a200 >",
            "1xx, CANCEL, failure": "a180 > 180; cancel > ok a.CANCEL; aclose > 487",
            "2xx, CANCEL": "a200 > 200; cancel > ok; a200 > 200",
            "non-2xx, CANCEL": "a486 > 486 a.ACK; cancel > ok",
            "Timer C, 487": "a180 > 180; ring > a.CANCEL; a487 > 408 a.ACK",
            "100, Timer C, 487": "a100 >; ring > a.CANCEL; a487 > 408 a.ACK",
            "Timer C, 2xx": "a180 > 180; ring > a.CANCEL; a200 > 200",
            "Timer C, non-2xx": "a180 > 180; ring > a.CANCEL; a486 > 486 a.ACK",
            "Timer C, silence": "a180 > 180; ring > a.CANCEL; wait > 408; a200 >",
            "Timer C, failure": "a180 > 180; ring > a.CANCEL; aclose > 408",
            "Timer C, CANCEL, 487": "a180 > 180; ring > a.CANCEL; cancel > ok; a487 > 487 a.ACK",
            "CANCEL, Timer C": "a180 > 180; cancel > ok a.CANCEL; ring > 487",
            "1xx begins Timer C again": (
                "a180 > 180; almost >; a180 > 180; almost >; wait > a.CANCEL; a487 > 408 a.ACK"
            ),
        }
    )
    def test_order(self, steps: str) -> None:
        self.call(1.0)
        self.plays(steps)

    @rfc(3261, "16.7 step 5", "one final response goes upstream, or 2xx to an INVITE alone")
    @rfc(3261, "16.7 step 6", "a final response goes upstream when every branch has ended")
    def test_every_order(self) -> None:
        for order in permutations(("a180", "a200", "a486", "aclose", "cancel", "ring")):
            self.ends_well(order, 1.0)


class TwoBranchesTest(RaceCase):
    """Two phones at once."""

    @rfc(3261, "16.7 step 5", "any further 2xx to an INVITE is forwarded immediately")
    @rfc(3261, "16.7 step 5", "a 6xx waits for the branches that are left, and no new one begins")
    @rfc(3261, "16.7 step 6", "a final response goes upstream when every branch has ended")
    @rfc(3261, "16.7 step 10", "a final response or a 6xx cancels the branches that are pending")
    @rfc(3261, "16.10", "a CANCEL is answered 200 at once, and goes to every pending branch")
    @rows(
        {
            "2xx, the other rings": "b180 > 180; a200 > 200 b.CANCEL; b487 > b.ACK",
            "2xx, the other is silent": "a200 > 200; b180 > b.CANCEL; b487 > b.ACK",
            "2xx, the other stays silent": "a200 > 200; wait >; b200 >",
            "2xx twice": "b180 > 180; a200 > 200 b.CANCEL; b200 > 200",
            "2xx twice, without a 1xx": "a200 > 200; b200 > 200",
            "2xx, the other fails": "b180 > 180; a200 > 200 b.CANCEL; bclose >",
            "2xx, CANCEL": "b180 > 180; a200 > 200 b.CANCEL; cancel > ok; b487 > b.ACK",
            "non-2xx, 2xx": "a486 > a.ACK; b180 > 180; b200 > 200",
            "non-2xx, non-2xx": "a486 > a.ACK; b404 > 486 b.ACK",
            "non-2xx, failure": "a486 > a.ACK; bclose > 486",
            "failure, non-2xx": "aclose >; b486 > 486 b.ACK",
            "failure, 2xx": "aclose >; b200 > 200",
            "failure, failure": "aclose >; bclose > 500",
            "503, non-2xx": "a503 > a.ACK; b486 > 486 b.ACK",
            "503, 503": "a503 > a.ACK; b503 > 500 b.ACK",
            "redirection, non-2xx": "a486 > a.ACK; b302 > 302 b.ACK",
            "silence, 2xx": "a180 > 180; wait >; a200 > 200",
            "non-2xx, silence": "a486 > a.ACK; wait > 486",
            "6xx, 487": "b180 > 180; a603 > a.ACK b.CANCEL; b487 > 603 b.ACK",
            "6xx, 2xx": "b180 > 180; a603 > a.ACK b.CANCEL; b200 > 200",
            "6xx, 1xx, 487": "a603 > a.ACK; b180 > 180 b.CANCEL; b487 > 603 b.ACK",
            "6xx, 2xx without a 1xx": "a603 > a.ACK; b200 > 200",
            "6xx, silence": "b180 > 180; a603 > a.ACK b.CANCEL; wait > 603",
            "6xx, failure": "b180 > 180; a603 > a.ACK b.CANCEL; bclose > 603",
            "6xx, CANCEL": "b180 > 180; a603 > a.ACK b.CANCEL; cancel > ok; b487 > 603 b.ACK",
            "CANCEL, both ring": (
                "a180 > 180; b180 > 180; cancel > ok a.CANCEL b.CANCEL; a487 > a.ACK; "
                "b487 > 487 b.ACK"
            ),
            "CANCEL, one rings": (
                "a180 > 180; cancel > ok a.CANCEL; a487 > a.ACK; b180 > 180 b.CANCEL; "
                "b487 > 487 b.ACK"
            ),
            "CANCEL, 2xx": (
                "a180 > 180; b180 > 180; cancel > ok a.CANCEL b.CANCEL; a200 > 200; b487 > b.ACK"
            ),
            "CANCEL, 2xx twice": (
                "a180 > 180; b180 > 180; cancel > ok a.CANCEL b.CANCEL; a200 > 200; b200 > 200"
            ),
            "CANCEL, 6xx": "a180 > 180; cancel > ok a.CANCEL; a603 > a.ACK; b487 > 603 b.ACK",
            "CANCEL, failure": "a180 > 180; cancel > ok a.CANCEL; aclose >; b487 > 487 b.ACK",
            "CANCEL, silence": "a180 > 180; b180 > 180; cancel > ok a.CANCEL b.CANCEL; wait > 487",
            "Timer C, both ring": (
                "a180 > 180; b180 > 180; ring > a.CANCEL b.CANCEL; a487 > a.ACK; b487 > 408 b.ACK"
            ),
            "Timer C, 2xx": (
                "a180 > 180; b180 > 180; ring > a.CANCEL b.CANCEL; a487 > a.ACK; b200 > 200"
            ),
            "Timer C, non-2xx": (
                "a180 > 180; b180 > 180; ring > a.CANCEL b.CANCEL; a487 > a.ACK; b486 > 486 b.ACK"
            ),
        }
    )
    def test_order(self, steps: str) -> None:
        self.call(1.0, 1.0)
        self.plays(steps)

    @rfc(3261, "16.7 step 5", "one final response goes upstream, or 2xx to an INVITE alone")
    @rfc(3261, "16.7 step 6", "a final response goes upstream when every branch has ended")
    def test_every_order(self) -> None:
        for last in ("b200", "bclose"):
            for order in permutations(("a180", "a200", "b180", "b486", "cancel", last)):
                self.ends_well(order, 1.0, 1.0)


class InTurnTest(RaceCase):
    """A second phone when the first has ended."""

    @rfc(3261, "16.6", "targets of one q are tried at once, those of a lower one after them")
    @rfc(3261, "16.7 step 5", "a 6xx waits for the branches that are left, and no new one begins")
    @rows(
        {
            "non-2xx": "a486 > a.ACK b.INVITE; b200 > 200",
            "failure": "aclose > b.INVITE; b486 > 486 b.ACK",
            "2xx": "a200 > 200; wait >",
            "6xx": "a603 > 603 a.ACK; wait >",
            "too long, 487": "a180 > 180; next > a.CANCEL; a487 > a.ACK b.INVITE; b486 > 486 b.ACK",
            "too long, 2xx": "a180 > 180; next > a.CANCEL; a200 > 200; wait >",
            "too long, 1xx": "next >; a180 > 180 a.CANCEL; a487 > a.ACK b.INVITE; b200 > 200",
            "too long, silence": "a180 > 180; next > a.CANCEL; wait > b.INVITE",
            "CANCEL, 487": "a180 > 180; cancel > ok a.CANCEL; a487 > 487 a.ACK; wait >",
            "CANCEL, silence": "cancel > ok; wait > 487",
            "CANCEL of the second": (
                "a486 > a.ACK b.INVITE; b180 > 180; cancel > ok b.CANCEL; b487 > 486 b.ACK"
            ),
        }
    )
    def test_order(self, steps: str) -> None:
        self.call(0.9, 0.1)
        self.plays(steps)


@implementer(IResponseFilter)
class NoRinging:
    """A response filter with a bug, which 180 meets."""

    def response(self, response: Response, request: Request) -> None:
        """Let all else pass."""
        if response.status == 180:
            raise KeyError("x")


class FilteredTest(RaceCase):
    """What a broken response filter does to a call: nobody knows what it was to hide."""

    @rows(
        {
            "answered": "a180 >; a183 > 183; a200 > 200",
            "refused": "a180 >; a486 > 486 a.ACK",
            "cancelled": "a180 >; cancel > ok a.CANCEL; a487 > 487 a.ACK",
        }
    )
    def test_a_180_is_dropped(self, steps: str) -> None:
        self.server.node.core.response_filters.append(NoRinging())
        self.call(1)
        self.plays(steps)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
