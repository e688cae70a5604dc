"""The subscriptions in the store, and how watchers are told after a restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from sipproxy.events.asked import Asked
from sipproxy.events.dialog import Turn
from sipproxy.events.subscription import Subscription
from sipproxy.events.subscription_records import KIND, kept_record, restored
from sipproxy.interfaces.ledger import Ledger

if TYPE_CHECKING:
    from sipproxy.events.notifier import Notifier
    from sipproxy.interfaces import IHost, IStore
    from sipproxy.registrar.records import Flows

SLICE, PAUSE = 50, 0.1  # subscriptions that are looked at after a restart, and seconds between


class Archive:
    """What the store has of each subscription that the notifier has: ``known``, by name."""

    def __init__(self, store: IStore, flows: Flows, known: Mapping[int, Subscription]) -> None:
        self._store = store
        self._flows = flows
        self._ledger = Ledger(store, KIND, self._current)
        self._known = known
        self._log = Logger(namespace="sipproxy.events")

    def withdraw(self, subscription: Subscription) -> None:
        """It is over, or was written and was not to be."""
        self._ledger.note(subscription.id)

    def note(self, subscription: Subscription) -> None:
        """It has changed by itself."""
        if subscription.name in self._known:
            self._ledger.note(subscription.id)

    def begin(self, subscription: Subscription, done: Callable[[], Any]) -> Any:
        """Write a new one, which ``done`` will have added; see `Ledger.change`."""
        return self._ledger.change(subscription.id, lambda: self._record(subscription), done)

    def follow(
        self, subscription: Subscription, asked: Asked, turn: Turn, done: Callable[[], Any]
    ) -> Any:
        """Write it as it will be when ``done`` has followed a SUBSCRIBE; see `Ledger.change`."""

        def record() -> Any:
            return self._record(subscription, asked, turn) if asked.seconds else None

        return self._ledger.change(subscription.id, record, done)

    def _current(self, key: bytes) -> Any:
        subscription = self._known.get(int(key, 16))
        return None if subscription is None else self._record(subscription)

    def _record(self, subscription: Subscription, *future: Any) -> Any:
        return kept_record(subscription, self._store, self._flows, *future)

    # Stop and start

    def close(self) -> None:
        """Write what each watcher has been told: after the next start only news are."""
        for subscription in self._known.values():
            told = subscription.acknowledged
            if told:
                record = kept_record(subscription, self._store, self._flows, told=told)
                self._store.put(KIND, subscription.id, record)

    def recall(self, notifier: Notifier) -> list[Subscription]:
        """Return the subscriptions that the store has, the oldest first."""
        found = []
        for key, value in self._store.load(KIND):
            try:
                found.append(restored(value, notifier, self._store, self._flows))
                self._rename(key, found[-1].id)
            except ValueError as error:
                self._log.error("a subscription is lost: {error}", error=error)
                self._store.remove(KIND, key)
        return sorted(found, key=lambda subscription: subscription.began_at)

    def _rename(self, key: bytes, name: bytes) -> None:
        """Keep it by the name that it has now: it had one that its tag does not say."""
        if key != name:
            self._store.remove(KIND, key)
            self._ledger.note(name)


class Recovery:
    """Looks at each subscription of before a restart, some in each tick.

    What has expired meanwhile ends now, and who may know less than there is to know is told.
    """

    def __init__(self, host: IHost, subscriptions: list[Subscription]) -> None:
        self._host = host
        self._left = deque(subscriptions)
        self._next_at = 0.0
        self.due = self.booked = 0

    def start(self) -> None:
        """Begin with the next tick."""
        if self._left:
            self._host.wake(self, PAUSE)

    def stop(self) -> None:
        """Leave the rest to another start."""
        self._left.clear()
        self._host.forget(self)

    def woken(self) -> None:
        """Look at some; ticks that a long start has left behind come all at once."""
        now = self._host.now()
        if now < self._next_at:
            self.start()
            return
        self._next_at = now + PAUSE / 2
        for _ in range(min(SLICE, len(self._left))):
            subscription = self._left.popleft()
            try:
                if subscription.rare.requests is None:
                    subscription.dismiss(b"deactivated")  # its watcher asks anew (§4.1.3)
                else:
                    subscription.woken()
            except Exception:
                aor = subscription.watcher.aor
                self._host.log.failure("while {aor} is told again", aor=aor)
        self.start()
