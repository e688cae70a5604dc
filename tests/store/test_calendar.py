"""Dates: how much of an hour is left after a restart, whatever the clocks did meanwhile."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.store.calendar import Calendar, boot_id

WALL = 1_800_000_000.0
HOUR = 3600.0

# name: (what the wall clock stepped while the server ran, how long it was down, what the wall clock
# stepped meanwhile, whether the machine was started anew, what is left of an hour)
RESTARTS = {
    "at once": (0.0, 0.0, 0.0, False, HOUR),
    "after ten minutes": (0.0, 600.0, 0.0, False, 3000.0),
    "after two hours": (0.0, 7200.0, 0.0, False, -HOUR),
    "forward while it ran": (HOUR, 600.0, 0.0, False, 3000.0),
    "back while it ran": (-HOUR, 600.0, 0.0, False, 3000.0),
    "forward while it was down": (0.0, 600.0, HOUR, False, 3000.0),
    "back while it was down": (0.0, 600.0, -HOUR, False, 3000.0),
    "a machine anew": (0.0, 600.0, 0.0, True, 3000.0),
    "a machine anew, forward while the server ran": (HOUR, 600.0, 0.0, True, 3000.0),
    "a machine anew, back while the server ran": (-HOUR, 600.0, 0.0, True, 3000.0),
    # Nobody can tell this from an hour in which the machine was off.
    "a machine anew, forward meanwhile": (0.0, 600.0, HOUR, True, -600.0),
    # One without a battery for its clock: no time has passed, as far as anybody knows.
    "a machine anew, back meanwhile": (0.0, 600.0, -HOUR, True, HOUR),
    "a machine anew, in 1970": (0.0, 600.0, -WALL, True, HOUR),
}


class RestartTests(SynchronousTestCase):
    """One server writes a date that is an hour off, the next one reads it."""

    def left(
        self, stepped: float, down: float, stepped_meanwhile: float, anew: bool, boot: bytes = b"1"
    ) -> float:
        """Return what is left of an hour."""
        now, wall = 500.0, WALL
        first = Calendar(now, wall, boot)
        now, wall = now + 1000, wall + 1000 + stepped
        date, leaf = first.date(now + HOUR), first.leaf(now, wall)
        wall += down + stepped_meanwhile
        now = 5.0 if anew else now + down
        second = Calendar(now, wall, b"2" if anew and boot else boot, leaf)
        return second.moment(date) - now

    def test_restarts(self) -> None:
        for name, (*steps, expected) in RESTARTS.items():
            self.assertAlmostEqual(self.left(*steps), expected, 3, name)

    def test_a_system_that_does_not_name_its_runs(self) -> None:
        """Then the wall clock alone can tell."""
        self.assertAlmostEqual(self.left(0.0, 600.0, 0.0, False, b""), 3000.0, 3)
        self.assertAlmostEqual(self.left(HOUR, 600.0, 0.0, False, b""), 3000.0, 3)

    def test_a_machine_that_goes_back_to_a_snapshot(self) -> None:
        """Its monotonic clock stands before what was written: the wall clock tells."""
        leaf = Calendar(1000.0, WALL, b"1").leaf(1000.0, WALL)
        again = Calendar(400.0, WALL + 600, b"1", leaf)
        self.assertAlmostEqual(again.date(400.0), leaf.date + 600, 3)

    def test_no_date_comes_before_one_that_was_given_out(self) -> None:
        first = Calendar(500.0, WALL, b"1")
        leaf = first.leaf(600.0, WALL + 100)
        for boot, now, wall in ((b"1", 600.0, 0.0), (b"2", 0.0, 0.0), (b"2", 0.0, WALL)):
            again = Calendar(now, wall, boot, leaf)
            self.assertGreaterEqual(again.date(now), first.date(600.0))

    def test_a_first_start_begins_with_the_wall_clock(self) -> None:
        self.assertEqual(Calendar(5.0, WALL, b"1").date(5.0), WALL)

    def test_the_machine_names_its_runs(self) -> None:
        self.assertEqual(boot_id(), boot_id())
