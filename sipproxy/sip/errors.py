"""Faults of a peer, each with the status that answers it."""

from __future__ import annotations

from collections.abc import Sequence

from sipproxy.sip.status import reason_for


class SipError(Exception):
    """A peer's request cannot be served; it becomes a response in one place.

    ``status`` is the SIP status code, ``reason`` its phrase, ``headers`` the (name, value) pairs
    that the response carries beside the ones copied from the request.
    """

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.status = status
        self.reason = reason or reason_for(status)
        self.headers = tuple(headers)
        super().__init__(f"{status} {self.reason}")
