"""Writes ``docs/rfc-matrix.md``: what the RFCs require, and the tests that hold it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tests.rfc import Marker
from tests.scenarios.script import markers

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "rfc-matrix.md"
HEAD = """# What the RFCs require, and the tests that hold it

Made of the markers in the tests (`tests/rfc.py`) by `make matrix`; not written by hand.
"""
TABLE = "\n## RFC {}\n\n| section | requirement | tests |\n| --- | --- | --- |\n"


def held() -> list[tuple[Marker, str]]:
    """Return every marker with the link to its test."""
    scenarios = sorted((TESTS / "scenarios").glob("*.txt"))
    found = [(marker, _link(path, path.stem)) for path in scenarios for marker in markers(path)]
    for path in sorted(TESTS.rglob("test_*.py")):
        found += _marked(path)
    return found


def _marked(path: Path) -> Iterator[tuple[Marker, str]]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for marker in decorations(node):
                yield marker, _link(path, node.name)
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    for marker in decorations(method):
                        yield marker, _link(path, f"{node.name}.{method.name}")


def decorations(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Marker]:
    """Return the markers of a class or method in its source."""
    for call in node.decorator_list:
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "rfc":
            yield Marker(*map(ast.literal_eval, call.args))


def _link(path: Path, name: str) -> str:
    return f"[{name}](../{path.relative_to(TESTS.parent).as_posix()})"


def page(found: list[tuple[Marker, str]]) -> str:
    """Return the page for markers and their tests."""
    tests: dict[Marker, list[str]] = {}
    for marker, link in found:
        tests.setdefault(marker, []).append(link)
    ordered = sorted(tests, key=lambda marker: (marker.place, marker.requirement))
    parts = [HEAD]
    for number, its in groupby(ordered, lambda marker: marker.rfc):
        parts.append(
            f"\n## RFC {number}\n\n| section | requirement | tests |\n| --- | --- | --- |\n"
        )
        for marker in its:
            links = ", ".join(dict.fromkeys(tests[marker]))
            parts.append(f"| {marker.section} | {marker.requirement} | {links} |\n")
    return "".join(parts)


def stands(section: str, text: str) -> bool:
    """Tell whether an RFC's text has a section, and the step of it that is named."""
    number, _, step = section.partition(" step ")
    heading = re.search(rf"^{re.escape(number)}\.? +\S", text, re.M)
    if heading is None or not step:
        return heading is not None
    body = re.split(r"^\d+(?:\.\d+)*\.? +\S", text[heading.end() :], maxsplit=1, flags=re.M)[0]
    return re.search(rf"^ +{step}\. ", body, re.M) is not None


if __name__ == "__main__":
    PAGE.write_text(page(held()), "utf-8")
