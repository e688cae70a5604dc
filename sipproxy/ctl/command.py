"""What the commands of ``sipctl`` share: the configuration, the server, what is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from sipproxy.config import Config, ConfigError, load
from sipproxy.ctl.socket import NotRunning, Refused, ask
from sipproxy.sip.uri import canonical_host
from sipproxy.store.accounts import AccountError, split_aor

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def fail(error: object) -> NoReturn:
    """End with one line."""
    click.echo(f"sipctl: {error}", err=True)
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


def tell(config: Config, command: str, **arguments: Any) -> None:
    """Tell a server of a change, if one runs; end where it refuses."""
    try:
        ask(config.data, command, **arguments)
    except NotRunning:
        return
    except Refused as error:
        fail(error)


def show(rows: Sequence[dict[str, Any]], json_wanted: bool, empty: str) -> None:
    """Print rows as a table, or as JSON."""
    if json_wanted:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(empty)
    else:
        table = [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            click.echo("  ".join(cells).rstrip())


def cell(value: Any) -> str:
    """Return a value as a table has it."""
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return " ".join(f"{name}={count}" for name, count in value.items())
    return "-" if value is None else str(value)
