"""The page of requirements and tests (``tests/matrix.py``), and that nothing is missing in it."""

from __future__ import annotations

import ast
import re
from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from tests.matrix import PAGE, decorations, held, page, stands
from tests.rfc import Marker, read_marker
from tests.shared import SHARED, needs_shared

# The procedures of a proxy and a registrar, with their last numbered step.
STEPS = {"10.3": 8, "16.3": 6, "16.6": 11, "16.7": 10}
SECTIONS = [
    *("9.1", "9.2", "16.4", "16.5", "16.8", "16.9", "16.10", "16.11", "18.2.1", "18.2.2"),
    *("17.1.1.2", "17.1.1.3", "17.1.2.2", "17.1.3", "17.1.4", "17.2.1", "17.2.2", "17.2.3"),
]

# What the presence agent is held to, by RFC.
WATCHED = {
    3680: ["4.4", "4.5", "4.6", "4.7.1", "4.7.2", "4.10"],
    3856: ["6.4", "6.5", "6.6.1", "6.6.2", "6.7", "6.9", "6.10"],
    3857: ["4.1", "4.3", "4.4", "4.5", "4.6", "4.7.1", "4.7.2", "4.10"],
    3903: [f"6 step {number}" for number in range(1, 7)],
    5025: ["3.1.1.1", "3.1.1.2", "3.1.2", "3.2.1", "3.3.1", "3.3.2"],
    6665: ["4.2.1.1", "4.2.1.2", "4.2.1.3", "4.2.1.4", "4.2.2"],
}


class MatrixTest(SynchronousTestCase):
    """What is marked, and where."""

    def test_the_page_is_up_to_date(self) -> None:
        self.assertEqual(PAGE.read_text("utf-8"), page(held()), "type: make matrix")

    def test_every_step_is_held(self) -> None:
        known = {marker.section for marker, _ in held() if marker.rfc == 3261}
        steps = {f"{name} step {n + 1}" for name, last in STEPS.items() for n in range(last)}
        self.assertEqual(sorted((steps | set(SECTIONS)) - known), [])

    def test_every_section_about_watching_is_held(self) -> None:
        known = {(marker.rfc, marker.section) for marker, _ in held()}
        wanted = {(rfc, section) for rfc, sections in WATCHED.items() for section in sections}
        self.assertEqual(sorted(wanted - known), [])

    @needs_shared("rfc")
    def test_every_section_exists(self) -> None:
        @cache
        def text(number: int) -> str:
            return (SHARED / "rfc" / f"rfc{number}.txt").read_text("utf-8", "replace")

        wrong = [
            f"{link}: RFC {marker.rfc} has no {marker.section}"
            for marker, link in held()
            if not stands(marker.section, text(marker.rfc))
        ]
        self.assertEqual(wrong, [])

    def test_requirements_are_one_line_of_a_table(self) -> None:
        wrong = [marker for marker, _ in held() if re.search(r"[|\n]|\.$", marker.requirement)]
        self.assertEqual(wrong, [])


class ReadingTest(SynchronousTestCase):
    """How markers are read, sorted and looked up."""

    def test_line(self) -> None:
        marker = read_marker("rfc: 3261 §16.7 step 5: any 2xx: at once")
        self.assertEqual(marker, Marker(3261, "16.7 step 5", "any 2xx: at once"))

    def test_not_a_line(self) -> None:
        for line in ("rfc: 3261 16.7: x", "rfc: §16.7: x", "rfc: 3261 §16.7 step five: x", "rfc: "):
            self.assertRaises(ValueError, read_marker, line)

    def test_decorator(self) -> None:
        source = '@rows({})\n@rfc(1, "2.3", "a " "b")\n@rfc(1, "2.4", "c")\ndef test(): ...'
        (function,) = ast.parse(source).body
        assert isinstance(function, ast.FunctionDef)
        found = [Marker(1, "2.3", "a b"), Marker(1, "2.4", "c")]
        self.assertEqual(list(decorations(function)), found)

    def test_page(self) -> None:
        found = [
            (Marker(2, "10.1", "z"), "t1"),
            (Marker(2, "9.2 step 10", "y"), "t2"),
            (Marker(2, "9.2 step 9", "x"), "t3"),
            (Marker(1, "3", "w"), "t4"),
            (Marker(2, "10.1", "z"), "t5"),
            (Marker(2, "10.1", "z"), "t5"),
        ]
        lines = [line for line in page(found).splitlines() if line.startswith(("## ", "| "))]
        rows = [line for line in lines if "---" not in line and "section" not in line]
        self.assertEqual(
            rows,
            [
                *("## RFC 1", "| 3 | w | t4 |", "## RFC 2", "| 9.2 step 9 | x | t3 |"),
                *("| 9.2 step 10 | y | t2 |", "| 10.1 | z | t1, t5 |"),
            ],
        )

    def test_sections(self) -> None:
        text = "   1.1  Contents . . 3\n1.1 First\n   1. Do\n   2.  Undo\n1.1.1 Next\n   3. No\n"
        for section, there in {
            "1.1": True,
            "1.1.1": True,
            "1.2": False,
            "1": False,
            "1.1 step 1": True,
            "1.1 step 2": True,
            "1.1 step 3": False,
            "1.1.1 step 3": True,
        }.items():
            self.assertEqual(stands(section, text), there, section)
