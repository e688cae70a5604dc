"""The location table: every binding by address-of-record, in memory (RFC 3261 §10, §16.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from zope.interface import implementer

from sipproxy.interfaces import DEACTIVATED, EXPIRED, UNREGISTERED, Ending, IHost, ILocation
from sipproxy.registrar.binding import Binding


class _Record:
    """The bindings of one address-of-record; wakes when the first of them expires."""

    __slots__ = ("aor", "bindings", "booked", "due", "table")

    def __init__(self, table: LocationTable, aor: bytes) -> None:
        self.table = table
        self.aor = aor
        self.bindings: tuple[Binding, ...] = ()
        self.due = self.booked = 0

    def woken(self) -> None:
        """A binding may have expired."""
        self.table.sweep(self)

    def flow_closed(self) -> None:
        """A flow that bindings relied on has ended."""
        self.table.sweep(self)


@implementer(ILocation)
class LocationTable:
    """Who is where.

    A binding goes when it expires, when its flow closes or falls silent (RFC 5626 §7), or when
    `commit` leaves it out; whoever watches is told of each change, and whoever listens why.
    """

    def __init__(self, host: IHost) -> None:
        self._host = host
        self._records: dict[bytes, _Record] = {}
        self._watchers: list[Callable[[bytes], None]] = []
        self._listeners: list[Callable[[bytes, Binding, Ending], None]] = []

    def __len__(self) -> int:
        return len(self._records)

    def aors(self) -> Iterable[bytes]:
        """Return every address-of-record that has a binding."""
        return list(self._records)

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

    def commit(
        self, aor: bytes, bindings: Sequence[Binding], ending: Ending = UNREGISTERED
    ) -> None:
        """Put these bindings in the place of the current ones, all at once."""
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
        if len(kept) != len(record.bindings):
            self._replace(record, kept, DEACTIVATED)
        else:
            self._sleep(record)

    def _replace(self, record: _Record, bindings: Sequence[Binding], ending: Ending) -> None:
        ended = self._ended(record.bindings, bindings) if self._listeners else ()
        before = {b.watched for b in record.bindings} - {None}
        after = {b.watched for b in bindings} - {None}
        record.bindings = tuple(sorted(bindings, key=lambda binding: -binding.q))
        for flow in before - after:
            flow.unwatch(record.flow_closed)  # type: ignore[union-attr]
        for flow in after - before:
            flow.watch(record.flow_closed)  # type: ignore[union-attr]
        if record.bindings:
            self._sleep(record)
        else:
            self._host.forget(record)
            self._records.pop(record.aor, None)
        for binding in ended:
            why = EXPIRED if binding.expires_at <= self._host.now() else ending
            for told in self._listeners:
                told(record.aor, binding, why)
        for changed in self._watchers:
            changed(record.aor)

    @staticmethod
    def _ended(before: Sequence[Binding], after: Sequence[Binding]) -> Sequence[Binding]:
        """Return those whose contacts are bound no more."""
        lives = {id(binding.life) for binding in after}
        return [binding for binding in before if id(binding.life) not in lives]

    def _sleep(self, record: _Record) -> None:
        first = min(binding.ends_at for binding in record.bindings)
        self._host.wake(record, first - self._host.now())
