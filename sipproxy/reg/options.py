"""What an operator can set of the registration package."""

from __future__ import annotations

import math

import msgspec


class RegOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[plugin.reg]`` table; times in seconds."""

    # Who may know everybody's registrations beside the users themselves (RFC 3680 §4.6): addresses
    # (app@example.test) and domains whose peers, or users, all may (edge.example.test).
    watchers: tuple[str, ...] = ()
    notify_interval: float = 5.0  # between changes told to one of them (RFC 3680 §4.10)

    def __post_init__(self) -> None:
        if not 0 <= self.notify_interval < math.inf:
            raise ValueError("notify_interval has to be 0 or more, and finite")
