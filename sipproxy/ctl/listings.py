"""``sipctl watchers``, ``publications`` and ``explain``: who is told what of whom, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from time import sleep
from typing import Any

import click

from sipproxy.ctl.command import as_json, asked, cell, fail, show

INTERVAL = 1.0  # seconds between two looks
_PASSING = ("age", "expires")  # what changes by itself is no change

Row = dict[str, Any]
Rows = dict[str, Row]

of_one = click.argument("presentity", required=False)
followed = click.option("--follow", is_flag=True, help="Go on, and print what changes.")


@click.command("watchers")
@of_one
@followed
@as_json
@click.pass_context
def watchers(context: click.Context, presentity: str | None, follow: bool, as_json: bool) -> None:
    """List who watches whom, or PRESENTITY: subscriptions to every package."""
    if follow:
        _follow(context, "watchers", presentity, "id", as_json)
    else:
        show(asked(context, "watchers", aor=presentity), as_json, "no watchers")


@click.command("publications")
@of_one
@followed
@as_json
@click.pass_context
def publications(
    context: click.Context, presentity: str | None, follow: bool, as_json: bool
) -> None:
    """List what users have published, or PRESENTITY; each refresh gives it another tag."""
    if follow:
        _follow(context, "publications", presentity, "tag", as_json)
    else:
        show(asked(context, "publications", aor=presentity), as_json, "no publications")


@click.command("explain")
@click.argument("watcher")
@click.argument("presentity")
@click.option("--document", is_flag=True, help="Print the document that is sent, alone.")
@as_json
@click.pass_context
def explain(
    context: click.Context, watcher: str, presentity: str, document: bool, as_json: bool
) -> None:
    """Say what WATCHER sees of PRESENTITY, and why, or why nothing is sent.

    WATCHER is user@domain, taken for authenticated unless a subscription says otherwise, or
    anonymous.
    """
    if watcher == "anonymous":
        watcher = "anonymous@anonymous.invalid"
    found = asked(context, "explain", watcher=watcher, presentity=presentity)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not document:
        click.echo("\n".join(found["words"]))
    elif found["document"] is None:
        fail(found["words"][0])
    else:
        click.echo(found["document"])


def _follow(context: click.Context, command: str, aor: str | None, key: str, wants: bool) -> None:
    """Look again and again, until the operator or the server ends it."""
    known: Rows = {}
    try:
        while True:
            now = {row[key]: row for row in asked(context, command, aor=aor)}
            for change, row in changes(known, now):
                click.echo(_line(change, row, wants))
            known = now
            sleep(INTERVAL)
    except KeyboardInterrupt:
        return


def changes(before: Rows, after: Rows) -> Iterator[tuple[str, Row]]:
    """Return each row that is gone, new or changed between two looks, with the word for it."""
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


def _line(change: str, row: Row, wants_json: bool) -> str:
    time = datetime.now().isoformat(" ", "seconds")
    if wants_json:
        return json.dumps({"time": time, "change": change, **row})
    return "  ".join([time, f"{change:7}", *map(cell, row.values())])
