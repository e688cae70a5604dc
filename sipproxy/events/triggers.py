"""When a watcher is told: <trigger>, and what it finds in two documents (RFC 4661 §3.6)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from lxml import etree

from sipproxy.events.expressions import Expression
from sipproxy.events.patience import Patience

_Element: TypeAlias = etree._Element
_Values: TypeAlias = dict[Hashable, str]  # of what an expression finds, by what names it

_WRITTEN, _CHARACTERS = 10, 32  # what it costs to write an element, and so much text, in nodes

_decimal = re.compile(r"\s*([+-]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300}))\s*").fullmatch

CHANGED, ADDED, REMOVED = "changed", "added", "removed"


class Named:
    """The elements of a document by names that hold in the next one, too.

    An element is the same in two documents if its parent is, and its name and ``id`` are; among
    several of those its place counts. So a tuple is known by its id, whatever stands before it.
    """

    def __init__(self, root: _Element, patience: Patience) -> None:
        self.root = root
        self._names: dict[_Element, Hashable] = {root: root.tag}
        waiting = [root]
        while waiting:
            parent = waiting.pop()
            places: defaultdict[Hashable, int] = defaultdict(int)
            for child in parent.iterchildren("*"):
                patience.spend(1)
                key = child.tag, child.get("id")
                self._names[child] = self._names[parent], key, places[key]
                places[key] += 1
                waiting.append(child)

    def values(self, expression: Expression, patience: Patience) -> _Values:
        """Return the value of each element or attribute that an expression finds."""
        found: _Values = {}
        for element, attribute in expression.select(self.root, patience):
            name = self._names[element], attribute
            if attribute is not None:
                found[name] = str(element.get(attribute))
                continue
            found[name] = text = _value(element)
            patience.spend((_WRITTEN if len(element) else 0) + len(text) // _CHARACTERS)
        return found


def _value(element: _Element) -> str:
    """Return what an element says: its text, or if there are elements in it all of it."""
    if not len(element):
        return element.text or ""
    return etree.tostring(element, method="c14n", exclusive=True).decode()


@dataclass(frozen=True)
class Condition:
    """A <changed>, <added> or <removed>; ``before``, ``after`` and ``by`` are from, to and by."""

    kind: str
    expression: Expression
    before: str | None = None
    after: str | None = None
    by: Decimal | None = None

    def is_met(self, old: Named, new: Named, patience: Patience) -> bool:
        """Tell whether what has changed between two documents is what it asks for."""
        was, now = old.values(self.expression, patience), new.values(self.expression, patience)
        if self.kind == ADDED:
            return bool(now.keys() - was.keys())
        if self.kind == REMOVED:
            return bool(was.keys() - now.keys())
        return any(self._is_change(was.get(name), now.get(name)) for name in was | now)

    def _is_change(self, was: str | None, now: str | None) -> bool:
        """Tell whether a value changed as it should have.

        What comes has changed to what it is, and what goes from what it was, where just that is
        asked for: else nobody would hear of a new watcher who is pending (the example of §6.3).
        """
        if was is None or now is None:
            wanted, value = (self.after, now) if was is None else (self.before, was)
            other = self.before if was is None else self.after
            return wanted is not None and other is None and self.by is None and _same(wanted, value)
        if _same(was, now):
            return False
        if self.before is not None and not _same(self.before, was):
            return False
        if self.after is not None and not _same(self.after, now):
            return False
        return self.by is None or _differ_by(was, now, self.by)


def _same(one: str, other: str | None) -> bool:
    """Compare as types do: space around does not count, and 0.5 is 0.50."""
    if other is None:
        return False
    one, other = one.strip(), other.strip()
    if one == other:
        return True
    first, second = decimal_of(one), decimal_of(other)
    return first is not None and first == second


def _differ_by(was: str, now: str, least: Decimal) -> bool:
    """§3.6.1.3: by at least so much, up or down."""
    first, second = decimal_of(was), decimal_of(now)
    return first is not None and second is not None and abs(second - first) >= least


def decimal_of(text: str) -> Decimal | None:
    """Return an xs:decimal, None for what is none."""
    match = _decimal(text)
    return None if match is None else Decimal(match[1])


@dataclass(frozen=True)
class Trigger:
    """A <trigger>: all its conditions have to be met at once."""

    conditions: tuple[Condition, ...]

    def is_met(self, old: Named, new: Named, patience: Patience) -> bool:
        """Tell whether what has changed is what it asks for."""
        return all(condition.is_met(old, new, patience) for condition in self.conditions)


def any_is_met(
    triggers: Iterable[Trigger], old: _Element, new: _Element, patience: Patience
) -> bool:
    """Tell whether one of several triggers is met; raises `OutOfPatience`."""
    before, after = Named(old, patience), Named(new, patience)
    return any(trigger.is_met(before, after, patience) for trigger in triggers)
