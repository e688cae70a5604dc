"""The front door: every new request is checked, its sender named, and handed on, here alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from sipproxy.interfaces import (
    IForwarder,
    IRequestFilter,
    IRequestHandler,
    IRouter,
    Sender,
    Target,
    is_deferred,
)
from sipproxy.proxy.branch import DIALOG_FORMING
from sipproxy.proxy.core import Core
from sipproxy.proxy.passage import Passage
from sipproxy.proxy.routing import preprocess
from sipproxy.proxy.secure import is_secure
from sipproxy.proxy.senders import Senders
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import malformed
from sipproxy.sip.message import Request
from sipproxy.sip.names import METHODS
from sipproxy.sip.options import refuse_unknown
from sipproxy.sip.shown import shown

if TYPE_CHECKING:
    from sipproxy.transaction.parties import Flow
    from sipproxy.transaction.server import ServerTransaction

SUPPORTED = (b"path", b"pref")


class Visit:
    """One request on its way through the house; an ACK has no transaction.

    ``filters`` and ``routers`` are those that have not been asked yet.
    """

    __slots__ = (
        *("filters", "flow", "handler", "passage", "request", "routers", "sender"),
        "transaction",
    )

    def __init__(
        self,
        request: Request,
        flow: Flow | None,
        transaction: ServerTransaction | None,
        passage: Passage | None,
        handler: IRequestHandler | None,
        filters: Iterator[IRequestFilter],
        routers: Iterator[IRouter],
    ) -> None:
        self.request = request
        self.flow = flow
        self.transaction = transaction
        self.passage = passage
        self.handler = handler
        self.filters = filters
        self.routers = routers
        self.sender: Sender


class Front:
    """Takes each new request through §16.3, §16.4, authentication, filters, handlers and routers.

    Whatever refuses it raises `SipError`, which becomes a response here; anything else that is
    raised is a bug of ours, logged and answered 500.
    """

    def __init__(
        self,
        core: Core,
        senders: Senders,
        filters: Sequence[IRequestFilter],
        handlers: Sequence[IRequestHandler],
        routers: Sequence[IRouter],
        forwarder: IForwarder,
    ) -> None:
        self._core = core
        self._senders = senders
        self._filters = filters
        self._handlers: dict[bytes, list[IRequestHandler]] = {}
        self._routers = routers
        self._forwarder = forwarder
        self.is_draining = False  # the server is stopping: new requests get 503
        for handler in handlers:
            for method in handler.methods:
                self._handlers.setdefault(method, []).append(handler)
        methods = self._handlers.keys()
        # Whether a request is for a Contact of the server's own.
        self.is_own: Callable[[Request], bool] = lambda request: False
        self.allow_events = b""  # what we notify of (RFC 6665 §4.4.4)
        self.allow = b", ".join(sorted(methods | METHODS))  # all of them reach our users

    # ServerUser

    def received(self, request: Request, transaction: ServerTransaction) -> None:
        """A request came that is no retransmission."""
        try:
            result = self._admit(request, transaction)
        except Exception as error:
            self._refuse(error, request, transaction)
        else:
            if result is not None and is_deferred(result):
                result.addErrback(self._failed, request, transaction)

    def acknowledged(self, ack: Request, flow: Flow) -> None:
        """An ACK to a 2xx goes on where its token leads; any other has nowhere to go."""
        try:
            result = self._pass_on(ack, flow)
        except SipError as error:
            self._core.log.debug("{ack} dropped: {error}", ack=ack, error=error)
        else:
            if is_deferred(result):
                result.addErrback(self._not_passed_on, ack)

    def _pass_on(self, ack: Request, flow: Flow) -> Any:
        passage = preprocess(ack, self._core.identity, self._core.tokens)
        if passage is None or ack.max_forwards == 0:
            return None
        visit = Visit(ack, flow, None, passage, None, iter(()), iter(self._routers))
        visit.sender = self._senders.in_dialog(ack, flow, passage)
        return self._lead(visit)

    def _not_passed_on(self, failure: Failure, ack: Request) -> None:
        if failure.check(SipError) is None:
            self._core.log.failure("a bug, met by {ack}", failure, ack=ack)

    def _failed(self, failure: Failure, request: Request, transaction: ServerTransaction) -> None:
        self._refuse(failure.value, request, transaction)

    def _refuse(
        self, error: BaseException | None, request: Request, transaction: ServerTransaction
    ) -> None:
        """The one place where an error becomes a response."""
        if not isinstance(error, SipError):
            why = Failure(error)
            message, call_id = shown(request.encode()), request.value(b"call-id")
            self._core.log.failure("a bug, met by {message}", why, message=message, call_id=call_id)
            error = SipError(500)
        self._core.refuse(request, transaction, error)

    # The way in

    def _admit(self, request: Request, transaction: ServerTransaction) -> Any:
        if request.method == b"CANCEL":
            return self._cancel(request, transaction)
        if self.is_draining:
            raise SipError(503, headers=[(b"Retry-After", b"10")])
        core = self._core
        passage = preprocess(request, core.identity, core.tokens)
        flow = transaction.flow
        _check_addresses(request, flow)
        if request.method == b"OPTIONS" and self._is_ping(request):
            return self._answer_ping(request, transaction)
        handler = self._handler(request)
        if handler is None:
            if request.max_forwards == 0:
                raise SipError(483)  # §16.3 step 3
            refuse_unknown(request, b"proxy-require", SUPPORTED)  # step 5
            sender = self._senders.identify(request, flow, passage, False)
        else:
            sender = self._senders.identify(request, flow, None, True)  # a token is no password
        filters, routers = iter(self._filters), iter(self._routers)
        visit = Visit(request, flow, transaction, passage, handler, filters, routers)
        if is_deferred(sender):
            return sender.addCallback(self._identified, visit)
        visit.sender = sender
        return self._filtered(visit)

    def _identified(self, sender: Sender, visit: Visit) -> Any:
        visit.sender = sender
        return self._filtered(visit)

    def _handler(self, request: Request) -> IRequestHandler | None:
        handlers = self._handlers.get(request.method)
        if handlers is not None and self._core.identity.domain_of(request.uri) is not None:
            for handler in handlers:
                if handler.claims(request):
                    return handler
        return None

    def _filtered(self, visit: Visit) -> Any:
        """Ask the filters that are left, then hand the request to who serves it."""
        for one in visit.filters:
            result = one.request(visit.request, visit.sender)
            if is_deferred(result):
                return result.addCallback(lambda _: self._filtered(visit))
        return self._dispatch(visit)

    def _dispatch(self, visit: Visit) -> Any:
        if visit.handler is not None:
            assert visit.transaction is not None
            if not self._core.layer.claim(visit.transaction, visit.request):  # §8.2.2.2
                raise SipError(482)
            return visit.handler.handle(visit.request, visit.transaction, visit.sender)
        return self._lead(visit)

    def _lead(self, visit: Visit) -> Any:
        """Send the request where its token says, else where the routers do."""
        if visit.passage is None:
            return self._routed(visit)
        target = self._by_token(visit, visit.passage)
        return self._routed(visit) if target is None else self._forward([target], visit)

    def _by_token(self, visit: Visit, passage: Passage) -> Target | None:
        """Return the flow to the other side of a dialog, where the request has to take it.

        A proven user of ours may be led elsewhere by Route and Request-URI. A foreign party goes to
        the other side by the flow that the dialog began with, and nowhere else.
        """
        side, is_routed = passage.other, b"route" in visit.request.names
        if visit.sender.is_user and (is_routed or not side.is_by_flow):
            return None
        if is_routed and side.is_by_flow:
            raise SipError(403, "Route Leads Out Of The Dialog")
        flow = self._core.network.find(side.name)
        if flow is None:
            raise SipError(430)  # RFC 5626 §5.3.1
        return Target(visit.request.raw_uri, flow=flow, is_user=True, past_routes=True)

    def _routed(self, visit: Visit) -> Any:
        """Ask the routers that are left."""
        for router in visit.routers:
            result = router.targets(visit.request, visit.sender)
            if is_deferred(result):
                return result.addCallback(self._forward_or_go_on, visit)
            if result is not None:
                return self._forward(result, visit)
        raise SipError(404)

    def _forward_or_go_on(self, targets: Sequence[Target] | None, visit: Visit) -> Any:
        return self._routed(visit) if targets is None else self._forward(targets, visit)

    def _forward(self, targets: Sequence[Target], visit: Visit) -> Any:
        if not targets:
            raise SipError(480)  # §16.5
        if visit.transaction is None:
            assert visit.flow is not None
            return self._forwarder.acknowledge(visit.request, visit.flow, targets[0])
        return self._forwarder.forward(visit.request, visit.transaction, targets, visit.sender)

    # What is answered without asking who it is

    def _is_ping(self, request: Request) -> bool:
        """Tell whether an OPTIONS is for the server itself (§11), or ends here (§16.3 step 3)."""
        if not self._core.identity.is_us(request.uri):
            return False
        is_for_us = request.uri.user is None or self.is_own(request)
        is_for_us = is_for_us and b"route" not in request.names
        return is_for_us or request.max_forwards == 0

    def _answer_ping(self, request: Request, transaction: ServerTransaction) -> None:
        refuse_unknown(request, b"require", SUPPORTED)  # §8.2.2.3
        headers = [
            (b"Allow", self.allow),
            (b"Accept", b"*/*"),
            (b"Accept-Encoding", b"identity"),
            (b"Accept-Language", b"en"),
            (b"Supported", b", ".join(SUPPORTED)),
        ]
        if self.allow_events:
            headers.append((b"Allow-Events", self.allow_events))
        self._core.respond(request, transaction, 200, headers=headers)

    def _cancel(self, request: Request, transaction: ServerTransaction) -> None:
        """§9.2: 200 where there is something to cancel; credentials are never asked for.

        It has to come from where the request did (§22.1): whoever was called has seen its Via.
        """
        known, near = self._core.layer.cancelled(request), transaction.flow
        if known is not None and known.flow is not None and near is not None:
            known = known if known.flow.host == near.host else None
        self._core.respond(request, transaction, 481 if known is None else 200)
        if known is not None:
            known.cancelled()


def _check_addresses(request: Request, flow: Flow | None) -> None:
    """§16.3 steps 1 and 2: what the parser has left to check."""
    uri = request.uri
    if not uri.is_sip:
        raise SipError(416)
    if uri.scheme == b"sips" and not is_secure(flow):
        raise SipError(416, "SIPS Needs TLS")  # every hop has to be (§26.2.2, RFC 5630 §4)
    if uri.headers:  # a strict router's last Route value may have them (§19.1.1)
        raise malformed("Request-URI")
    if request.method in DIALOG_FORMING:
        _ = request.to.uri  # our token will name both parties
