"""``sipctl trace``: the messages that a running server has on its tape, and those that follow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import click

from sipproxy.ctl import pcapng
from sipproxy.ctl.command import as_json, asked
from sipproxy.ctl.trace import captured, shown

_PAUSE = 0.5  # seconds between two questions


def _writer(pcap: BinaryIO | None, as_json: bool) -> Callable[[dict[str, Any]], None]:
    """Return what writes a message where it is wanted."""
    if pcap is None:
        return lambda row: click.echo(json.dumps(row) if as_json else shown(row))
    pcap.write(pcapng.header())

    def write(row: dict[str, Any]) -> None:
        pcap.write(captured(row))
        pcap.flush()

    return write


def _messages(
    context: click.Context, follow: bool, wanted: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Return what is on the tape, then, where it is followed, what comes, without an end."""
    since = 0
    while True:
        answer = asked(context, "trace", since=since, **wanted)
        yield from answer["messages"]
        since = answer["after"]
        if not answer["messages"]:
            if not follow:
                return
            time.sleep(_PAUSE)


@click.command()
@click.option("--user", help="Who sends it or is sent to: USER, or USER@DOMAIN.")
@click.option("--call-id", help="Its Call-ID.")
@click.option("--peer", help="Whom it came from or went to: ADDRESS, or ADDRESS:PORT.")
@click.option("--pcap", type=click.File("wb", lazy=False), help="A file for Wireshark to open.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@as_json
@click.pass_context
def trace(
    context: click.Context,
    user: str | None,
    call_id: str | None,
    peer: str | None,
    pcap: BinaryIO | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Show the last messages, as they were before TLS and after it."""
    write, count = _writer(pcap, as_json), 0
    wanted = {"user": user, "call_id": call_id, "peer": peer}
    try:
        for row in _messages(context, follow, wanted):
            write(row)
            count += 1
    except KeyboardInterrupt:
        click.echo()
    if pcap is not None:
        click.echo(f"{count} messages written to {pcap.name}")
    elif not count and not as_json:
        click.echo("no such message is on the tape")
