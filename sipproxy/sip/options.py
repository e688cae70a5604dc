"""Option tags: what a request asks to be supported (RFC 3261 §8.2.2.3, §16.3 step 5)."""

from __future__ import annotations

from collections.abc import Collection

from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request


def refuse_unknown(request: Request, header: bytes, supported: Collection[bytes]) -> None:
    """Raise `SipError` 420 for a tag in Require or Proxy-Require that is not supported."""
    if header in request.names:
        tags = request.values(header)
        if unknown := [tag for tag in tags if tag.lower() not in supported]:
            raise SipError(420, headers=[(b"Unsupported", b", ".join(unknown))])


def supports(request: Request, tag: bytes) -> bool:
    """Tell whether the sender of a request supports an extension (RFC 3261 §20.37)."""
    if b"supported" not in request.names:
        return False
    return any(value.lower() == tag for value in request.values(b"supported"))
