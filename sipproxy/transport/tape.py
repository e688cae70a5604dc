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
    keeps them is kept cheap, for every message passes here: 0.3 us. ``listener`` is told of each
    as it passes: when, whether we sent it, the flow, and the octets.
    """

    __slots__ = ("_append", "_clock", "_kept", "_limit", "_listener", "_size", "count")

    def __init__(
        self,
        limit: int,
        clock: Callable[[], float],
        listener: Callable[[float, bool, Flow, bytes], None] | None = None,
    ) -> None:
        self._listener = listener
        self.count = 0
        self._limit = limit
        self._clock = clock
        self._kept: deque[tuple[float, bool, Flow, bytes]] = deque()
        self._append = self._kept.append
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def follow(
        self, limit: int, listener: Callable[[float, bool, Flow, bytes], None] | None
    ) -> None:
        """Have another limit, and another listener."""
        self._limit, self._listener = limit, listener
        while self._size > limit:
            self._size -= len(self._kept.popleft()[3]) + _OVERHEAD

    def received(self, data: bytes, flow: Flow) -> None:
        """Tape a message that came."""
        self._add(False, flow, data)

    def sent(self, data: bytes, flow: Flow) -> None:
        """Tape a message that goes."""
        self._add(True, flow, data)

    def _add(self, is_sent: bool, flow: Flow, data: bytes) -> None:
        now = self._clock()
        self._append((now, is_sent, flow, data))
        if self._listener is not None:
            self._listener(now, is_sent, flow, data)
        self.count += 1
        self._size += len(data) + _OVERHEAD
        while self._size > self._limit:
            self._size -= len(self._kept.popleft()[3]) + _OVERHEAD

    def since(self, number: int) -> list[Record]:
        """Return the records from a number on that are still there."""
        first = self.count - len(self._kept)
        return [Record(at, *kept) for at, kept in enumerate(self._kept, first) if at >= number]


_OVERHEAD = 300  # about what Python takes for a record beside its octets, bytes
