"""What users keep with us, document by document: their rules now, and what XCAP will write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from zope.interface import implementer

from sipproxy.interfaces import IDocuments, IHost
from sipproxy.interfaces.reload import IReconfigurable
from sipproxy.presence.authorization import KIND as RULES
from sipproxy.presence.rules import read_rules
from sipproxy.presence.settings import Presence
from sipproxy.store.options import DocumentsOptions
from sipproxy.store.schema import connect, create, snapshot, transaction

# The kinds that there are, and what raises ValueError for a document that is none of its kind.
KINDS: dict[str, Callable[[bytes, Presence], object]] = {
    RULES: lambda data, presence: read_rules(data, most=presence.rules)
}
_name = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~!$&'()*+,;=:@%-]{1,100}", re.A).fullmatch

Kept = dict[str, dict[str, bytes]]  # by kind and name
_NOTHING: Kept = {}


class DocumentError(ValueError):
    """A document cannot be kept as asked; the text says why."""


class DocumentTable:
    """The table on disk; a document is written whole, or not at all.

    Raises OSError or `DatabaseError` where the file cannot be used.
    """

    def __init__(
        self, directory: Path, options: DocumentsOptions, presence: Presence | None = None
    ) -> None:
        self.path = create(directory)
        self.options = options
        self.presence = presence or Presence()
        connect(self.path).close()

    def put(self, aor: bytes, kind: str, name: str, data: bytes) -> None:
        """Keep a document; raises `DocumentError`."""
        self._check(kind, name, data)
        with transaction(self.path) as database:
            others = database.execute(
                "SELECT count(*) FROM documents WHERE aor = ? AND kind = ? AND name != ?",
                (aor, kind, name),
            )
            most = self.options.max_documents
            if others.fetchone()[0] >= most:
                raise DocumentError(f"there are {most} {kind} documents already: delete one")
            row = (aor, kind, name, data)
            database.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", row)

    def _check(self, kind: str, name: str, data: bytes) -> None:
        if kind not in KINDS:
            raise DocumentError(f"{kind!r} is no kind of document: there are {', '.join(KINDS)}")
        if not _name(name):
            raise DocumentError(f"{name[:100]!r} is no name: write letters and digits, as in index")
        if len(data) > self.options.max_size:
            limit = f"{self.options.max_size} are allowed by [plugin.documents] max_size"
            raise DocumentError(f"it has {len(data)} bytes, and {limit}")
        try:
            KINDS[kind](data, self.presence)
        except ValueError as error:
            raise DocumentError(str(error)) from None

    def delete(self, aor: bytes, kind: str, name: str) -> bool:
        """Delete a document; tell whether there was one."""
        with transaction(self.path) as database:
            deleted = database.execute(
                "DELETE FROM documents WHERE aor = ? AND kind = ? AND name = ?", (aor, kind, name)
            )
            return deleted.rowcount > 0

    def forget(self, aor: bytes) -> None:
        """Delete every document of a user."""
        with transaction(self.path) as database:
            database.execute("DELETE FROM documents WHERE aor = ?", (aor,))

    def rows(self, aor: bytes | None = None) -> Iterator[tuple[bytes, str, str, bytes]]:
        """Return address-of-record, kind, name and document of all, or of one user, in order."""
        asked = "" if aor is None else "WHERE aor = ?"
        with snapshot(self.path) as database:
            yield from database.execute(
                f"SELECT aor, kind, name, data FROM documents {asked} ORDER BY aor, kind, name",
                () if aor is None else (aor,),
            )


@implementer(IDocuments, IReconfigurable)
class Documents:
    """The documents in memory, and each change written to the table before it counts.

    `reload` takes over what another process, ``sipctl``, has written there.
    """

    def __init__(self, table: DocumentTable) -> None:
        self._table = table
        self._kept: dict[bytes, Kept] = {}
        self._watchers: list[Callable[[bytes, str], None]] = []
        self.audiences: tuple[list[Any], ...] = (self._watchers,)
        self.reload()

    def reconfigured(self, options: DocumentsOptions, host: IHost) -> Callable[[], None]:
        """Have other limits; what is there already stays."""

        def switch() -> None:
            self._table.options, self._table.presence = options, host.settings.presence

        return switch

    def __len__(self) -> int:
        return sum(len(names) for kept in self._kept.values() for names in kept.values())

    def get(self, aor: bytes, kind: str, name: str) -> bytes | None:
        """Return a document, or None."""
        return self._kept.get(aor, _NOTHING).get(kind, {}).get(name)

    def names(self, aor: bytes, kind: str) -> Sequence[str]:
        """Return the names of a user's documents of a kind, in order."""
        return tuple(self._kept.get(aor, _NOTHING).get(kind, ()))

    def put(self, aor: bytes, kind: str, name: str, data: bytes) -> None:
        """Keep a document; raises `DocumentError`, and `DatabaseError` where it cannot."""
        self._table.put(aor, kind, name, data)
        self.reload(aor)

    def delete(self, aor: bytes, kind: str, name: str) -> bool:
        """Forget a document; tell whether there was one."""
        was_there = self._table.delete(aor, kind, name)
        self.reload(aor)
        return was_there

    def watch(self, changed: Callable[[bytes, str], None]) -> None:
        """Call ``changed`` with the address-of-record and the kind whenever one has changed."""
        self._watchers.append(changed)

    def reload(self, aor: bytes | None = None) -> None:
        """Read the table again, or what it has of one user; tell of what has changed."""
        after: dict[bytes, Kept] = {}
        for owner, kind, name, data in self._table.rows(aor):
            after.setdefault(owner, {}).setdefault(kind, {})[name] = data
        for owner in self._kept.keys() | after.keys() if aor is None else (aor,):
            self._replace(owner, after.get(owner, {}))

    def _replace(self, aor: bytes, after: Kept) -> None:
        before = self._kept.pop(aor, {})
        if after:
            self._kept[aor] = after
        for kind in before.keys() | after.keys():
            if before.get(kind) != after.get(kind):
                for changed in self._watchers:
                    changed(aor, kind)
