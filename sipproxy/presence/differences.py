"""What turns one document into another, as few and short patch operations (RFC 5261 §6, §7)."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from lxml import etree

from sipproxy.presence.patches import MAX_OPERATIONS
from sipproxy.presence.trees import XML

MAX_STEPS = 10  # of a selector; what is deeper is replaced whole, for each level is compared anew

_Nodes: TypeAlias = list[etree._Element]
# What depends on prefixes in other ways than by its name: types in attributes, and no namespace.
_is_delicate = etree.XPath(
    "boolean(//@xsi:type | //*[namespace-uri() = ''])",
    namespaces={"xsi": "http://www.w3.org/2001/XMLSchema-instance"},
)


class NoDifference(Exception):
    """There is none that is worth its name: the whole document will do as well."""


class Prefixes:
    """What a diff document declares: as the new document has it, and no more than is used."""

    def __init__(self, root: etree._Element) -> None:
        self._known: dict[Any, str] = dict(root.nsmap)
        self.declared: dict[Any, str] = {}  # None: the default namespace

    def of(self, uri: str, wanted: str = "n", is_attribute: bool = False) -> str | None:
        """Return the prefix of a namespace, declared if need be; None: it is the default."""
        prefix: str | None
        for known in (self.declared, self._known):
            for prefix, value in known.items():
                if value == uri and not (is_attribute and prefix is None):
                    self.declared[prefix] = uri
                    return prefix
        prefix, number = wanted, 0
        while prefix in self._known or prefix in self.declared:
            number += 1
            prefix = f"{wanted}{number}"
        self.declared[prefix] = uri
        return prefix

    def element(self, tag: str) -> str:
        """Return what a selector calls an element (§4.2.1)."""
        uri, local = _parts(tag)
        if not uri:
            raise NoDifference  # it has no name where there is a default namespace
        prefix = self.of(uri)
        return f"{prefix}:{local}" if prefix else local

    def attribute(self, name: str) -> str:
        """Return what a selector calls an attribute; the default namespace is none for it."""
        uri, local = _parts(name)
        if not uri:
            return "@" + local
        prefix = "xml" if uri == XML else self.of(uri, is_attribute=True)
        return f"@{prefix}:{local}"

    def declare_for(self, node: etree._Element) -> None:
        """Declare what the names in added content need."""
        for element in node.iter("*"):
            self.of(_parts(str(element.tag))[0])
            for name in element.attrib:
                self.attribute(str(name))


def _parts(name: str) -> tuple[str, str]:
    uri, _, local = name.rpartition("}")
    return uri[1:], local


class Difference:
    """The operations that make ``new`` of ``old``; raises `NoDifference`.

    Both are documents without comments at their root. Elements that have an ``id`` are known by
    it, others by their order. What is neither text alone nor elements alone is replaced whole.
    """

    def __init__(self, old: etree._Element, new: etree._Element, prefixes: Prefixes) -> None:
        self.operations: list[tuple[str, dict[str, str], str | _Nodes]] = []
        self._prefixes = prefixes
        if old.tag != new.tag or _is_delicate(new):
            raise NoDifference
        self._inner(old, new, "*")

    def _emit(
        self, name: str, selector: str, content: str | _Nodes = "", **attributes: str
    ) -> None:
        if len(self.operations) == MAX_OPERATIONS:
            raise NoDifference
        self.operations.append((name, {"sel": selector, **attributes}, content))
        if not isinstance(content, str):
            for node in content:
                self._prefixes.declare_for(node)

    def _inner(self, old: etree._Element, new: etree._Element, selector: str) -> None:
        """Change an element within."""
        if selector.count("/") >= MAX_STEPS:
            raise NoDifference
        self._attributes(old, new, selector)
        if len(old) or len(new):
            if not (_has_elements_alone(old) and _has_elements_alone(new)):
                if not _are_same(old, new):
                    raise NoDifference
            else:
                self._children(list(old), list(new), selector)
        elif (old.text or "") != (new.text or ""):
            self._text(old.text, new.text, selector)

    def _attributes(self, old: etree._Element, new: etree._Element, selector: str) -> None:
        for name, value in old.attrib.items():
            known, called = new.get(str(name)), self._prefixes.attribute(str(name))
            if known is None:
                self._emit("remove", f"{selector}/{called}")
            elif known != value:
                self._emit("replace", f"{selector}/{called}", str(known))
        for name, value in new.attrib.items():
            if name not in old.attrib:
                called = self._prefixes.attribute(str(name))
                self._emit("add", selector, str(value), type=called)

    def _text(self, old: str | None, new: str | None, selector: str) -> None:
        if not old:
            self._emit("add", selector, new or "")
        elif not new:
            self._emit("remove", f"{selector}/text()")
        else:
            self._emit("replace", f"{selector}/text()", new)

    def _children(self, old: _Nodes, new: _Nodes, selector: str) -> None:
        """Change what there is in both, take out what is old, and put in what is new."""
        pairs, same = _matched(old, new)
        for index, other in pairs:
            if not same(index, other):
                self._one(old[index], new[other], self._path(selector, old, index))
        kept = {index for index, _ in pairs}
        for index in range(len(old) - 1, -1, -1):
            if index not in kept:
                self._emit("remove", self._path(selector, old, index))
                del old[index]
        self._put_in(old, new, {other for _, other in pairs}, selector)

    def _one(self, old: etree._Element, new: etree._Element, selector: str) -> None:
        """Change an element within, or replace it where that is shorter."""
        before, declared = len(self.operations), dict(self._prefixes.declared)
        whole = len(etree.tostring(new, with_tail=False)) + len(selector)
        try:
            self._inner(old, new, selector)
        except NoDifference:
            size = whole
        else:
            size = sum(map(_size, self.operations[before:]))
        if size >= whole:
            del self.operations[before:]
            self._prefixes.declared = declared
            self._emit("replace", selector, [new])

    def _put_in(self, state: _Nodes, new: _Nodes, known: set[int], selector: str) -> None:
        """Put in what is new, from left to right: what stands before it is there already."""
        start = 0
        while start < len(new):
            stop = start
            while stop < len(new) and stop not in known:
                stop += 1
            if stop > start:
                self._put(state, start, new[start:stop], selector)
                state[start:start] = new[start:stop]
            start = stop + 1

    def _put(self, state: _Nodes, index: int, nodes: _Nodes, selector: str) -> None:
        if index == len(state):
            self._emit("add", selector, nodes)
        elif index == 0:
            self._emit("add", selector, nodes, pos="prepend")
        else:
            self._emit("add", self._path(selector, state, index - 1), nodes, pos="after")

    def _path(self, selector: str, siblings: _Nodes, index: int) -> str:
        """Return the selector of one of several siblings: by its id, or by where it stands."""
        node = siblings[index]
        if not isinstance(node.tag, str):
            raise NoDifference
        called = self._prefixes.element(node.tag)
        alike = [one for one in siblings if one.tag == node.tag]
        if len(alike) == 1:
            return f"{selector}/{called}"
        name = node.get("id", "")
        quote = "'" if "'" not in name else '"'
        if name and quote not in name and sum(one.get("id") == name for one in alike) == 1:
            return f"{selector}/{called}[@id={quote}{name}{quote}]"
        return f"{selector}/{called}[{_place(alike, node) + 1}]"


def _place(nodes: Sequence[etree._Element], node: etree._Element) -> int:
    return next(index for index, one in enumerate(nodes) if one is node)


def _size(operation: tuple[str, dict[str, str], str | _Nodes]) -> int:
    _, attributes, content = operation
    size = sum(map(len, attributes.values()))
    if isinstance(content, str):
        return size + len(content)
    return size + sum(len(etree.tostring(node, with_tail=False)) for node in content)


def _has_elements_alone(element: etree._Element) -> bool:
    return not element.text and all(
        isinstance(child.tag, str) and not child.tail for child in element
    )


def _are_same(one: etree._Element, other: etree._Element) -> bool:
    return _canonical(one) == _canonical(other)


def _canonical(node: etree._Element) -> bytes:
    return etree.tostring(node, method="c14n", exclusive=True, with_comments=True)


def _matched(old: _Nodes, new: _Nodes) -> tuple[list[tuple[int, int]], Callable[[int, int], bool]]:
    """Return which nodes of the one are those of the other, in an order that rises in both.

    And what tells of two of them whether they are the same, too.
    """
    # Written as they stand they are the same but where something was declared around them.
    texts = [[etree.tostring(node, with_tail=False) for node in nodes] for nodes in (old, new)]

    @functools.cache
    def same(index: int, other: int) -> bool:
        return texts[0][index] == texts[1][other] or _are_same(old[index], new[other])

    start, shorter = 0, min(len(old), len(new))
    while start < shorter and same(start, start):
        start += 1
    end = 0
    while end < shorter - start and same(len(old) - 1 - end, len(new) - 1 - end):
        end += 1
    pairs = [(index, index) for index in range(start)]
    middle = _by_name(old[start : len(old) - end], new[start : len(new) - end])
    pairs += [(start + index, start + other) for index, other in _rising(middle)]
    pairs += [(len(old) - end + index, len(new) - end + index) for index in range(end)]
    return pairs, same


def _by_name(old: _Nodes, new: _Nodes) -> list[tuple[int, int]]:
    places: defaultdict[tuple[str, str | None], deque[int]] = defaultdict(deque)
    for index, node in enumerate(old):
        places[_name(node)].append(index)
    pairs = []
    for index, node in enumerate(new):
        known = places.get(_name(node))
        if known:
            pairs.append((known.popleft(), index))
    return pairs


def _name(node: etree._Element) -> tuple[str, str | None]:
    return (node.tag, node.get("id")) if isinstance(node.tag, str) else (node.text or "", None)


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of the pairs that is in order on both sides."""
    tops: list[int] = []  # the least last index of a row of each length
    ends: list[int] = []  # and the pair that it ends with
    before: list[int] = []  # for each pair, the one before it in the longest row that it ends
    for number, (index, _) in enumerate(pairs):
        length = bisect_left(tops, index)
        tops[length:] = [index] + tops[length + 1 :]
        ends[length:] = [number] + ends[length + 1 :]
        before.append(ends[length - 1] if length else -1)
    row: list[tuple[int, int]] = []
    number = ends[-1] if ends else -1
    while number >= 0:
        row.append(pairs[number])
        number = before[number]
    return row[::-1]
