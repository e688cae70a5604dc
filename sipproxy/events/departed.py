"""What whoever is no user any more has left here, and how it ends (RFC 6665 §4.1.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from sipproxy.events.notifier import Notifier
from sipproxy.events.publications import PublicationTable
from sipproxy.interfaces import REJECTED, IHost, is_deferred, then


class Departures:
    """Ends what accounts that are gone have left: subscriptions, publications and bindings.

    Subscriptions first: what is told last goes the ways that there were.
    """

    def __init__(self, host: IHost, notifier: Notifier, publications: PublicationTable) -> None:
        self._host = host
        self._notifier = notifier
        self._publications = publications

    def look(self) -> None:
        """Look at all that there is, and end what is nobody's."""
        for package, resource in self._notifier.resources():
            self._unless(self._exists(package, resource), self._end_watched, package, resource)
        for aor in self._watchers():
            self._unless(self._known(aor), self._end_watching, aor)
        for package, resource in self._publications.resources():
            self._unless(
                self._exists(package, resource), self._publications.clear, package, resource
            )
        for aor in self._host.location.aors():
            self._unless(self._known(aor), self._unbind, aor)

    def _known(self, aor: bytes) -> Callable[[], Any]:
        return lambda: self._host.credentials.known(aor)

    def _exists(self, package: bytes, resource: bytes) -> Callable[[], Any]:
        """A package may have resources that are no users."""
        found = self._notifier.packages.find(package)
        return lambda: found is None or found.exists(resource)

    def _unless(self, is_there: Callable[[], Any], end: Callable[..., Any], *what: bytes) -> None:
        """End something unless it is there; whatever fails keeps nothing else from it."""
        try:
            result = then(is_there(), lambda found: None if found else end(*what))
        except Exception:
            self._failed(Failure(), what)
        else:
            if is_deferred(result):
                result.addErrback(self._failed, what)

    def _failed(self, failure: Failure, what: tuple[bytes, ...]) -> None:
        self._host.log.failure("what there is of {what} has not ended", failure, what=what)

    def _end_watched(self, package: bytes, resource: bytes) -> None:
        self._notifier.end(package, resource, b"noresource")

    def _watchers(self) -> list[bytes]:
        """Return who of our own domains watches anything."""
        ours = frozenset(self._host.identity.domains)
        found = {
            subscription.watcher.aor
            for watched in self._notifier.resources()
            for subscription in self._notifier.subscriptions(*watched)
        }
        return [aor for aor in found if aor.rpartition(b"@")[2] in ours]

    def _end_watching(self, aor: bytes) -> None:
        for watched in self._notifier.resources():
            for subscription in self._notifier.subscriptions(*watched):
                if subscription.watcher.aor == aor:
                    subscription.dismiss(b"rejected")

    def _unbind(self, aor: bytes) -> Any:
        """To register again will not help (RFC 3680 §4.7.1)."""
        location = self._host.location
        return location.turns.take(aor, lambda: location.commit(aor, [], REJECTED))
