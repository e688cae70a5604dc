"""Accept: which of our body types a request wants."""

from __future__ import annotations

from sipproxy.sip.accept import accepted
from sipproxy.sip.message import Request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

OFFERED = (b"application/pidf+xml", b"application/pidf-diff+xml")
FULL, DIFF = OFFERED


def request(*lines: bytes) -> Request:
    """Return a SUBSCRIBE with lines of Accept."""
    return Request.build(b"SUBSCRIBE", b"sip:x", [(b"Accept", line) for line in lines])


class Accepting(TableCase):
    """`accepted`."""

    def test_nothing_said(self) -> None:
        self.assertEqual(accepted(request(), OFFERED), (FULL,))

    @rfc(3856, "6.7", "the body is of a type in Accept of the latest SUBSCRIBE, else pidf+xml")
    @rows(
        {
            "one": (b"application/pidf+xml", (FULL,)),
            "the other": (b"application/pidf-diff+xml", (DIFF,)),
            "case": (b"Application/PIDF+XML", (FULL,)),
            "spaces": (b" application / pidf+xml ; q=0.5", (FULL,)),
            "both": (b"application/pidf-diff+xml, application/pidf+xml", (DIFF, FULL)),
            "both, in another order": (
                b"application/pidf+xml, application/pidf-diff+xml", (DIFF, FULL)),
            "both, equally": (
                b"application/pidf+xml;q=0.5, application/pidf-diff+xml;q=0.5", (DIFF, FULL)),
            "one is named": (b"*/*, application/pidf+xml", (FULL, DIFF)),
            "the other is named": (b"*/*, application/pidf-diff+xml", (DIFF, FULL)),
            "q": (b"application/pidf-diff+xml;q=0.3, application/pidf+xml", (FULL, DIFF)),
            "all": (b"*/*", (FULL, DIFF)),
            "all of a kind": (b"application/*", (FULL, DIFF)),
            "a kind of others": (b"text/*", ()),
            "all but one": (b"*/*, application/pidf+xml;q=0", (DIFF,)),
            "the specific one counts": (b"application/pidf-diff+xml;q=0.1, */*", (FULL, DIFF)),
            "unknown beside": (b"x/y, application/pidf+xml, multipart/related", (FULL,)),
            "unknown": (b"application/xpidf+xml", ()),
            "empty": (b"", ()),
            "a parameter": (b"application/pidf+xml;version=1;q=0.5", (FULL,)),
            "twice": (b"application/pidf+xml, application/pidf+xml;q=0", (FULL,)),
        }
    )  # fmt: skip
    @rfc(5263, "4.3", "the q of Accept decides whether presence is told in parts")
    def test_accept(self, line: bytes, expected: tuple[bytes, ...]) -> None:
        self.assertEqual(accepted(request(line), OFFERED), expected)

    def test_several_lines(self) -> None:
        self.assertEqual(accepted(request(b"x/y", b"application/pidf+xml"), OFFERED), (FULL,))

    @rows(
        {
            "no slash": b"application",
            "no subtype": b"application/",
            "no type": b"/pidf+xml",
            "q": b"application/pidf+xml;q=2",
            "parameters": b"application/pidf+xml;;",
            "too many": b",".join([b"x/y"] * 51),
        }
    )
    def test_malformed(self, line: bytes) -> None:
        self.refuses(400, accepted, request(line), OFFERED)
