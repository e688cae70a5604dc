"""One instance, several contacts: which is tried first, and that it is one at a time (RFC 5626)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sipproxy.interfaces import Target

if TYPE_CHECKING:
    from sipproxy.registrar.binding import Binding


def in_turn(bindings: Sequence[Binding]) -> Sequence[Binding]:
    """Return bindings with those of each instance together, the most recently refreshed first.

    RFC 5627 §6.1 asks for that order, RFC 5626 §7 leaves it to us. Where the first of an instance
    stood, there they all stand now.
    """
    if len(bindings) < 2:
        return bindings
    groups: dict[bytes | int, list[Binding]] = {}
    for number, binding in enumerate(bindings):
        key = number if binding.instance is None else binding.instance.urn
        groups.setdefault(key, []).append(binding)
    for group in groups.values():
        group.sort(key=lambda b: -b.instance.made if b.instance else 0)
    return [binding for group in groups.values() for binding in group]


def first_of_each(targets: Sequence[Target]) -> Sequence[Target]:
    """Return the targets without all but the first of each instance (RFC 5626 §7)."""
    if len(targets) < 2:
        return targets
    seen: set[bytes] = set()
    first = []
    for target in targets:
        if not target.instance or target.instance not in seen:
            first.append(target)
        seen.add(target.instance)
    return first
