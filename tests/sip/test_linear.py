"""Long inputs end: scanning is linear, however many quotes are left open (RFC 4475 in the large).

Nothing here looks at a clock: what grows with the square of 64 KiB would not end in a test's time.
"""

from __future__ import annotations

from collections.abc import Callable

from sipproxy.sip.errors import SipError
from sipproxy.sip.framing import Framer
from sipproxy.sip.grammar import parse_params, split_quoted, split_values, unfold
from sipproxy.sip.headers import (
    parse_authorization,
    parse_event,
    parse_name_addr,
    parse_via,
    stamp_via,
)
from sipproxy.sip.message import Request
from sipproxy.sip.parser import BadMessage, parse_datagram
from sipproxy.sip.uri import parse_uri
from tests.sip.samples import octets
from tests.sip.tables import TableCase, rows

SIZE = 65536


def filled(piece: bytes) -> bytes:
    """Return 64 KiB of a piece."""
    return piece * (SIZE // len(piece))


FILLINGS = {
    "quotes": filled(b'"'),
    "quotes and backslashes": filled(b'"\\'),
    "backslashes": filled(b"\\"),
    "unclosed quotes apart": filled(b' "x'),
    "unclosed parameters": filled(b';a="'),
    "parameters": filled(b";a=b"),
    "semicolons": filled(b";"),
    "commas": filled(b","),
    "opened brackets": filled(b"<"),
    "closed brackets": filled(b">"),
    "square brackets": filled(b"["),
    "spaces": filled(b" "),
    "spaces and tabs": filled(b" \t"),
    "spaced semicolons": filled(b" ; "),
    "equals signs": filled(b"="),
    "colons": filled(b":"),
    "slashes": filled(b" / "),
    "at signs": filled(b"@"),
    "per cent signs": filled(b"%"),
    "escapes": filled(b"%41"),
    "letters": filled(b"a"),
    "digits": filled(b"1"),
    "foldings": filled(b"\r\n "),
}
READERS: tuple[Callable[[bytes], object], ...] = (
    lambda text: parse_name_addr(text),
    lambda text: parse_name_addr(b"<sip:a@b>" + text),
    lambda text: parse_name_addr(b'"' + text + b"<sip:a@b>"),
    lambda text: parse_name_addr(b"<sip:a@b>;x=1" + text + b"<"),
    lambda text: parse_via(text),
    lambda text: parse_via(b"SIP/2.0/UDP a" + text + b"<"),
    lambda text: parse_via(b"SIP/2.0/UDP" + text + b"a<"),
    lambda text: parse_via(b"SIP" + text + b"/2.0/UDP a"),
    lambda text: parse_via(b"SIP/2.0/UDP a;x=1" + text + b"<"),
    lambda text: parse_params(b";a" + text + b"<"),
    lambda text: parse_params(b";a=" + text + b"<"),
    lambda text: parse_event(b"presence" + text),
    lambda text: parse_authorization(b"Digest a=" + text),
    lambda text: parse_uri(b"sip:" + text),
    lambda text: parse_uri(b"sip:a@b" + text + b"<"),
)
DATAGRAMS: tuple[Callable[[bytes], bytes], ...] = (
    lambda text: octets(From=text),
    lambda text: octets(To=text),
    lambda text: octets(Via=b"SIP/2.0/UDP a" + text + b"<"),
    lambda text: octets(Call_ID=text + b"\r\n x"),
    lambda text: octets(b"Contact: " + text),
    lambda text: octets(b"Content-Length: " + text),
    lambda text: octets(start=b"MESSAGE sip:" + text + b" SIP/2.0"),
    lambda text: octets(start=text),
    lambda text: text,
)


class LongInputTests(TableCase):
    """Every reader, on 64 KiB of each nastiness."""

    @rows(FILLINGS)
    def test_values(self, text: bytes) -> None:
        read, refused = 0, 0
        for reader in READERS:
            try:
                reader(text)
                read += 1
            except SipError as error:
                self.assertEqual(error.status, 400)
                refused += 1
        self.assertEqual(read + refused, len(READERS))
        self.assertGreater(refused, 0)

    @rows(FILLINGS)
    def test_splitting_loses_nothing(self, text: bytes) -> None:
        whole = b"".join(text.split())
        for separator, parts in (
            (b",", split_values(text)),
            (b",", split_quoted(text, b",")),
            (b";", split_quoted(text, b";")),
        ):
            self.assertEqual(b"".join(separator.join(parts).split()), whole)

    @rows(FILLINGS)
    def test_messages(self, text: bytes) -> None:
        for datagram in DATAGRAMS:
            data = datagram(text)
            framer = Framer(2 * SIZE, SIZE)
            self.assertLessEqual(len(framer.feed(data)), len(data))
            try:
                message = parse_datagram(data)
            except BadMessage as error:
                self.assertIn(error.status, (400, 505))
            else:
                self.assertEqual(message.encode(), data)
                message.values(b"contact")

    def test_white_space_by_the_mebibyte(self) -> None:
        """What once grew with its square, in a size at which that would never end."""
        blank = b" " * (1 << 20)
        self.assertEqual(unfold(b"a" + blank + b"b\r\n c"), b"a" + blank + b"b c")
        self.refuses(400, parse_via, b"SIP/2.0/UDP a" + blank + b"<")
        for value in (
            b"SIP/2.0/UDP a" + blank + b";x;received=1",
            b"SIP/2.0/UDP a;rport" + blank + b";y",
            b"SIP/2.0/UDP a" + blank + b";x;rport",
            b"SIP/2.0/UDP a;" + blank + b"x;rport" + blank,
            b"SIP/2.0/UDP a;rport=" + blank + b"1" + blank + b";x",
            b"SIP/2.0/UDP a" + b"".join(b";p%d" % n for n in range(9000)) + b";rport",
        ):
            stamped = stamp_via(value, parse_via(value), b"192.0.2.7", 1)
            self.assertTrue(stamped.endswith(b";received=192.0.2.7"))
            self.assertEqual(stamped.count(b"received"), 1)

    def test_many_lines(self) -> None:
        """As many lines as a datagram holds, and all of one header taken out."""
        message = parse_datagram(octets(*[b"a:", b"b:"] * 8000))
        assert isinstance(message, Request)
        message.remove(b"accept-contact")
        self.assertEqual(message.names.count(b"referred-by"), 8000)
        self.assertNotIn(b"accept-contact", message.names)

    def test_framing_octet_by_octet(self) -> None:
        framer = Framer(SIZE, SIZE)
        data = octets(b"Subject: " + b"x" * (SIZE // 2), b"Content-Length: 9", body=b"123456789")
        frames = [frame for octet in data for frame in framer.feed(bytes((octet,)))]
        self.assertEqual(frames, [data])
