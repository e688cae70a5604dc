"""``[store] durable = true``: a REGISTER counts, and is answered, when it is on disk."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.interfaces import REJECTED
from sipproxy.sip.errors import SipError
from tests.registrar.fakes import ALICE, Bench, Flow, SlowStore, Transaction
from tests.rfc import rfc

ONE, TWO, THREE = (f"<sip:alice@192.0.2.{number}>" for number in (1, 2, 3))


class DurableCase(SynchronousTestCase):
    """A registrar whose store takes its time."""

    def setUp(self) -> None:
        self.bench = Bench(SlowStore(), max_waiting=3)
        self.host = self.bench.host
        self.store = self.bench.host.store
        self.changed: list[bytes] = []
        self.host.location.watch(self.changed.append)

    def send(self, *contacts: str, flow: Flow | None = None, **headers: str) -> Waiting:
        """Send a REGISTER of alice's."""
        return Waiting(self.bench, contacts, flow, headers)

    def registered(self, *contacts: str) -> None:
        """Register what is there before the test begins."""
        self.send(*contacts)
        self.store.settle()
        self.changed.clear()

    @property
    def known(self) -> list[str]:
        """Return alice's contacts as they count."""
        return sorted(f"<{uri}>" for uri in self.bench.contacts())

    @property
    def kept(self) -> list[str]:
        """Return her contacts as the store has them."""
        records = dict(self.store.load("bindings"))
        if ALICE not in records:
            return []
        return sorted(f"<{one.uri.decode()}>" for one in records[ALICE].bindings)


class Waiting:
    """A REGISTER, and what became of it: a status, or None."""

    def __init__(
        self, bench: Bench, contacts: Any, flow: Flow | None, headers: dict[str, str]
    ) -> None:
        self.transaction = Transaction(flow or Flow())
        self.error: SipError | None = None
        try:
            result = bench.pass_on(bench.request(*contacts, **headers), self.transaction)
        except SipError as error:
            self.error = error
        else:
            if result is not None:
                result.addErrback(self._refused)

    def _refused(self, failure: Any) -> None:
        failure.trap(SipError)
        self.error = failure.value

    @property
    def status(self) -> int | None:
        """Return the status of the answer."""
        if self.error is not None:
            return self.error.status
        return self.transaction.responses[0].status if self.transaction.responses else None


class AnswerTests(DurableCase):
    """When it is answered."""

    def test_not_before_it_is_safe(self) -> None:
        asked = self.send(ONE)
        self.assertEqual((asked.status, self.known, self.changed), (None, [], []))
        self.assertEqual(self.kept, [ONE])
        self.store.settle()
        self.assertEqual((asked.status, self.known, self.changed), (200, [ONE], [ALICE]))
        (response,) = asked.transaction.responses
        self.assertEqual(len(response.values(b"contact")), 1)

    def test_who_asks_for_nothing_waits_for_nothing(self) -> None:
        self.registered(ONE)
        self.assertEqual(self.send().status, 200)

    def test_what_is_refused_is_not_written(self) -> None:
        asked = self.send(ONE, TWO, Expires="30")
        self.assertEqual((asked.status, self.kept, self.store.promises), (423, [], []))

    @rfc(3261, "10.3", "a commit that fails is answered 500, and the updates are undone")
    def test_a_disk_that_is_full(self) -> None:
        self.registered(ONE)
        asked = self.send(TWO)
        self.assertEqual(self.kept, [ONE, TWO])
        self.store.fail()
        self.assertEqual(asked.status, 500)
        self.assertEqual((self.known, self.kept, self.changed), ([ONE], [ONE], []))

    def test_the_first_one_fails(self) -> None:
        asked = self.send(ONE)
        self.store.fail()
        self.assertEqual((asked.status, self.known, self.kept), (500, [], []))
        again = self.send(ONE)
        self.store.settle()
        self.assertEqual((again.status, self.known, self.kept), (200, [ONE], [ONE]))

    def test_an_end_that_fails(self) -> None:
        """The phone is still bound, and was told so."""
        self.registered(ONE)
        asked = self.send(f"{ONE};expires=0")
        self.store.fail()
        self.assertEqual((asked.status, self.known, self.kept), (500, [ONE], [ONE]))


class OrderTests(DurableCase):
    """Requests of one user happen in the order in which they came."""

    def test_the_second_builds_on_the_first(self) -> None:
        first, second = self.send(ONE), self.send(TWO)
        self.assertEqual((first.status, second.status, self.kept), (None, None, [ONE]))
        self.store.settle()
        self.assertEqual((first.status, second.status, self.kept), (200, None, [ONE, TWO]))
        self.store.settle()
        self.assertEqual((second.status, self.known), (200, [ONE, TWO]))

    def test_the_second_goes_on_where_the_first_has_failed(self) -> None:
        first, second = self.send(ONE), self.send(TWO)
        self.store.fail()
        self.assertEqual((first.status, second.status), (500, None))
        self.store.settle()
        self.assertEqual((second.status, self.known, self.kept), (200, [TWO], [TWO]))

    def test_who_asks_hears_of_what_was_before(self) -> None:
        first, asked = self.send(ONE), self.send()
        self.assertIsNone(asked.status)
        self.store.settle()
        (response,) = asked.transaction.responses
        self.assertEqual((first.status, len(response.values(b"contact"))), (200, 1))

    def test_no_more_than_may_wait(self) -> None:
        sent = [self.send(ONE) for _ in range(5)]
        self.assertEqual([asked.status for asked in sent], [None, None, None, None, 503])

    def test_an_old_cseq_that_waited(self) -> None:
        first, late = self.send(ONE, CSeq="9 REGISTER"), self.send(ONE, CSeq="8 REGISTER")
        self.store.settle()
        self.assertEqual((first.status, late.status), (200, 500))


class MeanwhileTests(DurableCase):
    """What happens while an update is being written."""

    def test_another_binding_expires(self) -> None:
        self.registered(f"{ONE};expires=60")
        asked = self.send(TWO)
        self.host.advance(61)
        self.assertEqual((self.known, self.kept), ([], [ONE, TWO]))
        self.store.settle()
        self.assertEqual((asked.status, self.known), (200, [TWO]))
        self.host.advance(1)
        self.assertEqual(self.kept, [TWO])

    def test_another_binding_loses_its_flow_and_the_update_fails(self) -> None:
        flow = Flow(reliable=True)
        self.send(ONE, flow=flow)
        self.store.settle()
        asked = self.send(TWO)
        flow.close()
        self.store.fail()
        self.assertEqual((asked.status, self.known, self.kept), (500, [], []))

    def test_an_operator_ends_what_there_was(self) -> None:
        """Who looks at the bindings in turn neither drops what is written nor has it come back."""
        self.registered(ONE)
        location = self.host.location

        def end() -> Any:
            kept = [b for b in location.bindings(ALICE) if b.contact.raw_uri.decode() not in ONE]
            return location.commit(ALICE, kept, REJECTED)

        asked, ended, last = self.send(TWO), location.turns.take(ALICE, end), self.send(THREE)
        for _ in range(3):
            self.store.settle()
        self.successResultOf(ended)
        self.assertEqual((asked.status, last.status), (200, 200))
        self.assertEqual((self.known, self.kept), ([TWO, THREE], [TWO, THREE]))

    def test_an_operator_removes_all(self) -> None:
        self.registered(ONE)
        asked = self.send(TWO)
        removed = self.host.location.commit(ALICE, [], REJECTED)
        self.assertEqual(self.kept, [])
        self.store.settle()
        self.successResultOf(removed)
        self.assertEqual((asked.status, self.known, self.kept), (200, [], []))

    def test_an_operator_removes_all_and_both_fail(self) -> None:
        self.registered(ONE)
        asked = self.send(TWO)
        removed = self.host.location.commit(ALICE, [], REJECTED)
        self.store.fail()
        self.failureResultOf(removed, SipError)
        self.assertEqual((asked.status, self.known, self.kept), (500, [ONE], [ONE]))

    def test_nothing_is_left_of_it(self) -> None:
        """Neither of those who waited nor of what was tentative."""
        self.send(ONE)
        self.send(TWO)
        self.store.settle()
        self.store.fail()
        self.assertEqual(len(self.host.location.turns), 0)
        self.assertEqual(len(self.host.location._ledger), 0)
