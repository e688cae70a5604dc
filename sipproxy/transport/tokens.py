"""Tokens that name flows and cannot be forged, for Record-Route (RFC 5626 §5.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

KEY_LENGTH = 32  # bytes
_MAC = 12  # bytes


class FlowTokens:
    """Makes and reads tokens; ``key`` is secret.

    A token is valid in one dialog alone, by what its user says names that: who has seen it cannot
    use it for another.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, upstream: bytes, downstream: bytes, dialog: bytes) -> bytes:
        """Return the token for two flows, by their names (empty: no flow), fit for a user part."""
        text = bytes((len(upstream),)) + upstream + downstream
        return base64.urlsafe_b64encode(self._mac(text, dialog) + text).rstrip(b"=")

    def read(self, token: bytes, dialog: bytes) -> tuple[bytes, bytes] | None:
        """Return the names of the flows in a token, or None if it is not ours or not for this."""
        try:
            padded = token + b"=" * (-len(token) % 4)
            data = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, text = data[:_MAC], data[_MAC:]
        if not text or not hmac.compare_digest(mac, self._mac(text, dialog)):
            return None
        return text[1 : 1 + text[0]], text[1 + text[0] :]

    def _mac(self, text: bytes, dialog: bytes) -> bytes:
        return hmac.digest(self._key, text + b"\0" + dialog, hashlib.sha256)[:_MAC]
