"""Who watches: whom a SUBSCRIBE is from, and how much one may ask for (RFC 3857 §4.7.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sipproxy.auth.asserted import ANONYMOUS, asserted, numbers, privacy
from sipproxy.events.settings import Events
from sipproxy.interfaces import Sender
from sipproxy.interfaces.events import Watcher
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request
from sipproxy.sip.uri import aor_uri

if TYPE_CHECKING:
    from sipproxy.events.subscription import Subscription
    from sipproxy.sip.message import Response

_SECRETLY = frozenset((b"id", b"user"))  # what asks not to be known (RFC 3323 §4.2, RFC 3325 §9.3)


def watcher_of(request: Request, sender: Sender) -> Watcher:
    """Return who subscribes; whoever nobody vouches for has no identity.

    What a trusted peer asserts of its own domain counts more than From (RFC 3325 §5). Who asks for
    privacy is judged like everybody (RFC 5025 §3.1.1.2), but not told to whom they watch
    (RFC 3323 §4.1, RFC 3325 §9.3).
    """
    is_private = request.from_.uri.host == ANONYMOUS or not _SECRETLY.isdisjoint(privacy(request))
    identity = aor_uri(sender.aor) if sender.is_proven else b""
    also: tuple[bytes, ...] = ()
    if sender.is_trusted:
        identity, also = asserted(request, sender) or identity, numbers(request, sender)
    return Watcher(sender.aor, identity, request.from_.display, also, is_private)


def _name(watcher: Watcher) -> bytes:
    """Return what a watcher is counted by: nobody takes a name from whom it was proven of."""
    return watcher.identity or watcher.aor


class Farewell:
    """Waits for the answer to the last NOTIFY of somebody who has not answered any before.

    Until then it is as much of a burden to whoever it is sent to as a subscription.
    """

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over

    def answered(self, response: Response, flight: Any) -> None:
        """A response came."""
        if response.status >= 200:
            self._over()

    def timed_out(self, flight: Any) -> None:
        """Nothing came."""
        self._over()

    def failed(self, flight: Any) -> None:
        """It could not be delivered."""
        self._over()


class Census:
    """Counts subscriptions by watcher and by the address that they came from.

    ``population`` is how many there are of each package and status.
    """

    def __init__(self, settings: Events) -> None:
        self.population: Counter[tuple[bytes, bytes]] = Counter()
        self.settings = settings
        self._watchers: Counter[bytes] = Counter()
        self._sources: Counter[bytes] = Counter()
        self._unproven: Counter[bytes] = Counter()
        self._unauthorized: dict[bytes, dict[Subscription, None]] = {}

    def __len__(self) -> int:
        """How many are counted anywhere."""
        counted = len(self._watchers) + len(self._sources) + len(self._unproven)
        return counted + len(self._unauthorized) + len(self.population)

    def refuse_more(self, watcher: Watcher, source: bytes) -> None:
        """Raise `SipError` 403 where a watcher or an address has all that it may have."""
        settings, limit = self.settings, ""
        if self._watchers[_name(watcher)] >= settings.per_watcher:
            limit = "per_watcher"
        elif self._sources[source] >= settings.per_source:
            limit = "per_source"
        elif not watcher.identity and self._unproven[source] >= settings.unproven:
            limit = "unproven"
        if limit:
            raise SipError(403, "Too Many Subscriptions", limit=limit)

    def make_room(self, watcher: Watcher) -> None:
        """Have the oldest give up that waits for permission without a dialog; else raise 403."""
        known = self.unauthorized(watcher)
        if len(known) < self.settings.unauthorized:
            return
        for one in known:
            if one.dialog is None:
                one.give_up()
                return
        reason = "Too Many Subscriptions Wait For Permission"
        raise SipError(403, reason, limit="unauthorized")

    def unauthorized(self, watcher: Watcher) -> Sequence[Subscription]:
        """Return what a watcher waits for permission to see, the oldest first."""
        return tuple(self._unauthorized.get(_name(watcher), ()))

    def enter(self, subscription: Subscription) -> None:
        """Count one more."""
        self.population[subscription.package, subscription.status] += 1
        self._watchers[_name(subscription.watcher)] += 1
        self._sources[subscription.source] += 1
        if not subscription.is_confirmed:
            self._unproven[subscription.source] += 1

    def leave(self, subscription: Subscription) -> None:
        """Count one less."""
        _less(self.population, (subscription.package, subscription.status))
        if not subscription.is_confirmed:
            _less(self._unproven, subscription.source)
        _less(self._watchers, _name(subscription.watcher))
        _less(self._sources, subscription.source)
        self.authorize(subscription)

    def restate(self, subscription: Subscription, status: bytes) -> None:
        """It is about to have another status."""
        _less(self.population, (subscription.package, subscription.status))
        self.population[subscription.package, status] += 1

    def confirm(self, subscription: Subscription) -> None:
        """It is as good as proven that it is there."""
        if not subscription.is_confirmed:
            subscription.alter(is_confirmed=True)
            _less(self._unproven, subscription.source)

    def farewell(self, subscription: Subscription) -> Farewell:
        """Count the last NOTIFY of one that is over, until it has been answered or given up."""
        self._unproven[subscription.source] += 1
        return Farewell(lambda: _less(self._unproven, subscription.source))

    def wait(self, subscription: Subscription) -> None:
        """It waits for permission from now on."""
        self._unauthorized.setdefault(_name(subscription.watcher), {})[subscription] = None

    def authorize(self, subscription: Subscription) -> None:
        """It waits no longer."""
        name = _name(subscription.watcher)
        known = self._unauthorized.get(name)
        if known is not None and subscription in known:
            del known[subscription]
            if not known:
                del self._unauthorized[name]


def _less(counter: Counter[Any], key: Any) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
