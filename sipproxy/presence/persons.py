"""One person out of what several publications say of the same human being (RFC 4479 §3.2, §3.5)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from lxml import etree

from sipproxy.presence.namespaces import MODEL_NOTE, MODEL_TIMESTAMP, PERSON, XML
from sipproxy.presence.times import read_time


class Occurrence:
    """A person element, with what decides between it and others.

    ``changed`` is what its timestamp says, but never later than it was ``received``: a clock that
    is ahead does not make it right for ever. Where two are of one time the younger publication
    counts, the one with the larger ``key``.
    """

    __slots__ = ("changed", "element", "key")

    def __init__(self, element: etree._Element, received: float, key: int) -> None:
        time = read_time(element.findtext(MODEL_TIMESTAMP))
        self.changed = received if time is None else min(time, received)
        self.element = element
        self.key = key


def merged(occurrences: Sequence[Occurrence]) -> etree._Element:
    """Return one person: each attribute as it was changed last, and the notes of all.

    Whatever only one of them has is kept, known to us or not. Its name is that of the oldest
    publication's, so that it stays when others come.
    """
    oldest = min(occurrences, key=lambda one: one.key)
    person = etree.Element(PERSON, id=oldest.element.get("id", ""))
    latest_first = sorted(occurrences, key=lambda one: (one.changed, one.key), reverse=True)
    elements = [one.element for one in latest_first]
    person.extend(copy.copy(child) for child in _attributes(elements))
    person.extend(copy.copy(note) for note in distinct_notes(elements, MODEL_NOTE))
    stamps = (element.find(MODEL_TIMESTAMP) for element in elements)
    person.extend(copy.copy(stamp) for stamp in [s for s in stamps if s is not None][:1])
    return person


def _attributes(persons: Iterable[etree._Element]) -> Iterable[etree._Element]:
    """Return the elements of each name from the first person that has it."""
    seen: set[str] = {MODEL_NOTE, MODEL_TIMESTAMP}
    for person in persons:
        found = [child for child in person if child.tag not in seen]
        yield from found
        seen.update(child.tag for child in found)


def distinct_notes(parents: Iterable[etree._Element], tag: str) -> Iterable[etree._Element]:
    """Return the notes of all parents, each text in a language once."""
    seen = set()
    for parent in parents:
        for note in parent.iterchildren(tag):
            says = note.get(XML + "lang"), (note.text or "").strip()
            if says not in seen:
                seen.add(says)
                yield note
