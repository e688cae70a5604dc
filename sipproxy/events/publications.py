"""The publications: every piece of state that somebody has put, in memory (RFC 3903 §6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import Logger

from sipproxy.events.packages import Packages
from sipproxy.events.publication_records import KIND, kept_record, read_record, restored
from sipproxy.interfaces import IHost
from sipproxy.interfaces.events import Publication
from sipproxy.interfaces.ledger import Ledger
from sipproxy.interfaces.turns import Turns
from sipproxy.sip.errors import SipError

if TYPE_CHECKING:
    from sipproxy.registrar.records import Flows
    from sipproxy.transaction.parties import Flow

_NONE: frozenset[Any] = frozenset()
_TAG_LENGTH = 16  # random octets: no two tags are ever the same, and nobody guesses one


class _Record:
    """The publications of one resource for one package; wakes when the first of them expires.

    None of them ends before ``lasts_until``; ``connections`` are the flows that are watched.
    """

    __slots__ = (
        *("booked", "connections", "due", "lasts_until", "package", "publications", "resource"),
        "table",
    )
    holds = "publications"  # of the flow that it watches

    def __init__(self, table: PublicationTable, package: bytes, resource: bytes) -> None:
        self.table = table
        self.package = package
        self.resource = resource
        self.publications: tuple[Publication, ...] = ()
        self.lasts_until = 0.0
        self.connections: Set[Flow] = _NONE
        self.due = self.booked = 0

    def woken(self) -> None:
        """A publication may have expired."""
        self.table.sweep(self)

    def flow_closed(self) -> None:
        """A connection that publications came by has ended: they are stale."""
        self.table.tell(self)


class PublicationTable(Service):
    """Who has published what.

    ``changed`` is called with package and resource whenever their publications are others, or one
    of them has become stale, or is so no longer (`Publication.is_stale`). A publication goes when
    it is removed or expires. Each `Publication` is made once and never edited. The host's store has
    what the table has; what is there when the table starts counts as if the server had never
    stopped, but for connections, which have ended.
    """

    def __init__(
        self,
        host: IHost,
        changed: Callable[[bytes, bytes], None],
        packages: Packages,
        flows: Flows,
    ) -> None:
        self.turns = Turns()  # by resource: whoever changes its publications takes one
        self._host = host
        self._changed = changed
        self._packages = packages
        self._flows = flows
        self._ledger = Ledger(host.store, KIND, self._current)
        self._log = Logger(namespace="sipproxy.events")
        self._records: dict[tuple[bytes, bytes], _Record] = {}
        self._order = 0
        self._watchers: list[Callable[[bytes, bytes], None]] = []

    def __len__(self) -> int:
        return len(self._records)

    def watch(self, moved: Callable[[bytes, bytes], None]) -> None:
        """Call ``moved`` with package and resource whenever anything about them is another."""
        self._watchers.append(moved)

    def of(self, package: bytes, resource: bytes) -> tuple[Publication, ...]:
        """Return the publications that there are, the one that was changed longest ago first."""
        record = self._records.get((package, resource))
        if record is None:
            return ()
        now = self._host.now()
        if now < record.lasts_until:
            return record.publications
        return tuple(p for p in record.publications if p.expires_at > now)

    def resources(self) -> list[tuple[bytes, bytes]]:
        """Return package and address-of-record of all that has been published."""
        return list(self._records)

    def find(self, package: bytes, resource: bytes, tag: bytes) -> Publication | None:
        """Return the publication that an entity-tag means now (RFC 3903 §6 step 3)."""
        return next((p for p in self.of(package, resource) if p.tag == tag), None)

    def put(
        self,
        package: bytes,
        resource: bytes,
        media_type: bytes,
        data: bytes,
        content: Any,
        seconds: int,
        flow: Flow | None,
        replaced: Publication | None = None,
    ) -> Any:
        """Keep a publication, in the place of another or not, and return its entity-tag.

        Returns a Deferred of it where it has to be safe first; see `Ledger.change`. Raises
        `SipError` 403 or 413 where a resource has too much already.
        """
        kept = [p for p in self.of(package, resource) if p is not replaced]
        self._check_room(kept, len(data), replaced)
        self._order += 1
        ends = self._host.now() + seconds
        tag = self._tag()
        kept.append(Publication(tag, media_type, data, content, ends, self._order, flow))
        return self._change(package, resource, kept, tag)

    def refresh(
        self, package: bytes, resource: bytes, known: Publication, seconds: int, flow: Flow | None
    ) -> Any:
        """Let a publication last from now on, and return its new entity-tag (§4.3), as `put` does.

        Nobody is told, for its state is the same, unless it was stale or comes by another flow.
        """
        tag, ends = self._tag(), self._host.now() + seconds
        body = known.media_type, known.data, known.content
        fresh = Publication(tag, *body, ends, known.order, flow)
        kept = [fresh if p is known else p for p in self.of(package, resource)]
        return self._change(package, resource, kept, tag, is_news=False)

    def remove(self, package: bytes, resource: bytes, known: Publication | None) -> Any:
        """Forget a publication, if there is one, and return an entity-tag that means nothing.

        §6 step 6 has it in the answer all the same; it is returned as `put` does.
        """
        if known is None:
            return self._tag()
        kept = [p for p in self.of(package, resource) if p is not known]
        return self._change(package, resource, kept, self._tag())

    def clear(self, package: bytes, resource: bytes) -> Any:
        """Forget all publications of a resource, once those that are being written are done."""
        return self.turns.take(
            resource,
            lambda: (
                self._change(package, resource, (), b"") if self.of(package, resource) else None
            ),
        )

    def _change(
        self,
        package: bytes,
        resource: bytes,
        kept: Sequence[Publication],
        tag: bytes,
        is_news: bool = True,
    ) -> Any:
        """Put these in the place of what there was, once that is safe, and return a tag.

        Though it ``is_news`` to nobody, what is composed may be another where any of `_seen` is:
        one may have expired meanwhile, or its connection have closed.
        """
        key = _key(package, resource)

        def apply() -> bytes:
            record = None if is_news else self._records.get((package, resource))
            before = () if record is None else _seen(record.publications)
            self._replace(package, resource, kept)
            if is_news or before != _seen(kept):
                self._changed(package, resource)
            return tag

        return self._ledger.change(key, lambda: self._kept(package, kept), apply)

    def sweep(self, record: _Record) -> None:
        """Take out what has expired, as if it had been removed (§6 step 5)."""
        kept = self.of(record.package, record.resource)
        expired = len(kept) != len(record.publications)
        self._replace(record.package, record.resource, kept)
        if expired:
            self._ledger.note(_key(record.package, record.resource))
            self.tell(record)

    def tell(self, record: _Record) -> None:
        """Say that the publications of a record mean something else now."""
        self._changed(record.package, record.resource)
        self._moved(record.package, record.resource)

    def _moved(self, package: bytes, resource: bytes) -> None:
        for moved in self._watchers:
            moved(package, resource)

    def _tag(self) -> bytes:
        return self._host.random(_TAG_LENGTH).hex().encode()

    def _check_room(
        self, others: Sequence[Publication], length: int, replaced: Publication | None
    ) -> None:
        settings = self._host.settings.events
        if replaced is None and len(others) >= settings.publications:
            raise SipError(403, "Too Many Publications", limit="publications")
        if length + sum(len(p.data) for p in others) > settings.publication_bytes:
            raise SipError(413, limit="publication_bytes")

    def _replace(self, package: bytes, resource: bytes, kept: Sequence[Publication]) -> None:
        """Put these in the place of what there was, all at once."""
        key = (package, resource)
        record = self._records.get(key)
        if record is None:
            if not kept:
                return
            record = self._records[key] = _Record(self, package, resource)
        before, after = record.connections, _connections(kept)
        record.publications, record.connections = tuple(kept), after
        if before or after:
            for flow in before - after:
                flow.unwatch(record.flow_closed)
            for flow in after - before:
                flow.watch(record.flow_closed)
        if kept:
            self._sleep(record)
        else:
            self._host.forget(record)
            del self._records[key]
        self._moved(package, resource)

    def _sleep(self, record: _Record) -> None:
        first = min([publication.expires_at for publication in record.publications])
        record.lasts_until = first
        self._host.wake(record, first - self._host.now())

    def follow(self) -> None:
        """Forget what was published for packages that are no more, as a start does."""
        for package, resource in list(self._records):
            if self._packages.find(package) is None:
                self._replace(package, resource, ())
                self._ledger.note(_key(package, resource))

    # What survives

    def _kept(self, package: bytes, publications: Sequence[Publication]) -> Any:
        if not publications:
            return None
        found = self._packages.find(package)
        return kept_record(publications, found, self._host.store, self._flows)

    def _current(self, key: bytes) -> Any:
        package, _, resource = key.partition(b" ")
        record = self._records.get((package, resource))
        return None if record is None else self._kept(package, record.publications)

    def startService(self) -> None:
        """Take up the publications that the store has; what has expired goes at the first tick."""
        Service.startService(self)
        for key, value in self._host.store.load(KIND):
            package, _, resource = key.partition(b" ")
            self._recall(package, resource, value)

    def _recall(self, package: bytes, resource: bytes, value: Any) -> None:
        """Take up those of one resource, in their order: each is checked beside those before it."""
        found, key = self._packages.find(package), _key(package, resource)
        record = self._records[package, resource] = _Record(self, package, resource)
        lost = 0
        try:
            every = () if found is None else read_record(value)
        except ValueError as error:
            self._log.error("{key!r} cannot be read: {error}", key=key, error=error)
            every = ()
        for kept in every:
            lost += not self._restore(record, kept, found)
        if not record.publications:
            del self._records[package, resource]
            self._host.store.remove(KIND, key)
            return
        if lost:
            self._ledger.note(key)
        self._sleep(record)

    def _restore(self, record: _Record, kept: Any, package: Any) -> bool:
        store, flows, resource = self._host.store, self._flows, record.resource
        try:
            publication = restored(kept, resource, package, store, flows)
        except ValueError as error:
            text = "a publication of {resource} is lost: {error}"
            self._log.error(text, resource=resource, error=error)
            return False
        record.publications += (publication,)
        self._order = max(self._order, publication.order)
        return True


def _key(package: bytes, resource: bytes) -> bytes:
    return package + b" " + resource


def _seen(publications: Sequence[Publication]) -> tuple[Any, ...]:
    """Return what packages see of publications, and a refresh by the same flow leaves as it is."""
    return tuple([(one.order, one.flow, one.is_stale) for one in publications])


def _connections(publications: Sequence[Publication]) -> Set[Flow]:
    """Return the open connections that publications came by: over UDP there is no end to see."""
    flows = [one.flow for one in publications if one.flow is not None and one.flow.reliable]
    return {flow for flow in flows if flow.is_open} if flows else _NONE
