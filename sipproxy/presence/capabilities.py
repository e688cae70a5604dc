"""What a contact said that it can, as a watcher is shown it (RFC 3840 tags in RFC 5196's terms)."""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Callable

from lxml import etree

from sipproxy.presence.namespaces import CAPS
from sipproxy.sip.features import Terms, features_of
from sipproxy.sip.grammar import Params

_TAGS = {"event-packages": b"sip.events", "languages": b"language", "type": b"type"}
_LISTS = {"languages": "l", "schemes": "s"}
# The values that have an element of their own; others would need a namespace that nobody gave them.
_VALUES = {
    "actor": "attendant information msg-taker principal",
    "class": "business personal",
    "duplex": "full half receive-only send-only",
    "event-packages": "conference dialog kpml message-summary poc-settings presence reg refer "
    "Siemens-RTP-Stats spirits-INDPs spirits-user-prof winfo",
    "extensions": "100rel early-session eventlist from-change gruu histinfo join norefersub path "
    "precondition pref privacy recipient-list-invite recipient-list-subscribe replaces "
    "resource-priority sdp-anat sec-agree tdialog timer",
    "methods": "ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER "
    "SUBSCRIBE UPDATE",
}
_SPELLED = {"100rel": "rel100", "histinfo": "hist-info"}  # no element begins with a digit
_PARAMETERS = frozenset(
    b"actor application audio automata class control data description duplex events extensions "
    b"isfocus methods language priority schemes text type video +sip.message".split()
)
_no_xml = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Said = tuple[tuple[bytes, bytes | None], ...]


def said_by(params: Params) -> Said:
    """Return what a Contact's parameters say of capabilities."""
    return tuple((name, value) for name, value in params.items() if name in _PARAMETERS)


def servcaps(said: Said) -> etree._Element | None:
    """Return the element that shows it, or None where nothing is said (RFC 5196 §3.2.1)."""
    element = _servcaps(said)
    return None if element is None else copy.copy(element)


@functools.lru_cache(256)  # phones of one make say the same
def _servcaps(said: Said) -> etree._Element | None:
    features = features_of(dict(said))
    root = etree.Element(CAPS + "servcaps", nsmap={"caps": CAPS[1:-1]})
    for name, add in _ELEMENTS.items():
        terms = features.get(_TAGS.get(name, b"sip." + name.encode()))
        if terms is not None:
            add(root, name, terms)
    return root if len(root) else None


def _add_texts(root: etree._Element, name: str, terms: Terms) -> None:
    for text in sorted(_texts(terms.values)):
        etree.SubElement(root, CAPS + name).text = text


def _add_boolean(root: etree._Element, name: str, terms: Terms) -> None:
    holds = {text.lower() for text in _texts(terms.values)}
    denied = {text.lower() for text in _texts(terms.denied)}
    if "true" in holds or "false" in denied:
        etree.SubElement(root, CAPS + name).text = "true"
    elif "false" in holds or "true" in denied:
        etree.SubElement(root, CAPS + name).text = "false"


def _add_set(root: etree._Element, name: str, terms: Terms) -> None:
    """Say which values are supported, and which are not (§4.1)."""
    element = etree.Element(CAPS + name)
    for kind, values in (("supported", terms.values), ("notsupported", terms.denied)):
        part = etree.Element(CAPS + kind)
        said = {text.lower() for text in _texts(values)}
        if name in _LISTS:
            for text in sorted(said):
                etree.SubElement(part, CAPS + _LISTS[name]).text = text
        else:
            for value in _VALUES[name].split():
                if value.lower() in said:
                    etree.SubElement(part, CAPS + _SPELLED.get(value, value))
        if len(part):
            element.append(part)
    if len(element):
        root.append(element)


def _add_priority(root: etree._Element, name: str, terms: Terms) -> None:
    """Say which priorities are (§3.2.15); ``higherhan`` is how the schema spells it."""
    supported = etree.Element(CAPS + "supported")
    for low, high in sorted(terms.ranges, key=_rank):
        if low == high:
            etree.SubElement(supported, CAPS + "equals", value=f"{low:.0f}")
        elif low == -math.inf:
            etree.SubElement(supported, CAPS + "lowerthan", maxvalue=f"{high:.0f}")
        elif high == math.inf:
            etree.SubElement(supported, CAPS + "higherhan", minvalue=f"{low:.0f}")
        else:
            limits = {"minvalue": f"{low:.0f}", "maxvalue": f"{high:.0f}"}
            etree.SubElement(supported, CAPS + "range", limits)
    if len(supported):
        etree.SubElement(root, CAPS + name).append(supported)


def _rank(limits: tuple[float, float]) -> int:
    """Return the place of a range among the elements: the schema has them by kind."""
    low, high = limits
    if low == high:
        return 0
    return 1 if high == math.inf else 2 if low == -math.inf else 3


def _texts(values: set[tuple[bytes, bytes] | tuple[float, float]]) -> list[str]:
    """Return the tokens and strings among the values of a feature, as XML can have them."""
    texts = (text.decode("utf-8", "replace") for _, text in values if isinstance(text, bytes))
    return [_no_xml.sub("", text) for text in texts]


# In the order of the schema, which is not quite that of the alphabet (RFC 5196 §5).
_ELEMENTS: dict[str, Callable[[etree._Element, str, Terms], None]] = {
    "actor": _add_set,
    "application": _add_boolean,
    "audio": _add_boolean,
    "automata": _add_boolean,
    "class": _add_set,
    "control": _add_boolean,
    "data": _add_boolean,
    "description": _add_texts,
    "duplex": _add_set,
    "event-packages": _add_set,
    "extensions": _add_set,
    "isfocus": _add_boolean,
    "message": _add_boolean,
    "methods": _add_set,
    "languages": _add_set,
    "priority": _add_priority,
    "schemes": _add_set,
    "text": _add_boolean,
    "type": _add_texts,
    "video": _add_boolean,
}
