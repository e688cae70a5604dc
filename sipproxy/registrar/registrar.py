"""Processing REGISTER requests (RFC 3261 §10.3)."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from sipproxy.interfaces import IHost, IRequestHandler, Sender, then
from sipproxy.interfaces.reload import IReconfigurable
from sipproxy.registrar.binding import Binding
from sipproxy.registrar.gruu import Gruus, newest
from sipproxy.registrar.options import RegistrarOptions
from sipproxy.registrar.registration import Registration
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import malformed, quote
from sipproxy.sip.gruu import public_gruu
from sipproxy.sip.message import Request
from sipproxy.sip.options import refuse_unknown, supports
from sipproxy.sip.uri import parse_uri

if TYPE_CHECKING:
    from sipproxy.transaction.server import ServerTransaction
    from sipproxy.transport.identity import Identity

SUPPORTED = frozenset((b"path", b"gruu", b"outbound", b"pref"))


@implementer(IRequestHandler, IReconfigurable)
class Registrar:
    """Keeps the bindings of our domains as REGISTER requests ask.

    Raises ValueError for a ``service_route`` that does not lead to us.
    """

    methods = frozenset((b"REGISTER",))

    def __init__(self, options: RegistrarOptions, host: IHost, gruus: Gruus) -> None:
        self._host = host
        self._gruus = gruus
        self._follow(options, _service_route(options.service_route, host.identity))

    def _follow(self, options: RegistrarOptions, route: list[tuple[bytes, bytes]]) -> None:
        self._options = options
        self._service_route = route

    def reconfigured(self, options: RegistrarOptions, host: IHost) -> Callable[[], None]:
        """Follow other options; raises ValueError."""
        route = _service_route(options.service_route, host.identity)
        return lambda: self._follow(options, route)

    def claims(self, request: Request) -> bool:
        """Take every REGISTER."""
        return request.method == b"REGISTER"

    def handle(self, request: Request, transaction: ServerTransaction, sender: Sender) -> Any:
        """Follow the steps of §10.3; the front door has been through 1 and 3."""
        refuse_unknown(request, b"require", SUPPORTED)  # step 2
        aor = self._address_of_record(request, sender)

        def registered(known: bool) -> Any:
            if not known:  # step 5
                raise SipError(404)
            return self._register(request, transaction, aor)

        return self._host.location.turns.take(
            aor,
            lambda: then(self._host.credentials.known(aor), registered),
            self._options.max_waiting,
        )

    def _address_of_record(self, request: Request, sender: Sender) -> bytes:
        """Steps 4 and 5: a user registers contacts for nobody else."""
        to = request.to.uri
        if not to.is_sip:
            raise malformed("To")
        domain = self._host.identity.domain_of(to)
        if domain is None or not to.user:
            raise SipError(404)
        aor: bytes = self._host.identity.canonical(to)
        if aor != sender.aor:
            raise SipError(403, "To Is Not The Authenticated User")
        return aor

    def _register(self, request: Request, transaction: ServerTransaction, aor: bytes) -> Any:
        """Steps 6 to 8: all of it or nothing, once it is safe."""
        current = self._host.location.bindings(aor)
        asked = Registration(request, aor, transaction.flow, self._options)
        if b"contact" not in request.names:
            return self._answer(request, transaction, aor, asked, current)
        bindings = asked.updated(self._host, self._gruus, current)
        return then(
            self._host.location.commit(aor, bindings),
            lambda _: self._answer(request, transaction, aor, asked, bindings),
        )

    def _answer(
        self,
        request: Request,
        transaction: ServerTransaction,
        aor: bytes,
        asked: Registration,
        current: Sequence[Binding],
    ) -> None:
        """Step 8."""
        headers = self._contacts(request, aor, current)
        headers.append((b"Date", _date(int(time.time()))))
        headers += [(b"Path", value) for value in request.values(b"path")]  # RFC 3327 §5.3
        headers += self._service_route
        if asked.is_outbound and supports(request, b"outbound"):  # RFC 5626 §6
            headers.append((b"Require", b"outbound"))
        if asked.flow_timer:
            headers.append((b"Flow-Timer", b"%d" % asked.flow_timer))
        self._host.respond(request, transaction, 200, headers=headers)

    def _contacts(
        self, request: Request, aor: bytes, bindings: Sequence[Binding]
    ) -> list[tuple[bytes, bytes]]:
        """Step 8, and the GRUUs of each instance for a client that knows them (RFC 5627 §5.2)."""
        now, gruus = self._host.now(), supports(request, b"gruu")
        scheme = b"sips" if request.to.uri.scheme == b"sips" else b"sip"
        values = []
        for binding in bindings:
            value = binding.contact_value(now)
            if gruus and binding.instance is not None:
                urn = binding.instance.urn
                latest = newest([b for b in bindings if b.instance and b.instance.urn == urn])
                value += b";pub-gruu=" + quote(public_gruu(scheme, aor, urn))
                value += b";temp-gruu=" + quote(self._gruus.temporary(scheme, aor, latest))
            values.append((b"Contact", value))
        return values


@functools.lru_cache(1)
def _date(second: int) -> bytes:
    """Return the Date of a response, made once a second: it takes 4 us."""
    return formatdate(second, usegmt=True).encode()


def _service_route(text: str, identity: Identity) -> list[tuple[bytes, bytes]]:
    """Return the Service-Route of each 200 (RFC 3608 §6.3), where there is to be one."""
    if not text:
        return []
    try:
        uri = parse_uri(text.encode())
    except SipError:
        uri = None
    if uri is None or uri.scheme not in (b"sip", b"sips") or not uri.is_loose_router:
        raise ValueError(f"service_route: {text!r} is no URI of a loose router: end it with ;lr")
    if uri.user is not None or uri.headers or not identity.is_us(uri):
        raise ValueError(f"service_route: {text!r} is not us: name a domain, alias or address")
    return [(b"Service-Route", b"<" + uri.raw + b">")]
