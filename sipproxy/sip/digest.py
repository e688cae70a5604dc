"""Digest authentication for both sides (RFC 3261 §22, 7616, 8760)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from sipproxy.sip.grammar import quote

# Names as RFC 7616 §6.1 registers them, and hashlib's.
ALGORITHMS: dict[str, str] = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}

_nonce_count = re.compile(rb"[0-9A-Fa-f]{8}").fullmatch


def _hash(algorithm: str, text: bytes) -> bytes:
    return hashlib.new(ALGORITHMS[algorithm], text, usedforsecurity=False).hexdigest().encode()


def ha1(algorithm: str, user: bytes, realm: bytes, password: bytes) -> bytes:
    """Return the secret that stands for a password: H(user:realm:password) (RFC 7616 §3.4.2)."""
    return _hash(algorithm, b":".join((user, realm, password)))


def named_algorithm(params: Mapping[bytes, bytes]) -> str | None:
    """Return the algorithm that credentials or a challenge name; MD5 where none is (§3.4)."""
    written = params.get(b"algorithm", b"MD5").decode("ascii", "replace").upper()
    return written if written in ALGORITHMS else None


def response_for(
    algorithm: str, secret: bytes, method: bytes, params: Mapping[bytes, bytes]
) -> bytes:
    """Return the ``response`` that belongs to credentials with qop=auth (RFC 7616 §3.4.1).

    ``secret`` is the `ha1`; ``params`` has nonce, nc, cnonce, qop and uri.
    """
    ha2 = _hash(algorithm, method + b":" + params[b"uri"])
    return _hash(
        algorithm,
        b":".join(
            (secret, params[b"nonce"], params[b"nc"], params[b"cnonce"], params[b"qop"], ha2)
        ),
    )


def is_complete(params: Mapping[bytes, bytes]) -> bool:
    """Tell whether credentials have all that qop=auth asks for (RFC 8760 §2.6: qop is a must)."""
    needed = (b"username", b"realm", b"nonce", b"uri", b"response", b"cnonce", b"nc")
    return (
        all(params.get(name) for name in needed)
        and params.get(b"qop", b"").lower() == b"auth"
        and nonce_count(params) is not None
    )


def nonce_count(params: Mapping[bytes, bytes]) -> int | None:
    """Return the nonce count, eight hexadecimal digits (RFC 7616 §3.4), or None."""
    text = params.get(b"nc", b"")
    return int(text, 16) if _nonce_count(text) else None


def verify(algorithm: str, secret: bytes, method: bytes, params: Mapping[bytes, bytes]) -> bool:
    """Tell whether complete credentials prove the secret; takes the same time either way."""
    expected = response_for(algorithm, secret, method, params)
    return hmac.compare_digest(expected, params[b"response"].lower())


def challenges(
    realm: bytes, nonce: bytes, algorithms: Sequence[str], stale: bool = False
) -> list[bytes]:
    """Return a challenge for each algorithm, most preferred first (RFC 8760 §2.3)."""
    suffix = b", stale=true" if stale else b""
    return [
        b'Digest realm=%s, nonce="%s", algorithm=%s, qop="auth"%s'
        % (quote(realm), nonce, algorithm.encode(), suffix)
        for algorithm in algorithms
    ]


def credentials(
    challenge: Mapping[bytes, bytes],
    user: bytes,
    password: bytes,
    method: bytes,
    uri: bytes,
    cnonce: bytes,
    count: int = 1,
) -> bytes:
    """Return the Authorization value that answers a challenge; raises KeyError or ValueError.

    ValueError: the challenge names an algorithm that is unknown here.
    """
    algorithm = named_algorithm(challenge)
    if algorithm is None:
        raise ValueError("unknown digest algorithm")
    realm = challenge[b"realm"]
    params = {
        b"nonce": challenge[b"nonce"],
        b"uri": uri,
        b"cnonce": cnonce,
        b"nc": b"%08x" % count,
        b"qop": b"auth",
    }
    secret = ha1(algorithm, user, realm, password)
    fields = {
        b"username": quote(user),
        b"realm": quote(realm),
        b"nonce": quote(params[b"nonce"]),
        b"uri": quote(uri),
        b"response": quote(response_for(algorithm, secret, method, params)),
        b"algorithm": algorithm.encode(),
        b"cnonce": quote(cnonce),
        b"nc": params[b"nc"],
        b"qop": b"auth",
    }
    if b"opaque" in challenge:  # comes back unchanged (RFC 7616 §3.3)
        fields[b"opaque"] = quote(challenge[b"opaque"])
    return b"Digest " + b", ".join(name + b"=" + value for name, value in fields.items())
