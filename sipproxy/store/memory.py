"""A store that forgets when the process ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zope.interface import implementer

from sipproxy.interfaces import IStore


@implementer(IStore)
class MemoryStore:
    """Keeps values by kind and key, as they were given.

    ``offset`` is what a date is later than a moment, in seconds.
    """

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset
        self.starts = 1
        self.is_durable = False
        self._kinds: dict[str, dict[bytes, Any]] = {}

    def load(self, kind: str) -> Iterable[tuple[bytes, Any]]:
        """Return every (key, value) of a kind."""
        return list(self._kinds.get(kind, {}).items())

    def put(self, kind: str, key: bytes, value: Any) -> None:
        """Keep a value."""
        self._kinds.setdefault(kind, {})[key] = value

    def remove(self, kind: str, key: bytes) -> None:
        """Forget a value."""
        self._kinds.get(kind, {}).pop(key, None)

    def later(self, kind: str, key: bytes, current: Callable[[bytes], Any]) -> None:
        """Nothing is ever written."""

    def commit(self) -> None:
        """Nothing to wait for."""

    def promised(self) -> None:
        """Nothing is promised."""

    def date(self, moment: float) -> float:
        """Return the date of a moment."""
        return moment + self._offset

    def moment(self, date: float) -> float:
        """Return the moment of a date."""
        return date - self._offset
