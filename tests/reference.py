"""Writes ``docs/configuration.md``: every key, its type, its default, and what its source says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import sipproxy

PACKAGE = Path(sipproxy.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
HEAD = """# Every key of the configuration

Made of the typed settings in the sources by `make reference`; not written by hand. The
[operator's guide](operator.md) says what they are for. An unknown key, or a value of another type,
is an error that names it.
"""
TABLE = "| key | type | default | |\n| --- | --- | --- | --- |\n"
_table = re.compile(r"(?:The|One) ``(\[.*?\])``")
_NEEDED = "needed"


class Key(NamedTuple):
    """One key of a table."""

    name: str
    kind: str
    default: str
    text: str


def tables() -> Iterator[tuple[str, str, list[Key]]]:
    """Return each table's name, its sentence, and its keys."""
    for pattern in ("config.py", "settings.py", "options.py"):
        found = [table for path in sorted(PACKAGE.rglob(pattern)) for table in _tables(path)]
        yield from sorted(found)


def _tables(path: Path) -> Iterator[tuple[str, str, list[Key]]]:
    source = path.read_text("utf-8")
    for node in ast.parse(source).body:
        text = ast.get_docstring(node) if isinstance(node, ast.ClassDef) else None
        if not isinstance(node, ast.ClassDef) or text is None:
            continue
        match = _table.match(text)
        if match is not None or node.name == "Settings":
            yield match[1] if match else "", text, list(_keys(node, source.splitlines()))


def _keys(node: ast.ClassDef, lines: list[str]) -> Iterator[Key]:
    renamed = {"from_": "from"}
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            default = _NEEDED if field.value is None else _toml(field.value)
            name, kind = field.target.id, ast.unparse(field.annotation)
            if default is not None and not kind[0].isupper():
                yield Key(renamed.get(name, name), _kind(kind), default, _said(field, lines))
            elif default is not None and kind.startswith("Literal"):
                yield Key(name, _kind(kind), default, _said(field, lines))


def _said(field: ast.AnnAssign, lines: list[str]) -> str:
    """Return the comment behind a field, or that of the line above it."""
    last = lines[(field.end_lineno or field.lineno) - 1]
    behind = last[field.end_col_offset or 0 :].strip()
    above = lines[field.lineno - 2].strip()
    text = behind if behind.startswith("#") else above if above.startswith("#") else ""
    return text.lstrip("# ").replace("|", "\\|")


def _toml(value: ast.expr) -> str | None:
    """Return a default as it is written in the file; None for a table of its own."""
    try:
        found = ast.literal_eval(value)
    except ValueError:
        return None if isinstance(value, ast.Call) else ""
    return f"`{_written(found)}`"


def _written(found: object) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, tuple):
        return "[" + ", ".join(map(_written, found)) + "]"
    return f'"{found}"' if isinstance(found, str) else str(found)


_KINDS = {
    "str": "string",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "dict[str, tuple[str, ...]]": "table of arrays of strings",
    "dict[str, dict[str, Any]]": "table of tables",
}


def _kind(annotation: str) -> str:
    if annotation.startswith("tuple["):
        return "array of: " + _kind(annotation[len("tuple[") : -1].removesuffix(", ..."))
    if annotation.startswith("Literal["):
        return annotation[len("Literal[") : -1].replace("'", '"').replace(", ", ", ")
    return _KINDS.get(annotation, annotation)


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for name, text, keys in tables():
        if not keys:
            continue
        sentence = text.partition("\n")[0]
        parts.append(f"\n## {name or 'At the top'}\n\n{sentence}\n\n{TABLE}")
        parts += [f"| `{k.name}` | {k.kind} | {k.default} | {k.text} |\n" for k in keys]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
