"""Random PUBLISHes against a simple model of RFC 3903 §6."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.interfaces import Sender
from sipproxy.sip.errors import SipError
from tests.events.publishing import Bench, Flow
from tests.rfc import rfc

MINIMUM, DEFAULT, MAXIMUM, MOST, OCTETS = 60, 600, 1200, 3, 16
USERS = ("alice", "bob")


@dataclass(frozen=True)
class Ask:
    """A PUBLISH; ``tag`` is the number of an answer before it, -1 for a tag of nobody's."""

    user: str
    package: str
    body: str
    tag: int | None
    expires: int | None
    connection: int | None  # by which it comes; None: by UDP
    closing: bool  # whether this connection closes right after it
    wait: int  # seconds before it


@dataclass
class State:
    """One publication of the model."""

    body: str
    ends: int
    connection: int | None
    tag: int


@dataclass
class Model:
    """The publications by user and package, in the order of their last change."""

    now: int = 0
    answers: int = 0
    states: dict[tuple[str, str], list[State]] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)  # whose watchers have to hear of it
    expired: set[tuple[str, str]] = field(default_factory=set)  # whose may, with the next tick
    closed: set[int] = field(default_factory=set)

    def pass_time(self, seconds: int) -> None:
        """Let what expires expire."""
        self.now += seconds
        self.told.clear()
        for where, states in self.states.items():
            left = [state for state in states if state.ends > self.now]
            if left != states:
                self.states[where] = left
                self.expired.add(where)

    def ask(self, ask: Ask) -> int:
        """Follow the steps and return the status."""
        where = (ask.user, ask.package)
        states = self.states.setdefault(where, [])
        known = next((state for state in states if state.tag == ask.tag), None)
        if ask.tag is not None and known is None:
            return 412
        seconds = DEFAULT if ask.expires is None else ask.expires
        if 0 < seconds < MINIMUM:
            return 423
        if ask.body == "none" or (not ask.body and known is None):
            return 400
        if not seconds:
            if known is not None:
                states.remove(known)
                self.told.add(where)
        elif ask.body:
            others = [state for state in states if state is not known]
            if known is None and len(others) >= MOST:
                return 403
            if len(ask.body) + sum(len(state.body) for state in others) > OCTETS:
                return 413
            self.told.add(where)
            states[:] = [*others, self.state(ask, ask.body, seconds)]
        else:
            assert known is not None
            if known.connection in self.closed:
                self.told.add(where)
            states[states.index(known)] = self.state(ask, known.body, seconds)
        self.answers += 1
        return 200

    def state(self, ask: Ask, body: str, seconds: int) -> State:
        """Return what is kept of a request that is being answered."""
        return State(body, self.now + min(seconds, MAXIMUM), ask.connection, self.answers)

    def close(self, connection: int) -> None:
        """Let a connection end."""
        self.closed.add(connection)
        for where, states in self.states.items():
            if any(state.connection == connection for state in states):
                self.told.add(where)


_seconds = st.sampled_from([None, None, None, 0, 1, MINIMUM - 1, MINIMUM, 300, MAXIMUM + 1])
_asks = st.builds(
    Ask,
    user=st.sampled_from(USERS),
    package=st.sampled_from(["colour", "shape"]),
    body=st.sampled_from(["", "", "red", "blue", "none", "x" * 9]),
    tag=st.one_of(st.none(), st.integers(-1, 8)),
    expires=_seconds,
    connection=st.sampled_from([None, 1, 2, 3]),
    closing=st.sampled_from([False, False, False, True]),
    wait=st.sampled_from([0, 0, 1, 59, 60, 301]),
)


@rfc(3903, "6", "a PUBLISH is processed completely or not at all")
class ModelTest(SynchronousTestCase):
    """The compositor does what the model does."""

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(_asks, max_size=15))
    def test_same(self, asks: list[Ask]) -> None:
        bench = Bench(
            min_publication=MINIMUM,
            default_publication=DEFAULT,
            max_publication=MAXIMUM,
            publications=MOST,
            publication_bytes=OCTETS,
        )
        model, tags = Model(), dict.fromkeys(range(-1, 9), "nobody's")
        flows = {number: Flow(reliable=True) for number in (1, 2, 3)}
        for ask in asks:
            if ask.connection in model.closed:
                continue
            bench.host.clock.advance(ask.wait)
            bench.changes.clear()
            model.pass_time(ask.wait)
            number = model.answers
            status, tag = self.ask(bench, ask, tags, flows)
            self.assertEqual(status, model.ask(ask), ask)
            if status == 200:
                self.assertNotIn(tag, tags.values())
                tags[number] = tag
            if ask.closing and ask.connection is not None:
                flows[ask.connection].close()
                model.close(ask.connection)
            self.check(bench, model)

    def ask(
        self, bench: Bench, ask: Ask, tags: dict[int, str], flows: dict[int, Flow]
    ) -> tuple[int, str]:
        """Send a PUBLISH, and return what becomes of it."""
        aor = f"{ask.user}@example.test"
        try:
            tag = bench.tag(
                ask.body,
                "" if ask.tag is None else tags[ask.tag],
                flow=None if ask.connection is None else flows[ask.connection],
                sender=Sender(aor.encode(), is_user=True),
                uri=f"sip:{aor}",
                Event=ask.package,
                Expires="" if ask.expires is None else str(ask.expires),
            )
        except SipError as error:
            return error.status, ""
        return 200, tag

    def check(self, bench: Bench, model: Model) -> None:
        """Compare what there is, what is stale, and whose watchers were told of the last step."""
        now = round(bench.host.now())
        for (user, package), states in model.states.items():
            found = bench.table.of(package.encode(), f"{user}@example.test".encode())
            self.assertEqual(
                [(p.data.decode(), round(p.expires_at) - now, p.is_stale) for p in found],
                [(s.body, s.ends - model.now, s.connection in model.closed) for s in states],
            )
        told = {(aor.decode().partition("@")[0], name.decode()) for name, aor in bench.changes}
        self.assertLessEqual(model.told, told)
        self.assertLessEqual(told, model.told | model.expired)
