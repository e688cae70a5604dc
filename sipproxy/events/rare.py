"""What few subscriptions have: it is kept apart, for there are very many of them."""

from __future__ import annotations

from typing import Any

import msgspec

from sipproxy.events.conditions import Condition
from sipproxy.events.content import Content
from sipproxy.events.rates import Pace

NEVER = float("inf")

# A SUBSCRIBE with a body: its Request-URI, the fields that say something of it, and the body.
KeptRequest = tuple[bytes, tuple[tuple[bytes, bytes], ...], bytes]


class Rare(msgspec.Struct, frozen=True):
    """What is said of a subscription that is not as most are.

    ``condition`` is that of the latest SUBSCRIBE (RFC 5839), ``pace`` follows the rates that it
    asked for (RFC 6446). ``terms`` is what the package made of the bodies in ``requests``, which
    is None where they are too many; ``likeness`` is the same for what asks for the same (RFC 3857
    §4.7.1). ``gives_up_at`` is when a pending or waiting one has waited too long. ``prepared`` is
    a rendering of all, kept from `Telling.knows` to the NOTIFY that follows the same SUBSCRIBE.
    Where not ``is_confirmed``, it is counted as one that nobody has answered for.
    """

    condition: Condition | None = None
    pace: Pace | None = None
    terms: Any = None
    requests: tuple[KeptRequest, ...] | None = ()
    likeness: bytes = b""
    gives_up_at: float = NEVER
    prepared: Content | None = None
    is_confirmed: bool = True


USUAL = Rare()  # what most share


def changed(rare: Rare, **values: Any) -> Rare:
    """Return it with other values; what is as usual again takes no room."""
    new = msgspec.structs.replace(rare, **values)
    return USUAL if new == USUAL else new
