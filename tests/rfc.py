"""Markers: which requirement of which RFC a test holds; ``tests.matrix`` makes a page of them.

::

    @rfc(3261, "16.7 step 5", "any 2xx to an INVITE is forwarded immediately")
    def test_2xx_at_once(self) -> None: ...

A class may be marked too. A scenario has its markers in its head (``tests/scenarios/script.py``)::

    rfc: 3261 §16.7 step 5: any 2xx to an INVITE is forwarded immediately

Tests that hold the same requirement say it in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

_Tested = TypeVar("_Tested")
_line = re.compile(r"rfc: (\d+) §([\d.]+(?: step \d+)?): (\S.*)").fullmatch


@dataclass(frozen=True)
class Marker:
    """What must hold by a section of an RFC, and the step of it, if it has steps."""

    rfc: int
    section: str
    requirement: str

    @property
    def place(self) -> tuple[int, ...]:
        """Where it stands: to sort by."""
        return (self.rfc, *map(int, re.findall(r"\d+", self.section)))


def rfc(number: int, section: str, requirement: str) -> Callable[[_Tested], _Tested]:
    """Mark a test method or class; it is read from the source, and does nothing to the test."""
    return lambda tested: tested


def read_marker(line: str) -> Marker:
    """Read a line of a scenario's head; raises ValueError."""
    match = _line(line)
    if match is None:
        raise ValueError(f"{line!r} should have been 'rfc: NUMBER §SECTION: what must hold'")
    return Marker(int(match[1]), match[2], match[3])
