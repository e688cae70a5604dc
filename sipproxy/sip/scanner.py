"""The scanner: reads ordinary messages and URIs in one walk, in C where that was built.

The functions that scan return None (``scan_end`` 0) for whatever is not ordinary, and always where
there is no C: then the parsers in Python have the word. They decide what is right, and what a
mistake is answered with.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipproxy.sip.headers import NameAddr
    from sipproxy.sip.message import Request, Response
    from sipproxy.sip.uri import Uri

__all__ = [
    "IS_BUILT",
    "find_field",
    "prepare",
    "read_field",
    "read_select",
    "scan_address",
    "scan_digest",
    "scan_end",
    "scan_message",
    "scan_params",
    "scan_uri",
    "select",
]


def read_field(names: list[bytes], lines: list[bytes], name: bytes, /) -> bytes | None:
    """Return the value on the first line of a header, still folded, or None."""
    if name not in names:
        return None
    return lines[names.index(name)].split(b":", 1)[1].strip()


def read_select(
    names: list[bytes], lines: list[bytes], wanted: frozenset[bytes], /
) -> tuple[list[bytes], list[bytes]]:
    """Return the names, and the lines, of those headers that are wanted, in their order."""
    chosen = [name in wanted for name in names]
    return list(compress(names, chosen)), list(compress(lines, chosen))


try:
    from sipproxy.sip._scan import address as scan_address
    from sipproxy.sip._scan import digest as scan_digest
    from sipproxy.sip._scan import end as scan_end
    from sipproxy.sip._scan import field as find_field
    from sipproxy.sip._scan import message as scan_message
    from sipproxy.sip._scan import params as scan_params
    from sipproxy.sip._scan import prepare, select
    from sipproxy.sip._scan import uri as scan_uri

    IS_BUILT = True
except ImportError:
    IS_BUILT = False

    def scan_message(data: bytes, fits: bool, /) -> Request | Response | None:
        """Find nothing ordinary."""
        return None

    def scan_digest(text: bytes, /) -> dict[bytes, bytes] | None:
        """Find nothing ordinary."""
        return None

    def scan_end(data: bytes, start: int, head: int, body: int, /) -> int:
        """Find no end."""
        return 0

    def scan_uri(raw: bytes, /) -> Uri | None:
        """Find nothing ordinary."""
        return None

    def scan_address(value: bytes, /) -> NameAddr | None:
        """Find nothing ordinary."""
        return None

    def scan_params(text: bytes, /) -> dict[bytes, bytes | None] | None:
        """Find nothing ordinary."""
        return None

    find_field = read_field
    select = read_select

    def prepare(
        names: dict[bytes, tuple[bytes, int]],
        methods: dict[bytes, bytes],
        types: tuple[type, ...],
        /,
    ) -> None:
        """Need nothing."""
