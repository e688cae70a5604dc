"""Which next hops have failed just now: they are tried last for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sipproxy.transport.hops import Hop

MOST = 4096  # hops that are remembered

_Target = tuple[str, str, int]


class Breaker:
    """Remembers dead targets (transport, address, port); ``seconds`` is the monotonic time."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._dead: dict[_Target, float] = {}

    def __len__(self) -> int:
        return len(self._dead)

    def failed(self, hop: Hop, seconds: float) -> None:
        """Have a hop tried last for so many seconds; of too many the oldest is forgotten."""
        self._dead.pop(hop[:3], None)
        if len(self._dead) >= MOST:
            del self._dead[next(iter(self._dead))]
        self._dead[hop[:3]] = self._seconds() + seconds

    def answered(self, hop: Hop) -> None:
        """A hop lives."""
        self._dead.pop(hop[:3], None)

    def ordered(self, hops: Iterable[Hop]) -> list[Hop]:
        """Return hops in their order, those that failed just now behind the others."""
        return sorted(hops, key=self._is_dead)

    def _is_dead(self, hop: Hop) -> bool:
        until = self._dead.get(hop[:3])
        if until is None:
            return False
        if until > self._seconds():
            return True
        del self._dead[hop[:3]]
        return False
