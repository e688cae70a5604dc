"""Random REGISTERs against a simple model of RFC 3261 §10.3."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.errors import SipError
from tests.registrar.fakes import Bench
from tests.rfc import rfc

MINIMUM, DEFAULT, MAXIMUM, MOST = 60, 600, 1200, 3


@dataclass(frozen=True)
class Ask:
    """A REGISTER: contacts by number with the expiry each asks for (None: nothing)."""

    contacts: tuple[tuple[int, int | None], ...]
    star: bool
    expires: int | None
    call_id: int
    cseq: int
    wait: int  # seconds before it


@dataclass
class Model:
    """The bindings as §10.3 has them: contact to (ends at, Call-ID, CSeq)."""

    now: int = 0
    bindings: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def current(self) -> dict[int, tuple[int, int, int]]:
        """Return what has not expired."""
        return {c: bound for c, bound in self.bindings.items() if bound[0] > self.now}

    def ask(self, ask: Ask) -> int:
        """Follow steps 6 to 8 and return the status."""
        self.now += ask.wait
        before = self.current()
        if ask.star:
            return self._star(ask, before)
        after, touched = dict(before), set()
        asked = [
            (contact, next(s for s in (wanted, ask.expires, DEFAULT) if s is not None))
            for contact, wanted in ask.contacts
        ]
        if any(0 < seconds < MINIMUM for _, seconds in asked):
            return 423
        for contact, seconds in asked:
            if contact not in touched and self._is_old(ask, before.get(contact)):
                return 500
            touched.add(contact)
            after.pop(contact, None)
            if seconds:
                ends = self.now + min(seconds, MAXIMUM)
                after[contact] = (ends, ask.call_id, ask.cseq)
        if len(after) > max(MOST, len(before)):
            return 403
        self.bindings = after
        return 200

    def _star(self, ask: Ask, before: dict[int, tuple[int, int, int]]) -> int:
        if ask.contacts or ask.expires != 0:
            return 400
        if any(self._is_old(ask, bound) for bound in before.values()):
            return 500
        self.bindings = {}
        return 200

    def _is_old(self, ask: Ask, bound: tuple[int, int, int] | None) -> bool:
        return bound is not None and bound[1] == ask.call_id and ask.cseq <= bound[2]


_seconds = st.sampled_from([None, 0, 1, MINIMUM - 1, MINIMUM, 300, MAXIMUM, MAXIMUM + 1])
_asks = st.builds(
    Ask,
    contacts=st.lists(st.tuples(st.integers(1, 4), _seconds), max_size=4).map(tuple),
    star=st.sampled_from([False, False, False, True]),
    expires=_seconds,
    call_id=st.integers(1, 2),
    cseq=st.integers(1, 6),
    wait=st.sampled_from([0, 0, 1, 59, 60, 301]),
)


@rfc(3261, "10.3", "REGISTERs are processed in their order, each as a whole")
class ModelTest(SynchronousTestCase):
    """The registrar does what the model does."""

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.lists(_asks, max_size=12))
    def test_same(self, asks: list[Ask]) -> None:
        bench = Bench(
            min_expires=MINIMUM,
            default_expires=DEFAULT,
            max_expires=MAXIMUM,
            max_bindings=MOST,
        )
        model = Model()
        for ask in asks:
            bench.host.clock.advance(ask.wait)
            self.assertEqual(self.status(bench, ask), model.ask(ask), ask)
            left = {f"sip:{c}@h.test": b[0] - model.now for c, b in model.current().items()}
            self.assertEqual(bench.contacts(), left)

    def status(self, bench: Bench, ask: Ask) -> int:
        """Send a REGISTER and return what becomes of it."""
        contacts = [
            f"<sip:{contact}@h.test>" + ("" if wanted is None else f";expires={wanted}")
            for contact, wanted in ask.contacts
        ]
        if ask.star:
            contacts.append("*")
        try:
            return bench.register(
                *contacts,
                Expires="" if ask.expires is None else str(ask.expires),
                Call_ID=str(ask.call_id),
                CSeq=f"{ask.cseq} REGISTER",
            ).status
        except SipError as error:
            return error.status
