"""Our servers and a Kamailio exchange MESSAGEs (RFC 3261 §16, 3428, 4320 §4.2)."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.interop.federation import Kamailio, kamailio_port, registered, route, server
from tests.interop.processes import free_port
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
