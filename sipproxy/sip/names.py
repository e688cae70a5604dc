"""What header fields and methods are called, and how often a field may come (RFC 3261 §7.3)."""

from __future__ import annotations

from sipproxy.sip.grammar import is_token, malformed

_COMPACT = {
    b"a": b"accept-contact",
    b"b": b"referred-by",
    b"c": b"content-type",
    b"d": b"request-disposition",
    b"e": b"content-encoding",
    b"f": b"from",
    b"i": b"call-id",
    b"j": b"reject-contact",
    b"k": b"supported",
    b"l": b"content-length",
    b"m": b"contact",
    b"n": b"identity-info",
    b"o": b"event",
    b"r": b"refer-to",
    b"s": b"subject",
    b"t": b"to",
    b"u": b"allow-events",
    b"v": b"via",
    b"x": b"session-expires",
    b"y": b"identity",
}
_SPELLINGS = (
    b"Via From To Call-ID CSeq Contact Max-Forwards Content-Length Content-Type Route Record-Route "
    b"Expires Event Accept Allow Supported Require User-Agent Server Authorization "
    b"Proxy-Authorization Proxy-Require Path Subject Date Max-Breadth Allow-Events "
    b"WWW-Authenticate Proxy-Authenticate"
).split()
METHODS = frozenset(
    b"ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE "
    b"UPDATE".split()
)
MANDATORY = (b"via", b"from", b"to", b"call-id", b"cseq")  # §8.1.1; Max-Forwards may be absent
# Fields of one value: two of them leave it open which one a reader takes (§7.3.1).
SINGLE = (
    *MANDATORY[1:],
    *b"max-forwards content-length max-breadth content-type expires min-expires event".split(),
    *(b"subscription-state", b"sip-if-match"),
)


class _Names(dict[bytes, bytes]):
    """What a header name stands for: the usual spellings by look-up, all others worked out."""

    def __missing__(self, written: bytes) -> bytes:
        name = written.rstrip(b" \t").lower()
        if not is_token(name):
            raise malformed("header line")
        return _COMPACT.get(name, name)


_names = _Names(
    {name: name.lower() for name in _SPELLINGS}
    | {name.lower(): name.lower() for name in _SPELLINGS}
    | _COMPACT
    | {short.upper(): name for short, name in _COMPACT.items()}
)


def header_names(lines: list[bytes]) -> list[bytes]:
    """Return the lower-case long name of each line; raises `SipError` 400."""
    try:
        return [_names[name] for name, _ in [line.split(b":", 1) for line in lines]]
    except ValueError:
        raise malformed("header line") from None


def scanned_names() -> dict[bytes, tuple[bytes, int]]:
    """Return the scanner's table: each lower-case name with what it stands for and its place.

    The places are those of Via and of the fields of one value; all others have the last one, 31.
    """
    places = {name: place for place, name in enumerate((b"via", *SINGLE))}
    written = {name: name for name in (*places, *_names.values())} | _COMPACT
    return {name: (known, places.get(known, 31)) for name, known in written.items()}
