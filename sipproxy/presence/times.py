"""Times of presence documents: xs:dateTime, the date-time of RFC 3339 (RFC 3863 §4.1.7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


def read_time(text: str | None) -> float | None:
    """Return a time in seconds of the wall clock, or None where it is none that we know.

    One without a zone is taken for UTC.
    """
    try:
        time = datetime.fromisoformat((text or "").strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def write_time(seconds: float) -> str:
    """Return a time as documents have it, to the millisecond: two changes rarely share one."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class WallClock:
    """What the wall clock says, which runs from ``started`` as the monotonic clock ``now`` does."""

    def __init__(self, started: float, now: Callable[[], float]) -> None:
        self._offset = started - now()
        self._now = now

    def __call__(self) -> float:
        """Return the wall clock in seconds."""
        return self._offset + self._now()

    def until(self, time: float) -> float:
        """Return how many seconds it is to a time."""
        return time - self()
