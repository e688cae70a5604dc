"""The limited STUN server of a SIP port: Binding requests as keep-alives (RFC 5626 §8, 5389)."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any

_COOKIE = 0x2112A442
_HEADER = struct.Struct("!HHI12s")  # type, length, magic cookie, transaction ID (RFC 5389 §6)
_ATTRIBUTE = struct.Struct("!HH")
_REQUEST, _RESPONSE, _ERROR = 0x0001, 0x0101, 0x0111  # of the method Binding
_ERROR_CODE, _UNKNOWN_ATTRIBUTES, _XOR_MAPPED_ADDRESS = 0x0009, 0x000A, 0x0020
_FINGERPRINT, _FINGERPRINT_MASK = 0x8028, 0x5354554E
_OPTIONAL = 0x8000  # attributes from here on may be passed over (§15)
# MAPPED-ADDRESS, USERNAME and what else RFC 5389 §15 has: nothing that we need to act on.
_UNDERSTOOD = frozenset((0x01, 0x06, 0x08, 0x09, 0x0A, 0x14, 0x15, 0x20))


def answer(data: bytes, address: tuple[Any, ...]) -> bytes | None:
    """Return the answer to a datagram from a socket address, or None for what deserves none.

    An answer goes to a Binding request, well-formed and with the magic cookie (RFC 5389 §7.3). One
    that refuses is never longer than what asked for it, whose source may be forged.
    """
    if len(data) < _HEADER.size or len(data) % 4:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind != _REQUEST or cookie != _COOKIE or length != len(data) - _HEADER.size:
        return None
    unknown = []
    try:
        for name, start, value in _attributes(data):
            if name == _FINGERPRINT and value != _fingerprint(data[:start]):  # §7.3: no STUN at all
                return None
            if name < _OPTIONAL and name not in _UNDERSTOOD:
                unknown.append(name)
    except ValueError:
        return None
    if unknown:  # §7.3.1
        return _unknown(unknown, transaction, len(data))
    mapped = _attribute(_XOR_MAPPED_ADDRESS, _xored(address, transaction))
    return _message(_RESPONSE, transaction, mapped)


def request(transaction: bytes, attributes: bytes = b"") -> bytes:
    """Return a Binding request with a transaction ID of 12 bytes."""
    return _message(_REQUEST, transaction, attributes)


def _attributes(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Return type, place and value of each attribute; raises ValueError for one beyond the end."""
    start = _HEADER.size
    while start < len(data):
        name, length = _ATTRIBUTE.unpack_from(data, start)
        begin = start + _ATTRIBUTE.size
        if begin + length > len(data):
            raise ValueError("an attribute is longer than what is there")
        yield name, start, data[begin : begin + length]
        start = begin + (length + 3) // 4 * 4


def _xored(address: tuple[Any, ...], transaction: bytes) -> bytes:
    """Return the value of XOR-MAPPED-ADDRESS (§15.2)."""
    host, port = address[0].partition("%")[0], address[1]
    family, code = (socket.AF_INET6, 2) if ":" in host else (socket.AF_INET, 1)
    mask = _COOKIE.to_bytes(4, "big") + transaction
    packed = bytes(a ^ b for a, b in zip(socket.inet_pton(family, host), mask, strict=False))
    return struct.pack("!BBH", 0, code, port ^ _COOKIE >> 16) + packed


def _unknown(names: list[int], transaction: bytes, most: int) -> bytes | None:
    """Return the 420 that names the attributes we do not know (§7.3.1, §15.6, §15.9).

    Its reason phrase is left out where it would be longer than ``most``; where it is even so, there
    is none: a request of a few octets that we cannot serve is no client's of ours.
    """
    listed = _attribute(_UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(names)}H", *names))
    for reason in (b"Unknown Attribute", b""):
        code = _attribute(_ERROR_CODE, struct.pack("!HBB", 0, 4, 20) + reason)
        refusal = _message(_ERROR, transaction, code + listed)
        if len(refusal) <= most:
            return refusal
    return None


def _attribute(name: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(name, len(value)) + value + b"\0" * (-len(value) % 4)


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    return _HEADER.pack(kind, len(attributes), _COOKIE, transaction) + attributes


def _fingerprint(before: bytes) -> bytes:
    return struct.pack("!I", zlib.crc32(before) ^ _FINGERPRINT_MASK)
