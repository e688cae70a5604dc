"""Mending what clients publish until it is valid: RFC 4479 §5 asks us to read what we can."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable
from importlib.resources import as_file, files

from lxml import etree

from sipproxy.presence.namespaces import (
    BASIC,
    CONTACT,
    DEVICE,
    DEVICE_ID,
    MODEL_NOTE,
    MODEL_TIMESTAMP,
    NOTE,
    PERSON,
    PRESENCE,
    STATUS,
    TIMESTAMP,
    TUPLE,
    XML,
)
from sipproxy.presence.times import read_time

_MOST_ELEMENTS = 300  # of a document that is worth the trouble
_EXTENSION = "{urn:x-sipproxy:extension}extension"  # in schemas/presence.xsd
_SCHEMA_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
_ID, _LANGUAGE = "id", XML + "lang"

_name = re.compile(r"[^\W\d][\w.\-]*").fullmatch
_not_in_name = re.compile(r"[^A-Za-z0-9_.\-]")
_time = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?"
).fullmatch
_priority = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?").fullmatch


@functools.cache
def schema() -> etree.XMLSchema:
    """Return the schema of presence documents with the extensions that RFCs define."""
    with as_file(files("sipproxy.presence") / "schemas") as folder:
        return etree.XMLSchema(etree.parse(folder / "presence.xsd"))


class _Shape:
    """What the schema has within an element: some in this order, extensions in one place."""

    def __init__(self, attribute: str, *order: str, several: tuple[str, ...] = ()) -> None:
        self.attribute = attribute
        self._rank = {tag: rank for rank, tag in enumerate(order)}
        self._single = frozenset(order) - {"*", *several}

    def mend(self, element: etree._Element) -> None:
        """Put the children in order, without what has no place here."""
        language = element.get(_LANGUAGE)
        _keep_attributes(element, self.attribute)
        element.text = None
        kept: dict[int, list[etree._Element]] = {rank: [] for rank in self._rank.values()}
        for child in element:
            child.tail = None
            rank = self._rank.get(child.tag, self._rest(element, child))
            if rank is not None and not (kept[rank] and child.tag in self._single):
                kept[rank].append(child)
        element[:] = [child for rank in sorted(kept) for child in kept[rank]]
        for child in element:
            if child.tag in _MENDERS:
                if language is not None and _LANGUAGE not in child.attrib:
                    child.set(_LANGUAGE, language)  # RFC 3863 §4.1.6: may it only stand at notes
                _MENDERS[child.tag](child)

    def _rest(self, element: etree._Element, child: etree._Element) -> int | None:
        """Return the place of an extension, which has a namespace, and another one."""
        namespace = etree.QName(child).namespace
        is_extension = namespace and namespace != etree.QName(element).namespace
        return self._rank["*"] if is_extension else None


def mended(root: etree._Element) -> bool:
    """Make a presence document valid, and tell whether it is; ``root`` is edited.

    What stands in the wrong order is put in the right one; a single value that is wrong goes where
    it may be missing (RFC 3863 §4.1.5 has that of a priority), and so does an extension that is
    not as its own RFC has it. What is missing is not made up. Large documents are left as they are.
    """
    if sum(1 for _ in root.iter()) > _MOST_ELEMENTS:
        return False
    _SHAPES[PRESENCE].mend(root)
    if schema().validate(root):
        return True
    _drop_unfit(root)
    return schema().validate(root)


def _drop_unfit(root: etree._Element) -> None:
    """Take out the extensions that are not valid by themselves."""
    extensions = [
        child
        for parent in root.iter(*_SHAPES)
        for child in parent
        if parent.tag in _SHAPES and child.tag not in _MENDERS
    ]
    for child in extensions:
        around = etree.Element(_EXTENSION)
        around.append(copy.copy(child))
        if not schema().validate(around):
            _remove(child)


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _keep_attributes(element: etree._Element, *names: str) -> None:
    for name in map(str, list(element.attrib)):
        if name not in names and not name.startswith(_SCHEMA_INSTANCE):
            del element.attrib[name]


def _mend_identified(element: etree._Element) -> None:
    """An id is a name; ones that began with a digit are common (RFC 3863 §4.1.2 asks for less)."""
    name = element.get(_ID, "").strip()
    if name and not _name(name):
        element.set(_ID, "_" + _not_in_name.sub("_", name))
    _SHAPES[element.tag].mend(element)


def _mend_text(element: etree._Element, *attributes: str) -> str:
    """Make it an element of text alone."""
    text = "".join(map(str, element.itertext()))
    element[:] = []
    element.text = text
    _keep_attributes(element, *attributes)
    return text.strip()


def _mend_tuple(element: etree._Element) -> None:
    """One that is neither open nor closed, nor anything else, says nothing (RFC 3863 §4.2.3)."""
    had_basic = element.find(f"{STATUS}/{BASIC}") is not None
    _mend_identified(element)
    if had_basic and not len(element[0]):
        _remove(element)


def _mend_basic(element: etree._Element) -> None:
    element.text = text = _mend_text(element).lower()
    if text not in ("open", "closed"):  # "unknown", say some phones
        _remove(element)


def _mend_contact(element: etree._Element) -> None:
    """RFC 3863 §4.1.5: a priority that is out of range counts as none."""
    element.text = _mend_text(element, "priority")
    if "priority" in element.attrib and not _priority(str(element.attrib["priority"])):
        del element.attrib["priority"]


def _mend_note(element: etree._Element) -> None:
    _mend_text(element, _LANGUAGE)


def _mend_timestamp(element: etree._Element) -> None:
    """RFC 3863 §4.1.7: T and Z are capital letters; one that is none says nothing."""
    element.text = text = _mend_text(element).upper()
    if not _time(text) or read_time(text) is None:
        _remove(element)


_SHAPES = {
    PRESENCE: _Shape("entity", TUPLE, NOTE, "*", several=(TUPLE, NOTE)),
    TUPLE: _Shape(_ID, STATUS, "*", CONTACT, NOTE, TIMESTAMP, several=(NOTE,)),
    STATUS: _Shape("", BASIC, "*"),
    PERSON: _Shape(_ID, "*", MODEL_NOTE, MODEL_TIMESTAMP, several=(MODEL_NOTE,)),
    DEVICE: _Shape(_ID, "*", DEVICE_ID, MODEL_NOTE, MODEL_TIMESTAMP, several=(MODEL_NOTE,)),
}
_MENDERS: dict[str, Callable[[etree._Element], None]] = {
    TUPLE: _mend_tuple,
    PERSON: _mend_identified,
    DEVICE: _mend_identified,
    STATUS: _SHAPES[STATUS].mend,
    BASIC: _mend_basic,
    CONTACT: _mend_contact,
    NOTE: _mend_note,
    MODEL_NOTE: _mend_note,
    TIMESTAMP: _mend_timestamp,
    MODEL_TIMESTAMP: _mend_timestamp,
    DEVICE_ID: lambda element: None,
}
