"""Loop detection and Max-Breadth, which a proxy that forks must have (RFC 5393)."""

from __future__ import annotations

import hashlib

from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import parse_number
from sipproxy.sip.headers import MAGIC_COOKIE, parse_via
from sipproxy.sip.message import Request
from sipproxy.transport.identity import Identity

_MARK = b".l"  # begins the second part of a branch


def new_branch(salt: bytes, second: bytes = b"") -> bytes:
    """Make a branch: unique by ``salt``, with the second part where the request forks (§4.2.1)."""
    branch = MAGIC_COOKIE + salt.hex().encode()
    return branch + _MARK + second if second else branch


def renewed_branch(branch: bytes, salt: bytes) -> bytes:
    """Make a branch for another attempt: what the old one says of the request stays."""
    return new_branch(salt, branch.partition(_MARK)[2])


def second_part(request: Request) -> bytes:
    """Return what depends on all that decides where the request goes, but for its method (§4.2.1).

    Call-ID and CSeq make it another one for the next request (§4.2.4).
    """
    digest = hashlib.blake2s(request.raw_uri, digest_size=8)
    for value in request.values(b"route"):
        digest.update(b"\0" + value)
    digest.update(b"\0" + request.call_id + b"\0%d" % request.cseq.number)
    return digest.hexdigest().encode()


def refuse_loop(request: Request, second: bytes, identity: Identity) -> None:
    """Raise `SipError` 482 where the request has been here with the same inputs (§4.2.2)."""
    for value in request.values(b"via"):
        if _MARK + second not in value:
            continue
        via = parse_via(value)
        if via.branch.endswith(_MARK + second) and identity.sent(via.host, via.effective_port):
            raise SipError(482)


def breadth(request: Request, maximum: int) -> int:
    """Return the incoming Max-Breadth, at most ``maximum`` (§5.3.3); raises `SipError` 400."""
    if b"max-breadth" not in request.names:
        return maximum
    value = request.value(b"max-breadth") or b""
    return min(parse_number(value, 2**31, "Max-Breadth"), maximum)


def shares(incoming: int, branches: int) -> list[int]:
    """Divide a breadth among branches; raises `SipError` 440 where there is not enough (§5.3.3)."""
    if branches > incoming:
        raise SipError(440)
    if branches == 1:
        return [incoming]
    share, rest = divmod(incoming, branches)
    return [share + (index < rest) for index in range(branches)]
