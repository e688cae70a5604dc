"""The template-package ``winfo``: who watches a resource, and with what success (RFC 3857)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from sipproxy.events.terms import refuse_body
from sipproxy.events.watcherinfo import (
    MEDIA_TYPE,
    PENDING,
    TERMINATED,
    WAITING,
    Told,
    document,
)
from sipproxy.interfaces.events import (
    ALLOW,
    BLOCK,
    POLITE_BLOCK,
    Body,
    IEventHost,
    IEventPackage,
    ISubscription,
    ISubscriptionListener,
    Publication,
    Verdict,
    Watcher,
)
from sipproxy.sip.errors import SipError
from sipproxy.sip.uri import parse_uri

if TYPE_CHECKING:
    from sipproxy.sip.message import Request

SUFFIX = b".winfo"
EVERYBODY = None  # the view of a resource's owner; that of others is their own identity
_ALLOWED = Verdict(ALLOW, EVERYBODY)
_BLOCKED = Verdict(BLOCK)
_FIRST = {PENDING: 0, WAITING: 1}  # those who wait for a decision


@implementer(IEventPackage, ISubscriptionListener)
class WatcherInformation:
    """The package ``base.winfo``: watcher information about a package, itself included.

    The owner of a resource sees everybody, somebody who is allowed the package itself their own
    subscriptions to it (§4.6). It listens to the notifier from the moment that it is made.
    """

    body_types = (MEDIA_TYPE,)
    publication_types: tuple[bytes, ...] = ()
    default_expires = 3600  # §4.4

    def __init__(self, base: IEventPackage, host: IEventHost) -> None:
        self.name: bytes = base.name + SUFFIX
        self._base = base
        self._host = host
        self._depth: int = self.name.count(SUFFIX)
        host.notifier.listen(self)

    @property
    def _settings(self) -> Any:
        return self._host.settings.events

    @property
    def notify_interval(self) -> float:
        """The seconds between two documents for one subscriber (§4.10)."""
        seconds: float = self._settings.winfo_interval
        return seconds

    def describe(self, base: IEventPackage) -> None:
        """Be about the package that has taken the place of another one of its name."""
        self._base = base

    # IEventPackage

    def exists(self, resource: bytes) -> Any:
        """Tell whether there is such a resource."""
        return self._base.exists(resource)

    def authorize(self, resource: bytes, watcher: Watcher) -> Verdict:
        """Follow the recommendations of §4.6; who is not allowed is refused.

        Who is politely blocked by the package is not told so here either (§4.7.2).
        """
        if self._depth > 2 or not watcher.identity:
            return _BLOCKED
        if self._host.identity.canonical(parse_uri(watcher.identity)) == resource:
            return _ALLOWED
        if self._depth > 1:
            return _BLOCKED
        verdict = self._base.authorize(resource, watcher)
        if verdict.handling < POLITE_BLOCK:
            return Verdict(BLOCK, until=verdict.until)
        return Verdict(ALLOW, watcher.identity, verdict.until)

    def terms(self, request: Request, resource: bytes, earlier: Any) -> Any:
        """Take no filters: §4.3 leaves them to others, RFC 4660 §5.2 has them refused."""
        refuse_body(request)

    def check(
        self, resource: bytes, media_type: bytes, data: bytes, replaced: Publication | None
    ) -> Any:
        """Refuse: nobody publishes who watches."""
        raise SipError(489)

    def compose(self, resource: bytes) -> bytes:
        """Return the resource: each subscriber is told what has moved since it was told last."""
        return resource

    def render(self, state: bytes, subscription: ISubscription, is_full: bool) -> Body | None:
        """Return the document that a subscriber needs to know all, or None if it does."""
        memory: Told | None = subscription.memory
        is_full = is_full or memory is None
        if is_full:
            watchers = self._shown(state, subscription.verdict.view)
            memory = (memory or Told()).renewed(watchers)
        assert memory is not None
        watchers = memory.take(self._settings.winfo_watchers)
        if memory.moved:
            self._host.notifier.changed(self.name, state)
        if not watchers and not is_full:
            return None
        subscription.memory = memory
        about = (state, self._base.name, watchers, self._host.now())
        return Body(MEDIA_TYPE, document(subscription.sent, is_full, *about), memory.tag)

    def _shown(self, resource: bytes, view: bytes | None) -> Sequence[ISubscription]:
        """Return the watchers of a view; of too many, those first who wait for a decision."""
        watchers = self._host.notifier.subscriptions(self._base.name, resource)
        shown = [w for w in watchers if w.status != TERMINATED and _is_shown(w, view)]
        if len(shown) > self._settings.winfo_watchers:
            shown.sort(key=lambda watcher: _FIRST.get(watcher.status, len(_FIRST)))
        return shown

    # ISubscriptionListener

    def moved(self, subscription: ISubscription, event: bytes) -> None:
        """A watcher has moved: whoever may know is to be told, and may be to know no more."""
        if subscription.package != self._base.name:
            return
        resource = subscription.resource
        subscribers = self._host.notifier.subscriptions(self.name, resource)
        if _note(subscription, subscribers):
            self._host.notifier.changed(self.name, resource)
        if event == b"rejected" and subscribers:
            self._host.notifier.judge(self.name, resource)


def _note(watcher: ISubscription, subscribers: Iterable[ISubscription]) -> bool:
    """Have subscribers who may know of a watcher told of it; tell whether there are any.

    Those who were not sent anything yet are to have a full document anyway.
    """
    found = False
    for subscriber in subscribers:
        if _is_shown(watcher, subscriber.verdict.view):
            if subscriber.memory is not None:
                subscriber.memory.note(watcher)
            found = True
    return found


def _is_shown(watcher: ISubscription, view: bytes | None) -> bool:
    return view is EVERYBODY or watcher.watcher.identity == view
