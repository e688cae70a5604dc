"""The configuration of subscriptions and publications."""

from __future__ import annotations

import msgspec


class Events(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[events]`` table."""

    packages: tuple[str, ...] = ()
    forward: tuple[str, ...] = ("dialog", "conference")  # phones notify of these themselves
    winfo_interval: float = 5.0  # seconds between documents for one subscriber (RFC 3857 §4.10)
    winfo_watchers: int = 1000  # in one document; the rest follows in the next
