"""What rules grant, and how the grants of several combine (RFC 4745 §10.2, RFC 5025 §3.2, §3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lxml import etree

from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK

RULES = "{urn:ietf:params:xml:ns:pres-rules}"
NONE, BARE, THRESHOLDS, FULL = 0, 10, 20, 30  # of <user-input> (RFC 5025 §3.3.2.12)
EVERY = ("all", "")  # the member of a set that stands for each occurrence
CLASS = "class"

_HANDLING = {"block": BLOCK, "confirm": CONFIRM, "polite-block": POLITE_BLOCK, "allow": ALLOW}
_USER_INPUT = {"false": NONE, "bare": BARE, "thresholds": THRESHOLDS, "full": FULL}
# The attributes that have a permission of their own, all Boolean (RFC 5025 §3.3.2).
ATTRIBUTES = frozenset(
    ("activities", CLASS, "deviceID", "mood", "place-is", "place-type", "privacy", "relationship")
) | frozenset(("sphere", "status-icon", "time-offset", "note"))
_SETS = {
    "persons": ("class", "occurrence-id"),
    "devices": ("class", "occurrence-id", "deviceID"),
    "services": ("class", "occurrence-id", "service-uri", "service-uri-scheme"),
}

Chosen = frozenset[tuple[str, str]]
NOBODY: Chosen = frozenset()


@dataclass(frozen=True)
class Permissions:
    """What a watcher may have: the actions and transformations of all rules that match.

    ``persons``, ``devices`` and ``services`` are sets of (how, what), say ("class", "work"), or
    hold `EVERY`; ``attributes`` are of `ATTRIBUTES`; ``unknown`` are qualified names as lxml writes
    them. What is not granted is withheld.
    """

    handling: int = BLOCK
    persons: Chosen = NOBODY
    devices: Chosen = NOBODY
    services: Chosen = NOBODY
    attributes: frozenset[str] = frozenset()
    user_input: int = NONE
    unknown: frozenset[str] = frozenset()
    all_attributes: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing that is withheld."""
        sets = (self.persons, self.devices, self.services)
        return self.all_attributes and all(EVERY in chosen for chosen in sets)


EVERYTHING = Permissions(
    ALLOW, *3 * (frozenset((EVERY,)),), user_input=FULL, attributes=ATTRIBUTES, all_attributes=True
)


def combined(permissions: Iterable[Permissions]) -> Permissions:
    """Combine what matching rules grant, each permission by itself (RFC 4745 §10.2).

    Booleans by OR, integers by the maximum, sets by union. Those that show the same are equal.
    """
    every = list(permissions)
    all_attributes = any(one.all_attributes for one in every)
    return Permissions(
        max((one.handling for one in every), default=BLOCK),
        _united(one.persons for one in every),
        _united(one.devices for one in every),
        _united(one.services for one in every),
        # §3.3.2.15: the permission for all is a macro that expands into the others.
        ATTRIBUTES if all_attributes else frozenset().union(*(one.attributes for one in every)),
        FULL if all_attributes else max((one.user_input for one in every), default=NONE),
        frozenset() if all_attributes else frozenset().union(*(one.unknown for one in every)),
        all_attributes,
    )


def _united(sets: Iterable[Chosen]) -> Chosen:
    union: Chosen = frozenset().union(*sets)
    return frozenset((EVERY,)) if EVERY in union else union


def read_permissions(parts: Iterable[etree._Element]) -> Permissions:
    """Read the children of <actions> and <transformations>, which the schema allows.

    What is not known grants nothing (RFC 5025 §8).
    """
    return combined(map(_read, parts))


def _read(element: etree._Element) -> Permissions:
    """Return what one permission grants."""
    if not element.tag.startswith(RULES):
        return Permissions()
    name, text = element.tag.removeprefix(RULES), _token(element)
    if name == "sub-handling":
        return Permissions(handling=_HANDLING[text])
    name = name.removeprefix("provide-")
    if name in _SETS:
        members: dict[str, Any] = {name: _members(element, name)}
        return Permissions(**members)
    if name == "user-input":
        return Permissions(user_input=_USER_INPUT[text])
    if name == "all-attributes":
        return Permissions(all_attributes=True)
    if text not in ("true", "1"):
        return Permissions()
    if name == "unknown-attribute":
        return Permissions(unknown=frozenset((_qualified(element),)))
    return Permissions(attributes=ATTRIBUTES & {name})


def _members(element: etree._Element, name: str) -> Chosen:
    members = set()
    for member in element:
        kind = member.tag.removeprefix(RULES)
        if kind == f"all-{name}":
            members.add(EVERY)
        elif kind in _SETS[name]:
            members.add((kind, _token(member)))
    return frozenset(members)


def _qualified(element: etree._Element) -> str:
    """Return the name that is meant; raises ValueError (RFC 5025 §3.3.2.14)."""
    name, namespace = element.get("name", ""), element.get("ns", "")
    if ":" in name:
        raise ValueError(f'<provide-unknown-attribute name="{name[:80]}"> MUST have no prefix')
    try:
        return etree.QName(namespace or None, name).text
    except ValueError:
        raise ValueError(
            f'<provide-unknown-attribute name="{name[:80]}" ns="{namespace[:80]}"> names no element'
        ) from None


def _token(element: etree._Element) -> str:
    """Return an xs:token, or another type whose white space says nothing."""
    return " ".join((element.text or "").split())
