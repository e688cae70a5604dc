"""The datagrams of a bound socket, in and out, and what the kernel tells about them."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import Any

BATCH = 64  # datagrams per turn of the reactor
BUFFER = 4 << 20  # kernel buffers, bytes
LARGEST = 65535
_IP_RECVERR = 11  # <bits/in.h>; the socket module of CPython has no names for them
_IPV6_RECVERR = 25
_MSG_ERRQUEUE = 0x2000
_EXTENDED_ERROR = struct.Struct("=IB")  # its beginning: errno, origin
_ICMP = (2, 3)  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")  # of the receive queue: bytes taken, bytes there are; 8: drops
_IS_LINUX = sys.platform == "linux"

Address = tuple[Any, ...]


class Datagrams:
    """A socket's datagrams, one call for each, as every system has it.

    Who sent a datagram, and whom it is for, is a *place*: whatever the socket's calls name it by.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.unsent = 0  # how many the kernel had no room for
        self._socket = sock

    def start(self) -> tuple[int, int]:
        """Have errors returned and large buffers; return what there are, in and out, in bytes.

        With ``IP_RECVERR`` the kernel returns the datagrams that a peer's ICMP error refers to.
        """
        if _IS_LINUX:
            if self._socket.family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        return self._room(socket.SO_RCVBUF), self._room(socket.SO_SNDBUF)

    def _room(self, option: int) -> int:
        self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        found: int = self._socket.getsockopt(socket.SOL_SOCKET, option)
        return found // 2 if _IS_LINUX else found  # socket(7): half of it is the kernel's own

    def place(self, address: Address) -> Any:
        """Return the place of a socket address."""
        return address

    def address(self, place: Any) -> Address:
        """Return the socket address of a place."""
        found: Address = place
        return found

    def receive(self) -> Sequence[tuple[bytes, Any]]:
        """Return what is there, up to a batch, each with its place.

        Where an earlier datagram's error is met instead, that is all: `returned` has it.
        """
        arrived: list[tuple[bytes, Any]] = []
        receive, take = self._socket.recvfrom, arrived.append
        try:
            for _ in range(BATCH):
                take(receive(LARGEST))
        except OSError:
            pass
        return arrived

    def send(self, waiting: list[tuple[bytes, Any]]) -> Sequence[tuple[bytes, Any, str]]:
        """Send datagrams, each to its place; return those that the kernel refused, and why.

        One that it has no room for is lost, as datagrams are.
        """
        failed = []
        for data, place in waiting:
            problem = self._sent(data, place)
            if problem:
                failed.append((data, place, problem))
        return failed

    def _sent(self, data: bytes, place: Any) -> str:
        """Send one. An error that was waiting belongs to an earlier datagram: try twice."""
        for _ in range(2):
            try:
                self._socket.sendto(data, place)
                return ""
            except BlockingIOError:
                self.unsent += 1
                return ""
            except (OSError, ValueError, TypeError) as error:
                problem = str(error)  # an exception that its own frame holds is a cycle
        return problem

    def returned(self) -> Iterator[tuple[bytes, Address, bool]]:
        """Yield the beginnings of datagrams that came back, where to, and whether nobody is there.

        That is up to a batch.
        """
        for _ in range(BATCH if _IS_LINUX else 0):
            try:
                data, facts, _, address = self._socket.recvmsg(LARGEST, 512, _MSG_ERRQUEUE)
            except OSError:
                return
            yield data, address, any(is_unreachable(fact) for _, _, fact in facts)

    # What the kernel tells

    @property
    def fullness(self) -> float:
        """How full the receive queue is, of 1; 0 where the kernel does not tell."""
        taken, room = self._told()[:2]
        return float(taken / room) if room else 0.0

    @property
    def dropped(self) -> int:
        """How many datagrams found the receive queue full; 0 where the kernel does not tell."""
        return self._told()[8]

    def _told(self) -> tuple[int, ...]:
        try:
            told = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            return _MEMINFO.unpack(told)
        except (OSError, struct.error):
            return (0,) * 9


def is_unreachable(error: bytes) -> bool:
    """Tell whether a ``sock_extended_err`` is an ICMP error that means: nobody is there.

    One about the size of a datagram says nothing of the next, nor does an error of our own.
    """
    if len(error) < _EXTENDED_ERROR.size:
        return False
    number, origin = _EXTENDED_ERROR.unpack_from(error)
    return origin in _ICMP and number != errno.EMSGSIZE
