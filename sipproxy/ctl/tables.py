"""What of a running server can be listed, a key at a time: bindings, watchers, publications."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from sipproxy.ctl.watching import publications_of, shown, watcher_row
from sipproxy.events.telling import TERMINATED
from sipproxy.store.accounts import split_aor

if TYPE_CHECKING:
    from sipproxy.events.subscription import Subscription
    from sipproxy.node import Node

Row = dict[str, Any]
CHUNK = 2000  # keys that are sorted in one turn of the reactor


class Table(Protocol):
    """Something that can be listed, and followed.

    A key stands for one row or some; it is what changes. It is taken for one moment only: what it
    stands for may be gone when its rows are asked for.
    """

    def keys(self) -> Iterator[Any]:
        """Yield the keys of all that is wanted; None now and then, to let others have a turn."""

    def name(self, key: Any) -> str:
        """Return what a key is called over the wire."""

    def rows(self, key: Any) -> Sequence[Row]:
        """Return what is wanted of the rows of a key, as they are now."""


def in_order(items: Sequence[Any], key: Callable[[Any], Any] | None = None) -> Iterator[Any]:
    """Yield items in their order, and None for each chunk of them that had to be sorted first."""
    chunks = []
    for start in range(0, len(items), CHUNK):
        chunks.append(sorted(items[start : start + CHUNK], key=key))
        yield None
    yield from heapq.merge(*chunks, key=key)


def wanted_aor(filters: Mapping[str, Any], name: str) -> bytes | None:
    """Return an address in its canonical form, None for none; raises ValueError."""
    written = filters.get(name)
    return None if written is None else b"@".join(split_aor(str(written)))


def wanted_word(filters: Mapping[str, Any], name: str) -> str | None:
    """Return a word that is looked for, None for none."""
    written = filters.get(name)
    return None if written is None else str(written)


class Bindings:
    """Who is where; a key is an address-of-record."""

    def __init__(self, node: Node, filters: Mapping[str, Any]) -> None:
        self._node = node
        self._aor = wanted_aor(filters, "aor")

    def keys(self) -> Iterator[bytes | None]:
        """Yield users, in order."""
        if self._aor is None:
            return in_order(list(self._node.location.aors()))
        return iter([self._aor])

    def name(self, key: bytes) -> str:
        """Return the user."""
        return shown(key)

    def rows(self, key: bytes) -> Sequence[Row]:
        """Return the user's bindings, best q first."""
        if self._aor not in (None, key):
            return ()
        now = self._node.now()
        bindings = self._node.location.bindings(key)
        return [{"aor": shown(key), **binding.describe(now)} for binding in bindings]


class _Resources:
    """What belongs to event packages and users; ``aor`` and ``package`` choose among it."""

    def __init__(self, node: Node, filters: Mapping[str, Any]) -> None:
        self.node = node
        self._aor = wanted_aor(filters, "aor")
        self._package = (wanted_word(filters, "package") or "").encode()

    def resources(self, known: Sequence[tuple[bytes, bytes]]) -> Iterator[Any]:
        """Yield package and user of what is wanted, by user."""
        if self._aor is not None or self._package:
            known = [one for one in known if self.is_wanted(*one)]
        return in_order(known, itemgetter(1, 0))

    def is_wanted(self, package: bytes, aor: bytes) -> bool:
        """Tell whether anything is wanted of a user and a package."""
        return self._aor in (None, aor) and self._package in (b"", package)


class Watchers(_Resources):
    """Who watches whom; a key is a subscription."""

    def __init__(self, node: Node, filters: Mapping[str, Any]) -> None:
        _Resources.__init__(self, node, filters)
        self._watcher = wanted_aor(filters, "watcher")
        self._status = (wanted_word(filters, "status") or "").encode()

    def keys(self) -> Iterator[Subscription | None]:
        """Yield subscriptions, by who is watched, the oldest first."""
        notifier = self.node.notifier
        for resource in self.resources(notifier.resources()):
            yield from (None,) if resource is None else notifier.subscriptions(*resource)

    def name(self, key: Subscription) -> str:
        """Return how the subscription is called."""
        return shown(key.id)

    def rows(self, key: Subscription) -> Sequence[Row]:
        """Return its row; none of one that is over."""
        if (
            key.status == TERMINATED
            or not self.is_wanted(key.package, key.resource)
            or self._watcher not in (None, key.watcher.aor)
            or self._status not in (b"", key.status)
        ):
            return ()
        return [watcher_row(key, self.node.now())]


class Publications(_Resources):
    """What users have published; a key is a package and a user."""

    def keys(self) -> Iterator[tuple[bytes, bytes] | None]:
        """Yield them, by user."""
        return self.resources(self.node.publications.resources())

    def name(self, key: tuple[bytes, bytes]) -> str:
        """Return package and user."""
        return shown(b" ".join(key))

    def rows(self, key: tuple[bytes, bytes]) -> Sequence[Row]:
        """Return the publications of one user for one package, the oldest first."""
        return publications_of(self.node, *key) if self.is_wanted(*key) else ()
