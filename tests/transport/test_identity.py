"""Who we are: every alias, address and port, and the canonical address-of-record."""

from __future__ import annotations

from sipproxy.sip.uri import parse_uri
from sipproxy.transport.identity import Identity, SentBy, sent_by
from sipproxy.transport.settings import Listen
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

IDENTITY = Identity(
    ["example.test", "Second.Test."],
    ["sip.example.test", "203.0.113.1", "2001:db8::99"],
    [
        Listen("udp", "127.0.0.1"),
        Listen("tcp", "192.0.2.5", 5070),
        Listen("udp", "0.0.0.0", 5090, "edge.test"),
        Listen("tcp", "2001:DB8:0::1", 5060, "nat.test:6060"),
    ],
)
# URI: the domain of ours that it belongs to, or None for a foreign one.
URIS = {
    "domain": ("sip:a@example.test", b"example.test"),
    "domain, case and dot": ("sip:a@EXAMPLE.Test.", b"example.test"),
    "second domain": ("sip:a@second.test", b"second.test"),
    "alias": ("sip:a@sip.example.test", b"example.test"),
    "alias that is an address": ("sip:a@203.0.113.1", b"example.test"),
    "alias that is an IPv6 address": ("sip:a@[2001:db8::99]", b"example.test"),
    "subdomain": ("sip:a@x.example.test", None),
    "default port": ("sip:a@example.test:5060", b"example.test"),
    "default port of sips": ("sips:a@example.test:5061", b"example.test"),
    "port of a listener": ("sip:a@example.test:5070", b"example.test"),
    "port that is advertised": ("sip:a@example.test:6060", b"example.test"),
    "another port": ("sip:a@example.test:5071", None),
    "address": ("sip:a@127.0.0.1", b"example.test"),
    "address and its port": ("sip:a@192.0.2.5:5070", b"example.test"),
    "address and another port": ("sip:a@192.0.2.5", None),
    "address and the port of another": ("sip:a@127.0.0.1:5070", None),
    "advertised name": ("sip:a@edge.test:5090", b"example.test"),
    "advertised name without its port": ("sip:a@edge.test", None),
    "advertised name and port": ("sip:a@nat.test:6060", b"example.test"),
    "IPv6, written at length": ("sip:a@[2001:db8:0:0::0001]:5060", b"example.test"),
    "transport says nothing": ("sip:a@example.test;transport=tls", b"example.test"),
    "im": ("im:a@example.test", b"example.test"),
    "pres": ("pres:a@second.test", b"second.test"),
    "no SIP URI": ("mailto:a@example.test", None),
    "foreign": ("sip:a@b.test", None),
}


class IdentityTest(TableCase):
    """Is that us (RFC 3261 §16.4)?"""

    @rows(URIS)
    def test_domain(self, raw: str, domain: bytes | None) -> None:
        uri = parse_uri(raw.encode())
        self.assertEqual(IDENTITY.domain_of(uri), domain)
        if uri.is_sip:
            self.assertEqual(IDENTITY.is_us(uri), domain is not None)

    @rfc(3261, "16.5", "a Request-URI with a maddr that is not ours is the only target")
    def test_maddr(self) -> None:
        """§16.5: it leads elsewhere; §22: whoever has it in From is asked all the same."""
        for raw in (b"sip:a@example.test;maddr=192.0.2.9", b"sip:a@127.0.0.1;maddr=192.0.2.9"):
            uri = parse_uri(raw)
            self.assertIsNone(IDENTITY.domain_of(uri))
            self.assertEqual(IDENTITY.realm_of(uri), b"example.test")

    @rfc(3261, "16.5", "a Request-URI of ours is canonicalized before it is looked up")
    @rfc(3261, "10.3 step 5", "the address-of-record is canonical: without parameters, unescaped")
    @rows(
        {
            "plain": ("sip:alice@example.test", b"alice@example.test"),
            "everything else": (
                "sips:alice:pw@EXAMPLE.test:5061;transport=tcp;user=ip?x=1",
                b"alice@example.test",
            ),
            "escapes (§10.3 step 5)": ("sip:%61l%69ce@example.test", b"alice@example.test"),
            "escape of what must be escaped": ("sip:a%40b@example.test", b"a@b@example.test"),
            "case of the user": ("sip:Alice@example.test", b"Alice@example.test"),
            "alias": ("sip:alice@sip.example.test", b"alice@example.test"),
            "address": ("sip:alice@127.0.0.1:5060", b"alice@example.test"),
            "second domain": ("pres:alice@second.test", b"alice@second.test"),
            "no user": ("sip:sip.example.test", b"@example.test"),
            "foreign": ("sip:alice@B.test;x=1", b"alice@b.test"),
            "foreign, IPv6": ("sip:alice@[2001:db8:0::7]", b"alice@[2001:db8::7]"),
            "our name at another port": ("sip:alice@example.test:9", b"alice@example.test"),
        }
    )
    def test_canonical(self, raw: str, aor: bytes) -> None:
        self.assertEqual(IDENTITY.canonical(parse_uri(raw.encode())), aor)

    @rfc(3261, "18.1.2", "a response whose topmost Via is not ours is discarded")
    @rows(
        {
            "listener": (b"127.0.0.1", 5060, True),
            "advertised": (b"nat.test", 6060, True),
            "behind it": (b"[2001:db8::1]", 5060, True),
            "domain: we write addresses": (b"example.test", 5060, False),
            "another port": (b"127.0.0.1", 5061, False),
        }
    )
    def test_sent(self, host: bytes, port: int, ours: bool) -> None:
        """§18.1.2: is a Via's sent-by ours?"""
        self.assertEqual(IDENTITY.sent(host, port), ours)

    def test_default_domain(self) -> None:
        self.assertEqual(IDENTITY.domain, b"example.test")


class SentByTest(TableCase):
    """What a listener writes of itself."""

    @rows(
        {
            "address": (Listen("udp", "192.0.2.1", 5070), (b"UDP", b"192.0.2.1", 5070)),
            "IPv6": (Listen("tcp", "2001:DB8::0:1"), (b"TCP", b"[2001:db8::1]", 5060)),
            "name": (Listen("udp", "0.0.0.0", 5070, "Edge.Test"), (b"UDP", b"edge.test", 5070)),
            "name and port": (Listen("udp", "::", 1, "e.test:2"), (b"UDP", b"e.test", 2)),
            "IPv6 reference": (Listen("udp", "::", 1, "[::2]"), (b"UDP", b"[::2]", 1)),
            "IPv6 and port": (Listen("udp", "::", 1, "[::2]:3"), (b"UDP", b"[::2]", 3)),
        }
    )
    def test_sent_by(self, listen: Listen, found: tuple[bytes, bytes, int]) -> None:
        self.assertEqual(sent_by(listen), SentBy(*found))

    def test_port_that_is_none(self) -> None:
        self.assertRaises(ValueError, sent_by, Listen("udp", "::", 1, "e.test:x"))

    def test_text(self) -> None:
        self.assertEqual(bytes(SentBy(b"UDP", b"[::1]", 5060)), b"[::1]:5060")
