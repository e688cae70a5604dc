"""The configuration of presence."""

from __future__ import annotations

from typing import Literal

import msgspec


class Presence(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[presence]`` table."""

    # What strangers get of a presentity without rules (RFC 5025 §3.2.1).
    unknown_watchers: Literal["allow", "confirm", "polite-block", "block"] = "confirm"
    notify_interval: float = 5.0  # seconds between NOTIFYs to one watcher (RFC 3856 §6.10)
    registrations: bool = True  # a registered device is shown as open (RFC 3856 §7.2)
    document: int = 65536  # bytes of one published document; beyond: 413
    elements: int = 1000  # in one published document; beyond: 413
    rules: int = 1000  # rules, conditions and names in one document of them; beyond: refused
    filter_parts: int = 40  # includes, excludes, conditions of a watcher's filters; beyond: 488
