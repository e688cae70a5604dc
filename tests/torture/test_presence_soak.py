"""Thousands of subscriptions and publications that begin and end: nothing of them is kept.

``SIPPROXY_PRESENCE_SOAK`` is how many they are instead; ``python -m tests.torture.presence_soak``
does a hundred thousand.
"""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.torture.running import ROOT

VARIABLE = "SIPPROXY_PRESENCE_SOAK"
COUNT = "20000"
PATIENCE = 600.0  # seconds


class PresenceSoakTests(SynchronousTestCase):
    """The program, in a process of its own: its memory is nobody else's."""

    def test_nothing_is_kept(self) -> None:
        count = os.environ.get(VARIABLE, COUNT)
        command = [sys.executable, "-m", "tests.torture.presence_soak", count]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        print(f"\n{done.stdout}{done.stderr}")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("held at the end: nothing", done.stdout)
