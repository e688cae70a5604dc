"""Messages as they came: names, folding, several values, editing (RFC 3261 §7.3)."""

from __future__ import annotations

from sipproxy.sip.message import Request, Response, parse_start_line, split_lines
from sipproxy.sip.names import header_names
from sipproxy.sip.parser import parse_datagram
from tests.sip.samples import OK, octets
from tests.sip.tables import TableCase, rows


def parsed(*extra: bytes, **more: bytes) -> Request:
    """Return a request with these lines behind the mandatory ones."""
    message = parse_datagram(octets(*extra, **more))
    assert isinstance(message, Request)
    return message


class StartLineTests(TableCase):
    """RFC 3261 §7.1, §7.2."""

    @rows(
        {
            "usual": (b"INVITE sip:a@b SIP/2.0", b"INVITE", b"sip:a@b", b"SIP/2.0"),
            "method keeps its case": (b"inVite sip:a SIP/2.0", b"inVite", b"sip:a", b"SIP/2.0"),
            "case of the version": (b"BYE sip:a sip/2.0", b"BYE", b"sip:a", b"SIP/2.0"),
            "other version": (b"BYE sip:a SIP/7.10", b"BYE", b"sip:a", b"SIP/7.10"),
        }
    )
    def test_request(self, line: bytes, method: bytes, uri: bytes, version: bytes) -> None:
        request = parse_start_line(line)
        assert isinstance(request, Request)
        self.assertEqual((request.method, request.raw_uri, request.version), (method, uri, version))

    @rows(
        {
            "usual": (b"SIP/2.0 200 OK", 200, b"OK"),
            "several words": (b"SIP/2.0 481 Call/Transaction Gone", 481, b"Call/Transaction Gone"),
            "empty phrase": (b"SIP/2.0 100 ", 100, b""),
            "no phrase and no space": (b"SIP/2.0 603", 603, b""),
            "octets beyond ASCII": (b"SIP/2.0 200 = 2**3 \xd1\x82", 200, b"= 2**3 \xd1\x82"),
            "case of the version": (b"sip/2.0 200 OK", 200, b"OK"),
        }
    )
    def test_response(self, line: bytes, status: int, reason: bytes) -> None:
        response = parse_start_line(line)
        assert isinstance(response, Response)
        self.assertEqual((response.status, response.reason), (status, reason))

    @rows(
        {
            "nothing": b"",
            "two words": b"INVITE sip:a",
            "two spaces": b"INVITE  sip:a SIP/2.0",
            "space at the end": b"INVITE sip:a SIP/2.0 ",
            "space first": b" INVITE sip:a SIP/2.0",
            "tab": b"INVITE\tsip:a\tSIP/2.0",
            "method is no token": b"IN/VITE sip:a SIP/2.0",
            "another protocol": b"GET / HTTP/1.1",
            "no version": b"INVITE sip:a SIP/",
            "folded": b"INVITE sip:a SIP/2.0\r\n\tx",
            "status of two digits": b"SIP/2.0 99 x",
            "status beyond 699": b"SIP/2.0 700 x",
            "status of four digits": b"SIP/2.0 2000 x",
            "status line of another version": b"SIP/3.0 200 OK",
            "two spaces before the status": b"SIP/2.0  200 OK",
            "folded status line": b"SIP/2.0 200 OK\r\n x",
        }
    )
    def test_refused(self, line: bytes) -> None:
        """§7.1: a single SP between the elements, and no LWS."""
        self.refuses(400, parse_start_line, line)


class NamesTests(TableCase):
    """RFC 3261 §7.3.1, §7.3.3."""

    @rows(
        {
            "usual": (b"Via: x", b"via"),
            "unusual case": (b"cAlL-iD: x", b"call-id"),
            "unknown": (b"X-Odd: x", b"x-odd"),
            "white space before the colon": (b"From \t: x", b"from"),
            "compact": (b"v: x", b"via"),
            "compact in upper case": (b"V: x", b"via"),
            "compact with white space": (b"v : x", b"via"),
            "nothing behind": (b"Subject:", b"subject"),
        }
    )
    def test_name(self, line: bytes, name: bytes) -> None:
        self.assertEqual(header_names([line]), [name])

    @rows(
        {
            "a RFC 3841": (b"a", b"accept-contact"),
            "b RFC 3892": (b"b", b"referred-by"),
            "c": (b"c", b"content-type"),
            "d RFC 3841": (b"d", b"request-disposition"),
            "e": (b"e", b"content-encoding"),
            "f": (b"f", b"from"),
            "i": (b"i", b"call-id"),
            "j RFC 3841": (b"j", b"reject-contact"),
            "k": (b"k", b"supported"),
            "l": (b"l", b"content-length"),
            "m": (b"m", b"contact"),
            "n RFC 4474": (b"n", b"identity-info"),
            "o RFC 6665": (b"o", b"event"),
            "r RFC 3515": (b"r", b"refer-to"),
            "s": (b"s", b"subject"),
            "t": (b"t", b"to"),
            "u RFC 6665": (b"u", b"allow-events"),
            "v": (b"v", b"via"),
            "x RFC 4028": (b"x", b"session-expires"),
            "y RFC 8224": (b"y", b"identity"),
        }
    )
    def test_compact_forms(self, short: bytes, name: bytes) -> None:
        """§7.3.3 and the registry: a compact form stands for its long one, in either case."""
        self.assertEqual(header_names([short + b": x", short.upper() + b":x"]), [name, name])

    @rows(
        {
            "no colon": b"Via",
            "no name": b": x",
            "white space in the name": b"Max Forwards: 1",
            "separator in the name": b"Via/: x",
            "line break before the colon": b"Via\r\n : x",
            "NUL": b"Vi\0a: x",
        }
    )
    def test_refused(self, line: bytes) -> None:
        self.refuses(400, header_names, [line])

    @rows(
        {
            "none": (b"a\r\nb", [b"a", b"b"]),
            "space": (b"a\r\n b\r\nc", [b"a\r\n b", b"c"]),
            "tab, twice": (b"a\r\n\tb\r\n c\r\nd", [b"a\r\n\tb\r\n c", b"d"]),
            "white space alone": (b"a\r\n \r\nb", [b"a\r\n ", b"b"]),
            "first line": (b" a\r\n b", [b" a\r\n b"]),
        }
    )
    def test_folded_lines_stay_one(self, head: bytes, lines: list[bytes]) -> None:
        """§7.3.1: a line that begins with white space continues the one before."""
        self.assertEqual(split_lines(head), lines)


class ValuesTests(TableCase):
    """RFC 3261 §7.3.1: what lines say."""

    def test_folded_value_is_one_line(self) -> None:
        message = parsed(b"Subject: I know you're there,\r\n pick up the phone   \r\n\tand talk")
        expected = b"I know you're there, pick up the phone and talk"
        self.assertEqual(message.value(b"subject"), expected)

    def test_several_values_a_line_in_order(self) -> None:
        """§7.3.1: the example with three Route values in its equivalent forms."""
        alice, bob, carol = (
            b"<sip:%b@%b.example>" % (name, name) for name in (b"alice", b"bob", b"carol")
        )
        forms = (
            [b"Route: " + alice, b"Subject: Lunch", b"Route: " + bob, b"Route: " + carol],
            [b"Route: " + alice + b", " + bob, b"Route: " + carol, b"Subject: Lunch"],
            [b"Subject: Lunch", b"route: " + b",\r\n\t".join((alice, bob, carol))],
        )
        for lines in forms:
            self.assertEqual(parsed(*lines).values(b"route"), [alice, bob, carol])

    def test_raw_values_are_not_split(self) -> None:
        """§7.3.1: Authorization and its kin keep their commas."""
        lines = [b"Authorization: Digest a=b, c=d", b"Authorization: Basic x"]
        self.assertEqual(
            parsed(*lines).raw_values(b"authorization"), [b"Digest a=b, c=d", b"Basic x"]
        )

    def test_value_of_a_line(self) -> None:
        message = parsed(b"Subject:  a\r\n b ")
        self.assertEqual(message.line_value(len(message.lines) - 1), b"a b")

    def test_what_is_not_there(self) -> None:
        message = parsed()
        self.assertIsNone(message.value(b"route"))
        self.assertEqual(message.values(b"route"), [])
        self.assertEqual(message.raw_values(b"route"), [])
        self.assertEqual(message.addresses(b"contact"), [])
        self.refuses(400, message.first_value, b"route")

    def test_first_value(self) -> None:
        message = parsed(b'Contact: "a, b" <sip:a@b> , <sip:c@d>', b"Route: <sip:e>")
        self.assertEqual(message.first_value(b"contact"), b'"a, b" <sip:a@b>')
        self.assertEqual(message.first_value(b"route"), b"<sip:e>")

    def test_addresses(self) -> None:
        message = parsed(b'm: "a, b" <sip:a@b>;q=1, sip:c@d;q=0')
        found = [(address.raw_uri, address.params) for address in message.addresses(b"contact")]
        self.assertEqual(found, [(b"sip:a@b", {b"q": b"1"}), (b"sip:c@d", {b"q": b"0"})])

    def test_common_values_are_parsed_once(self) -> None:
        message = parsed()
        for read in (
            lambda: message.via,
            lambda: message.cseq,
            lambda: message.from_,
            lambda: message.to,
            lambda: message.uri,
        ):
            self.assertIs(read(), read())
        self.assertEqual(message.call_id, b"a84b4c76e66710@host.atlanta.com")
        self.assertEqual((message.from_.tag, message.to.tag), (b"1928301774", None))

    @rows(
        {
            "via": b"via",
            "cseq": b"cseq",
            "from": b"from_",
            "to": b"to",
            "call-id": b"call_id",
            "uri": b"uri",
        }
    )
    def test_unreadable_is_a_400(self, name: bytes) -> None:
        """§21.4.1: the request could not be understood due to malformed syntax."""
        empty = Request(b"MESSAGE", b"", [], [])
        self.refuses(400, getattr, empty, name.decode())

    def test_repr(self) -> None:
        self.assertEqual(repr(parsed()), "<Request b'MESSAGE' b'sip:bob@biloxi.com'>")
        self.assertEqual(repr(Response(200, b"OK", [], [])), "<Response 200>")


class BuildTests(TableCase):
    """Messages of our own."""

    def test_build_adds_content_length(self) -> None:
        """§20.14: applications SHOULD use it even over UDP."""
        request = Request.build(b"MESSAGE", b"sip:a@b", [(b"Via", b"x"), (b"To", b"y")], b"hello")
        self.assertEqual(
            request.encode(),
            b"MESSAGE sip:a@b SIP/2.0\r\nVia: x\r\nTo: y\r\nContent-Length: 5\r\n\r\nhello",
        )
        self.assertEqual(request.names, [b"via", b"to", b"content-length"])

    def test_copy_is_edited_apart(self) -> None:
        request = parsed()
        before = request.encode()
        copy = request.copy()
        copy.append(b"Subject", b"x")
        copy.retarget(b"sip:carol@chicago.com")
        self.assertEqual(request.encode(), before)
        self.assertEqual(copy.uri.user, b"carol")

    def test_retarget(self) -> None:
        request = parsed()
        self.assertEqual(request.uri.user, b"bob")
        request.retarget(b"sip:carol@chicago.com")
        self.assertEqual(request.uri.user, b"carol")
        self.assertEqual(request.start, b"MESSAGE sip:carol@chicago.com SIP/2.0")

    def test_response_start(self) -> None:
        message = parse_datagram(octets(start=OK))
        self.assertEqual(message.start, OK)

    def test_message_has_no_start_of_its_own(self) -> None:
        for kind in (Request(b"A", b"sip:a", [], []), Response(200, b"OK", [], [])):
            self.assertIn(b"SIP/2.0", kind.start)
