"""Export of messages to a Homer collector (HEPv3, the Homer project's encapsulation protocol)."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipproxy.transaction.parties import Flow

Place = tuple[str, int]  # address and port

PORT = 9060
_IPV4, _IPV6 = 2, 10
_PROTOCOLS = {b"UDP": 17}  # all others are on TCP
_SIP = 1
_MAPPED = {False: b"", True: bytes(10) + b"\xff\xff"}  # an IPv4 address as one of IPv6


def _chunk(kind: int, data: bytes) -> bytes:
    """Return a chunk of the generic vendor."""
    return struct.pack(">HHH", 0, kind, len(data) + 6) + data


def hep(
    time: float, transport: bytes, source: Place, destination: Place, data: bytes, agent: int
) -> bytes:
    """Return a message as a packet; ``agent`` is the number that the collector knows us by."""
    addresses = [ip_address(source[0]), ip_address(destination[0])]
    is_v6 = any(address.version == 6 for address in addresses)
    packed = [_MAPPED[is_v6 and one.version == 4] + one.packed for one in addresses]
    seconds, micros = divmod(round(time * 1_000_000), 1_000_000)
    chunks = b"".join(
        (
            _chunk(1, bytes([_IPV6 if is_v6 else _IPV4])),
            _chunk(2, bytes([_PROTOCOLS.get(transport, 6)])),
            _chunk(5 if is_v6 else 3, packed[0]),
            _chunk(6 if is_v6 else 4, packed[1]),
            _chunk(7, struct.pack(">H", source[1])),
            _chunk(8, struct.pack(">H", destination[1])),
            _chunk(9, struct.pack(">I", seconds)),
            _chunk(10, struct.pack(">I", micros)),
            _chunk(11, bytes([_SIP])),
            _chunk(12, struct.pack(">I", agent)),
            _chunk(15, data),
        )
    )
    return b"HEP3" + struct.pack(">H", len(chunks) + 6) + chunks


_LONGEST = 65000  # bytes of a message that fit into a datagram with all the rest


class Collector:
    """Sends messages to a collector by UDP; what it has no room for is lost, and counted."""

    def __init__(self, address: str, port: int, agent: int) -> None:
        family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._place = (address, port)
        self._agent = agent
        self.lost = 0

    def passed(self, time: float, is_sent: bool, flow: Flow, data: bytes) -> None:
        """Send a message that came or went; nothing is raised."""
        near, far = _ours(flow), (flow.host.decode().partition("%")[0], flow.port)
        source, destination = (near, far) if is_sent else (far, near)
        transport, data = flow.via_transport, data[:_LONGEST]
        packet = hep(time, transport, source, destination, data, self._agent)
        try:
            self._socket.sendto(packet, self._place)
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()


def _ours(flow: Flow) -> Place:
    """Return our side of a flow; 0.0.0.0 where we are known by a name."""
    host = flow.sent_by.host.decode().strip("[]")
    is_address = ":" in host or host.replace(".", "").isdigit()
    return (host if is_address else "0.0.0.0"), flow.sent_by.port
