"""Plays each text file of ``tests/scenarios``: one test method per file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.events.fakes import NewsFactory
from tests.installed import install_also
from tests.scenarios.player import Player

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


class ScenarioTest(SynchronousTestCase):
    """Whole flows, as ``tests/scenarios/script.py`` says how to write them."""

    def test_there_are_scenarios(self) -> None:
        self.assertTrue(SCENARIOS)


def _playing(path: Path) -> Callable[[ScenarioTest], None]:
    def play(self: ScenarioTest) -> None:
        news = NewsFactory()
        install_also(self, [news])
        Player(self.mktemp(), path, news).play()

    play.__doc__ = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
    return play


for _path in SCENARIOS:
    setattr(ScenarioTest, f"test_{_path.stem}", _playing(_path))
