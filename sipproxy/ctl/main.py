"""The ``sipctl`` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from sipproxy import __version__
from sipproxy.config import DEFAULT_FILE, ConfigError
from sipproxy.ctl.command import as_json, asked, cell, configured, fail, of_ours, show, tell
from sipproxy.ctl.demo import write_demo
from sipproxy.ctl.listings import accounts, bindings, explain, flows, publications, watchers
from sipproxy.ctl.reload import reload_command
from sipproxy.ctl.rules import forget, rules
from sipproxy.ctl.tracing import trace
from sipproxy.ctl.unbinding import unbind_command
from sipproxy.store.accounts import AccountError, AccountTable
from sipproxy.store.schema import DatabaseError


@click.group()
@click.version_option(__version__)
@click.option("--config", default=DEFAULT_FILE, show_default=True, help="The server's file.")
@click.pass_context
def main(context: click.Context, config: str) -> None:
    """Operate a sipproxy server."""
    context.obj = config


for command in (accounts, bindings, watchers, publications, flows):
    main.add_command(command)
for command in (rules, explain, trace, unbind_command, reload_command):
    main.add_command(command)


@main.group()
def user() -> None:
    """Add, change, delete and list accounts, with the server running or not."""


def _change(context: click.Context, change: Any) -> None:
    """Write the account table, then tell a running server."""
    config = configured(context)
    try:
        change(AccountTable(config.data))
    except (AccountError, DatabaseError, OSError) as error:
        fail(error)
    tell(config, "reload-accounts")


def _password(given: str | None, from_stdin: bool) -> str:
    if given is not None:
        return given
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    prompted: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return prompted


password_options = (
    click.option("--password", help="The password; visible to who lists processes."),
    click.option("--password-stdin", is_flag=True, help="Read the password from standard input."),
)


def _with_password(command: Any) -> Any:
    for option in password_options:
        command = option(command)
    return command


@user.command("add")
@click.argument("aor")
@_with_password
@click.pass_context
def user_add(context: click.Context, aor: str, password: str, password_stdin: bool) -> None:
    """Add an account: AOR is user@domain."""
    of_ours(configured(context), aor)
    secret = _password(password, password_stdin)
    _change(context, lambda table: table.put(aor, secret, replace=False))


@user.command("passwd")
@click.argument("aor")
@_with_password
@click.pass_context
def user_passwd(context: click.Context, aor: str, password: str, password_stdin: bool) -> None:
    """Give an account another password."""
    secret = _password(password, password_stdin)
    _change(context, lambda table: table.put(aor, secret, replace=True))


@user.command("del")
@click.argument("aor")
@click.pass_context
def user_del(context: click.Context, aor: str) -> None:
    """Delete an account, and what the user has kept here: another one of that name begins anew."""
    config = configured(context)
    _change(context, lambda table: table.delete(aor))
    forget(config, aor)


@user.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Take none where a row cannot be taken.")
@click.option("--replace", is_flag=True, help="Give accounts that exist the secrets of the file.")
@click.pass_context
def user_import(context: click.Context, file: Path, strict: bool, replace: bool) -> None:
    """Add the accounts of a Kamailio's or OpenSIPS' subscriber table: an SQLite file, or CSV."""
    from sipproxy.ctl.imports import Import

    taken = Import(configured(context).settings.domains, file, strict, replace)
    _change(context, taken.run)
    for line in taken.report:
        click.echo(line)
    sys.exit(1 if taken.faults else 0)


user.add_command(accounts, "list")


@main.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Read and validate the configuration, its components and its ports."""
    from sipproxy.ctl.check import check_config

    config = configured(context)
    try:
        notes = check_config(config)
    except ConfigError as error:
        fail(error)
    for note in notes:
        click.echo(note)
    click.echo(f"{config.file}: all is well")


@main.command()
@as_json
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show what a running server is doing."""
    result = asked(context, "status")
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    listen = [f"{one['transport']} {one['address']}:{one['port']}" for one in result["listen"]]
    for key, value in {**result, "listen": listen}.items():
        click.echo(f"{key.replace('_', ' ')}: {cell(value)}")


@main.command("reload-certificates")
@as_json
@click.pass_context
def reload_certificates(context: click.Context, as_json: bool) -> None:
    """Let a running server read its certificates anew; connections stay."""
    rows: list[dict[str, Any]] = asked(context, "reload-certificates")
    show(rows, as_json, "no certificates: no listener has TLS")


@main.command("try")
@click.pass_context
def try_(context: click.Context) -> None:
    """Act as two clients of the running server, and tell how each step went."""
    from sipproxy.ctl.trial import Trial

    def report(step: str, problem: str | None) -> None:
        click.echo(
            f"{'pass' if problem is None else 'FAIL'}  {step}" + (f": {problem}" if problem else "")
        )

    if not Trial(configured(context), report).run():
        sys.exit(1)


@main.command()
@click.pass_context
def demo(context: click.Context) -> None:
    """Write a demonstration's configuration and accounts, where there is none yet."""
    try:
        for line in write_demo(Path(context.obj)):
            click.echo(line)
    except (OSError, ConfigError, AccountError, DatabaseError) as error:
        fail(error)
