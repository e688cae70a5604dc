"""What a patch points at: the restricted XPath of RFC 5261 §4.1, and an evaluator of it."""

from __future__ import annotations

import re
from typing import TypeAlias

from sipproxy.events.patience import Patience
from sipproxy.presence.trees import (
    XML,
    Comment,
    Element,
    Instruction,
    Node,
    PatchError,
    Scope,
    Text,
    Way,
    qualified,
    string_value,
)

MAX_SELECTOR = 2048  # characters
_CHARACTERS = 32  # compared for the price of a node

_NCNAME = r"[^\W\d][\w.\-\u00b7]*"
_QNAME = rf"(?:{_NCNAME}:)?{_NCNAME}"
_LITERAL = r"'[^']*'|\"[^\"]*\""
_test = re.compile(rf"\s*(\*|{_QNAME})\s*").match
_predicate = re.compile(
    rf"\[\s*(?:(?P<position>\d{{1,9}})|(?P<name>@{_QNAME}|{_QNAME}|\.)\s*=\s*(?P<value>{_LITERAL}))"
    r"\s*\]\s*"
).match
_id = re.compile(rf"\s*id\(\s*['\"]({_NCNAME})['\"]\s*\)\s*").match
_node = re.compile(
    rf"\s*(?P<kind>text|comment|processing-instruction)\(\s*(?P<target>{_LITERAL})?\s*\)\s*"
    r"(?:\[\s*(?P<position>\d{1,9})\s*\])?\s*"
).fullmatch
_attribute = re.compile(rf"\s*@({_QNAME})\s*").fullmatch
_namespace = re.compile(rf"\s*namespace::({_NCNAME})\s*").fullmatch
_qname = re.compile(_QNAME).fullmatch

_KINDS = {"text": Text, "comment": Comment, "processing-instruction": Instruction}
_IDS = ("id", f"{{{XML}}}id")  # what our documents have of type xs:ID (RFC 3863 §4.4, 4479, 4480)


class Attribute:
    """An attribute of an element, by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Declaration:
    """A namespace that is declared at an element, by its prefix."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix


Target: TypeAlias = Node | Attribute | Declaration


class _Predicate:
    __slots__ = ("name", "position", "value")

    def __init__(self, name: str, value: str, position: int) -> None:
        self.name = name  # "." for the element itself, "@name" for an attribute
        self.value = value
        self.position = position


def expanded(qname: str, scope: Scope, uses_default: bool) -> str:
    """Return the name that a QName of the diff document means (§4.2.1); raises `PatchError`."""
    prefix, colon, local = qname.rpartition(":")
    if not colon:
        return qualified(scope.get(None, "") if uses_default else "", local)
    uri = XML if prefix == "xml" else scope.get(prefix)
    if uri is None:
        raise PatchError("invalid-namespace-prefix", f"{prefix} is not declared")
    return qualified(uri, local)


def locate(
    document: Element, selector: str, scope: Scope, patience: Patience
) -> tuple[Way, Target]:
    """Return the one node that a selector points at, behind the way to its parent.

    ``scope`` is what is declared at the patch operation. Raises `PatchError`.
    """
    if len(selector) > MAX_SELECTOR:
        raise PatchError("invalid-attribute-value", "the selector is too long")
    ways, place = _begin(document, selector, patience)
    while place < len(selector):
        last = _last(ways, selector[place:], scope, patience)
        if last is not None:
            return _only(last)
        ways, place = _step(ways, selector, place, scope, patience)
    return _only([(way[:-1], way[-1]) for way in ways])


def _only(found: list[tuple[Way, Target]]) -> tuple[Way, Target]:
    if len(found) != 1 or not found[0][0]:
        raise PatchError("unlocated-node", "a unique node could not be located")
    return found[0]


def _begin(document: Element, selector: str, patience: Patience) -> tuple[list[Way], int]:
    start = 1 if selector.startswith("/") else 0
    match = _id(selector, start)
    if match is None:
        if start == len(selector):
            raise PatchError("invalid-attribute-value", "the selector is empty")
        return [(document,)], start
    ways = _identified(document, match[1], patience)
    return ways, _after_slash(selector, match.end())


def _identified(document: Element, value: str, patience: Patience) -> list[Way]:
    found: list[Way] = []
    waiting: list[Way] = [(document,)]
    while waiting:
        way = waiting.pop()
        patience.spend(2)
        if any(way[-1].attributes.get(name, ("", None))[1] == value for name in _IDS):
            found.append(way)
        waiting += [(*way, child) for child in way[-1].elements]
    return found


def _after_slash(selector: str, place: int) -> int:
    if place == len(selector):
        return place
    if selector[place] != "/" or place + 1 == len(selector):
        raise PatchError("invalid-attribute-value", f"not a selector of ours: {selector[:80]}")
    return place + 1


def _last(
    ways: list[Way], rest: str, scope: Scope, patience: Patience
) -> list[tuple[Way, Target]] | None:
    """Return what the last step finds where it is of a kind that only comes last (§8)."""
    match = _attribute(rest)
    if match is not None:
        name = expanded(match[1], scope, False)
        return [(way, Attribute(name)) for way in ways if name in way[-1].attributes]
    match = _namespace(rest)
    if match is not None:
        return [(way, Declaration(match[1])) for way in ways]
    match = _node(rest)
    return None if match is None else _children(ways, match, patience)


def _children(
    ways: list[Way], match: re.Match[str], patience: Patience
) -> list[tuple[Way, Target]]:
    kind, target = _KINDS[match["kind"]], match["target"]
    if target and kind is not Instruction:
        raise PatchError("invalid-attribute-value", f"{match['kind']}() is given nothing")
    found: list[tuple[Way, Target]] = []
    for way in ways:
        patience.spend(len(way[-1].children) + 1)
        nodes = [
            node
            for node in way[-1].children
            if isinstance(node, kind)
            and (not target or isinstance(node, Instruction) and node.target == target[1:-1])
        ]
        if match["position"]:
            nodes = nodes[int(match["position"]) - 1 :][:1] if int(match["position"]) else []
        found += [(way, node) for node in nodes]
    return found


def _step(
    ways: list[Way], selector: str, place: int, scope: Scope, patience: Patience
) -> tuple[list[Way], int]:
    match = _test(selector, place)
    if match is None:
        raise PatchError("invalid-attribute-value", f"not a selector of ours: {selector[:80]}")
    name = None if match[1] == "*" else expanded(match[1], scope, True)
    predicates, place = _predicates(selector, match.end(), scope)
    found: list[Way] = []
    for way in ways:
        patience.spend(len(way[-1].children) + 1)
        elements = [child for child in way[-1].elements if name is None or child.name == name]
        for predicate in predicates:
            elements = _chosen(elements, predicate, patience)
        found += [(*way, element) for element in elements]
    return found, _after_slash(selector, place)


def _predicates(selector: str, place: int, scope: Scope) -> tuple[list[_Predicate], int]:
    predicates = []
    while (match := _predicate(selector, place)) is not None:
        place = match.end()
        if match["position"]:
            predicates.append(_Predicate("", "", int(match["position"])))
            continue
        name = match["name"]
        if name[0] == "@":
            name = "@" + expanded(name[1:], scope, False)
        elif name != ".":
            name = expanded(name, scope, True)
        predicates.append(_Predicate(name, match["value"][1:-1], 0))
    return predicates, place


def _chosen(elements: list[Element], predicate: _Predicate, patience: Patience) -> list[Element]:
    if not predicate.name:
        return elements[predicate.position - 1 :][:1] if predicate.position else []
    return [element for element in elements if _holds(element, predicate, patience)]


def _holds(element: Element, predicate: _Predicate, patience: Patience) -> bool:
    if predicate.name[0] == "@":
        patience.spend(1)
        return element.attributes.get(predicate.name[1:], ("", None))[1] == predicate.value
    if predicate.name == ".":
        return _says(element, predicate.value, patience)
    patience.spend(len(element.children) + 1)
    return any(
        child.name == predicate.name and _says(child, predicate.value, patience)
        for child in element.elements
    )


def _says(element: Element, value: str, patience: Patience) -> bool:
    text = string_value(element)
    patience.spend(weight(element) + len(text) // _CHARACTERS)
    return text == value


def weight(element: Element) -> int:
    """Return how many nodes an element's value is gathered from."""
    return sum(1 + weight(child) if isinstance(child, Element) else 1 for child in element.children)


def is_qname(text: str) -> bool:
    """Tell whether a text is a name, with or without a prefix."""
    return _qname(text) is not None
