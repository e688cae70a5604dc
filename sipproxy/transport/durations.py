"""How long something took, counted in buckets for whoever looks."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Durations:
    """Times, each in the first of `BOUNDS` that it does not exceed; ``total`` is their sum."""

    def __init__(self) -> None:
        self.total = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def up_to(self) -> list[tuple[float, int]]:
        """How many took no longer than each bound, and than any."""
        found, count = [], 0
        for bound, here in zip((*BOUNDS, float("inf")), self._counts, strict=True):
            count += here
            found.append((bound, count))
        return found
