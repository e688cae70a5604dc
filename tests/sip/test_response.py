"""Making responses: what they copy (RFC 3261 §8.2.6), and the phrases they bear (§21)."""

from __future__ import annotations

from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import error_response, make_response
from sipproxy.sip.status import REASONS, reason_for
from tests.rfc import rfc
from tests.sip.samples import octets
from tests.sip.tables import TableCase, rows

COPIED = [
    b"Via: SIP/2.0/UDP host.atlanta.com;branch=z9hG4bK776asdhds",
    b"From: Alice <sip:alice@atlanta.com>;tag=1928301774",
    b"To: Bob <sip:bob@biloxi.com>",
    b"Call-ID: a84b4c76e66710@host.atlanta.com",
    b"CSeq: 314159 MESSAGE",
]


def parsed(*extra: bytes, **more: bytes) -> Request:
    """Return a request to answer."""
    request = parse_datagram(octets(*extra, **more))
    assert isinstance(request, Request)
    return request


@rfc(3261, "8.2.6.2", "From, Call-ID, CSeq, Via and To are the request's, To with our tag")
class CopyTests(TableCase):
    """RFC 3261 §8.2.6.2: headers and tags."""

    def test_copied_lines_and_a_tag(self) -> None:
        response = make_response(parsed(b"Route: <sip:x>", b"Subject: y"), 200, b"314")
        lines = [*COPIED, b"Content-Length: 0"]
        lines[2] += b";tag=314"
        self.assertEqual(response.encode(), b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"", b""]))
        self.assertEqual(response.to.tag, b"314")
        self.assertEqual(len(response.names), len(response.lines))

    def test_every_via_in_order_as_written(self) -> None:
        """The Via header field values MUST equal those in the request, in the same order."""
        vias = [b"v:SIP/2.0/TCP b,\r\n SIP/2.0/UDP c", b"Via:  SIP/2.0/UDP d"]
        response = make_response(parsed(*vias), 404, b"t")
        found = [
            line
            for name, line in zip(response.names, response.lines, strict=True)
            if name == b"via"
        ]
        self.assertEqual(found, [COPIED[0], *vias])

    def test_100_has_no_tag(self) -> None:
        """A UAS adds a tag to the To of a response, with the exception of the 100."""
        self.assertEqual(make_response(parsed(), 100, b"t").lines, [*COPIED, b"Content-Length: 0"])

    def test_provisional_response_has_a_tag(self) -> None:
        self.assertEqual(make_response(parsed(), 180, b"t").to.tag, b"t")

    @rows(
        {
            "tag": b"Bob <sip:bob@biloxi.com>;tag=8321234356",
            "tag behind another parameter": b"<sip:bob@biloxi.com>;x=y;TAG=1",
            "unreadable": b'"unclosed <sip:bob@biloxi.com>',
            "parameter twice": b"<sip:bob@biloxi.com>;x;x",
        }
    )
    def test_to_stays(self, to: bytes) -> None:
        """If the request contained a To tag, the To MUST equal that of the request."""
        self.assertEqual(make_response(parsed(To=to), 200, b"t").value(b"to"), to)

    @rows(
        {
            "addr-spec": b"sip:bob@biloxi.com",
            "white space behind": b"<sip:bob@biloxi.com>  ",
            "folded": b"Bob\r\n <sip:bob@biloxi.com>\r\n ",
            "tag in the URI": b"<sip:bob@biloxi.com;tag=x>",
        }
    )
    def test_tag_is_added(self, to: bytes) -> None:
        response = make_response(parsed(To=to), 200, b"t")
        self.assertEqual(response.to.tag, b"t")
        self.assertTrue(response.to.raw_uri.startswith(b"sip:bob@biloxi.com"))

    @rfc(3261, "8.2.6.1", "a 100 copies Timestamp")
    @rows({"100": (100, [b"54.5"]), "180": (180, []), "200": (200, [])})
    def test_timestamp(self, status: int, values: list[bytes]) -> None:
        """§8.2.6.1: Timestamp MUST be copied into a 100."""
        response = make_response(parsed(b"Timestamp: 54.5"), status, b"t")
        self.assertEqual(response.raw_values(b"timestamp"), values)

    def test_headers_and_body(self) -> None:
        response = make_response(
            parsed(),
            *(423, b"t", "Too Short"),
            headers=[(b"Min-Expires", b"60"), (b"X", b"1")],
            body=b"why",
        )
        self.assertEqual(response.start, b"SIP/2.0 423 Too Short")
        self.assertEqual(response.lines[5:], [b"Min-Expires: 60", b"X: 1", b"Content-Length: 3"])
        self.assertTrue(response.encode().endswith(b"\r\n\r\nwhy"))

    def test_request_is_left_alone(self) -> None:
        request = parsed()
        before = request.encode()
        make_response(request, 200, b"t")
        self.assertEqual(request.encode(), before)

    def test_answer_can_be_read(self) -> None:
        response = parse_datagram(make_response(parsed(), 200, b"t").encode())
        assert isinstance(response, Response)
        self.assertEqual((response.status, response.reason), (200, b"OK"))


class ErrorTests(TableCase):
    """Faults carry their status (house rule: one place makes them responses)."""

    def test_error_becomes_a_response(self) -> None:
        error = SipError(420, headers=[(b"Unsupported", b"100rel")])
        response = error_response(parsed(), error, b"t")
        self.assertEqual((response.status, response.reason), (420, b"Bad Extension"))
        self.assertEqual(response.value(b"unsupported"), b"100rel")
        self.assertEqual(response.to.tag, b"t")

    def test_reason_of_its_own(self) -> None:
        error = SipError(400, "Bad Via")
        self.assertEqual((str(error), error.reason, error.headers), ("400 Bad Via", "Bad Via", ()))

    @rows(
        {
            "known": (404, "Not Found"),
            "unknown of class 1": (199, "Trying"),
            "unknown of class 2": (299, "OK"),
            "unknown of class 4": (499, "Bad Request"),
            "unknown of class 6": (699, "Busy Everywhere"),
            "no class": (999, "Unknown"),
        }
    )
    def test_reason(self, status: int, reason: str) -> None:
        """§8.1.3.2: an unrecognized status is as the x00 of its class."""
        self.assertEqual(reason_for(status), reason)

    def test_every_class_has_its_x00(self) -> None:
        self.assertLessEqual({100, 200, 300, 400, 500, 600}, set(REASONS))
