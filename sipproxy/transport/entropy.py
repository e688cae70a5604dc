"""Chance: random octets, as many as a server needs."""

from __future__ import annotations

import os


class Entropy:
    """Random octets, taken from the kernel by the block."""

    def __init__(self, block: int = 4096) -> None:
        self._block = block
        self._octets = b""
        self._used = 0

    def __call__(self, length: int) -> bytes:
        """Return ``length`` random octets."""
        if length > self._block:
            return os.urandom(length)
        if self._used + length > len(self._octets):
            self._octets = os.urandom(self._block)
            self._used = 0
        self._used += length
        return self._octets[self._used - length : self._used]
