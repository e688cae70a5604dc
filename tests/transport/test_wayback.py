"""Where a response goes whose connection and sender are gone (RFC 3263 §5)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from sipproxy.transport.hops import Hop, Unreachable
from sipproxy.transport.wayback import way_back
from tests.sip.tables import TableCase, rows

HOPS = [Hop("tcp", f"198.51.100.{n}", 5060, "b.test") for n in (1, 2)]


class Ways:
    """A network in which one hop can be reached."""

    def __init__(self, *hops: Hop) -> None:
        self.asked: list[str] = []
        self.reachable = hops

    def hops(self, uri: Any) -> Any:
        """Note the URI."""
        self.asked.append(uri.raw.decode())
        return succeed(list(HOPS))

    def is_inside(self, hop: Hop) -> bool:
        """Tell that no hop is."""
        return False

    def reach(self, hop: Hop, size: int) -> Any:
        """Return the hop as its own flow."""
        if hop in self.reachable:
            return hop
        return fail(Unreachable(f"nobody at {hop}"))


def response(via: str) -> bytes:
    lines = ["SIP/2.0 200 OK", f"Via: {via}", "From: <sip:a@b>;tag=1", "To: <sip:a@b>;tag=2"]
    return "\r\n".join(
        [*lines, "Call-ID: 1", "CSeq: 1 MESSAGE", "Content-Length: 0", "", ""]
    ).encode()


class WayBackTest(TableCase):
    """What sent-by says."""

    def back(self, ways: Ways, via: str) -> Any:
        return Deferred.fromCoroutine(way_back(ways, response(via)))

    @rows(
        {
            "name": ("SIP/2.0/TCP b.test", "sip:b.test;transport=tcp"),
            "port": ("SIP/2.0/TCP b.test:5070", "sip:b.test:5070;transport=tcp"),
            "TLS": ("SIP/2.0/TLS b.test", "sip:b.test;transport=tls"),
        }
    )
    def test_sender(self, via: str, uri: str) -> None:
        ways = Ways(HOPS[0])
        self.assertEqual(self.successResultOf(self.back(ways, via + ";branch=z9hG4bK1")), HOPS[0])
        self.assertEqual(ways.asked, [uri])

    @rows(
        {name: f"SIP/2.0/{name};branch=1" for name in ("TCP 10.0.0.1", "TCP [::1]", "UDP b.test")}
    )
    def test_nobody(self, via: str) -> None:
        """An address that anybody can write there is not connected to."""
        ways = Ways(*HOPS)
        self.failureResultOf(self.back(ways, via), Unreachable)
        self.assertEqual(ways.asked, [])

    def test_the_next_one(self) -> None:
        found = self.back(Ways(HOPS[1]), "SIP/2.0/TCP b.test;branch=1")
        self.assertEqual(self.successResultOf(found), HOPS[1])

    def test_none(self) -> None:
        problem = self.failureResultOf(
            self.back(Ways(), "SIP/2.0/TCP b.test;branch=1"), Unreachable
        )
        self.assertEqual(str(problem.value), "nobody at tcp 198.51.100.2:5060")
