"""What a filter lets through of a document, which has to stay valid (RFC 4661 §3.5)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lxml import etree

from sipproxy.events.expressions import Expression
from sipproxy.events.patience import Patience

_Element: TypeAlias = etree._Element
_Kept: TypeAlias = dict[_Element, set[str]]  # elements that stay, with their attributes that do
_Dropped: TypeAlias = dict[_Element, set[str]]  # attributes that are excluded


@dataclass(frozen=True)
class Needs:
    """What an element may not lose (RFC 4660 §5.3.1): by its schema, or the RFC that has it.

    These attributes, one child of each of these names, and where ``besides`` is not None one child
    that has none of the names in it; as far as there are any.
    """

    attributes: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    besides: frozenset[str] | None = None


Schema: TypeAlias = Mapping[str, Needs]  # by the names of elements


@dataclass(frozen=True)
class Selection:
    """An <include> or <exclude>: an expression, or the URI of a namespace (§3.5.3)."""

    expression: Expression | None = None
    namespace: str = ""

    def elements(self, root: _Element, patience: Patience) -> Iterator[tuple[_Element, str | None]]:
        """Return the elements that it selects, or their attributes by name."""
        if self.expression is not None:
            yield from self.expression.select(root, patience)
        else:
            for element in root.iter("*"):
                patience.spend(1)
                if str(element.tag).startswith(f"{{{self.namespace}}}"):
                    yield element, None


@dataclass(frozen=True)
class What:
    """The content that a watcher asks for; without <include>, all but what is excluded."""

    includes: tuple[Selection, ...]
    excludes: tuple[Selection, ...]

    def excerpt(self, root: _Element, schema: Schema, patience: Patience) -> _Element | None:
        """Return what of a document is left; None: nothing is. Raises `OutOfPatience`.

        The document stays as it is, and what is left of a valid one is valid: ``schema`` says what
        its elements may not lose; of those that it does not name, attributes stay, too.
        """
        kept = _included(self.includes, root, patience)
        dropped: _Dropped = {}
        for selection in self.excludes:
            _exclude(selection, root, kept, dropped, patience)
        if not kept:
            return None
        _add_ancestors(kept, dropped, schema)
        for element in list(kept):
            _complete(element, kept, schema)
        return _cut(root, kept)


def _included(includes: tuple[Selection, ...], root: _Element, patience: Patience) -> _Kept:
    kept: _Kept = {}
    if not includes:
        _keep_whole(root, kept, patience)
    for selection in includes:
        for element, attribute in selection.elements(root, patience):
            if attribute is not None:
                kept.setdefault(element, set()).add(attribute)
            elif selection.expression is None:
                kept[element] = set(map(str, element.attrib))
            else:
                _keep_whole(element, kept, patience)
    return kept


def _keep_whole(element: _Element, kept: _Kept, patience: Patience) -> None:
    for one in element.iter("*"):
        patience.spend(1)
        kept[one] = set(map(str, one.attrib))


def _exclude(
    selection: Selection, root: _Element, kept: _Kept, dropped: _Dropped, patience: Patience
) -> None:
    """Take out elements with what is within them, or attributes (§3.5.2)."""
    for element, attribute in selection.elements(root, patience):
        if attribute is not None:
            kept.get(element, set()).discard(attribute)
            dropped.setdefault(element, set()).add(attribute)
            continue
        for one in element.iter("*"):
            patience.spend(1)
            kept.pop(one, None)


def _add_ancestors(kept: _Kept, dropped: _Dropped, schema: Schema) -> None:
    """Keep what stands around the content, too (§3.5.1)."""
    for element in list(kept):
        for ancestor in element.iterancestors():
            if ancestor in kept:
                break
            kept[ancestor] = _own(ancestor, schema) - dropped.get(ancestor, set())


def _own(element: _Element, schema: Schema) -> set[str]:
    """Return the attributes of an element that stay though nobody asks for them."""
    return set() if str(element.tag) in schema else set(map(str, element.attrib))


def _complete(element: _Element, kept: _Kept, schema: Schema) -> None:
    """Put back what an element that stays may not lose, with what that may not lose itself."""
    needs = schema.get(str(element.tag))
    if needs is None:
        return
    kept[element].update(name for name in needs.attributes if name in element.attrib)
    groups = [list(element.iterchildren(name)) for name in needs.children]
    if needs.besides is not None:
        groups.append([one for one in element.iterchildren("*") if one.tag not in needs.besides])
    for children in groups:
        if children and not any(child in kept for child in children):
            kept[children[0]] = _own(children[0], schema)
            _complete(children[0], kept, schema)


def _cut(root: _Element, kept: _Kept) -> _Element:
    """Return a copy of what is kept."""
    originals = list(root.iter("*"))
    twin = copy.deepcopy(root)
    for original, one in zip(originals, list(twin.iter("*")), strict=True):
        attributes = kept.get(original)
        if attributes is None:
            parent = one.getparent()
            if parent is not None:
                parent.remove(one)
            continue
        for name in list(one.attrib):
            if str(name) not in attributes:
                del one.attrib[name]
    return twin
