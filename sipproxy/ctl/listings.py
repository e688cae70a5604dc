"""``sipctl bindings``, ``watchers``, ``publications``, ``flows``, ``accounts`` and ``explain``."""

from __future__ import annotations

import json

import click

from sipproxy.ctl.command import (
    as_json,
    asked,
    configured,
    fail,
    of_ours,
    plain,
    plain_xml,
    rows_of,
    show,
)
from sipproxy.ctl.following import follow
from sipproxy.store.accounts import AccountTable
from sipproxy.store.schema import DatabaseError

# What makes a row of a table the same one in two looks.
_IDENTITY = {
    "bindings": ("aor", "contact", "instance", "reg_id"),
    "watchers": ("id",),
    "publications": ("presentity", "package", "id"),
    "flows": ("transport", "peer", "local", "since"),
}

of_one = click.argument("presentity", required=False)
followed = click.option(
    "--follow", is_flag=True, help="Print what comes, changes and goes from now on."
)
of_package = click.option("--package", help="Of this event package alone.")


def _list(
    context: click.Context, table: str, follows: bool, wants_json: bool, **filters: str | None
) -> None:
    """Print a table of a running server, or what changes of it."""
    if follows:
        follow(context, table, _IDENTITY[table], wants_json, **filters)
    else:
        show(rows_of(context, table, **filters), wants_json, f"no {table}")


@click.command("bindings")
@click.argument("aor", required=False)
@followed
@as_json
@click.pass_context
def bindings(context: click.Context, aor: str | None, follow: bool, as_json: bool) -> None:
    """List who is where: the bindings of all users, or of AOR."""
    _list(context, "bindings", follow, as_json, aor=aor)


@click.command("watchers")
@of_one
@click.option("--watcher", help="Who watches: USER@DOMAIN.")
@of_package
@click.option("--status", type=click.Choice(["active", "pending", "waiting"]))
@followed
@as_json
@click.pass_context
def watchers(
    context: click.Context,
    presentity: str | None,
    watcher: str | None,
    package: str | None,
    status: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """List who watches whom, or PRESENTITY: subscriptions to every package."""
    filters = {"aor": presentity, "watcher": watcher, "package": package, "status": status}
    _list(context, "watchers", follow, as_json, **filters)


@click.command("publications")
@of_one
@of_package
@followed
@as_json
@click.pass_context
def publications(
    context: click.Context, presentity: str | None, package: str | None, follow: bool, as_json: bool
) -> None:
    """List what users have published, or PRESENTITY; each refresh gives it another tag."""
    _list(context, "publications", follow, as_json, aor=presentity, package=package)


@click.command("flows")
@click.argument("user", required=False)
@click.option("--transport", type=click.Choice(["udp", "tcp", "tls"]))
@click.option("--peer", help="Whom it leads to: ADDRESS, or ADDRESS:PORT.")
@followed
@as_json
@click.pass_context
def flows(
    context: click.Context,
    user: str | None,
    transport: str | None,
    peer: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """List every connection, and where the users, or USER, are reached over UDP."""
    filters = {"user": user, "transport": transport, "peer": peer}
    _list(context, "flows", follow, as_json, **filters)


@click.command("accounts")
@click.argument("aor", required=False)
@as_json
@click.pass_context
def accounts(context: click.Context, aor: str | None, as_json: bool) -> None:
    """List accounts, or AOR, with the server running or not; there is no secret in it."""
    config = configured(context)
    if aor is not None:
        of_ours(config, aor)
    try:
        found = AccountTable(config.data).listed(aor)
    except (DatabaseError, OSError) as error:
        fail(error)
    rows = (
        {
            "account": (user + b"@" + domain).decode("utf-8", "replace"),
            "realm": domain.decode("utf-8", "replace"),
            "algorithms": list(algorithms),
        }
        for user, domain, algorithms in found
    )
    none = "no accounts; add one with `sipctl user add user@domain`"
    show(rows, as_json, none if aor is None else f"{aor} does not exist")


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
        click.echo("\n".join(map(plain, found["words"])))
    elif found["document"] is None:
        fail(found["words"][0])
    else:
        click.echo(plain_xml(found["document"]))
