"""STUN Binding requests on the port of SIP (RFC 5389, RFC 5626 §8)."""

from __future__ import annotations

import struct
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from sipproxy.transport.stun import answer, request
from tests.sip.tables import TableCase, rows

ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")  # of the test vectors in RFC 5769
FOUR, SIX = ("192.0.2.1", 32853), ("2001:db8:1234:5678:11:2233:4455:6677", 32853, 0, 0)
PLAIN = request(ID)
SOFTWARE = bytes.fromhex("8022001053 54554e207465737420636c69656e74".replace(" ", ""))


def attribute(name: int, value: bytes) -> bytes:
    """Return an attribute."""
    return struct.pack("!HH", name, len(value)) + value + b"\0" * (-len(value) % 4)


def fingerprinted(data: bytes, wrong: int = 0) -> bytes:
    """Return a message with a FINGERPRINT; its length has to count it already."""
    return data + attribute(0x8028, struct.pack("!I", zlib.crc32(data) ^ 0x5354554E ^ wrong))


def with_length(data: bytes, more: int) -> bytes:
    """Return a message whose length speaks of more octets than are there."""
    return data[:2] + struct.pack("!H", len(data) - 20 + more) + data[4:]


class AnswerTest(TableCase):
    """What is answered, and how."""

    @rows(
        {
            "IPv4 (RFC 5769 §2.2)": (FOUR, "0020 0008 0001 a147 e112a643"),
            "IPv6 (RFC 5769 §2.3)": (SIX,
                           "0020 0014 0002 a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9"),
            "of a link": (("fe80::1%lo", 32853, 0, 1),
                          "0020 0014 0002 a147 df92a442 b7e7a701 bc34d686 fa87dfaf"),
        }
    )  # fmt: skip
    def test_mapped_address(self, address: tuple[object, ...], attributes: str) -> None:
        mapped = bytes.fromhex(attributes.replace(" ", ""))
        head = struct.pack("!HHI", 0x0101, len(mapped), 0x2112A442)
        self.assertEqual(answer(PLAIN, address), head + ID + mapped)

    @rows(
        {
            "nothing": PLAIN,
            "SOFTWARE": request(ID, SOFTWARE),
            "USERNAME": request(ID, attribute(0x0006, b"evtj:h6vY")),
            "FINGERPRINT": fingerprinted(with_length(request(ID, SOFTWARE), 8)),
        }
    )
    def test_answered(self, data: bytes) -> None:
        self.assertEqual(answer(data, FOUR), answer(PLAIN, FOUR))

    @rows(
        {
            "nothing": b"",
            "a NUL": b"\0",
            "not even a header": PLAIN[:19],
            "no magic cookie (RFC 3489)": PLAIN[:4] + b"\0\0\0\0" + PLAIN[8:],
            "an indication": b"\0\x11" + PLAIN[2:],
            "a response": b"\1\1" + PLAIN[2:],
            "another method": b"\0\3" + PLAIN[2:],
            "a length beyond the end": with_length(PLAIN, 4),
            "more than its length": PLAIN + b"\0\0\0\0",
            "half a word": PLAIN + b"\0",
            "an attribute beyond the end": request(ID, b"\x80\x22\0\5abcd"),
            "a wrong FINGERPRINT": fingerprinted(with_length(PLAIN, 8), 1),
        }
    )
    def test_dropped(self, data: bytes) -> None:
        self.assertIsNone(answer(data, FOUR))

    @rows(
        {
            "a value": (attribute(0x0024, bytes(48)), b"Unknown Attribute", [0x24]),
            "several": (
                attribute(0x0024, bytes(30)) + SOFTWARE + attribute(0x0033, b""),
                b"Unknown Attribute",
                [0x24, 0x33],
            ),
            "short": (attribute(0x0024, bytes(12)), b"", [0x24]),
            "short ones": (attribute(0x0024, b"") * 6, b"", [0x24] * 6),
            "many": (
                b"".join(attribute(name, b"") for name in range(0x100, 0x180)),
                b"Unknown Attribute",
                list(range(0x100, 0x180)),
            ),
        }
    )
    def test_unknown_attributes(self, attributes: bytes, reason: bytes, names: list[int]) -> None:
        """RFC 5389 §7.3.1: 420, naming the ones that must be understood."""
        asked = request(ID, attributes)
        listed = attribute(0x000A, b"".join(struct.pack("!H", name) for name in names))
        body = attribute(0x0009, b"\0\0\4\x14" + reason) + listed
        head = struct.pack("!HHI", 0x0111, len(body), 0x2112A442)
        self.assertEqual(answer(asked, FOUR), head + ID + body)
        self.assertLessEqual(len(head + ID + body), len(asked))

    @rows(
        {
            "one": attribute(0x0024, b""),
            "one with a value": attribute(0x0024, bytes(8)),
            "five": attribute(0x0024, b"") * 5,
        }
    )
    def test_unknown_attributes_of_too_few_octets(self, attributes: bytes) -> None:
        """A forged source gets nothing where a refusal would be more than was sent."""
        self.assertIsNone(answer(request(ID, attributes), FOUR))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=40))
    def test_no_refusal_is_longer_than_its_request(self, found: list[tuple[int, bytes]]) -> None:
        asked = request(ID, b"".join(attribute(name, value) for name, value in found))
        refusal = answer(asked, FOUR) or b""
        self.assertTrue(refusal[:2] != b"\1\x11" or len(refusal) <= len(asked))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.binary(max_size=60), st.booleans())
    def test_never_raises(self, data: bytes, framed: bool) -> None:
        answer(request(ID, data) if framed else data, FOUR)
