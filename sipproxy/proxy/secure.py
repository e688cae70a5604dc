"""sips: what goes by TLS only, and is never sent on by less (RFC 3261 §26.2.2, RFC 5630)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipproxy.sip.errors import SipError
from sipproxy.sip.uri import Uri
from sipproxy.transport.certificates import NextHop

if TYPE_CHECKING:
    from sipproxy.transaction.parties import Flow

NOT_ALLOWED = [(b"Warning", b'380 sipproxy "SIPS Not Allowed"')]  # §5.3


def is_sips(raw: bytes) -> bool:
    """Tell whether a URI, as written, is of the scheme sips."""
    return raw[:5].lower() == b"sips:"


def is_secure(flow: Flow | None) -> bool:
    """Tell whether a flow is with TLS."""
    return flow is not None and flow.via_transport == b"TLS"


def secured(hop: Uri) -> Uri:
    """Return a next hop as RFC 3261 §16.6 step 7 has it for sips: as if it were written sips."""
    if hop.scheme == b"sips":
        return hop
    scheme, colon, rest = hop.raw.partition(b":")
    parts = (hop.user, hop.password, hop.host, hop.port, hop.params, hop.headers)
    other = Uri(b"sips" + colon + rest, b"sips", *parts)
    return NextHop(other, hop.domain) if isinstance(hop, NextHop) else other


def unsecured(raw: bytes) -> bytes:
    """Return a sips URI as sip, the rest as it is (RFC 5630 §5.3)."""
    return b"sip" + raw[4:]


def sips_not_allowed() -> SipError:
    """Return the refusal of who is there, but not by sips (RFC 5630 §5.3)."""
    return SipError(480, headers=NOT_ALLOWED)
