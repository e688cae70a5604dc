"""``sipctl user import``: what is taken of a subscriber table, and what is said of the rest."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from sipproxy.sip.uri import canonical_host
from sipproxy.store.accounts import AccountError, AccountTable, Secrets
from sipproxy.store.subscribers import Subscriber, read_subscribers

_SHOWN = 20  # faults that are listed one by one


class Import:
    """One run; `report` is what to tell the operator, line by line."""

    def __init__(self, domains: Sequence[str], file: Path, strict: bool, replace: bool) -> None:
        self.faults: list[str] = []
        self.report: list[str] = []
        self._domains = {canonical_host(name.encode()) for name in domains}
        self._file = file
        self._strict = strict
        self._replace = replace

    def run(self, table: AccountTable) -> None:
        """Read the file and write the table; raises `AccountError` where nothing is taken."""
        good = list(self._good(_with_progress(read_subscribers(self._file))))
        if self.faults and self._strict:
            shown = "; ".join(self.faults[:_SHOWN])
            raise AccountError(f"nothing is taken, for {len(self.faults)} rows cannot be: {shown}")
        accounts: list[tuple[bytes, bytes, Secrets]] = [row[1:4] for row in good]
        kept = table.put_all(accounts, self._replace)
        self._tell(good, kept)

    def _good(self, rows: Iterable[Subscriber]) -> Iterator[Subscriber]:
        seen: dict[tuple[bytes, bytes], int] = {}
        for row in rows:
            fault = row.fault
            if not fault and row.domain not in self._domains:
                fault = f"{row.domain.decode('utf-8', 'replace')} is none of our domains"
            first = seen.setdefault((row.user, row.domain), row.line)
            if not fault and first != row.line:
                fault = f"its account was in line {first} already"
            if fault:
                self.faults.append(f"line {row.line}: {fault}")
            else:
                yield row

    def _tell(self, good: list[Subscriber], kept: set[bytes]) -> None:
        self.report = [f"{self._file}: {fault}" for fault in self.faults[:_SHOWN]]
        if len(self.faults) > _SHOWN:
            self.report.append(f"{self._file}: and {len(self.faults) - _SHOWN} more like these")
        if kept:
            self.report.append(f"{len(kept)} exist and were left alone; --replace takes them too")
        few = sum(row.is_md5_only for row in good)
        if few:
            note = 'they can log in where [auth] algorithms is ["MD5"], or with a new password'
            self.report.append(f"of {few} there is an MD5 hash alone: {note}")
        self.report.append(f"{len(good) - len(kept)} accounts imported")


def _with_progress(rows: Iterable[Subscriber]) -> Iterator[Subscriber]:
    """Return the rows, and say on a terminal how many there were."""
    for count, row in enumerate(rows, 1):
        yield row
        if count % 1000 == 0 and sys.stderr.isatty():
            click.echo(f"\r{count} rows", nl=False, err=True)
