"""What an operator does to bindings: end them, or have them end soon (RFC 3680 §3.1, §4.7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sipproxy.ctl.command import as_json, asked, show
from sipproxy.interfaces import Ending, is_deferred, then

if TYPE_CHECKING:
    from sipproxy.node import Node

EVENTS = ("deactivated", "rejected", "probation", "shortened")


def unbind(node: Node, aor: bytes, contact: str | None, event: str, seconds: int) -> Any:
    """End a user's bindings, or the one of a contact, and return what was done to which.

    Returns a Deferred of it while a REGISTER of the user is being written: that comes first.
    ``event`` is one of `EVENTS`: ``seconds`` are what probation asks the client to wait, or the
    most that shortened leaves of a binding. Raises ValueError for anything else.
    """
    if event not in EVENTS or seconds < 0:
        raise ValueError(f"it is none of {', '.join(EVENTS)}, or in the past")
    return node.location.turns.take(aor, lambda: _unbind(node, aor, contact, event, seconds))


def _unbind(node: Node, aor: bytes, contact: str | None, event: str, seconds: int) -> Any:
    now = node.now()
    bindings = node.location.bindings(aor)
    named = [b for b in bindings if contact in (None, b.contact.raw_uri.decode("utf-8", "replace"))]
    kept = [binding for binding in bindings if binding not in named]
    if event == "shortened":
        named = [binding for binding in named if binding.expires_at > now + seconds]
        kept = [b.shortened(now + seconds) if b in named else b for b in bindings]
    done = [{"aor": aor.decode("utf-8", "replace"), **b.describe(now)} for b in named]
    if not named:
        return done
    committed = node.location.commit(aor, kept, Ending(event.encode(), seconds))
    if is_deferred(committed):
        committed.addErrback(_not_written)
    return then(committed, lambda _: done)


def _not_written(_: object) -> None:
    raise ValueError("the bindings stay: the store cannot be written")


@click.command("unbind")
@click.argument("aor")
@click.option("--contact", help="End the binding of this contact alone.")
@click.option("--reject", is_flag=True, help="Say that to register again will not help.")
@click.option("--retry-after", type=click.IntRange(1), help="Say so many seconds to wait with it.")
@click.option("--within", type=click.IntRange(1), help="Let it last so many seconds at most.")
@as_json
@click.pass_context
def unbind_command(
    context: click.Context,
    aor: str,
    contact: str | None,
    reject: bool,
    retry_after: int | None,
    within: int | None,
    as_json: bool,
) -> None:
    """End the bindings of AOR in a running server; who watches `reg` is told why.

    Without an option the client may register again at once.
    """
    if bool(reject) + bool(retry_after) + bool(within) > 1:
        raise click.UsageError("--reject, --retry-after and --within exclude each other")
    event = "rejected" if reject else "probation" if retry_after else "deactivated"
    event = "shortened" if within else event
    seconds = retry_after or within or 0
    arguments = {"aor": aor, "contact": contact, "event": event, "seconds": seconds}
    show(list(asked(context, "unbind", **arguments)), as_json, "no bindings")
