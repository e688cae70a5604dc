"""The pages that people read, taken apart: what they type, write, and see printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a block may be: typed (sh), written to a file, or, without a language, printed.
LANGUAGES = {"sh", "toml", "ini", "xml", "python", "", "{toctree}"}
_block = re.compile(
    r"(?:^[^\n`]*`([\w./-]+)`:\n\n)?^```([^\s`]*)[^\n]*\n(.*?)^```$|^## (.*?)$", re.M | re.S
)
_first_line = re.compile(r"(?:# |<!-- )([\w.-]+\.\w+)")
_domains = re.compile(r"^domains *=", re.M)
_code = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


class Block(NamedTuple):
    """A fenced block: the chapter it is in, its language, the file that it is, and its text."""

    chapter: str
    language: str
    name: str
    text: str

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole configuration, and not a part of one."""
        return self.language == "toml" and bool(_domains.search(self.text))

    @property
    def commands(self) -> list[str]:
        """What is typed, a command a line; a backslash joins two."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and line.strip()[0] != "#"]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page; a file is named before the block, or in its first line."""
    chapter = ""
    for match in _block.finditer(page.read_text("utf-8")):
        name, language, text, title = match.groups()
        if title is not None:
            chapter = title
            continue
        first = _first_line.match(text)
        yield Block(chapter, language, name or (first[1] if first else ""), text)


def inline(page: Path) -> list[str]:
    """Return every piece of code within the text of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return _code.findall(text)
