"""Composing: all that is known of a presentity becomes one document (RFC 4479 §3)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lxml import etree
from zope.interface import implementer

from sipproxy.interfaces.events import IComposer, Publication
from sipproxy.presence.namespaces import (
    BASIC,
    CONTACT,
    DECLARED,
    NOTE,
    PERSON,
    PRESENCE,
    STATUS,
    TIMED_STATUS,
    TIMESTAMP,
    TUPLE,
)
from sipproxy.presence.persons import Occurrence, distinct_notes, merged
from sipproxy.presence.times import read_time
from sipproxy.sip.uri import aor_uri

if TYPE_CHECKING:
    from sipproxy.presence.pidf import Document
    from sipproxy.presence.registration import Service


@implementer(IComposer)
class Composer:
    """The composition policy that comes with sipproxy (docs/presence.md).

    Every tuple and device of every publication, the services that registrations show and nobody
    has published, and one person.
    """

    def compose(
        self,
        resource: bytes,
        publications: Sequence[Publication],
        services: Sequence[Service],
        now: float,
    ) -> tuple[etree._Element | None, float | None]:
        """Return the document of a presentity, None where nothing is known, and until when."""
        if not publications and not services:
            return None, None
        services = [one for one in services if not any(map(one.is_published_by, publications))]
        if len(publications) == 1 and _is_whole(publications[0]):
            return _beside(publications[0].content, services), None
        composition = _Composition(resource, now)
        for publication in sorted(publications, key=lambda one: one.content.key):
            composition.add(publication.content, publication.is_stale)
        for service in services:
            composition.add_service(service)
        return composition.root(), composition.until


def closed_document(resource: bytes, name: str) -> etree._Element:
    """Return what is shown where nothing is known: one closed tuple (RFC 3856 §6.6.2).

    It has no timestamp and depends on nothing that moves: whoever is blocked politely gets the
    very same.
    """
    uri = aor_uri(resource).decode("utf-8", "replace")
    root = etree.Element(PRESENCE, {"entity": uri}, nsmap=DECLARED)
    element = etree.SubElement(root, TUPLE, id=name)
    etree.SubElement(etree.SubElement(element, STATUS), BASIC).text = "closed"
    etree.SubElement(element, CONTACT).text = uri
    return root


def _is_whole(publication: Publication) -> bool:
    """Tell whether a publication's document is by itself what would be composed of it."""
    document: Document = publication.content
    return document.persons <= 1 and not document.has_timed and not publication.is_stale


def _beside(document: Document, services: Sequence[Service]) -> etree._Element:
    """Return a document with the services that it does not have."""
    added = [service.element() for service in services if service.id not in document.ids]
    if not added:
        return document.root
    root = copy.copy(document.root)
    root[document.tuples : document.tuples] = added
    return root


class _Composition:
    """A document in the making."""

    def __init__(self, resource: bytes, now: float) -> None:
        self.until: float | None = None
        self._entity = aor_uri(resource).decode("utf-8", "replace")
        self._now = now
        self._documents: list[Document] = []
        self._tuples: list[etree._Element] = []
        self._persons: list[Occurrence] = []
        self._others: list[etree._Element] = []

    def add(self, document: Document, is_stale: bool) -> None:
        """Add what a publication says."""
        self._documents.append(document)
        for element in document.root:
            if element.tag == TUPLE:
                added = copy.copy(element)
                self._tuples.append(added)
                if document.has_timed:
                    self._keep_timely(added, document.received)
                if is_stale:
                    _close(added)
            elif element.tag == PERSON:
                self._persons.append(Occurrence(element, document.received, document.key))
            elif element.tag != NOTE:
                self._others.append(copy.copy(element))

    def add_service(self, service: Service) -> None:
        """Add what a registration shows, unless a publication speaks of a tuple of that name."""
        if not any(service.id in document.ids for document in self._documents):
            self._tuples.append(service.element())

    def root(self) -> etree._Element:
        """Return it in the order of the schema: tuples, notes, and all else."""
        roots = [document.root for document in self._documents]
        namespaces: Any = {}
        for root in reversed(roots):
            namespaces.update(root.nsmap)
        namespaces.update(DECLARED)
        composed = etree.Element(PRESENCE, {"entity": self._entity}, nsmap=namespaces)
        composed.extend(self._tuples)
        composed.extend(copy.copy(note) for note in distinct_notes(roots, NOTE))
        composed.extend(self._person())
        composed.extend(self._others)
        return composed

    def _person(self) -> Iterable[etree._Element]:
        if len(self._persons) == 1:
            return [copy.copy(self._persons[0].element)]
        return [merged(self._persons)] if self._persons else []

    def _keep_timely(self, element: etree._Element, received: float) -> None:
        """Take out each status whose time has come (RFC 4481 §3: it MUST NOT be the present's).

        What was past when it was published is history that the publisher wants told.
        """
        for timed in element.findall(TIMED_STATUS):
            starts, ends = read_time(timed.get("from")), read_time(timed.get("until"))
            if starts is not None and starts > self._now:
                self.until = min(self.until or starts, starts)
            elif ends is None or ends > received:
                element.remove(timed)


def _close(element: etree._Element) -> None:
    """Show a tuple whose publisher is gone as closed; since when is not known (§4.1.7).

    No other status of it holds any more, either.
    """
    status = element[0]
    status[:] = []
    etree.SubElement(status, BASIC).text = "closed"
    for stamp in element.findall(TIMESTAMP):
        element.remove(stamp)
