"""The filter ``blocklist``: what blocked senders send is refused with 403."""

from __future__ import annotations

import msgspec
from zope.interface import implementer

from sipproxy.interfaces import IHost, IRequestFilter, Sender
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request
from sipproxy.sip.uri import canonical_host, parse_uri


class BlocklistOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[plugin.blocklist]`` table."""

    domains: tuple[str, ...] = ()
    users: tuple[str, ...] = ()  # user@domain
    reason: str = "Sender Is Blocked"

    def __post_init__(self) -> None:
        if not self.reason.isprintable():
            raise ValueError("reason has to be one printable line")


@implementer(IRequestFilter)
class Blocklist:
    """Refuses requests by the canonical address-of-record of their sender, or by its domain.

    Raises ValueError for an option that names nobody.
    """

    def __init__(self, options: BlocklistOptions, host: IHost) -> None:
        self._reason = options.reason
        self._domains = frozenset(_domain(text) for text in options.domains)
        self._users = frozenset(_user(text, host) for text in options.users)

    def request(self, request: Request, sender: Sender) -> None:
        """Refuse the request of a blocked sender (RFC 3261 §21.4.4)."""
        domain = sender.aor.rpartition(b"@")[2]
        if sender.aor in self._users or domain in self._domains:
            raise SipError(403, self._reason)


def _domain(text: str) -> bytes:
    if not text or "@" in text:
        raise ValueError(f"domains: {text!r} is no domain")
    return canonical_host(text.encode("idna"))


def _user(text: str, host: IHost) -> bytes:
    """Return the address that the server compares by: its own names are one domain."""
    user, _, domain = text.rpartition("@")
    if not user:
        raise ValueError(f"users: {text!r} is no user@domain")
    try:
        uri = parse_uri(b"sip:" + user.encode() + b"@" + _domain(domain))
    except SipError:
        raise ValueError(f"users: {text!r} is no user@domain") from None
    canonical: bytes = host.identity.canonical(uri)
    return canonical
