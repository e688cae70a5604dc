"""The timer values of RFC 3261 §17 and its updates, in ticks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timers:
    """Timer values in ticks.

    ``linger`` is J, D, L and M: how long a finished transaction absorbs repetitions over an
    unreliable transport (64*T1 by RFC 3261 table 4 and RFC 6026 §8.4, §8.7). ``timeout`` is B, F
    and H; ``trying`` the time it takes a client's Timer E to be reset to T2 (RFC 4320 §4.1).
    """

    t1: int
    t2: int
    t4: int
    linger: int
    timeout: int = field(init=False)
    trying: int = field(init=False)

    def __post_init__(self) -> None:
        total, interval = 0, self.t1
        while interval < self.t2:
            total += interval
            interval = min(2 * interval, self.t2)
        object.__setattr__(self, "timeout", 64 * self.t1)
        object.__setattr__(self, "trying", total)


def timers(tick: float, linger: float, t1: float = 0.5, t2: float = 4.0, t4: float = 5.0) -> Timers:
    """Return the timer values for ticks of ``tick`` seconds; the others are in seconds too."""
    return Timers(*(max(1, round(seconds / tick)) for seconds in (t1, t2, t4, linger)))
