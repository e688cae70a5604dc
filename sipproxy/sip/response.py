"""Making responses: what they copy from the request (RFC 3261 §8.2.6.2)."""

from __future__ import annotations

from collections.abc import Iterable

from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.sip.scanner import select
from sipproxy.sip.status import reason_for

_COPIED = frozenset((b"via", b"from", b"to", b"call-id", b"cseq"))
_COPIED_TRYING = _COPIED | {b"timestamp"}  # §8.2.6.1


def make_response(
    request: Request,
    status: int,
    tag: bytes,
    reason: str | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes = b"",
) -> Response:
    """Make the response to ``request``, with ``tag`` in To unless it has one or status is 100.

    ``headers`` are (name, value) pairs; Content-Length is added.
    """
    copied = _COPIED_TRYING if status == 100 else _COPIED
    names, lines = select(request.names, request.lines, copied)
    if status > 100 and b"to" in names and not _has_tag(request):
        lines[names.index(b"to")] += b";tag=" + tag
    for name, value in headers:
        names.append(name.lower())
        lines.append(name + b": " + value)
    names.append(b"content-length")
    lines.append(b"Content-Length: %d" % len(body))
    return Response(status, (reason or reason_for(status)).encode(), names, lines, body)


def error_response(request: Request, error: SipError, tag: bytes) -> Response:
    """Make the response that an error stands for."""
    return make_response(request, error.status, tag, error.reason, error.headers)


def _has_tag(request: Request) -> bool:
    try:
        return request.to.tag is not None
    except SipError:  # a To that cannot be read is answered as it came
        return True
