"""Editing a message: all other lines stay octet for octet (RFC 3261 §16.6: proxies and order)."""

from __future__ import annotations

from collections.abc import Callable

from sipproxy.sip.message import Request
from tests.sip.tables import TableCase, rows

# Lines in odd but lawful forms, which must come out as they went in.
LINES = [
    b"v:SIP/2.0/UDP  a;branch=z9hG4bK1,\r\n SIP/2.0/TCP b;branch=z9hG4bK2",
    b"X-First  :  one ",
    b"Via: SIP/2.0/UDP c",
    b"fROM:<sip:a@b>;tag=1",
    b"ROUTE: <sip:p1;lr>",
    b"t:\t<sip:c@d>",
    b"Route:<sip:p2;lr>,<sip:p3>",
    b"CSeq:  1   FOO",
    b"Subject: folded\r\n\tsubject",
]
NAMES = [b"via", b"x-first", b"via", b"from", b"route", b"to", b"route", b"cseq", b"subject"]

_Edit = Callable[[Request], None]


def edited(index: int, *lines: bytes, instead: int = 1) -> list[bytes]:
    """Return `LINES` with others at ``index`` instead of as many as ``instead`` says."""
    return [*LINES[:index], *lines, *LINES[index + instead :]]


class EditingTests(TableCase):
    """Each way to edit, and what the lines are then."""

    @rows(
        {
            "insert": (lambda m: m.insert(2, b"Path", b"x"), edited(2, b"Path: x", instead=0)),
            "append": (lambda m: m.append(b"Date", b"x"), [*LINES, b"Date: x"]),
            "push before the first of its name": (
                lambda m: m.push(b"Route", b"<sip:p0;lr>"),
                edited(4, b"Route: <sip:p0;lr>", instead=0),
            ),
            "push before a compact form": (
                lambda m: m.push(b"Via", b"SIP/2.0/TCP new"),
                edited(0, b"Via: SIP/2.0/TCP new", instead=0),
            ),
            "push before all others": (
                lambda m: m.push(b"Record-Route", b"<sip:us;lr>"),
                edited(0, b"Record-Route: <sip:us;lr>", instead=0),
            ),
            "put in place": (lambda m: m.put(b"CSeq", b"2 FOO"), edited(7, b"CSeq: 2 FOO")),
            "put in place of the first": (
                lambda m: m.put(b"Route", b"<sip:p0>"),
                edited(4, b"Route: <sip:p0>"),
            ),
            "put at the end": (
                lambda m: m.put(b"Max-Forwards", b"70"),
                [*LINES, b"Max-Forwards: 70"],
            ),
            "remove every line": (
                lambda m: m.remove(b"route"),
                [line for line in LINES if not line.lower().startswith(b"route")],
            ),
            "remove what is not there": (lambda m: m.remove(b"path"), LINES),
            "pop one of several on a line": (
                lambda m: m.pop_value(b"via"),
                edited(0, b"v: SIP/2.0/TCP b;branch=z9hG4bK2"),
            ),
            "pop a line": (lambda m: m.pop_value(b"route"), edited(4)),
            "pop two": (
                lambda m: (m.pop_value(b"route"), m.pop_value(b"route")),
                [*edited(4)[:5], b"Route: <sip:p3>", *LINES[7:]],
            ),
        }
    )
    def test_lines(self, edit: _Edit, lines: list[bytes]) -> None:
        message = Request(b"FOO", b"sip:x", NAMES[:], LINES[:], b"\r\nbody\x00\xff")
        edit(message)
        self.assertEqual(message.lines, lines)
        self.assertEqual(
            message.encode(), b"\r\n".join([b"FOO sip:x SIP/2.0", *lines, b"", b"\r\nbody\x00\xff"])
        )
        self.assertEqual(len(message.names), len(message.lines))

    @rows(
        {
            "insert": (lambda m: m.insert(0, b"Via", b"SIP/2.0/UDP new"), b"new"),
            "push": (lambda m: m.push(b"Via", b"SIP/2.0/UDP new"), b"new"),
            "put": (lambda m: m.put(b"Via", b"SIP/2.0/UDP new"), b"new"),
            "pop": (lambda m: m.pop_value(b"via"), b"b"),
            "append": (lambda m: m.append(b"Via", b"SIP/2.0/UDP new"), b"a"),
        }
    )
    def test_topmost_via_is_read_again(self, edit: _Edit, host: bytes) -> None:
        message = Request(b"FOO", b"sip:x", NAMES[:], LINES[:])
        self.assertEqual(message.via.host, b"a")
        edit(message)
        self.assertEqual(message.via.host, host)

    def test_other_parsed_values_are_read_again(self) -> None:
        message = Request(b"FOO", b"sip:x", NAMES[:], LINES[:])
        self.assertEqual((message.cseq.number, message.from_.tag, message.to.tag), (1, b"1", None))
        message.put(b"CSeq", b"2 FOO")
        message.put(b"From", b"<sip:a@b>;tag=2")
        message.put(b"To", b"<sip:c@d>;tag=3")
        self.assertEqual((message.cseq.number, message.from_.tag, message.to.tag), (2, b"2", b"3"))
        message.remove(b"cseq")
        self.refuses(400, lambda: message.cseq)

    def test_what_is_not_there_cannot_be_popped(self) -> None:
        message = Request(b"FOO", b"sip:x", NAMES[:], LINES[:])
        self.assertRaises(ValueError, message.pop_value, b"path")
        self.assertEqual(message.lines, LINES)


class StampTests(TableCase):
    """RFC 3261 §18.2.1: what the transport notes in the topmost Via."""

    def test_line_is_stamped(self) -> None:
        message = Request(b"FOO", b"sip:x", NAMES[:], LINES[:])
        message.stamp(b"192.0.2.7", 1234)
        stamped = b"v: SIP/2.0/UDP  a;branch=z9hG4bK1;received=192.0.2.7"
        self.assertEqual(message.lines, edited(0, stamped + b", SIP/2.0/TCP b;branch=z9hG4bK2"))

    def test_same_address_leaves_the_line(self) -> None:
        message = Request(b"FOO", b"sip:x", [b"via"], [b"V :SIP/2.0/UDP 192.0.2.7 "])
        message.stamp(b"192.0.2.7", 1234)
        self.assertEqual(message.lines, [b"V :SIP/2.0/UDP 192.0.2.7 "])

    def test_unreadable_via_is_a_400(self) -> None:
        message = Request(b"FOO", b"sip:x", [b"via"], [b"Via: x"])
        self.refuses(400, message.stamp, b"192.0.2.7", 1234)
