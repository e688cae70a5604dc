"""Header values, parsed when somebody asks for them (RFC 3261 §20)."""

from __future__ import annotations

import re

from sipproxy.sip.grammar import (
    HOST,
    PARAMS,
    QUOTED,
    TOKEN_CHARS,
    Params,
    is_params,
    is_token,
    malformed,
    parse_params,
    read_params,
    split_quoted,
    unquote,
)
from sipproxy.sip.scanner import scan_address, scan_digest
from sipproxy.sip.uri import Uri, canonical_host, parse_uri

MAGIC_COOKIE = b"z9hG4bK"  # §8.1.1.7
MAX_CSEQ = 2**31 - 1  # §8.1.1.5
MAX_EXPIRES = 2**32 - 1  # §20.19
DEFAULT_EXPIRES = 3600  # what a malformed value counts as (§10.2.1.1, §20.19)

_via = re.compile(
    rb"\s*[%(t)s]+\s*/\s*[%(t)s]+\s*/\s*(?P<transport>[%(t)s]+)\s+"
    rb"(?P<host>%(h)s)(?:\s*:\s*(?P<port>[0-9]{1,5}))?(?P<params>%(p)s)"
    % {b"t": TOKEN_CHARS, b"h": HOST, b"p": PARAMS},
    re.S,
).fullmatch
_name_addr = re.compile(
    rb"(?P<display>%s\s*|[%s\s\x80-\xff]*)<(?P<uri>[^<>]*)>(?P<params>%s)"
    % (QUOTED, TOKEN_CHARS, PARAMS),
    re.S,
).fullmatch
_cseq = re.compile(rb"([0-9]{1,10})[ \t]+([%s]+)" % TOKEN_CHARS).fullmatch


class Via:
    """One Via value (RFC 3261 §20.42)."""

    __slots__ = ("branch", "effective_port", "host", "params", "port", "transport")

    def __init__(self, transport: bytes, host: bytes, port: int | None, params: Params) -> None:
        self.transport = transport
        self.host = host
        self.port = port
        self.params = params
        self.branch = params.get(b"branch") or b""  # there is none of RFC 2543's making
        # The port written, or the default of the transport (§18.2.2).
        self.effective_port = port if port is not None else 5061 if transport == b"TLS" else 5060

    @property
    def sent_by(self) -> tuple[bytes, int]:
        """Host and port as matching compares them, the default port filled in (§17.2.3)."""
        return self.host, self.effective_port


def parse_via(value: bytes) -> Via:
    """Parse one Via value; raises `SipError` 400."""
    match = _via(value)
    if match is None:
        raise malformed("Via")
    transport, host, port, params = match.groups()
    number = None
    if port is not None and (number := int(port)) > 65535:
        raise malformed("Via")
    return Via(transport.upper(), canonical_host(host), number, read_params(params))


def stamp_via(value: bytes, via: Via, host: bytes, port: int) -> bytes:
    """Return a topmost Via value, or a line of it alone, with what the transport saw of its sender.

    ``received`` is added where the sent-by is another (RFC 3261 §18.2.1) and always beside an
    ``rport``, which gets the source port (RFC 3581 §4). ``host`` is written without brackets.
    """
    params = via.params
    wants_port = b"rport" in params
    if wants_port and value.find(b'"') < 0 and b"received" not in params:
        usual = (value + b";").replace(b";rport;", b";", 1)
        if len(usual) < len(value):
            return usual + b"rport=%d;received=%s" % (port, host)
    if wants_port or b"received" in params:
        sent, *pieces = split_quoted(value, b";")
        # What a sender claims of itself does not count.
        kept = [p for p in pieces if p.partition(b"=")[0].rstrip().lower() not in _STAMPED]
        value = b";".join((sent, *kept))
    elif via.host.strip(b"[]") == host:
        return value
    if wants_port:
        value += b";rport=%d" % port
    return value + b";received=" + host


_STAMPED = (b"received", b"rport")


class NameAddr:
    """A display name, a URI and the parameters of the header (RFC 3261 §20.10)."""

    __slots__ = ("_params", "_uri", "display", "raw_params", "raw_uri")

    def __init__(self, display: bytes, raw_uri: bytes, raw_params: bytes) -> None:
        self.display = display
        self.raw_uri = raw_uri
        self.raw_params = raw_params
        self._uri: Uri | None = None
        self._params: Params | None = None

    @property
    def params(self) -> Params:
        """The header's parameters, read at the first call; raises `SipError` 400."""
        if self._params is None:
            self._params = read_params(self.raw_params)
        return self._params

    def spare(self) -> None:
        """Forget what was parsed: it takes more room than the text, and can be had again."""
        self._uri = self._params = None

    @property
    def uri(self) -> Uri:
        """The URI, parsed at the first call; raises `SipError` 400."""
        if self._uri is None:
            self._uri = parse_uri(self.raw_uri)
        return self._uri

    @property
    def tag(self) -> bytes | None:
        """The tag parameter (§19.3)."""
        return self.params.get(b"tag") if self.raw_params else None


def parse_name_addr(value: bytes) -> NameAddr:
    """Parse a From, To, Contact, Route or Record-Route value; raises `SipError` 400.

    In the form without angle brackets the parameters belong to the header, and a comma or a
    question mark is not allowed (RFC 3261 §20.10).
    """
    return scan_address(value) or read_name_addr(value)


def read_name_addr(value: bytes) -> NameAddr:
    """Do what `parse_name_addr` does, without the scanner."""
    if b"<" in value:
        match = _name_addr(value)
        if match is None:
            raise malformed("address")
        display, uri, params = match.groups()
        return NameAddr(display.strip(), uri, params)
    uri, semicolon, rest = value.strip().partition(b";")
    uri = uri.rstrip()
    if not uri or b"," in uri or b"?" in uri or b'"' in uri:
        raise malformed("address")
    if not is_params(rest := semicolon + rest):
        raise malformed("address")
    return NameAddr(b"", uri, rest)


class CSeq:
    """The sequence number and method of a request (RFC 3261 §20.16)."""

    __slots__ = ("method", "number")

    def __init__(self, number: int, method: bytes) -> None:
        self.number = number
        self.method = method


def parse_cseq(value: bytes) -> CSeq:
    """Parse a CSeq value; raises `SipError` 400."""
    match = _cseq(value)
    if match is None:
        raise malformed("CSeq")
    number, method = match.groups()
    if (value_of := int(number)) > MAX_CSEQ:
        raise malformed("CSeq")
    return CSeq(value_of, method)


def parse_expires(value: bytes | None) -> int:
    """Parse an expiry in seconds; a malformed one is 3600, an overlarge one the limit (§20.19)."""
    if value is None or not value.isdigit():
        return DEFAULT_EXPIRES
    return min(int(value), MAX_EXPIRES) if len(value) <= 20 else MAX_EXPIRES


def parse_qvalue(value: bytes | None) -> float:
    """Parse a q parameter; 1.0 where there is none (RFC 3261 §20.10); raises `SipError` 400."""
    if value is None:
        return 1.0
    if _qvalue(value) is None:
        raise malformed("q")
    return float(value)


_qvalue = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?").fullmatch


class Event:
    """An event package and the parameters that tell subscriptions apart (RFC 6665 §8.2.1)."""

    __slots__ = ("package", "params")

    def __init__(self, package: bytes, params: Params) -> None:
        self.package = package
        self.params = params


def parse_event(value: bytes) -> Event:
    """Parse an Event value; raises `SipError` 400."""
    name, semicolon, rest = value.partition(b";")
    package = name.strip()
    if not is_token(package):
        raise malformed("Event")
    return Event(package, parse_params(semicolon + rest) if semicolon else {})


class Authorization:
    """Credentials or a challenge: a scheme and its parameters, unquoted (RFC 3261 §25.1)."""

    __slots__ = ("params", "scheme")

    def __init__(self, scheme: bytes, params: dict[bytes, bytes]) -> None:
        self.scheme = scheme
        self.params = params


def parse_authorization(value: bytes) -> Authorization:
    """Parse an Authorization or WWW-Authenticate line (or its Proxy twin).

    Commas part the parameters, so that the line holds one value (§7.3.1). Raises `SipError` 400
    for Digest with a repeated or malformed parameter; other schemes keep none.
    """
    scheme, *rest = value.split(None, 1) or (b"",)
    if scheme.lower() != b"digest":
        return Authorization(scheme.lower(), {})
    text = b"".join(rest)
    return Authorization(b"digest", scan_digest(text) or read_digest(text))


def read_digest(text: bytes) -> dict[bytes, bytes]:
    """Read the parameters of Digest, without the scanner; raises `SipError` 400."""
    params: dict[bytes, bytes] = {}
    for piece in split_quoted(text, b","):
        name, equals, value = piece.partition(b"=")
        name = name.strip().lower()
        if not equals or not is_token(name) or name in params:
            raise malformed("credentials")
        params[name] = unquote(value.strip())
    return params
