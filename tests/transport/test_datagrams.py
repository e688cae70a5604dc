"""The datagrams of a socket, one by one and by the batch, and what the kernel tells of them."""

from __future__ import annotations

import errno
import gc
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sipproxy.transport import batches
from sipproxy.transport.batches import Batches
from sipproxy.transport.datagrams import BATCH, BUFFER, Datagrams, is_unreachable
from tests.sip.tables import TableCase, rows
from tests.transport.sites import FOUR, SIX, has_ipv6

not_built = None if batches.IS_BUILT else "recvmmsg is not there: no compiler, or not Linux"


class DatagramsCase(TableCase):
    """A socket, and a peer that sends to it; subclasses run the same by the batch."""

    kind: type[Datagrams] = Datagrams
    host = FOUR

    def setUp(self) -> None:
        self.plain, self.peer = self.socket(), self.socket()
        self.datagrams = self.kind(self.plain)

    def socket(self) -> socket.socket:
        """Return a bound socket that does not block."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        plain = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(plain.close)
        plain.bind((self.host, 0))
        plain.setblocking(False)
        return plain

    def hear(self, *data: bytes) -> None:
        """Have the peer send."""
        for one in data:
            self.peer.sendto(one, self.plain.getsockname())

    def heard(self) -> Iterator[bytes]:
        """Yield what has come to the peer."""
        while True:
            try:
                yield self.peer.recv(65535)
            except BlockingIOError:
                return


class ReceiveTest(DatagramsCase):
    """What comes in."""

    def test_order(self) -> None:
        """Each once, in order, up to a batch at a time, and nothing where nothing is."""
        data = [b"%d" % number for number in range(2 * BATCH + 1)]
        self.hear(*data)
        found = [self.datagrams.receive() for _ in range(4)]
        self.assertEqual([len(batch) for batch in found], [BATCH, BATCH, 1, 0])
        self.assertEqual([one for batch in found for one, _ in batch], data)

    def test_sizes(self) -> None:
        """Of every size that UDP has; one does not show through the next."""
        data = [b"x" * size for size in (65507, 0, 1, 1500, 2)]
        self.hear(*data)
        self.assertEqual([one for one, _ in self.datagrams.receive()], data)

    def test_places(self) -> None:
        """A place stands for the address that it was made of."""
        self.hear(b"x")
        ((_, place),) = self.datagrams.receive()
        address = self.peer.getsockname()
        self.assertEqual(self.datagrams.address(place), address)
        self.assertEqual(self.datagrams.place(address), place)
        self.assertEqual(hash(self.datagrams.place(address)), hash(place))

    def test_closed(self) -> None:
        self.plain.close()
        self.assertEqual(list(self.datagrams.receive()), [])


class SendTest(DatagramsCase):
    """What goes out."""

    def waiting(self, *data: bytes, to: Any = None) -> list[tuple[bytes, Any]]:
        """Return datagrams with their place, the peer's or that of another address."""
        place = self.datagrams.place(to or self.peer.getsockname())
        return [(one, place) for one in data]

    def test_order(self) -> None:
        """Each once, in order, however many."""
        data = [b"%d" % number for number in range(2 * BATCH + 1)]
        self.assertEqual(list(self.datagrams.send(self.waiting(*data))), [])
        self.assertEqual(list(self.heard()), data)

    def test_sizes(self) -> None:
        data = [b"", b"x" * 65507, b"x"]
        self.assertEqual(list(self.datagrams.send(self.waiting(*data))), [])
        self.assertEqual(list(self.heard()), data)

    def test_refused(self) -> None:
        """What cannot be sent is told, wherever it stands, and all else is sent."""
        bad = [
            *self.waiting(b"to nobody", to=(self.host, 0)),
            *self.waiting(b"of another kind", to=(SIX if self.host == FOUR else FOUR, 5060)),
            *self.waiting(b"x" * 65536),
        ]
        for place, (data, where) in enumerate(bad):
            waiting = self.waiting(b"one", b"two", b"three", b"four")
            waiting.insert(2 * place, (data, where))
            failed = list(self.datagrams.send(waiting))
            self.assertEqual([(one, to) for one, to, _ in failed], [(data, where)])
            self.assertTrue(all(problem for _, _, problem in failed))
            self.assertEqual(list(self.heard()), [b"one", b"two", b"three", b"four"])

    def test_error_of_an_earlier_one(self) -> None:
        """It belongs to none of those that are sent now."""
        gone = self.socket()
        place = self.datagrams.place(gone.getsockname())
        gone.close()
        self.datagrams.start()
        self.datagrams.send([(b"lost", place)])
        self.assertEqual(list(self.datagrams.send(self.waiting(b"one", b"two"))), [])
        self.assertEqual(list(self.heard()), [b"one", b"two"])
        ((data, address, is_dead),) = self.datagrams.returned()
        self.assertEqual((data, self.datagrams.place(address)), (b"lost", place))
        self.assertTrue(is_dead)

    def test_no_room(self) -> None:
        """Beyond what the kernel holds they are lost, and counted."""
        full = self.kind(Full())  # type: ignore[arg-type]
        self.assertEqual(list(full.send([(b"x", (FOUR, 1)), (b"y", (FOUR, 1))])), [])
        self.assertEqual(full.unsent, 2)


class Full:
    """A socket that has no room."""

    family = socket.AF_INET

    def fileno(self) -> int:
        """It is none of the kernel's."""
        return -1

    def sendto(self, data: bytes, address: Any) -> None:
        """Take nothing."""
        raise BlockingIOError


class ReceiveBatchTest(ReceiveTest):
    """The same by the batch."""

    kind = Batches
    skip = not_built


class SendBatchTest(SendTest):
    """The same by the batch."""

    kind = Batches
    skip = not_built

    def test_what_is_no_datagram(self) -> None:
        """The extension takes octets and places, in a list, and nothing else."""
        good = (b"x", self.datagrams.place(self.peer.getsockname()))
        for bad in ("x", (), (b"x",), ("x", b"y"), (b"x", "y"), (b"x", b"y" * 200)):
            descriptor = self.plain.fileno()
            self.assertRaises(ValueError, batches.send, descriptor, [bad], 0)
            self.assertEqual(batches.send(descriptor, [good, good, bad], 0), 2)
        for start in (-1, 1, 2):
            self.assertRaises(ValueError, batches.send, descriptor, [good], start)
        for wrong in ((descriptor, (good,), 0), (descriptor, [good]), ("x", [good], 0)):
            self.assertRaises(TypeError, batches.send, *wrong)
        self.assertRaises(OSError, batches.send, -1, [good], 0)
        self.assertRaises(TypeError, batches.receive, "x")
        self.assertRaises(OSError, batches.receive, -1)
        self.assertRaises(BlockingIOError, batches.receive, descriptor)

    def test_nothing_is_kept(self) -> None:
        def turn() -> None:
            self.datagrams.send(self.waiting(*[b"x" * 600] * BATCH))
            self.hear(*self.heard())
            self.datagrams.receive()

        for _ in range(3):
            turn()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(30):
            turn()
        self.assertLess(sys.getallocatedblocks() - before, 100)


def _six(kind: type[DatagramsCase]) -> None:
    kind.host = SIX
    if not has_ipv6():
        kind.skip = "there is no ::1 on this machine"


class ReceiveSixTest(ReceiveTest):
    """The same over IPv6."""


class SendSixTest(SendTest):
    """The same over IPv6."""


class ReceiveBatchSixTest(ReceiveBatchTest):
    """The same over IPv6."""


class SendBatchSixTest(SendBatchTest):
    """The same over IPv6."""


for _kind in (ReceiveSixTest, SendSixTest, ReceiveBatchSixTest, SendBatchSixTest):
    _six(_kind)


class PlaceTest(TableCase):
    """Places by the batch, for addresses that no socket of a test has."""

    skip = not_built

    @rows(
        {
            "IPv4": (socket.AF_INET, ("192.0.2.1", 65535)),
            "IPv6": (socket.AF_INET6, ("2001:db8::1", 1, 0, 0)),
            "of a link": (socket.AF_INET6, ("fe80::1", 5060, 7, 3)),
        }
    )
    def test_round_trip(self, family: int, address: Any) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as plain:
            datagrams = Batches(plain)
            place = datagrams.place(address)
            self.assertIsInstance(place, bytes)
            self.assertEqual(datagrams.address(place), address)

    @rows(
        {
            "IPv6 on a socket of IPv4": (socket.AF_INET, ("::1", 1)),
            "IPv4 on a socket of IPv6": (socket.AF_INET6, ("192.0.2.1", 1)),
            "a name": (socket.AF_INET, ("localhost", 1)),
            "a port too high": (socket.AF_INET, ("192.0.2.1", 65536)),
            "a NUL": (socket.AF_INET, ("192.0.2.1\0", 1)),
        }
    )
    def test_none(self, family: int, address: Any) -> None:
        """The address stands for itself."""
        with socket.socket(family, socket.SOCK_DGRAM) as plain:
            datagrams = Batches(plain)
            self.assertIs(datagrams.place(address), address)
            self.assertIs(datagrams.address(address), address)


class ChoiceTest(TableCase):
    """Which of the two a server has."""

    skip = not_built

    @rows({"as it comes": ("", "Batches"), "single": ("single", "Datagrams")})
    def test_by_the_environment(self, value: str, expected: str) -> None:
        text = (
            "import socket; from sipproxy.transport.batches import datagrams_of;"
            "print(type(datagrams_of(socket.socket())).__name__)"
        )
        run = subprocess.run(
            [sys.executable, "-c", text],
            env={**os.environ, "SIPPROXY_DATAGRAMS": value},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(run.stdout.strip(), expected)


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
        most = int(Path("/proc/sys/net/core/rmem_max").read_text("ascii"))
        self.assertEqual(self.datagrams.start()[0], min(BUFFER, most))


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
