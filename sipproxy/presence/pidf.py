"""Presence documents as they are published: read, checked, and made ready to compose (RFC 3863)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lxml import etree

from sipproxy.events.xml import read_xml
from sipproxy.presence.mending import mended, schema
from sipproxy.presence.namespaces import (
    CONTACT,
    PERSON,
    PIDF,
    PIDF_NAMESPACE,
    PRESENCE,
    SPHERE,
    TIMED_STATUS,
    TIMESTAMP,
    TUPLE,
    XML,
)
from sipproxy.presence.times import read_time, write_time
from sipproxy.sip.errors import SipError
from sipproxy.sip.uri import Uri, aor_uri, parse_uri

if TYPE_CHECKING:
    from sipproxy.transport.identity import Identity

_ids: Any = etree.XPath("//@id | //@xml:id")
_braced = re.compile(r"\{[^}]*\}")
_SIP = ("sip:", "sips:", "pres:", "im:")
_Stamp = tuple[int, float]  # what a tuple says, and since when, in seconds of the wall clock


class Sphere:
    """A sphere that a document gives the person, and from when until when (RFC 4480 §3.11)."""

    __slots__ = ("ends", "starts", "value")

    def __init__(self, value: bytes, starts: float | None, ends: float | None) -> None:
        self.value = value
        self.starts = starts
        self.ends = ends

    def is_at(self, time: float) -> bool:
        """Tell whether it holds at a time."""
        return (self.starts is None or self.starts <= time) and (
            self.ends is None or time < self.ends
        )


class Document:
    """What one publication says.

    ``root`` is valid, with names that no other publication of its presentity has; it is shared and
    never edited again. ``data`` is what was published, for patches to apply to (RFC 5264).
    ``stamps`` are the times that we give to tuples without one (RFC 3863 §4.1.7), in their order
    and by the names that ``data`` has, each with what tells whether its tuple has changed.
    ``key`` names the publication: what replaces it has the same, a younger one a larger one.
    ``received`` is when it came, in seconds of the wall clock. What only composing asks for is
    found when it is asked for: most of what is published is replaced before anybody sees it.
    """

    __slots__ = (
        *(
            "_contacts",
            "_ids",
            "_is_stamped",
            "_persons",
            "_root",
            "data",
            "key",
            "received",
            "renamed",
        ),
        *("spheres", "stamps"),
    )

    def __init__(
        self,
        root: etree._Element,
        data: bytes,
        received: float,
        key: int,
        spheres: list[Sphere],
        stamps: dict[str, _Stamp],
    ) -> None:
        self._root = root
        self._is_stamped = False
        self.data = data
        self.received = received
        self.key = key
        self.spheres = spheres
        self.renamed: dict[str, str] = {}
        self.stamps = stamps
        self._contacts: list[Uri | None] | None = None
        self._ids: frozenset[str] | None = None
        self._persons: int | None = None

    @property
    def root(self) -> etree._Element:
        """The document as it is composed."""
        if not self._is_stamped:
            self._is_stamped = True
            times = (time for _, time in self.stamps.values())
            for element, time in zip(_unstamped(self._root), times, strict=True):
                etree.SubElement(element, TIMESTAMP).text = write_time(time)
        return self._root

    @property
    def tuples(self) -> int:
        """How many tuples there are; they come first."""
        return sum(1 for _ in self._root.iterchildren(TUPLE))

    @property
    def has_timed(self) -> bool:
        """Whether it says what holds at other times (RFC 4481)."""
        return b"timed-status" in self.data and (
            self._root.find(f"{TUPLE}/{TIMED_STATUS}") is not None
        )

    @property
    def persons(self) -> int:
        """How many persons there are."""
        if self._persons is None:
            self._persons = sum(1 for _ in self._root.iterchildren(PERSON))
        return self._persons

    @property
    def contacts(self) -> list[Uri | None]:
        """The contacts of its tuples, as far as they are SIP URIs, None where there is none."""
        if self._contacts is None:
            tuples = self._root.iterchildren(TUPLE)
            self._contacts = [uri for element in tuples for uri in _contact(element)]
        return self._contacts

    @property
    def ids(self) -> frozenset[str]:
        """The names of all that it has."""
        if self._ids is None:
            self._ids = frozenset(str(name).strip() for name in _ids(self._root))
        return self._ids

    def rename(self, known: Mapping[str, str], taken: frozenset[str]) -> None:
        """Give other names to what has one that is ``taken``: the ``known`` ones, or new ones."""
        own, used = self.ids, {*self.ids, *taken}
        for name in sorted(own & (taken | known.keys())):
            new = known.get(name)
            if new is None or new in used:  # the publisher has come to use that name itself
                new = _free(name, used)
            used.add(new)
            self.renamed[name] = new
        _rename(self._root, self.renamed)
        self._ids = None


class Reader:
    """Reads what is published, for presentities of ours.

    A body of more than ``most_bytes``, or with more than ``most_elements``, is answered 413.
    """

    def __init__(self, identity: Identity, most_bytes: int, most_elements: int) -> None:
        self._keys = 0
        self.follow(identity, most_bytes, most_elements)

    def follow(self, identity: Identity, most_bytes: int, most_elements: int) -> None:
        """Be another identity's, with other limits."""
        self._identity = identity
        self._most_bytes = most_bytes
        self._most_elements = most_elements

    def read(
        self,
        resource: bytes,
        data: bytes,
        received: float,
        others: Sequence[Document] = (),
        replaced: Document | None = None,
    ) -> Document:
        """Return a document that is published beside ``others``; raises `SipError`.

        What is published again without a change is what it was.
        """
        if replaced is not None and replaced.data == data:
            return replaced
        self.check_size(data)
        root = read_xml(data)
        self._check_root(resource, root)
        if data.find(b"!") >= 0:
            etree.strip_tags(root, etree.Comment)  # what they say obeys no rule
        spheres = list(_spheres(root)) if data.find(b"sphere") >= 0 else []
        if not schema().validate(root) and not mended(root):
            raise _malformed(_fault())
        stamps = _stamps(root, received, replaced)
        found = Document(root, data, received, self._key(replaced), spheres, stamps)
        _name_apart(found, others, replaced)
        return found

    def remember(
        self,
        found: Document,
        key: int,
        stamps: Mapping[str, float | None],
        renamed: Mapping[str, str],
    ) -> None:
        """Let a document that was read again be what it was, in the same place."""
        for name, (says, time) in found.stamps.items():
            found.stamps[name] = says, stamps.get(name) or time
        if renamed:
            found.rename(renamed, frozenset())
        found.key, self._keys = key, max(key, self._keys)

    def check_size(self, data: bytes) -> None:
        """Raise `SipError` 413 for a body that is too large to be looked at."""
        tags, most = data.count(b"<"), self._most_elements
        if len(data) > self._most_bytes:
            raise SipError(413, limit="document")
        if tags > most and tags - data.count(b"</") > most:
            raise SipError(413, limit="elements")

    def _check_root(self, resource: bytes, root: etree._Element) -> None:
        if root.tag != PRESENCE:
            raise _malformed(f"its root is not <presence> of {PIDF_NAMESPACE}")
        canonical = aor_uri(resource).decode("utf-8", "replace")
        if root.get("entity") != canonical:
            self._check_entity(resource, root.get("entity"))
            root.set("entity", canonical)

    def _check_entity(self, resource: bytes, entity: str | None) -> None:
        """RFC 3863 §4.1.1: it is the presentity's URI, in any of its forms.

        What is said of somebody else is not malformed: it is not for this publisher to say (RFC
        3903 §14.1), and saying it again would not help, which is what 403 means (RFC 3261 §21.4.4).
        """
        if entity is None:
            raise _malformed("<presence> needs an entity")
        try:
            uri = parse_uri(entity.strip().encode())
        except SipError:
            raise _malformed("its entity is no URI") from None
        if not uri.is_sip or self._identity.canonical(uri) != resource:
            raise SipError(403, "Presence Document Of Somebody Else")

    def _key(self, replaced: Document | None) -> int:
        if replaced is not None:
            return replaced.key
        self._keys += 1
        return self._keys


def spheres_at(documents: Iterable[Document], time: float) -> bytes | None:
    """Return the sphere that all documents with one agree on, else None (RFC 5025 §3.1.2)."""
    values = {s.value for document in documents for s in document.spheres if s.is_at(time)}
    return values.pop() if len(values) == 1 else None


def spheres_change(documents: Iterable[Document], time: float) -> float | None:
    """Return when a sphere begins or ends next."""
    spheres = [sphere for document in documents for sphere in document.spheres]
    if not spheres:
        return None
    moments = (moment for one in spheres for moment in (one.starts, one.ends))
    return min((m for m in moments if m is not None and m > time), default=None)


def _contact(element: etree._Element) -> list[Uri | None]:
    text = (element.findtext(CONTACT) or "").strip()
    if not text:
        return [None]
    if not text.lower().startswith(_SIP):
        return []
    try:
        return [parse_uri(text.encode())]
    except SipError:
        return []


def _unstamped(root: etree._Element) -> list[etree._Element]:
    """Return the tuples without a timestamp; raises `SipError` 400 for one that says nothing."""
    found = []
    for element in root.iterchildren(TUPLE):
        if not len(element[0]):
            raise _malformed("a <status> is empty")  # RFC 3863 §4.1.3
        if element[-1].tag != TIMESTAMP:
            found.append(element)
    return found


def _stamps(root: etree._Element, received: float, replaced: Document | None) -> dict[str, _Stamp]:
    """Return since when each tuple that does not say so is what it is (RFC 3863 §4.1.7)."""
    known = {} if replaced is None else replaced.stamps
    stamps = {}
    for element in _unstamped(root):
        says = hash(etree.tostring(element, with_tail=False))
        name = element.get("id", "")
        before = known.get(name)
        if before is None or before[0] != says:
            before = says, received
        stamps[name] = before
    return stamps


def _spheres(root: etree._Element) -> Iterable[Sphere]:
    """Return the spheres of the person; one with text, as in the RFC's own example, counts."""
    for element in root.iterfind(f"{PERSON}/{SPHERE}"):
        times = read_time(element.get("from")), read_time(element.get("until"))
        names = [child.tag.rpartition("}")[2] for child in element if isinstance(child.tag, str)]
        for value in names or [" ".join((element.text or "").split())]:
            yield Sphere(value.encode(), *times)


def _name_apart(found: Document, others: Sequence[Document], replaced: Document | None) -> None:
    """Rename what has the name of something in another publication (RFC 3863 §4.1.2).

    Many clients give their tuples the same name always. It keeps its new name for as long as its
    publication lasts, whatever becomes of the other.
    """
    known = replaced.renamed if replaced is not None else {}
    if not known and not others:
        return
    taken = frozenset().union(*(other.ids for other in others))
    if known or not taken.isdisjoint(found.ids):
        found.rename(known, taken)


def _free(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}.{number}" in taken:
        number += 1
    return f"{name}.{number}"


def _rename(root: etree._Element, names: dict[str, str]) -> None:
    for element in root.iter():
        for attribute in ("id", XML + "id"):
            name = element.get(attribute, "").strip()
            if name in names and (attribute != "id" or element.tag.startswith(PIDF[:-1])):
                element.set(attribute, names[name])


def _fault() -> str:
    """Return what the schema's first complaint was, with names as people write them."""
    log: Any = schema().error_log
    return _braced.sub("", log[0].message) if len(log) else ""


def _malformed(problem: str) -> SipError:
    text = problem.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")
    return SipError(400, f"Bad Presence Document: {text[:120]}")
