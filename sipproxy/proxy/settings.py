"""The configuration of the front door and of what it hands requests to."""

from __future__ import annotations

import msgspec


class Proxy(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[proxy]`` table."""

    patience: float = 10.0  # seconds; a non-INVITE branch silent this long has failed
    ring: float = 185.0  # seconds; Timer C, more than three minutes (RFC 3261 §16.6 step 11)
    longest_ring: float = 3600.0  # seconds that a call may ring, whatever is said meanwhile
    next_group: float = 20.0  # seconds that devices of one q ring before those of a lower one
    filters: tuple[str, ...] = ()  # components that look at requests or responses, in order
    # Components that answer for our domains, in order.
    handlers: tuple[str, ...] = ("registrar", "publish", "subscribe")
    routers: tuple[str, ...] = ("location", "domains", "dns")  # that find targets, in order
    max_breadth: int = 60  # RFC 5393 §5.3.3
    max_forwards: int = 70  # for requests without (RFC 3261 §16.6 step 3)
