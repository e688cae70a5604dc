"""What the parts of the proxy share of the server around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from sipproxy.interfaces import ILocation, IResponseFilter
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.sip.names import METHODS
from sipproxy.sip.response import error_response, make_response
from sipproxy.sip.shown import shown

if TYPE_CHECKING:
    from sipproxy.auth.peers import Peers
    from sipproxy.interfaces import ICredentialStore
    from sipproxy.proxy.settings import Proxy
    from sipproxy.registrar.gruu import Gruus
    from sipproxy.transaction.layer import TransactionLayer
    from sipproxy.transaction.server import ServerTransaction
    from sipproxy.transaction.wheel import Wheel
    from sipproxy.transport.identity import Identity
    from sipproxy.transport.network import Network
    from sipproxy.transport.tokens import FlowTokens


class Core:
    """The parts that forwarder, routers and front door are made of; one per server."""

    def __init__(
        self,
        settings: Proxy,
        identity: Identity,
        layer: TransactionLayer,
        network: Network,
        wheel: Wheel,
        tokens: FlowTokens,
        peers: Peers,
        random: Callable[[int], bytes],
        ticks: Callable[[float], int],
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.layer = layer
        self.network = network
        self.wheel = wheel
        self.tokens = tokens
        self.peers = peers
        self.random = random
        self.ticks = ticks
        self.patience = ticks(settings.patience)
        self.gruus: Gruus
        self.location: ILocation
        self.credentials: ICredentialStore
        self.response_filters: list[IResponseFilter] = []
        # What is answered for a GRUU that no binding has.
        self.astray: Callable[[Request], SipError] = lambda request: SipError(404)
        self.answers: Counter[tuple[bytes, int]] = Counter()  # sent, by method and class
        self.limited: Counter[str] = Counter()  # refused, by the limit that was met
        self.log = Logger(namespace="sipproxy.proxy")

    def deadline(self) -> int:
        """Return the tick at which our patience with a request that begins now is over."""
        return self.wheel.now + self.patience

    def share(self, deadline: int) -> int:
        """Return how many ticks an attempt gets that another may follow: half of what is left."""
        return max(1, (deadline - self.wheel.now) // 2)

    def respond(
        self,
        request: Request,
        server: ServerTransaction,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Answer a request ourselves."""
        response = make_response(request, status, self.layer.tag(request), reason, headers)
        self.respond_with(request, server, response)

    def refuse(self, request: Request, server: ServerTransaction, error: SipError) -> None:
        """Answer a request with what an error says."""
        if error.limit:
            self.limited[error.limit] += 1
        response = error_response(request, error, self.layer.tag(request))
        refusal = self._filtered(request, server, response)
        if refusal is not None:
            server.refuse(refusal)

    def respond_with(self, request: Request, server: ServerTransaction, response: Response) -> None:
        """Send a response upstream, through the filters in their order."""
        answer = self._filtered(request, server, response)
        if answer is not None:
            server.respond(answer)

    def _filtered(
        self, request: Request, server: ServerTransaction, response: Response
    ) -> Response | None:
        """Return a response as the filters leave it, and count it."""
        if self.response_filters:
            looked_at = self._looked_at(request, response)
            if looked_at is None:
                return None
            response = looked_at
        method = request.method if request.method in METHODS else b"other"
        self.answers[method, response.status // 100] += 1
        if server.path.reliable and b"content-length" not in response.names:
            response.append(b"Content-Length", b"%d" % len(response.body))  # §18.3, §20.14
        return response

    def _looked_at(self, request: Request, response: Response) -> Response | None:
        """Have the filters look at a response.

        Where one of them fails nobody knows what it was to hide: 500 goes in its place, and in that
        of a provisional one nothing. A 2xx to INVITE has to go upstream all the same (RFC 3261
        §16.7 step 5): whoever sent it is in a call, and would be alone in it. It goes as it was
        before that filter.
        """
        is_call = request.method == b"INVITE" and 200 <= response.status < 300
        for looks in self.response_filters:
            before = response.copy() if is_call else response
            try:
                looks.response(response, request)
            except Exception:
                self.log.failure("a bug, met by {message}", message=shown(response.encode()))
                if response.status < 200:
                    return None
                if not is_call:
                    return make_response(request, 500, self.layer.tag(request))
                response = before
        return response
