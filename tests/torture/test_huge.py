"""What is far too much: 64 KiB of one thing, and bodies without an end."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.torture.bad import GOOD, REGISTER, Case, instead, started, with_line
from tests.torture.connection import Connection
from tests.torture.table import CLOSE, FORWARD
from tests.torture.test_bad import Bad

SIZE = 60_000  # a datagram holds no more, by much
SLOW = 2.0  # seconds; what takes longer is no linear time


def huge() -> Iterator[Case]:
    """Return what is no more than long, and what is wrong as well."""
    via = b"SIP/2.0/UDP h.test;branch=z9hG4bKx"
    yield "a header", with_line(b"X: " + b"x" * SIZE), FORWARD
    yield "blanks", with_line(b"X: " + b" " * SIZE), FORWARD
    yield "folding", with_line(b"X: x" + b"\r\n " * (SIZE // 3)), FORWARD
    yield "lines", with_line(b"\r\n".join([b"X:"] * (SIZE // 4))), FORWARD
    yield "Vias", with_line(b"Via: " + b", ".join([via] * 1600)), FORWARD
    yield "commas in Via", instead(b"Via", b"," * SIZE), "400"
    yield "parameters of Via", instead(b"Via", via + b";a=b" * (SIZE // 4)), "400"
    yield "a Via with blanks", instead(b"Via", b"SIP/2.0/UDP" + b" " * SIZE), "400"
    yield "quotes in Via", instead(b"Via", via + b';x="' * (SIZE // 4)), "400"
    yield "Routes", with_line(b"Route: " + b"<sip:127.0.0.1:5060;lr>, " * 2000 + b"x"), "400"
    yield "open brackets in Route", with_line(b"Route: " + b"<" * SIZE), "400"
    yield "an open quote in Route", with_line(b'Route: "' + b"\\a" * (SIZE // 2)), "400"
    yield "an open quote in From", instead(b"From", b'"' + b"a" * SIZE), "400"
    yield "quotes in From", instead(b"From", b'"\\' * (SIZE // 2)), "400"
    yield "display names in From", instead(b"From", b"a " * (SIZE // 2)), "400"
    yield "parameters of From", instead(b"From", b"<sip:a@b.test>" + b";" * SIZE), "400"
    yield "a Call-ID", instead(b"Call-ID", b"c" * SIZE), FORWARD
    yield "digits in CSeq", instead(b"CSeq", b"1" * SIZE + b" MESSAGE"), "400"
    yield "digits in Max-Forwards", instead(b"Max-Forwards", b"7" * SIZE), "400"
    yield "digits in Content-Length", instead(b"Content-Length", b"5" * SIZE), "400"
    yield "noughts in Content-Length", instead(b"Content-Length", b"0" * SIZE + b"5"), "400"
    yield "a Request-URI", started(b"MESSAGE sip:%s@example.test SIP/2.0" % (b"b" * SIZE)), "480"
    yield "escapes", started(b"MESSAGE sip:%s@example.test SIP/2.0" % (b"%62" * 20000)), "480"
    yield "dots", started(b"MESSAGE sip:bob@%s SIP/2.0" % (b"a." * (SIZE // 2))), "500"
    yield "parameters", started(b"MESSAGE sip:bob@example.test%s SIP/2.0" % (b";a" * 30000)), "400"
    yield "a method", started(b"M" * SIZE + b" sip:bob@example.test SIP/2.0"), "400"
    yield "Proxy-Require", with_line(b"Proxy-Require: " + b"a," * (SIZE // 2)), "420"
    yield "names", with_line(b"X" * SIZE), "400"
    yield "a body", instead(b"Content-Length", b"60000") + b"x" * (SIZE - 5), FORWARD


class DatagramTests(Bad):
    """As datagrams."""

    def test_huge(self) -> None:
        for case, data, allowed in huge():
            world = self.world()
            began = time.monotonic()
            world.sender.send(data)
            self.assertLess(time.monotonic() - began, SLOW, case)
            self.assertIn(world.outcome(), allowed.split("|"), case)

    def test_huge_with_authentication(self) -> None:
        """Nothing of it is forwarded."""
        for case, data, _ in huge():
            world = self.world(required=True)
            world.sender.send(data)
            self.assertEqual(world.forwarded, [], case)
            self.assertIn(world.outcome()[:1], ("4", "5"), case)


class StreamTests(Bad):
    """Over TCP, where limits have names."""

    def connection(self) -> Connection:
        self.there = self.world()
        return Connection(self.there.server)

    def test_huge_heads(self) -> None:
        """513, and no way on."""
        for case, data, _ in huge():
            if case != "a body":
                connection = self.connection()
                connection.write(data)
                answers = connection.outcome(self.there)
                self.assertIn(answers, (f"513 {CLOSE}", CLOSE), case)

    def test_a_head_without_end(self) -> None:
        """It is not waited for."""
        connection = self.connection()
        connection.write(GOOD.partition(b"\r\n\r\n")[0] + b"\r\nX: ")
        for _ in range(64):
            connection.write(b"x" * 1024)
        self.assertEqual(connection.outcome(self.there), f"513 {CLOSE}")

    def test_huge_body(self) -> None:
        """413 as soon as it is announced."""
        for length in (b"1048577", b"999999999999", b"9" * 30):
            connection = self.connection()
            connection.write(instead(b"Content-Length", length))
            self.assertEqual(connection.outcome(self.there), f"413 {CLOSE}", length)

    def test_a_body_as_large_as_may_be(self) -> None:
        connection = self.connection()
        data = instead(b"Content-Length", b"1048576") + b"x" * (1048576 - 5)
        connection.write(data, 65536)
        self.assertEqual(connection.outcome(self.there), FORWARD)

    def test_octet_by_octet(self) -> None:
        connection = self.connection()
        connection.write(GOOD + b"\r\n" + GOOD.replace(b"bKbad", b"bKgood"), 1)
        self.assertEqual(connection.outcome(self.there), f"{FORWARD} {FORWARD}")

    def test_two_in_one_segment(self) -> None:
        for between in (b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n"):
            connection = self.connection()
            connection.write(GOOD + between + GOOD.replace(b"bKbad", b"bKgood"), 65536)
            self.assertEqual(self.there.outcome(), f"{FORWARD} {FORWARD}", between)

    def test_content_length_is_what_is_cut_by(self) -> None:
        """What is behind a body is the next message, even if the body was meant to be longer."""
        inner = GOOD.replace(b"bob@", b"alice@").replace(b"bKbad", b"bKinner")
        connection = self.connection()
        connection.write(instead(b"Content-Length", b"0").replace(b"hello", b"") + inner)
        self.assertEqual(connection.outcome(self.there), f"{FORWARD} {FORWARD}")
        swallowed = self.connection()
        body = b"%d" % (5 + len(inner))
        swallowed.write(instead(b"Content-Length", body) + inner)
        self.assertEqual(swallowed.outcome(self.there), FORWARD)

    def test_ambiguous_lengths(self) -> None:
        """§18.3: two that differ end it; two that agree are a 400 for that message alone."""
        for line, allowed in (
            (b"Content-Length: 6", f"400 {CLOSE}"),
            (b"l: 0", f"400 {CLOSE}"),
            (b"Content-Length: 5", f"400 {FORWARD}"),
        ):
            connection = self.connection()
            connection.write(with_line(line) + GOOD)
            self.assertEqual(connection.outcome(self.there), allowed, line)


class ListTests(Bad):
    """Lists without an end, in requests that are taken apart whole."""

    def check(self, data: bytes, allowed: str) -> None:
        world = self.world()
        before = world.state()
        began = time.monotonic()
        world.sender.send(data)
        self.assertLess(time.monotonic() - began, SLOW)
        self.assertEqual(world.outcome(), allowed)
        self.assertEqual(world.state(), before)

    def test_contacts(self) -> None:
        """Each is compared with each: there may be no more than can be bound, or ended."""
        contacts = b", ".join(b"<sip:a%d@b.test>" % number for number in range(3000))
        self.check(instead(b"Contact", contacts, REGISTER), "403")
        self.check(instead(b"Contact", contacts.replace(b", ", b"\r\nm: "), REGISTER), "403")

    def test_paths(self) -> None:
        path = b"Path: " + b", ".join([b"<sip:b.test;lr>"] * 3000)
        self.check(with_line(path, REGISTER), "400")

    def test_require(self) -> None:
        self.check(with_line(b"Require: " + b"a," * 29000, REGISTER), "420")

    def test_lines(self) -> None:
        for line in (b"Via: SIP/2.0/UDP a", b"Route: <sip:example.test>", b"X:", b"x:"):
            self.check(with_line(b"\r\n".join([line] * (SIZE // (len(line) + 2)))), FORWARD)
        names = b"\r\n".join(b"x%d:" % number for number in range(8000))
        self.check(with_line(names + b"\r\nx1:"), FORWARD)


class CredentialsTests(Bad):
    """Credentials that are none (RFC 3261 §22): another challenge, and never 500."""

    def test_garbage(self) -> None:
        nonce = b"0" * 52
        whole = (
            b'username="alice", realm="example.test", nonce="%s", uri="sip:bob@example.test", '
            b'response="0", cnonce="x", nc=00000001, qop=auth, algorithm=MD5'
        ) % nonce
        garbage = (
            b"", b" ", b",", b"Digest", b"Digest ", b"digest ,", b"Digest username", b"Basic eA==",
            b'Digest username="a", username="b"', b"Digest =", b"Digest a=b", b'Digest a="',
            b"Digest \xff=\xfe", b'Digest "', b"NoOneKnowsThis x=y", b"Digest a=b,", b"x" * 9000,
            b"Digest " + b"a=b," * 12000, b'Digest a="' + b"\\" * 50000, b"Digest " + whole,
            b"Digest " + whole.replace(b"00000001", b"zzzzzzzz"),
            b"Digest " + whole.replace(b"00000001", b"-0000001"),
            b"Digest " + whole.replace(nonce, b"\xff" * 52), b"Digest " + whole.replace(nonce, b""),
            b"Digest " + whole.replace(b"MD5", b"\xff"),
            b"Digest " + whole.replace(b"auth,", b"x,"),
            b"Digest " + whole.replace(b"alice", b"\xff\\\""), b"Digest\t" + whole,
            b"Digest " + whole.replace(b"alice", b"\\\0"), b"Digest " + whole + b", x=y" * 9000,
        )  # fmt: skip
        for value in garbage:
            for header, data in ((b"Proxy-Authorization: ", GOOD), (b"Authorization: ", REGISTER)):
                world = self.world(required=True)
                before = world.state()
                world.sender.send(with_line(header + value, data))
                outcome = world.outcome()
                self.assertIn(outcome, ("401", "403", "407"), value[:80])
                self.assertEqual(world.state(), before, value[:80])
                self.assertEqual(len(world.server.node.layer), outcome == "403")
