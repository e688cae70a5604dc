"""One timer structure for everything that can linger: a slot per tick."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Protocol


class Sleeper(Protocol):
    """What can be woken; it hashes by identity.

    ``due`` is the tick it waits for, 0 for none: whoever no longer wants to be woken sets it to 0,
    or has the wheel forget it. ``booked`` belongs to the wheel.
    """

    due: int
    booked: int

    def woken(self) -> None:
        """The tick in ``due`` has come; ``due`` is 0 again."""


class Wheel:
    """Appointments by tick.

    ``now`` is the tick that the events of this moment belong to. It is rounded up, so that nothing
    is woken early. A sleeper stands in one slot, and is held, until that slot's turn comes; then it
    is moved on where it wants to be woken later. `forget` ends this at once. ``raised`` is told of
    an exception let out.
    """

    __slots__ = ("_raised", "_slots", "now")

    def __init__(self, raised: Callable[[Sleeper], None]) -> None:
        self.now = 1
        # dicts keep the order
        self._slots: defaultdict[int, dict[Sleeper, None]] = defaultdict(dict)
        self._raised = raised

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def wake(self, sleeper: Sleeper, after: int) -> None:
        """Wake ``sleeper`` in ``after`` ticks, at least one, and not when it was to be before."""
        sleeper.due = due = self.now + (after if after > 0 else 1)
        booked = sleeper.booked
        if booked:
            if booked <= due:
                return
            self._cross_out(sleeper)
        sleeper.booked = due
        self._slots[due][sleeper] = None

    def forget(self, sleeper: Sleeper) -> None:
        """Drop a sleeper and its appointment at once; it may have none."""
        sleeper.due = 0
        if sleeper.booked:
            self._cross_out(sleeper)

    def _cross_out(self, sleeper: Sleeper) -> None:
        booked, sleeper.booked = sleeper.booked, 0
        slot = self._slots.get(booked)  # none while its turn is on
        if slot is not None:
            del slot[sleeper]
            if not slot:  # else each would stay until its turn, however far that is
                del self._slots[booked]

    def advance(self, tick: int) -> None:
        """Let time pass up to and including ``tick``."""
        for now in range(self.now, tick + 1):
            self.now = now
            for sleeper in self._slots.pop(now, ()):
                if sleeper.booked == now:
                    sleeper.booked = 0
                    self._arrive(sleeper, now)
        self.now = max(self.now, tick + 1)

    def _arrive(self, sleeper: Sleeper, now: int) -> None:
        if sleeper.due > now:
            sleeper.booked = sleeper.due
            self._slots[sleeper.due][sleeper] = None
        elif sleeper.due == now:
            sleeper.due = 0
            try:
                sleeper.woken()
            except Exception:
                self._raised(sleeper)
