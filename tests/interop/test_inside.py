"""Route sets that point inside: a server does not talk to itself (RFC 3261 §16.4, §16.6)."""

from __future__ import annotations

import socket

from twisted.trial.unittest import TestCase

from sipproxy.ctl.socket import ask
from tests.interop.federation import registered
from tests.interop.processes import HOST, Server, free_port
from tests.interop.users import User

CAROL = "carol@elsewhere.test"


class InsideTests(TestCase):
    """A server with two ports, which our user proves to be one of its own to."""

    timeout = 120

    def setUp(self) -> None:
        """Start it."""
        self.other = free_port()
        extra = f'[[listen]]\ntransport = "udp"\naddress = "{HOST}"\nport = {self.other}\n'
        self.server = Server(self, "a.test", ("alice", "bob"), extra).ready()
        self.alice = registered(self, "alice@a.test", self.server.port)

    def routed(self, to: str, *hops: str) -> int:
        """Send a MESSAGE through hops, and return how it ended."""
        return self.alice.status(to, *((b"Route", f"<sip:{hop};lr>".encode()) for hop in hops))

    def test_names_of_ours(self) -> None:
        """They are taken off; one that we do not know leads to us, and nowhere."""
        port, other = self.server.port, self.other
        for to, served in (("bob@a.test", 480), (CAROL, 500)):
            for hop in (f"{HOST}:{port}", f"{HOST}:{other}", "a.test"):
                self.assertEqual(self.routed(to, hop, hop), served, hop)
        for hop in (f"localhost:{port}", f"localhost:{other}", f"localhost:{port};transport=tcp"):
            self.assertEqual(self.routed(self.alice.aor, hop), 500, hop)
        self.assertEqual(self.server.output.count("is ourselves"), 3)
        status = ask(self.server.place / "var", "status")
        self.assertLess(status["transactions"], 60)  # each request has one, or two with its 407

    def test_requests_for_ourselves_by_another_name(self) -> None:
        """A Request-URI, and a binding."""
        strange = f"bob@localhost:{self.server.port}"
        self.assertEqual(self.alice.status(strange), 500)

    def test_a_hundred_routes(self) -> None:
        """All ours, and then one that is not."""
        ours = [f"{HOST}:{self.server.port}"] * 100
        self.assertEqual(self.routed("bob@a.test", *ours), 480)
        self.assertEqual(self.routed(self.alice.aor, *ours, f"localhost:{self.other}"), 500)

    def test_strangers(self) -> None:
        """Who is no user of ours sends nothing on by a Route, wherever it leads."""
        with socket.socket() as service:
            service.bind((HOST, 0))
            service.listen()
            hop = f"<sip:{HOST}:{service.getsockname()[1]};transport=tcp;lr>".encode()
            ours = f"<sip:{HOST}:{self.server.port};lr>".encode()
            stranger = User(self, CAROL, self.server.port)
            for routes in ([hop], [ours, hop]):
                lines = [(b"Route", route) for route in routes]
                for to in ("alice@a.test", CAROL):
                    self.assertEqual(stranger.unproven(to, *lines).status, 403)
            service.setblocking(False)
            self.assertRaises(BlockingIOError, service.accept)
