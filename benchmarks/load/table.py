"""Results: what was found in each round, and the table that is made of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.load.cases import Case, Figure
from benchmarks.load.targets import LIMIT, TARGETS, Target

PEER = "tlsf"  # what ours is compared with
WIDE = 1.3  # the largest to the smallest of the rounds of one case
COLUMNS = {
    "ours": "ours, with C",
    "pure": "ours, Python",
    "tlsf": "Kamailio tlsf",
    "qm": "Kamailio qm",
}
HEAD = ["operation", "unit", *COLUMNS.values(), "C / tlsf", "Python / tlsf", "target", "met"]


class Result:
    """What was found of one case, by server and round."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._figures: dict[str, list[Figure]] = {}

    def add(self, server: str, figure: Figure) -> None:
        """Add what a round has found."""
        self._figures.setdefault(server, []).append(figure)

    def value(self, server: str) -> float | None:
        """Return the median of the rounds, with what was cleaned up after; None without any."""
        figures = self._figures.get(server, [])
        values = [figure.value for figure in figures if figure.value is not None]
        after = [figure.after for figure in figures if figure.after is not None]
        if not values:
            return None
        return statistics.median(values) + (statistics.median(after) if after else 0.0)

    def faults(self) -> Iterator[str]:
        """Return why what does not count does not."""
        for server, figures in self._figures.items():
            for number, figure in enumerate(figures, 1):
                if figure.fault:
                    yield f"{self.case.name}, {COLUMNS[server]}, round {number}: {figure.fault}"

    def spreads(self) -> Iterator[str]:
        """Return between what the rounds lie where the median says little."""
        for server, figures in self._figures.items():
            values = [figure.value for figure in figures if figure.value is not None]
            if values and max(values) > WIDE * min(values):
                between = f"{_number(min(values))} to {_number(max(values))} {self.case.unit}"
                yield f"{self.case.name}, {COLUMNS[server]}: {between}"

    def failed(self, server: str) -> int:
        """Return how many rounds do not count."""
        return sum(bool(figure.fault) for figure in self._figures.get(server, []))

    def ratio(self, server: str) -> float | None:
        """Return ours to the peer's."""
        ours, peer = self.value(server), self.value(PEER)
        return None if ours is None or not peer else ours / peer

    def met(self, server: str) -> bool | None:
        """Tell whether a target is met; None where there is none, or nothing to compare with."""
        target = TARGETS.get(self.case.name)
        if target is None or server not in self._figures:
            return None
        reached = self._reached(server, target)
        if self.failed(server):
            return False
        return None if reached is None else reached <= target.of(server)

    def _reached(self, server: str, target: Target) -> float | None:
        return self.value(server) if target.kind == LIMIT else self.ratio(server)

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.case.name,
            "title": self.case.title,
            "unit": self.case.unit,
            "median": {server: self.value(server) for server in self._figures},
            "ratio": {server: self.ratio(server) for server in ("ours", "pure")},
            "target": _target(self.case.name),
            "met": {server: self.met(server) for server in ("ours", "pure")},
            "rounds": {
                server: [{"value": f.value, "after": f.after, "fault": f.fault} for f in figures]
                for server, figures in self._figures.items()
            },
        }

    def row(self) -> list[str]:
        """Return it for the table."""
        target = TARGETS.get(self.case.name)
        return [
            self.case.title,
            self.case.unit,
            *(self._cell(server) for server in COLUMNS),
            *(_number(self.ratio(server)) for server in ("ours", "pure")),
            str(target or ""),
            " / ".join(_word(self.met(server)) for server in ("ours", "pure")) if target else "",
        ]

    def _cell(self, server: str) -> str:
        figures, failed = self._figures.get(server, []), self.failed(server)
        text = _number(self.value(server))
        return f"{text} failed {failed}/{len(figures)}".strip() if failed else text


def _target(name: str) -> dict[str, float] | None:
    target = TARGETS.get(name)
    return None if target is None else {"ours": target.scanner, "pure": target.pure}


def _number(value: float | None) -> str:
    """Write about three digits."""
    if value is None:
        return ""
    if value < 0.1:
        return f"{value:.3f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _word(met: bool | None) -> str:
    return {True: "met", False: "NOT", None: "-"}[met]


def rendered(results: Sequence[Result]) -> str:
    """Return the table in Markdown; columns without figures are left out."""
    rows = [HEAD, *(result.row() for result in results)]
    shown = [n for n in range(len(HEAD)) if any(row[n].strip("-/ ") for row in rows[1:])]
    widths = [max(len(row[n]) for row in rows) for n in shown]
    lines = []
    for row in rows:
        cells = [row[n].ljust(width) for n, width in zip(shown, widths, strict=True)]
        lines.append(f"| {' | '.join(cells)} |".replace("\n", " "))
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
