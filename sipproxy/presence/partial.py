"""Presence in parts: full documents and differences with a version (RFC 5262, RFC 5263 §4.4)."""

from __future__ import annotations

import copy

from lxml import etree

from sipproxy.presence.differences import Difference, NoDifference, Prefixes

PIDF_DIFF = b"application/pidf-diff+xml"
DIFF_NAMESPACE = "urn:ietf:params:xml:ns:pidf-diff"
FULL, DIFF = f"{{{DIFF_NAMESPACE}}}pidf-full", f"{{{DIFF_NAMESPACE}}}pidf-diff"


def full(root: etree._Element, version: int) -> etree._Element:
    """Return a presence document as <pidf-full> (RFC 5262 §3)."""
    prefixes = Prefixes(root)
    prefixes.of(DIFF_NAMESPACE, "p")
    whole = etree.Element(FULL, nsmap=dict(root.nsmap) | prefixes.declared)
    whole.attrib.update(root.attrib)
    whole.set("version", str(version))
    whole.text = root.text
    whole.extend(copy.deepcopy(root))
    return whole


def difference(old: etree._Element, new: etree._Element, version: int) -> etree._Element | None:
    """Return what makes ``new`` of ``old`` as <pidf-diff>; None where `full` is as short.

    Applied to the old document it gives the new one, but for prefixes and comments at its root.
    Selectors begin with ``*``, so that it does not matter what a watcher calls the root.
    """
    prefixes = Prefixes(new)
    prefixes.of(DIFF_NAMESPACE, "p")
    try:
        operations = Difference(old, new, prefixes).operations
    except NoDifference:
        return None
    root = etree.Element(DIFF, nsmap=prefixes.declared)
    if "entity" in new.attrib:
        root.set("entity", str(new.get("entity")))
    root.set("version", str(version))
    for name, attributes, content in operations:
        operation = etree.SubElement(root, f"{{{DIFF_NAMESPACE}}}{name}", attributes)
        if isinstance(content, str):
            operation.text = content or None
        else:
            operation.extend(_without_tail(node) for node in content)
    return root if _size(root) < _size(new) else None


def _without_tail(node: etree._Element) -> etree._Element:
    twin = copy.deepcopy(node)
    twin.tail = None
    return twin


def _size(root: etree._Element) -> int:
    return len(etree.tostring(root))


def compact(root: etree._Element) -> etree._Element:
    """Return a document without the white space between its elements."""
    twin = copy.deepcopy(root)
    for element in twin.iter("*"):
        if len(element) and not any(text.strip() for text in _texts(element)):
            element.text = None
            for child in element:
                child.tail = None
    return twin


def _texts(element: etree._Element) -> list[str]:
    return [element.text or "", *(child.tail or "" for child in element)]
