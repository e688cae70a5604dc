"""A server that is killed, again and again: what it has promised is there when it is back.

A few rounds; ``make crash`` has fifty, each at another moment, and is strict about time.
"""

from __future__ import annotations

import os
import random
import sys

from twisted.trial.unittest import TestCase

from tests.interop.crashes import KilledServer, Load, crash
from tests.rfc import rfc

ROUNDS = int(os.environ.get("CRASHES", "3"))
# With [store] durable = false the last 100 ms may be lost; more on a machine that others use, too.
SLACK = 0.1 if "CRASHES" in os.environ else 2.0


class CrashTests(TestCase):
    """REGISTER, PUBLISH and SUBSCRIBE under load, and SIGKILL."""

    timeout = 120 + 20 * ROUNDS

    def crashes(self, durable: bool, slack: float) -> None:
        """Kill a server some times."""
        seed = random.randrange(10**9)
        server = KilledServer(self, durable)
        load = Load(server, seed)
        self.addCleanup(load.close)
        chance, worst = random.Random(seed), 0.0
        for _ in range(ROUNDS):
            worst = max(worst, crash(server, load, chance.uniform(0.2, 1.2), slack))
        load.run(0.5)
        self.assertGreater(load.answers, 50 * ROUNDS)
        self.assertGreater(load.notifies, 10 * ROUNDS)
        told = f"durable = {durable}: {ROUNDS} crashes, {load.answers} answers, "
        told += f"{load.notifies} NOTIFYs, seed {seed}; oldest loss {worst * 1000:.0f} ms before"
        print(told, file=sys.stderr)

    @rfc(3261, "10.3", "what was answered 200 is there after a crash, and nothing refused is")
    @rfc(3903, "6", "what was answered 200 is there after a crash, and nothing refused is")
    @rfc(3261, "12.2.1.1", "the CSeq of NOTIFYs in a dialog rises, whatever happens to the server")
    def test_durable(self) -> None:
        """All of it."""
        self.crashes(True, 0.0)

    def test_written_behind(self) -> None:
        """All of it but the last moments."""
        self.crashes(False, SLACK)
