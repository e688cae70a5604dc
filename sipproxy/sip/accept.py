"""Which of our body types a request accepts (RFC 3261 §20.1, RFC 2616 §14.1)."""

from __future__ import annotations

from collections.abc import Sequence

from sipproxy.sip.grammar import malformed, parse_params
from sipproxy.sip.headers import parse_qvalue
from sipproxy.sip.message import Request

_MOST = 50  # media ranges in one request; beyond: 400


def accepted(request: Request, offered: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return which of the offered media types a request accepts, preferred first.

    That is by q, and among equals in the order of Accept. Without Accept it is the first that is
    offered (RFC 6665 §5.4.5); an empty one accepts nothing. Raises `SipError` 400.
    """
    if b"accept" not in request.names:
        return tuple(offered[:1])
    ranges = _ranges([value for value in request.values(b"accept") if value])
    ranked = []
    for number, media_type in enumerate(offered):
        rank = _rank(media_type, ranges)
        if rank is not None and rank[0]:
            ranked.append((-rank[0], rank[1], number, media_type))
    return tuple(media_type for *_, media_type in sorted(ranked))


def _ranges(values: Sequence[bytes]) -> dict[bytes, tuple[float, int]]:
    """Return the q of each media range, and its place; parameters of a type do not count."""
    if len(values) > _MOST:
        raise malformed("Accept: it is too long")
    ranges: dict[bytes, tuple[float, int]] = {}
    for place, value in enumerate(values):
        name, semicolon, rest = value.partition(b";")
        params = parse_params(semicolon + rest) if semicolon else {}
        ranges.setdefault(_plain(name), (parse_qvalue(params.get(b"q")), place))
    return ranges


def _rank(media_type: bytes, ranges: dict[bytes, tuple[float, int]]) -> tuple[float, int] | None:
    """Return what the most specific range says of a type."""
    kind = media_type.lower()
    for name in (kind, kind.partition(b"/")[0] + b"/*", b"*/*"):
        if name in ranges:
            return ranges[name]
    return None


def _plain(media_range: bytes) -> bytes:
    major, slash, minor = media_range.partition(b"/")
    major, minor = major.strip().lower(), minor.strip().lower()
    if not slash or not major or not minor:
        raise malformed("Accept")
    return major + b"/" + minor
