"""The tape: the last messages that came and went, for whoever asks what happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sipproxy.transaction.parties import Flow


class Record(NamedTuple):
    """A message: the how-manieth it is, when it passed (seconds of the wall clock), and where."""

    number: int
    time: float
    is_sent: bool
    flow: Flow
    data: bytes


class Tape:
    """Keeps messages as they were on the wire, the oldest going first, within so many bytes.

    TLS is not in them: they are taped before it and after it. ``clock`` is the wall clock. What
    keeps them is kept cheap, for every message passes here: 0.3 us.
    """

    __slots__ = ("_append", "_clock", "_kept", "_limit", "_size", "count")

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self.count = 0
        self._limit = limit
        self._clock = clock
        self._kept: deque[tuple[float, bool, Flow, bytes]] = deque()
        self._append = self._kept.append
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def received(self, data: bytes, flow: Flow) -> None:
        """Tape a message that came."""
        self._append((self._clock(), False, flow, data))
        self._grown(len(data))

    def sent(self, data: bytes, flow: Flow) -> None:
        """Tape a message that goes."""
        self._append((self._clock(), True, flow, data))
        self._grown(len(data))

    def _grown(self, length: int) -> None:
        self.count += 1
        self._size += length + _OVERHEAD
        while self._size > self._limit:
            self._size -= len(self._kept.popleft()[3]) + _OVERHEAD

    def since(self, number: int) -> list[Record]:
        """Return the records from a number on that are still there."""
        first = self.count - len(self._kept)
        return [Record(at, *kept) for at, kept in enumerate(self._kept, first) if at >= number]


_OVERHEAD = 300  # about what Python takes for a record beside its octets, bytes
