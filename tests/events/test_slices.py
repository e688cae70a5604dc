"""Many watchers hold nobody up: they are told in slices, each resource in turn."""

from __future__ import annotations

from collections.abc import Callable

from sipproxy.events.notifier import SHARE, SLICE
from sipproxy.interfaces.events import BLOCK, Verdict
from sipproxy.sip.message import Request
from sipproxy.sip.response import make_response
from tests.events.fakes import NEWS, Phone
from tests.events.test_subscribe import BOB, SubscribeCase

DAVE = b"dave@example.test"


class Slices(SubscribeCase):
    """One resource has more watchers than are told in a turn."""

    text = NEWS + "per_watcher = 10000\n"
    MANY = 3 * SLICE + 5

    def setUp(self) -> None:
        SubscribeCase.setUp(self)
        for _ in range(self.MANY):
            self.alice.subscribe()
            self.alice.take()
        self.other = Phone(self.server, "carol", "192.0.2.3")
        self.other.subscribe(to="dave")
        self.other.take()
        self.turns: list[Callable[[], None]] = []
        self.patch(self.notifier, "_soon", self.turns.append)

    def turn(self) -> int:
        """Let one turn pass, and return how many were told in it."""
        (call,) = self.turns
        self.turns.clear()
        self.alice.client.clear()
        call()
        return len(self.alice.notified)

    def answered_turn(self) -> None:
        """Let one turn pass, in which every NOTIFY is answered."""
        self.turn()
        for notify in self.alice.received:
            assert isinstance(notify, Request)
            self.alice.client.send(make_response(notify, 200, b"x"))

    def test_so_many_a_turn(self) -> None:
        self.news.texts[BOB] = b"news"
        self.notifier.changed(b"news", BOB)
        told = []
        while self.turns:
            told.append(self.turn())
        self.assertEqual(told, [SLICE, SLICE, SLICE, 5])

    def test_another_resource_does_not_wait_for_it(self) -> None:
        self.news.texts[BOB] = self.news.texts[DAVE] = b"news"
        self.notifier.changed(b"news", BOB)
        self.notifier.changed(b"news", DAVE)
        self.turn()
        self.assertEqual(len(self.other.notified), 1)

    def test_nor_one_that_changes_meanwhile(self) -> None:
        self.news.texts[BOB] = self.news.texts[DAVE] = b"news"
        self.notifier.changed(b"news", BOB)
        self.turn()
        self.notifier.changed(b"news", DAVE)
        self.turn()
        self.assertEqual(len(self.other.notified), 1)
        self.assertLess(SHARE, SLICE)

    def test_a_state_is_composed_once_for_all_slices(self) -> None:
        self.news.log.clear()
        self.news.texts[BOB] = b"news"
        self.notifier.changed(b"news", BOB)
        while self.turns:
            self.turn()
        self.assertEqual(self.news.log.count("compose bob@example.test"), 1)
        self.assertEqual(self.news.log.count("render"), self.MANY)
        self.assertEqual(len(self.notifier.states), 0)

    def test_what_changes_between_two_slices(self) -> None:
        """Whoever was not told yet is told the latest; whoever was is told again, after that."""
        self.news.texts[BOB] = b"one"
        self.notifier.changed(b"news", BOB)
        self.turn()
        self.news.texts[BOB] = b"two"
        self.notifier.changed(b"news", BOB)
        texts = set()
        while self.turns:
            self.turn()
            texts |= {told.partition(": ")[2] for told in self.alice.notified}
        self.assertEqual(texts, {"two"})
        self.assertEqual(self.news.log.count("render"), self.MANY)

    def test_what_changes_in_every_turn(self) -> None:
        """A publisher that never rests costs a round at a time, and the last state gets through."""
        for number in range(20):
            self.news.texts[BOB] = b"%d" % number
            self.notifier.changed(b"news", BOB)
            self.answered_turn()
            self.assertEqual(len(self.notifier._passes), 1)
        while self.turns:
            self.answered_turn()
        shown = {one._rendered_version for one in self.notifier.subscriptions(b"news", BOB)}
        self.assertEqual(shown, {20})
        tables = (self.notifier._passes, self.notifier._changed, self.notifier.states)
        self.assertEqual([len(table) for table in tables], [0, 0, 0])

    def test_nobody_is_told_by_a_verdict_that_does_not_hold(self) -> None:
        """All are judged before they are told, in whatever slice they are."""
        self.news.texts[BOB] = b"secret"
        self.news.verdicts[b"alice@example.test"] = Verdict(BLOCK)
        self.notifier.changed(b"news", BOB)
        self.notifier.judge(b"news", BOB)
        while self.turns:
            self.turn()
            self.assertEqual({*self.alice.notified} - {"terminated;reason=rejected"}, set())
        self.assertEqual(len(self.notifier), 1)

    def test_one_that_fails_holds_up_nobody(self) -> None:
        self.news.texts[BOB] = b"news"
        self.notifier.changed(b"news", BOB)
        post, failures = self.notifier.post, [KeyError("x")]
        send = post.send

        def fail_once(*arguments: object) -> object:
            if failures:
                raise failures.pop()
            return send(*arguments)  # type: ignore[arg-type]

        self.patch(post, "send", fail_once)
        told = 0
        while self.turns:
            told += self.turn()
        self.assertEqual(told, self.MANY - 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        for subscription in self.notifier.subscriptions(b"news", BOB)[:1]:
            self.assertFalse(subscription.is_unanswered)
