"""The notifier: who watches what, and telling them of changes, in slices (RFC 6665 §4.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from zope.interface import implementer

from sipproxy.events.archive import Archive, Recovery
from sipproxy.events.content import Content
from sipproxy.events.dialog import name_in
from sipproxy.events.packages import Packages
from sipproxy.events.resources import Resource, States
from sipproxy.events.settings import Events
from sipproxy.events.subscription import Subscription
from sipproxy.events.telling import PENDING, WAITING
from sipproxy.events.watchers import Census
from sipproxy.events.way import Post
from sipproxy.interfaces import IHost
from sipproxy.interfaces.events import (
    Body,
    IEventPackage,
    INotifier,
    ISubscriptionListener,
    Publication,
    Verdict,
)

if TYPE_CHECKING:
    from sipproxy.registrar.records import Flows

SLICE = 50  # resources that are composed, and subscriptions that are looked at, in one turn
SHARE = 10  # of them those of one resource, before it is another's turn
LONGEST = 0.02  # seconds after which a turn ends: large documents and filters take milliseconds


@implementer(INotifier)
class Notifier(Service):
    """Keeps the subscriptions, and tells watchers what has changed.

    When it starts it takes up those that the host's store has. ``flows`` knows flows by names that
    outlive the process. ``soon`` calls a function in the next turn of the reactor: there each
    resource that has changed is composed once, and its watchers are told, so many in each turn.
    """

    def __init__(
        self,
        host: IHost,
        settings: Events,
        packages: Packages,
        post: Post,
        soon: Callable[[Callable[[], None]], Any],
        flows: Flows,
    ) -> None:
        self.host = host
        self.settings = settings
        self.packages = packages
        self.post = post
        self.census = Census(settings)
        self._known: dict[int, Subscription] = {}  # by name
        self.archive = Archive(host.store, flows, self._known)
        self._recovery = Recovery(host, [])
        self.published: Callable[[bytes, bytes], Sequence[Publication]] = _nothing_published
        self.judged: Callable[[Subscription], None] = lambda subscription: None
        self._soon = soon
        self._resources: dict[tuple[bytes, bytes], Resource] = {}
        self._listeners: list[ISubscriptionListener] = []
        self.audiences: tuple[list[Any], ...] = (self._listeners,)
        self._changed: dict[Resource, None] = {}
        self.states = States(settings.states)
        self._passes: deque[tuple[Resource, Iterator[Subscription]]] = deque()
        self._is_booked = False

    def __len__(self) -> int:
        """How many subscriptions have a dialog."""
        counts = self.census.population.items()
        return sum(count for (_, status), count in counts if status != WAITING)

    @property
    def waiting(self) -> int:
        """How many resources have changed, or have watchers that are still to be told."""
        return len(self._changed) + len(self._passes)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for the next turn."""
        return not self._is_booked

    # INotifier

    def changed(self, package: bytes, resource: bytes) -> None:
        """A resource has a new state: it is composed anew, and its watchers are told."""
        known = self._resources.get((package, resource))
        if known is not None:
            known.drop()
            known.version += 1
            known.is_stale = True
            self._changed[known] = None
            self._book()

    def judge(self, package: bytes, resource: bytes) -> None:
        """What watchers of a resource may have is to be asked again; they are told."""
        known = self._resources.get((package, resource))
        if known is not None:
            known.judged += 1
            self._changed[known] = None
            self._book()

    def end(
        self, package: bytes, resource: bytes, reason: bytes, retry_after: int | None = None
    ) -> None:
        """End the subscriptions to a resource for a reason of §4.1.3."""
        for subscription in self.subscriptions(package, resource):
            subscription.dismiss(reason, retry_after)

    def subscriptions(self, package: bytes, resource: bytes) -> Sequence[Subscription]:
        """Return the subscriptions to a resource, pending and waiting ones too."""
        known = self._resources.get((package, resource))
        return () if known is None else list(known.subscriptions)

    def publications(self, package: bytes, resource: bytes) -> Sequence[Publication]:
        """Return the publications of a resource that have not expired, the oldest first."""
        return self.published(package, resource)

    def listen(self, listener: ISubscriptionListener) -> None:
        """Have a listener hear how subscriptions of every package move."""
        self._listeners.append(listener)

    def resources(self) -> list[tuple[bytes, bytes]]:
        """Return package and address-of-record of all that is watched."""
        return list(self._resources)

    def follow(self, settings: Events, packages: Packages) -> None:
        """Go on under another configuration; ways are looked for anew.

        Whose package is no more is told to subscribe again, and refused then.
        """
        self.settings = self.census.settings = settings
        self.states.limit = settings.states
        gone: list[Any] = self.packages.become(packages)
        self._listeners[:] = [one for one in self._listeners if one not in gone]
        for subscription in self._known.values():
            if subscription.dialog is not None:
                subscription.dialog.way = None
        for name, aor in self.resources():
            package, resource = self.packages.find(name), self._resources[name, aor]
            if package is None:
                self.end(name, aor, b"deactivated")
            else:
                resource.package = package
                for subscription in resource.subscriptions:
                    subscription.hasten()

    def refresh(self) -> None:
        """Ask again what every watcher may have and is shown; who knows it is told nothing."""
        for name, aor in self.resources():
            self.changed(name, aor)
            self.judge(name, aor)

    # Turns

    def _book(self) -> None:
        if not self._is_booked:
            self._is_booked = True
            self._soon(self._turn)

    def _turn(self) -> None:
        """Tell the next of those who are to be told, some of each resource in turn."""
        self._is_booked = False
        end = self.host.now() + LONGEST
        for resource in list(islice(self._changed, SLICE)):
            del self._changed[resource]
            self._begin(resource)
            if self.host.now() >= end:
                break
        passes, left, is_late = self._passes, SLICE, False
        while passes and left > 0 and not is_late:
            resource, one = passes.popleft()
            count = self._tell_some(one, end)
            left -= max(1, count)
            is_late = self.host.now() >= end
            if count == SHARE or (count and is_late):
                passes.append((resource, one))
            else:
                self._passed(resource)
        is_left = bool(passes or self._changed)
        if is_left:
            self._book()
        if not is_left or self.states.are_many:
            self.states.settle()

    def _begin(self, resource: Resource) -> None:
        """Begin to tell the watchers of a resource.

        What has changed is composed, also where nobody may be told: verdicts may depend on it.
        """
        if resource.is_stale:
            try:
                self._compose(resource)
            except Exception:
                self.host.log.failure("while {aor} is composed", aor=resource.aor)
        if resource.is_told_of:
            resource.is_told_again = True  # one pass after the other, however often it changes
        else:
            self._pass(resource)

    def _pass(self, resource: Resource) -> None:
        resource.is_told_of, resource.is_told_again = True, False
        self._passes.append((resource, iter(tuple(resource.subscriptions))))

    def _passed(self, resource: Resource) -> None:
        """All watchers of a resource have been looked at."""
        resource.is_told_of = False
        if resource.is_told_again:
            self._pass(resource)

    def _compose(self, resource: Resource) -> None:
        if self.states.use(resource):
            self._book()  # for the end of its turn

    def _tell_some(self, watchers: Iterator[Subscription], end: float) -> int:
        """Tell some of one resource, or at least one, until it is time for others."""
        count = 0
        for subscription in islice(watchers, SHARE):
            self._flush(subscription)
            count += 1
            if self.host.now() >= end:
                break
        return count

    def _flush(self, subscription: Subscription) -> None:
        try:
            subscription.flush()
        except Exception:
            self.host.log.failure("while {aor} is told", aor=subscription.watcher.aor)

    # What subscriptions ask

    def rendered(
        self, resource: Resource, subscription: Subscription, is_full: bool
    ) -> Content | None:
        """Return what a package shows to a watcher; nothing where it fails."""
        package = resource.package
        try:
            self._compose(resource)
            body: Body | None = package.render(resource.state, subscription, is_full)
        except Exception:
            self.host.log.failure("while {aor} is rendered", aor=resource.aor)
            return None
        return None if body is None else resource.contents.of(body)

    def verdict(self, resource: Resource, subscription: Subscription) -> Verdict:
        """Return what a watcher may have; what it had where the package fails."""
        try:
            verdict: Verdict = resource.package.authorize(resource.aor, subscription.watcher)
        except Exception:
            self.host.log.failure("while a watcher of {aor} is judged", aor=resource.aor)
            return subscription.verdict
        return verdict

    def moved(self, subscription: Subscription, event: bytes) -> None:
        """Count a subscription by its new status, and tell the listeners of it."""
        if subscription.status in (PENDING, WAITING):
            self.census.wait(subscription)
        else:
            self.census.authorize(subscription)
        for listener in self._listeners:
            try:
                listener.moved(subscription, event)
            except Exception:
                self.host.log.failure("a listener of {event!r}", event=event)

    def forget(self, subscription: Subscription) -> None:
        """A subscription is over."""
        key = subscription.package, subscription.resource
        resource = self._resources.get(key)
        if resource is None or subscription not in resource.subscriptions:
            return
        del resource.subscriptions[subscription]
        self.census.leave(subscription)
        if self._known.get(subscription.name) is subscription:
            del self._known[subscription.name]
        self.archive.withdraw(subscription)
        if not resource.subscriptions:
            del self._resources[key]
            self._changed.pop(resource, None)
            self.states.forget(resource)

    # What the handler asks

    def find(self, tag: bytes | None) -> Subscription | None:
        """Return the subscription whose dialog has our tag, or None."""
        name = None if tag is None else name_in(tag)
        found = None if name is None else self._known.get(name)
        dialog = None if found is None else found.dialog
        return found if dialog is not None and dialog.tag == tag else None

    def resource(self, package: IEventPackage, aor: bytes) -> Resource:
        """Return a resource, which is kept only while somebody watches it."""
        return self._resources.get((package.name, aor)) or Resource(package, aor)

    def enter(self, subscription: Subscription) -> None:
        """Keep a new subscription; one that waits and asked for the same gives up.

        RFC 3857 §4.7.1: its watcher, package, parameters and filter are the same.
        """
        for known in self.census.unauthorized(subscription.watcher):
            if known.status == WAITING and _is_same(known, subscription):
                known.give_up()
        self._add(subscription)

    def _add(self, subscription: Subscription) -> None:
        resource, key = subscription.watched, (subscription.package, subscription.resource)
        if key in self._resources:
            resource = self._resources[key]
        else:
            self._resources[key] = resource
            resource.drop()  # nobody was watching, so nobody has heard how it changed
        # Another one may have taken its place while the subscription was written.
        resource.package = self.packages.find(subscription.package) or resource.package
        subscription.join(resource)
        resource.subscriptions[subscription] = None
        self._known[subscription.name] = subscription
        if subscription.dialog is not None:
            subscription.dialog.open()
        self.census.enter(subscription)

    # Life

    def startService(self) -> None:
        """Take up the subscriptions that the store has; their watchers are told in their turn."""
        Service.startService(self)
        found = self.archive.recall(self)
        for subscription in found:
            self._add(subscription)
            if subscription.status in (PENDING, WAITING):
                self.census.wait(subscription)
        self._recovery = Recovery(self.host, found)
        self._recovery.start()

    def stopService(self) -> None:
        """Have the store know what watchers know."""
        Service.stopService(self)
        self._recovery.stop()
        self.archive.close()


def _nothing_published(package: bytes, resource: bytes) -> Sequence[Publication]:
    return ()


def _is_same(one: Subscription, other: Subscription) -> bool:
    """Tell whether two subscriptions of one watcher are to the same, and ask for the same."""
    return (one.package, one.resource, one.rare.likeness) == (
        *(other.package, other.resource),
        other.rare.likeness,
    )
