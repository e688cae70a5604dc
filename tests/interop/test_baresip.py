"""Two baresips register with digest accounts, and write to each other (RFC 3261 §22, 3428)."""

from __future__ import annotations

import json

from twisted.trial.unittest import TestCase

from tests.interop.processes import Server, needs, password, sipctl
from tests.interop.softphone import MD5_ONLY, Softphone

ALICE, BOB = "alice@a.test", "bob@a.test"


class BaresipTests(TestCase):
    """A conversation."""

    timeout = 120

    def setUp(self) -> None:
        """Start a server, and make the accounts as an operator does."""
        needs("baresip")
        self.server = Server(self, "a.test", extra=MD5_ONLY).ready()
        for aor in (ALICE, BOB):
            arguments = ("user", "add", aor, "--password-stdin")
            done = sipctl(self.server.place, *arguments, given=f"{password(aor)}\n")
            self.assertEqual(done.returncode, 0, done.stderr)

    def converse(self, transport: str) -> None:
        """Register both, and send a MESSAGE each way."""
        port = self.server.port
        alice = Softphone(self, ALICE, BOB, port, transport)
        bob = Softphone(self, BOB, ALICE, port, transport)
        for phone in (alice, bob):
            phone.registered()
        rows = json.loads(sipctl(self.server.place, "bindings", "--json").stdout)
        self.assertEqual(
            [(row["aor"], row["flow"][:3]) for row in rows],
            [(ALICE, transport.upper()), (BOB, transport.upper())],
        )
        alice.send("Are you there?")
        bob.received(ALICE, "Are you there?")
        bob.send("Natürlich ✓ – ça va, 日本?")
        alice.received(BOB, "Natürlich ✓ – ça va, 日本?")

    def test_udp(self) -> None:
        """By UDP."""
        self.converse("udp")

    def test_tcp(self) -> None:
        """By TCP."""
        self.converse("tcp")
