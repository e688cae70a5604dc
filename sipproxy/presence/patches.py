"""XML patch operations: add, replace and remove (RFC 5261)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from lxml import etree

from sipproxy.events.patience import OutOfPatience, Patience
from sipproxy.presence.declarations import add_namespace, remove_namespace, replace_namespace
from sipproxy.presence.mangling import attribute_prefix, fresh_prefix, mangle, scope_of
from sipproxy.presence.selectors import (
    Attribute,
    Declaration,
    Target,
    expanded,
    is_qname,
    locate,
    weight,
)
from sipproxy.presence.trees import (
    Comment,
    Element,
    Instruction,
    Node,
    PatchError,
    Text,
    Way,
    read_element,
    read_tree,
    splice,
    uri_of,
    write_tree,
)

MAX_OPERATIONS = 100
MAX_WORK = 12_000  # nodes that one patch may read, look at and add; some 12 ms

_OURS = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
_namespace = re.compile(r"namespace::([^\W\d][\w.\-\u00b7]*)").fullmatch
_POSITIONS = (None, "before", "after", "prepend")
_SPACES = {None: (), "before": (-1,), "after": (1,), "both": (-1, 1)}


def patched(root: etree._Element, operations: Sequence[etree._Element]) -> etree._Element:
    """Return the root of a document with patch operations applied to it, one after the other.

    The document that is given stays as it is. ``operations`` are elements called add, replace and
    remove, in any namespace. Raises `PatchError` (a ValueError, by the names of RFC 5261 §5.1) at
    the first that cannot be fulfilled, where there are too many, or where they take too long.
    """
    if len(operations) > MAX_OPERATIONS:
        raise PatchError("invalid-diff-format", f"more than {MAX_OPERATIONS} operations")
    patience = Patience(MAX_WORK)
    try:
        document = read_tree(root, patience)
        for operation in operations:
            _apply(document, operation, patience)
        return etree.fromstring(write_tree(document).encode(), _OURS)
    except (OutOfPatience, etree.XMLSyntaxError) as error:
        raise PatchError("invalid-patch-directive", str(error)) from None


class Operation:
    """A patch operation: its attributes and content, and what is declared where it stands."""

    def __init__(self, element: etree._Element, patience: Patience) -> None:
        self.patience = patience
        self.selector = _attribute(element, "sel") or ""
        self.type = _attribute(element, "type")
        self.position = _attribute(element, "pos")
        self.spaces = _attribute(element, "ws")
        self.scope = dict(element.nsmap)
        self.content = read_element(element, self.scope, patience).children

    @property
    def text(self) -> str:
        """The content, which has to be characters alone; raises `PatchError`."""
        if not all(isinstance(node, Text) for node in self.content):
            raise PatchError("invalid-node-types", "the content has to be text")
        return "".join(node.value for node in self.content if isinstance(node, Text))

    def only(self, kind: type[Node]) -> Node:
        """Return the one node that the content is, of a kind; raises `PatchError`."""
        nodes = [node for node in self.content if not (isinstance(node, Text) and node.is_space)]
        if len(nodes) != 1 or not isinstance(nodes[0], kind):
            raise PatchError("invalid-node-types", "the content is not of the located type")
        return nodes[0]


def _attribute(element: etree._Element, name: str) -> str | None:
    value = element.get(name)
    return None if value is None else str(value)


def _apply(document: Element, element: etree._Element, patience: Patience) -> None:
    name = str(element.tag).rpartition("}")[2]
    if name not in _OPERATIONS:
        raise PatchError("invalid-diff-format", f"no patch operation: {name[:80]}")
    operation = Operation(element, patience)
    way, target = locate(document, operation.selector, operation.scope, patience)
    if isinstance(target, Declaration) or operation.type is not None:
        patience.spend(weight(way[-1]))  # the names that use a prefix are looked for
    _OPERATIONS[name](operation, way, target)


def _add(operation: Operation, way: Way, target: Target) -> None:
    """§4.3."""
    if isinstance(target, Attribute | Declaration):
        raise PatchError("invalid-attribute-value", "sel of add names no attribute (§8)")
    if operation.type is not None:
        if not isinstance(target, Element):
            raise PatchError("invalid-patch-directive", "only an element has attributes")
        _add_property(operation, way, target)
        return
    position = operation.position
    if position not in _POSITIONS:
        raise PatchError("invalid-attribute-value", f"no pos: {position}")
    if position in ("before", "after"):
        index = _index(way[-1], target) + (position == "after")
        _insert(operation, way, index)
    elif isinstance(target, Element):
        index = 0 if position == "prepend" else len(target.children)
        _insert(operation, (*way, target), index)
    else:
        raise PatchError("invalid-patch-directive", "only an element has children")


def _add_property(operation: Operation, way: Way, element: Element) -> None:
    """§4.3.2, §4.3.3."""
    kind = str(operation.type)
    declaration = _namespace(kind)
    if declaration is not None:
        add_namespace(way, element, declaration[1], operation.text)
        return
    if not (kind.startswith("@") and is_qname(kind[1:])):
        raise PatchError("invalid-attribute-value", f"no type: {kind}")
    name = expanded(kind[1:], operation.scope, False)
    if name in element.attributes:
        raise PatchError("invalid-patch-directive", f"there is an attribute {kind[1:]}")
    prefix = kind[1:].rpartition(":")[0] or None
    if prefix is not None:
        scope = scope_of((*way, element))
        prefix, is_new = attribute_prefix(uri_of(name), prefix, scope, element.prefix)
        if is_new:
            prefix = fresh_prefix(scope) if prefix in scope else prefix
            element.declared[prefix] = uri_of(name)
    element.attributes[name] = (prefix, operation.text)


def _index(parent: Element, node: Node) -> int:
    return next(index for index, child in enumerate(parent.children) if child is node)


def _insert(operation: Operation, way: Way, index: int) -> None:
    _refuse_at_root(way, operation.content)
    mangle(operation.content, way, operation.patience)
    splice(way[-1], index, index, operation.content)


def _refuse_at_root(way: Way, content: list[Node]) -> None:
    """§3: beside the root element there are comments and processing instructions alone."""
    if len(way) > 1:
        return
    if any(isinstance(node, Element) for node in content):
        raise PatchError("invalid-root-element-operation", "there is one root element")
    if any(isinstance(node, Text) for node in content):
        raise PatchError("invalid-xml-prolog-operation", "no text beside the root element")


def _replace(operation: Operation, way: Way, target: Target) -> None:
    """§4.4."""
    parent = way[-1]
    if isinstance(target, Attribute):
        prefix, _ = parent.attributes[target.name]
        parent.attributes[target.name] = (prefix, operation.text)
    elif isinstance(target, Declaration):
        replace_namespace(parent, target.prefix, operation.text)
    elif isinstance(target, Text):
        text = operation.text  # §4.4.6: an empty one is none
        index = _index(parent, target)
        splice(parent, index, index + 1, [Text(text)] if text else [])
    else:
        node = operation.only(type(target))
        mangle([node], way, operation.patience)
        index = _index(parent, target)
        splice(parent, index, index + 1, [node])


def _remove(operation: Operation, way: Way, target: Target) -> None:
    """§4.5."""
    parent = way[-1]
    spaces = operation.spaces
    if spaces not in _SPACES:
        raise PatchError("invalid-attribute-value", f"no ws: {spaces}")
    if spaces and not isinstance(target, Element | Comment | Instruction):
        raise PatchError("invalid-patch-directive", "ws beside what has no siblings")
    if isinstance(target, Attribute):
        del parent.attributes[target.name]
    elif isinstance(target, Declaration):
        remove_namespace(parent, target.prefix)
    elif isinstance(target, Element) and len(way) == 1:
        raise PatchError("invalid-root-element-operation", "the root element stays")
    else:
        _take_out(parent, _index(parent, target), _SPACES[spaces])


def _take_out(parent: Element, index: int, spaces: tuple[int, ...]) -> None:
    gone = [index, *(index + offset for offset in spaces)]
    for place in gone[1:]:
        space = parent.children[place] if 0 <= place < len(parent.children) else None
        if not (isinstance(space, Text) and space.is_space):
            raise PatchError("invalid-whitespace-directive", "no white space to remove there")
    splice(parent, min(gone), max(gone) + 1, [])


_OPERATIONS: dict[str, Callable[[Operation, Way, Target], None]] = {
    "add": _add,
    "replace": _replace,
    "remove": _remove,
}
