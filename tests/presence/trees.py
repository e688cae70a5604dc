"""Documents for tests of patches and differences."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st
from lxml import etree

from sipproxy.events.patience import Patience
from sipproxy.presence.trees import Comment, Element, Node, Text, read_tree


def shape(root: etree._Element) -> Any:
    """Return what a document says, whatever its prefixes and declarations are."""
    return _shape(next(read_tree(root, Patience(10**6)).elements))


def _shape(node: Node) -> Any:
    if isinstance(node, Element):
        attributes = sorted((name, value) for name, (_, value) in node.attributes.items())
        return node.name, attributes, [_shape(child) for child in node.children]
    if isinstance(node, Text):
        return node.value
    return ("comment", node.value) if isinstance(node, Comment) else (node.target, node.data)


_TAGS = ["a", "{u:a}a", "{u:a}b", "{u:b}b", "{u:c}c"]
_WORDS = st.sampled_from(["", "", "", "x", "y", " ", "<&>\"'", "\r\n\t", "\N{SNOWMAN}"])
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["n", "m", "{u:a}n", "{u:c}n", "{http://www.w3.org/XML/1998/namespace}lang"]),
    st.sampled_from(["1", "2", "'", "\"'", "\n"]),
    max_size=2,
)
_NAMESPACES = st.sampled_from(
    [{None: "u:a", "b": "u:b"}, {"a": "u:a", "p": "u:b"}, {None: "u:b", "x": "u:a"}, {}]
)


@st.composite
def documents(draw: st.DrawFn, depth: int = 3) -> etree._Element:
    """Make a document of any kind."""
    root = etree.Element("{u:a}root", draw(_ATTRIBUTES), nsmap=draw(_NAMESPACES))
    _fill(draw, root, depth)
    return etree.fromstring(etree.tostring(root))


def _fill(draw: st.DrawFn, element: etree._Element, depth: int) -> None:
    is_mixed = draw(st.booleans()) and draw(st.booleans())
    count = draw(st.integers(0, 4)) if depth else 0
    if not count or is_mixed:
        element.text = draw(_WORDS) or None
    for _ in range(count):
        if draw(st.integers(0, 15)) == 0:
            child = etree.Comment("c")
            element.append(child)
        else:
            child = etree.SubElement(element, draw(st.sampled_from(_TAGS)), draw(_ATTRIBUTES))
            if draw(st.booleans()):
                child.set("id", draw(st.sampled_from(["i1", "i2", "i3", "'", "\"'"])))
            _fill(draw, child, depth - 1)
        if is_mixed:
            child.tail = draw(_WORDS) or None


@st.composite
def edited(draw: st.DrawFn, root: etree._Element) -> etree._Element:
    """Make a few changes to a document: what the next state of the same presentity is like."""
    twin = copy.deepcopy(root)
    for _ in range(draw(st.integers(1, 4))):
        elements = list(twin.iter("*"))
        element = elements[draw(st.integers(0, len(elements) - 1))]
        change = draw(st.sampled_from(["text", "attribute", "remove", "add", "move", "copy"]))
        parent = element.getparent()
        if change == "text" and not len(element):
            element.text = draw(_WORDS) or None
        elif change == "attribute":
            element.attrib.update(draw(_ATTRIBUTES))
        elif change == "add":
            child = etree.SubElement(element, draw(st.sampled_from(_TAGS)), draw(_ATTRIBUTES))
            element.insert(draw(st.integers(0, len(element) - 1)), child)
        elif parent is not None and change == "remove":
            parent.remove(element)
        elif parent is not None and change == "move":
            parent.insert(draw(st.integers(0, len(parent) - 1)), element)
        elif parent is not None:
            parent.append(copy.deepcopy(element))
    return etree.fromstring(etree.tostring(twin))
