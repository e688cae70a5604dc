"""Who watches whom, and who has published what, as the control socket tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK

if TYPE_CHECKING:
    from sipproxy.events.subscription import Subscription
    from sipproxy.interfaces.events import Publication
    from sipproxy.node import Node

HANDLING = {BLOCK: "block", CONFIRM: "confirm", POLITE_BLOCK: "polite-block", ALLOW: "allow"}


def watchers(node: Node, aor: bytes | None) -> list[dict[str, Any]]:
    """Return every subscription, or those to one user, in order."""
    return [
        row
        for resource, package in _wanted(node.notifier.resources(), aor)
        for row in watchers_of(node, package, resource)
    ]


def watchers_of(node: Node, package: bytes, resource: bytes) -> list[dict[str, Any]]:
    """Return the subscriptions to one resource, the oldest first."""
    now = node.now()
    return [
        {"presentity": shown(resource), "package": shown(package), **_watcher(one, now)}
        for one in node.notifier.subscriptions(package, resource)
    ]


def publications(node: Node, aor: bytes | None) -> list[dict[str, Any]]:
    """Return every publication, or those of one user, in order."""
    return [
        row
        for resource, package in _wanted(node.publications.resources(), aor)
        for row in publications_of(node, package, resource)
    ]


def publications_of(node: Node, package: bytes, resource: bytes) -> list[dict[str, Any]]:
    """Return the publications of one resource, the oldest first."""
    now = node.now()
    return [
        {"presentity": shown(resource), "package": shown(package), **_publication(one, now)}
        for one in node.publications.of(package, resource)
    ]


def _wanted(known: list[tuple[bytes, bytes]], aor: bytes | None) -> list[tuple[bytes, bytes]]:
    """Return address-of-record and package of what is asked for."""
    return sorted((resource, package) for package, resource in known if aor in (None, resource))


def _watcher(one: Subscription, now: float) -> dict[str, Any]:
    """Return what is told of a subscription; one that waits does not expire."""
    return {
        "watcher": shown(one.watcher.aor),
        "identity": shown(one.watcher.identity) or None,
        "status": shown(one.status),
        "handling": HANDLING[one.verdict.handling],
        "expires": None if one.dialog is None else round(one.expires_at - now),
        "age": round(now - one.began_at),
        "id": shown(one.id),
    }


def _publication(one: Publication, now: float) -> dict[str, Any]:
    flow = one.flow
    return {
        "type": shown(one.media_type),
        "bytes": len(one.data),
        "expires": round(one.expires_at - now),
        "stale": one.is_stale,
        "from": flow and f"{shown(flow.via_transport)} {shown(flow.host)}:{flow.port}",
        "tag": shown(one.tag),
    }


def shown(octets: bytes) -> str:
    """Return octets as an operator reads them."""
    return octets.decode("utf-8", "backslashreplace")
