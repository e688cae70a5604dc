"""The pieces of grammar that header values and URIs share (RFC 3261 §25.1)."""

from __future__ import annotations

import re

from sipproxy.sip.errors import SipError
from sipproxy.sip.scanner import scan_params

TOKEN_CHARS: bytes = rb"A-Za-z0-9\-.!%*_+`'~"
QUOTED: bytes = rb'"(?:[^"\\]|\\.)*"'
HOST: bytes = (
    rb"(?:\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z]+)?\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?)"
)

_token = re.compile(rb"[%s]+" % TOKEN_CHARS).fullmatch
# An unclosed quote or bracket swallows the rest, so that scanning stays linear.
_comma = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|<[^>]*(?:>|\Z)|,', re.S)
_quoted_or = {
    separator: re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|' + separator, re.S)
    for separator in (b",", b";")
}
_escape = re.compile(rb"%([0-9A-Fa-f]{2})")
_folding = re.compile(rb"(?<![ \t])[ \t]*\r\n[ \t]+")
_backslash = re.compile(rb"\\(.)", re.S)
_host = re.compile(HOST).fullmatch
_value = rb'(?:%s|\[[^\]\s;,"]*\]|[^\s;,"<>=\[\]]+(?:=[^\s;,"<>]*)?)' % QUOTED
# ``;name=value;flag``, with white space wherever the grammar has it.
PARAMS: bytes = rb"(?:\s*;\s*[%s]+(?:\s*=\s*%s)?)*\s*" % (TOKEN_CHARS, _value)
_params = re.compile(PARAMS, re.S).fullmatch

Params = dict[bytes, bytes | None]


def malformed(what: str) -> SipError:
    """Return the 400 that says what in the message could not be read (RFC 3261 §21.4.1)."""
    return SipError(400, f"Bad {what}")


def is_token(text: bytes) -> bool:
    """Tell whether ``text`` is a token (RFC 3261 §25.1)."""
    return _token(text) is not None


def is_host(text: bytes) -> bool:
    """Tell whether ``text`` is a host name, an IPv4 address or an IPv6 reference."""
    return _host(text) is not None


def is_params(text: bytes) -> bool:
    """Tell whether ``text`` is a run of parameters, each with its semicolon."""
    return _params(text) is not None


def unfold(value: bytes) -> bytes:
    """Join a folded value to one line (RFC 3261 §7.3.1)."""
    return _folding.sub(b" ", value) if b"\n" in value else value


def _split(value: bytes, pattern: re.Pattern[bytes], separator: bytes) -> list[bytes]:
    parts: list[bytes] = []
    start = 0
    for match in pattern.finditer(value):
        if match.group() == separator:
            parts.append(value[start : match.start()].strip())
            start = match.end()
    parts.append(value[start:].strip())
    return parts


def split_values(value: bytes) -> list[bytes]:
    """Split a header value at the commas outside quotes and angle brackets (RFC 3261 §7.3.1)."""
    if b"," not in value:
        return [value.strip()]
    return _split(value, _comma, b",")


def split_quoted(value: bytes, separator: bytes) -> list[bytes]:
    """Split at ``separator`` (a comma or a semicolon) outside quotes only."""
    if b'"' not in value:
        return [part.strip() for part in value.split(separator)]
    return _split(value, _quoted_or[separator], separator)


def parse_params(text: bytes) -> Params:
    """Parse ``;name=value;flag`` into a dictionary with lower-case names.

    Values stay as written, quotes included. Raises `SipError` 400 on an empty or repeated name
    (RFC 3261 §7.3.1: a name must not appear more than once) and on stray characters.
    """
    found = scan_params(text)
    if found is not None:
        return found
    if not is_params(text):
        raise malformed("parameter")
    return split_params(text)


def read_params(text: bytes) -> Params:
    """Read what has matched `PARAMS`; raises `SipError` 400 on a repeated name."""
    found = scan_params(text)
    return split_params(text) if found is None else found


def split_params(text: bytes) -> Params:
    """Do what `read_params` does, without the scanner."""
    params: Params = {}
    pieces = split_quoted(text, b";") if b'"' in text else text.split(b";")
    for piece in pieces[1:]:
        name, equals, value = piece.partition(b"=")
        params[name.strip().lower()] = value.strip() if equals else None
    if len(params) != len(pieces) - 1:
        raise malformed("parameter")
    return params


def unquote(text: bytes) -> bytes:
    """Undo a quoted string; anything else comes back as it is (RFC 3261 §25.1)."""
    if len(text) >= 2 and text[:1] == b'"' == text[-1:]:
        text = text[1:-1]
        return _backslash.sub(rb"\1", text) if b"\\" in text else text
    return text


def quote(text: bytes) -> bytes:
    """Return ``text`` as a quoted string."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def unescape(text: bytes) -> bytes:
    """Undo each %HH once (RFC 3261 §19.1.2); a % that is no escape stays."""
    if text.find(b"%") < 0:  # `in` costs twice that: it looks for a number first
        return text
    return _escape.sub(lambda match: bytes((int(match.group(1), 16),)), text)


def parse_number(text: bytes, limit: int, what: str) -> int:
    """Parse a decimal number of at most ``limit``; raises `SipError` 400."""
    if not text.isdigit() or len(text) > 20 or (number := int(text)) > limit:
        raise malformed(what)
    return number
