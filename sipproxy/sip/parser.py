"""From octets to a checked message (RFC 3261 §7, §16.3 step 1, §18.3)."""

from __future__ import annotations

import re

from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import malformed, parse_number
from sipproxy.sip.headers import CSeq, NameAddr, Via
from sipproxy.sip.message import Request, Response, parse_start_line, split_lines
from sipproxy.sip.names import MANDATORY, METHODS, SINGLE, header_names, scanned_names
from sipproxy.sip.scanner import prepare, scan_message
from sipproxy.sip.uri import Uri

MAX_BODY_NUMBER = 2**31
_SINGLE = frozenset(SINGLE)
_quoted = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.S)  # linear: unclosed, it takes the rest
_ANSWERED = frozenset(MANDATORY)
_ORDINARY = bytes(set(range(256)) - {0, 10, 13})  # all octets but NUL, LF and CR

_TYPES = (Via, CSeq, NameAddr, Uri, Request, Response)
prepare(scanned_names(), {method: method for method in METHODS}, _TYPES)


class BadMessage(SipError):
    """Octets that are no valid message.

    ``salvage`` is what a stateless answer can be built from, or None where none may be sent: to a
    response, to an ACK, and to what never looked like SIP.
    """

    def __init__(self, error: SipError, salvage: Request | None) -> None:
        SipError.__init__(self, error.status, error.reason, error.headers, error.limit)
        self.salvage = salvage


def parse_datagram(data: bytes) -> Request | Response:
    """Parse and check what arrived as one datagram; raises `BadMessage`.

    Octets beyond Content-Length are discarded; a body that is too short is an error (§18.3).
    """
    return scan_message(data, True) or read_datagram(data)


def parse_framed(data: bytes) -> Request | Response:
    """Parse and check one message that a stream's framing has cut out; raises `BadMessage`."""
    return scan_message(data, False) or read_framed(data)


def read_datagram(data: bytes) -> Request | Response:
    """Do what `parse_datagram` does, without the scanner."""
    head, blank, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    lines = split_lines(head if blank else head.removesuffix(b"\r\n"))
    try:
        if not blank:
            raise malformed("end of head")
        message = _parse(lines, head, body)
        _fit_body(message)
        return message
    except SipError as error:
        raise BadMessage(error, salvage(lines)) from None


def read_framed(data: bytes) -> Request | Response:
    """Do what `parse_framed` does, without the scanner."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = split_lines(head)
    try:
        return _parse(lines, head, body)
    except SipError as error:
        raise BadMessage(error, salvage(lines)) from None


def _parse(lines: list[bytes], head: bytes, body: bytes) -> Request | Response:
    if head.translate(None, _ORDINARY) != b"\r\n" * (len(lines) - 1):
        _check_octets(head)
    message = parse_start_line(lines[0])
    message.lines = lines[1:]
    message.names = header_names(message.lines)
    message.body = body
    if isinstance(message, Request):
        _check_request(message)
    else:
        _check_fields(message.names)
        _ = message.via, message.cseq
    return message


def _check_octets(head: bytes) -> None:
    """Refuse line ends that others may see elsewhere, and a NUL that is no quoted pair (§25.1)."""
    breaks = head.count(b"\r\n")
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks:
        raise malformed("line end")
    if b"\0" in _quoted.sub(b"", head) or head.count(b"\0") != head.count(b"\\\0"):
        raise malformed("octet in head")


def _check_request(request: Request) -> None:
    if request.version != b"SIP/2.0":
        raise SipError(505)
    _check_fields(request.names)
    if request.cseq.method != request.method:  # §8.1.1.5
        raise malformed("CSeq method")
    if request.uri.headers:  # §19.1.1: none in a Request-URI
        raise malformed("Request-URI")
    _ = request.via, request.from_, request.call_id, request.max_forwards


def _check_fields(names: list[bytes]) -> None:
    fields = set(names)
    if not fields.issuperset(MANDATORY):
        missing = next(name for name in MANDATORY if name not in fields)
        raise malformed(f"message: no {missing.decode().title()}")
    if len(fields) != len(names):
        for name in names:
            if name in _SINGLE and names.count(name) > 1:
                raise malformed(f"message: two {name.decode().title()}")


def _fit_body(message: Request | Response) -> None:
    value = message.value(b"content-length")
    if value is None:
        return
    length = parse_number(value, MAX_BODY_NUMBER, "Content-Length")
    if length != len(message.body):
        if length > len(message.body):
            raise malformed("Content-Length")
        message.body = message.body[:length]


def salvage(lines: list[bytes]) -> Request | None:
    """Return what of a bad request its answer copies, one value of each field, or None.

    The answer needs a Via (RFC 3261 §8.2.6.2); nothing answers an ACK (§17.1.1.3) or a response.
    """
    start = lines[0]
    method = b"".join(start.split(None, 1)[:1])
    if b"SIP/" not in start.upper() or method[:4].upper() == b"SIP/" or method == b"ACK":
        return None
    request = Request(method, b"", [], [])
    for line in lines[1:]:
        try:
            name = header_names([line])[0]
        except SipError:
            continue
        if name in _ANSWERED and b"\n" not in line.replace(b"\r\n", b"").replace(b"\r", b"\n"):
            if name != b"via" and name in request.names:
                continue
            request.names.append(name)
            request.lines.append(line.replace(b"\0", b""))
    return request if b"via" in request.names else None
