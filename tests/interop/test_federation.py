"""Two servers of ours exchange MESSAGEs, and nobody uses them for more (RFC 3261 §16, 4320 §4)."""

from __future__ import annotations

import socket
import time

from twisted.trial.unittest import TestCase

from tests.interop.federation import PATIENCE, registered, route, server
from tests.interop.processes import HOST, free_port
from tests.interop.users import User


class PairTests(TestCase):
    """a.test reaches b.test by TCP, b.test reaches a.test by UDP."""

    timeout = 120

    def setUp(self) -> None:
        """Start both servers."""
        a, b = free_port(), free_port()
        users = ("alice", "mute", "away")
        self.a = server(self, "a.test", route("b.test", b, "tcp"), users=users, port=a)
        self.b = server(self, "b.test", route("a.test", a), users=("bob", "away"), port=b)
        self.a.ready()
        self.b.ready()
        self.alice = registered(self, "alice@a.test", a)

    def test_both_directions(self) -> None:
        """Bodies arrive as they were sent, from whom they were sent."""
        bob = registered(self, "bob@b.test", self.b.port, "tcp")
        for sender, receiver in ((self.alice, bob), (bob, self.alice)):
            arrived = sender.deliver(receiver, f"Grüße ✓ von {sender.aor}")
            self.assertIn(sender.aor.encode(), arrived.value(b"from") or b"")

    def test_nobody_there(self) -> None:
        """A stranger to the other domain, and a user who is not there, at home and abroad."""
        found = {
            to: self.alice.status(to)
            for to in ("nobody@a.test", "nobody@b.test", "away@a.test", "away@b.test")
        }
        expected = {
            "nobody@a.test": 404,
            "nobody@b.test": 404,
            "away@a.test": 480,
            "away@b.test": 480,
        }
        self.assertEqual(found, expected)

    def test_silent_device(self) -> None:
        """A user's device that says nothing is not there: neither 408 nor 504 (RFC 4320 §4.2)."""
        registered(self, "mute@a.test", self.a.port)
        began = time.monotonic()
        self.assertEqual(self.alice.status("mute@a.test"), 480)
        self.assertGreaterEqual(time.monotonic() - began, PATIENCE * 0.9)

    def test_third_parties(self) -> None:
        """Nothing is relayed between foreign domains, and no stranger reaches our users."""
        stranger = User(self, "eve@c.test", self.a.port)
        for to in ("bob@b.test", "dave@d.test", "alice@a.test"):
            self.assertEqual(stranger.unproven(to).status, 403, to)
        peer = User(self, "bob@b.test", self.a.port)
        self.assertEqual(peer.unproven("dave@d.test").status, 403)

    def test_forged_routes(self) -> None:
        """A Route to us that we did not write admits nothing, wherever the request goes."""
        for user in ("FORGED", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"):
            forged = (b"Route", f"<sip:{user}@{HOST}:{self.a.port};lr>".encode())
            for aor in ("alice@a.test", "bob@b.test", "eve@c.test"):
                sender = User(self, aor, self.a.port)
                for to in ("alice@a.test", "bob@b.test", "dave@d.test"):
                    self.assertEqual(sender.unproven(to, forged).status, 403, (aor, to))

    def test_forged_from(self) -> None:
        """Who claims to be ours proves it, though the address be a peer's: both are this host."""
        forger = User(self, "alice@a.test", self.a.port)
        for to in ("alice@a.test", "bob@b.test", "dave@d.test"):
            self.assertEqual(forger.unproven(to).status, 407, to)
        foreigner = User(self, "alice@a.test", self.b.port)  # b.test hears a.test from here
        self.assertEqual(foreigner.unproven("away@b.test").status, 480)
        self.assertEqual(User(self, "bob@b.test", self.b.port).unproven("bob@b.test").status, 407)

    def test_no_impostor(self) -> None:
        """Our user proves to be herself, and speaks for nobody else."""
        forger = User(self, "mute@a.test", self.a.port)
        forger.password = "a guess"
        self.assertEqual(forger.status("alice@a.test"), 407)


class DeadPeerTests(TestCase):
    """Peers that are not there are told apart from peers that say nothing."""

    timeout = 120

    def alice_beside(self, *routes: str) -> User:
        """Return a user of a server with routes."""
        ours = server(self, "a.test", *routes, users=("alice",)).ready()
        return User(self, "alice@a.test", ours.port)

    def ended(self, user: User, domain: str) -> tuple[int, bool]:
        """Return the answer to a MESSAGE for a domain, and whether it came at once."""
        began = time.monotonic()
        status = user.status(f"bob@{domain}")
        return status, time.monotonic() - began < PATIENCE * 0.9

    def test_closed_ports(self) -> None:
        """What cannot be delivered is answered 500 at once, each time (RFC 3261 §16.9)."""
        closed = free_port()
        alice = self.alice_beside(
            route("udp.test", closed), route("tcp.test", closed, "tcp"), route("b.test", closed)
        )
        for domain in ("udp.test", "tcp.test", "udp.test", "b.test", "tcp.test"):
            self.assertEqual(self.ended(alice, domain), (500, True), domain)

    def test_silent_peers(self) -> None:
        """A peer that says nothing is answered 504 when the proxy's patience is over."""
        ports = []
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            silent = socket.socket(socket.AF_INET, kind)
            self.addCleanup(silent.close)
            silent.bind((HOST, 0))
            if kind == socket.SOCK_STREAM:
                silent.listen()
            ports.append(silent.getsockname()[1])
        alice = self.alice_beside(route("udp.test", ports[0]), route("tcp.test", ports[1], "tcp"))
        for domain in ("udp.test", "tcp.test"):
            self.assertEqual(self.ended(alice, domain), (504, False), domain)

    def test_address_of_a_peer(self) -> None:
        """A domain is heard from its own addresses only."""
        elsewhere = route("b.test", 5060, address="127.0.0.2") + route("c.test", 5060)
        ours = server(self, "a.test", elsewhere, users=("alice",)).ready()
        for aor, status in (("bob@b.test", 403), ("carol@c.test", 480)):
            self.assertEqual(User(self, aor, ours.port).unproven("alice@a.test").status, status)
