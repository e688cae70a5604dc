"""The configuration of subscriptions and publications."""

from __future__ import annotations

import msgspec


class Events(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[events]`` table."""

    packages: tuple[str, ...] = ()  # components that are event packages
    forward: tuple[str, ...] = ("dialog", "conference")  # phones notify of these themselves
