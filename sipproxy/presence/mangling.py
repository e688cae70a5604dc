"""Namespace mangling: the prefixes of a diff in the patched document (RFC 5261 §4.2.3)."""

from __future__ import annotations

from sipproxy.events.patience import Patience
from sipproxy.events.xml import MAX_DEPTH
from sipproxy.presence.trees import (
    DECLARATIONS,
    MAX_NAMESPACES,
    XML,
    Element,
    Node,
    PatchError,
    Scope,
    Way,
    uri_of,
)


def scope_of(way: Way) -> Scope:
    """Return what is declared for the children of the last element of a way."""
    scope: Scope = {"xml": XML}
    for element in way:
        scope.update(element.declared)
    return scope


def mangle(nodes: list[Node], way: Way, patience: Patience) -> None:
    """Give added nodes the prefixes of where they go; what is not declared there comes along.

    ``way`` leads to the element that they become children of, the evaluation context node. Raises
    `PatchError` for what would become too deep, or is beyond our patience.
    """
    scope = scope_of(way)
    for node in nodes:
        if isinstance(node, Element):
            _mangle_element(node, way[-1].prefix, scope, len(way), patience)


def _mangle_element(
    element: Element, inherited: str | None, outer: Scope, depth: int, patience: Patience
) -> None:
    scope = {**outer, **element.declared}
    if len(scope) > MAX_NAMESPACES or depth > MAX_DEPTH:
        raise PatchError("invalid-patch-directive", "too deep, or too many namespaces")
    patience.spend(3 + len(scope) * (1 + len(element.attributes)) // DECLARATIONS)
    uri = uri_of(element.name)
    element.prefix, is_new = chosen_prefix(uri, element.prefix, scope, inherited)
    if is_new:
        element.declared[element.prefix] = scope[element.prefix] = uri
    _mangle_attributes(element, scope)
    for child in element.elements:
        _mangle_element(child, inherited, scope, depth + 1, patience)


def _mangle_attributes(element: Element, scope: Scope) -> None:
    taken = {element.prefix}
    for name, (prefix, value) in element.attributes.items():
        if prefix is None:
            continue
        uri = uri_of(name)
        chosen, is_new = attribute_prefix(uri, prefix, scope, element.prefix)
        if is_new:
            if chosen in taken or chosen in element.declared:
                chosen = fresh_prefix(scope)
            element.declared[chosen] = scope[chosen] = uri
        taken.add(chosen)
        element.attributes[name] = (chosen, value)


def attribute_prefix(
    uri: str, prefix: str, scope: Scope, inherited: str | None
) -> tuple[str, bool]:
    """Return the prefix of a qualified attribute, and whether it has to be declared yet.

    The default namespace is none for attributes (§4.3.2).
    """
    named: Scope = {known: value for known, value in scope.items() if known}
    chosen, is_new = chosen_prefix(uri, prefix, named, inherited)
    return chosen or prefix, is_new


def chosen_prefix(
    uri: str, prefix: str | None, scope: Scope, inherited: str | None
) -> tuple[str | None, bool]:
    """Return the prefix that a name has, and whether it has to be declared yet.

    The one of the diff, where it means the same; that of the context node (``inherited``); the one
    that stands before it by the alphabet (the default namespace is the first), or else the first.
    """
    if not uri:
        return None, bool(scope.get(None))
    known = {candidate for candidate, value in scope.items() if value == uri}
    if not known:
        return prefix, True
    for candidate in (prefix, inherited):
        if candidate in known:
            return candidate, False
    ordered = sorted(known, key=_alphabetical)
    before = [candidate for candidate in ordered if _alphabetical(candidate) < (prefix or "")]
    return (before or ordered[:1])[-1], False


def _alphabetical(prefix: str | None) -> str:
    return prefix or ""


def fresh_prefix(scope: Scope) -> str:
    """Return a prefix that means nothing yet."""
    number = 0
    while f"ns{number}" in scope:
        number += 1
    return f"ns{number}"
