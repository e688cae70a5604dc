"""Route information: what arrives for us in Route and Request-URI (RFC 3261 §16.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipproxy.proxy.passage import Passage, read_token
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import malformed, unescape
from sipproxy.sip.headers import NameAddr, parse_name_addr
from sipproxy.sip.message import Request
from sipproxy.sip.uri import Uri

if TYPE_CHECKING:
    from sipproxy.transport.identity import Identity
    from sipproxy.transport.tokens import FlowTokens


def preprocess(request: Request, identity: Identity, tokens: FlowTokens) -> Passage | None:
    """Take our own values off Request-URI and Route; return what a token of ours admits.

    Raises `SipError` 403 for a token that is not ours or not for this dialog: it is never a route.
    """
    passage = _repair(request, identity, tokens) if b"route" in request.names else None
    if b"maddr" in request.uri.params:
        _strip_maddr(request, identity)
    if b"route" in request.names:
        routes, own = request.values(b"route"), 0
        for value in routes:
            route = parse_name_addr(value)
            if not route.uri.is_sip or not identity.is_us(route.uri):
                break
            passage = _read(route.uri, request, tokens) or passage
            own += 1
        if own:
            put_routes(request, routes[own:])  # once: they may be thousands
    return passage


def _read(uri: Uri, request: Request, tokens: FlowTokens) -> Passage | None:
    if uri.user is None:
        return None
    passage = read_token(uri.user, request, tokens)
    if passage is None:
        raise SipError(403, "Route Is Not Ours")
    return passage


def _repair(request: Request, identity: Identity, tokens: FlowTokens) -> Passage | None:
    """Undo what a strict router did: our Record-Route value is in the Request-URI (§16.4)."""
    uri = request.uri
    if not uri.is_loose_router or uri.user is None or not identity.is_us(uri):
        return None
    passage = read_token(uri.user, request, tokens)
    if passage is not None:
        routes = request.values(b"route")
        request.retarget(parse_name_addr(routes.pop()).raw_uri)
        put_routes(request, routes)
    return passage


_STRIPPED = (b"maddr", b"transport")


def _strip_maddr(request: Request, identity: Identity) -> None:
    """§16.4: a maddr that is ours is taken off, with port and transport."""
    uri = request.uri
    maddr = uri.params.get(b"maddr")
    if not maddr or not identity.is_us(_host_uri(uri, maddr)):
        return
    cut = uri.raw.find(b"@") + 1 or len(uri.scheme) + 1
    host, *params = uri.raw[cut:].split(b";")
    kept = [p for p in params if unescape(p.partition(b"=")[0]).lower() not in _STRIPPED]
    if uri.port is not None:
        host = host.rpartition(b":")[0]
    request.retarget(uri.raw[:cut] + b";".join([host, *kept]))


def _host_uri(uri: Uri, host: bytes) -> Uri:
    other = Uri(uri.raw, uri.scheme)
    other.host, other.port = host.lower(), uri.port
    return other


def put_routes(request: Request, routes: list[bytes]) -> None:
    """Write Route anew, where its first line stood."""
    index = request.names.index(b"route") if b"route" in request.names else None
    request.remove(b"route")
    if routes:
        if index is None:
            index = request.names.index(b"via") if b"via" in request.names else 0
        request.insert(index, b"Route", b", ".join(routes))


def next_route(request: Request) -> NameAddr | None:
    """Return the topmost Route value; raises `SipError` 400."""
    if b"route" not in request.names:
        return None
    route = parse_name_addr(request.first_value(b"route"))
    if not route.uri.is_sip:
        raise malformed("Route")
    return route
