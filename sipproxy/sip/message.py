"""Messages as they came: a start line, header lines in order, and a body (RFC 3261 §7)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Self

from sipproxy.sip.grammar import is_token, malformed, parse_number, split_values, unfold
from sipproxy.sip.headers import (
    CSeq,
    NameAddr,
    Via,
    parse_cseq,
    parse_name_addr,
    parse_via,
    stamp_via,
)
from sipproxy.sip.names import METHODS
from sipproxy.sip.scanner import find_field
from sipproxy.sip.uri import Uri, parse_uri

# What a message keeps parsed, by the name of the header.
_PARSED = {
    b"via": "_via",
    b"cseq": "_cseq",
    b"from": "_from",
    b"to": "_to",
    b"max-forwards": "_hops",
}
_version = re.compile(rb"SIP/[0-9]+\.[0-9]+", re.I).fullmatch
_folded = re.compile(rb"\n[ \t]").search
_status_line = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.I).fullmatch


class Message:
    """A request or a response, with its header lines as received.

    ``names`` and ``lines`` run in parallel: the lower-case long name, and the line as it came
    (folding included, without its final CRLF). What nobody edits is sent as it was received.
    """

    __slots__ = ("_cseq", "_from", "_hops", "_to", "_via", "body", "lines", "names")

    def __init__(self, names: list[bytes], lines: list[bytes], body: bytes) -> None:
        self.names = names
        self.lines = lines
        self.body = body
        self._via: Via | None = None
        self._cseq: CSeq | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._hops: int | None = None

    @property
    def start(self) -> bytes:
        """The start line."""
        raise NotImplementedError

    def value(self, name: bytes) -> bytes | None:
        """Return the first line's value of a header, unfolded, or None; names are lower-case."""
        value = find_field(self.names, self.lines, name)
        if value is None or value.find(b"\n") < 0:  # `in` costs thrice that, and this is hot
            return value
        return unfold(value)

    def first_value(self, name: bytes) -> bytes:
        """Return the first of a header's values; raises `SipError` 400 where there is none."""
        value = self._required(name)
        return value if value.find(b",") < 0 else split_values(value)[0]

    def line_value(self, index: int) -> bytes:
        """Return the value of the header line at ``index``, unfolded."""
        return _value(self.lines[index])

    def raw_values(self, name: bytes) -> list[bytes]:
        """Return the value of each line of a header, in order, unfolded and not split."""
        value = self.value(name)
        if value is None:
            return []
        if self.names.count(name) == 1:
            return [value]
        return [
            _value(line)
            for known, line in zip(self.names, self.lines, strict=True)
            if known == name
        ]

    def values(self, name: bytes) -> list[bytes]:
        """Return every value of a header in order, several on a line split at commas."""
        values = self.raw_values(name)
        if len(values) == 1 and values[0].find(b",") < 0:
            return values
        return [part for value in values for part in split_values(value)]

    @property
    def via(self) -> Via:
        """The topmost Via value; raises `SipError` 400."""
        if self._via is None:
            self._via = parse_via(self.first_value(b"via"))
        return self._via

    @property
    def cseq(self) -> CSeq:
        """The CSeq value; raises `SipError` 400."""
        if self._cseq is None:
            self._cseq = parse_cseq(self._required(b"cseq"))
        return self._cseq

    @property
    def from_(self) -> NameAddr:
        """The From value; raises `SipError` 400."""
        if self._from is None:
            self._from = parse_name_addr(self._required(b"from"))
        return self._from

    @property
    def to(self) -> NameAddr:
        """The To value; raises `SipError` 400."""
        if self._to is None:
            self._to = parse_name_addr(self._required(b"to"))
        return self._to

    @property
    def call_id(self) -> bytes:
        """The Call-ID; raises `SipError` 400."""
        return self._required(b"call-id")

    def addresses(self, name: bytes) -> list[NameAddr]:
        """Return every value of an address header (Contact, Route, Path); raises `SipError` 400."""
        return [parse_name_addr(value) for value in self.values(name)]

    def _required(self, name: bytes) -> bytes:
        value = self.value(name)
        if not value:
            raise malformed(name.decode("ascii").title())
        return value

    def insert(self, index: int, name: bytes, value: bytes) -> None:
        """Put a new header line at ``index``."""
        known = name.lower()
        self.names.insert(index, known)
        self.lines.insert(index, name + b": " + value)
        if known in _PARSED:
            setattr(self, _PARSED[known], None)

    def append(self, name: bytes, value: bytes) -> None:
        """Put a new header line after all others."""
        known = name.lower()
        self.names.append(known)
        self.lines.append(name + b": " + value)
        if known in _PARSED:
            setattr(self, _PARSED[known], None)

    def push(self, name: bytes, value: bytes) -> None:
        """Put a new header line before the first of its name, or before all others."""
        known = name.lower()
        self.insert(self.names.index(known) if known in self.names else 0, name, value)

    def put(self, name: bytes, value: bytes) -> None:
        """Replace the first line of a header, or append one."""
        known = name.lower()
        line = name + b": " + value
        if known in self.names:
            self.lines[self.names.index(known)] = line
        else:
            self.names.append(known)
            self.lines.append(line)
        if known in _PARSED:
            setattr(self, _PARSED[known], None)

    def remove(self, name: bytes) -> None:
        """Take out every line of a header."""
        if name not in self.names:
            return
        kept = [place for place, known in enumerate(self.names) if known != name]
        self.names = [self.names[place] for place in kept]
        self.lines = [self.lines[place] for place in kept]
        if name in _PARSED:
            setattr(self, _PARSED[name], None)

    def pop_value(self, name: bytes) -> None:
        """Take out the first value of a header; others on its line stay, as they were written."""
        index = self.names.index(name)
        line = self.lines[index]
        rest = None if line.find(b",") < 0 else split_values(_value(line))[1:]
        if rest:
            self.lines[index] = line.partition(b":")[0].rstrip() + b": " + b", ".join(rest)
        else:
            del self.names[index], self.lines[index]
        if name in _PARSED:
            setattr(self, _PARSED[name], None)

    def _first(self, index: int) -> tuple[bytes, bytes, bytes]:
        """Return the name on a header line, its first value, and what comes after."""
        written, _, value = self.lines[index].partition(b":")
        first, *others = split_values(unfold(value))
        return written.rstrip(), first, b"".join(b", " + other for other in others)

    def encode(self) -> bytes:
        """Return the octets to send."""
        return b"\r\n".join([self.start, *self.lines, b"", self.body])


class Request(Message):
    """A request: method, Request-URI, header lines and body."""

    __slots__ = ("_uri", "method", "raw_uri", "version")

    def __init__(
        self,
        method: bytes,
        raw_uri: bytes,
        names: list[bytes],
        lines: list[bytes],
        body: bytes = b"",
        version: bytes = b"SIP/2.0",
    ) -> None:
        Message.__init__(self, names, lines, body)
        self.method = method
        self.raw_uri = raw_uri
        self.version = version
        self._uri: Uri | None = None

    def __repr__(self) -> str:
        return f"<Request {self.method!r} {self.raw_uri!r}>"

    @classmethod
    def build(
        cls,
        method: bytes,
        raw_uri: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes = b"",
    ) -> Self:
        """Make a request of our own from (name, value) pairs; Content-Length is added."""
        request = cls(method, raw_uri, [], [], body)
        for name, value in headers:
            request.append(name, value)
        request.append(b"Content-Length", b"%d" % len(body))
        return request

    @property
    def start(self) -> bytes:
        """The request line."""
        return b"%s %s SIP/2.0" % (self.method, self.raw_uri)

    @property
    def uri(self) -> Uri:
        """The Request-URI; raises `SipError` 400."""
        if self._uri is None:
            self._uri = parse_uri(self.raw_uri)
        return self._uri

    def retarget(self, raw_uri: bytes) -> None:
        """Write another Request-URI."""
        self.raw_uri = raw_uri
        self._uri = None

    def stamp(self, host: bytes, port: int) -> None:
        """Note in the topmost Via where the request came from (RFC 3261 §18.2.1, 3581 §4).

        ``via`` keeps what the sender wrote: responses are routed by both.
        """
        via = self.via
        index = self.names.index(b"via")
        line = self.lines[index]
        if line.find(b",") < 0 and line.find(b"\n") < 0:
            self.lines[index] = stamp_via(line, via, host, port)
            return
        written, value, others = self._first(index)
        self.lines[index] = written + b": " + stamp_via(value, via, host, port) + others

    @property
    def max_forwards(self) -> int | None:
        """The hops that are left, None where nothing is said; raises `SipError` 400 (§20.22)."""
        if self._hops is None and b"max-forwards" in self.names:
            self._hops = parse_number(self.value(b"max-forwards") or b"", 255, "Max-Forwards")
        return self._hops

    def copy(self) -> Request:
        """Return a copy whose lines can be edited apart."""
        return Request(self.method, self.raw_uri, self.names[:], self.lines[:], self.body)


class Response(Message):
    """A response: status, reason phrase, header lines and body."""

    __slots__ = ("reason", "status")

    def __init__(
        self, status: int, reason: bytes, names: list[bytes], lines: list[bytes], body: bytes = b""
    ) -> None:
        Message.__init__(self, names, lines, body)
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.status}>"

    def copy(self) -> Response:
        """Return a copy whose lines can be edited apart."""
        return Response(self.status, self.reason, self.names[:], self.lines[:], self.body)

    @property
    def start(self) -> bytes:
        """The status line."""
        return b"SIP/2.0 %d %s" % (self.status, self.reason)


def _value(line: bytes) -> bytes:
    value = line.split(b":", 1)[1]
    return (unfold(value) if b"\n" in value else value).strip()


def split_lines(head: bytes) -> list[bytes]:
    """Split a head at its line ends; a folded line stays one element (RFC 3261 §7.3.1)."""
    lines = head.split(b"\r\n")
    if _folded(head):
        unfolded: list[list[bytes]] = []
        for line in lines:
            if line[:1] in (b" ", b"\t") and unfolded:
                unfolded[-1].append(line)
            else:
                unfolded.append([line])
        lines = [b"\r\n".join(parts) for parts in unfolded]
    return lines


def parse_start_line(line: bytes) -> Request | Response:
    """Parse a start line into a message without headers; raises `SipError` 400."""
    if line[:4].upper() == b"SIP/":
        match = _status_line(line)
        if match is None:
            raise malformed("status line")
        return Response(int(match.group(1)), match.group(2) or b"", [], [])
    pieces = line.split(b" ")
    if len(pieces) == 3:
        method, uri, version = pieces
        if version == b"SIP/2.0" and method in METHODS:
            return Request(method, uri, [], [])
        if is_token(method) and _version(version) is not None:
            return Request(method, uri, [], [], version=version.upper())
    raise malformed("request line")
