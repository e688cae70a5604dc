"""Which of our body types a request accepts (RFC 3261 §20.1, RFC 2616 §14.1)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from sipproxy.sip.grammar import malformed, parse_params
from sipproxy.sip.headers import parse_qvalue
from sipproxy.sip.message import Request

_MOST = 50  # media ranges in one request; beyond: 400
_USUAL = 200  # bytes: what was made of so much is remembered, for most clients ask for the same


def accepted(request: Request, offered: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return which of the offered media types a request accepts, preferred first.

    That is by q. The order of Accept means nothing (RFC 2616 §14.1), so among equals it is what is
    named, before what only a range covers, and of what is named the last that is offered: the
    default is the first, and who names more than it does so for a reason (RFC 5263 §3.2). Without
    Accept it is the default (RFC 6665 §5.4.5); an empty one accepts nothing. Raises `SipError` 400.
    """
    if b"accept" not in request.names:
        return tuple(offered[:1])
    values = tuple(request.values(b"accept"))
    usual = sum(map(len, values)) <= _USUAL
    return (_chosen if usual else _chosen.__wrapped__)(values, tuple(offered))


@functools.lru_cache(256)
def _chosen(values: Sequence[bytes], offered: Sequence[bytes]) -> tuple[bytes, ...]:
    ranges = _ranges([value for value in values if value])
    ranked = []
    for number, media_type in enumerate(offered):
        is_named = media_type.lower() in ranges
        q = _q(media_type.lower(), ranges)
        if q:
            place = -number if is_named else number
            ranked.append((-q, not is_named, place, media_type))
    return tuple(media_type for *_, media_type in sorted(ranked))


def _ranges(values: Sequence[bytes]) -> dict[bytes, float]:
    """Return the q of each media range; parameters of a type do not count."""
    if len(values) > _MOST:
        raise malformed("Accept: it is too long")
    ranges: dict[bytes, float] = {}
    for value in values:
        name, semicolon, rest = value.partition(b";")
        params = parse_params(semicolon + rest) if semicolon else {}
        ranges.setdefault(_plain(name), parse_qvalue(params.get(b"q")))
    return ranges


def _q(media_type: bytes, ranges: dict[bytes, float]) -> float:
    """Return what the most specific range says of a type, 0 where none speaks of it."""
    for name in (media_type, media_type.partition(b"/")[0] + b"/*", b"*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def _plain(media_range: bytes) -> bytes:
    major, slash, minor = media_range.partition(b"/")
    major, minor = major.strip().lower(), minor.strip().lower()
    if not slash or not major or not minor:
        raise malformed("Accept")
    return major + b"/" + minor
