"""Two baresips see each other come and go (RFC 3856, 3903, 6665)."""

from __future__ import annotations

import json
import time

from twisted.trial.unittest import TestCase

from tests.interop.processes import Server, needs, password, sipctl
from tests.interop.softphone import MD5_ONLY, Softphone

ALICE, BOB = "alice@a.test", "bob@a.test"
PRESENCE = """
[events]
packages = ["presence"]
[presence]
unknown_watchers = "allow"
notify_interval = 0.0
"""


class PresenceTests(TestCase):
    """Two phones and a server that tells them of each other."""

    timeout = 120

    def setUp(self) -> None:
        """Start a server with two accounts."""
        needs("baresip")
        self.server = Server(self, "a.test", extra=PRESENCE + MD5_ONLY).ready()
        for aor in (ALICE, BOB):
            arguments = ("user", "add", aor, "--password-stdin")
            done = sipctl(self.server.place, *arguments, given=f"{password(aor)}\n")
            self.assertEqual(done.returncode, 0, done.stderr)

    def come_and_go(self, transport: str) -> tuple[Softphone, Softphone]:
        """Have them come, and one of them be away and back."""
        alice = Softphone(self, ALICE, BOB, self.server.port, transport, presence=True)
        alice.registered()
        self.server.wait_for(self.is_watched, "alice's subscription")
        bob = Softphone(self, BOB, ALICE, self.server.port, transport, presence=True)
        bob.registered()
        alice.sees("Online")
        bob.command("presence_offline")
        alice.sees("Offline")
        bob.command("presence_online")
        alice.sees("Online")
        return alice, bob

    def is_watched(self) -> bool:
        """Tell whether somebody watches bob."""
        rows = json.loads(sipctl(self.server.place, "watchers", BOB, "--json").stdout)
        return any(row["status"] == "active" for row in rows)

    def test_udp(self) -> None:
        """By UDP."""
        self.come_and_go("udp")

    def test_tcp_and_killed(self) -> None:
        """By TCP, where who is killed is gone within a second."""
        alice, bob = self.come_and_go("tcp")
        bob.kill()
        began = time.monotonic()
        alice.sees("Offline")
        self.assertLess(time.monotonic() - began, 1.0)
