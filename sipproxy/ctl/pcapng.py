"""Capture files of messages, as Wireshark and sngrep open them (pcapng, draft-ietf-opsawg-pcapng).

Every message is written as a datagram from whom it came to whom it went, whatever carried it: what
was inside of TLS can be read so, and needs no reassembly. A comment says what carried it.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, ip_address

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_ORDER = 0x1A2B3C4D
_RAW_IP = 101  # LINKTYPE_RAW
_COMMENT = 1
_UDP = 17
_LONGEST = 65535
Place = tuple[str, int]  # address and port


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def header() -> bytes:
    """Return what a file begins with: a section, and the interface that all of it passed."""
    section = struct.pack("<IHHq", _ORDER, 1, 0, -1)
    interface = struct.pack("<HHI", _RAW_IP, 0, 0)  # microseconds, and no limit of length
    return _block(_SECTION, section) + _block(_INTERFACE, interface)


def packet(time: float, source: Place, destination: Place, data: bytes, comment: str) -> bytes:
    """Return a message as a packet; ``time`` is in seconds since 1970."""
    datagram = _datagram(source, destination, data)
    micros = round(time * 1_000_000)
    kept = datagram[:_LONGEST]
    fixed = struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFFFFFF, len(kept), len(datagram))
    note = comment.encode()
    options = struct.pack("<HH", _COMMENT, len(note)) + _padded(note) + bytes(4)
    return _block(_PACKET, fixed + _padded(kept) + options)


def _datagram(source: Place, destination: Place, data: bytes) -> bytes:
    """Return an IP packet with a UDP datagram; nobody looks at a checksum of 0 in a file."""
    length = min(len(data) + 8, _LONGEST)
    udp = struct.pack(">HHHH", source[1], destination[1], length, 0) + data
    ours, theirs = ip_address(source[0]), ip_address(destination[0])
    if isinstance(ours, IPv6Address) or isinstance(theirs, IPv6Address):
        head = struct.pack(">IHBB", 6 << 28, length, _UDP, 64)
        return head + _v6(ours) + _v6(theirs) + udp
    size = min(length + 20, _LONGEST)
    head = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0, 64, _UDP, 0)
    return head + ours.packed + theirs.packed + udp


def _v6(address: object) -> bytes:
    """Return an address as one of IPv6: one of IPv4 is mapped."""
    found = IPv6Address(f"::ffff:{address}") if ":" not in str(address) else address
    assert isinstance(found, IPv6Address)
    return found.packed
