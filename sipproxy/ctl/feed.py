"""A listing on its way to an operator, no faster than it is read, and what changes after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPullProducer
from twisted.logger import Logger
from zope.interface import implementer

from sipproxy.ctl.flows import Flows
from sipproxy.ctl.tables import Bindings, Publications, Table, Watchers
from sipproxy.interfaces.events import ISubscriptionListener

if TYPE_CHECKING:
    from sipproxy.node import Node

SLICE = 100  # keys of which the rows are made in one turn of the reactor
MOST = 10_000  # changes that wait for a slow reader; beyond, it is told everything anew

TABLES: dict[str, Callable[[Node, Any], Table]] = {
    "bindings": Bindings,
    "watchers": Watchers,
    "publications": Publications,
    "flows": Flows,
}
_END = object()


@implementer(IPullProducer)
class Feed:
    """Writes a table to a connection: ``{"of": key, "rows": [...]}`` for each key with rows.

    Then ``{"ok": true}`` follows, and where the table is followed, in the same form what changes,
    until the connection ends. A reader who is slow is written to when it has read; what changes
    meanwhile is noted by key, and of too many keys it is told ``{"again": true}`` and all there is,
    up to another ``{"ok": true}``. So what waits here is one slice, and `MOST` keys.

    ``soon`` calls a function in the next turn of the reactor, ``over`` is called when it has ended.
    """

    def __init__(
        self,
        table: Table,
        wire: Any,
        soon: Callable[[Callable[[], None]], None],
        over: Callable[[], None],
        follows: bool,
    ) -> None:
        self._table = table
        self._wire = wire
        self._soon = soon
        self._over = over
        self._follows = follows
        self._keys: Iterator[Any] | None = table.keys()
        self._changed: dict[Any, None] = {}
        self._has_missed = False  # more has changed than is noted
        self._may_write = False
        self._is_booked = self._is_over = False
        self._log = Logger(namespace="sipproxy.ctl")

    def start(self) -> None:
        """Begin to write."""
        self._wire.registerProducer(self, False)

    def changed(self, key: Any) -> None:
        """Something of a key is another."""
        if len(self._changed) >= MOST and key not in self._changed:
            self._changed.clear()
            self._has_missed = True
        if not self._has_missed:
            self._changed[key] = None
        if self._may_write:
            self._book()

    # IPullProducer

    def resumeProducing(self) -> None:
        """All that was written has been taken: the next slice may be."""
        self._may_write = True
        if self._keys is not None or self._changed or self._has_missed:
            self._book()

    def stopProducing(self) -> None:
        """The connection has ended."""
        self._end()

    # Slices

    def _book(self) -> None:
        if not self._is_booked:
            self._is_booked = True
            self._soon(self._turn)

    def _turn(self) -> None:
        self._is_booked = False
        if self._is_over or not self._may_write:
            return
        try:
            self._go_on()
        except Exception as error:
            self._log.failure("while {table} are told", table=type(self._table).__name__)
            self._write_lines([{"ok": False, "error": f"{type(error).__name__}: see the log"}])
            self._close()

    def _go_on(self) -> None:
        if self._keys is not None:
            self._write(self._listed(self._keys))
        elif self._has_missed:
            self._has_missed = False
            self._keys = self._table.keys()
            self._write([{"again": True}])
        else:
            self._write(self._told())

    def _write(self, lines: list[Any]) -> None:
        if lines:
            self._write_lines(lines)
        elif self._keys is not None or self._changed:
            self._book()
        if self._keys is None and not self._follows:
            self._close()

    def _write_lines(self, lines: list[Any]) -> None:
        self._may_write = False
        self._wire.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def _listed(self, keys: Iterator[Any]) -> list[Any]:
        """Return the lines of the next keys of the whole table."""
        lines: list[Any] = []
        for _ in range(SLICE):
            key = next(keys, _END)
            if key is _END:
                self._keys = None
                return [*lines, {"ok": True}]
            if key is None:
                break
            if rows := self._table.rows(key):
                lines.append({"of": self._table.name(key), "rows": rows})
        return lines

    def _told(self) -> list[Any]:
        """Return the lines of the next keys that have changed."""
        lines = []
        for key in list(islice(self._changed, SLICE)):
            del self._changed[key]
            lines.append({"of": self._table.name(key), "rows": self._table.rows(key)})
        return lines

    def _close(self) -> None:
        self._wire.unregisterProducer()
        self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._keys = None
            self._changed.clear()
            self._over()


@implementer(ISubscriptionListener)
class Followers:
    """Hears what changes of a node, and tells who follows it; for nobody, it costs a look."""

    def __init__(self, node: Node) -> None:
        self._feeds: dict[str, dict[Feed, None]] = {name: {} for name in TABLES}
        self._location = node.location
        node.location.watch(self._bound)
        node.notifier.listen(self)
        node.notifier.judged = self._judged
        node.publications.watch(self._published)
        node.network.counts.watch(self._connected)

    def __len__(self) -> int:
        return sum(map(len, self._feeds.values()))

    def add(self, name: str, feed: Feed) -> None:
        """Tell a feed of what changes in a table."""
        self._feeds[name][feed] = None

    def remove(self, name: str, feed: Feed) -> None:
        """Tell it no more."""
        self._feeds[name].pop(feed, None)

    def _tell(self, name: str, key: Any) -> None:
        for feed in self._feeds[name]:
            feed.changed(key)

    def _bound(self, aor: bytes) -> None:
        self._tell("bindings", aor)
        if self._feeds["flows"]:
            self._tell("flows", aor)
            for binding in self._location.bindings(aor):
                if binding.flow is not None and binding.flow.reliable:
                    self._tell("flows", binding.flow)

    def moved(self, subscription: Any, event: bytes) -> None:
        """A subscription has a new status."""
        self._tell("watchers", subscription)

    def _judged(self, subscription: Any) -> None:
        self._tell("watchers", subscription)

    def _published(self, package: bytes, resource: bytes) -> None:
        self._tell("publications", (package, resource))

    def _connected(self, flow: Any) -> None:
        self._tell("flows", flow)
