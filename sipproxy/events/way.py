"""How the requests of a dialog leave: by the way that is known, else as any request of ours."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sipproxy.events.content import Content
from sipproxy.events.dialog import Dialog
from sipproxy.proxy.core import Core
from sipproxy.proxy.origin import Errand, Origin
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.sip.uri import parse_uri

if TYPE_CHECKING:
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.parties import Flow

_LIFETIME = 300.0  # seconds that a hop is used again without asking the DNS
_OTHER = 300  # bytes of a NOTIFY: what belongs to no dialog, and all that is between values


class Flight(Protocol):
    """A request that has left and has no answer yet."""

    def abandon(self) -> None:
        """Nothing is sent any more, and nothing reported."""


class Watching(Protocol):
    """Who hears what became of a request; `Flight` is what `Post.send` returned for it."""

    def answered(self, response: Response, flight: Any) -> None:
        """A response came."""

    def timed_out(self, flight: Any) -> None:
        """Nothing came."""

    def failed(self, flight: Any) -> None:
        """It could not be delivered, or there is no way."""


class Way:
    """A way that was found: a flow, the Request-URI of what goes by it, and the lines that it adds.

    Those come before the dialog's. It was found by the ``bindings`` of ``aor``, and is good as long
    as they are, or by a hop, and is asked for again after ``until``. A dialog whose subscriber came
    by the flow that its requests go by needs none.
    """

    __slots__ = ("aor", "bindings", "flow", "lines", "until", "uri")

    def __init__(self, flow: Flow, uri: bytes, lines: bytes) -> None:
        self.flow = flow
        self.uri = uri
        self.lines = lines
        self.aor = b""
        self.bindings: Sequence[Any] = ()
        self.until = 0.0


@functools.lru_cache(256)
def _via(transport: bytes, host: bytes, port: int) -> bytes:
    """Return what stands between Request-URI and branch: dialogs share it."""
    return b" SIP/2.0\r\nVia: SIP/2.0/%b %b:%d;branch=" % (transport, host, port)


class Post:
    """Sends NOTIFYs."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.sent = 0  # NOTIFYs
        self.outcomes: Counter[str] = Counter()  # what became of those that still mattered

    def follow(self, core: Core, origin: Origin) -> None:
        """Send as these say, from now on: nothing is sent before it was called."""
        self._core = core
        self._origin = origin
        self._hops = b"\r\nMax-Forwards: %d\r\n" % core.settings.max_forwards

    def send(self, dialog: Dialog, state: bytes, content: Content, user: Watching) -> Flight:
        """Send a NOTIFY with a Subscription-State; ``user`` may hear of it before this returns."""
        dialog.cseq += 1
        self.sent += 1
        way = dialog.way
        if way is not None and not self._is_good(way):
            way = dialog.way = None
        flow = dialog.flow if way is None else way.flow
        if flow is not None and not flow.is_open:
            # It has not heard where it was not opened, or relies on no end: a listener's for UDP.
            dialog.flow_closed()
        elif flow is not None:
            our = flow.sent_by
            via = _via(flow.via_transport, our.host, our.port)
            branch = b"z9hG4bK" + self._core.random(8).hex().encode()
            line = b"CSeq: %d NOTIFY\r\nSubscription-State: %b\r\n" % (dialog.cseq, state)
            uri, more = (dialog.target, self._hops) if way is None else (way.uri, way.lines)
            head = b"NOTIFY ", uri, via, branch, more, dialog.opening, dialog.own, dialog.closing
            data = b"".join((*head, line, content.octets))
            is_kept = way is None and dialog.is_proven
            if flow.reliable or is_kept or len(data) <= self._largest:
                return self._core.layer.send_octets(b"NOTIFY", data, branch, flow, user)
        return self._send_elsewhere(dialog, state, content, user)

    def withholds(self, dialog: Dialog, content: Content) -> bool:
        """Tell whether a body is too large for where nobody has been heard to be.

        Over UDP a source is easily forged, and a NOTIFY sent again and again: a datagram that
        asks for a large document is not to have it sent to whomever it names (RFC 6665 §6.3,
        RFC 3856 §9.5).
        """
        if dialog.is_proven or content.body is None:
            return False
        if dialog.flow is not None and dialog.flow.reliable:
            return False
        return dialog.size + _OTHER + len(content.octets) > self._largest

    def leads_inside(self, dialog: Dialog) -> bool:
        """Tell whether a NOTIFY would go from outside into our site, for no flow leads elsewhere.

        Whoever subscribes may name any host as its Contact; a NOTIFY goes where it has shown to be
        (RFC 6665 §6.3). The operator may have written down that host, or that all may.
        """
        if dialog.flow is not None or not dialog.is_outside:
            return False
        hop, core = dialog.next_hop, self._core
        if core.identity.domain_of(hop) is not None or core.peers.hop(hop.host) is not None:
            return False
        return core.network.resolver.leads_inside(hop)

    @property
    def _largest(self) -> int:
        """The most bytes that go by UDP where nobody is known to be (RFC 3261 §18.1.1)."""
        return self._core.network.limits.datagram

    def _is_good(self, way: Way) -> bool:
        if not way.flow.is_open:
            return False
        if way.aor:
            return self._core.location.bindings(way.aor) == way.bindings
        return self._now() < way.until

    def _send_elsewhere(
        self, dialog: Dialog, state: bytes, content: Content, user: Watching
    ) -> Flight:
        """Send a NOTIFY wherever any request of ours to its target goes."""
        body = content.body
        fields = [
            *((b"Route", route) for route in dialog.routes),
            *dialog.fields,
            (b"CSeq", b"%d NOTIFY" % dialog.cseq),
            (b"Subscription-State", state),
            (b"SIP-ETag", content.tag),
        ]
        if body is not None:
            fields.append((b"Content-Type", body.media_type))
        data = b"" if body is None else body.data
        request = Request.build(b"NOTIFY", dialog.target, fields, data)
        departure = Departure(self, dialog, request, user)
        if dialog.is_lost:
            departure.refused(SipError(430))
        elif self.leads_inside(dialog):
            departure.refused(SipError(403))
        else:
            self._origin.dispatch(departure)
        return departure

    def learn(self, dialog: Dialog, copy: Request, flow: Flow) -> None:
        """Note the way of a request that was answered."""
        routes = [b"Route: %b\r\n" % value for value in copy.values(b"route")]
        way = Way(flow, copy.raw_uri, self._hops + b"".join(routes))
        target = parse_uri(dialog.target)
        if self._core.identity.domain_of(target) is None:
            way.until = self._now() + _LIFETIME
        else:
            way.aor = self._core.identity.canonical(target)
            way.bindings = self._core.location.bindings(way.aor)
            if not any(binding.flow is flow for binding in way.bindings):
                return  # it went by another user's binding, or to where a binding points
        dialog.way = way


class Departure(Errand):
    """A NOTIFY on its way to wherever its target is: one flight, whatever number of branches.

    The first 2xx is what became of it, else what became of the branch that ended last.
    """

    def __init__(self, post: Post, dialog: Dialog, request: Request, user: Watching) -> None:
        Errand.__init__(self, request, None)
        self._post = post
        self._dialog = dialog
        self._watching: Watching | None = user
        self._copy: Request | None = None  # what leaves, where it is one and the same
        self._left = 1
        self._clients: list[ClientTransaction] = []

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self._watching is None

    def leaving(self, copies: Sequence[Request], may_change: bool) -> None:
        """It is about to leave as these copies."""
        self._copy = copies[0] if len(copies) == 1 and not may_change else None
        self._left = len(copies)

    def sent(self, client: ClientTransaction) -> None:
        """A branch has its transaction."""
        self._clients.append(client)

    def abandon(self) -> None:
        """Nothing is sent any more, and nothing reported."""
        self._watching = None
        for client in self._clients:
            client.abandon()
        self._clients.clear()

    def _over(self) -> Watching | None:
        """Return who is to be told that this was the last of it, and end it."""
        user = self._watching
        self.abandon()
        return user

    def _is_last(self) -> bool:
        self._left -= 1
        return self._left <= 0 and self._watching is not None

    def answered(self, response: Response, transaction: ClientTransaction) -> None:
        """A response came."""
        if response.status < 200 or self._watching is None:
            return
        if response.status < 300 or self._is_last():
            user = self._over()
            assert user is not None
            if response.status < 300 and self._copy is not None:
                self._post.learn(self._dialog, self._copy, transaction.flow)
            user.answered(response, self)

    def timed_out(self, transaction: ClientTransaction) -> None:
        """Nothing came."""
        if self._is_last() and (user := self._over()):
            user.timed_out(self)

    def failed(self, transaction: ClientTransaction) -> None:
        """It could not be delivered."""
        self.branch_failed()

    def branch_failed(self) -> None:
        """A branch could not be sent."""
        if self._is_last() and (user := self._over()):
            user.failed(self)

    def refused(self, error: SipError) -> None:
        """It did not leave this server."""
        if user := self._over():
            user.failed(self)
