"""Clients behind a NAT are reached by the flow of their REGISTER (RFC 3581, 5626 §5.3)."""

from __future__ import annotations

import json

from twisted.trial.unittest import TestCase

from tests.interop.processes import Server, sipctl, wait_for
from tests.interop.users import PRIVATE, Roamer, User


class FlowTests(TestCase):
    """A Contact that leads nowhere does not matter."""

    timeout = 120

    def setUp(self) -> None:
        """Start a server."""
        self.server = Server(self, "a.test", ["alice", "bob"]).ready()

    def registered(self, user: str, transport: str, kind: type[User] = Roamer) -> User:
        """Return a client that has registered."""
        client = kind(self, f"{user}@a.test", self.server.port, transport)
        response = client.register(600)
        self.assertEqual(response.status, 200)
        return client

    def exchange(self, one: User, other: User) -> None:
        """Send a MESSAGE each way."""
        for sender, receiver in ((one, other), (other, one)):
            arrived = sender.deliver(receiver, f"from {sender.aor}: Grüße ✓")
            self.assertIn(PRIVATE, arrived.raw_uri)

    def test_udp(self) -> None:
        """With rport, requests go where the REGISTER came from."""
        self.exchange(self.registered("alice", "udp"), self.registered("bob", "udp"))

    def test_tcp(self) -> None:
        """Requests go by the connection of the REGISTER."""
        self.exchange(self.registered("alice", "tcp"), self.registered("bob", "tcp"))

    def test_udp_and_tcp(self) -> None:
        """Each is reached by its own transport."""
        self.exchange(self.registered("alice", "udp"), self.registered("bob", "tcp"))
        rows = json.loads(sipctl(self.server.place, "bindings", "--json").stdout)
        self.assertEqual([row["flow"][:4] for row in rows], ["UDP ", "TCP "])

    def test_connection_closed(self) -> None:
        """Without its connection, the user is not there any more."""
        alice, bob = self.registered("alice", "udp"), self.registered("bob", "tcp")
        bob.close()
        wait_for(lambda: alice.status(bob.aor) == 480, "the end of the binding")
