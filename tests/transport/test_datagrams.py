"""The datagrams of a socket, and what the kernel tells of them."""

from __future__ import annotations

import errno
import socket
import struct

from sipproxy.transport.datagrams import BUFFER, Datagrams, is_unreachable
from tests.sip.tables import TableCase, rows
from tests.transport.sites import FOUR


class DatagramsCase(TableCase):
    """A socket, and a peer that sends to it."""

    def setUp(self) -> None:
        self.plain, self.peer = self.socket(), self.socket()
        self.datagrams = Datagrams(self.plain)

    def socket(self) -> socket.socket:
        """Return a bound socket."""
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(plain.close)
        plain.bind((FOUR, 0))
        plain.setblocking(False)
        return plain

    def hear(self, *data: bytes) -> None:
        """Have the peer send."""
        for one in data:
            self.peer.sendto(one, self.plain.getsockname())


class QueueTest(DatagramsCase):
    """How far behind the reader of a socket is."""

    def test_fuller_and_fuller(self) -> None:
        """The kernel counts what nobody has read; a queue that overflows is about full."""
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
        found = [self.datagrams.fullness]
        for count in (10, 1000):
            self.hear(*[b"x" * 500] * count)
            found.append(self.datagrams.fullness)
        self.assertEqual(found[0], 0.0)
        self.assertTrue(0 < found[1] < 0.5, found)
        self.assertGreater(found[2], 0.9)

    def test_dropped(self) -> None:
        """What does not fit is counted."""
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
        self.assertEqual(self.datagrams.dropped, 0)
        self.hear(*[b"x" * 500] * 1000)
        arrived = 0
        while batch := self.datagrams.receive():
            arrived += len(batch)
        self.assertGreater(arrived, 0)
        self.assertEqual(self.datagrams.dropped, 1000 - arrived)

    def test_not_told(self) -> None:
        """A kernel, or a kind of socket, that knows nothing of it."""
        self.plain.close()
        self.assertEqual((self.datagrams.fullness, self.datagrams.dropped), (0.0, 0))

    def test_buffers(self) -> None:
        """What there is is told as it was asked for, whatever the kernel takes for itself."""
        self.assertEqual(self.datagrams.start(), self.datagrams.start())
        with open("/proc/sys/net/core/rmem_max") as most:
            self.assertEqual(self.datagrams.start()[0], min(BUFFER, int(most.read())))


class UnreachableTest(TableCase):
    """Which errors say that nobody is there (RFC 5626 §7)."""

    @rows(
        {
            "port unreachable": (errno.ECONNREFUSED, 2, True),
            "host unreachable": (errno.EHOSTUNREACH, 2, True),
            "over IPv6": (errno.ECONNREFUSED, 3, True),
            "too large for some link": (errno.EMSGSIZE, 2, False),
            "too large for our own": (errno.EMSGSIZE, 1, False),
            "of our own making": (errno.EACCES, 1, False),
        }
    )
    def test_error(self, number: int, origin: int, expected: bool) -> None:
        error = struct.pack("=IBBBBII", number, origin, 3, 3, 0, 0, 0)
        self.assertEqual(is_unreachable(error), expected)
        self.assertFalse(is_unreachable(error[:4]))
