"""SIP URIs: parse, compare by RFC 3261 §19.1.4, and the canonical address-of-record (§10.3)."""

from __future__ import annotations

import ipaddress
import re

from sipproxy.sip.grammar import HOST, malformed, unescape
from sipproxy.sip.scanner import scan_uri

SIP_SCHEMES = frozenset((b"sip", b"sips", b"im", b"pres"))
DEFAULT_PORTS = {b"sip": 5060, b"sips": 5061}

# A parameter of this kind in only one of two URIs makes them differ (§19.1.4).
_DISTINCTIVE = (b"user", b"ttl", b"method", b"maddr", b"transport")
_VISIBLE = rb"[^\s@<>\"\x00-\x20\x7f]"
_sip = re.compile(
    rb"(?P<scheme>sips?|im|pres):"
    rb"(?:(?P<user>[^\s@:<>\"\x00-\x20\x7f]+)(?P<password>:%s*)?@)?"
    rb"(?P<host>%s)(?::(?P<port>[0-9]{1,5}))?"
    rb"(?P<params>;[^\s?@<>\"]*)?(?P<headers>\?%s*)?" % (_VISIBLE, HOST, _VISIBLE),
    re.I,
).fullmatch
_scheme = re.compile(rb"[A-Za-z][A-Za-z0-9+\-.]*").fullmatch
# Escapes that stay: what they stand for would change how the user part is read (§25.1 user).
_escape = re.compile(rb"%[0-9A-Fa-f]{2}")
_RESERVED = b";/?:@&=+$,%"  # not what their escapes are (§19.1.4, RFC 2396 §2.2)
_unsafe_in_user = re.compile(rb"[^A-Za-z0-9\-_.!~*'()&=+$,;?/]")


class Uri:
    """A URI as written, with the parts of a SIP URI where it is one.

    For a scheme that is none of SIP's (``tel``, ``isbn``), ``host`` is empty and ``raw`` is all.
    """

    __slots__ = ("headers", "host", "params", "password", "port", "raw", "scheme", "user")

    def __init__(
        self,
        raw: bytes,
        scheme: bytes,
        user: bytes | None = None,
        password: bytes | None = None,
        host: bytes = b"",
        port: int | None = None,
        params: dict[bytes, bytes | None] | None = None,
        headers: bytes = b"",
    ) -> None:
        self.raw = raw
        self.scheme = scheme
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.params = params or {}
        self.headers = headers

    def __repr__(self) -> str:
        return f"<Uri {self.raw!r}>"

    @property
    def is_sip(self) -> bool:
        """Whether the parts of a SIP URI apply."""
        return self.scheme in SIP_SCHEMES

    @property
    def is_loose_router(self) -> bool:
        """Whether the ``lr`` parameter is there (§19.1.1)."""
        return b"lr" in self.params

    @property
    def effective_port(self) -> int:
        """The port written, or the default of the scheme and, deprecated, ``transport=tls``."""
        if self.port is not None:
            return self.port
        if (self.params.get(b"transport") or b"").lower() == b"tls":  # §26.2.2
            return 5061
        return DEFAULT_PORTS.get(self.scheme, 5060)

    @property
    def address(self) -> str:
        """The host as resolvers want it: text, without the brackets of an IPv6 reference."""
        return self.host.strip(b"[]").decode("ascii", "replace")


def parse_uri(raw: bytes) -> Uri:
    """Parse a URI; raises `SipError` 400 where the grammar of RFC 3261 §25.1 is broken."""
    uri = scan_uri(raw)
    return read_uri(raw) if uri is None else uri


def read_uri(raw: bytes) -> Uri:
    """Do what `parse_uri` does, without the scanner."""
    match = _sip(raw)
    if match is None:
        return _parse_other(raw)
    scheme, user, password, host, port, params, headers = match.groups()
    if b".." in host:
        raise malformed("URI host")
    number = None
    if port is not None and (number := int(port)) > 65535:
        raise malformed("URI port")
    return Uri(
        raw,
        scheme.lower(),
        user,
        password and password[1:],
        canonical_host(host),
        number,
        _parse_uri_params(params) if params else None,
        headers or b"",
    )


def _parse_other(raw: bytes) -> Uri:
    """Take a URI of a scheme that is none of SIP's, of which nothing more is asked."""
    scheme, colon, rest = raw.partition(b":")
    scheme = scheme.lower()
    if not colon or not rest or scheme in SIP_SCHEMES:
        raise malformed("URI")
    if _scheme(scheme) is None or _unprintable(raw):
        raise malformed("URI")
    return Uri(raw, scheme)


_unprintable = re.compile(rb"[\x00-\x20\x7f<>\"]").search


def _parse_uri_params(text: bytes) -> dict[bytes, bytes | None]:
    params: dict[bytes, bytes | None] = {}
    for piece in text[1:].split(b";"):
        name, equals, value = piece.partition(b"=")
        name = unescape(name).lower()
        if not name or name in params:  # §19.1.1: a name may appear once
            raise malformed("URI parameter")
        params[name] = unescape(value) if equals else None
    return params


def canonical_host(host: bytes) -> bytes:
    """Lower-case a host, drop a final dot, and write an IPv6 reference in its shortest form."""
    host = host.lower()
    if host[:1] != b"[":
        return host[:-1] if host[-1:] == b"." else host
    text = host[1:-1].replace(b":::", b"::")  # RFC 5118 §4.10: a third colon is tolerated
    try:
        return b"[" + ipaddress.IPv6Address(text.decode("ascii")).compressed.encode() + b"]"
    except ValueError:
        return host


def address_of_record(uri: Uri) -> bytes:
    """Return ``user@host`` without parameters and with the user unescaped (RFC 3261 §10.3 step 5).

    A URI without a user gives ``@host``.
    """
    return unescape(uri.user or b"") + b"@" + uri.host


def aor_uri(aor: bytes) -> bytes:
    """Return the SIP URI of an address-of-record, with what has to be escaped escaped."""
    user, _, host = aor.rpartition(b"@")
    if not user:
        return b"sip:" + host
    escaped = _unsafe_in_user.sub(lambda match: b"%%%02X" % match.group()[0], user)
    return b"sip:" + escaped + b"@" + host


def request_form(uri: Uri) -> bytes:
    """Return the URI as a Request-URI: without headers and ``method`` (RFC 3261 §19.1.1, table)."""
    if not uri.headers and b"method" not in uri.params:
        return uri.raw
    cut = uri.raw.find(b"@") + 1  # 0 where there is no user part
    host, *params = uri.raw[cut:].partition(b"?")[0].split(b";")
    kept = [p for p in params if unescape(p.partition(b"=")[0]).lower() != b"method"]
    return uri.raw[:cut] + b";".join([host, *kept])


def equivalent(a: Uri, b: Uri) -> bool:
    """Tell whether two URIs are equal by RFC 3261 §19.1.4; other schemes compare as written."""
    if not (a.is_sip and b.is_sip):
        return a.raw == b.raw
    return (
        a.scheme == b.scheme
        and a.host == b.host
        and a.port == b.port
        and _same_part(a.user, b.user)
        and _same_part(a.password, b.password)
        and _same_params(a.params, b.params)
        and _headers_of(a) == _headers_of(b)
    )


def normal_form(uri: Uri) -> tuple[object, ...]:
    """Return what two URIs share only if they are equal by RFC 3261 §19.1.4.

    Equal ones mostly do. They do not where a parameter that no RFC knows stands in one of them
    alone: there equality is not transitive, so that no form could say it (RFC 3680 §5.1).
    """
    if not uri.is_sip:
        return (uri.raw,)
    params = sorted((name, (value or b"").lower()) for name, value in uri.params.items())
    user, password = (part and _plain(part) for part in (uri.user, uri.password))
    return (uri.scheme, user, password, uri.host, uri.port, params, _headers_of(uri))


def _same_part(a: bytes | None, b: bytes | None) -> bool:
    if a is None or b is None:
        return a is b
    return a == b or _plain(a) == _plain(b)


def _plain(part: bytes) -> bytes:
    """Undo the escapes of what is equivalent to its escape, in a user or a password."""
    return _escape.sub(_undo, part)


def _undo(escape: re.Match[bytes]) -> bytes:
    octet = unescape(escape.group())
    return escape.group().upper() if octet in _RESERVED else octet


def _same_params(a: dict[bytes, bytes | None], b: dict[bytes, bytes | None]) -> bool:
    if not a and not b:
        return True
    if any((name in a) != (name in b) for name in _DISTINCTIVE):
        return False
    return all((a[name] or b"").lower() == (b[name] or b"").lower() for name in a.keys() & b.keys())


def _headers_of(uri: Uri) -> list[tuple[bytes, bytes]]:
    if not uri.headers:
        return []
    pairs = (piece.partition(b"=") for piece in uri.headers[1:].split(b"&"))
    return sorted((unescape(name).lower(), unescape(value)) for name, _, value in pairs)
