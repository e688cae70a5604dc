"""The presence event package (RFC 3856 §6)."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lxml import etree
from zope.interface import implementer

from sipproxy.events.filters import FilterReader, Filters
from sipproxy.interfaces.events import (
    ALLOW,
    Body,
    IEventHost,
    IEventPackage,
    IKeepsContents,
    IKeepsStates,
    ISubscription,
    Publication,
    Verdict,
    Watcher,
)
from sipproxy.interfaces.reload import IReconfigurable
from sipproxy.presence.composition import closed_document
from sipproxy.presence.partial import PIDF_DIFF
from sipproxy.presence.pidf import Document, Reader, spheres_at, spheres_change
from sipproxy.presence.publishing import whole_document
from sipproxy.presence.records import kept_document, restored_document
from sipproxy.presence.registration import Services
from sipproxy.presence.settings import Presence
from sipproxy.presence.views import PIDF_XML, Showing

if TYPE_CHECKING:
    from sipproxy.sip.message import Request

KEY = "presence.key"  # in the data directory
KEY_LENGTH = 32  # bytes
_MOST_AT_REST = 16384  # bytes that watchers of one presentity are shown; beyond: made anew
_LONGEST_SLEEP = 3600.0  # seconds: the wall clock may be set, and appointments go by another one

Transform = Callable[[etree._Element, Any], etree._Element]


class Judge(Protocol):
    """Who decides what a watcher may have."""

    def judge(self, resource: bytes, watcher: Watcher, sphere: bytes | None) -> Verdict:
        """Return the verdict, while the presentity is in a sphere."""

    def follow(self, settings: Presence) -> None:
        """Have another policy."""


class View(NamedTuple):
    """What a watcher may see, granted while the presentity was in ``sphere``.

    In another sphere it holds no longer.
    """

    sphere: bytes | None
    permissions: Hashable


class State:
    """What is known of a presentity at one moment, and each view of it that somebody has had."""

    __slots__ = (
        *("_closed_name", "_showings", "_transform", "_unavailable"),
        *("is_lasting", "resource", "root", "sphere"),
    )

    def __init__(
        self,
        resource: bytes,
        root: etree._Element | None,
        sphere: bytes | None,
        is_lasting: bool,
        closed_name: Callable[[bytes], str],
        transform: Transform,
    ) -> None:
        self.resource = resource
        self.sphere = sphere
        self.is_lasting = is_lasting  # no time changes it
        self._closed_name = closed_name
        self._transform = transform
        self._showings: dict[Hashable, Showing] = {}
        self._unavailable: Showing | None = None
        self.root = self.closed() if root is None else root

    def showing(self, permissions: Hashable) -> Showing:
        """Return what those see who may see this much; they all share it."""
        found = self._showings.get(permissions)
        if found is None:
            shown = self._transform(self.root, permissions)
            found = self._showings[permissions] = Showing(shown)
        return found

    def rest(self) -> bool:
        """Keep what most watchers are told; tell whether that is little enough, and lasts.

        What a time changes is looked at anew: its appointment is a tick late, or, where the wall
        clock was set, an hour.
        """
        size = 0 if self._unavailable is None else self._unavailable.rest()
        for showing in self._showings.values():
            size += showing.rest()
        return self.is_lasting and size <= _MOST_AT_REST

    def unavailable(self) -> Showing:
        """Return what is shown to whoever is blocked politely, the same at any time."""
        if self._unavailable is None:
            self._unavailable = Showing(self.closed())
        return self._unavailable

    def closed(self) -> etree._Element:
        """Return the document of a presentity of whom nothing is known."""
        return closed_document(self.resource, self._closed_name(self.resource))


@implementer(IEventPackage, IKeepsContents, IKeepsStates, IReconfigurable)
class PresencePackage:
    """Presence, composed of what is published and who is registered.

    ``key`` names tuples of ours. ``judge`` decides who may see how much, and ``transform`` makes a
    document of so much of another. ``wall`` is the time in seconds since 1970.
    """

    name = b"presence"
    body_types: Sequence[bytes] = (PIDF_XML, PIDF_DIFF)
    publication_types: Sequence[bytes] = (PIDF_XML, PIDF_DIFF)
    default_expires = 3600  # RFC 3856 §6.4

    def __init__(
        self,
        host: IEventHost,
        key: bytes,
        composer: Any,
        judge: Judge,
        transform: Transform,
        wall: Callable[[], float] = time.time,
    ) -> None:
        settings: Presence = host.settings.presence
        self._host = host
        self.authorization = judge
        self._transform = transform
        self._wall = wall
        self._services = Services(host, key, self._wall, self._changed)
        self._reader = Reader(host.identity, settings.document, settings.elements)
        self._moments: dict[bytes, _Moment] = {}
        self._follow(settings, composer)

    def _follow(self, settings: Presence, composer: Any) -> None:
        identity = self._host.identity
        self._composer = composer
        self.notify_interval = settings.notify_interval  # §6.10
        self._shows_registrations = settings.registrations
        self._reader.follow(identity, settings.document, settings.elements)
        self._filters = FilterReader(self.name, identity, settings.filter_parts)

    def reconfigured(self, options: Any, host: Any) -> Callable[[], None]:
        """Follow other settings; the notifier has everything judged and composed again."""

        def switch() -> None:
            self._follow(host.settings.presence, host.composer)
            self.authorization.follow(host.settings.presence)

        return switch

    def exists(self, resource: bytes) -> Any:
        """Tell whether there is such a user."""
        return self._host.credentials.known(resource)

    # Watchers

    def sphere(self, resource: bytes) -> bytes | None:
        """Return what all that is published agrees on; None where it does not (RFC 5025 §3.1.2)."""
        return spheres_at(self._documents(resource), self._wall())

    def authorize(self, resource: bytes, watcher: Watcher) -> Verdict:
        """Return what a watcher may have now (RFC 3856 §6.6.2)."""
        now, documents = self._wall(), self._documents(resource)
        sphere = spheres_at(documents, now)
        verdict = self.authorization.judge(resource, watcher, sphere)
        until, change = verdict.until, spheres_change(documents, now)
        if change is not None:
            at = self._host.now() + min(change - now, _LONGEST_SLEEP)
            until = at if until is None else min(until, at)
        if until is None:
            return _lasting(verdict.handling, sphere, verdict.view)
        return Verdict(verdict.handling, View(sphere, verdict.view), until)

    def terms(self, request: Request, resource: bytes, earlier: Any) -> Filters | None:
        """Return the filters that hold after a SUBSCRIBE (RFC 4660); raises `SipError`."""
        return self._filters.read(request, resource, earlier) if request.body else earlier

    # Publishers

    def check(
        self, resource: bytes, media_type: bytes, data: bytes, replaced: Publication | None
    ) -> Document:
        """Return what a publication says; raises `SipError` 400, 403 or 413."""
        others = [p.content for p in self._publications(resource) if p is not replaced]
        known: Document | None = replaced.content if replaced is not None else None
        if media_type == PIDF_DIFF:
            self._reader.check_size(data)
            before = None if known is None else known.data
            data = whole_document(data, before, resource, self._host.identity)
        return self._reader.read(resource, data, self._wall(), others, known)

    def kept(self, publication: Publication) -> Any:
        """Return what a restart has to know of a publication besides its body."""
        return kept_document(publication.content, publication.data)

    def restored(self, resource: bytes, data: bytes, kept: Any) -> Document:
        """Return what a publication of before a restart says; raises `SipError`, or ValueError."""
        return restored_document(self._reader, resource, data, kept)

    def _publications(self, resource: bytes) -> Sequence[Publication]:
        found: Sequence[Publication] = self._host.notifier.publications(self.name, resource)
        return found

    def _documents(self, resource: bytes) -> list[Document]:
        return [publication.content for publication in self._publications(resource)]

    # State

    def compose(self, resource: bytes) -> State:
        """Return what is known of a presentity now."""
        publications, now = self._publications(resource), self._wall()
        services = self._services.of(resource) if self._shows_registrations else []
        root, until = self._composer.compose(resource, publications, services, now)
        documents = [publication.content for publication in publications]
        until = _first(until, spheres_change(documents, now))
        self._book(resource, until, now)
        sphere = spheres_at(documents, now)
        self._check_sphere(resource, sphere)
        how = self._services.name, self._transform
        return State(resource, root, sphere, until is None, *how)

    def rest(self, state: State) -> bool:
        """Keep what most watchers are told until something changes."""
        return state.rest()

    def render(self, state: State, subscription: ISubscription, is_full: bool) -> Body | None:
        """Return what a watcher is told of what it may see: the whole, or what has changed (§6.7).

        One who is blocked politely gets what those see from whom nothing is withheld when nothing
        is known of the presentity, octet for octet, whatever is (§6.6.2).
        """
        verdict = subscription.verdict
        if verdict.handling != ALLOW:
            return state.unavailable().tell(subscription, is_full)
        if verdict.view.sphere != state.sphere:
            verdict = self.authorize(state.resource, subscription.watcher)
            if verdict.handling != ALLOW:
                return None  # the notifier has been asked to judge again, and says what follows
        return state.showing(verdict.view.permissions).tell(subscription, is_full)

    def _check_sphere(self, resource: bytes, sphere: bytes | None) -> None:
        """Have watchers judged again who were judged in another sphere (RFC 5025 §3.1.2)."""
        subscriptions = self._host.notifier.subscriptions(self.name, resource)
        if any(one.verdict.view.sphere != sphere for one in subscriptions):
            self._host.notifier.judge(self.name, resource)

    def _book(self, resource: bytes, until: float | None, now: float) -> None:
        """Compose again when the document says what holds no longer."""
        moment = self._moments.pop(resource, None)
        if moment is not None:
            self._host.forget(moment)
        if until is not None:
            moment = self._moments[resource] = _Moment(self, resource)
            self._host.wake(moment, min(until - now, _LONGEST_SLEEP))

    def arrived(self, resource: bytes) -> None:
        """The moment has come that a document was good until."""
        del self._moments[resource]
        self._changed(resource)

    def _changed(self, resource: bytes) -> None:
        self._host.notifier.changed(self.name, resource)


def _first(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


@functools.lru_cache(256)
def _lasting(handling: int, sphere: bytes | None, permissions: Hashable) -> Verdict:
    """Return a verdict that changes with nothing: watchers share it."""
    return Verdict(handling, View(sphere, permissions))


class _Moment:
    """When a document has to be composed again."""

    __slots__ = ("_package", "_resource", "booked", "due")

    def __init__(self, package: PresencePackage, resource: bytes) -> None:
        self._package = package
        self._resource = resource
        self.due = self.booked = 0

    def woken(self) -> None:
        """It has come."""
        self._package.arrived(self._resource)
