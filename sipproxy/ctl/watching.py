"""A subscription and a publication, as the control socket tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK

if TYPE_CHECKING:
    from sipproxy.events.subscription import Subscription
    from sipproxy.interfaces.events import Publication
    from sipproxy.node import Node

HANDLING = {BLOCK: "block", CONFIRM: "confirm", POLITE_BLOCK: "polite-block", ALLOW: "allow"}


def watchers_of(node: Node, package: bytes, resource: bytes) -> list[dict[str, Any]]:
    """Return the subscriptions to one resource, the oldest first."""
    now = node.now()
    return [watcher_row(one, now) for one in node.notifier.subscriptions(package, resource)]


def publications_of(node: Node, package: bytes, resource: bytes) -> list[dict[str, Any]]:
    """Return the publications of one resource, the oldest first."""
    now = node.now()
    return [
        {"presentity": shown(resource), "package": shown(package), **_publication(one, now)}
        for one in node.publications.of(package, resource)
    ]


def watcher_row(one: Subscription, now: float) -> dict[str, Any]:
    """Return what is told of a subscription; one that waits does not expire."""
    return {
        "presentity": shown(one.resource),
        "package": shown(one.package),
        "watcher": shown(one.watcher.aor),
        "identity": shown(one.watcher.identity) or None,
        "status": shown(one.status),
        "handling": HANDLING[one.verdict.handling],
        "expires": None if one.dialog is None else round(one.expires_at - now),
        "age": round(now - one.began_at),
        "id": shown(one.id),
    }


def _publication(one: Publication, now: float) -> dict[str, Any]:
    """Return what is told of a publication; its id stays when it is refreshed, its tag does not."""
    flow = one.flow
    return {
        "type": shown(one.media_type),
        "bytes": len(one.data),
        "expires": round(one.expires_at - now),
        "stale": one.is_stale,
        "from": flow and f"{shown(flow.via_transport)} {shown(flow.host)}:{flow.port}",
        "tag": shown(one.tag),
        "id": one.order,
    }


def shown(octets: bytes) -> str:
    """Return octets as an operator reads them."""
    return octets.decode("utf-8", "backslashreplace")
