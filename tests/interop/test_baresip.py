"""Two baresips register with digest accounts, and write to each other (RFC 3261 §22, 3428)."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.authority import Authority
from tests.interop.federation import tls_listen
from tests.interop.processes import Server, directory, free_port, needs, password, sipctl
from tests.interop.softphone import MD5_ONLY, Softphone

ALICE, BOB = "alice@a.test", "bob@a.test"


class Conversation(TestCase):
    """Two phones and a server."""

    timeout = 120

    extra = ""

    def setUp(self) -> None:
        """Start a server, and make the accounts as an operator does."""
        needs("baresip")
        self.server = Server(self, "a.test", extra=self.extra + MD5_ONLY).ready()
        for aor in (ALICE, BOB):
            arguments = ("user", "add", aor, "--password-stdin")
            done = sipctl(self.server.place, *arguments, given=f"{password(aor)}\n")
            self.assertEqual(done.returncode, 0, done.stderr)

    def converse(self, transport: str, ca: Path | None = None, port: int = 0) -> None:
        """Register both, and send a MESSAGE each way."""
        port = port or self.server.port
        alice = Softphone(self, ALICE, BOB, port, transport, ca)
        bob = Softphone(self, BOB, ALICE, port, transport, ca)
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


class BaresipTests(Conversation):
    """By UDP and TCP."""

    def test_udp(self) -> None:
        """By UDP."""
        self.converse("udp")

    def test_tcp(self) -> None:
        """By TCP."""
        self.converse("tcp")


class BaresipTlsTests(Conversation):
    """By TLS, with phones that know the authority."""

    def setUp(self) -> None:
        """Let the server listen for TLS, too."""
        self.place, self.port = directory(self), free_port()
        listen = tls_listen(self.place, "a.test", self.port, Authority())
        self.extra = listen
        Conversation.setUp(self)

    def test_tls(self) -> None:
        """A conversation."""
        self.converse("tls", self.place / "ca.pem", self.port)
