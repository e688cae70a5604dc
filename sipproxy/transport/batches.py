"""Datagrams by the batch, where the extension for it was built: recvmmsg(2) and sendmmsg(2)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

from sipproxy.transport.datagrams import Address, Datagrams

try:
    from sipproxy.transport._batch import receive, send

    IS_BUILT = True
except ImportError:
    IS_BUILT = False

# An operator who distrusts it has one call for each datagram after all.
IS_USED = IS_BUILT and os.environ.get("SIPPROXY_DATAGRAMS") != "single"
_IPV4 = struct.Struct("=H2s4s8x")  # struct sockaddr_in of Linux: family, port, address
_IPV6 = struct.Struct("=H2s4s16sI")  # struct sockaddr_in6: family, port, flow, address, scope


def datagrams_of(sock: socket.socket) -> Datagrams:
    """Return a socket's datagrams, by the batch where that can be had and is wanted."""
    return Batches(sock) if IS_USED else Datagrams(sock)


class Batches(Datagrams):
    """A socket's datagrams, one call for a batch of them; a place is a ``struct sockaddr``."""

    def place(self, address: Address) -> Any:
        """Return the place of a socket address; the address itself where there is no other."""
        family = self._socket.family
        try:
            host = socket.inet_pton(family, address[0])
            port = int(address[1]).to_bytes(2, "big")
        except (OSError, ValueError, OverflowError):  # `_sent` has the word
            return address
        if family == socket.AF_INET:
            return _IPV4.pack(family, port, host)
        flow, scope = address[2:] or (0, 0)
        return _IPV6.pack(family, port, flow.to_bytes(4, "big"), host, scope)

    def address(self, place: Any) -> Address:
        """Return the socket address of a place."""
        if isinstance(place, tuple):
            return place
        if self._socket.family == socket.AF_INET:
            family, port, host = _IPV4.unpack(place)
            return socket.inet_ntop(family, host), int.from_bytes(port, "big")
        family, port, flow, host, scope = _IPV6.unpack(place)
        numbers = int.from_bytes(port, "big"), int.from_bytes(flow, "big")
        return socket.inet_ntop(family, host), *numbers, scope

    def receive(self) -> Sequence[tuple[bytes, Any]]:
        """Return what is there, up to a batch, each with its place."""
        try:
            return receive(self._socket.fileno())
        except OSError:
            return ()

    def send(self, waiting: list[tuple[bytes, Any]]) -> Sequence[tuple[bytes, Any, str]]:
        """Send datagrams; what a batch stops at is sent by itself, or is refused and told why."""
        failed, done, descriptor = [], 0, self._socket.fileno()
        while done < len(waiting):
            try:
                done += send(descriptor, waiting, done)
            except (OSError, ValueError):
                data, place = waiting[done]
                problem = self._sent(data, self.address(place))
                if problem:
                    failed.append((data, place, problem))
                done += 1
        return failed
