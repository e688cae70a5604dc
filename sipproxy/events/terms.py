"""Bodies that are not understood: of a SUBSCRIBE (RFC 3857 §4.3), and encoded ones of any."""

from __future__ import annotations

from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request


def refuse_body(request: Request) -> None:
    """Raise `SipError` 415 for a body that has to be understood (RFC 3261 §8.2.3).

    That goes for filters, too: a 200 would say that they were accepted (RFC 4660 §5.2).
    """
    if not request.body:
        return
    disposition = (request.value(b"content-disposition") or b"").replace(b" ", b"").lower()
    if b";handling=optional" not in disposition:
        raise SipError(415, headers=[(b"Accept", b"")])


def refuse_encoding(request: Request) -> None:
    """Raise `SipError` 415 for a body that is encoded (RFC 3261 §8.2.3, §21.4.13)."""
    encoding = request.value(b"content-encoding")
    if encoding and encoding.lower() != b"identity":
        raise SipError(415, headers=[(b"Accept-Encoding", b"identity")])
