"""A composed state is good for a turn, or for as long as its package says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import alsoProvides

from sipproxy.events.notifier import SLICE
from sipproxy.interfaces.events import IKeepsStates
from tests.events.fakes import NEWS, Phone
from tests.events.test_subscribe import BOB, SubscribeCase


class Kept(SubscribeCase):
    """Two states are kept at most."""

    text = NEWS + "states = 2\n"

    def setUp(self) -> None:
        SubscribeCase.setUp(self)
        self.lasts(lambda state: True)

    def lasts(self, rest: Callable[[Any], bool]) -> None:
        """Let states last until they change."""
        self.news.rest = rest  # type: ignore[attr-defined]
        alsoProvides(self.news, IKeepsStates)

    def watch(self, *names: str) -> list[str]:
        """Have alice subscribe to all of these, in a turn each; return what was composed for it."""
        self.news.log.clear()
        for name in names:
            self.alice.subscribe(to=name)
            self.alice.take()
            self.server.clock.advance(0)
        return [line.split()[1].partition("@")[0] for line in self.news.log if "compose" in line]

    def test_until_it_changes(self) -> None:
        self.assertEqual(self.watch("bob", "bob", "bob"), ["bob"])
        self.news.texts[BOB] = b"news"
        self.notifier.changed(b"news", BOB)
        self.alice.subscribe()
        self.assertIn("news", self.alice.notified[0])
        self.server.clock.advance(0)
        self.assertEqual(self.watch("bob"), [])

    def test_the_oldest_makes_room(self) -> None:
        self.assertEqual(self.watch("bob", "carol", "bob", "dave"), ["bob", "carol", "dave"])
        self.assertEqual(self.watch("bob", "carol"), ["carol"])

    def test_all_change_at_once(self) -> None:
        """As by a reload: that takes many turns, and few states stay so long."""
        names = [f"user{number}" for number in range(4 * SLICE)]
        self.watch(*names)
        self.news.log.clear()
        turns: list[Callable[[], None]] = []
        self.patch(self.notifier, "_soon", turns.append)
        for package, aor in self.notifier.resources():
            self.notifier.changed(package, aor)
        most = 0
        while turns:
            turns.pop()()
            most = max(most, len(self.notifier.states))
        self.assertEqual(len([line for line in self.news.log if "compose" in line]), len(names))
        self.assertLessEqual(most, SLICE)

    def test_too_large(self) -> None:
        self.lasts(lambda state: False)
        self.assertEqual(self.watch("bob", "bob"), ["bob", "bob"])
        self.assertEqual(len(self.notifier.states), 0)

    def test_a_fault(self) -> None:
        self.lasts(lambda state: bool(1 / 0))
        self.assertEqual(self.watch("bob", "bob"), ["bob", "bob"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_no_longer_than_it_is_watched(self) -> None:
        self.watch("bob")
        self.assertEqual(len(self.notifier.states), 1)
        self.alice.ask(0)
        self.alice.take()
        self.server.clock.advance(0)
        self.assertEqual(len(self.notifier.states), 0)

    def test_not_for_who_only_asks_once(self) -> None:
        Phone(self.server, "carol", "192.0.2.3").subscribe(0)
        self.server.clock.advance(0)
        self.assertEqual(len(self.notifier.states), 0)


class Others(SubscribeCase):
    """A package that does not say when its states change."""

    def test_a_turn(self) -> None:
        for _ in range(2):
            self.alice.subscribe()
            self.alice.take()
            self.server.clock.advance(0)
        self.assertEqual(self.news.log.count("compose bob@example.test"), 2)
        self.assertEqual(len(self.notifier.states), 0)
