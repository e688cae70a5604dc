"""Where a response goes whose connection is gone, and whose sender is not at its port (§5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import maybeDeferred

from sipproxy.sip.errors import SipError
from sipproxy.sip.parser import BadMessage, parse_framed
from sipproxy.sip.uri import Uri, parse_uri
from sipproxy.transport.hops import Hop, Unreachable, numeric

if TYPE_CHECKING:
    from sipproxy.transport.stream import StreamFlow


class Ways(Protocol):
    """Who knows hops, and the flows to them: the network."""

    def hops(self, uri: Uri) -> Any:
        """Return the hops of a URI, or a Deferred of them."""

    def is_inside(self, hop: Hop) -> bool:
        """Tell whether a hop is where a stranger's name may not lead."""

    def reach(self, hop: Hop, size: int) -> Any:
        """Return the flow to a hop, or a Deferred of it."""


async def way_back(ways: Ways, data: bytes) -> StreamFlow:
    """Return a connection to where the topmost Via of a response says (RFC 3263 §5).

    The host and port of sent-by and the transport of Via lead there as those of a URI would, the
    next hop being tried where one fails. Raises `Unreachable`.
    """
    problem = Unreachable("sent-by names nobody")
    uri = _sender(data)
    for hop in [] if uri is None else await maybeDeferred(ways.hops, uri):
        if ways.is_inside(hop):  # whoever wrote the Via may know names of our site
            continue
        try:
            flow: StreamFlow = await maybeDeferred(ways.reach, hop, 0)
            return flow
        except Unreachable as another:
            problem = another
    raise problem


def _sender(data: bytes) -> Uri | None:
    """Return what the topmost Via says as a URI; None for an address.

    Else whoever sends a request could have us connect to any host of our site.
    """
    try:
        via = parse_framed(data).via
        port = b"" if via.port is None else b":%d" % via.port
        uri = parse_uri(b"sip:%s%s;transport=%s" % (via.host, port, via.transport.lower()))
    except (SipError, BadMessage):
        return None
    return None if numeric(uri.address) or via.transport.upper() == b"UDP" else uri
