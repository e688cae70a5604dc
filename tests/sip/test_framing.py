"""Cutting a stream into messages, and keep-alives (RFC 3261 §18.3, §7.5, RFC 5626 §4.4.1)."""

from __future__ import annotations

from sipproxy.sip.framing import PING, Framer
from sipproxy.sip.parser import BadMessage, parse_framed
from tests.sip.samples import HEAD, OK, START, octets
from tests.sip.tables import TableCase, rows
from tests.torture.mutants import Mutator, realistic

MAX_HEAD, MAX_BODY = 600, 100
MUTANTS = 3000
FIRST = octets(b"Content-Length: 5", body=b"hello")
SECOND = octets(b"l:0", start=OK)

_Frames = list[bytes | BadMessage]


def framed(data: bytes, step: int = 0) -> _Frames:
    """Return what comes of data, given at once or ``step`` octets at a time."""
    framer = Framer(MAX_HEAD, MAX_BODY)
    frames: _Frames = []
    for start in range(0, len(data), step or len(data)):
        frames += framer.feed(data[start : start + (step or len(data))])
    return frames


class FramesTests(TableCase):
    """RFC 3261 §18.3: over a stream, Content-Length delimits messages."""

    @rows(
        {
            "one": (FIRST, [FIRST]),
            "two in one segment": (FIRST + SECOND, [FIRST, SECOND]),
            "a response and a request": (SECOND + FIRST, [SECOND, FIRST]),
            "compact form": (octets(b"L :\t0"), [octets(b"L :\t0")]),
            "length in another case": (
                octets(b"CONTENT-length: 0"),
                [octets(b"CONTENT-length: 0")],
            ),
            "folded length": (
                octets(b"l:\r\n 2", body=b"ab") + SECOND,
                [octets(b"l:\r\n 2", body=b"ab"), SECOND],
            ),
            "leading zeros": (octets(b"l: 002", body=b"ab"), [octets(b"l: 002", body=b"ab")]),
            "body that looks like a message": (
                octets(b"l: %d" % (len(b"\r\n\r\n") * 2), body=PING + PING) + FIRST,
                [octets(b"l: 8", body=PING + PING), FIRST],
            ),
            "length in a folded line of another header": (
                octets(b"Subject: x\r\n l: 9", b"l: 0") + FIRST,
                [octets(b"Subject: x\r\n l: 9", b"l: 0"), FIRST],
            ),
            "length in the name of another header": (
                octets(b"X-l: 9", b"Content-Lengthy: 9", b"l: 0") + FIRST,
                [octets(b"X-l: 9", b"Content-Lengthy: 9", b"l: 0"), FIRST],
            ),
            "ping": (PING, [PING]),
            "pings between": (
                PING + FIRST + PING + PING + SECOND,
                [PING, FIRST, PING, PING, SECOND],
            ),
            "line end first": (b"\r\n" + FIRST, [FIRST]),
            "three line ends first": (b"\r\n\r\n\r\n" + FIRST, [PING, FIRST]),
            "lone line feeds first": (b"\n\n\r" + FIRST, [FIRST]),
            "nothing whole": (FIRST[:-1], []),
            "line end alone": (b"\r\n", []),
            "head without its last octet": (SECOND[:-1], []),
        }
    )
    def test_cut(self, data: bytes, frames: list[bytes]) -> None:
        for step in (0, 1, 2, 3, 7):
            self.assertEqual(framed(data, step), frames, f"{step} octets at a time")

    def test_pending(self) -> None:
        framer = Framer(MAX_HEAD, MAX_BODY)
        self.assertEqual(framer.pending, 0)
        framer.feed(FIRST[:20])
        self.assertEqual(framer.pending, 20)
        framer.feed(FIRST[20:] + SECOND[:3])
        self.assertEqual(framer.pending, 3)

    def test_nothing_fed(self) -> None:
        self.assertEqual(Framer(MAX_HEAD, MAX_BODY).feed(b""), [])


class SegmentTests(TableCase):
    """How octets are parted on their way says nothing (§18.3)."""

    def told(self, *segments: bytes) -> list[object]:
        """Return what comes of segments: messages, pings, and what is wrong with the last."""
        framer = Framer(MAX_HEAD, MAX_BODY)
        frames = [frame for segment in segments for frame in framer.feed(segment)]
        return [(f.status, f.reason) if isinstance(f, BadMessage) else f for f in frames]

    def test_spoiled(self) -> None:
        """Whole messages that come whole are cut at once, all others out of a buffer."""
        mutator = Mutator(1, [*realistic(5060, "TCP"), FIRST, SECOND])
        for _ in range(MUTANTS):
            data = mutator.make() + FIRST + mutator.make()
            whole = self.told(data)
            self.assertEqual(self.told(data[:1], data[1:]), whole, data)
            half = len(data) // 2
            self.assertEqual(self.told(data[:half], data[half:]), whole, data)


class FaultTests(TableCase):
    """After a fault nothing more comes out of a stream."""

    def fault(self, data: bytes) -> BadMessage:
        """Return the fault that ends what comes of data, however it is cut."""
        for step in (0, 1, 5):
            *before, error = framed(FIRST + data + SECOND, step)
            self.assertEqual(before, [FIRST], f"{step} octets at a time")
            assert isinstance(error, BadMessage)
        return error

    @rows(
        {
            "no Content-Length": (400, octets()),
            "empty": (400, octets(b"Content-Length:")),
            "letters": (400, octets(b"Content-Length: five")),
            "negative": (400, octets(b"Content-Length: -999")),
            "two numbers": (400, octets(b"Content-Length: 0 0")),
            "list": (400, octets(b"Content-Length: 0, 0")),
            "two that differ": (400, octets(b"Content-Length: 0", b"l: 5", body=b"12345")),
            "two of one value in two forms": (400, octets(b"Content-Length: 0", b"l: 00")),
            "body beyond its limit": (413, octets(b"Content-Length: 101")),
            "body beyond all": (413, octets(b"Content-Length: " + b"9" * 300)),
            "head beyond its limit": (513, octets(b"Subject: " + b"x" * MAX_HEAD, b"l: 0")),
            "head beyond its limit, in short lines": (513, octets(*[b"a: b"] * 100, b"l: 0")),
        }
    )
    def test_status(self, status: int, data: bytes) -> None:
        """§21.4.11 (413) and §21.5.7 (513); §18.3: a length is needed on a stream."""
        error = self.fault(data)
        self.assertEqual(error.status, status)
        assert error.salvage is not None
        self.assertEqual(error.salvage.value(b"via"), HEAD[b"Via"])
        self.assertEqual(error.salvage.value(b"cseq"), HEAD[b"CSeq"])

    @rows(
        {
            "response": octets(start=OK),
            "ACK": octets(start=b"ACK sip:a SIP/2.0"),
            "another protocol": octets(start=b"GET / HTTP/1.1"),
            "another protocol without end": b"\x16\x03\x01" * 300,
            "one endless line": START + b"x" * MAX_HEAD,
        }
    )
    def test_never_answered(self, data: bytes) -> None:
        self.assertIsNone(self.fault(data).salvage)

    def test_limits_themselves_are_allowed(self) -> None:
        """A head or a body of exactly the limit passes, however it is cut."""
        bare = octets(b"l: %d" % MAX_BODY, b"Subject: ").partition(b"\r\n\r\n")[0]
        subject = b"Subject: " + b"x" * (MAX_HEAD - len(bare))
        data = octets(b"l: %d" % MAX_BODY, subject, body=b"y" * MAX_BODY)
        self.assertEqual(data.index(b"\r\n\r\n"), MAX_HEAD)
        for step in (0, 1, MAX_HEAD + 1, MAX_HEAD + 3, MAX_HEAD + 4):
            self.assertEqual(framed(data, step), [data])

    def test_one_more_is_too_much(self) -> None:
        bare = octets(b"l: 0", b"Subject: ").partition(b"\r\n\r\n")[0]
        data = octets(b"l: 0", b"Subject: " + b"x" * (MAX_HEAD + 1 - len(bare)))
        for step in (0, 1, MAX_HEAD + 3, MAX_HEAD + 4):
            (error,) = framed(data, step)
            assert isinstance(error, BadMessage)
            self.assertEqual(error.status, 513)

    def test_nothing_after_a_fault(self) -> None:
        framer = Framer(MAX_HEAD, MAX_BODY)
        self.assertEqual(len(framer.feed(octets())), 1)
        self.assertEqual((framer.feed(FIRST), framer.pending), ([], 0))

    def test_body_waits_for_its_length(self) -> None:
        """A length that lies too high swallows what follows, and no more than its limit."""
        data = octets(b"Content-Length: 100")
        self.assertEqual(framed(data + b"x" * 99), [])
        self.assertEqual(framed(data + b"x" * 101), [data + b"x" * 100])

    def test_length_that_lies_too_low(self) -> None:
        """What is behind the body is read as the next message, and is none."""
        data = octets(b"Content-Length: 2", body=b"abcd\r\n\r\n")
        first, error = framed(data)
        self.assertEqual(first, data[: -len(b"cd\r\n\r\n")])
        assert isinstance(error, BadMessage)
        self.assertEqual((error.status, error.salvage), (400, None))

    def test_two_equal_lengths_are_the_parsers_matter(self) -> None:
        """Framing agrees on where the message ends; §7.3.1 makes the message a 400."""
        (frame,) = framed(octets(b"l: 0", b"Content-Length: 0"))
        assert isinstance(frame, bytes)
        self.refuses(400, parse_framed, frame)
