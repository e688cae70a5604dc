"""What one watcher wants, and what has come of it so far: all that a restart must not forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from sipproxy.events.asked import Asked
from sipproxy.events.conditions import ANY, Condition
from sipproxy.events.dialog import Dialog, name_text
from sipproxy.events.rare import NEVER, KeptRequest
from sipproxy.events.rates import NONE, Pace, Rates
from sipproxy.events.telling import ACTIVE, Telling
from sipproxy.interfaces.events import Verdict

if TYPE_CHECKING:
    from sipproxy.events.notifier import Notifier
    from sipproxy.events.resources import Resource

_MOST_REQUESTS, _MOST_BYTES = 10, 32768  # that are kept of one dialog, for the terms in them


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
    requests: tuple[KeptRequest, ...] | None
    condition: bytes | None
    rates: tuple[float | None, float | None, float | None]
    is_confirmed: bool


class Wishing(Telling):
    """The part of a subscription that its watcher has a say in.

    ``source`` is the address that it came from, ``event`` why it has the status that it has. What
    it is called (``name``) comes of the tag of its dialog, and stays when that is over.
    """

    __slots__ = (*("accepted", "began_at", "event", "name", "source"),)

    def __init__(
        self, notifier: Notifier, resource: Resource, dialog: Dialog | None, verdict: Verdict
    ) -> None:
        Telling.__init__(self, notifier, resource, dialog, verdict)
        self.name = -1 if dialog is None else dialog.name
        self.source = b""
        self.event = b"subscribe"
        self.began_at = self.expires_at
        self.accepted: tuple[bytes, ...] = ()

    @property
    def id(self) -> bytes:
        """What others may know it by."""
        return name_text(self.name)

    @property
    def media_type(self) -> bytes:
        """What its bodies are to be."""
        return self.accepted[0]

    @property
    def terms(self) -> Any:
        """What the package made of the latest SUBSCRIBE with a body."""
        return self.rare.terms

    @property
    def is_confirmed(self) -> bool:
        """Whether its watcher is known to be there."""
        return self.rare.is_confirmed

    @property
    def is_conditional(self) -> bool:
        """Whether its watcher has said that it knows something, and is not told that."""
        condition = self.rare.condition
        return condition is not None and condition.is_set

    @property
    def wanted_rates(self) -> Rates:
        """The rates that the watcher wants."""
        pace = self.rare.pace
        return NONE if pace is None else pace.wanted

    def agree(self, rates: Rates) -> None:
        """Take the rates that a SUBSCRIBE, or the answer to a NOTIFY, asks for (RFC 6446)."""
        pace = self.rare.pace
        if rates == NONE:
            if pace is not None:
                self.alter(pace=None)
            return
        now = self._notifier.host.now()
        if pace is None:
            pace = self._new_pace(now)
            self.alter(pace=pace)
        pace.agree(rates, now, self.expires_at)

    def _new_pace(self, now: float) -> Pace:
        """Return one that knows when anything was told last; where that is unknown, it is now."""
        interval = self._resource.package.notify_interval
        pace = Pace(interval, self._notifier.settings.highest_min_rate)
        is_unknown = self._not_before == -NEVER and self._told_tag
        pace.sent_at = now if is_unknown else self._not_before - interval
        return pace

    def ask(self, asked: Asked) -> None:
        """Take what a SUBSCRIBE says; a filter stays until another comes (RFC 4660 §4.3)."""
        known, rare = self.accepted, self.rare
        self.expires_at = self._notifier.host.now() + asked.seconds
        self.accepted = asked.accepted
        if asked.condition is not rare.condition:
            self.alter(condition=asked.condition)
        self.agree(asked.rates)
        if asked.has_body:
            requests = self._requests(asked)
            self.alter(terms=asked.terms, requests=requests, likeness=asked.likeness)
        elif not known and asked.likeness:
            self.alter(likeness=asked.likeness)
        if known[:1] != self.accepted[:1] or self.terms != rare.terms:
            self._is_owed = True  # what it would be told is another thing

    def _requests(self, asked: Asked) -> tuple[KeptRequest, ...] | None:
        known = self.rare.requests
        if known is None or not asked.has_body:
            return known
        found = (*known, asked.request)
        if len(found) > _MOST_REQUESTS or sum(len(body) for _, _, body in found) > _MOST_BYTES:
            return None
        return found

    def doubt(self) -> None:
        """Have the verdict asked for again before anything is told."""
        self._judged_version = -1

    def past(self, date: Callable[[float], float], asked: Asked | None = None) -> Past:
        """Return what this has come to, or will have when it follows a SUBSCRIBE."""
        rare, accepted, expires_at = self.rare, self.accepted, self.expires_at
        condition, rates = rare.condition, self.wanted_rates
        likeness, requests = rare.likeness, rare.requests
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
            date(rare.gives_up_at),
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
        self.accepted = past.accepted
        self.alter(
            likeness=past.likeness or b"",
            requests=past.requests,
            is_confirmed=past.is_confirmed,
        )
        if self.status != ACTIVE:
            latest = self._notifier.host.now() + self._notifier.settings.waiting
            self.alter(gives_up_at=min(moment(past.gives_up_at), latest))
        if past.condition is not None and (told or past.condition == ANY):
            self.alter(condition=Condition(past.condition))
        self.agree(Rates(*past.rates))
        self.recover(told)
