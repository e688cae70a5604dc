"""The publications: every piece of state that somebody has put, in memory (RFC 3903 §6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sipproxy.interfaces import IHost
from sipproxy.interfaces.events import Publication
from sipproxy.sip.errors import SipError

if TYPE_CHECKING:
    from sipproxy.transaction.parties import Flow

_TAG_LENGTH = 16  # random octets: no two tags are ever the same, and nobody guesses one


class _Record:
    """The publications of one resource for one package; wakes when the first of them expires."""

    __slots__ = ("booked", "due", "package", "publications", "resource", "table")

    def __init__(self, table: PublicationTable, package: bytes, resource: bytes) -> None:
        self.table = table
        self.package = package
        self.resource = resource
        self.publications: tuple[Publication, ...] = ()
        self.due = self.booked = 0

    def woken(self) -> None:
        """A publication may have expired."""
        self.table.sweep(self)

    def flow_closed(self) -> None:
        """A connection that publications came by has ended: they are stale."""
        self.table.tell(self)


class PublicationTable:
    """Who has published what.

    ``changed`` is called with package and resource whenever their publications are others, or one
    of them has become stale, or is so no longer (`Publication.is_stale`). A publication goes when
    it is removed or expires. Each `Publication` is made once and never edited.
    """

    def __init__(self, host: IHost, changed: Callable[[bytes, bytes], None]) -> None:
        self._host = host
        self._changed = changed
        self._settings = host.settings.events
        self._records: dict[tuple[bytes, bytes], _Record] = {}
        self._order = 0

    def __len__(self) -> int:
        return len(self._records)

    def of(self, package: bytes, resource: bytes) -> tuple[Publication, ...]:
        """Return the publications that there are, the one that was changed longest ago first."""
        record = self._records.get((package, resource))
        if record is None:
            return ()
        now = self._host.now()
        for publication in record.publications:
            if publication.expires_at <= now:
                return tuple(p for p in record.publications if p.expires_at > now)
        return record.publications

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
    ) -> bytes:
        """Keep a publication, in the place of another or not, and return its entity-tag.

        Raises `SipError` 403 or 413 where a resource has too much already.
        """
        kept = [p for p in self.of(package, resource) if p is not replaced]
        self._check_room(kept, len(data), replaced)
        self._order += 1
        ends = self._host.now() + seconds
        tag = self._tag()
        kept.append(Publication(tag, media_type, data, content, ends, self._order, flow))
        self._replace(package, resource, kept)
        self._changed(package, resource)
        return tag

    def refresh(
        self, package: bytes, resource: bytes, known: Publication, seconds: int, flow: Flow | None
    ) -> bytes:
        """Let a publication last from now on, and return its new entity-tag (§4.3).

        Nobody is told, for its state is the same, unless it was stale.
        """
        tag, ends, was_stale = self._tag(), self._host.now() + seconds, known.is_stale
        body = known.media_type, known.data, known.content
        fresh = Publication(tag, *body, ends, known.order, flow)
        current = self.of(package, resource)
        self._replace(package, resource, [fresh if p is known else p for p in current])
        if was_stale:
            self._changed(package, resource)
        return tag

    def remove(self, package: bytes, resource: bytes, known: Publication | None) -> bytes:
        """Forget a publication, if there is one, and return an entity-tag that means nothing.

        §6 step 6 has it in the answer all the same.
        """
        if known is not None:
            kept = [p for p in self.of(package, resource) if p is not known]
            self._replace(package, resource, kept)
            self._changed(package, resource)
        return self._tag()

    def sweep(self, record: _Record) -> None:
        """Take out what has expired, as if it had been removed (§6 step 5)."""
        kept = self.of(record.package, record.resource)
        expired = len(kept) != len(record.publications)
        self._replace(record.package, record.resource, kept)
        if expired:
            self.tell(record)

    def tell(self, record: _Record) -> None:
        """Say that the publications of a record mean something else now."""
        self._changed(record.package, record.resource)

    def _tag(self) -> bytes:
        return self._host.random(_TAG_LENGTH).hex().encode()

    def _check_room(
        self, others: Sequence[Publication], length: int, replaced: Publication | None
    ) -> None:
        settings = self._settings
        if replaced is None and len(others) >= settings.publications:
            raise SipError(403, "Too Many Publications")
        if length + sum(len(p.data) for p in others) > settings.publication_bytes:
            raise SipError(413)

    def _replace(self, package: bytes, resource: bytes, kept: Sequence[Publication]) -> None:
        """Put these in the place of what there was, all at once."""
        key = (package, resource)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record(self, package, resource)
        before, after = _connections(record.publications), _connections(kept)
        record.publications = tuple(kept)
        if before or after:
            for flow in before - after:
                flow.unwatch(record.flow_closed)
            for flow in after - before:
                flow.watch(record.flow_closed)
        if kept:
            first = min([publication.expires_at for publication in kept])
            self._host.wake(record, first - self._host.now())
        else:
            self._host.forget(record)
            del self._records[key]


def _connections(publications: Sequence[Publication]) -> set[Flow]:
    """Return the open connections that publications came by: over UDP there is no end to see."""
    return {
        flow
        for publication in publications
        if (flow := publication.flow) is not None and flow.reliable and flow.is_open
    }
