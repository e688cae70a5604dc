"""Asserted identity: who vouches for the sender of a request, and who is told (RFC 3325, 3323)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipproxy.sip.errors import SipError
from sipproxy.sip.headers import NameAddr, parse_name_addr
from sipproxy.sip.uri import address_of_record, aor_uri

if TYPE_CHECKING:
    from sipproxy.interfaces import Sender
    from sipproxy.sip.message import Message, Request

ANONYMOUS = b"anonymous.invalid"  # the host in From of who withholds it (RFC 3323 §4.1.1.3)
ASSERTED, PREFERRED = b"p-asserted-identity", b"p-preferred-identity"
_FIELDS = frozenset((ASSERTED, PREFERRED))


def claimed(request: Request) -> NameAddr:
    """Return who the sender claims to be: From, or what it prefers where From is anonymous.

    Raises `SipError` 400.
    """
    sender = request.from_
    if PREFERRED in request.names and sender.uri.host == ANONYMOUS:
        return _first(request, PREFERRED) or sender
    return sender


def vouched(request: Request) -> NameAddr:
    """Return whom a peer that is believed says the sender is; raises `SipError` 400."""
    sender = request.from_
    if ASSERTED in request.names and sender.uri.host == ANONYMOUS:
        return _first(request, ASSERTED) or sender
    return sender


def assert_identity(request: Request, sender: Sender) -> bool:
    """Leave of asserted identities what we vouch for; tell whether there is one (RFC 3325 §5).

    That is the one of a user of ours who has proven to be it, and what a trusted peer says. What a
    user prefers goes no further, but for the display name.
    """
    if sender.is_authenticated:
        value = _own(request, sender.aor)
        request.remove(PREFERRED)
        request.remove(ASSERTED)
        request.append(b"P-Asserted-Identity", value)
        return True
    if _FIELDS.isdisjoint(request.names):
        return False
    request.remove(PREFERRED)
    believed = _of_domain(request, sender.aor.rpartition(b"@")[2]) if sender.is_trusted else []
    request.remove(ASSERTED)
    if believed:
        request.append(b"P-Asserted-Identity", b", ".join(believed))
    return bool(believed)


def asserted(request: Request, sender: Sender) -> bytes:
    """Return the address-of-record, as a URI, that a trusted peer asserts of its own; or nothing.

    A telephone number is none of a domain's users (RFC 3325 §9.1).
    """
    if ASSERTED in request.names:
        for value in _of_domain(request, sender.aor.rpartition(b"@")[2]):
            uri = parse_name_addr(value).uri
            if uri.is_sip:
                return aor_uri(address_of_record(uri))
    return b""


def numbers(request: Request, sender: Sender) -> tuple[bytes, ...]:
    """Return the telephone numbers that a trusted peer asserts beside it (RFC 3325 §9.1)."""
    if ASSERTED not in request.names:
        return ()
    values = _of_domain(request, sender.aor.rpartition(b"@")[2])
    uris = (parse_name_addr(value).uri for value in values)
    return tuple(uri.raw for uri in uris if uri.scheme == b"tel")


def privacy(message: Message) -> frozenset[bytes]:
    """Return what is asked for in Privacy (RFC 3323 §4.2, RFC 3325 §9.3).

    ``id``: the identity is to stay among those who are trusted; ``none``: it is to be told to all.
    """
    if b"privacy" not in message.names:
        return frozenset()
    values = (part for value in message.values(b"privacy") for part in value.split(b";"))
    return frozenset(part.strip().lower() for part in values)


def _of_domain(request: Request, domain: bytes) -> list[bytes]:
    """Return what a peer asserts that is its own to assert: its domain, or a number."""
    believed = []
    for value in request.values(ASSERTED):
        try:
            uri = parse_name_addr(value).uri
        except SipError:
            continue
        if uri.scheme == b"tel" or (uri.is_sip and uri.host == domain):
            believed.append(value)
    return believed


def _own(request: Request, aor: bytes) -> bytes:
    uri = aor_uri(aor)
    preferred = _first(request, PREFERRED) if PREFERRED in request.names else None
    if preferred is not None and preferred.raw_uri == uri and preferred.display:
        return preferred.display + b" <" + uri + b">"
    return b"<" + uri + b">"


def _first(request: Request, name: bytes) -> NameAddr | None:
    """Return the first SIP identity of a header, or None where there is none to be read."""
    try:
        identities = map(parse_name_addr, request.values(name))
        return next((identity for identity in identities if identity.uri.is_sip), None)
    except SipError:
        return None
