"""The store in SQLite: changes are written behind, together, by a thread of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from sipproxy.interfaces import IStore
from sipproxy.store.schema import DatabaseError, check, connect, create, explained
from sipproxy.store.settings import StoreSettings

RETRY = 1.0  # seconds after which what could not be written is tried again

Changes = dict[tuple[str, bytes], bytes | None]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


@implementer(IStore)
class SqliteStore(Service):
    """Keeps values by kind and key: whatever msgpack can say; tuples come back as lists.

    At most one transaction is under way; what changes meanwhile is in the next one, of each key
    the latest only. What could not be written is kept and tried again, and whoever waits for it is
    told so by a `DatabaseError`. Raises `DatabaseError` where the file cannot be used.
    """

    def __init__(self, directory: Path, settings: StoreSettings, reactor: Any) -> None:
        try:
            self._path = create(directory)
        except OSError as error:
            raise DatabaseError(f"{directory} cannot be used: {error.strerror}") from None
        self._database = connect(self._path, any_thread=True)
        check(self._database, self._path)
        # A commit has to outlive a power cut only where somebody was promised that it does.
        level = "FULL" if settings.durable else "NORMAL"
        self._database.execute(f"PRAGMA synchronous={level}")
        self._delay = settings.delay
        self._reactor = reactor
        self._pool = ThreadPool(1, 1, "store")
        self.in_thread: Callable[..., Deferred[None]] = self._in_pool
        self._changes: Changes = {}
        self._waiting: list[Deferred[None]] = []  # for what has changed
        self._told: list[Deferred[None]] | None = None  # by the transaction that is under way
        self._call: Any = None
        self.is_failing = False
        self._log = Logger(namespace="sipproxy.store")

    def __len__(self) -> int:
        return len(self._changes)

    # IStore

    def load(self, kind: str) -> Iterable[tuple[bytes, Any]]:
        """Return every (key, value) of a kind, as it is on disk."""
        rows = self._database.execute("SELECT key, value FROM state WHERE kind = ?", (kind,))
        return [(key, _decode(value)) for key, value in rows]

    def put(self, kind: str, key: bytes, value: Any) -> None:
        """Keep a value, as it is now."""
        self._change(kind, key, _encode(value))

    def remove(self, kind: str, key: bytes) -> None:
        """Forget a value."""
        self._change(kind, key, None)

    def commit(self) -> Deferred[None]:
        """Return when all that was put and removed is on disk."""
        committed: Deferred[None] = Deferred()
        if self._changes:
            self._waiting.append(committed)
            self._write()
        elif self._told is not None:
            self._told.append(committed)
        else:
            committed.callback(None)
        return committed

    # Writing

    def _change(self, kind: str, key: bytes, value: bytes | None) -> None:
        self._changes[kind, key] = value
        if self._told is None:
            self._wait(self._delay)

    def _wait(self, seconds: float) -> None:
        if self._call is None:
            self._call = self._reactor.callLater(seconds, self._due)

    def _due(self) -> None:
        self._call = None
        self._write()

    def _write(self) -> None:
        """Begin to write what has changed, unless a transaction is under way already."""
        if self._told is not None or not self._changes:
            return
        self._cancel()
        changes, self._changes = self._changes, {}
        self._told, self._waiting = self._waiting, []
        written = self.in_thread(self._transact, changes)
        written.addCallbacks(self._written, self._not_written, errbackArgs=(changes,))
        written.addErrback(self._bug)

    def _transact(self, changes: Changes) -> None:
        """Write changes, all or none; in the thread."""
        database = self._database
        put = [(*key, value) for key, value in changes.items() if value is not None]
        removed = [key for key, value in changes.items() if value is None]
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", put)
            database.executemany("DELETE FROM state WHERE kind = ? AND key = ?", removed)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _written(self, _: None) -> None:
        if self.is_failing:
            self._log.info("{path} is written to again", path=self._path)
        self.is_failing = False
        told, self._told = self._told or [], None
        if self._waiting:
            self._write()
        elif self._changes:
            self._wait(self._delay)
        for committed in told:
            committed.callback(None)

    def _not_written(self, failure: Failure, changes: Changes) -> None:
        """Keep what could not be written, but for what has changed since; try again in a while."""
        problem = explained(failure.value, self._path)
        if not self.is_failing:
            self._log.error("not written, to be tried again: {problem}", problem=problem)
        self.is_failing = True
        self._changes = {**changes, **self._changes}
        told = [*(self._told or ()), *self._waiting]
        self._told, self._waiting = None, []
        self._wait(RETRY)
        for committed in told:
            committed.errback(problem)

    def _bug(self, failure: Failure) -> None:
        self._log.failure("a bug, in the store", failure)

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _in_pool(self, function: Callable[..., None], *arguments: Any) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._pool, function, *arguments)

    # Life

    def startService(self) -> None:
        """Start the thread."""
        Service.startService(self)
        self._pool.start()

    def stopService(self) -> Deferred[None]:
        """Write what is left, and close the file."""
        Service.stopService(self)
        return self.commit().addErrback(self._lost).addBoth(self._close)

    def _lost(self, failure: Failure) -> None:
        text = "{count} changes are lost: {problem}"
        self._log.error(text, count=len(self._changes), problem=failure.value)

    def _close(self, _: object) -> None:
        self._cancel()
        self._pool.stop()
        self._database.close()
