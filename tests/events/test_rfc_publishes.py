"""The publications that RFC 3903 §15 prints, answered as it prints it."""

from __future__ import annotations

from sipproxy.interfaces import Sender
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.transport.identity import Identity
from sipproxy.transport.settings import Listen
from tests.events.publishing import Bench, Colours
from tests.shared import SHARED, needs_shared
from tests.sip.tables import TableCase

FOLDER = SHARED / "sipmsgs" / "rfc3903"
PRESENTITY = b"presentity@example.com"
PUBLISHED = "[PUBLISHED PIDF DOCUMENT]\r\n"  # as the package of these tests takes it


@needs_shared("sipmsgs", "rfc3903")
class RfcPublishesTest(TableCase):
    """M5 to M12: an initial publication, its refresh, and its modification."""

    def setUp(self) -> None:
        self.bench = Bench(max_publication=1800, default_publication=1800)
        self.bench.host.identity = Identity(["example.com"], [], [Listen("udp", "127.0.0.1")])
        package = Colours(b"presence", {PRESENTITY})
        package.publication_types = (b"application/pidf+xml",)  # type: ignore[assignment]
        self.bench.packages.add(package)

    def message(self, number: int) -> bytes:
        """Return a message of the RFC; what it writes as "..." is the length of the body."""
        return (FOLDER / f"{number:03}.sip").read_bytes().replace(b"Content-Length: ...\r\n", b"")

    def publish(self, number: int, tag: bytes = b"") -> Response:
        """Send a PUBLISH as printed, but with the entity-tag that we have given."""
        request = parse_datagram(self.message(number))
        assert isinstance(request, Request)
        if tag:
            self.assertIn(b"sip-if-match", request.names)
            request.put(b"SIP-If-Match", tag)
        transaction = self.bench.start(request, sender=Sender(PRESENTITY, is_user=True))
        (response,) = transaction.responses
        return response

    def same(self, response: Response, number: int) -> None:
        """Check that a response has the fields that the RFC prints."""
        printed = parse_datagram(self.message(number))
        assert isinstance(printed, Response)
        self.assertEqual((response.status, response.reason), (printed.status, printed.reason))
        self.assertEqual(set(response.names) - {b"content-length"}, set(printed.names))
        for name in (b"from", b"call-id", b"cseq"):
            self.assertEqual(response.raw_values(name), printed.raw_values(name))

    def state(self) -> list[tuple[str, int]]:
        """Return what is published."""
        return self.bench.state(b"presence", PRESENTITY)

    def test_flow(self) -> None:
        first = self.publish(4)  # M5
        self.same(first, 5)
        self.assertEqual(first.value(b"expires"), b"1800")
        self.assertEqual(self.state(), [(PUBLISHED, 1800)])
        self.bench.host.clock.advance(1700)
        second = self.publish(8, first.value(b"sip-etag") or b"")  # M9
        self.same(second, 9)
        self.assertEqual(self.state(), [(PUBLISHED, 1800)])
        self.assertEqual(len(self.bench.changes), 1)  # M10 is followed by no NOTIFY
        third = self.publish(10, second.value(b"sip-etag") or b"")  # M11
        self.same(third, 11)
        self.assertEqual(len(self.bench.changes), 2)  # M13
        tags = {one.value(b"sip-etag") for one in (first, second, third)}
        self.assertEqual(len(tags), 3)

    def test_the_rfcs_own_tags_are_unknown(self) -> None:
        self.publish(4)
        for number in (8, 10):
            self.refuses(412, self.publish, number)
