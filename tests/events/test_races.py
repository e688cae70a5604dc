"""Whatever comes in whatever order: nothing is raised, and in the end nothing is left."""

from __future__ import annotations

import tempfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK, Verdict
from sipproxy.sip.message import Request, Response
from sipproxy.testing import FakeServer
from tests.events.fakes import BOB, NEWS, Listener, NewsFactory, Phone
from tests.installed import install_also

LONG = 120
EVENTS = "min_expires = 10\nunauthorized = 2\n"
TEXT = NEWS + EVENTS + f"waiting = {LONG}.0\n[plugin.news]\nnotify_interval = 2.0\n"
PHONES = (
    ("alice", "192.0.2.1", "udp"),
    ("alice", "192.0.2.2", "tcp"),
    ("carol", "192.0.2.3", "udp"),
)
CONTACTS = ("", "<sip:x@203.0.113.9>", "<sip:carol@example.test>", "<sip:alice@10.0.0.1>")
STATUSES = (100, 200, 200, 200, 202, 302, 400, 408, 481, 489, 500, 503, 603)
EVENTS_ASKED = ("news", "news;min-rate=0.05", "news;max-rate=0.2", "news;id=1", "news;x=y")

_phone = st.integers(0, len(PHONES) - 1)
_step = st.one_of(
    st.tuples(
        *(st.just("subscribe"), _phone, st.sampled_from((0, 10, 30))),
        *(st.sampled_from(CONTACTS), st.sampled_from(EVENTS_ASKED)),
    ),
    st.tuples(
        *(st.just("ask"), _phone, st.sampled_from((0, 10, 30))),
        *(st.sampled_from(CONTACTS), st.sampled_from((None, "*", "tag"))),
    ),
    st.tuples(st.just("answer"), _phone, st.sampled_from(STATUSES), st.booleans()),
    st.tuples(st.just("change"), st.sampled_from((b"one", b"two", b"three"))),
    st.tuples(
        *(st.just("judge"), st.sampled_from(PHONES), st.sampled_from((ALLOW, BLOCK, CONFIRM))),
        st.booleans(),
    ),
    st.tuples(st.just("polite"), st.sampled_from(PHONES)),
    st.tuples(st.just("wait"), st.sampled_from((0.1, 1.0, 5.0, 12.0, 33.0))),
    st.tuples(st.just("close"), _phone),
    st.tuples(st.just("end"), st.sampled_from((b"noresource", b"probation"))),
)


class World:
    """Three phones, one resource, and what has been seen of each dialog."""

    def __init__(self, factory: NewsFactory) -> None:
        with tempfile.TemporaryDirectory() as directory:
            self.server = FakeServer(directory, TEXT)
        self.news = factory.built
        self.notifier = self.server.node.notifier
        self.listener = Listener()
        self.notifier.listen(self.listener)
        self.phones = [Phone(self.server, *who) for who in PHONES]
        self.elsewhere = self.server.client("203.0.113.9")
        self.seen: dict[tuple[bytes, bytes], tuple[int, bytes]] = {}

    def take(self, name: str, *arguments: Any) -> None:
        """Take a step, and check what came of it."""
        getattr(self, name)(*arguments)
        self.server.clock.advance(0)
        self.check()

    def subscribe(self, which: int, expires: int, contact: str, event: str) -> None:
        """Begin a subscription."""
        phone = self.phones[which]
        phone.call += 1
        phone.tag, phone.contact = "", "sip:bob@example.test"
        self.send(phone, expires, contact, Event=event)

    def ask(self, which: int, expires: int, contact: str, condition: str | None) -> None:
        """Send a SUBSCRIBE in the dialog that there is, or was."""
        known = {} if condition is None else {"Suppress-If-Match": condition}
        if condition == "tag":
            tags = [m.value(b"sip-etag") for m in self.phones[which].received]
            known = {"Suppress-If-Match": next((t.decode() for t in tags if t), "none")}
        self.send(self.phones[which], expires, contact, **known)

    def send(self, phone: Phone, expires: int, contact: str, **headers: str) -> None:
        """Send a SUBSCRIBE: a 200 is followed by its NOTIFY."""
        if not phone.client.flow.is_open:
            return
        headers |= {"Contact": contact} if contact else {}
        sent = len(phone.client.flow.sent) + len(self.elsewhere.flow.sent)
        phone.client.send(phone.request(expires, **headers))
        came = [m for m in phone.received if m.cseq.method == b"SUBSCRIBE"]
        response = came[-1]
        assert isinstance(response, Response) and response.status != 202
        if response.status == 200:
            phone.tag = (response.to.tag or b"").decode()
            phone.contact = response.addresses(b"contact")[0].raw_uri.decode()
            if not contact:
                told = len(phone.client.flow.sent) + len(self.elsewhere.flow.sent)
                assert told - sent >= 2, "no NOTIFY after a 200"

    def answer(self, which: int, status: int, later: bool) -> None:
        """Answer a NOTIFY, of whatever age."""
        for client in (self.phones[which].client, self.elsewhere):
            if client.flow.is_open and any(isinstance(m, Request) for m in client.received):
                client.answer(status, **({"Retry_After": "3"} if later else {}))

    def change(self, text: bytes) -> None:
        """Change the state."""
        self.news.texts[BOB] = text
        self.notifier.changed(b"news", BOB)

    def judge(self, who: tuple[str, str, str], handling: int, soon: bool) -> None:
        """Change a verdict, for ever or for some seconds."""
        until = self.server.node.now() + 3 if soon else None
        self.news.verdicts[f"{who[0]}@example.test".encode()] = Verdict(handling, None, until)
        self.notifier.judge(b"news", BOB)

    def polite(self, who: tuple[str, str, str]) -> None:
        """Change a verdict without a word."""
        self.news.verdicts[f"{who[0]}@example.test".encode()] = Verdict(POLITE_BLOCK)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.server.advance(seconds)

    def close(self, which: int) -> None:
        """End a connection; another one may come."""
        phone = self.phones[which]
        if phone.transport == "tcp":
            phone.client.flow.close()
            phone.client = self.server.client(phone.host, 5060, "tcp")

    def end(self, reason: bytes) -> None:
        """End all subscriptions."""
        self.notifier.end(b"news", BOB, reason)

    def check(self) -> None:
        """Look at every NOTIFY that came."""
        for client in (*(phone.client for phone in self.phones), self.elsewhere):
            for message in client.received:
                if isinstance(message, Request):
                    self.look_at(message)
        unanswered = [c for c in self.server.node.layer._clients.values() if c.state < 2]
        assert len(unanswered) <= len(self.notifier) + self.ended(), unanswered

    def ended(self) -> int:
        """Return how many dialogs have been told that they are over."""
        return sum(state == b"terminated" for _, state in self.seen.values()) + self.fetches

    fetches = 0

    def look_at(self, notify: Request) -> None:
        """Check a NOTIFY against those before it."""
        value = notify.value(b"subscription-state") or b""
        state, number = value.partition(b";")[0], notify.cseq.number
        dialog = notify.call_id, notify.from_.tag or b""
        known, before = self.seen.get(dialog, (0, b""))
        assert number <= known or before != b"terminated", "told after the end"
        if number > known:
            self.seen[dialog] = number, state
        assert (b";expires=" in value) == (state != b"terminated"), value
        assert (b";reason=" in value) == (state == b"terminated"), value
        assert state != b"pending" or not notify.body, "told without permission"
        assert len(notify.raw_values(b"sip-etag")) == 1


class Races(SynchronousTestCase):
    """Sequences of whatever may happen."""

    def setUp(self) -> None:
        self.factory = NewsFactory()
        install_also(self, [self.factory])

    @settings(max_examples=150, deadline=None)
    @given(st.lists(_step, max_size=30))
    def test_nothing_is_raised_and_nothing_is_left(self, steps: list[tuple[Any, ...]]) -> None:
        world = World(self.factory)
        for step in steps:
            world.take(*step)
        world.server.advance(LONG + 80)
        world.check()
        notifier, node = world.notifier, world.server.node
        self.assertEqual((len(notifier), len(notifier.census)), (0, 0))
        self.assertEqual(notifier.subscriptions(b"news", BOB), ())
        self.assertEqual((len(node.wheel), len(node.layer)), (0, 0))
        flows = world.server.network.peers.values()
        self.assertEqual(sum(flow.watchers for flow in flows), 0)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.check_moves(world.listener.heard)

    def check_moves(self, heard: list[str]) -> None:
        """Check that what began has ended (RFC 3857 figure 1)."""
        begun = sum(one.endswith(" subscribe") for one in heard)
        ended = sum(" terminated " in one for one in heard)
        waited = sum(one.endswith(" waiting timeout") for one in heard)
        self.assertLessEqual(ended, begun + waited)
