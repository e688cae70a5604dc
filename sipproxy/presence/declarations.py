"""Patches of namespace declarations (RFC 5261 §4.3.3, §4.4.3, §4.5.3)."""

from __future__ import annotations

from sipproxy.presence.mangling import scope_of
from sipproxy.presence.trees import Element, PatchError, Way, qualified


def add_namespace(way: Way, element: Element, prefix: str, uri: str) -> None:
    """Declare a namespace at an element; ``way`` leads to its parent. Raises `PatchError`."""
    _check(prefix, uri)
    if prefix in element.declared:
        raise PatchError("invalid-patch-directive", f"{prefix} is declared there")
    if scope_of(way).get(prefix, uri) != uri and _uses(element, prefix):
        raise PatchError("invalid-namespace-prefix", f"{prefix} means something else there")
    element.declared[prefix] = uri


def replace_namespace(element: Element, prefix: str, uri: str) -> None:
    """Change the URI of a declaration, and so the names that use it; raises `PatchError`."""
    _refuse_undeclared(element, prefix)
    _check(prefix, uri)
    element.declared[prefix] = uri
    _rename(element, prefix, uri)


def remove_namespace(element: Element, prefix: str) -> None:
    """Remove a declaration that no name uses (§4.5.3); raises `PatchError`."""
    _refuse_undeclared(element, prefix)
    if _uses(element, prefix):
        raise PatchError("invalid-namespace-prefix", f"{prefix} is in use")
    del element.declared[prefix]


def _check(prefix: str, uri: str) -> None:
    if prefix in ("xml", "xmlns"):
        raise PatchError("invalid-namespace-prefix", f"{prefix} is what it is")
    if not uri or any(character.isspace() for character in uri):
        raise PatchError("invalid-namespace-uri", f"no URI: {uri[:80]}")


def _refuse_undeclared(element: Element, prefix: str) -> None:
    if prefix not in element.declared:
        raise PatchError("invalid-namespace-uri", f"{prefix} is not declared there")


def _uses(element: Element, prefix: str) -> bool:
    if element.prefix == prefix or any(used == prefix for used, _ in element.attributes.values()):
        return True
    inner = (child for child in element.elements if prefix not in child.declared)
    return any(_uses(child, prefix) for child in inner)


def _rename(element: Element, prefix: str, uri: str) -> None:
    if element.prefix == prefix:
        element.name = _moved(element.name, uri)
    element.attributes = {
        _moved(name, uri) if used == prefix else name: (used, value)
        for name, (used, value) in element.attributes.items()
    }
    for child in element.elements:
        if prefix not in child.declared:
            _rename(child, prefix, uri)


def _moved(name: str, uri: str) -> str:
    return qualified(uri, name.rpartition("}")[2])
