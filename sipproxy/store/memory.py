"""A store that forgets when the process ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zope.interface import implementer

from sipproxy.interfaces import IStore


@implementer(IStore)
class MemoryStore:
    """Keeps values by kind and key, as they were given."""

    def __init__(self) -> None:
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

    def commit(self) -> None:
        """Nothing to wait for."""
