"""Random registrations: whatever happens, in whatever order each watcher is told of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.interfaces import DEACTIVATED, Ending
from sipproxy.sip.errors import SipError
from tests.documents import canonical
from tests.events.watching import Subscriber
from tests.reg.fakes import INSTANCE, RegBench
from tests.registrar.fakes import ALICE, Flow
from tests.rfc import rfc

URIS = ("sip:a@192.0.2.1", "sip:%61@192.0.2.1", "sip:a@192.0.2.1;x=1", "sip:b@192.0.2.2")
_asks = st.tuples(
    st.just("register"),
    st.sampled_from(URIS),
    st.sampled_from(("", f";{INSTANCE}", f";{INSTANCE};reg-id=1", f";{INSTANCE};reg-id=2")),
    st.sampled_from((0, 60, 600)),
    st.integers(1, 2),
)
_steps = st.lists(
    st.one_of(
        *[_asks] * 8,
        st.tuples(st.just("hear"), st.integers(0, 2)),
        st.tuples(st.just("refresh"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.sampled_from((1, 5, 45))),
        st.tuples(st.just("close"), st.integers(0, 1)),
        st.tuples(st.just("remove"), st.sampled_from((DEACTIVATED, Ending(b"probation", 9)))),
        st.tuples(st.just("shorten"), st.integers(5, 50)),
    ),
    min_size=20,
    max_size=40,
)


class SequenceTest(SynchronousTestCase):
    """Two devices of alice's watch, and an application."""

    @rfc(3680, "5.1", "versions start at 0 and rise by one with each document")
    @rfc(3680, "5.2", "partial documents in their order make the full state")
    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(_steps)
    def test_documents_add_up(self, steps: list[tuple[str, ...]]) -> None:
        self.bench = RegBench()
        self.flows = [Flow(reliable=True), Flow(reliable=True)]
        self.watchers = [
            self.bench.subscriber(),
            self.bench.application(),
            self.bench.subscriber(),
        ]
        for name, *arguments in steps:
            getattr(self, f"_{name}")(*arguments)
        for watcher, fresh in zip(
            self.watchers, (self.bench.subscriber(), self.bench.application()), strict=False
        ):
            watcher.hear()
            self.assertEqual(shown(watcher), shown(fresh))
            self._check(watcher)

    def _register(self, uri: str, params: str, seconds: int, number: int) -> None:
        flow = self.flows[number - 1]
        if not flow.is_open:
            flow = self.flows[number - 1] = Flow(reliable=True)
        contact = f"<{uri}>{params};expires={seconds}"
        try:
            supported = "outbound, path, gruu"
            self.bench.register(contact, flow=flow, Call_ID=f"{number}", Supported=supported)
        except SipError as error:
            self.assertEqual(error.status, 500)  # the Call-IDs share a counter: never out of order
            raise

    def _hear(self, number: int) -> None:
        self.watchers[number].hear()

    def _refresh(self, number: int) -> None:
        self.watchers[number].refresh()

    def _wait(self, seconds: int) -> None:
        self.bench.host.advance(seconds)

    def _close(self, number: int) -> None:
        self.flows[number].close()

    def _remove(self, ending: Ending) -> None:
        bindings = self.bench.host.location.bindings(ALICE)
        self.bench.host.location.commit(ALICE, bindings[1:], ending)

    def _shorten(self, seconds: int) -> None:
        until = self.bench.host.now() + seconds
        bindings = self.bench.host.location.bindings(ALICE)
        shortened = [binding.shortened(until) for binding in bindings[:1]]
        self.bench.host.location.commit(ALICE, [*shortened, *bindings[1:]])

    def _check(self, watcher: Subscriber) -> None:
        """The states of the registration fit together, and ends are of what was known."""
        active: set[str] = set()
        for document in watcher.read:
            registration = document[0]
            is_full = document.get("state") == "full"
            self.assertTrue(is_full or len(registration), "a partial document says something")
            for contact in registration:
                name = contact.get("id", "")
                if contact.get("state") == "terminated":
                    self.assertIn(name, active)
            ended = {c.get("id", "") for c in registration if c.get("state") == "terminated"}
            named = {c.get("id", "") for c in registration} - ended
            active = named if is_full else (active | named) - ended
            expected = "active" if active else "terminated" if ended else "init"
            self.assertEqual(registration.get("state"), expected)


def shown(watcher: Subscriber) -> dict[str, bytes]:
    """Return what a watcher knows of each contact, but for the time."""
    found = {}
    for name, row in watcher.rows.items():
        copy = etree.fromstring(etree.tostring(row))
        for attribute in ("duration-registered", "expires"):
            copy.attrib.pop(attribute, None)
        found[name] = canonical(copy)
    return found
