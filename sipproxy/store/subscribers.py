"""Reading the subscriber table of a Kamailio or OpenSIPS: an SQLite file, or CSV of it."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sipproxy.sip.digest import ALGORITHMS, ha1
from sipproxy.store.accounts import AccountError, Secrets, split_aor

_COLUMNS = ("username", "domain", "password", "ha1")
_SQLITE = b"SQLite format 3\0"
_is_md5 = re.compile(r"[0-9a-fA-F]{32}").fullmatch


class Subscriber(NamedTuple):
    """A row of the table: an account, or what is wrong with it.

    ``secrets`` has an empty one for each algorithm that the row has none for: of its MD5 hash alone
    no other can be made.
    """

    line: int
    user: bytes = b""
    domain: bytes = b""
    secrets: Secrets = (b"", b"", b"")
    fault: str = ""

    @property
    def is_md5_only(self) -> bool:
        """Whether its password was not in the table."""
        return not self.secrets[1]


def read_subscribers(path: Path) -> Iterator[Subscriber]:
    """Return every row of a file; raises `AccountError` for a file that is none of these."""
    try:
        with open(path, "rb") as file:
            is_sqlite = file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise AccountError(f"{path} cannot be read: {error.strerror}") from None
    rows = _sqlite_rows(path) if is_sqlite else _csv_rows(path)
    for line, row in rows:
        yield _subscriber(line, row)


def _sqlite_rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            for line, row in enumerate(database.execute("SELECT * FROM subscriber"), 1):
                yield line, {name: str(row[name] or "") for name in row.keys()}  # noqa: SIM118
    except sqlite3.Error as error:
        raise AccountError(f"{path}: {error}: no subscriber table can be read from it") from None


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        head = file.readline()
        file.seek(0)
        reader = csv.DictReader(file, delimiter=";" if ";" in head else ",", restval="")
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        if "username" not in names or not {"password", "ha1"} & set(names):
            columns = ",".join(_COLUMNS)
            raise AccountError(f"{path}: its first line has to name its columns: {columns}")
        reader.fieldnames = names
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise AccountError(f"{path}:{reader.line_num}: {error}") from None


def _subscriber(line: int, row: Mapping[str, str | None]) -> Subscriber:
    name, domain, password, md5 = ((row.get(column) or "").strip() for column in _COLUMNS)
    if not name or not domain:
        return Subscriber(line, fault="it has no username, or no domain")
    try:
        user, realm = split_aor(f"{name}@{domain}")
        octets = (row.get("password") or "").encode()
    except (AccountError, UnicodeError):
        return Subscriber(line, fault=f"{name!r} and {domain!r} make no address")
    if password:
        every = (ha1(algorithm, user, realm, octets) for algorithm in ALGORITHMS)
        return Subscriber(line, user, realm, tuple(every))  # type: ignore[arg-type]
    if _is_md5(md5):
        return Subscriber(line, user, realm, (md5.lower().encode(), b"", b""))
    return Subscriber(line, fault=f"{name}@{domain} has neither a password nor an MD5 hash in ha1")
