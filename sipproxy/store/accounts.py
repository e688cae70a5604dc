"""The account table: users and the secrets of their passwords."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from zope.interface import implementer

from sipproxy.interfaces import ICredentialStore
from sipproxy.interfaces.reload import IReconfigurable
from sipproxy.sip.digest import ALGORITHMS, ha1
from sipproxy.sip.grammar import unescape
from sipproxy.sip.uri import canonical_host
from sipproxy.store.schema import connect, create, snapshot, transaction

_COLUMNS = {"MD5": 0, "SHA-256": 1, "SHA-512-256": 2}
_LISTED = """
    SELECT user, domain, md5 != x'', sha256 != x'', sha512_256 != x'' FROM accounts
    WHERE ? IS NULL OR (user = ? AND domain = ?) ORDER BY domain, user
"""
Secrets = tuple[bytes, bytes, bytes]


class AccountError(ValueError):
    """An account cannot be written as asked; the text says what to do."""


def split_aor(text: str) -> tuple[bytes, bytes]:
    """Return user and domain of ``user@domain`` in their canonical form; raises `AccountError`."""
    user, _, domain = text.removeprefix("sip:").rpartition("@")
    if not user or not domain or any(c.isspace() for c in text) or '"' in text:
        raise AccountError(f"{text!r} is no address: write user@domain")
    try:
        return unescape(user.encode()), canonical_host(domain.encode("idna"))
    except UnicodeError:
        raise AccountError(f"{text!r} is no address: {domain!r} is no domain") from None


class AccountTable:
    """The table on disk. Passwords are not in it: one secret per algorithm is (RFC 7616 §3.4.2).

    The file is the owner's alone (mode 0600). Raises OSError or
    `DatabaseError` where it cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self.path = create(directory)
        connect(self.path).close()

    def put(self, aor: str, password: str, replace: bool) -> None:
        """Add an account, or with ``replace`` give an existing one another password."""
        user, domain = split_aor(aor)
        if not password:
            raise AccountError("an empty password protects nothing: give one")
        secrets = [ha1(name, user, domain, password.encode()) for name in ALGORITHMS]
        with transaction(self.path) as database:
            known = self._count(database, user, domain)
            if known and not replace:
                raise AccountError(f"{aor} exists: use `sipctl user passwd` to change its password")
            if replace and not known:
                raise AccountError(f"{aor} does not exist: use `sipctl user add`")
            database.execute(
                "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)", (user, domain, *secrets)
            )

    def put_all(
        self, accounts: Iterable[tuple[bytes, bytes, Secrets]], replace: bool
    ) -> set[bytes]:
        """Add accounts by their secrets, all or none; return who existed, and so was left alone."""
        kept = set()
        with transaction(self.path) as database:
            for user, domain, secrets in accounts:
                if not replace and self._count(database, user, domain):
                    kept.add(user + b"@" + domain)
                    continue
                row = (user, domain, *secrets)
                database.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)", row)
        return kept

    def delete(self, aor: str) -> None:
        """Delete an account; raises `AccountError` where there is none."""
        user, domain = split_aor(aor)
        with transaction(self.path) as database:
            if not self._count(database, user, domain):
                raise AccountError(f"{aor} does not exist: see `sipctl user list`")
            database.execute("DELETE FROM accounts WHERE user = ? AND domain = ?", (user, domain))

    @staticmethod
    def _count(database: sqlite3.Connection, user: bytes, domain: bytes) -> int:
        rows = database.execute(
            "SELECT count(*) FROM accounts WHERE user = ? AND domain = ?", (user, domain)
        )
        count: int = rows.fetchone()[0]
        return count

    def rows(self) -> Iterator[tuple[bytes, Secrets]]:
        """Return every account's address-of-record with its secrets, in order."""
        with snapshot(self.path) as database:
            for user, domain, *secrets in database.execute(
                "SELECT user, domain, md5, sha256, sha512_256 FROM accounts ORDER BY domain, user"
            ):
                yield user + b"@" + domain, (secrets[0], secrets[1], secrets[2])

    def listed(self, aor: str | None = None) -> Sequence[tuple[bytes, bytes, Sequence[str]]]:
        """Return user, domain and algorithms of every account, or of one; never a secret."""
        one = (None, None) if aor is None else split_aor(aor)
        with snapshot(self.path) as database:
            found = database.execute(_LISTED, (one[0], *one))
            return [
                (user, domain, [name for name in ALGORITHMS if has[_COLUMNS[name]]])
                for user, domain, *has in found
            ]


@implementer(ICredentialStore, IReconfigurable)
class Accounts:
    """The accounts in memory, as the table had them when `reload` was called last."""

    def __init__(self, table: AccountTable) -> None:
        self._table = table
        self._secrets: dict[bytes, Secrets] = {}
        self.reload()

    def __len__(self) -> int:
        return len(self._secrets)

    def reconfigured(self, options: Any, host: Any) -> Callable[[], None]:
        """Go on: accounts are of any domain, and change by `reload` alone."""
        return lambda: None

    def reload(self) -> bool:
        """Read the table again; tell whether any account is gone."""
        before, self._secrets = self._secrets, dict(self._table.rows())
        return not before.keys() <= self._secrets.keys()

    def known(self, aor: bytes) -> bool:
        """Tell whether there is such a user."""
        return aor in self._secrets

    def secret(self, aor: bytes, algorithm: str) -> bytes | None:
        """Return the HA1 of a user for an algorithm, or None."""
        secrets = self._secrets.get(aor)
        return None if secrets is None else secrets[_COLUMNS[algorithm]] or None


@implementer(ICredentialStore)
class Everybody:
    """Where ``[auth] required`` is false, every user of our domains exists."""

    def known(self, aor: bytes) -> bool:
        """Tell whether there is such a user: yes."""
        return True

    def secret(self, aor: bytes, algorithm: str) -> None:
        """Nobody has a secret."""
