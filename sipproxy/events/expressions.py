"""Expressions of event filters: the little of XPath that RFC 4661 §5 has, and its evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from lxml import etree

from sipproxy.events.patience import Patience

MAX_EXPRESSION = 2048  # characters
MAX_STEPS = 32  # of one path
MAX_COMPARISONS = 32  # of one predicate
_CHARACTERS = 32  # compared for the price of a node

XML = "http://www.w3.org/XML/1998/namespace"
_NCNAME = r"[^\W\d][\w.\-\u00b7]*"
_token = re.compile(
    rf"\s*(?:(?P<name>(?:{_NCNAME}:)?{_NCNAME})|(?P<mark>//|/|\.\.|\.(?!\d)|[*@\[\]=<>])"
    r"|(?P<literal>'[^']*'|\"[^\"]*\")|(?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)))\s*"
).match
_number = re.compile(r"[ \t\r\n]*(-?(?:\d{1,300}(?:\.\d*)?|\.\d+))[ \t\r\n]*").fullmatch
_string = etree.XPath("string()")

_Element: TypeAlias = etree._Element
Found: TypeAlias = tuple[_Element, str | None]  # an element, or an attribute of it by its name


class ExpressionError(ValueError):
    """An expression is none of RFC 4661 §5, or has a prefix that nothing binds."""


class Comparison:
    """What a predicate compares: a path from where it stands, and what it has to be."""

    __slots__ = ("attribute", "operator", "steps", "up", "value")

    def __init__(
        self,
        steps: tuple[Step, ...],
        attribute: str | None,
        up: bool,
        operator: str,
        value: str | float,
    ) -> None:
        self.steps = steps
        self.attribute = attribute
        self.up = up  # ".."
        self.operator = operator
        self.value = value

    def __str__(self) -> str:
        path = ".." if self.up else "".join(map(str, self.steps)) or "."
        attribute = "" if self.attribute is None else f"@{self.attribute}"
        return f"{path}{attribute}{self.operator}{self.value!r}"

    def holds(self, element: _Element, patience: Patience) -> bool:
        """Tell whether any of what the path leads to is as it has to be (XPath 1.0 §3.4)."""
        start: _Element | None = element.getparent() if self.up else element
        found = [] if start is None else _follow([start], self.steps, patience)
        for one in found:
            is_value = self.attribute is None
            text = value_of(one, patience) if is_value else one.get(self.attribute or "")
            patience.spend(1 + len(text or "") // _CHARACTERS)
            if text is not None and self._is_right(str(text)):
                return True
        return False

    def _is_right(self, text: str) -> bool:
        if self.operator == "=" and isinstance(self.value, str):
            return text == self.value
        known, wanted = number_of(text), number_of(self.value)
        if known is None or wanted is None:
            return False
        if self.operator == "=":
            return known == wanted
        return known < wanted if self.operator == "<" else known > wanted


class Step:
    """One step: to children, or to all that is within; of a name, or of any (None).

    ``predicate`` holds comparisons: all of a row have to hold, of one row or another.
    """

    __slots__ = ("is_deep", "name", "predicate")

    def __init__(
        self, name: str | None, is_deep: bool, predicate: tuple[tuple[Comparison, ...], ...]
    ) -> None:
        self.name = name
        self.is_deep = is_deep
        self.predicate = predicate

    def __str__(self) -> str:
        rows = [" and ".join(map(str, row)) for row in self.predicate]
        predicate = f"[{' or '.join(rows)}]" if rows else ""
        return f"{'//' if self.is_deep else '/'}{self.name or '*'}{predicate}"

    def admits(self, element: _Element, patience: Patience) -> bool:
        """Tell whether an element on the way is of this name and fulfils the predicate."""
        if self.name is not None and element.tag != self.name:
            return False
        return not self.predicate or any(
            all(comparison.holds(element, patience) for comparison in row) for row in self.predicate
        )


class Expression:
    """A path from the root of a document to elements, or to an attribute of them.

    Those that mean the same are equal, whatever prefixes they were written with.
    """

    __slots__ = ("attribute", "is_deep", "steps", "text")

    def __init__(
        self, steps: tuple[Step, ...], attribute: str | None = None, is_deep: bool = False
    ) -> None:
        self.steps = steps
        self.attribute = attribute
        self.is_deep = is_deep  # whether the attribute may be of what is within the last step
        last = "" if attribute is None else f"{'//' if is_deep else '/'}@{attribute}"
        self.text = "".join(map(str, steps)) + last

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def is_reference(self) -> bool:
        """Whether it has no predicates, as what triggers has to be (RFC 4661 §3.6)."""
        return not any(step.predicate for step in self.steps)

    def select(self, root: _Element, patience: Patience) -> list[Found]:
        """Return what it finds in a document; raises `OutOfPatience`."""
        elements = _from_root(root, self.steps, patience)
        if self.attribute is None:
            return [(element, None) for element in elements]
        if self.is_deep:
            elements = list(_within(elements, patience) if self.steps else _all(root, patience))
        return [(one, self.attribute) for one in elements if self.attribute in one.attrib]


def _from_root(root: _Element, steps: tuple[Step, ...], patience: Patience) -> list[_Element]:
    if not steps:
        return []
    first = steps[0]
    elements = _all(root, patience) if first.is_deep else [root]
    return _follow([one for one in elements if first.admits(one, patience)], steps[1:], patience)


def _all(root: _Element, patience: Patience) -> list[_Element]:
    return list(_within([root], patience))


def _within(elements: Iterable[_Element], patience: Patience) -> Iterator[_Element]:
    """Return elements and all that is within them, each once."""
    known: set[_Element] = set()
    for element in elements:
        if element in known:
            continue
        for one in element.iter("*"):
            patience.spend(1)
            if one not in known:
                known.add(one)
                yield one


def _follow(
    elements: list[_Element], steps: tuple[Step, ...], patience: Patience
) -> list[_Element]:
    for step in steps:
        if step.is_deep:
            elements = list(_within(elements, patience))
        found = []
        for element in elements:
            for child in element.iterchildren("*"):
                patience.spend(1)
                if step.admits(child, patience):
                    found.append(child)
        elements = found
    return elements


def value_of(element: _Element, patience: Patience) -> str:
    """Return the text within an element, as XPath compares it."""
    if not len(element):
        return element.text or ""
    patience.spend(sum(1 for _ in element.iter()))
    return str(_string(element))


def number_of(value: str | float) -> float | None:
    """Return a number, None for what is none (XPath 1.0 §4.4)."""
    if isinstance(value, float):
        return value
    match = _number(value)
    return None if match is None else float(match[1])


def parse_expression(text: str, bindings: Mapping[str, str]) -> Expression:
    """Return what a <include>, <exclude>, <changed>, <added> or <removed> says.

    ``bindings`` are the namespaces of prefixes; a name without one is in no namespace (RFC 4661
    §5, as in XPath 1.0). Predicates may follow any step, as in the examples of §6. Raises
    `ExpressionError`.
    """
    return _Parser(text, bindings).selection()


class _Parser:
    """Reads tokens: (kind, text)."""

    def __init__(self, text: str, bindings: Mapping[str, str]) -> None:
        if len(text) > MAX_EXPRESSION:
            raise ExpressionError("the expression is too long")
        self._bindings = bindings
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(text):
            match = _token(text, place)
            if match is None:
                raise ExpressionError(f"not understood: {text[place : place + 40].strip()}")
            self._tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            place = match.end()
        self._tokens.reverse()

    def selection(self) -> Expression:
        steps: list[Step] = []
        while True:
            is_deep = self._slash()
            if self._take("@"):
                expression = Expression(tuple(steps), self._name(False), is_deep)
                break
            steps.append(self._step(is_deep))
            if len(steps) > MAX_STEPS:
                raise ExpressionError("too many steps")
            if not self._tokens:
                return Expression(tuple(steps))
        if self._tokens or not (steps or is_deep):
            raise ExpressionError("nothing follows an attribute, and something stands before it")
        return expression

    def _slash(self) -> bool:
        """Take / or //, and tell which."""
        if self._take("//"):
            return True
        self._expect("/")
        return False

    def _step(self, is_deep: bool) -> Step:
        name = None if self._take("*") else self._name(True)
        return Step(name, is_deep, self._predicate() if self._take("[") else ())

    def _name(self, is_element: bool) -> str:
        kind, text = self._tokens.pop() if self._tokens else ("", "")
        if kind != "name":
            raise ExpressionError(f"no name of {'an element' if is_element else 'an attribute'}")
        prefix, colon, local = text.rpartition(":")
        if not colon:
            return local
        uri = XML if prefix == "xml" else self._bindings.get(prefix)
        if uri is None:
            raise ExpressionError(f"the prefix {prefix} is not bound")
        return f"{{{uri}}}{local}" if uri else local

    def _predicate(self) -> tuple[tuple[Comparison, ...], ...]:
        rows: list[list[Comparison]] = [[]]
        for _ in range(MAX_COMPARISONS):
            rows[-1].append(self._comparison())
            if self._take("]"):
                return tuple(map(tuple, rows))
            if self._take("or"):
                rows.append([])
            else:
                self._expect("and")
        raise ExpressionError("too many comparisons")

    def _comparison(self) -> Comparison:
        steps: list[Step] = []
        attribute, up = None, self._take("..")
        if not up and not self._take("."):
            is_deep = False
            while len(steps) <= MAX_STEPS:
                if not is_deep and self._take("@"):
                    attribute = self._name(False)
                    break
                steps.append(Step(None if self._take("*") else self._name(True), is_deep, ()))
                if not self._is_next("/", "//"):
                    break
                is_deep = self._slash()
        kind, operator = self._tokens.pop() if self._tokens else ("", "")
        if operator not in ("=", "<", ">") or kind != "mark":
            raise ExpressionError("no comparison")
        return Comparison(tuple(steps), attribute, up, operator, self._value())

    def _value(self) -> str | float:
        kind, text = self._tokens.pop() if self._tokens else ("", "")
        if kind == "literal":
            return text[1:-1]
        if kind != "number":
            raise ExpressionError("no value to compare with")
        return float(text)

    def _is_next(self, *texts: str) -> bool:
        return bool(self._tokens) and self._tokens[-1][1] in texts

    def _take(self, text: str) -> bool:
        """Take a token if it is the next one."""
        if not self._is_next(text) or self._tokens[-1][0] in ("literal", "number"):
            return False
        self._tokens.pop()
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise ExpressionError(f"{text} was expected")
