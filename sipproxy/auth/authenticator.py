"""Digest challenges and checks (RFC 3261 §22, 7616, 8760)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any, NamedTuple

from twisted.logger import Logger

from sipproxy.auth.settings import Auth
from sipproxy.interfaces import ICredentialStore, then
from sipproxy.sip.digest import challenges, is_complete, named_algorithm, nonce_count, verify
from sipproxy.sip.errors import SipError
from sipproxy.sip.headers import parse_authorization
from sipproxy.sip.message import Request
from sipproxy.sip.nonces import FORGED, STALE, Nonces
from sipproxy.sip.uri import Uri, parse_uri

_CHALLENGE = {401: b"WWW-Authenticate", 407: b"Proxy-Authenticate"}
_CREDENTIALS = {401: b"authorization", 407: b"proxy-authorization"}
_TRIES = 8  # whoever sends more credentials for one realm is guessing
Params = dict[bytes, bytes]


class _Asked(NamedTuple):
    """A request whose sender has to prove who it is: by what status it is asked, and whence."""

    request: Request
    realm: bytes
    status: int
    source: bytes


class Authenticator:
    """Asks for credentials, and tells which user has proven to know a password.

    ``canonical`` gives the one form of an address-of-record; ``now`` is monotonic, in seconds;
    ``random`` gives so many random octets. ``nonces`` are those of before; None: there are none.
    """

    def __init__(
        self,
        settings: Auth,
        credentials: ICredentialStore,
        canonical: Callable[[Uri], bytes],
        now: Callable[[], float],
        random: Callable[[int], bytes],
        nonces: Nonces | None = None,
    ) -> None:
        self._algorithms = settings.algorithms
        self._credentials = credentials
        self._canonical = canonical
        self._now = now
        self._random = random
        self._log = Logger(namespace="sipproxy.auth")
        self._nonces = nonces or Nonces(random(32), settings.nonce_lifetime)

    def authenticate(
        self, request: Request, realm: bytes, status: int = 407, source: bytes = b""
    ) -> Any:
        """Return the address-of-record whose password the request proves, or a Deferred of it.

        A registrar asks with 401, a proxy with 407 (§22.1): ``status``. Of several credentials for
        the realm one has to be good. Raises what the last one comes to, as a `SipError`: the
        challenge, or 403 where it was made for another resource. A wrong password is logged with
        the address that it came from.
        """
        usable = self._own_credentials(request, _CREDENTIALS[status], realm)
        asked = _Asked(request, realm, status, source)
        return self._try(islice(usable, _TRIES), asked, None)

    def is_heard_at(self, request: Request, realm: bytes, status: int, source: bytes) -> bool:
        """Tell whether a request has a nonce of ours that was sent where it seems to come from.

        Over UDP a source is easily forged, also by who knows a password; a nonce that was sent to
        another address shows nothing.
        """
        usable = self._own_credentials(request, _CREDENTIALS[status], realm)
        nonces = (params[b"nonce"] for params, _ in islice(usable, _TRIES))
        now = self._now()
        return any(
            self._nonces.judge(nonce, realm, now) != FORGED and self._nonces.is_for(nonce, source)
            for nonce in nonces
        )

    def _own_credentials(
        self, request: Request, header: bytes, realm: bytes
    ) -> Iterator[tuple[Params, str]]:
        """Find the credentials for our realm and an algorithm that we offer."""
        for value in request.raw_values(header):
            params = _digest(value)
            algorithm = named_algorithm(params)
            if (
                params.get(b"realm") == realm
                and algorithm in self._algorithms
                and is_complete(params)
            ):
                yield params, algorithm

    def _try(
        self, usable: Iterator[tuple[Params, str]], asked: _Asked, refusal: SipError | None
    ) -> Any:
        """Try the next credentials; ``refusal`` is what those before them came to."""
        params, algorithm = next(usable, (None, ""))
        if params is None:
            raise refusal or self._challenge(asked)
        aor = params[b"username"] + b"@" + asked.realm

        def proven(secret: bytes | None) -> Any:
            try:
                self._prove(asked, params, algorithm, secret)
            except SipError as error:
                return self._try(usable, asked, error)
            if asked.status == 407:
                consume(asked.request, (asked.realm,))
            return aor

        try:
            self._check(asked, params)
        except SipError as error:
            return self._try(usable, asked, error)
        return then(self._credentials.secret(aor, algorithm), proven)

    def _check(self, asked: _Asked, params: Params) -> None:
        """Refuse what no password can make good."""
        if self._nonces.judge(params[b"nonce"], asked.realm, self._now()) == FORGED:
            raise self._challenge(asked)
        try:
            if self._is_same_resource(params[b"uri"], asked.request):
                return
        except SipError:  # a uri that is none
            raise self._challenge(asked) from None
        raise SipError(403, "Credentials Are For Another Resource")

    def _is_same_resource(self, uri: bytes, request: Request) -> bool:
        """Tell whether the digest was made for this request; raises `SipError` 400.

        Clients write the same resource with and without port and parameters, and by any name of
        ours: the address-of-record counts (RFC 7616 §3.4.6, 8760 §2.6).
        """
        if uri == request.raw_uri:
            return True
        other = parse_uri(uri)
        return other.is_sip and self._canonical(other) == self._canonical(request.uri)

    def _prove(self, asked: _Asked, params: Params, algorithm: str, secret: bytes | None) -> None:
        """Check digest, then age, then count: a stranger learns nothing, and uses nothing up."""
        if secret is None or not verify(algorithm, secret, asked.request.method, params):
            self._failed(asked, params)
            raise self._challenge(asked)
        now, nonce = self._now(), params[b"nonce"]
        if self._nonces.judge(nonce, asked.realm, now) == STALE or not self._nonces.use(
            nonce, nonce_count(params) or 0, now
        ):
            raise self._challenge(asked, stale=True)

    def _failed(self, asked: _Asked, params: Params) -> None:
        """Log a wrong password: the address first, for the name may be anything."""
        self._log.warn(
            "failed login from {address} as {user!r}",
            address=asked.source.decode("ascii", "replace") or "?",
            user=(params[b"username"] + b"@" + asked.realm).decode("utf-8", "replace"),
            method=asked.request.method.decode(),
            call_id=asked.request.value(b"call-id"),
        )

    def _challenge(self, asked: _Asked, stale: bool = False) -> SipError:
        salt = self._nonces.salt(self._random(4), asked.source)
        nonce = self._nonces.make(asked.realm, self._now(), salt)
        values = challenges(asked.realm, nonce, self._algorithms, stale)
        return SipError(asked.status, headers=[(_CHALLENGE[asked.status], v) for v in values])


def _digest(value: bytes) -> Params:
    """Return what credentials say; nothing where they are no digest, or malformed.

    A proxy has no business with what it does not use (RFC 3261 §16.3 step 1).
    """
    try:
        return parse_authorization(value).params
    except SipError:
        return {}


def consume(request: Request, realms: Collection[bytes]) -> None:
    """Take out the credentials that are for us; others stay as they are (RFC 3261 §22.3)."""
    header = _CREDENTIALS[407]
    for index in reversed(range(len(request.names))):
        if request.names[index] != header:
            continue
        if _digest(request.line_value(index)).get(b"realm") in realms:
            del request.names[index], request.lines[index]
