"""What the commands of ``sipctl`` share: the configuration, the server, what is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NoReturn

import click

from sipproxy.config import Config, ConfigError, load
from sipproxy.ctl.socket import NotRunning, Refused, answers, ask
from sipproxy.sip.uri import canonical_host
from sipproxy.store.accounts import AccountError, split_aor

MEASURED = 1000  # rows by which the columns of a table are made
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def fail(error: object) -> NoReturn:
    """End with one line."""
    click.echo(f"sipctl: {plain(str(error))}", err=True)
    sys.exit(1)


def configured(context: click.Context) -> Config:
    """Return the configuration that ``--config`` names, or end."""
    try:
        return load(context.obj)
    except ConfigError as error:
        fail(error)


def of_ours(config: Config, aor: str) -> bytes:
    """Return the canonical form of an address of our domains, or end."""
    try:
        user, domain = split_aor(aor)
    except AccountError as error:
        fail(error)
    domains = config.settings.domains
    if domain not in {canonical_host(name.encode()) for name in domains}:
        fail(f"{aor} is in none of our domains: {', '.join(domains)}")
    return user + b"@" + domain


def asked(context: click.Context, command: str, **arguments: Any) -> Any:
    """Return what a running server answers, or end."""
    try:
        return ask(configured(context).data, command, **arguments)
    except (NotRunning, Refused) as error:
        fail(error)


def told(context: click.Context, command: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield what a running server answers, line by line, or end."""
    try:
        yield from answers(configured(context).data, command, **arguments)
    except (NotRunning, Refused) as error:
        fail(error)


def rows_of(context: click.Context, command: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table of a running server, as they come, or end."""
    for answer in told(context, command, **arguments):
        yield from answer.get("rows", ())


def tell(config: Config, command: str, **arguments: Any) -> None:
    """Tell a server of a change, if one runs; end where it refuses."""
    try:
        ask(config.data, command, **arguments)
    except NotRunning:
        return
    except Refused as error:
        fail(error)


def show(rows: Iterable[dict[str, Any]], json_wanted: bool, empty: str) -> None:
    """Print rows as a table, or as JSON, as they come: of a million, few are in memory."""
    if json_wanted:
        _show_json(rows)
        return
    coming = iter(rows)
    first = list(islice(coming, MEASURED))
    if not first:
        click.echo(empty)
        return
    table = [list(first[0]), *([cell(value) for value in row.values()] for row in first)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in chain(table, ([cell(value) for value in row.values()] for row in coming)):
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _show_json(rows: Iterable[dict[str, Any]]) -> None:
    before = "["
    for row in rows:
        text = json.dumps(row, indent=2).replace("\n", "\n  ")
        click.echo(f"{before}\n  {text}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def cell(value: Any) -> str:
    """Return a value as a table has it."""
    return plain(_written(value))


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return " ".join(f"{name}={count}" for name, count in value.items()) or "-"
    return "-" if value is None else str(value)


def plain(text: str) -> str:
    """Return text as a terminal may have it: what peers have written could command it else."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def plain_xml(document: str) -> str:
    """Return a document that says the same without what could command a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"&#{ord(c)};" for c in document)
