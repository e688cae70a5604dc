"""What the body of a SUBSCRIBE asks of a package that knows no filters (RFC 3857 §4.3)."""

from __future__ import annotations

from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request


def refuse_body(request: Request) -> None:
    """Raise `SipError` 415 for a body that has to be understood (RFC 3261 §8.2.3)."""
    if not request.body:
        return
    disposition = (request.value(b"content-disposition") or b"").replace(b" ", b"").lower()
    if b";handling=optional" not in disposition:
        raise SipError(415, headers=[(b"Accept", b"")])
