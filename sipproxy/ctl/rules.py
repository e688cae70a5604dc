"""``sipctl rules``: what users have ruled of who may see them, put, shown and deleted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from sipproxy.config import Config, ConfigError, Mistake, convert
from sipproxy.ctl.command import as_json, configured, fail, of_ours, show, tell
from sipproxy.presence.authorization import KIND
from sipproxy.presence.rules import read_rules
from sipproxy.store.accounts import AccountTable, split_aor
from sipproxy.store.documents import DocumentError, DocumentTable
from sipproxy.store.options import DocumentsOptions
from sipproxy.store.schema import DatabaseError

of_user = click.argument("user")
# RFC 5025 §9.7: where there is one document, it SHOULD be called so.
named = click.option("--name", default="index", show_default=True, help="Which document.")
_STDIN = Path("-")


@click.group()
def rules() -> None:
    """Put, show, delete and list who may see a user, with the server running or not."""


@contextmanager
def _table(config: Config) -> Iterator[DocumentTable]:
    """The documents on disk; ends with one line where they cannot be used."""
    component = config.settings.components.documents
    if component != "documents":
        fail(config.error("components.documents", f"{component!r} has documents of its own"))
    try:
        yield _opened(config)
    except (ConfigError, DatabaseError, OSError) as error:
        fail(error)


def _opened(config: Config) -> DocumentTable:
    """Return the documents on disk; raises `ConfigError`, `DatabaseError` and OSError."""
    table = config.settings.plugin.get("documents", {})
    try:
        options = convert(table, DocumentsOptions, "plugin.documents")
    except Mistake as mistake:
        raise config.error(mistake.key, mistake.problem) from None
    return DocumentTable(config.data, options, config.settings.presence)


def forget(config: Config, user: str) -> None:
    """Delete all that a user has kept here, where it is here, and tell a running server."""
    if config.settings.components.documents == "documents":
        with _table(config) as table:
            table.forget(b"@".join(split_aor(user)))
        tell(config, "reload-documents", aor=user)


@rules.command("put")
@of_user
@click.argument("file", type=click.Path(path_type=Path))
@named
@click.pass_context
def rules_put(context: click.Context, user: str, file: Path, name: str) -> None:
    """Put the rules in FILE (- is standard input) in the place of those of USER."""
    config = configured(context)
    aor = of_ours(config, user)
    data = _read(file)
    with _table(config) as table:
        _require(config, aor)
        try:
            table.put(aor, KIND, name, data)
        except DocumentError as error:
            place = "standard input" if file == _STDIN else str(file)
            fail(f"{place}: {error}; nothing changed")
    tell(config, "reload-documents", aor=user)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == _STDIN else file.read_bytes()
    except OSError as error:
        fail(f"{file}: {error.strerror}")


def _require(config: Config, aor: bytes) -> None:
    """End where there is no such user, as far as we can know."""
    settings = config.settings
    if not settings.auth.required or settings.components.credentials != "accounts":
        return
    if all(aor != known for known, _ in AccountTable(config.data).rows()):
        fail(f"{_text(aor)} does not exist: use `sipctl user add`")


@rules.command("get")
@of_user
@named
@click.pass_context
def rules_get(context: click.Context, user: str, name: str) -> None:
    """Print the rules of USER, as they were put."""
    config = configured(context)
    aor = of_ours(config, user)
    with _table(config) as table:
        for _, kind, known, data in table.rows(aor):
            if (kind, known) == (KIND, name):
                click.echo(data, nl=False)
                return
    fail(_none(aor, name))


@rules.command("del")
@of_user
@named
@click.pass_context
def rules_del(context: click.Context, user: str, name: str) -> None:
    """Delete rules of USER; without any, `[presence] unknown_watchers` holds."""
    config = configured(context)
    aor = of_ours(config, user)
    with _table(config) as table:
        if not table.delete(aor, KIND, name):
            fail(_none(aor, name))
    tell(config, "reload-documents", aor=user)


@rules.command("list")
@click.argument("user", required=False)
@as_json
@click.pass_context
def rules_list(context: click.Context, user: str | None, as_json: bool) -> None:
    """List who has rules, and how many."""
    config = configured(context)
    aor = None if user is None else of_ours(config, user)
    with _table(config) as table:
        rows = [
            {"user": _text(owner), "name": name, "rules": _count(data), "bytes": len(data)}
            for owner, kind, name, data in table.rows(aor)
            if kind == KIND
        ]
    show(rows, as_json, "no rules; put some with `sipctl rules put user@domain FILE`")


def _count(data: bytes) -> int | None:
    try:
        return len(read_rules(data))
    except ValueError:
        return None


def _none(aor: bytes, name: str) -> str:
    return f"{_text(aor)} has no rules called {name}: see `sipctl rules list`"


def _text(aor: bytes) -> str:
    return aor.decode("utf-8", "replace")
