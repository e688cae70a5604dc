"""What a scenario says: its steps, and the patterns in what it expects.

A scenario is a text file. ``#`` begins a comment; lines indented by four spaces belong to the step
above them. A message is a start line after the colon, header lines, and after an empty line a
body::

    config:
        [federation]
        inbound = "open"

    dns:
        b.test A 198.51.100.7

    alice is alice@example.test at 192.0.2.1 by udp
    bob is bob@example.test at 192.0.2.2:5062 by tcp
    peer is carol@b.test at 198.51.100.7 by tls certified as b.test

    bob registers
    alice sends with credentials: MESSAGE sip:bob@example.test
        Content-Type: text/plain

        Hello
    bob receives: MESSAGE sip:bob@192.0.2.2:5062;transport=tcp
        From: <sip:alice@example.test>;tag={tag}
    bob answers: 200
    alice receives: 200 OK
    after 10 seconds
    alice receives nothing

There is an event package ``news``, whose documents are what the scenario says, and who may see
those of bob@example.test it says, too (allow, polite-block, confirm, block)::

    the news of bob@example.test are: good
    alice@example.test is judged: confirm

The authorization rules of a user of ours are written as they are (RFC 5025)::

    the rules of alice@example.test are:
        <ruleset xmlns="urn:ietf:params:xml:ns:common-policy">...</ruleset>

Where there is a zone, names of hosts are looked up in it (``tests/transport/zones.py`` says how it
is written), else they are reached as if they were addresses.

``alice has the rules:`` with ``<rule>`` elements below it is what others may see of alice from then
on (``pr:`` is RFC 5025's namespace), until ``alice has no rules``.

Its head says which requirements the scenario holds, in any number of lines below the title::

    # A call is forked
    rfc: 3261 §16.7 step 5: any 2xx to an INVITE is forwarded immediately

``bob answers INVITE: 487`` answers the last request of that method, where another came after it.

What a sender does not write is filled in; ``Name: -`` leaves a header out, or expects that it is
not there. What is expected of a header is expected of all its lines, in their order. ``{any}``
stands for anything; any other name in braces is noted where it is first received, and the same from
then on. In what is sent, ``{new}`` is a fresh branch and ``{flipped NAME}`` a noted token with a
letter changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.rfc import Marker, read_marker

ABSENT = "-"
_PLACE = re.compile(r"\{([\w ]+)\}")


@dataclass(frozen=True)
class Text:
    """A message as a scenario writes it."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: str | None  # None: nothing is said of it

    def given(self, name: str) -> list[str]:
        """Return what is written of a header, in order."""
        return [value for known, value in self.headers if known.lower() == name]

    @property
    def names(self) -> list[str]:
        """The lower-case names of the headers, once each."""
        return list(dict.fromkeys(name.lower() for name, _ in self.headers))


@dataclass(frozen=True)
class Step:
    """A line of a scenario with its block."""

    place: str
    words: str
    start: str
    block: str

    @property
    def text(self) -> Text:
        """The message of this step."""
        head, blank, body = self.block.partition("\n\n")
        lines = [line.partition(":") for line in head.splitlines() if line.strip()]
        headers = tuple((name.strip(), value.strip()) for name, _, value in lines)
        return Text(self.start, headers, body if blank else None)


def markers(path: Path) -> list[Marker]:
    """Read the requirements that a scenario holds; raises ValueError."""
    lines = path.read_text("utf-8").splitlines()
    return [read_marker(line) for line in lines[: _head(lines)] if line.startswith("rfc:")]


def _head(lines: list[str]) -> int:
    """Return how many lines stand above the first step."""
    places = enumerate(lines)
    return next(n for n, line in places if line and not line.startswith(("#", "rfc:")))


def steps(path: Path) -> Iterator[Step]:
    """Read a scenario."""
    lines = path.read_text("utf-8").splitlines()
    index = _head(lines)
    while index < len(lines):
        line, begun = lines[index], index + 1
        index += 1
        if not line.strip() or line.startswith("#"):
            continue
        block: list[str] = []
        while index < len(lines) and (lines[index].startswith("    ") or not lines[index].strip()):
            block.append(lines[index][4:])
            index += 1
        words, _, start = line.partition(": ")
        text = "\n".join(block).rstrip()
        yield Step(f"{path.name}:{begun}", words.rstrip(": "), start.strip(), text)


def matches(pattern: str, text: str, noted: dict[str, str]) -> bool:
    """Tell whether a text is what a pattern says, and note what its names stand for."""
    parts = _PLACE.split(pattern)
    regex = re.escape(parts[0])
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        if name == "any":
            regex += ".*"
        elif name in noted:
            regex += re.escape(noted[name])
        else:
            regex += f"(?P<{name}>.+?)"
        regex += re.escape(literal)
    match = re.fullmatch(regex, text, re.S)
    noted.update(match.groupdict() if match else {})
    return match is not None


def filled(text: str, noted: Mapping[str, str], new: Callable[[], str]) -> str:
    """Put what was noted in the place of its name; raises KeyError for what was not."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "new":
            return new()
        if name.startswith("flipped "):
            return flipped(noted[name.removeprefix("flipped ")])
        return noted[name]

    return _PLACE.sub(fill, text)


def flipped(text: str) -> str:
    """Return a token with its first letter changed, as forgers do."""
    return ("B" if text[0] == "A" else "A") + text[1:]
