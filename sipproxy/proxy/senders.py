"""Who may send what: a request is our user's, an admitted dialog's, a known peer's, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipproxy.auth.asserted import ANONYMOUS, claimed, vouched
from sipproxy.auth.authenticator import consume
from sipproxy.interfaces import Sender, then
from sipproxy.proxy.core import Core
from sipproxy.proxy.passage import Passage
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import unescape
from sipproxy.sip.message import Request
from sipproxy.sip.uri import address_of_record

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

    def identify(
        self, request: Request, flow: Flow | None, passage: Passage | None, is_ours: bool = False
    ) -> Any:
        """Return the `Sender`, or a Deferred of it; raises `SipError` 401, 403 or 407.

        Where the request ``is_ours`` to answer we are its UAS and ask with 401, as RFC 6665
        §4.2.1.3 and RFC 3261 §22.1 have it, else with 407.
        A token admits a foreign party to its dialog. For a user of ours it takes the place of
        credentials only where the request came by that user's own flow.
        """
        aor, realm = self._named(request)
        if passage is not None and (sender := self._admitted(request, flow, passage, aor, realm)):
            return sender
        status = 401 if is_ours else 407
        if request.method == b"REGISTER" and not (is_ours and realm):
            ours = self._core.identity.domain_of(request.uri)
            if ours is not None:
                realm, status = realm or ours, 401
        if realm is None:
            return self._foreign(request, flow)
        if self._authenticator is None:
            return self._user(aor, passage)
        return self._authenticated(self._authenticator, request, flow, passage, aor, realm, status)

    def _authenticated(
        self,
        authenticator: Authenticator,
        request: Request,
        flow: Flow | None,
        passage: Passage | None,
        aor: bytes,
        realm: bytes,
        status: int,
    ) -> Any:
        """Return a user of ours who has proven to be the one in From, or a Deferred of it."""

        def proven(user: bytes) -> Sender:
            if user != aor:
                raise SipError(403, "From Is Not The Authenticated User")
            return self._user(aor, passage, is_here)

        source = b"" if flow is None else flow.host
        # Only what is sent to who subscribes may be more than was asked with.
        is_here = request.method == b"SUBSCRIBE" and authenticator.is_heard_at(
            request, realm, status, source
        )
        return then(authenticator.authenticate(request, realm, status, source), proven)

    def _admitted(
        self,
        request: Request,
        flow: Flow | None,
        passage: Passage,
        aor: bytes,
        realm: bytes | None,
    ) -> Sender | None:
        if realm is None:
            return Sender(aor, is_user=False, by_token=True)
        # A token knows who From is, and not whom an anonymous one prefers to be.
        if flow is None or request.from_.uri.host == ANONYMOUS:
            return None
        arrived = self._core.network.name(flow)
        if not passage.proves(arrived, flow.reliable, request.method):
            return None
        if b"proxy-authorization" in request.names:
            consume(request, self._core.identity.domains)  # unasked for, and nobody else's business
        return self._user(aor, passage)

    def in_dialog(self, request: Request, flow: Flow, passage: Passage) -> Sender:
        """Return the `Sender` of what is never challenged; a user is who came by the user's flow.

        Raises `SipError` 400.
        """
        aor, realm = self._named(request)
        if realm is not None and self._authenticator is None:
            return self._user(aor, passage)
        sender = self._admitted(request, flow, passage, aor, realm)
        return sender or Sender(aor, is_user=False, by_token=True)

    def _named(self, request: Request) -> tuple[bytes, bytes | None]:
        """Return who the sender claims to be, and our domain that this belongs to."""
        uri = claimed(request).uri
        realm = self._core.identity.realm_of(uri)
        if realm is None:
            return address_of_record(request.from_.uri), None
        return unescape(uri.user or b"") + b"@" + realm, realm

    def _foreign(self, request: Request, flow: Flow | None) -> Any:
        """A stranger reaches our users by the federation policy, and nobody else.

        A trusted peer may say who it is that is anonymous to everybody else.
        """
        is_ours = self._core.identity.domain_of(request.uri) is not None
        if not is_ours or b"route" in request.names or flow is None:
            raise SipError(403, "Relaying Denied")
        uri = vouched(request).uri
        aor, domain = address_of_record(uri), uri.host
        source = flow.host, flow.proven_domains
        if not domain:
            raise SipError(403, "From Names No Domain")
        peers = self._core.peers

        def judged(may_send: bool) -> Any:
            if not may_send:
                raise SipError(403, "Domain Not Allowed From There")
            return then(peers.vouches(domain, *source), vouched_for)

        def vouched_for(is_proven: bool) -> Sender:
            is_trusted = is_proven and peers.is_trusted(domain)
            return Sender(aor, is_user=False, is_trusted=is_trusted, is_proven=is_proven)

        return then(peers.may_send(domain, *source), judged)

    def _user(self, aor: bytes, passage: Passage | None, is_here: bool = False) -> Sender:
        """Return a proven user of ours, inside a dialog that we know or outside."""
        is_authenticated = self._authenticator is not None
        if passage is None:
            return Sender(
                aor,
                is_user=True,
                is_authenticated=is_authenticated,
                is_proven=True,
                is_here=is_here,
            )
        return Sender(
            aor,
            is_user=True,
            by_token=True,
            peer_is_proven=passage.other.is_proven,
            is_authenticated=is_authenticated,
            is_proven=True,
        )
