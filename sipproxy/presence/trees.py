"""A document as patches see it: its text, comments and declarations are nodes (RFC 5261 §3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from lxml import etree

from sipproxy.events.patience import Patience

XML = "http://www.w3.org/XML/1998/namespace"
MAX_NAMESPACES = 64  # in scope anywhere
DECLARATIONS = 8  # are looked at for the price of a node

Scope: TypeAlias = dict[str | None, str]  # the URIs of prefixes; None: the default namespace


class PatchError(ValueError):
    """A patch cannot be applied; ``name`` is that of RFC 5261 §5.1."""

    def __init__(self, name: str, phrase: str) -> None:
        super().__init__(f"{name}: {phrase}")
        self.name = name
        self.phrase = phrase


class Text:
    """Characters between two nodes; two texts never stand beside each other (RFC 5261 §4.3.5)."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    @property
    def is_space(self) -> bool:
        """Whether it is a white space text node (§2)."""
        return not self.value.strip(" \t\r\n")


class Comment:
    """A comment."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value


class Instruction:
    """A processing instruction."""

    __slots__ = ("data", "target")

    def __init__(self, target: str, data: str) -> None:
        self.target = target
        self.data = data


class Element:
    """An element, or with an empty name the document that it is the root of.

    Names are ``{uri}local``, or ``local`` in no namespace; ``attributes`` holds a prefix and a
    value by name; ``declared`` are the namespaces that are declared here. Elements do not know
    their parents: who looks for one remembers the way.
    """

    __slots__ = ("attributes", "children", "declared", "name", "prefix")

    def __init__(self, name: str, prefix: str | None, declared: Scope) -> None:
        self.name = name
        self.prefix = prefix
        self.declared = declared
        self.attributes: dict[str, tuple[str | None, str]] = {}
        self.children: list[Node] = []

    @property
    def elements(self) -> Iterator[Element]:
        """The child elements."""
        return (child for child in self.children if isinstance(child, Element))


Node: TypeAlias = Element | Text | Comment | Instruction
Way: TypeAlias = tuple[Element, ...]  # from the document down to a parent


def uri_of(name: str) -> str:
    """Return the namespace of a name, empty for none."""
    return name[1:].partition("}")[0] if name.startswith("{") else ""


def qualified(uri: str, local: str) -> str:
    """Return the name of what is called ``local`` in a namespace."""
    return f"{{{uri}}}{local}" if uri else local


def read_tree(root: etree._Element, patience: Patience) -> Element:
    """Return the document of a root element, with the comments that stand around it.

    Raises `PatchError`, and `OutOfPatience`.
    """
    document = Element("", None, {})
    before = list(root.itersiblings(preceding=True))
    document.children += [_leaf(node) for node in reversed(before)]
    document.children.append(read_element(root, {}, patience))
    document.children += [_leaf(node) for node in root.itersiblings()]
    return document


def read_element(element: etree._Element, outer: Scope, patience: Patience) -> Element:
    """Return an element whose parent is in scope of ``outer``."""
    reader = _Reader(outer, patience)
    for event, what in etree.iterwalk(
        element, events=("start", "end", "start-ns", "comment", "pi")
    ):
        if event == "start":
            reader.start(what)
        elif event == "end":
            reader.end(what)
        elif event == "start-ns":
            reader.declare(*what)
        else:
            reader.leaf(what)
    (tree,) = reader.open[0].children
    assert isinstance(tree, Element)
    return tree


class _Reader:
    """Builds a tree of ours from a walk."""

    def __init__(self, outer: Scope, patience: Patience) -> None:
        self.patience = patience
        self.open = [Element("", None, {})]
        self.scopes = [outer]
        self.declared: Scope = {}

    def declare(self, prefix: str, uri: str) -> None:
        self.declared[prefix or None] = uri

    def start(self, element: etree._Element) -> None:
        tree = Element(str(element.tag), element.prefix, self.declared)
        scope = {**self.scopes[-1], **self.declared} if self.declared else self.scopes[-1]
        self.patience.spend(1 + len(element.attrib) + len(self.declared))
        if len(scope) > MAX_NAMESPACES:
            raise PatchError("invalid-diff-format", "too many namespaces are declared")
        for name, value in element.attrib.items():
            tree.attributes[str(name)] = (self._prefix(str(name), scope), str(value))
        self.open[-1].children.append(tree)
        self.open.append(tree)
        self.scopes.append(scope)
        self.declared = {}
        if element.text:
            tree.children.append(Text(element.text))

    def end(self, element: etree._Element) -> None:
        del self.open[-1], self.scopes[-1]
        self._tail(element)

    def leaf(self, node: etree._Element) -> None:
        self.open[-1].children.append(_leaf(node))
        self._tail(node)

    def _tail(self, node: etree._Element) -> None:
        if node.tail and len(self.open) > 1:
            join(self.open[-1].children, Text(node.tail))

    def _prefix(self, name: str, scope: Scope) -> str | None:
        """Return a prefix for an attribute: the first, for the parser does not say which it was."""
        uri = uri_of(name)
        if not uri:
            return None
        self.patience.spend(len(scope) // DECLARATIONS)
        return min((p for p, known in scope.items() if p and known == uri), default="xml")


def _leaf(node: etree._Element) -> Node:
    if isinstance(node, etree._ProcessingInstruction):
        return Instruction(str(node.target), node.text or "")
    return Comment(node.text or "")


def join(nodes: list[Node], node: Node) -> None:
    """Append a node; a text becomes one with a text before it (RFC 5261 §4.3.5)."""
    if isinstance(node, Text) and nodes and isinstance(nodes[-1], Text):
        nodes[-1] = Text(nodes[-1].value + node.value)
    else:
        nodes.append(node)


def splice(parent: Element, start: int, stop: int, nodes: list[Node]) -> None:
    """Put nodes in the place of children; texts that meet become one (RFC 5261 §4.3.5)."""
    children = parent.children
    first, last = max(start - 1, 0), stop + 1
    joined: list[Node] = []
    for node in [*children[first:start], *nodes, *children[stop:last]]:
        join(joined, node)
    children[first:last] = joined


def string_value(element: Element) -> str:
    """Return all text within an element, as XPath compares it."""
    pieces: list[str] = []
    waiting: list[Node] = [element]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Text):
            pieces.append(node.value)
        elif isinstance(node, Element):
            waiting += reversed(node.children)
    return "".join(pieces)


_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_VALUE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def write_tree(node: Node) -> str:
    """Return a document or a part of it as characters."""
    pieces: list[str] = []
    _write(node, pieces)
    return "".join(pieces)


def _write(node: Node, pieces: list[str]) -> None:
    if isinstance(node, Text):
        pieces.append(node.value.translate(_TEXT))
    elif isinstance(node, Comment):
        pieces.append(f"<!--{node.value}-->")
    elif isinstance(node, Instruction):
        pieces.append(f"<?{node.target} {node.data}?>")
    else:
        _write_element(node, pieces)


def _write_element(element: Element, pieces: list[str]) -> None:
    tag = _tag(element.prefix, element.name)
    if tag:
        pieces.append(f"<{tag}")
        for prefix, uri in element.declared.items():
            pieces.append(f' xmlns{":" + prefix if prefix else ""}="{uri.translate(_VALUE)}"')
        for name, (prefix, value) in element.attributes.items():
            pieces.append(f' {_tag(prefix, name)}="{value.translate(_VALUE)}"')
        pieces.append(">" if element.children else "/>")
    for child in element.children:
        _write(child, pieces)
    if tag and element.children:
        pieces.append(f"</{tag}>")


def _tag(prefix: str | None, name: str) -> str:
    local = name.rpartition("}")[2]
    return f"{prefix}:{local}" if prefix else local
