"""What those are sent who may see the same: whole or in parts, filtered or not (RFC 5263 §4.4)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from lxml import etree

from sipproxy.events.excerpts import What
from sipproxy.events.filters import Criteria, Filters
from sipproxy.events.xml import write_xml
from sipproxy.interfaces.events import Body, ISubscription
from sipproxy.presence.filters import SCHEMA
from sipproxy.presence.partial import PIDF_DIFF, compact, difference, full

PIDF_XML = b"application/pidf+xml"
_TAG_LENGTH = 12  # bytes
_MOST_PARTS = 64  # that are kept at a time
_VERSION = b' version="0"'  # stands where each watcher has a number of its own


class Shown:
    """A document as watchers were shown it, before any filter; they share it.

    It is kept as octets, for many a watcher is told of a change long after others.
    """

    __slots__ = ("data", "tag")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.tag = hashlib.blake2b(data, digest_size=_TAG_LENGTH).hexdigest().encode()

    @property
    def root(self) -> etree._Element:
        """The root of it, made anew each time."""
        return etree.fromstring(self.data)


class Told(NamedTuple):
    """What one watcher has been told; others who were told the same share what it is about.

    ``version`` is that of its last document in parts (RFC 5263 §4.4), ``shown`` the state that it
    was told of, and ``tag`` what it saw of it. ``is_base`` says that a difference can follow.
    """

    version: int = 0
    shown: Shown | None = None
    tag: bytes = b""
    is_base: bool = False


class Excerpt:
    """What a filter leaves of a document, and the bodies that show it."""

    def __init__(self, shown: Shown, root: etree._Element, what: What | None) -> None:
        left = None if what is None else Criteria(what).filtered(root, SCHEMA)
        self.is_empty = what is not None and left is None
        self._what = what
        # White space that a filter leaves over is no news.
        self._root = _bare(root) if self.is_empty else root if left is None else compact(left)
        whole = shown if self._root is root else Shown(write_xml(self._root))
        self.body = Body(PIDF_XML, whole.data, whole.tag)
        self._compact: etree._Element | None = None
        self._templates: dict[bytes, bytes | None] = {}
        self._parts: dict[tuple[bytes, int], Body] = {}

    @property
    def tag(self) -> bytes:
        """What tells it apart from what was seen before."""
        return self.body.tag

    def rest(self) -> None:
        """Keep the whole body alone."""
        self._compact = None
        self._templates.clear()
        self._parts.clear()

    def part(self, base: Shown | None, version: int) -> Body:
        """Return what makes it of what a watcher has seen, or all of it where there is no base."""
        key = b"" if base is None else base.tag, version
        found = self._parts.get(key)
        if found is None:
            if len(self._parts) >= _MOST_PARTS:
                self._parts.clear()  # those who were told as often as each other are few, or many
            data = self._template(base).replace(_VERSION, b' version="%d"' % version, 1)
            found = self._parts[key] = Body(PIDF_DIFF, data, self.tag)
        return found

    def _template(self, base: Shown | None) -> bytes:
        """Return a document without its version: a difference where it is the shorter one."""
        key = b"" if base is None else base.tag
        if key not in self._templates:
            self._templates[key] = self._difference(base) if base is not None else self._full()
        return self._templates[key] or self._template(None)

    def _full(self) -> bytes:
        return write_xml(full(self._compacted(), 0))

    def _difference(self, base: Shown) -> bytes | None:
        old = base.root
        if self._what is not None:
            left = Criteria(self._what).filtered(old, SCHEMA)
            old = _bare(old) if left is None else left
        found = difference(compact(old), self._compacted(), 0)
        return None if found is None else write_xml(found)

    def _compacted(self) -> etree._Element:
        if self._compact is None:
            self._compact = compact(self._root)
        return self._compact


def _bare(root: etree._Element) -> etree._Element:
    """Return a document with nothing in it."""
    bare = etree.Element(root.tag, nsmap=root.nsmap)  # type: ignore[arg-type]
    bare.set("entity", str(root.get("entity", "")))
    return bare


class Showing:
    """A document for all who may see the same; each form of it is made once.

    Watchers remember what they were `Shown`, and nothing else.
    """

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._shown = Shown(write_xml(root))
        self._excerpts: dict[What | None, Excerpt] = {}
        self._triggered: dict[tuple[Criteria, bytes], bool] = {}

    @property
    def tag(self) -> bytes:
        """What tells it apart from what others may see, or may see later."""
        return self._shown.tag

    def rest(self) -> int:
        """Keep what those are told who ask for no part of it; return how many bytes that is."""
        whole = self._excerpts.get(None)
        self._excerpts.clear()
        self._triggered.clear()
        if whole is not None:
            whole.rest()
            self._excerpts[None] = whole
        return len(self._shown.data)

    def tell(self, subscription: ISubscription, is_full: bool) -> Body | None:
        """Return what a watcher is to be sent, None for nothing, and have it remembered.

        RFC 5263 §4.4: the first document in parts, and whatever follows a SUBSCRIBE, is a full one;
        versions begin with 1, rise with each, and are not reset by a refresh. RFC 4660 §5.3:
        what a filter leaves is sent when a trigger of it is met, or anything changes where it has
        none, and after each SUBSCRIBE.
        """
        filters: Filters | None = subscription.terms
        criteria = None if filters is None else filters.criteria
        told: Told | None = subscription.memory
        is_in_parts = subscription.media_type == PIDF_DIFF
        if told is None:
            if criteria is None and not is_in_parts:
                return self._excerpt(None).body
            told = Told()
        if not is_full and not self._concerns(criteria, told.shown):
            return None
        excerpt = self._excerpt(None if criteria is None else criteria.what)
        if not is_full and told.tag == excerpt.tag:
            return None
        if is_full and excerpt.is_empty:  # RFC 4660 §5.3.1
            subscription.memory = Told(told.version, self._shown, excerpt.tag)
            return None
        if not is_in_parts:
            subscription.memory = Told(told.version, self._shown, excerpt.tag)
            return excerpt.body
        subscription.memory = Told(told.version + 1, self._shown, excerpt.tag, True)
        base = None if is_full or not told.is_base else told.shown
        return excerpt.part(base, told.version + 1)

    def _excerpt(self, what: What | None) -> Excerpt:
        found = self._excerpts.get(what)
        if found is None:
            found = self._excerpts[what] = Excerpt(self._shown, self._root, what)
        return found

    def _concerns(self, criteria: Criteria | None, base: Shown | None) -> bool:
        """Tell whether what has changed since is of interest to whoever asks by a filter."""
        if criteria is None or base is None or not criteria.triggers:
            return True
        key = criteria, base.tag
        if key not in self._triggered:
            self._triggered[key] = criteria.is_triggered(base.root, self._root)
        return self._triggered[key]
