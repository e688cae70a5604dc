"""What one watcher wants, and what has come of it so far: all that a restart must not forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from sipproxy.events.asked import Asked
from sipproxy.events.conditions import ANY, Condition
from sipproxy.events.dialog import Dialog, name_text
from sipproxy.events.rates import Rates
from sipproxy.events.telling import ACTIVE, NEVER, Telling
from sipproxy.interfaces.events import Verdict

if TYPE_CHECKING:
    from sipproxy.events.notifier import Notifier
    from sipproxy.events.resources import Resource

_MOST_REQUESTS, _MOST_BYTES = 10, 32768  # that are kept of one dialog, for the terms in them

# A SUBSCRIBE with a body: its Request-URI, the fields that say something of it, and the body.
_Request = tuple[bytes, tuple[tuple[bytes, bytes], ...], bytes]


class Past(msgspec.Struct, array_like=True, frozen=True):
    """What a subscription has come to, but for its dialog, as it is kept; times are dates.

    ``requests`` are those that its terms came of, None where they are too many. ``condition`` is
    the entity-tag of RFC 5839, ``rates`` those that the watcher wants (RFC 6446).
    """

    id: bytes
    source: bytes
    status: bytes
    event: bytes
    began_at: float
    expires_at: float
    gives_up_at: float
    sent: int
    accepted: tuple[bytes, ...]
    likeness: bytes | None
    requests: tuple[_Request, ...] | None
    condition: bytes | None
    rates: tuple[float | None, float | None, float | None]
    is_confirmed: bool


class Wishing(Telling):
    """The part of a subscription that its watcher has a say in.

    ``source`` is the address that it came from, ``event`` why it has the status that it has. What
    it is called (``name``) comes of the tag of its dialog, and stays when that is over.
    """

    __slots__ = (
        *("_gives_up_at", "accepted", "began_at", "event", "is_confirmed", "likeness"),
        *("media_type", "name", "requests", "source", "terms"),
    )

    def __init__(
        self, notifier: Notifier, resource: Resource, dialog: Dialog | None, verdict: Verdict
    ) -> None:
        Telling.__init__(self, notifier, resource, dialog, verdict)
        self.name = -1 if dialog is None else dialog.name
        self.source = b""
        self.event = b"subscribe"
        self.began_at = self.expires_at
        self.accepted: tuple[bytes, ...] = ()
        self.media_type = b""
        self.terms: Any = None
        self.requests: tuple[_Request, ...] | None = ()
        self.likeness: bytes | None = None
        self.is_confirmed = False
        self._gives_up_at = NEVER

    @property
    def id(self) -> bytes:
        """What others may know it by."""
        return name_text(self.name)

    def ask(self, asked: Asked) -> None:
        """Take what a SUBSCRIBE says; a filter stays until another comes (RFC 4660 §4.3)."""
        known = self.media_type, self.terms
        self.expires_at = self._notifier.host.now() + asked.seconds
        self.accepted = asked.accepted
        self.media_type = asked.accepted[0]
        self._condition = asked.condition
        self.agree(asked.rates)
        if asked.has_body:
            self.terms = asked.terms
            self.requests = self._requests(asked)
        if (self.media_type, self.terms) != known:
            self._is_owed = True  # what it would be told is another thing
        if asked.has_body or self.likeness is None:
            self.likeness = asked.likeness

    def _requests(self, asked: Asked) -> tuple[_Request, ...] | None:
        if self.requests is None or not asked.has_body:
            return self.requests
        found = (*self.requests, asked.request)
        if len(found) > _MOST_REQUESTS or sum(len(body) for _, _, body in found) > _MOST_BYTES:
            return None
        return found

    def doubt(self) -> None:
        """Have the verdict asked for again before anything is told."""
        self._judged_version = -1

    def past(self, date: Callable[[float], float], asked: Asked | None = None) -> Past:
        """Return what this has come to, or will have when it follows a SUBSCRIBE."""
        condition, rates, accepted = self._condition, self.wanted_rates, self.accepted
        expires_at, likeness, requests = self.expires_at, self.likeness, self.requests
        if asked is not None:
            condition, rates, accepted = asked.condition, asked.rates, asked.accepted
            expires_at = self._notifier.host.now() + asked.seconds
            likeness = asked.likeness if asked.has_body else likeness
            requests = self._requests(asked)
        return Past(
            self.id,
            self.source,
            self.status,
            self.event,
            date(self.began_at),
            date(expires_at),
            date(self._gives_up_at),
            self.sent,
            accepted,
            likeness,
            requests,
            None if condition is None else condition.tag,
            rates,
            self.is_confirmed,
        )

    def resume(self, past: Past, moment: Callable[[float], float], jump: int, told: bytes) -> None:
        """Be what there was; ``told`` is the entity-tag that the watcher has, if that is known.

        ``jump`` is how many bodies may have been sent since it was written. Whoever cannot be
        reached is told nothing until it asks again, or there are news.
        """
        if self.dialog is None:
            self.name = int(past.id, 16)
        self.status, self.event = past.status, past.event
        self.began_at, self.expires_at = moment(past.began_at), moment(past.expires_at)
        self.sent = past.sent + jump
        self.likeness, self.requests = past.likeness, past.requests
        self.accepted, self.media_type = past.accepted, past.accepted[0]
        self.is_confirmed = past.is_confirmed
        if self.status != ACTIVE:
            latest = self._notifier.host.now() + self._notifier.settings.waiting
            self._gives_up_at = min(moment(past.gives_up_at), latest)
        if past.condition is not None and (told or past.condition == ANY):
            self._condition = Condition(past.condition)
        self.agree(Rates(*past.rates))
        self.recover(told)
