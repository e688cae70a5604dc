"""What a watcher is shown of a presence document: nothing that is not granted (RFC 5025 §3.3)."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from lxml import etree

from sipproxy.presence.equivalence import UriSet, identifier
from sipproxy.presence.permissions import CLASS, EVERY, FULL, NONE, THRESHOLDS, Chosen, Permissions

PIDF = "{urn:ietf:params:xml:ns:pidf}"
MODEL = "{urn:ietf:params:xml:ns:pidf:data-model}"
RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"

_PERSON, _DEVICE, _SERVICE = MODEL + "person", MODEL + "device", PIDF + "tuple"
_STATUS, _BASIC, _CONTACT = PIDF + "status", PIDF + "basic", PIDF + "contact"
_DEVICE_ID, _CLASS, _USER_INPUT = MODEL + "deviceID", RPID + CLASS, RPID + "user-input"

# The permission for each child of each occurrence (§3.3.2, RFC 4480 table 1).
_PERMISSIONS = {
    _PERSON: {
        MODEL + "note": "note",
        RPID + "activities": "activities",
        RPID + "class": CLASS,
        RPID + "mood": "mood",
        RPID + "place-is": "place-is",
        RPID + "place-type": "place-type",
        RPID + "privacy": "privacy",
        RPID + "sphere": "sphere",
        RPID + "status-icon": "status-icon",
        RPID + "time-offset": "time-offset",
    },
    _DEVICE: {MODEL + "note": "note", RPID + "class": CLASS},
    _SERVICE: {
        PIDF + "note": "note",
        MODEL + "deviceID": "deviceID",
        RPID + "class": CLASS,
        RPID + "privacy": "privacy",
        RPID + "relationship": "relationship",
        RPID + "status-icon": "status-icon",
    },
}
# What is shown of each occurrence that is (§3.3.2), beside the basic status of a service.
_ALWAYS = {
    _PERSON: {MODEL + "timestamp"},
    _DEVICE: {MODEL + "timestamp", _DEVICE_ID},
    _SERVICE: {PIDF + "timestamp", _CONTACT, RPID + "service-class"},
}
_PLAIN = frozenset((PIDF + "timestamp", MODEL + "timestamp", _DEVICE_ID, _CONTACT))
# Authorization is defined for these, so that they are no unknown attributes (§3.3.2.14).
_KNOWN = frozenset((_USER_INPUT, RPID + "service-class")).union(*_PERMISSIONS.values())


def transformed(root: etree._Element, permissions: Permissions) -> etree._Element:
    """Return what ``permissions`` grant of a presence document, as a new one.

    Occurrences are chosen (§3.3.1), then their attributes (§3.3.2). What comes out is left as it is
    by another transformation with the same permissions (§4).
    """
    if permissions.is_whole:
        return copy.deepcopy(root)
    prefixes: Any = root.nsmap
    shown = etree.Element(root.tag, nsmap=prefixes)
    shown.set("entity", root.get("entity", ""))
    chosen = _chosen(root, permissions)
    with_notes = "note" in permissions.attributes and any(map(_lacks_note, chosen))
    for child in root:
        if child in chosen:
            _show(child, shown, permissions)
        elif with_notes and child.tag == PIDF + "note":
            shown.append(_copy(child))
    etree.strip_elements(shown, etree.Comment, with_tail=False)
    etree.cleanup_namespaces(shown)
    return shown


def _lacks_note(element: etree._Element) -> bool:
    """RFC 4479 §5: the notes of the whole document are those of persons without any."""
    return element.tag == _PERSON and element.find(MODEL + "note") is None


# Which occurrences (§3.3.1)


def _chosen(root: etree._Element, permissions: Permissions) -> set[etree._Element]:
    """Return the persons, devices and services that may be seen."""
    has_class = CLASS in permissions.attributes
    choices = {
        _PERSON: Choice(permissions.persons, has_class),
        _DEVICE: Choice(permissions.devices, has_class),
        _SERVICE: Choice(permissions.services, has_class),
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
        named = element.find(_DEVICE_ID)
        return named is not None and _is_in(named, self._devices)

    def _has_service(self, element: etree._Element) -> bool:
        """A service without a contact has no URI."""
        contact = element.find(_CONTACT)
        if contact is None:
            return False
        scheme, colon, _ = _token(contact).partition(":")
        return (bool(colon) and scheme in self._schemes) or _is_in(contact, self._services)


def _uris(written: Iterable[str]) -> UriSet | None:
    uris = [uri for uri in map(identifier, written) if uri is not None]
    return UriSet(uris) if uris else None


def _is_in(element: etree._Element, uris: UriSet | None) -> bool:
    uri = identifier(_text(element)) if uris is not None else None
    return uri is not None and uris is not None and uri in uris


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
        if tag == _STATUS and element.tag == _SERVICE:
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
    shown = etree.SubElement(occurrence, _STATUS)
    for basic in status.iterchildren(_BASIC):
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
    if element.tag == _CONTACT and "priority" in element.attrib:
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
