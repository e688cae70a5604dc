"""What an operator can set of the registrar."""

from __future__ import annotations

import msgspec


class RegistrarOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[plugin.registrar]`` table; times in seconds."""

    default_expires: int = 3600  # of a binding that does not say
    min_expires: int = 60  # less is answered 423
    max_expires: int = 7200  # more is cut to this
    max_bindings: int = 10  # per address-of-record; beyond: 403
    max_contact: int = 2048  # bytes of one Contact value; beyond: 400
    max_path: int = 10  # values of Path; beyond: 400
    max_waiting: int = 20  # requests of one user, while one before them is written; beyond: 503
    service_route: str = ""  # a URI of ours that clients are to put into Route; empty: none
    flow_timer: int = 120  # clients of RFC 5626 send keep-alives as often; 0: as they like

    def __post_init__(self) -> None:
        if not 0 < self.min_expires <= self.default_expires <= self.max_expires:
            raise ValueError("needs 0 < min_expires <= default_expires <= max_expires")
        if self.max_bindings < 1:
            raise ValueError("max_bindings has to be at least 1")
        if self.max_contact < 1:
            raise ValueError("max_contact has to be at least 1")
        if self.max_waiting < 1:
            raise ValueError("max_waiting has to be at least 1")
        if self.flow_timer < 0:
            raise ValueError("flow_timer has to be 0 or more")
