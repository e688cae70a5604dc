"""What a watcher is shown of a presence document: nothing that is not granted (RFC 5025 §3.3)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from lxml import etree

from sipproxy.presence.equivalence import Entity, UriSet, identifier
from sipproxy.presence.namespaces import (
    BASIC,
    CONTACT,
    DEVICE,
    DEVICE_ID,
    MODEL,
    MODEL_NOTE,
    MODEL_TIMESTAMP,
    NOTE,
    PERSON,
    PIDF,
    RPID,
    STATUS,
    TIMESTAMP,
    TUPLE,
)
from sipproxy.presence.permissions import CLASS, EVERY, FULL, NONE, THRESHOLDS, Chosen, Permissions

_CLASS, _USER_INPUT, _SERVICE_CLASS = RPID + CLASS, RPID + "user-input", RPID + "service-class"

# The permission for each child of each occurrence (§3.3.2, RFC 4480 table 1).
_PERMISSIONS = {
    PERSON: {
        MODEL_NOTE: "note",
        RPID + "activities": "activities",
        _CLASS: CLASS,
        RPID + "mood": "mood",
        RPID + "place-is": "place-is",
        RPID + "place-type": "place-type",
        RPID + "privacy": "privacy",
        RPID + "sphere": "sphere",
        RPID + "status-icon": "status-icon",
        RPID + "time-offset": "time-offset",
    },
    DEVICE: {MODEL_NOTE: "note", _CLASS: CLASS},
    TUPLE: {
        NOTE: "note",
        DEVICE_ID: "deviceID",
        _CLASS: CLASS,
        RPID + "privacy": "privacy",
        RPID + "relationship": "relationship",
        RPID + "status-icon": "status-icon",
    },
}
# What is shown of each occurrence that is (§3.3.2), beside the basic status of a service.
_ALWAYS = {
    PERSON: {MODEL_TIMESTAMP},
    DEVICE: {MODEL_TIMESTAMP, DEVICE_ID},
    TUPLE: {TIMESTAMP, CONTACT, _SERVICE_CLASS},
}
_PLAIN = frozenset((TIMESTAMP, MODEL_TIMESTAMP, DEVICE_ID, CONTACT))
# Authorization is defined for these, so that they are no unknown attributes (§3.3.2.14).
_KNOWN = frozenset((_USER_INPUT, _SERVICE_CLASS)).union(*_PERMISSIONS.values())


def transformed(root: etree._Element, permissions: Permissions) -> etree._Element:
    """Return what ``permissions`` grant of a presence document: a new one, or itself, all of it.

    Occurrences are chosen (§3.3.1), then their attributes (§3.3.2). What comes out is left as it is
    by another transformation with the same permissions (§4).
    """
    if permissions.is_whole:
        return root
    prefixes: Any = root.nsmap
    shown = etree.Element(root.tag, nsmap=prefixes)
    shown.set("entity", root.get("entity", ""))
    chosen = _chosen(root, permissions)
    with_notes = "note" in permissions.attributes and any(map(_lacks_note, chosen))
    for child in root:
        if child in chosen:
            if permissions.all_attributes or _can_be_shown(child):
                _show(child, shown, permissions)
        elif with_notes and child.tag == NOTE:
            shown.append(_copy(child))
    etree.strip_elements(shown, etree.Comment, with_tail=False)
    etree.cleanup_namespaces(shown)
    return shown


def _can_be_shown(element: etree._Element) -> bool:
    """Tell whether a part of it is a document: a status MUST have a value (RFC 3863 §4.1.3)."""
    return element.tag != TUPLE or element.find(f"{STATUS}/{BASIC}") is not None


def _lacks_note(element: etree._Element) -> bool:
    """RFC 4479 §5: the notes of the whole document are those of persons without any."""
    return element.tag == PERSON and element.find(MODEL_NOTE) is None


# Which occurrences (§3.3.1)


def _chosen(root: etree._Element, permissions: Permissions) -> set[etree._Element]:
    """Return the persons, devices and services that may be seen."""
    has_class = CLASS in permissions.attributes
    choices = {
        PERSON: Choice(permissions.persons, has_class),
        DEVICE: Choice(permissions.devices, has_class),
        TUPLE: Choice(permissions.services, has_class),
    }
    return {child for child in root if child.tag in choices and child in choices[child.tag]}


class Choice:
    """The occurrences of one kind that are granted.

    One that is meant by its class alone is there only where its class is shown: without it, another
    transformation would take it away, and what is sent has to stay as it is (§4).
    """

    def __init__(self, chosen: Chosen, has_class: bool) -> None:
        def named(kind: str) -> frozenset[str]:
            return frozenset(value for how, value in chosen if how == kind)

        self._has_every = EVERY in chosen
        self._classes = named(CLASS) if has_class else frozenset()
        self._ids = named("occurrence-id")
        self._schemes = named("service-uri-scheme")
        self._devices = _uris(named("deviceID"))
        self._services = _uris(named("service-uri"))

    def __contains__(self, element: etree._Element) -> bool:
        return (
            self._has_every
            or element.get("id", "").strip() in self._ids
            or any(_token(one) in self._classes for one in element.iterchildren(_CLASS))
            or self._has_device(element)
            or self._has_service(element)
        )

    def _has_device(self, element: etree._Element) -> bool:
        named = element.find(DEVICE_ID)
        return named is not None and _is_in(named, self._devices)

    def _has_service(self, element: etree._Element) -> bool:
        """A service without a contact has no URI."""
        contact = element.find(CONTACT)
        if contact is None:
            return False
        scheme, colon, _ = _token(contact).partition(":")
        return (bool(colon) and scheme in self._schemes) or _is_in(contact, self._services)


def _uris(written: Iterable[str]) -> UriSet | None:
    uris = [uri for uri in map(identifier, written) if uri is not None]
    return UriSet(uris) if uris else None


def _is_in(element: etree._Element, uris: UriSet | None) -> bool:
    uri = identifier(_text(element)) if uris is not None else None
    return uri is not None and uris is not None and Entity(uri) in uris


# Which attributes (§3.3.2)


def _show(element: etree._Element, shown: etree._Element, permissions: Permissions) -> None:
    """Append what may be seen of an occurrence."""
    if permissions.all_attributes:
        shown.append(_copy(element))
        return
    prefixes: Any = element.nsmap
    occurrence = etree.SubElement(shown, element.tag, nsmap=prefixes)
    occurrence.set("id", element.get("id", ""))
    for child in element:
        tag = child.tag
        if tag == STATUS and element.tag == TUPLE:
            _show_status(child, occurrence)
        elif tag == _USER_INPUT:
            _show_user_input(child, occurrence, permissions.user_input)
        elif tag in _PLAIN and tag in _ALWAYS[element.tag]:
            _show_plain(child, occurrence)
        elif _is_granted(element.tag, tag, permissions):
            occurrence.append(_copy(child))


def _is_granted(occurrence: str, tag: str, permissions: Permissions) -> bool:
    """Tell whether a child of an occurrence may be seen as it is."""
    if tag in _ALWAYS[occurrence]:
        return True
    if tag in _KNOWN:
        return _PERMISSIONS[occurrence].get(tag) in permissions.attributes
    return tag in permissions.unknown and not tag.startswith((PIDF, MODEL))


def _show_status(status: etree._Element, occurrence: etree._Element) -> None:
    """Of a status the basic one is shown; what else is in it no permission names."""
    shown = etree.SubElement(occurrence, STATUS)
    for basic in status.iterchildren(BASIC):
        _show_plain(basic, shown)


def _show_user_input(element: etree._Element, occurrence: etree._Element, granted: int) -> None:
    """RFC 5025 §3.3.2.12; its "since" became "last-input" in RFC 4480."""
    if granted == NONE:
        return
    if granted == FULL:
        occurrence.append(_copy(element))
        return
    shown = etree.SubElement(occurrence, _USER_INPUT)
    shown.text = _text(element)
    threshold = element.get("idle-threshold")
    if granted == THRESHOLDS and threshold is not None:
        shown.set("idle-threshold", threshold)


def _show_plain(element: etree._Element, parent: etree._Element) -> None:
    """Append what is text, and the priority of a contact."""
    shown = etree.SubElement(parent, element.tag)
    shown.text = _text(element)
    if element.tag == CONTACT and "priority" in element.attrib:
        shown.set("priority", element.get("priority", ""))


def _copy(element: etree._Element) -> etree._Element:
    found = copy.deepcopy(element)
    found.tail = None
    return found


def _text(element: etree._Element) -> str:
    """Return the text of an element, comments or not."""
    return (element.text or "") + "".join(child.tail or "" for child in element)


def _token(element: etree._Element) -> str:
    return " ".join(_text(element).split())
