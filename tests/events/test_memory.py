"""Subscriptions that come and go leave nothing, not even for the cycle collector."""

from __future__ import annotations

import gc

from sipproxy.interfaces.events import ALLOW, CONFIRM, Verdict
from tests.events.fakes import NEWS, Phone
from tests.events.test_subscribe import ALICE, BOB, SubscribeCase

CYCLES = 300
ELSEWHERE = {"Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-{}", "Contact": "<sip:a@203.0.113.9>"}


class MemoryCase(SubscribeCase):
    """Hundreds of cycles of each kind."""

    text = NEWS + "waiting = 60.0\n"

    def collected(self, count: int = CYCLES) -> int:
        """Go through ``count`` cycles; return how many objects had to be collected."""
        self.cycle(0)
        self.server.advance(100)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for number in range(count):
            self.cycle(number + 1)
        self.server.advance(100)
        self.alice.client.clear()
        return gc.collect()

    def cycle(self, number: int) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """Check that every cycle is over."""
        self.assertEqual(self.collected(), 0)
        self.assert_nothing_is_left()


class OrdinaryTest(MemoryCase):
    """Subscribed, told, expired."""

    def cycle(self, number: int) -> None:
        self.alice.subscribe(60)
        self.alice.take()
        self.news.texts[BOB] = b"%d" % number
        self.notifier.changed(b"news", BOB)
        self.server.clock.advance(0)
        self.alice.take()
        if number % 2:
            self.alice.ask(0)
            self.alice.take()

    def test_nothing_is_left(self) -> None:
        self.check()


class SilentTest(MemoryCase):
    """Never answered."""

    def cycle(self, number: int) -> None:
        self.alice.subscribe(60)
        self.news.texts[BOB] = b"%d" % number
        self.notifier.changed(b"news", BOB)
        self.server.advance(0.5)

    def test_nothing_is_left(self) -> None:
        self.check()


class ElsewhereTest(MemoryCase):
    """By a hop that was looked for, there or not."""

    def cycle(self, number: int) -> None:
        if number == 0:
            self.there = self.server.client("203.0.113.9")
        headers = {name: value.format(number) for name, value in ELSEWHERE.items()}
        if number % 3 == 0:
            headers["Contact"] = "<sip:a@203.0.113.10>"
        self.alice.subscribe(60, **headers)
        if number % 3 == 1:
            self.there.answer(200)
        self.there.clear()

    def test_nothing_is_left(self) -> None:
        self.check()


class PendingTest(MemoryCase):
    """Asked for, waited for, given up or approved."""

    def cycle(self, number: int) -> None:
        self.news.verdicts[ALICE] = Verdict(CONFIRM, None, self.server.node.now() + 5)
        self.alice.subscribe(60 if number % 2 else 0)
        self.alice.take()
        if number % 3 == 0:
            self.news.verdicts[ALICE] = Verdict(ALLOW)
            self.notifier.judge(b"news", BOB)
            self.server.clock.advance(0)
            self.alice.take()
        if number % 2:
            self.alice.ask(0)
            self.alice.take()

    def test_nothing_is_left(self) -> None:
        self.check()


class ConnectionTest(MemoryCase):
    """By connections that close."""

    def cycle(self, number: int) -> None:
        phone = Phone(self.server, "carol", "192.0.2.3", "tcp")
        phone.subscribe(60)
        if number % 2:
            phone.take()
        phone.client.flow.close()
        self.server.network.peers.clear()

    def test_nothing_is_left(self) -> None:
        self.check()


class WishesTest(MemoryCase):
    """With rates, conditions and filters."""

    def cycle(self, number: int) -> None:
        self.alice.subscribe(60, Event="news;min-rate=0.05;max-rate=1")
        tag = (self.alice.received[-1].value(b"sip-etag") or b"").decode()
        self.alice.take()
        self.alice.ask(60, body="x", Content_Type="text/plain", Suppress_If_Match=tag)
        self.alice.take()
        self.alice.ask(0, Suppress_If_Match="*")
        self.alice.take()

    def test_nothing_is_left(self) -> None:
        self.check()
