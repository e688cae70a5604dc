"""What is watched, and the states that were composed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from sipproxy.events.content import Contents
from sipproxy.interfaces.events import IEventPackage, IKeepsStates

if TYPE_CHECKING:
    from sipproxy.events.subscription import Subscription


class Resource:
    """What is watched, and by whom.

    ``version`` rises with each change of its state, ``judged`` with each of what its watchers may
    have: each of them knows by that whether there is anything to do.
    """

    __slots__ = (
        *("aor", "contents", "is_composed", "is_stale", "is_told_of", "is_told_again", "judged"),
        *("opening", "package", "state", "subscriptions", "version"),
    )

    def __init__(self, package: IEventPackage, aor: bytes) -> None:
        self.package = package
        self.aor = aor
        self.opening = b""  # what the lines of most dialogs begin with
        self.subscriptions: dict[Subscription, None] = {}
        self.is_composed = False
        self.state: Any = None
        self.contents = Contents()
        self.version = self.judged = 0
        self.is_stale = False  # it has changed since it was composed last
        self.is_told_of = False  # its watchers are being told, some in each turn
        self.is_told_again = False  # from the first of them on, since something has changed

    def compose(self) -> None:
        """Have its state composed, as it is now."""
        self.is_stale = False
        self.state = self.package.compose(self.aor)
        self.is_composed = True

    def drop(self) -> None:
        """Forget what was composed, and what was made of it."""
        if self.is_composed:
            self.is_composed, self.state = False, None
            self.contents.clear()

    def rest(self) -> bool:
        """Tell whether what was composed is worth its room beyond this turn."""
        if not (self.is_composed and self.subscriptions and IKeepsStates.providedBy(self.package)):
            return False
        self.contents.rest()
        return bool(self.package.rest(self.state))


class States:
    """The resources of which a state is composed, for a turn or longer.

    Of those whose packages say when they change (`IKeepsStates`), the ``limit`` that were used last
    keep theirs until then.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used: dict[Resource, None] = {}
        self._kept: dict[Resource, None] = {}
        self._log = Logger(namespace="sipproxy.events")

    def __len__(self) -> int:
        return len(self._used) + len(self._kept)

    def use(self, resource: Resource) -> bool:
        """Have a state ready until the turn ends; tell whether it was not yet used in it."""
        if not resource.is_composed:
            resource.compose()
        is_first = resource not in self._used
        self._used[resource] = None
        return is_first

    @property
    def are_many(self) -> bool:
        """Whether so many are used that they are not to wait for the end of a long turn."""
        return len(self._used) > self.limit

    def settle(self) -> None:
        """The turn has ended."""
        for resource in self._used:
            self._kept.pop(resource, None)
            if self._is_worth_keeping(resource):
                self._kept[resource] = None
            else:
                resource.drop()
        self._used.clear()
        while len(self._kept) > self.limit:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            oldest.drop()

    def _is_worth_keeping(self, resource: Resource) -> bool:
        try:
            return resource.rest()
        except Exception:
            self._log.failure("while {aor} is put to rest", aor=resource.aor)
            return False

    def forget(self, resource: Resource) -> None:
        """Nobody watches a resource any more."""
        self._kept.pop(resource, None)
