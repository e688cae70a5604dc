"""PUBLISHes for one resource happen in the order of their arrival (RFC 3903 §6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.interfaces.turns import Turns
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Response
from tests.events.publishing import Bench
from tests.registrar.fakes import ALICE
from tests.rfc import rfc

A, B = b"a@example.test", b"b@example.test"


class TurnsTest(SynchronousTestCase):
    """Who acts when."""

    def setUp(self) -> None:
        self.turns = Turns()
        self.log: list[str] = []

    def act(self, name: str, result: Any = None) -> Callable[[], Any]:
        """Return something to do, which notes that it was done."""

        def act() -> Any:
            self.log.append(name)
            if isinstance(result, Exception):
                raise result
            return result

        return act

    def test_nobody_waits_for_nothing(self) -> None:
        self.assertEqual(self.turns.take(A, self.act("one", 7)), 7)
        self.assertRaises(SipError, self.turns.take, A, self.act("two", SipError(400)))
        self.assertEqual((self.log, len(self.turns)), (["one", "two"], 0))

    def test_in_turn(self) -> None:
        first: Deferred[int] = Deferred()
        third: Deferred[int] = Deferred()
        results = [
            self.turns.take(A, self.act("first", first)),
            self.turns.take(A, self.act("second", 2)),
            self.turns.take(A, self.act("third", third)),
            self.turns.take(A, self.act("fourth", 4)),
        ]
        self.turns.take(B, self.act("another's"))
        self.assertEqual(self.log, ["first", "another's"])
        first.callback(1)
        self.assertEqual(self.log, ["first", "another's", "second", "third"])
        third.callback(3)
        self.assertEqual([self.successResultOf(result) for result in results], [1, 2, 3, 4])
        self.assertEqual(len(self.turns), 0)

    def test_failures_hold_up_nobody(self) -> None:
        first: Deferred[int] = Deferred()
        failing = [
            self.turns.take(A, self.act("first", first)),
            self.turns.take(A, self.act("second", SipError(400))),
        ]
        last = self.turns.take(A, self.act("third", 3))
        first.errback(SipError(504))
        statuses = [self.failureResultOf(one, SipError).value.status for one in failing]
        self.assertEqual((statuses, self.successResultOf(last)), ([504, 400], 3))
        self.assertEqual(len(self.turns), 0)

    def test_too_many(self) -> None:
        first: Deferred[int] = Deferred()
        self.turns.take(A, self.act("first", first))
        for name in ("second", "third", "fourth"):
            self.turns.take(A, self.act(name), 3)
        error = self.assertRaises(SipError, self.turns.take, A, self.act("fifth"), 3)
        self.assertEqual((error.status, error.headers), (503, ((b"Retry-After", b"10"),)))
        self.turns.take(A, self.act("operator"))
        first.callback(1)
        self.assertEqual(self.log, ["first", "second", "third", "fourth", "operator"])

    def test_a_long_line_is_no_deep_stack(self) -> None:
        self.turns = Turns()
        first: Deferred[int] = Deferred()
        self.turns.take(A, self.act("first", first))
        for number in range(5000):
            self.turns.take(A, self.act(str(number)))
        first.callback(1)
        self.assertEqual(self.log, ["first", *map(str, range(5000))])
        self.assertEqual(len(self.turns), 0)

    def test_a_result_that_is_there_already(self) -> None:
        first: Deferred[int] = Deferred()
        first.callback(1)
        self.assertEqual(self.successResultOf(self.turns.take(A, self.act("first", first))), 1)
        self.assertEqual(len(self.turns), 0)


@rfc(3903, "6", "PUBLISHes to one Request-URI are processed in the order that they came")
class OrderTest(SynchronousTestCase):
    """Races on one resource, where finding out whether it exists takes time."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.answers: list[Deferred[bool]] = []
        self.bench.colour.exists = self.ask  # type: ignore[method-assign]

    def ask(self, resource: bytes) -> Deferred[bool]:
        """Answer later."""
        self.answers.append(Deferred())
        return self.answers[-1]

    def tag_of(self, transaction: Any) -> str:
        """Return the entity-tag of a 200."""
        (response,) = transaction.responses
        assert isinstance(response, Response) and response.status == 200
        return (response.value(b"sip-etag") or b"").decode()

    def publish(self, *arguments: str, **headers: str) -> Any:
        """Send a PUBLISH that waits."""
        return self.bench.start(self.bench.request(*arguments, **headers))

    def test_both_are_kept(self) -> None:
        one, two = self.publish("red"), self.publish("blue")
        self.assertEqual(len(self.answers), 1)
        for _ in range(2):
            self.answers[-1].callback(True)
        self.assertEqual(self.bench.state(), [("RED", 3600), ("BLUE", 3600)])
        self.assertNotEqual(self.tag_of(one), self.tag_of(two))

    def test_one_tag_is_good_once(self) -> None:
        first = self.publish("red")
        self.answers[-1].callback(True)
        tag = self.tag_of(first)
        changing, removing = self.publish("blue", tag), self.publish("", tag, Expires="0")
        for _ in range(2):
            self.answers[-1].callback(True)
        self.tag_of(changing)
        self.assertEqual([error.status for error in removing.responses], [412])
        self.assertEqual(self.bench.state(), [("BLUE", 3600)])

    def test_the_last_to_come_is_the_last(self) -> None:
        """A slow look-up for the first must not let the second be overwritten by it."""
        first = self.publish("red")
        self.answers[-1].callback(True)
        tag = self.tag_of(first)
        self.publish("blue", tag)
        last = self.publish("", tag, Expires="0")
        self.publish("green")
        for _ in range(3):
            self.answers[-1].callback(True)
        self.assertEqual([error.status for error in last.responses], [412])
        self.assertEqual([colour for colour, _ in self.bench.state()], ["BLUE", "GREEN"])

    @rfc(3903, "6", "a PUBLISH is processed completely or not at all")
    def test_a_failure_keeps_nothing(self) -> None:
        first, second = self.publish("red"), self.publish("blue")
        self.answers[0].errback(SipError(504))
        self.answers[1].callback(True)
        self.assertEqual([error.status for error in first.responses], [504])
        self.tag_of(second)
        self.assertEqual(self.bench.state(), [("BLUE", 3600)])

    def test_nobody_there(self) -> None:
        first = self.publish("red")
        self.answers[0].callback(False)
        self.assertEqual([error.status for error in first.responses], [404])
        self.assertEqual(self.bench.table.of(b"colour", ALICE), ())

    def test_too_late_to_be_answered(self) -> None:
        """Nobody would learn the entity-tag: the publication could not be removed any more."""
        first = self.publish("red")
        first.is_answered = True
        self.answers[0].callback(True)
        self.assertEqual((first.responses, self.bench.state()), ([], []))
