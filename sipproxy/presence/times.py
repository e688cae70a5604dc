"""Times of presence documents: xs:dateTime, the date-time of RFC 3339 (RFC 3863 §4.1.7)."""

from __future__ import annotations

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
