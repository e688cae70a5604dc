"""The tape: what is kept, and for how long."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.testing import FakeFlow
from sipproxy.transport.tape import Tape


class TapeTests(SynchronousTestCase):
    """A tape of 4,000 bytes on a clock of the test's."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.tape = Tape(4000, lambda: self.now)
        self.flow = FakeFlow("192.0.2.1", 5060)

    def test_what_passed_is_there_in_order(self) -> None:
        self.tape.add(b"a", self.flow, False)
        self.now = 1001.5
        self.tape.add(b"b", self.flow, True)
        expected = [(0, 1000.0, False, self.flow, b"a"), (1, 1001.5, True, self.flow, b"b")]
        self.assertEqual([tuple(record) for record in self.tape.since(0)], expected)

    def test_from_a_number_on(self) -> None:
        for letter in (b"a", b"b", b"c"):
            self.tape.add(letter, self.flow, True)
        self.assertEqual([record.data for record in self.tape.since(1)], [b"b", b"c"])
        self.assertEqual(self.tape.since(self.tape.count), [])

    def test_the_oldest_go_first_and_numbers_stay(self) -> None:
        for number in range(100):
            self.tape.add(b"%d" % number, self.flow, True)
        kept = self.tape.since(0)
        self.assertEqual([int(record.data) for record in kept], [r.number for r in kept])
        self.assertEqual(kept[-1].number, 99)
        self.assertLess(len(kept), 14)

    def test_large_ones_leave_less_room(self) -> None:
        self.tape.add(b"a", self.flow, True)
        self.tape.add(bytes(3600), self.flow, True)
        self.assertEqual(len(self.tape), 1)
        self.tape.add(bytes(60_000), self.flow, True)
        self.assertEqual(len(self.tape), 0)
        self.tape.add(b"b", self.flow, True)
        self.assertEqual([record.data for record in self.tape.since(0)], [b"b"])
