"""One instance, several contacts: which is tried first, and that it is one at a time (RFC 5626)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sipproxy.interfaces import Target

if TYPE_CHECKING:
    from sipproxy.registrar.binding import Binding

Found = list[tuple[Target, "Binding"]]


def in_turn(found: Found) -> Found:
    """Return targets with those of each instance together, the most recently refreshed first.

    RFC 5627 §6.1 asks for that order, RFC 5626 §7 leaves it to us. Where the first of an instance
    stood, there they all stand now.
    """
    if len(found) < 2:
        return found
    groups: dict[bytes | int, Found] = {}
    for number, one in enumerate(found):
        groups.setdefault(one[0].instance or number, []).append(one)
    for group in groups.values():
        group.sort(key=lambda one: -one[1].instance.made if one[1].instance else 0)
    return [one for group in groups.values() for one in group]


def first_of_each(targets: Sequence[Target]) -> Sequence[Target]:
    """Return the first target of each instance; it knows the ``others`` (RFC 5626 §7)."""
    if len(targets) < 2:
        return targets
    first: dict[bytes | int, Target] = {}
    for number, target in enumerate(targets):
        known = first.setdefault(target.instance or number, target)
        if known is not target:
            known.others = (*known.others, target)
    return list(first.values())
