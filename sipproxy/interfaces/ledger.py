"""What a table has in the store: there first, where a change has to be safe before it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from sipproxy.interfaces import IStore, once_safe


class Ledger:
    """The records of a table, by key, of one kind.

    ``current`` returns the record of a key as the table has it now, None for none. Where the store
    does not outlive the process nothing is written.
    """

    def __init__(self, store: IStore, kind: str, current: Callable[[bytes], Any]) -> None:
        self._store = store
        self._kind = kind
        self._current = current
        self._tentative: Counter[bytes] = Counter()  # changes that are not safe yet
        self._missed: set[bytes] = set()  # what has changed besides

    def __len__(self) -> int:
        """How many keys have changes that are not safe yet."""
        return len(self._tentative)

    def note(self, key: bytes) -> None:
        """Write behind what has changed by itself, and nobody waits for."""
        if key in self._tentative:
            self._missed.add(key)  # else what is tentative would be lost
        else:
            self._store.later(self._kind, key, self._current)

    def change(self, key: bytes, record: Callable[[], Any], done: Callable[[], Any]) -> Any:
        """Write the record, None for none, that is to be the table's once ``done`` was called.

        ``record`` makes it. Returns what ``done`` does, at once, or a Deferred where the change has
        to be safe first. It fails with `sipproxy.sip.errors.SipError` 500 where it cannot be: then
        nothing has changed.
        """
        if not self._store.is_durable:
            try:
                return done()
            finally:
                self.note(key)
        self._write(key, record())
        self._tentative[key] += 1

        def apply() -> Any:
            self._decided(key)
            try:
                return done()
            except BaseException:
                self._missed.add(key)  # it is not what was written
                raise
            finally:
                self._catch_up(key)

        def put_back() -> None:
            self._decided(key)
            self._missed.discard(key)
            self._write(key, self._current(key))

        return once_safe(self._store, apply, put_back)

    def _write(self, key: bytes, record: Any) -> None:
        if record is None:
            self._store.remove(self._kind, key)
        else:
            self._store.put(self._kind, key, record)

    def _decided(self, key: bytes) -> None:
        self._tentative[key] -= 1
        if not self._tentative[key]:
            del self._tentative[key]

    def _catch_up(self, key: bytes) -> None:
        if key in self._missed and key not in self._tentative:
            self._missed.discard(key)
            self.note(key)
