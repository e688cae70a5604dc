"""Traces: which messages are wanted, what they look like, and what Wireshark reads of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl.pcapng import header
from sipproxy.ctl.trace import captured, describe, shown, wanted
from sipproxy.testing import FakeFlow, octets
from sipproxy.transport.tape import Record

MESSAGE = octets("""MESSAGE sip:bob@example.test SIP/2.0
    Via: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1
    From: Alice <sip:%61lice@Example.Test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: call-1@192.0.2.1
    CSeq: 1 MESSAGE
    Content-Length: 16

    carol@other.test""")

WANTED = {
    "everything": (None, None, None, True),
    "who sends": ("alice", None, None, True),
    "who sends, with the domain": ("alice@example.test", None, None, True),
    "who sends, of another domain": ("alice@other.test", None, None, False),
    "who is sent to": ("sip:bob@example.test", None, None, True),
    "case counts in a user": ("Bob", None, None, False),
    "who is in the body alone": ("carol", None, None, False),
    "part of a name": ("ali", None, None, False),
    "the call": (None, "call-1@192.0.2.1", None, True),
    "another call": (None, "call-1", None, False),
    "the peer": (None, None, "192.0.2.1", True),
    "the peer and its port": (None, None, "192.0.2.1:5061", True),
    "another port": (None, None, "192.0.2.1:5060", False),
    "another peer": (None, None, "192.0.2.10", False),
    "all of it": ("bob", "call-1@192.0.2.1", "192.0.2.1", True),
    "one of it not": ("bob", "call-1@192.0.2.1", "192.0.2.2", False),
}


def record(
    data: bytes = MESSAGE, host: str = "192.0.2.1", transport: str = "tls", is_sent: bool = False
) -> Record:
    """Return a message on the tape."""
    return Record(7, 1_700_000_000.25, is_sent, FakeFlow(host, 5061, transport), data)


class WantedTests(SynchronousTestCase):
    """Which messages are wanted."""

    def test_each(self) -> None:
        for name, (user, call_id, peer, expected) in WANTED.items():
            self.assertEqual(wanted(user, call_id, peer)(record()), expected, name)

    def test_compact_forms(self) -> None:
        compact = MESSAGE.replace(b"Call-ID", b"i").replace(b"From", b"f").replace(b"To", b"t")
        self.assertTrue(wanted("alice", "call-1@192.0.2.1", None)(record(compact)))

    def test_a_peer_by_ipv6(self) -> None:
        seen = record(host="2001:db8::1")
        self.assertTrue(wanted(None, None, "2001:db8::1")(seen))
        self.assertFalse(wanted(None, None, "2001:db8::2")(seen))

    def test_octets_that_are_no_message(self) -> None:
        for data in (b"", b"\0\xff", b"\r\n\r\n"):
            self.assertFalse(wanted("alice", None, None)(record(data)))
            self.assertFalse(wanted(None, "a", None)(record(data)))


class ShownTests(SynchronousTestCase):
    """What is printed."""

    def test_a_message(self) -> None:
        text = shown(describe(record()))
        first, second, *_, last = text.splitlines()
        self.assertRegex(first, r"^--- 2023-11-1\d \d\d:\d\d:20\.250 TLS <- 192\.0\.2\.1:5061$")
        self.assertEqual(second, "MESSAGE sip:bob@example.test SIP/2.0")
        self.assertEqual(last, "carol@other.test")

    def test_one_that_we_sent_by_ipv6(self) -> None:
        first = shown(describe(record(host="2001:db8::1", is_sent=True))).splitlines()[0]
        self.assertTrue(first.endswith("TLS -> [2001:db8::1]:5061"))

    def test_a_terminal_is_told_nothing(self) -> None:
        text = shown(describe(record("Grüße\x1b[2J\x07\udcff".encode("utf-8", "replace"))))
        self.assertIn("Grüße\\x1b[2J\\x07", text)

    def test_octets_that_are_no_text(self) -> None:
        self.assertIn("\\xff\\xfe", shown(describe(record(b"\xff\xfe"))))


class CaptureTests(SynchronousTestCase):
    """Files that Wireshark opens."""

    def fields(self, *records: Record) -> list[list[str]]:
        """Return what tshark reads."""
        if shutil.which("tshark") is None:
            self.skipTest("needs tshark")
        path = Path(self.mktemp())
        path.write_bytes(header() + b"".join(captured(describe(one)) for one in records))
        names = ("ip.src", "ip.dst", "ipv6.src", "udp.srcport", "udp.dstport", "sip.Call-ID")
        chosen = [part for name in (*names, "frame.comment") for part in ("-e", name)]
        command = ["tshark", "-r", str(path), "-T", "fields", "-E", "separator=|", *chosen]
        ran = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
        return [line.split("|") for line in ran.stdout.splitlines()]

    def test_sip_out_of_tls(self) -> None:
        (fields,) = self.fields(record())
        ours = ["192.0.2.1", "127.0.0.1", "", "5061", "5060", "call-1@192.0.2.1"]
        self.assertEqual(fields, [*ours, "carried by TLS"])

    def test_both_directions(self) -> None:
        there, back = self.fields(record(transport="udp"), record(transport="udp", is_sent=True))
        self.assertEqual((there[0], there[1]), (back[1], back[0]))

    def test_ipv6(self) -> None:
        (fields,) = self.fields(record(host="2001:db8::1"))
        self.assertEqual(fields[2], "2001:db8::1")

    def test_one_that_is_too_long_for_a_datagram(self) -> None:
        long = MESSAGE + bytes(70_000)
        (fields,) = self.fields(record(long))
        self.assertEqual(fields[5], "call-1@192.0.2.1")
