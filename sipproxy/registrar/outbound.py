"""Client-initiated connections at the registrar: what a REGISTER says of its flow (RFC 5626 §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import malformed, parse_number
from sipproxy.sip.headers import NameAddr
from sipproxy.sip.message import Request
from sipproxy.sip.options import supports
from sipproxy.sip.uri import Uri

if TYPE_CHECKING:
    from sipproxy.transaction.parties import Flow
    from sipproxy.transport.identity import Identity

GRACE = 30  # seconds beyond Flow-Timer, for what is sent a second time on its way (§5.4)
_MOST = 2**31 - 1  # §10


def is_direct(request: Request) -> bool:
    """Tell whether we are the first hop."""
    if request.names.count(b"via") > 1:
        return False
    via = request.value(b"via") or b""
    return via.find(b",") < 0 or len(request.values(b"via")) == 1


def is_by_flow(request: Request, contact: Uri, flow: Flow | None, identity: Identity) -> bool:
    """Tell whether a contact is the client that sent this, reachable by its flow alone.

    It is adjacent (one Via) and came by a stream or asked for ``rport``; and its Contact names an
    address, or the host that its Via names, not somewhere else to go. Over UDP a Contact at the
    very address that the request came from, but another port, means what it says: there is no NAT
    in between.
    """
    if flow is None or not contact.is_sip or not is_direct(request):
        return False
    via = request.via
    if not flow.reliable:
        here = contact.host.strip(b"[]") == flow.host
        if b"rport" not in via.params or (here and contact.effective_port != flow.port):
            return False
    if identity.is_us(contact):
        return False
    is_address = contact.host[:1] == b"[" or contact.host.replace(b".", b"").isdigit()
    return is_address or contact.host == via.host or contact.host.endswith(b".invalid")


def is_applicable(request: Request) -> bool:
    """Tell whether the first hop, we or an edge proxy, holds the flow (§6).

    An edge proxy says so by ``ob`` in its Path URI, "the first": where a REGISTER passed more
    proxies, theirs stand before it (RFC 3327 §5.2). None but the first hop may write ``ob`` (§5.1).
    """
    if is_direct(request):
        return True
    path = request.addresses(b"path")
    return bool(path) and any(b"ob" in value.uri.params for value in (path[0], path[-1]))


def reg_id_of(contact: NameAddr) -> int:
    """Return the reg-id of a Contact, 0 where it has none; raises `SipError` 400 (§10)."""
    if b"reg-id" not in contact.params:
        return 0
    number = parse_number(contact.params[b"reg-id"] or b"", _MOST, "reg-id")
    if not number:
        raise malformed("reg-id")
    return number


def effective_reg_id(request: Request, contact: NameAddr, urn: bytes) -> int:
    """Return the reg-id that counts: 0 where it is to be ignored (§6).

    Raises `SipError` 439 where the client counts on outbound and its first hop does not do it.
    """
    number = reg_id_of(contact)
    if number and not is_applicable(request):
        if supports(request, b"outbound"):
            raise SipError(439)
        return 0
    return number if urn else 0
