"""The store in SQLite: changes are written behind, together, by a thread of their own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sipproxy.interfaces import IStore
from sipproxy.store.calendar import Calendar, Leaf, boot_id
from sipproxy.store.schema import DatabaseError, check, connect, create, explained
from sipproxy.store.settings import StoreSettings
from sipproxy.store.worker import Worker, Works
from sipproxy.transport.durations import Durations

CHECKPOINT = 2000  # changes after which the log is moved into the database
RETRY = 1.0  # seconds after which what could not be written is tried again

_CALENDAR, _STARTS = ("store", b"calendar"), ("store", b"starts")  # kind and key

_PUT = "INSERT OR REPLACE INTO state VALUES {}"
_REMOVE = "DELETE FROM state WHERE (kind, key) IN (VALUES {})"
_SIZES = (1000, 100, 10, 1)  # rows in one statement; there may be 32766 values in it

# A value as octets, what makes one of its key, or None for one that is forgotten.
_Value = bytes | Callable[[bytes], Any] | None
Changes = dict[tuple[str, bytes], bytes | None]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def _octets(value: _Value, key: bytes) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    made = value(key)
    return None if made is None else _encode(made)


@implementer(IStore)
class SqliteStore(Service):
    """Keeps values by kind and key.

    At most one transaction is under way; what changes meanwhile is in the next one, of each key
    the latest only. What could not be written is kept and tried again, and whoever waits for it is
    told so by a `DatabaseError`. Once it has stopped it keeps nothing any more.

    The file is checked when the store is made, and opened when it starts: in between the process
    may become a daemon, and a connection must not be carried over a fork. Raises `DatabaseError`
    where the file cannot be used. ``wall`` is the wall clock. ``took`` is how long transactions
    took, ``failures`` how many could not be written.
    """

    def __init__(
        self,
        directory: Path,
        settings: StoreSettings,
        reactor: Any,
        wall: Callable[[], float] = time.time,
    ) -> None:
        try:
            self._path = create(directory)
        except OSError as error:
            raise DatabaseError(f"{directory} cannot be used: {error.strerror}") from None
        self._settings = settings
        self._reactor = reactor
        self._wall = wall
        self._database: sqlite3.Connection
        self.worker: Works = Worker(reactor)
        self._changes: dict[tuple[str, bytes], _Value] = {}
        self._since = 0.0  # when the first of them came
        self._waiting: list[Deferred[None]] = []  # for what has changed
        self._told: list[Deferred[None]] | None = None  # by the transaction that is under way
        self._call: Any = None
        self._begun = 0.0  # when the transaction that is under way began
        self.took = Durations()
        self.failures = 0
        self._logged = 0  # changes since the log was moved
        self._is_moving = False
        self._is_closed = False
        self.starts = 0
        self.is_durable = settings.durable
        self.is_failing = False
        self._log = Logger(namespace="sipproxy.store")
        with closing(connect(self._path)) as database:
            check(database, self._path)
            self._calendar = self._continued(database)

    def _continued(self, database: sqlite3.Connection) -> Calendar:
        """Return the calendar, from where it was left."""
        leaves = _rows(database, _CALENDAR[0])
        try:
            left = msgspec.msgpack.decode(dict(leaves)[_CALENDAR[1]], type=Leaf)
        except (KeyError, msgspec.MsgspecError):
            left = None
        return Calendar(self._reactor.seconds(), self._wall(), boot_id(), left)

    def __len__(self) -> int:
        return len(self._changes)

    # IStore

    def load(self, kind: str) -> Iterable[tuple[bytes, Any]]:
        """Return every (key, value) of a kind, as it is on disk; what cannot be read is left."""
        found = []
        for key, value in _rows(self._database, kind):
            try:
                found.append((key, _decode(value)))
            except msgspec.MsgspecError:
                self._log.error("{kind} {key!r} cannot be read: left out", kind=kind, key=key)
        return found

    def put(self, kind: str, key: bytes, value: Any) -> None:
        """Keep a value, as it is now."""
        self._change(kind, key, _encode(value))

    def remove(self, kind: str, key: bytes) -> None:
        """Forget a value."""
        self._change(kind, key, None)

    def later(self, kind: str, key: bytes, current: Callable[[bytes], Any]) -> None:
        """Keep what ``current`` returns of the key when it is written, or forget it for None."""
        self._change(kind, key, current)

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

    def promised(self) -> Deferred[None] | None:
        """Return at once, or with ``[store] durable`` when all is on disk."""
        return self.commit() if self._settings.durable else None

    def date(self, moment: float) -> float:
        """Return the date of a moment."""
        return self._calendar.date(moment)

    def moment(self, date: float) -> float:
        """Return the moment of a date."""
        return self._calendar.moment(date)

    # Writing

    def _change(self, kind: str, key: bytes, value: _Value) -> None:
        if self._is_closed:
            return
        if not self._changes:
            self._since = self._reactor.seconds()
        self._changes[kind, key] = value
        if self._told is None:
            self._wait(self._settings.delay)

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
        changes, self._changes = self._settled(), {}
        self._told, self._waiting = self._waiting, []
        self._begun = self._reactor.seconds()
        written = self.worker(self._transact, changes, self._leaf())
        self._logged += len(changes)
        written.addCallbacks(self._written, self._not_written, errbackArgs=(changes,))
        written.addErrback(self._bug)

    def _settled(self) -> Changes:
        """Return what has changed as it is to be written."""
        settled: Changes = {}
        for (kind, key), value in self._changes.items():
            try:
                settled[kind, key] = _octets(value, key)
            except Exception:
                self._log.failure("a bug: {kind} {key!r} cannot be written", kind=kind, key=key)
        return settled

    def _transact(self, changes: Changes, leaf: bytes) -> None:
        """Write changes, and when that was, all or none; in the thread."""
        database = self._database
        put = [(*key, value) for key, value in changes.items() if value is not None]
        put.append((*_CALENDAR, leaf))
        removed = [key for key, value in changes.items() if value is None]
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in (*_statements(_PUT, put), *_statements(_REMOVE, removed)):
                database.execute(statement, values)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _written(self, _: None) -> None:
        self.took.add(self._reactor.seconds() - self._begun)
        if self.is_failing:
            self._log.info("{path} is written to again", path=self._path)
        self.is_failing = False
        told, self._told = self._told or [], None
        if self._waiting:
            self._write()
        elif self._changes:  # they have waited for this transaction already
            waited = self._reactor.seconds() - self._since
            self._wait(max(0.0, self._settings.delay - waited))
        for committed in told:
            committed.callback(None)
        if self._logged > CHECKPOINT and not (self._is_moving or self._is_closed):
            self._is_moving = True
            moved = self.worker(self._move)
            moved.addErrback(self._not_moved).addBoth(self._moved)

    def _move(self) -> None:
        """Move the log into the database, in a thread: it waits for the disk, and nobody for it."""
        with closing(connect(self._path)) as database:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _moved(self, _: object) -> None:
        self._is_moving, self._logged = False, 0

    def _not_moved(self, failure: Failure) -> None:
        """The log goes on growing until it can be moved: that is no loss."""
        self._log.warn("{problem}", problem=explained(failure.value, self._path))

    def _not_written(self, failure: Failure, changes: Changes) -> None:
        """Keep what could not be written, but for what has changed since; try again in a while."""
        problem = explained(failure.value, self._path)
        if not self.is_failing:
            self._log.error("not written, to be tried again: {problem}", problem=problem)
        self.is_failing = True
        self.failures += 1
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

    # Life

    def startService(self) -> None:
        """Open the file, and start the thread; raises `DatabaseError`."""
        Service.startService(self)
        self._database = connect(self._path, any_thread=True)
        self._database.execute("PRAGMA wal_autocheckpoint=0")
        # A commit has to outlive a power cut only where somebody was promised that it does.
        level = "FULL" if self._settings.durable else "NORMAL"
        self._database.execute(f"PRAGMA synchronous={level}")
        self.starts = self._counted()
        self.worker.start()

    def _counted(self) -> int:
        """Count this start, which is on disk before anything that relies on it happens."""
        known = dict(self.load(_STARTS[0])).get(_STARTS[1])
        starts = 1 + (known if isinstance(known, int) else 0)
        self._changes[_STARTS] = _encode(starts)
        try:
            self._transact(self._settled(), self._leaf())
        except sqlite3.Error as error:  # a disk that is full keeps nobody from serving
            self._log.error("{problem}", problem=explained(error, self._path))
        else:
            self._changes.clear()
        return starts

    def _leaf(self) -> bytes:
        return _encode(self._calendar.leaf(self._reactor.seconds(), self._wall()))

    def stopService(self) -> Deferred[None]:
        """Write what is left, and close the file."""
        if not self.running:
            return succeed(None)
        Service.stopService(self)
        return self.commit().addErrback(self._lost).addBoth(lambda _: self.close())

    def _lost(self, failure: Failure) -> None:
        text = "{count} changes are lost: {problem}"
        self._log.error(text, count=len(self._changes), problem=failure.value)

    def close(self) -> None:
        """Close the file; what has not been written is lost."""
        self._is_closed = True
        self._changes.clear()
        self._cancel()
        self.worker.stop()
        self._database.close()


def _statements(
    text: str, rows: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield statements for so many rows each, of few sizes, so that they are prepared once.

    Each execution waits for the interpreter, which the reactor hardly gives away: row by row a
    busy server takes ten times as long.
    """
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            row = "(" + ", ".join("?" * len(rows[0])) + ")"
            values = chain.from_iterable(rows[start : start + size])
            yield text.format(", ".join([row] * size)), tuple(values)
            start += size


def _rows(database: sqlite3.Connection, kind: str) -> list[tuple[bytes, bytes]]:
    rows = database.execute("SELECT key, value FROM state WHERE kind = ?", (kind,))
    return rows.fetchall()
