"""A hundred thousand spoiled messages to a real server: it answers, logs no bug, keeps nothing.

``SIPPROXY_SOAK`` is how many they are instead; ``python -m tests.torture.soak`` tells more.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.shared import needs_shared
from tests.torture.soak import COUNT, GROWTH, SEED, soak

VARIABLE = "SIPPROXY_SOAK"


@needs_shared("torture", "manifest.json")
class SoakTests(SynchronousTestCase):
    """`soak`, as it is run by hand."""

    def test_survives(self) -> None:
        count = int(os.environ.get(VARIABLE, COUNT))
        figures = soak(count, SEED, lambda line: None)
        print(f"\n{figures}")
        self.assertEqual(figures.faults, [])
        self.assertGreater(figures.answers["requests"], count // 50)
        self.assertLessEqual(figures.growth, GROWTH, str(figures))
