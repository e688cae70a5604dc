"""The copy for a target and how it is sent (RFC 3261 §16.6)."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sipproxy.interfaces import Target
from sipproxy.proxy.branch import length, prepared
from sipproxy.sip.message import Request, Response
from sipproxy.sip.response import make_response
from sipproxy.sip.uri import parse_uri
from sipproxy.testing import FakeServer
from sipproxy.transport.resolver import Unreachable
from tests.proxy.fakes import OPEN, request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

CONTACT = "sip:bob@192.0.2.2"
STRICT = "<sip:strict.test>"
LOOSE = "<sip:loose.test;lr>"
EXTRA = """
[federation]
inbound = "open"
[[route]]
domain = "b.test"
to = "sip:198.51.100.7"
"""


class PreparedTest(TableCase):
    """Steps 1 to 3 and 5 to 7."""

    @rfc(3261, "16.6 step 7", "the next hop is the first Route value, else the Request-URI")
    @rfc(3261, "16.6 step 6", "for a strict router Request-URI and first Route value change places")
    @rfc(3327, "5.4", "the Path vector becomes the Route of a request to the binding")
    @rows(
        {
            "nothing": ((), [], None, CONTACT, [], CONTACT),
            "hop": ((), [], "sip:hop.test", CONTACT, [], "sip:hop.test"),
            "route": ((), [LOOSE], None, CONTACT, [LOOSE], "sip:loose.test;lr"),
            "route before hop": ((), [LOOSE], "sip:h.test", CONTACT, [LOOSE], "sip:loose.test;lr"),
            "path": ((LOOSE,), [], None, CONTACT, [LOOSE], "sip:loose.test;lr"),
            "path before route": (
                (LOOSE, "<sip:2.test;lr>"),
                ["<sip:3.test;lr>"],
                None,
                CONTACT,
                [LOOSE, "<sip:2.test;lr>", "<sip:3.test;lr>"],
                "sip:loose.test;lr",
            ),
            "strict router": (
                (),
                [STRICT],
                None,
                "sip:strict.test",
                [f"<{CONTACT}>"],
                "sip:strict.test",
            ),
            "strict router before others": (
                (),
                [STRICT, LOOSE],
                None,
                "sip:strict.test",
                [LOOSE, f"<{CONTACT}>"],
                "sip:strict.test",
            ),
            "strict router after another": (
                (),
                [LOOSE, STRICT],
                None,
                CONTACT,
                [LOOSE, STRICT],
                "sip:loose.test;lr",
            ),
        }
    )
    def test_where(
        self,
        pushed: tuple[str, ...],
        routes: list[str],
        hop: str | None,
        uri: str,
        left: list[str],
        next_hop: str,
    ) -> None:
        target = Target(
            CONTACT.encode(),
            tuple(value.encode() for value in pushed),
            hop=None if hop is None else parse_uri(hop.encode()),
        )
        original = request(*(f"Route: {route}" for route in routes))
        before = original.encode()
        copy, found = prepared(original, target, 60, 70)
        self.assertEqual(copy.raw_uri.decode(), uri)
        self.assertEqual([value.decode() for value in copy.values(b"route")], left)
        self.assertEqual(found.raw.decode(), next_hop)
        self.assertEqual(original.encode(), before)

    @rfc(3261, "16.6 step 3", "Max-Forwards is one less, and 70 where there was none")
    @rows({"there": (["Max-Forwards: 9"], b"8"), "absent": ([], b"70")})
    def test_max_forwards(self, lines: list[str], value: bytes) -> None:
        """Step 3."""
        copy, _ = prepared(request(*lines), Target(CONTACT.encode()), 60, 70)
        self.assertEqual(copy.raw_values(b"max-forwards"), [value])

    @rfc(5393, "5.3.3", "branches together have no more Max-Breadth than came in")
    def test_max_breadth(self) -> None:
        """RFC 5393 §5.3.3: exactly one value in every copy."""
        for lines in ([], ["Max-Breadth: 60"]):
            copy, _ = prepared(request(*lines), Target(CONTACT.encode()), 7, 70)
            self.assertEqual(copy.raw_values(b"max-breadth"), [b"7"])

    @rfc(3261, "16.6 step 1", "the copy has all header fields as received, in their order")
    @rfc(3261, "16.6 step 1", "the body is not touched")
    def test_nothing_else_is_touched(self) -> None:
        """Step 1: what a proxy does not know stays as it was written."""
        lines = [
            "X-Odd :  a ,b",
            "Subject: x,",
            "t2: <>",
            'Contact: "x <sip:a@b'.replace(" <", "<"),
        ]
        copy, _ = prepared(request(*lines), Target(CONTACT.encode()), 60, 70)
        for line in lines:
            self.assertIn(line.encode(), copy.lines)

    def test_length(self) -> None:
        """§18.1.1 counts what a proxy adds: our guess is no less than what is sent."""
        copy, _ = prepared(request("X: " + "y" * 500), Target(CONTACT.encode()), 60, 70)
        via = b"SIP/2.0/UDP 255.255.255.255:65535;branch=z9hG4bK0123456789abcdef.l0123456789abcdef"
        self.assertGreaterEqual(length(copy), len(copy.encode()) + len(via) + len("Via: \r\n"))
        self.assertLess(length(copy), len(copy.encode()) + 200)


class SendingTest(TableCase):
    """A server with a peer that is reached at once, later, or not."""

    HOP = ("udp", "198.51.100.7", 5060)

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN + EXTRA)
        self.alice = self.server.client("192.0.2.1")

    def send(self, method: str = "MESSAGE", *lines: str) -> None:
        self.alice.send(request(*lines, method=method, uri="sip:carol@b.test"))

    @property
    def statuses(self) -> list[int]:
        return [m.status for m in self.alice.received if isinstance(m, Response)]

    def connecting(self) -> Deferred[object]:
        """Let it take time to reach the peer."""
        waiting: Deferred[object] = Deferred()
        self.server.network.pending[self.HOP] = waiting
        return waiting

    def test_sent_when_the_flow_is_there(self) -> None:
        waiting = self.connecting()
        self.send()
        peer = self.server.client("198.51.100.7", 5070, "tcp")
        self.assertEqual(peer.received, [])
        waiting.callback(peer.flow)
        (copy,) = peer.received
        self.assertEqual(copy.via.transport, b"TCP")
        peer.answer(200)
        self.assertEqual(self.statuses, [200])

    @rfc(3261, "16.9", "a request that cannot be delivered is as good as one that was answered 503")
    def test_no_flow(self) -> None:
        waiting = self.connecting()
        self.send()
        waiting.errback(Unreachable("nobody there"))
        self.assertEqual(self.statuses, [500])

    def test_bug(self) -> None:
        waiting = self.connecting()
        self.send()
        waiting.errback(Failure(KeyError("x")))
        self.assertEqual(self.statuses, [500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    @rows({"at once": False, "once connected": True})
    def test_dialog_without_a_readable_to(self, later: bool) -> None:
        """A token needs both parties of the dialog: a To that names none is the sender's fault."""
        peer = self.server.client("198.51.100.7")
        waiting = self.connecting() if later else None
        bad = request(method="SUBSCRIBE", uri="sip:carol@b.test")
        bad.put(b"To", b"<sip:>")
        self.alice.send(bad)
        if waiting is not None:
            waiting.callback(peer.flow)
        self.assertEqual((self.statuses, peer.received), ([400], []))

    def test_too_late(self) -> None:
        """A flow that comes when our patience is over is not used."""
        waiting = self.connecting()
        self.send()
        self.server.advance(10.3)
        self.assertEqual(self.statuses, [100, 504])
        peer = self.server.client("198.51.100.7", 5070, "tcp")
        waiting.callback(peer.flow)
        self.assertEqual(peer.received, [])

    @rfc(3261, "16.6 step 9", "over a stream a request has a Content-Length")
    def test_content_length(self) -> None:
        """Step 9: a stream needs it; to a datagram nothing is added."""
        for transport, found in (("tcp", [b"0"]), ("udp", [])):
            waiting = self.connecting()
            self.alice.send(
                request(uri="sip:carol@b.test").encode().replace(b"bK-1", transport.encode())
            )
            peer = self.server.client("198.51.100.7", 5070, transport)
            waiting.callback(peer.flow)
            self.assertEqual(peer.received[0].raw_values(b"content-length"), found)

    @rfc(3261, "16.6 step 4", "our Record-Route value is a SIP URI with lr, before all others")
    @rows(
        {
            "MESSAGE": ("MESSAGE", False),
            "OPTIONS": ("OPTIONS", False),
            "PUBLISH": ("PUBLISH", False),
            "SUBSCRIBE": ("SUBSCRIBE", True),
            "NOTIFY": ("NOTIFY", True),
            "REFER": ("REFER", True),
        }
    )
    def test_record_route(self, method: str, stays: bool) -> None:
        """Step 4: in front of others, with lr, and never on a MESSAGE (RFC 3428 §5)."""
        peer = self.server.client("198.51.100.7")
        self.send(method, "Record-Route: <sip:first.test;lr>")
        (copy,) = peer.received
        assert isinstance(copy, Request)
        *ours, first = copy.addresses(b"record-route")
        self.assertEqual((first.raw_uri, len(ours)), (b"sip:first.test;lr", int(stays)))
        for address in ours:
            self.assertTrue(self.server.node.identity.is_us(address.uri))
            self.assertIn(b"lr", address.uri.params)
            self.assertNotIn(b"transport", address.uri.params)

    @rows({"nothing": b"", "alias": b";alias"})
    def test_via_says_what_its_flow_does(self, params: bytes) -> None:
        """RFC 5923 §8.1: the connection may ask to be used the other way, too."""
        peer = self.server.client("198.51.100.7")
        peer.flow.sent_by = replace(peer.flow.sent_by, params=params)
        self.send()
        self.assertEqual(b"alias" in peer.received[0].via.params, bool(params))
        peer.answer(200)
        self.assertEqual(self.statuses, [200])

    @rfc(3261, "18.1.2", "a response whose topmost Via is not ours is discarded")
    def test_response_with_another_sent_by(self) -> None:
        """§18.1.2: a response whose topmost Via is not ours is dropped."""
        peer = self.server.client("198.51.100.7")
        self.send()
        peer.answer(200)
        wrong = peer.received[0].encode()
        self.assertEqual(self.statuses, [200])
        self.alice.clear()
        self.alice.send(request(uri="sip:carol@b.test").encode().replace(b"bK-1", b"bK-2"))
        via = peer.received[-1].raw_values(b"via")[0]
        answer = b"\r\n".join(
            [
                b"SIP/2.0 200 OK",
                b"Via: " + via.replace(b"127.0.0.1", b"127.0.0.2"),
                *[line for line in wrong.split(b"\r\n")[2:] if line],
                b"",
                b"",
            ]
        )
        peer.send(answer)
        self.assertEqual(self.statuses, [])

    def test_route_before_the_flow_of_a_binding(self) -> None:
        """Step 7: the topmost Route value is the next hop, though the user has a flow."""
        bob = self.server.client("192.0.2.2")
        bob.send(
            request("Contact: <sip:bob@10.0.0.2>", method="REGISTER", uri="sip:example.test")
            .encode()
            .replace(b"alice@", b"bob@")
            .replace(b"bK-1", b"bK-0;rport")
        )
        self.assertEqual([message.status for message in bob.received], [200])
        bob.clear()
        peer = self.server.client("198.51.100.7")
        self.alice.send(request("Route: <sip:198.51.100.7;lr>"))
        self.assertEqual((len(peer.received), len(bob.received)), (1, 0))

    def test_length_of_a_response_on_a_stream(self) -> None:
        """§18.3, §20.14: mandatory there, though the phone that answered left it out."""
        caller = self.server.client("192.0.2.9", 4000, "tcp")
        peer = self.server.client("198.51.100.7")
        caller.send(request(uri="sip:carol@b.test"))
        asked = peer.received[-1]
        assert isinstance(asked, Request)
        bare = make_response(asked, 200, b"tag")
        bare.remove(b"content-length")
        peer.send(bare)
        last = caller.received[-1]
        self.assertEqual(last.value(b"content-length"), b"0")

    @rfc(3261, "16.3 step 1", "what the proxy uses and cannot read is answered 400")
    def test_unreadable_party(self) -> None:
        """§16.3 step 1: our token names both parties of a dialog; nothing is sent before that."""
        peer = self.server.client("198.51.100.7")
        asked = request(method="SUBSCRIBE", uri="sip:carol@b.test")
        asked.put(b"From", b"<sip:alice@example.test>;tag=1;tag=2")
        self.alice.send(asked)
        self.assertEqual(self.statuses, [400])
        self.assertEqual(peer.received, [])
