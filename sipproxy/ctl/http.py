"""The HTTP port: metrics for Prometheus, and health for whoever restarts or balances servers."""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from sipproxy.ctl.metrics import CONTENT_TYPE, scraper
from sipproxy.node import Node


class _Page(Resource):
    """One page; ``text`` gives a status, a media type and the octets."""

    isLeaf = True

    def __init__(self, text: Callable[[], tuple[int, str, bytes]]) -> None:
        Resource.__init__(self)
        self._text = text

    def render_GET(self, request: Request) -> bytes:
        """Answer; HEAD is answered by it, too."""
        status, media_type, data = self._text()
        request.setResponseCode(status)
        request.setHeader(b"content-type", media_type.encode())
        request.setHeader(b"cache-control", b"no-store")
        return data


def problems(node: Node) -> list[str]:
    """Return why a server should be sent no new work; nothing where it should."""
    found = []
    if node.front.is_draining:
        found.append("it is stopping")
    if node.pressure.is_behind:
        found.append("it is behind with its work")
    if getattr(node.store, "is_failing", False):
        found.append("the store cannot be written")
    return found


def site(node: Node) -> Site:
    """Return what is served: /metrics, /health/live, /health/ready; all else is 404."""
    scrape = scraper(node)

    def ready() -> tuple[int, str, bytes]:
        found = problems(node)
        answer = {"ready": not found, "problems": found}
        return 503 if found else 200, "application/json", json.dumps(answer).encode() + b"\n"

    root, health = Resource(), Resource()
    root.putChild(b"metrics", _Page(lambda: (200, CONTENT_TYPE, scrape())))
    root.putChild(b"health", health)
    health.putChild(b"live", _Page(lambda: (200, "application/json", b'{"live": true}\n')))
    health.putChild(b"ready", _Page(ready))
    return Site(root, timeout=30)
