"""The configuration of what operators look at."""

from __future__ import annotations

import msgspec


class Http(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[http]`` table: where metrics and health are served."""

    address: str = "127.0.0.1"  # whoever reaches it may read it
    port: int = 0  # 0: nowhere
