"""Digest challenges and checks (RFC 3261 §22, 7616, 8760)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sipproxy.auth.settings import Auth
from sipproxy.interfaces import ICredentialStore, then
from sipproxy.sip.digest import challenges, is_complete, named_algorithm, nonce_count, verify
from sipproxy.sip.errors import SipError
from sipproxy.sip.headers import parse_authorization
from sipproxy.sip.message import Request
from sipproxy.sip.nonces import FORGED, STALE, Nonces
from sipproxy.sip.uri import address_of_record, parse_uri

_CHALLENGE = {401: b"WWW-Authenticate", 407: b"Proxy-Authenticate"}
_CREDENTIALS = {401: b"authorization", 407: b"proxy-authorization"}


class Authenticator:
    """Asks for credentials, and tells which user has proven to know a password.

    ``now`` is monotonic, in seconds; ``random`` gives so many random octets.
    """

    def __init__(
        self,
        settings: Auth,
        credentials: ICredentialStore,
        now: Callable[[], float],
        random: Callable[[int], bytes],
    ) -> None:
        self._algorithms = settings.algorithms
        self._credentials = credentials
        self._now = now
        self._random = random
        self._nonces = Nonces(random(32), settings.nonce_lifetime)

    def authenticate(self, request: Request, realm: bytes, status: int = 407) -> Any:
        """Return the address-of-record whose password the request proves, or a Deferred of it.

        A registrar asks with 401, a proxy with 407 (§22.1): ``status``. Raises that as a
        `SipError`, 400 for credentials that cannot be read, and 403 for credentials made for
        another resource.
        """
        found = self._own_credentials(request, _CREDENTIALS[status], realm)
        if found is None:
            raise self._challenge(status, realm)
        params, algorithm = found
        if self._nonces.judge(params[b"nonce"], realm, self._now()) == FORGED:
            raise self._challenge(status, realm)
        if not _same_resource(params[b"uri"], request):
            raise SipError(403, "Credentials Are For Another Resource")
        aor = params[b"username"] + b"@" + realm

        def proven(secret: bytes | None) -> bytes:
            self._prove(status, request.method, realm, params, algorithm, secret)
            if status == 407:
                consume(request, (realm,))
            return aor

        return then(self._credentials.secret(aor, algorithm), proven)

    def _own_credentials(
        self, request: Request, header: bytes, realm: bytes
    ) -> tuple[dict[bytes, bytes], str] | None:
        """Return the credentials for our realm and an algorithm that we offer."""
        for value in request.raw_values(header):
            params = parse_authorization(value).params
            algorithm = named_algorithm(params)
            if (
                params.get(b"realm") == realm
                and algorithm in self._algorithms
                and is_complete(params)
            ):
                return params, algorithm
        return None

    def _prove(
        self,
        status: int,
        method: bytes,
        realm: bytes,
        params: dict[bytes, bytes],
        algorithm: str,
        secret: bytes | None,
    ) -> None:
        """Check digest, then age, then count: a stranger learns nothing, and uses nothing up."""
        if secret is None or not verify(algorithm, secret, method, params):
            raise self._challenge(status, realm)
        now, nonce = self._now(), params[b"nonce"]
        if self._nonces.judge(nonce, realm, now) == STALE or not self._nonces.use(
            nonce, nonce_count(params) or 0, now
        ):
            raise self._challenge(status, realm, stale=True)

    def _challenge(self, status: int, realm: bytes, stale: bool = False) -> SipError:
        nonce = self._nonces.make(realm, self._now(), self._random(8))
        values = challenges(realm, nonce, self._algorithms, stale)
        return SipError(status, headers=[(_CHALLENGE[status], value) for value in values])


def _same_resource(uri: bytes, request: Request) -> bool:
    """Tell whether the digest was made for this request (RFC 7616 §3.4.6).

    Clients write the same resource with and without port and parameters: user and host count.
    """
    if uri == request.raw_uri:
        return True
    return address_of_record(parse_uri(uri)) == address_of_record(request.uri)


def consume(request: Request, realms: Collection[bytes]) -> None:
    """Take out the credentials that are for us; others stay as they are (RFC 3261 §22.3)."""
    header = _CREDENTIALS[407]
    for index in reversed(range(len(request.names))):
        if request.names[index] == header:
            params = parse_authorization(request.line_value(index)).params
            if params.get(b"realm") in realms:
                del request.names[index], request.lines[index]
