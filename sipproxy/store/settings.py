"""The configuration of what survives a restart."""

from __future__ import annotations

import msgspec


class StoreSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[store]`` table."""

    durable: bool = False  # REGISTER, PUBLISH and SUBSCRIBE are answered once it is on disk
    delay: float = 0.05  # seconds that changes may wait for others, to be written together
