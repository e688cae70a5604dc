"""The one call from the reactor that lets the wheel's time pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sipproxy.transaction.wheel import Sleeper, Wheel

TICK = 0.1  # seconds


class Ticker:
    """Advances a wheel by a reactor's clock, which has to be monotonic.

    ``ticked`` is told, tick by tick, how many seconds the reactor was late.
    """

    def __init__(self, reactor: Any, wheel: Wheel) -> None:
        self._reactor = reactor
        self._wheel = wheel
        self._began: float = reactor.seconds()
        self._call: Any = None
        self._due = 0.0
        self.lag = 0.0  # seconds that ticks were late, all together
        self.ticked: Callable[[float], None] = lambda late: None

    @staticmethod
    def ticks(seconds: float) -> int:
        """Return a time as ticks, rounded up."""
        return math.ceil(seconds / TICK)

    def wake(self, sleeper: Sleeper, seconds: float) -> None:
        """Wake a sleeper in so many seconds, to the tick."""
        self._wheel.wake(sleeper, self.ticks(seconds))

    def forget(self, sleeper: Sleeper) -> None:
        """Drop a sleeper and its appointment at once."""
        self._wheel.forget(sleeper)

    def start(self) -> None:
        """Begin to tick."""
        self._book(self._reactor.seconds())

    def stop(self) -> None:
        """Stop ticking."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _tick(self) -> None:
        now = self._reactor.seconds()
        late = now - self._due
        self._book(now)
        self.lag += max(late, 0.0)
        self.ticked(late)
        self._wheel.advance(int((now - self._began) / TICK))

    def _book(self, now: float) -> None:
        self._due = now + TICK
        self._call = self._reactor.callLater(TICK, self._tick)
