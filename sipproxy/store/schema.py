"""The database file ``sipproxy.sqlite``: its schema, version by version, and how it is opened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

FILE = "sipproxy.sqlite"

# Each step moves the file from the version that is its index to the next one; none is ever edited.
STEPS = (
    # Before files had versions there was this table; where it is, it stays as it is.
    """
    CREATE TABLE IF NOT EXISTS accounts (
        user BLOB NOT NULL, domain BLOB NOT NULL,
        md5 BLOB NOT NULL, sha256 BLOB NOT NULL, sha512_256 BLOB NOT NULL,
        PRIMARY KEY (user, domain)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE state (
        kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE documents (
        aor BLOB NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (aor, kind, name)
    )
    """,
)


class DatabaseError(ValueError):
    """The file cannot be used; the text says why, and what to do."""


def create(directory: Path) -> Path:
    """Return the path of the file, which is its owner's alone (mode 0600); raises OSError.

    One that is there is not opened: to close it again would drop the locks of every connection that
    this process has to it (POSIX), and another process, done with it, would take the log away that
    we write to (https://sqlite.org/howtocorrupt.html §2.2).
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / FILE
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return path


def connect(path: Path, any_thread: bool = False) -> sqlite3.Connection:
    """Return a connection to a file of the newest version; raises `DatabaseError`.

    Transactions begin and end as they are told to (``isolation_level`` None).
    """
    database = sqlite3.connect(
        path, timeout=5.0, isolation_level=None, check_same_thread=not any_thread
    )
    try:
        database.execute("PRAGMA journal_mode=WAL")
        if _version(database) != len(STEPS):
            _migrate(database, path)
    except sqlite3.DatabaseError as error:
        database.close()
        raise explained(error, path) from None
    except DatabaseError:
        database.close()
        raise
    return database


@contextmanager
def transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction with the file open for it alone: all or nothing; raises `DatabaseError`."""
    with _transaction(path, "IMMEDIATE") as database:
        yield database


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as it is at one moment, to read; waits for nobody who writes.

    Raises `DatabaseError`.
    """
    with _transaction(path, "DEFERRED") as database:
        yield database


@contextmanager
def _transaction(path: Path, kind: str) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as database:
        try:
            database.execute(f"BEGIN {kind}")
            yield database
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise explained(error, path) from None


def check(database: sqlite3.Connection, path: Path) -> None:
    """Read the whole file; raises `DatabaseError` where it is damaged, or cannot be written."""
    try:
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        database.execute("DELETE FROM state WHERE kind = ''")  # of which there are none
    except sqlite3.DatabaseError as error:
        raise explained(error, path) from None
    if verdict != "ok":
        raise _damaged(path, verdict)


def _version(database: sqlite3.Connection) -> int:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    return version


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    """Take the steps that the file has not taken, all or none; another process waits meanwhile."""
    database.execute("BEGIN IMMEDIATE")
    try:
        version = _version(database)
        if version > len(STEPS):
            raise DatabaseError(
                f"{path} is of version {version}, which a newer sipproxy has made; this one knows "
                f"{len(STEPS)}: upgrade, or restore the copy of before"
            )
        for step in STEPS[version:]:
            database.execute(step)
        database.execute(f"PRAGMA user_version = {len(STEPS)}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def explained(error: BaseException | None, path: Path) -> DatabaseError:
    """Return what an error of SQLite means to the operator."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return DatabaseError(f"{path}: the disk is full: make room")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return DatabaseError(f"{path} cannot be written: its directory and it have to be ours")
    if code == sqlite3.SQLITE_BUSY:
        return DatabaseError(f"{path} is locked by another process: find it with fuser, and end it")
    return DatabaseError(f"{path}: {error}")


def _damaged(path: Path, why: str) -> DatabaseError:
    text = why.replace("\n", " ")
    return DatabaseError(
        f"{path} is damaged ({text}): restore a copy, or move it away and begin anew"
    )
