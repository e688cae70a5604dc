"""The event package ``message-summary`` (RFC 3842)."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from sipproxy.interfaces.events import (
    ALLOW,
    BLOCK,
    Body,
    IEventHost,
    IEventPackage,
    ISubscription,
    Publication,
    Verdict,
    Watcher,
)
from sipproxy.sip.message import Request
from sipproxy_mwi.summary import Summary, read_summary, total, write_summary

SUMMARY = b"application/simple-message-summary"


@implementer(IEventPackage)
class MessageSummary:
    """Tells the owner of a mailbox how many messages are in it."""

    name = b"message-summary"
    body_types = publication_types = (SUMMARY,)  # §3.5
    default_expires = 3600  # §3.4
    notify_interval = 1.0  # §3.11

    def __init__(self, host: IEventHost) -> None:
        self._host = host

    def exists(self, resource: bytes) -> Any:
        """Every user has a mailbox, with nothing in it at first."""
        return self._host.credentials.known(resource)

    def authorize(self, resource: bytes, watcher: Watcher) -> Verdict:
        """Nobody but the owner may watch a mailbox; all see the same of it (§3.7)."""
        is_owner = bool(watcher.identity) and watcher.aor == resource
        return Verdict(ALLOW if is_owner else BLOCK)

    def terms(self, request: Request, resource: bytes, earlier: Any) -> None:
        """There is nothing to filter (§3.3)."""

    def check(
        self, resource: bytes, media_type: bytes, data: bytes, replaced: Publication | None
    ) -> Summary:
        """Return what a voicemail system says; raises `SipError` 400."""
        return read_summary(data)

    def compose(self, resource: bytes) -> Body:
        """Return the sum of what is published, ready to be sent.

        A voicemail system that has closed its connection has not lost its messages: what it said
        counts until it expires.
        """
        publications = self._host.notifier.publications(self.name, resource)
        data = write_summary(total(publication.content for publication in publications))
        return Body(SUMMARY, data, tag=data)

    def render(self, state: Body, subscription: ISubscription, is_full: bool) -> Body:
        """Return the same for everybody (§3.8: always the whole)."""
        return state
