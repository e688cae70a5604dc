"""The scanner: reads ordinary messages and URIs in one walk, in C where that was built.

It returns None for whatever is not ordinary, and always where there is no C: then the parsers in
Python have the word. They decide what is right, and what a mistake is answered with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipproxy.sip.message import Request, Response
    from sipproxy.sip.uri import Uri

__all__ = ["IS_BUILT", "prepare", "scan_message", "scan_uri"]

try:
    from sipproxy.sip._scan import message as scan_message
    from sipproxy.sip._scan import prepare
    from sipproxy.sip._scan import uri as scan_uri

    IS_BUILT = True
except ImportError:
    IS_BUILT = False

    def scan_message(data: bytes, fits: bool, /) -> Request | Response | None:
        """Find nothing ordinary."""
        return None

    def scan_uri(raw: bytes, /) -> Uri | None:
        """Find nothing ordinary."""
        return None

    def prepare(
        names: dict[bytes, tuple[bytes, int]],
        methods: dict[bytes, bytes],
        types: tuple[type, ...],
        /,
    ) -> None:
        """Need nothing."""
