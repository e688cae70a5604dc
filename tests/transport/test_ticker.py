"""The ticker: time passes, and it tells how late it was."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.transaction.wheel import Wheel
from sipproxy.transport.ticker import TICK, Ticker


class LatenessTest(SynchronousTestCase):
    """What overload is known by."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ticker = Ticker(self.clock, Wheel(lambda sleeper: None))
        self.told: list[float] = []
        self.ticker.ticked = self.told.append
        self.ticker.start()

    def test_in_time(self) -> None:
        for _ in range(5):
            self.clock.advance(TICK)
        self.assertEqual([round(late, 6) for late in self.told], [0.0] * 5)

    def test_late(self) -> None:
        """Each time anew: what was late once does not count again."""
        for seconds in (TICK, 0.7, TICK, 2.0):
            self.clock.advance(seconds)
        self.assertEqual([round(late, 6) for late in self.told], [0.0, 0.6, 0.0, 1.9])

    def test_stopped(self) -> None:
        self.ticker.stop()
        self.clock.advance(10)
        self.assertEqual(self.told, [])
