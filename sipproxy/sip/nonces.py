"""Nonces with time and integrity in them, and the counts used with each (RFC 7616 §3.3, §5.4)."""

from __future__ import annotations

import hashlib
import hmac

FRESH, STALE, FORGED = range(3)

_WINDOW = 64  # counts may arrive this much out of order, as datagrams do
_STAMP = 12  # hexadecimal digits of the time, in seconds
_SALT = 16
_MAC = 24


class Nonces:
    """Makes nonces, knows its own again, and lets each count pass once.

    ``key`` is secret, of at most 64 bytes; ``lifetime`` is in seconds. Only counts of verified
    credentials are kept, and none for longer than two lifetimes.
    """

    def __init__(self, key: bytes, lifetime: float) -> None:
        self._key = key
        self._lifetime = lifetime
        self._since, self._before = 0.0, lifetime  # those made before live no longer than that
        self._used: dict[bytes, tuple[int, int]] = {}
        self._used_before: dict[bytes, tuple[int, int]] = {}
        self._turned = 0.0

    def make(self, realm: bytes, now: float, salt: bytes) -> bytes:
        """Return a new nonce; ``salt`` is random, 8 bytes, and ``now`` in seconds."""
        head = b"%012x" % int(now) + salt.hex().encode()
        return head + self._mac(realm, head)

    def salt(self, chance: bytes, source: bytes) -> bytes:
        """Return a salt that tells which address a nonce is sent to; ``chance``: 4 random bytes."""
        return chance + self._code(chance + source, 4)

    def is_for(self, nonce: bytes, source: bytes) -> bool:
        """Tell whether a nonce of ours was sent to an address, so that who has it is there."""
        chance = nonce[_STAMP : _STAMP + _SALT // 2]
        written = nonce[_STAMP : _STAMP + _SALT]
        try:
            expected = self.salt(bytes.fromhex(chance.decode("ascii")), source)
        except ValueError:
            return False
        return hmac.compare_digest(expected.hex().encode(), written)

    def judge(self, nonce: bytes, realm: bytes, now: float) -> int:
        """Tell whether a nonce is `FRESH`, `STALE` (ours, but old), or `FORGED`."""
        head, mac = nonce[: _STAMP + _SALT], nonce[_STAMP + _SALT :]
        if not hmac.compare_digest(self._mac(realm, head), mac):
            return FORGED
        made = int(head[:_STAMP], 16)
        lifetime = self._lifetime if made >= self._since else min(self._before, self._lifetime)
        return FRESH if now - made <= lifetime else STALE

    def last(self, lifetime: float, now: float) -> None:
        """Give nonces another lifetime from now on.

        What was made before must not live longer: which of its counts were used is forgotten.
        """
        if lifetime != self._lifetime:
            self._before = min(self._before, self._lifetime)
            self._since, self._lifetime = now, lifetime

    def use(self, nonce: bytes, count: int, now: float) -> bool:
        """Note a count that came with verified credentials; False if it was used before."""
        if now - self._turned > self._lifetime:
            self._used_before, self._used = self._used, {}
            self._turned = now
        highest, seen = self._used.get(nonce) or self._used_before.get(nonce) or (0, 0)
        if count > highest:
            shift = min(count - highest, _WINDOW)
            seen = (seen << shift | 1) & (1 << _WINDOW) - 1
            highest = count
        else:
            behind = highest - count
            if behind >= _WINDOW or seen >> behind & 1 or count == 0:
                return False
            seen |= 1 << behind
        self._used[nonce] = (highest, seen)
        return True

    def _mac(self, realm: bytes, head: bytes) -> bytes:
        return self._code(realm + b"\0" + head, _MAC // 2).hex().encode()

    def _code(self, text: bytes, size: int) -> bytes:
        """Return an authentication code (RFC 7693 §2.9); HMAC takes four times as long."""
        return hashlib.blake2b(text, key=self._key, digest_size=size).digest()
