"""Dates: moments of the monotonic clock, on a line of time that goes on after a restart."""

from __future__ import annotations

from pathlib import Path

import msgspec

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> bytes:
    """Return what names this run of the machine, empty where the system does not tell."""
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b""


class Leaf(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a calendar: the machine's run, and the date and the wall clock together."""

    boot: bytes
    offset: float
    date: float
    wall: float


class Calendar:
    """Turns moments of the monotonic clock into dates and back, both in seconds.

    A wall clock that steps must neither end what has an hour left, nor let it live an hour longer.
    So dates run with the monotonic clock, which goes on while the machine does, whatever process
    reads it: the wall clock is read at the first start, and after the machine has been started
    anew, when nothing else tells for how long it was off. A wall clock that stands before what it
    was is not believed: then no time has passed. So what is kept lives at most as long as it had
    left when the last of it was written, and no date comes before one that was given out.
    """

    def __init__(self, now: float, wall: float, boot: bytes, left: Leaf | None = None) -> None:
        self.boot = boot
        if left is None:
            self.offset = wall - now
        elif boot and boot == left.boot and now + left.offset >= left.date:
            self.offset = left.offset
        else:
            self.offset = left.date + max(0.0, wall - left.wall) - now

    def leaf(self, now: float, wall: float) -> Leaf:
        """Return what has to be kept with the dates that have been given out."""
        return Leaf(self.boot, self.offset, now + self.offset, wall)

    def date(self, moment: float) -> float:
        """Return the date of a moment."""
        return moment + self.offset

    def moment(self, date: float) -> float:
        """Return the moment of a date."""
        return date - self.offset
