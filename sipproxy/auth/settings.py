"""The configuration of authentication and of the domains that we exchange messages with."""

from __future__ import annotations

from typing import Literal

import msgspec


class Auth(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[auth]`` table."""

    required: bool = True  # false: every user exists, nobody is challenged
    # Offered in this order.
    algorithms: tuple[Literal["MD5", "SHA-256", "SHA-512-256"], ...] = ("SHA-256", "MD5")
    nonce_lifetime: float = 300.0  # seconds that a challenge may be answered in


class Federation(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[federation]`` table."""

    inbound: Literal["listed", "open", "closed"] = "listed"  # who may send to our users


class Route(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename={"from_": "from"}):
    """One ``[[route]]`` entry: where a foreign domain is, and who may speak for it."""

    domain: str  # a foreign one
    to: str  # a SIP URI: its next hop
    from_: tuple[str, ...] = ()  # addresses that may speak for it; none: those of `to`
    trusted: bool = False  # it is told asserted identities, and its own are believed
