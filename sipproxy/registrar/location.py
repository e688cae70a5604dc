"""The location table: every binding by address-of-record, in memory (RFC 3261 §10, §16.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import Logger
from zope.interface import implementer

from sipproxy.interfaces import (
    DEACTIVATED,
    EXPIRED,
    UNREGISTERED,
    Ending,
    IHost,
    ILocation,
)
from sipproxy.interfaces.ledger import Ledger
from sipproxy.interfaces.turns import Turns
from sipproxy.registrar.binding import Binding
from sipproxy.registrar.records import KIND, Flows, kept_record, recalled

if TYPE_CHECKING:
    from sipproxy.transaction.parties import Flow

SLICE, PAUSE = 100, 0.1  # users who have lost bindings with a restart, and seconds between slices


class _Record:
    """The bindings of one address-of-record; wakes when the first of them expires.

    ``lost`` are those that ended while the server did not run, and nobody was told of yet.
    """

    __slots__ = ("aor", "bindings", "booked", "due", "lost", "table")
    holds = "bindings"  # of the flow that it watches

    def __init__(self, table: LocationTable, aor: bytes) -> None:
        self.table = table
        self.aor = aor
        self.bindings: tuple[Binding, ...] = ()
        self.lost: Sequence[Binding] = ()
        self.due = self.booked = 0

    def woken(self) -> None:
        """A binding may have expired."""
        self.table.sweep(self)

    def flow_closed(self) -> None:
        """A flow that bindings relied on has ended."""
        self.table.sweep(self)


@implementer(ILocation)
class LocationTable(Service):
    """Who is where.

    A binding goes when it expires, when its flow closes or falls silent (RFC 5626 §7), or when
    `commit` leaves it out; whoever watches is told of each change, and whoever listens why. The
    host's store has what the table has; where a change is to be safe before it counts, it is there
    first. What is there when the table starts counts as if the server had never stopped, but for
    connections, which have ended. ``count`` is how many bindings there are.
    """

    def __init__(self, host: IHost, flows: Flows) -> None:
        self.turns = Turns()
        self._host = host
        self._flows = flows
        self._records: dict[bytes, _Record] = {}
        self.count = 0
        self._ledger = Ledger(host.store, KIND, self._current)
        self._watchers: list[Callable[[bytes], None]] = []
        self._listeners: list[Callable[[bytes, Binding, Ending], None]] = []
        self.audiences: tuple[list[Any], ...] = (self._watchers, self._listeners)
        self._log = Logger(namespace="sipproxy.registrar")

    def __len__(self) -> int:
        return len(self._records)

    def aors(self) -> Iterable[bytes]:
        """Return every address-of-record that has a binding."""
        return [aor for aor, record in self._records.items() if record.bindings]

    def watch(self, changed: Callable[[bytes], None]) -> None:
        """Call ``changed`` with an address-of-record whenever its bindings have changed."""
        self._watchers.append(changed)

    def listen(self, ended: Callable[[bytes, Binding, Ending], None]) -> None:
        """Call ``ended`` with an address-of-record, a binding that goes for good, and why."""
        self._listeners.append(ended)

    def bindings(self, aor: bytes) -> Sequence[Binding]:
        """Return the current bindings, best q first."""
        record = self._records.get(aor)
        if record is None:
            return ()
        now = self._host.now()
        for binding in record.bindings:
            if binding.expires_at <= now:
                return tuple(b for b in record.bindings if b.expires_at > now)
        return record.bindings

    def commit(self, aor: bytes, bindings: Sequence[Binding], ending: Ending = UNREGISTERED) -> Any:
        """Put these bindings in the place of the current ones, all at once.

        Where that has to be safe first, returns a Deferred, which fails with `SipError` 500 where
        it cannot be: then the bindings are what they were (§10.3 step 7).
        """
        return self._ledger.change(
            aor, lambda: self._kept(bindings), lambda: self._put(aor, bindings, ending)
        )

    def _put(self, aor: bytes, bindings: Sequence[Binding], ending: Ending) -> None:
        record = self._records.get(aor)
        if record is None:
            if not bindings:
                return
            record = self._records[aor] = _Record(self, aor)
        self._replace(record, bindings, ending)

    def sweep(self, record: _Record) -> None:
        """Take out what has expired or cannot be reached any more.

        Whose flow is lost is asked to register anew: that is deactivated (RFC 3680 §4.7.1).
        """
        now = self._host.now()
        kept = [b for b in record.bindings if b.ends_at > now and b.is_reachable]
        if len(kept) == len(record.bindings) and not record.lost:
            self._sleep(record)
            return
        self._replace(record, kept, DEACTIVATED)
        self._ledger.note(record.aor)

    def _replace(self, record: _Record, bindings: Sequence[Binding], ending: Ending) -> None:
        ended = self._ended(record, bindings, ending) if self._listeners else ()
        before, record.bindings = record.bindings, _ordered(bindings)
        self.count += len(record.bindings) - len(before)
        record.lost = ()
        _rely(record, before)
        if record.bindings:
            self._sleep(record)
        else:
            self._host.forget(record)
            self._records.pop(record.aor, None)
        for binding, why in ended:
            for told in self._listeners:
                told(record.aor, binding, why)
        for changed in self._watchers:
            changed(record.aor)

    def _ended(
        self, record: _Record, after: Sequence[Binding], ending: Ending
    ) -> list[tuple[Binding, Ending]]:
        """Return those whose contacts are bound no more, and why."""
        lives = {id(binding.life) for binding in after}
        gone = [(binding, ending) for binding in record.bindings if id(binding.life) not in lives]
        gone += [(binding, DEACTIVATED) for binding in record.lost]
        if not gone:
            return gone
        now = self._host.now()
        return [(b, EXPIRED if b.expires_at <= now else why) for b, why in gone]

    def _sleep(self, record: _Record) -> None:
        first = min(binding.ends_at for binding in record.bindings)
        self._host.wake(record, first - self._host.now())

    # What survives

    def _kept(self, bindings: Sequence[Binding]) -> Any:
        return kept_record(bindings, self._host.store, self._flows) if bindings else None

    def _current(self, aor: bytes) -> Any:
        record = self._records.get(aor)
        return None if record is None else self._kept(record.bindings)

    def startService(self) -> None:
        """Take up the bindings that the store has."""
        Service.startService(self)
        lost = 0
        for aor, value in self._host.store.load(KIND):
            record = _Record(self, aor)
            try:
                self._recall(record, value)
            except ValueError as error:
                self._log.error("the bindings of {aor} are lost: {error}", aor=aor, error=error)
                self._host.store.remove(KIND, aor)
            else:
                self._records[aor] = record
                self._sleep_first(record, PAUSE * (1 + lost // SLICE))
                lost += bool(record.lost)

    def _recall(self, record: _Record, value: Any) -> None:
        """What has not outlived the process before is told of when the record wakes."""
        now = self._host.now()
        standing, lost = recalled(value, self._host.store, self._flows)
        record.bindings = _ordered([b for b in standing if b.expires_at > now])
        record.lost = [*lost, *(b for b in standing if b.expires_at <= now)]
        self.count += len(record.bindings)
        _rely(record, ())

    def _sleep_first(self, record: _Record, pause: float) -> None:
        """Whoever has lost bindings wakes for that, a slice of users after the other."""
        if record.lost:
            self._host.wake(record, pause)
        else:
            self._sleep(record)


def _ordered(bindings: Sequence[Binding]) -> tuple[Binding, ...]:
    if len(bindings) < 2:
        return tuple(bindings)
    return tuple(sorted(bindings, key=lambda binding: -binding.q))


def _rely(record: _Record, before: Sequence[Binding]) -> None:
    """Hear of the ends of the flows that the bindings have, and of no others."""
    old, new = _watched(before), _watched(record.bindings)
    for flow in old - new:
        flow.unwatch(record.flow_closed)
    for flow in new - old:
        flow.watch(record.flow_closed)


def _watched(bindings: Sequence[Binding]) -> set[Flow]:
    return {flow for binding in bindings if (flow := binding.watched) is not None}
