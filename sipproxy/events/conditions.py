"""Conditional notification: what a watcher has already is not sent again (RFC 5839)."""

from __future__ import annotations

import hashlib

from sipproxy.interfaces.events import Body
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import is_token
from sipproxy.sip.message import Request

# What becomes of a NOTIFY: it goes as it is, without its body, or not at all.
WHOLE, BODILESS, SUPPRESSED = range(3)

ANY = b"*"
_TAG_LENGTH = 16  # octets


def entity_tag(body: Body | None) -> bytes:
    """Return the SIP-ETag of a NOTIFY: a token, never ``*`` (§6.1); None is a NOTIFY without body.

    What the body shows has to be in ``Body.tag``; its Content-Type is part of the entity, too (§4).
    """
    text = b"" if body is None else body.media_type + b"\0" + body.tag
    return hashlib.sha256(text).digest()[:_TAG_LENGTH].hex().encode()


def asked_condition(request: Request) -> Condition:
    """Return the condition of a SUBSCRIBE; raises `SipError` 400 where it is not one tag (§5.2)."""
    if b"suppress-if-match" not in request.names:
        return Condition(None)
    values = request.raw_values(b"suppress-if-match")
    if len(values) > 1 or not is_token(values[0]):
        raise SipError(400, "Bad Suppress-If-Match")
    return Condition(values[0])


class Condition:
    """The Suppress-If-Match of the latest SUBSCRIBE, None where it had none.

    ``current`` is always the entity-tag of what would be sent to this watcher now. A condition that
    was false once is no more: the watcher has been told of another state, and an old one that
    comes again is news.
    """

    __slots__ = ("_tag",)

    def __init__(self, tag: bytes | None) -> None:
        self._tag = tag

    @property
    def is_set(self) -> bool:
        """Whether it may yet be true."""
        return self._tag is not None

    @property
    def tag(self) -> bytes | None:
        """The entity-tag that the watcher has, or ``*``; None where it is none any more."""
        return self._tag

    def holds(self, current: bytes) -> bool:
        """Tell whether the condition is true, octet for octet; ``*`` always is (§6.2, §6.3)."""
        if self._tag not in (None, ANY, current):
            self._tag = None
        return self._tag is not None

    def after_subscribe(self, current: bytes, in_dialog: bool) -> int:
        """Return what becomes of the NOTIFY that answers this SUBSCRIBE.

        Within a dialog it is `SUPPRESSED`, and the response a 204, also where the SUBSCRIBE ends
        the subscription (§5.7, §6.3). Outside of one, a fetch included, it is `BODILESS` (§6.2).
        """
        if not self.holds(current):
            return WHOLE
        return SUPPRESSED if in_dialog else BODILESS

    def after_change(self, current: bytes, is_status_new: bool) -> int:
        """Return what becomes of any other NOTIFY, one that is due by a minimum rate too.

        ``is_status_new`` is whether Subscription-State says another state than the watcher was told
        last, for that is told without the body (§6.2).
        """
        if not self.holds(current):
            return WHOLE
        return BODILESS if is_status_new else SUPPRESSED
