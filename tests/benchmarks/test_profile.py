"""What is read from a flame graph."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.load.profile import frames, own, top

BOX = (
    '<g><title>{name} ({samples} samples, 1%)</title><rect y="{y}" fg:x="{start}" '
    'fg:w="{samples}"/></g>'
)
GRAPH = """<?xml version="1.0" standalone="no"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:fg="http://github.com/jonhoo/inferno">{}</svg>
"""
BOXES = [
    ("all", 52, 0, 100),
    ("run (a.py:1)", 68, 0, 90),
    ("read (b.py:2)", 84, 0, 30),
    ("send (b.py:9)", 84, 30, 50),
    ("read (b.py:2)", 100, 30, 20),
]


class Reading(SynchronousTestCase):
    """Boxes below boxes."""

    def setUp(self) -> None:
        self.graph = Path(self.mktemp())
        boxes = "".join(
            BOX.format(name=name, y=y, start=start, samples=samples)
            for name, y, start, samples in BOXES
        )
        self.graph.write_text(GRAPH.format(boxes))

    def test_own_time_is_in_no_callee(self) -> None:
        expected = {"all": 10, "run (a.py:1)": 10, "read (b.py:2)": 50, "send (b.py:9)": 30}
        self.assertEqual(dict(own(list(frames(self.graph)))), expected)

    def test_the_top(self) -> None:
        lines = top(self.graph).splitlines()
        self.assertEqual(lines[1].split(), ["50.0%", "50.0%", "read", "(b.py:2)"])
        self.assertEqual(lines[2].split(), ["30.0%", "50.0%", "send", "(b.py:9)"])
