"""Who may send what: a request is our user's, an admitted dialog's, a known peer's, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipproxy.auth.authenticator import consume
from sipproxy.interfaces import Sender, then
from sipproxy.proxy.core import Core
from sipproxy.proxy.routing import Passage
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import unescape
from sipproxy.sip.message import Request

if TYPE_CHECKING:
    from sipproxy.auth.authenticator import Authenticator
    from sipproxy.transaction.parties import Flow


class Senders:
    """Names the sender of each request.

    ``authenticator`` is None where ``[auth] required`` is false: then a From of ours is believed.
    """

    def __init__(self, core: Core, authenticator: Authenticator | None) -> None:
        self._core = core
        self._authenticator = authenticator

    def identify(self, request: Request, flow: Flow | None, passage: Passage | None) -> Any:
        """Return the `Sender`, or a Deferred of it; raises `SipError` 401, 403 or 407."""
        identity = self._core.identity
        uri = request.from_.uri
        realm = identity.domain_of(uri)
        claimed = unescape(uri.user or b"") + b"@" + (realm or uri.host)
        if passage is not None:
            if b"proxy-authorization" in request.names:
                consume(request, identity.domains)  # unasked for, and nobody else's business
            return Sender(claimed, is_user=False, by_token=True)
        status = 407
        if request.method == b"REGISTER" and (ours := identity.domain_of(request.uri)) is not None:
            realm, status = realm or ours, 401
        if realm is None:
            return self._foreign(request, claimed, uri.host, flow)
        if self._authenticator is None:
            return Sender(claimed, is_user=True)

        def proven(aor: bytes) -> Sender:
            if aor != claimed:
                raise SipError(403, "From Is Not The Authenticated User")
            return Sender(aor, is_user=True)

        return then(self._authenticator.authenticate(request, realm, status), proven)

    def _foreign(self, request: Request, aor: bytes, domain: bytes, flow: Flow | None) -> Any:
        """A stranger reaches our users by the federation policy, and nobody else."""
        is_ours = self._core.identity.domain_of(request.uri) is not None
        if not is_ours or b"route" in request.names or flow is None:
            raise SipError(403, "Relaying Denied")

        def judged(may_send: bool) -> Sender:
            if not may_send:
                raise SipError(403, "Domain Not Allowed From There")
            return Sender(aor, is_user=False)

        return then(self._core.peers.may_send(domain, flow.host), judged)
