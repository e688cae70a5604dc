"""``--follow``: what comes, changes and goes of a table, a line for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from sipproxy.ctl.command import cell, fail, told

_PASSING = ("age", "expires", "idle")  # what changes by itself is no change

Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]


class Known:
    """The rows that there were when the server told of them last, by what it calls them."""

    def __init__(self, identity: Sequence[str]) -> None:
        self._identity = identity
        self._rows: dict[str, Rows] = {}
        self._before: dict[str, Rows] = {}
        self._is_whole = True  # all that there is is being told, and not what changes
        self._is_first = True

    def heard(self, answer: dict[str, Any]) -> Iterator[tuple[str, Row]]:
        """Take in a line of the server's; yield the changes that it makes known."""
        if "rows" in answer:
            yield from self._told(answer["of"], answer["rows"])
        elif "again" in answer:
            self._before, self._rows, self._is_whole = self._rows, {}, True
        else:
            before, self._before, self._is_whole = self._before, {}, False
            if not self._is_first:
                yield from changes(_flat(before), _flat(self._rows))
            self._is_first = False

    def _told(self, name: str, rows: Iterable[Row]) -> Iterator[tuple[str, Row]]:
        now = {self._key(row): row for row in rows}
        if not self._is_whole:
            yield from changes(self._rows.get(name, {}), now)
        if now:
            self._rows[name] = now
        else:
            self._rows.pop(name, None)

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[column] for column in self._identity)


def _flat(rows: dict[str, Rows]) -> Rows:
    return {(name, *key): row for name, some in rows.items() for key, row in some.items()}


def changes(before: Rows, after: Rows) -> Iterator[tuple[str, Row]]:
    """Yield each row that is gone, new or changed between two looks, with the word for it."""
    for key, row in before.items():
        if key not in after:
            yield "gone", row
    for key, row in after.items():
        known = before.get(key)
        if known is None:
            yield "new", row
        elif _lasting(known) != _lasting(row):
            yield "changed", row


def _lasting(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in _PASSING}


def follow(
    context: click.Context,
    table: str,
    identity: Sequence[str],
    wants_json: bool,
    **filters: str | None,
) -> None:
    """Print what changes of a table from now on, until the operator or the server ends it."""
    known = Known(identity)
    try:
        for answer in told(context, table, follow=True, **filters):
            for change, row in known.heard(answer):
                click.echo(_line(change, row, wants_json))
    except KeyboardInterrupt:
        return
    fail("the server has ended")


def _line(change: str, row: Row, wants_json: bool) -> str:
    time = datetime.now().isoformat(" ", "seconds")
    if wants_json:
        return json.dumps({"time": time, "change": change, **row})
    return "  ".join([time, f"{change:7}", *map(cell, row.values())])
