"""Times in buckets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.transport.durations import BOUNDS, Durations


class DurationsTest(SynchronousTestCase):
    """`Durations`."""

    def test_nothing(self) -> None:
        self.assertEqual({count for _, count in Durations().up_to}, {0})

    def test_bounds_belong_to_what_is_below_them(self) -> None:
        found = Durations()
        for seconds in (0.0, 0.001, 0.0011, 10.0, 99.0):
            found.add(seconds)
        counts = dict(found.up_to)
        self.assertEqual([counts[bound] for bound in (0.001, 0.0025, 5.0, 10.0)], [2, 3, 3, 4])
        self.assertEqual(counts[float("inf")], 5)
        self.assertAlmostEqual(found.total, 109.0021)

    def test_they_rise(self) -> None:
        self.assertEqual(sorted(BOUNDS), list(BOUNDS))
