"""Times of presence documents: xs:dateTime, the date-time of RFC 3339 (RFC 3863 §4.1.7)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache


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
    part, whole = math.modf(seconds)
    more, microseconds = divmod(round(part * 1e6), 1_000_000)
    return f"{_to_the_second(int(whole) + more)}.{microseconds // 1000:03}Z"


@lru_cache(maxsize=4)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]
