"""Our servers and a Kamailio exchange MESSAGEs (RFC 3261 §16, 3428, 4320 §4.2)."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.authority import Authority, dns
from tests.interop.federation import (
    Kamailio,
    kamailio_port,
    needs_kamailio_tls,
    registered,
    route,
    server,
    tls_listen,
)
from tests.interop.processes import Server, directory, free_port
from tests.interop.users import User


class KamailioTests(TestCase):
    """a.test and b.test are ours, k.test is not."""

    timeout = 120

    def setUp(self) -> None:
        """Start all three."""
        k, a, b = kamailio_port(self), free_port(), free_port()
        to_k = route("k.test", k)
        self.a = server(self, "a.test", to_k, route("b.test", b), users=("alice",), port=a)
        self.b = server(self, "b.test", to_k, route("a.test", a), users=("bob",), port=b)
        self.kamailio = Kamailio(self, k, a, b)
        for one in (self.a, self.b, self.kamailio):
            one.ready()

    def test_every_pair(self) -> None:
        """MESSAGEs pass in both directions between any two."""
        users = [
            registered(self, "alice@a.test", self.a.port),
            registered(self, "bob@b.test", self.b.port, "tcp"),
            registered(self, "carol@k.test", self.kamailio.port),
        ]
        for sender in users:
            for receiver in users:
                if sender is not receiver:
                    challenged = not sender.aor.endswith("@k.test")
                    text = f"Grüße ✓ von {sender.aor} an {receiver.aor}"
                    arrived = sender.deliver(receiver, text, challenged)
                    self.assertIn(sender.aor.encode(), arrived.value(b"from") or b"")

    def test_nobody_there(self) -> None:
        """Who is not there is not there for users of the other domain either."""
        alice = User(self, "alice@a.test", self.a.port)
        carol = User(self, "carol@k.test", self.kamailio.port)
        self.assertEqual(alice.status("nobody@k.test"), 404)
        self.assertEqual(alice.status("carol@k.test"), 480)
        self.assertEqual(carol.unproven("nobody@a.test").status, 404)
        self.assertEqual(carol.unproven("alice@a.test").status, 480)

    def test_silent_device(self) -> None:
        """A 408 that Kamailio makes up for a silent device goes no further (RFC 4320 §4.2)."""
        registered(self, "mute@k.test", self.kamailio.port)
        carol = User(self, "carol@k.test", self.kamailio.port)
        self.assertEqual(carol.unproven("mute@k.test").status, 408)
        alice = User(self, "alice@a.test", self.a.port)
        self.assertEqual(alice.status("mute@k.test"), 504)

    def test_forged_from(self) -> None:
        """Who claims to be ours proves it, by whichever way the request comes."""
        forger = User(self, "alice@a.test", self.kamailio.port)
        self.assertEqual(forger.unproven("alice@a.test").status, 407)

    def test_third_parties(self) -> None:
        """What Kamailio sends on for a stranger is not taken for its own."""
        stranger = User(self, "eve@c.test", self.kamailio.port)
        self.assertEqual(stranger.unproven("alice@a.test").status, 403)
        relayed = User(self, "carol@k.test", self.a.port)
        self.assertEqual(relayed.unproven("bob@b.test").status, 403)


class KamailioTlsTests(TestCase):
    """a.test is ours; it and Kamailio show each other their certificates (RFC 5922)."""

    timeout = 120

    def setUp(self) -> None:
        """Choose ports, and make the certificates of both."""
        needs_kamailio_tls()
        self.port, self.secure, self.tls = kamailio_port(self), free_port(), free_port()
        self.authority, self.place = Authority(), directory(self)

    def start(self, certified: str) -> Server:
        """Start both, with Kamailio certified as a domain."""
        self.authority.write(self.place, "k.test", *dns(certified))
        listen = tls_listen(self.place, "a.test", self.tls, self.authority)
        trust = f'[tls]\nca = "{self.place / "ca.pem"}"\nverify_clients = "require"\n'
        hop = route("k.test", self.secure, "tls") + 'from = ["192.0.2.1"]\n'
        ours = server(self, "a.test", listen, trust, hop, users=("alice",))
        Kamailio(self, self.port, self.tls, self.port, (self.secure, self.place)).ready()
        return ours.ready()

    def test_both_directions(self) -> None:
        """A MESSAGE each way, by TLS."""
        ours = self.start("k.test")
        alice = registered(self, "alice@a.test", ours.port)
        carol = registered(self, "carol@k.test", self.port)
        for sender, receiver, challenged in ((alice, carol, True), (carol, alice, False)):
            arrived = sender.deliver(receiver, f"Grüße ✓ von {sender.aor}", challenged)
            transports = [value.partition(b" ")[0] for value in arrived.values(b"via")]
            self.assertIn(b"SIP/2.0/TLS", transports)

    def test_another_domain(self) -> None:
        """One that is certified for another domain is not k.test, and does not speak for it."""
        ours = self.start("other.test")
        alice = registered(self, "alice@a.test", ours.port)
        carol = registered(self, "carol@k.test", self.port)
        self.assertEqual(carol.unproven("alice@a.test").status, 403)
        self.assertEqual(alice.status("carol@k.test"), 500)
        self.assertIn("its certificate is for other.test, not for k.test", ours.output)
