"""Processing REGISTER requests (RFC 3261 §10.3)."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import msgspec
from zope.interface import implementer

from sipproxy.interfaces import IHost, IRequestHandler, Sender, then
from sipproxy.registrar.binding import Binding
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import malformed, split_quoted
from sipproxy.sip.headers import NameAddr, parse_expires, parse_name_addr, parse_qvalue
from sipproxy.sip.message import Request
from sipproxy.sip.options import refuse_unknown

if TYPE_CHECKING:
    from sipproxy.transaction.parties import Flow
    from sipproxy.transaction.server import ServerTransaction

SUPPORTED = frozenset((b"path",))
_HOUR = 3600
# Contacts in one request by bindings that there may be: each is compared with each.
_REPEATED = 10


class RegistrarOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[plugin.registrar]`` table; times in seconds."""

    default_expires: int = 3600
    min_expires: int = 60
    max_expires: int = 7200
    max_bindings: int = 10  # per address-of-record; beyond: 403
    max_path: int = 10  # values of Path; beyond: 400

    def __post_init__(self) -> None:
        if not 0 < self.min_expires <= self.default_expires <= self.max_expires:
            raise ValueError("needs 0 < min_expires <= default_expires <= max_expires")
        if self.max_bindings < 1:
            raise ValueError("max_bindings has to be at least 1")


@implementer(IRequestHandler)
class Registrar:
    """Keeps the bindings of our domains as REGISTER requests ask."""

    methods = frozenset((b"REGISTER",))

    def __init__(self, options: RegistrarOptions, host: IHost) -> None:
        self._options = options
        self._host = host

    def claims(self, request: Request) -> bool:
        """Take every REGISTER."""
        return request.method == b"REGISTER"

    def handle(self, request: Request, transaction: ServerTransaction, sender: Sender) -> Any:
        """Follow the steps of §10.3; the front door has been through 1 and 3."""
        refuse_unknown(request, b"require", SUPPORTED)  # step 2
        aor = self._address_of_record(request, sender)

        def registered(known: bool) -> None:
            if not known:  # step 5
                raise SipError(404)
            self._register(request, transaction, aor)

        return then(self._host.credentials.known(aor), registered)

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

    def _register(self, request: Request, transaction: ServerTransaction, aor: bytes) -> None:
        """Steps 6 to 8, without waiting: all of it or nothing."""
        current = self._host.location.bindings(aor)
        raw = request.values(b"contact")
        if raw:
            current = self._updated(request, raw, current, transaction.flow)
            self._host.location.commit(aor, current)
        now = self._host.now()
        headers = [(b"Contact", binding.contact_value(now)) for binding in current]
        headers.append((b"Date", formatdate(usegmt=True).encode()))
        headers += [(b"Path", value) for value in request.values(b"path")]  # RFC 3327 §5.3
        self._host.respond(request, transaction, 200, headers=headers)

    def _updated(
        self,
        request: Request,
        raw: list[bytes],
        current: Sequence[Binding],
        flow: Flow | None,
    ) -> list[Binding]:
        if b"*" in raw:
            return self._all_removed(request, raw, current)
        if len(raw) > _REPEATED * self._options.max_bindings + len(current):
            raise SipError(403, "Too Many Bindings")
        path = self._path(request)
        bindings = list(current)
        seen: list[NameAddr] = []
        for value in raw:
            contact = parse_contact(value)
            _check_sips(request, contact)
            duration = self._duration(request, contact)
            for index, binding in enumerate(bindings):
                if binding.same_contact(contact):
                    if not any(binding.same_contact(other) for other in seen):
                        _check_order(request, binding)
                    del bindings[index]
                    break
            seen.append(contact)
            if duration:
                bindings.append(self._bind(request, contact, duration, path, flow))
        if len(bindings) > max(self._options.max_bindings, len(current)):
            raise SipError(403, "Too Many Bindings")
        return bindings

    def _all_removed(
        self, request: Request, raw: list[bytes], current: Sequence[Binding]
    ) -> list[Binding]:
        """Step 6: ``*`` stands alone and asks for an end."""
        expires = request.value(b"expires")
        if len(raw) > 1 or expires is None or parse_expires(expires) != 0:
            raise SipError(400, "Contact * Needs Expires 0 And Stands Alone")
        for binding in current:
            _check_order(request, binding)
        return []

    def _duration(self, request: Request, contact: NameAddr) -> int:
        """Step 7: what is asked for, cut to what we grant; 423 where it is too brief."""
        options = self._options
        asked = options.default_expires
        if b"expires" in contact.params:
            asked = parse_expires(contact.params[b"expires"])
        elif (header := request.value(b"expires")) is not None:
            asked = parse_expires(header)
        if 0 < asked < min(options.min_expires, _HOUR):
            raise SipError(423, headers=[(b"Min-Expires", b"%d" % options.min_expires)])
        return min(asked, options.max_expires)

    def _path(self, request: Request) -> tuple[bytes, ...]:
        """RFC 3327 §5.3: the vector is kept with the bindings; §4: its URIs are loose routers."""
        addresses = request.addresses(b"path")
        if len(addresses) > self._options.max_path:
            raise malformed("Path")
        if not all(address.uri.is_sip and address.uri.is_loose_router for address in addresses):
            raise malformed("Path")
        return tuple(request.values(b"path"))

    def _bind(
        self,
        request: Request,
        contact: NameAddr,
        duration: int,
        path: tuple[bytes, ...],
        flow: Flow | None,
    ) -> Binding:
        return Binding(
            contact=contact,
            params=_kept_params(contact),
            q=parse_qvalue(contact.params.get(b"q")),
            expires_at=self._host.now() + duration,
            call_id=request.call_id,
            cseq=request.cseq.number,
            path=path,
            flow=flow if self._is_by_flow(request, contact, flow) else None,
        )

    def _is_by_flow(self, request: Request, contact: NameAddr, flow: Flow | None) -> bool:
        """Tell whether the contact is the client that sent this, reachable by its flow alone.

        It is adjacent (one Via) and came by a stream or asked for ``rport``; and its Contact names
        an address, or the host that its Via names, not somewhere else to go. Over UDP a Contact at
        the very address that the request came from, but another port, means what it says: there is
        no NAT in between.
        """
        uri, via = contact.uri, request.via
        if flow is None or not uri.is_sip or len(request.values(b"via")) > 1:
            return False
        if not flow.reliable:
            here = uri.host.strip(b"[]") == flow.host
            if b"rport" not in via.params or (here and uri.effective_port != flow.port):
                return False
        if self._host.identity.is_us(uri):
            return False
        is_address = uri.host[:1] == b"[" or uri.host.replace(b".", b"").isdigit()
        return is_address or uri.host == via.host or uri.host.endswith(b".invalid")


def parse_contact(value: bytes) -> NameAddr:
    """Parse a Contact value of a REGISTER whole, so that nothing fails later; raises 400."""
    contact = parse_name_addr(value)
    _ = contact.uri, parse_qvalue(contact.params.get(b"q"))
    return contact


def _check_sips(request: Request, contact: NameAddr) -> None:
    """RFC 5630 §5.2: a sips contact is bound where Request-URI and Path are sips, else 400."""
    if contact.uri.scheme != b"sips":
        return
    uris = [request.uri, *(address.uri for address in request.addresses(b"path"))]
    if any(uri.scheme != b"sips" for uri in uris):
        raise SipError(400, "SIPS Contact Needs SIPS All The Way")


def _kept_params(contact: NameAddr) -> bytes:
    """Return the contact's parameters as written, but for ``expires``."""
    pieces = split_quoted(contact.raw_params, b";")[1:]
    kept = [p for p in pieces if p.partition(b"=")[0].strip().lower() != b"expires"]
    return b"".join(b";" + piece for piece in kept)


def _check_order(request: Request, binding: Binding) -> None:
    """Steps 6 and 7: what is older than what we know, or the same, changes nothing."""
    if binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise SipError(500, "CSeq Out Of Order")
