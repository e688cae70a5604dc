"""Rounds become one figure, targets are met or not, and nothing that failed is dropped."""

from __future__ import annotations

from click import ClickException
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.load.cases import OPERATIONS, Figure
from benchmarks.load.main import CASES, chosen
from benchmarks.load.table import Result, rendered
from benchmarks.load.targets import TARGETS

FAILED = Figure(None, None, "39 of 40 done", False)


def result(name: str = "message-udp-64", **figures: list[Figure]) -> Result:
    """Return the result of a case."""
    made = Result(next(case for case in CASES if case.name == name))
    for server, found in figures.items():
        for figure in found:
            made.add(server, figure)
    return made


def plain(*values: float) -> list[Figure]:
    """Return a figure for each round."""
    return [Figure(value) for value in values]


class Figures(SynchronousTestCase):
    """Medians and ratios."""

    def test_the_median_of_the_rounds(self) -> None:
        self.assertEqual(result(ours=plain(30.0, 90.0, 40.0)).value("ours"), 40.0)

    def test_what_is_cleaned_up_after_is_added(self) -> None:
        rounds = [Figure(40.0, 3.0), Figure(50.0), Figure(60.0)]
        self.assertEqual(result(ours=rounds).value("ours"), 53.0)

    def test_nothing_measured(self) -> None:
        self.assertIsNone(result().value("ours"))
        self.assertIsNone(result(ours=plain(1.0)).ratio("ours"))

    def test_the_ratio_is_to_the_fastest_allocator(self) -> None:
        self.assertEqual(result(ours=plain(30), tlsf=plain(60), qm=plain(90)).ratio("ours"), 0.5)


class Spreads(SynchronousTestCase):
    """Rounds that differ."""

    def test_they_are_told(self) -> None:
        found = result(ours=plain(40.0, 44.0), tlsf=plain(22.0, 55.8, 30.0))
        self.assertEqual(list(found.spreads()), ["message-udp-64, Kamailio tlsf: 22.0 to 55.8 µs"])

    def test_one_round_differs_from_nothing(self) -> None:
        self.assertEqual(list(result(ours=[*plain(40.0), FAILED]).spreads()), [])


class Met(SynchronousTestCase):
    """Targets."""

    def test_ratios(self) -> None:
        found = result(ours=plain(61.0), pure=plain(99.0), tlsf=plain(100.0))
        self.assertIs(found.met("ours"), False)
        self.assertIs(found.met("pure"), True)

    def test_limits_need_nobody_else(self) -> None:
        self.assertIs(result("memory-binding", ours=plain(1.2)).met("ours"), True)
        self.assertIs(result("memory-binding", ours=plain(1.3)).met("ours"), False)

    def test_nothing_to_compare_with(self) -> None:
        self.assertIsNone(result(ours=plain(1.0)).met("ours"))

    def test_no_target(self) -> None:
        self.assertIsNone(result("memory-tls", ours=plain(1.0)).met("ours"))

    def test_one_round_failed(self) -> None:
        found = result(ours=[*plain(1.0, 1.0), FAILED], tlsf=plain(100.0))
        self.assertIs(found.met("ours"), False)

    def test_each_target_is_of_a_case(self) -> None:
        self.assertEqual(set(TARGETS) - {case.name for case in CASES}, set())
        self.assertEqual({case.name for case in OPERATIONS} - set(TARGETS), set())


class Table(SynchronousTestCase):
    """What is printed."""

    def test_a_failed_run_is_shown(self) -> None:
        found = result(ours=[*plain(50.0, 60.0), FAILED], pure=[FAILED], tlsf=plain(100.0))
        text = rendered([found])
        self.assertIn("| 55.0 failed 1/3 | failed 1/1   |", text)
        self.assertIn("| NOT / NOT |", text)
        faults = list(found.faults())
        self.assertEqual(faults[0], "message-udp-64, ours, with C, round 3: 39 of 40 done")
        self.assertEqual(len(faults), 2)

    def test_columns_without_figures_are_left_out(self) -> None:
        head = rendered([result(ours=plain(50.0))]).splitlines()[0]
        self.assertNotIn("Kamailio", head)
        self.assertNotIn("Python", head)
        self.assertIn("ours, with C", head)

    def test_all_lines_are_as_long(self) -> None:
        lines = rendered([result(ours=plain(50.0)), result("memory-tls")]).splitlines()
        self.assertEqual(len({len(line) for line in lines}), 1)


class Chosen(SynchronousTestCase):
    """--only."""

    def names(self, *only: str) -> list[str]:
        """Return the names of the cases that are chosen."""
        return [one.case.name for one in chosen(only)]

    def test_all(self) -> None:
        self.assertEqual(self.names(), [case.name for case in CASES])

    def test_one_is_not_another_that_begins_so(self) -> None:
        self.assertEqual(self.names("notify-1000"), ["notify-1000"])

    def test_a_family(self) -> None:
        self.assertEqual(self.names("message-tcp"), ["message-tcp-16", "message-tcp-500"])

    def test_unknown(self) -> None:
        error = self.assertRaises(ClickException, chosen, ["message-sctp"])
        self.assertIn("no case is called message-sctp", str(error))
