"""Faults of a peer, each with the status that answers it."""

from __future__ import annotations

from collections.abc import Sequence

from sipproxy.sip.status import reason_for


class SipError(Exception):
    """A peer's request cannot be served; it becomes a response in one place.

    ``status`` is the SIP status code, ``reason`` its phrase, ``headers`` the (name, value) pairs
    that the response carries beside the ones copied from the request. ``limit`` is the key in the
    configuration of which there was too much, where that is why.
    """

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        limit: str = "",
    ) -> None:
        self.status = status
        self.limit = limit
        self.reason = reason or reason_for(status)
        self.headers = tuple(headers)
        super().__init__(f"{status} {self.reason}")
