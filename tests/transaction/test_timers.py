"""The timer values (RFC 3261 table 4, RFC 4320 §4.1) and the wheel that keeps appointments."""

from __future__ import annotations

from weakref import ref

from sipproxy.transaction.timers import Timers, timers
from sipproxy.transaction.wheel import Sleeper, Wheel
from tests.sip.tables import TableCase, rows


class TimersTests(TableCase):
    """RFC 3261 table 4: T1 500 ms, T2 4 s, T4 5 s."""

    @rows(
        {
            "defaults in milliseconds": (timers(0.001, 32.0), Timers(500, 4000, 5000, 32000)),
            "defaults in tenths": (timers(0.1, 32.0), Timers(5, 40, 50, 320)),
            "other values": (timers(0.1, 5.0, t1=0.2, t2=1.0, t4=2.0), Timers(2, 10, 20, 50)),
            "rounded": (timers(0.3, 32.0), Timers(2, 13, 17, 107)),
            "at least a tick": (timers(10.0, 0.0), Timers(1, 1, 1, 1)),
        }
    )
    def test_ticks(self, found: Timers, expected: Timers) -> None:
        self.assertEqual(found, expected)

    def test_timeout(self) -> None:
        """Timers B, F and H are 64*T1."""
        self.assertEqual(timers(0.001, 1.0).timeout, 32000)

    @rows(
        {
            "defaults": (timers(0.001, 32.0), 500 + 1000 + 2000),
            "T1 is a quarter": (Timers(10, 40, 1, 1), 10 + 20),
            "T2 is no power of two of T1": (Timers(3, 40, 1, 1), 3 + 6 + 12 + 24),
            "T1 is T2": (Timers(4, 4, 1, 1), 0),
        }
    )
    def test_trying(self, values: Timers, expected: int) -> None:
        """RFC 4320 §4.1: the time it takes a client's Timer E to be reset to T2."""
        self.assertEqual(values.trying, expected)


class Clock:
    """A sleeper that notes when it was woken, and may want to be woken again."""

    def __init__(self, wheel: Wheel, *again: int, raises: bool = False) -> None:
        self.due = self.booked = 0
        self.wheel = wheel
        self.again = list(again)
        self.raises = raises
        self.woken_at: list[int] = []

    def woken(self) -> None:
        """Note the tick."""
        self.woken_at.append(self.wheel.now)
        if self.again:
            self.wheel.wake(self, self.again.pop(0))
        if self.raises:
            raise RuntimeError("a bug in the user of the wheel")


class WheelTests(TableCase):
    """House rule 8: one timer structure; cancelling is forgetting."""

    def setUp(self) -> None:
        self.raised: list[Sleeper] = []
        self.wheel = Wheel(self.raised.append)

    def woken(self, *again: int) -> Clock:
        return Clock(self.wheel, *again)

    @rows({"one tick": 1, "many": 1000, "zero is one": 0, "negative is one": -5})
    def test_woken_to_the_tick(self, after: int) -> None:
        clock = self.woken()
        self.wheel.advance(41)
        self.wheel.wake(clock, after)
        due = 42 + max(after, 1)
        self.assertEqual(clock.due, due)
        self.wheel.advance(due - 1)
        self.assertEqual(clock.woken_at, [])
        self.wheel.advance(due)
        self.wheel.advance(due + 2000)
        self.assertEqual((clock.woken_at, clock.due, clock.booked), ([due], 0, 0))

    @rows({"tick by tick": 1, "by sevens": 7, "in one leap": 10_000})
    def test_again_from_within(self, step: int) -> None:
        """Delays count from the appointment, however late the call that lets time pass."""
        clock = self.woken(3, 1, 20)
        self.wheel.wake(clock, 5)
        for tick in range(1, 101, step):
            self.wheel.advance(min(tick + step - 1, 100))
        self.assertEqual(clock.woken_at, [6, 9, 10, 30])

    def test_later_is_moved_on_when_its_turn_comes(self) -> None:
        clock = self.woken()
        self.wheel.wake(clock, 5)
        for _ in range(100):
            self.wheel.wake(clock, 50)
        self.assertEqual((len(self.wheel), clock.booked, clock.due), (1, 6, 51))
        self.wheel.advance(6)
        self.assertEqual((len(self.wheel), clock.booked), (1, 51))
        self.wheel.advance(100)
        self.assertEqual((clock.woken_at, len(self.wheel)), ([51], 0))

    def test_earlier_fires_once(self) -> None:
        clock = self.woken()
        for after in (50, 20, 5):
            self.wheel.wake(clock, after)
            self.assertEqual(len(self.wheel), 1)
        self.wheel.advance(200)
        self.assertEqual((clock.woken_at, len(self.wheel)), ([6], 0))

    def test_slot_of_an_old_booking_fires_nothing_twice(self) -> None:
        """A sleeper that comes back to a slot is woken in it once."""
        clock = self.woken(5)
        self.wheel.wake(clock, 10)  # slot 11
        self.wheel.wake(clock, 5)  # slot 6; woken there, it wants slot 11 again
        self.wheel.advance(10)
        self.assertEqual(len(self.wheel), 1)
        clock.again.append(5)
        self.wheel.advance(11)
        self.assertEqual((clock.woken_at, len(self.wheel)), ([6, 11], 1))
        self.wheel.advance(200)
        self.assertEqual(clock.woken_at, [6, 11, 16])

    def test_cancelled(self) -> None:
        clock = self.woken()
        self.wheel.wake(clock, 5)
        clock.due = 0
        self.wheel.advance(200)
        self.assertEqual((clock.woken_at, len(self.wheel)), ([], 0))

    def test_cancelled_and_wanted_again(self) -> None:
        clock = self.woken()
        self.wheel.wake(clock, 5)
        clock.due = 0
        self.wheel.wake(clock, 9)
        self.wheel.advance(200)
        self.assertEqual(clock.woken_at, [10])

    @rows({"no appointment": (), "one": (5,), "moved later": (5, 50), "moved earlier": (50, 5)})
    def test_forgotten(self, *afters: int) -> None:
        clock = self.woken()
        for after in afters:
            self.wheel.wake(clock, after)
        self.wheel.forget(clock)
        self.assertEqual((len(self.wheel), clock.due, clock.booked), (0, 0, 0))
        self.wheel.forget(clock)
        self.wheel.advance(200)
        self.assertEqual(clock.woken_at, [])

    def test_what_is_forgotten_is_not_held(self) -> None:
        clock = self.woken()
        self.wheel.wake(clock, 5)
        self.wheel.forget(clock)
        gone = ref(clock)
        del clock
        self.assertIsNone(gone())

    def test_nothing_is_held_of_far_appointments(self) -> None:
        """Each has a tick of its own, which is as far away as the peer has asked for."""
        for after in range(1, 1000):
            clock = self.woken()
            self.wheel.wake(clock, 1000 * after)
            self.wheel.forget(clock)
        self.assertEqual(len(self.wheel._slots), 0)

    def test_forgotten_and_wanted_again(self) -> None:
        clock = self.woken()
        self.wheel.wake(clock, 5)
        self.wheel.forget(clock)
        self.wheel.wake(clock, 9)
        self.wheel.advance(200)
        self.assertEqual((clock.woken_at, len(self.wheel)), ([10], 0))

    @rows({"for ever": ([], []), "and wanted again": ([3], [9])})
    def test_forgotten_by_another_in_its_own_tick(self, again: list[int], at: list[int]) -> None:
        late = self.woken()

        class First(Clock):
            def woken(self) -> None:
                self.wheel.forget(late)
                for after in again:
                    self.wheel.wake(late, after)

        self.wheel.wake(First(self.wheel), 5)
        self.wheel.wake(late, 5)
        self.wheel.advance(200)
        self.assertEqual((late.woken_at, len(self.wheel), self.raised), (at, 0, []))

    def test_exception_disturbs_nobody_else(self) -> None:
        bad, good = Clock(self.wheel, raises=True), self.woken()
        self.wheel.wake(bad, 5)
        self.wheel.wake(good, 5)
        self.wheel.advance(200)
        self.assertEqual((self.raised, bad.woken_at, good.woken_at), ([bad], [6], [6]))

    def test_exception_leaves_the_next_appointment(self) -> None:
        bad = Clock(self.wheel, 7, raises=True)
        self.wheel.wake(bad, 5)
        self.wheel.advance(200)
        self.assertEqual((bad.woken_at, len(self.raised)), ([6, 13], 2))

    def test_time_never_goes_back(self) -> None:
        clock = self.woken()
        self.wheel.advance(100)
        self.wheel.advance(50)
        self.assertEqual(self.wheel.now, 101)
        self.wheel.wake(clock, 1)
        self.wheel.advance(101)
        self.assertEqual(clock.woken_at, [])
        self.wheel.advance(102)
        self.assertEqual(clock.woken_at, [102])

    def test_order_within_a_tick_is_that_of_booking(self) -> None:
        order: list[str] = []

        class Named(Clock):
            def woken(self) -> None:
                order.append(self.name)

        for name in "abc":
            clock = Named(self.wheel)
            clock.name = name
            self.wheel.wake(clock, 5)
        self.wheel.advance(6)
        self.assertEqual(order, ["a", "b", "c"])
