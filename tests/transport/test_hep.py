"""HEPv3: what a Homer collector is sent."""

from __future__ import annotations

import socket
import struct

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.testing import FakeFlow
from sipproxy.transport.hep import Collector, hep

A, B = ("192.0.2.1", 5060), ("192.0.2.2", 5061)
V6 = ("2001:db8::1", 5060)


def chunks(packet: bytes) -> dict[int, bytes]:
    """Take a packet apart, as the specification (HEP3/EEP, section 3) has it."""
    assert packet[:4] == b"HEP3"
    assert struct.unpack(">H", packet[4:6])[0] == len(packet)
    found, rest = {}, packet[6:]
    while rest:
        vendor, kind, length = struct.unpack(">HHH", rest[:6])
        assert vendor == 0
        found[kind], rest = rest[6:length], rest[length:]
    return found


class PacketTests(SynchronousTestCase):
    """The chunks of a packet."""

    def test_ipv4_by_udp(self) -> None:
        found = chunks(hep(1_700_000_000.25, b"UDP", A, B, b"OPTIONS", 7))
        self.assertEqual(
            found,
            {
                1: b"\x02",
                2: b"\x11",
                3: bytes([192, 0, 2, 1]),
                4: bytes([192, 0, 2, 2]),
                7: struct.pack(">H", 5060),
                8: struct.pack(">H", 5061),
                9: struct.pack(">I", 1_700_000_000),
                10: struct.pack(">I", 250_000),
                11: b"\x01",
                12: struct.pack(">I", 7),
                15: b"OPTIONS",
            },
        )

    def test_streams_are_tcp(self) -> None:
        for transport in (b"TCP", b"TLS"):
            self.assertEqual(chunks(hep(0, transport, A, B, b"", 7))[2], b"\x06")

    def test_ipv6(self) -> None:
        found = chunks(hep(0, b"UDP", V6, A, b"", 7))
        self.assertEqual(found[1], b"\x0a")
        self.assertEqual(found[5], socket.inet_pton(socket.AF_INET6, V6[0]))
        self.assertEqual(found[6], socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.1"))


class CollectorTests(SynchronousTestCase):
    """A collector on loopback."""

    def setUp(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.collector = Collector("127.0.0.1", self.socket.getsockname()[1], 7)
        self.addCleanup(self.collector.close)
        self.flow = FakeFlow("192.0.2.1", 5062, "tls")

    def received(self) -> dict[int, bytes]:
        """Return what came."""
        return chunks(self.socket.recv(65535))

    def test_one_that_came_and_one_that_went(self) -> None:
        self.collector.passed(1.0, False, self.flow, b"in")
        self.collector.passed(2.0, True, self.flow, b"out")
        came, went = self.received(), self.received()
        self.assertEqual((came[15], went[15]), (b"in", b"out"))
        self.assertEqual((came[3], came[4]), (went[4], went[3]))
        self.assertEqual(came[7], struct.pack(">H", 5062))

    def test_a_message_that_is_too_long_is_cut(self) -> None:
        self.collector.passed(1.0, False, self.flow, bytes(100_000))
        self.assertEqual(len(self.received()[15]), 65000)

    def test_what_cannot_be_sent_is_counted(self) -> None:
        self.collector.close()
        self.collector.passed(1.0, False, self.flow, b"in")
        self.assertEqual(self.collector.lost, 1)
