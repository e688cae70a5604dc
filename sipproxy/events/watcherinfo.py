"""Watcher information documents, and what each subscriber has been told by them (RFC 3858)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from lxml import etree

from sipproxy.events.xml import write_xml, xml_seconds, xml_text, xml_uri
from sipproxy.interfaces.events import ISubscription
from sipproxy.sip.grammar import unquote
from sipproxy.sip.uri import aor_uri

NAMESPACE = "urn:ietf:params:xml:ns:watcherinfo"
MEDIA_TYPE = b"application/watcherinfo+xml"
ANONYMOUS = b"sip:anonymous@anonymous.invalid"  # RFC 3323 §4.1.1.3
PENDING, ACTIVE, WAITING, TERMINATED = b"pending", b"active", b"waiting", b"terminated"

_ROOT, _LIST, _WATCHER = (
    f"{{{NAMESPACE}}}{name}" for name in ("watcherinfo", "watcher-list", "watcher")
)
_TAG_LENGTH = 12  # bytes
_ALL = 2 ** (8 * _TAG_LENGTH)


class Told:
    """What the subscriber to watcher information knows: the memory of its subscription.

    ``known`` are the watchers by id, with the state that the subscriber was told last; ``moved``
    those that have moved since, of whatever state they are by now.
    """

    __slots__ = ("_sum", "known", "moved")

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[bytes, bytes]] = {}
        self.moved: dict[bytes, ISubscription] = {}
        self._sum = 0  # of the digests of what is known, in whatever order it was told

    def note(self, watcher: ISubscription) -> None:
        """A watcher has moved.

        One that ends before the subscriber has heard of it was transient (RFC 3857 §4.7.2).
        """
        if watcher.status == TERMINATED and watcher.id not in self.known:
            self.moved.pop(watcher.id, None)
        else:
            self.moved[watcher.id] = watcher

    def renewed(self, watchers: Iterable[ISubscription]) -> Told:
        """Return the memory of a subscriber who is to be told of all these watchers anew.

        Those who have ended meanwhile are told once more, as they would have been anyway.
        """
        fresh = Told()
        ended = [watcher for watcher in self.moved.values() if watcher.status == TERMINATED]
        for watcher in ended:
            fresh._learn(watcher.id, self.known[watcher.id])
        fresh.moved = {watcher.id: watcher for watcher in (*ended, *watchers)}
        return fresh

    def take(self, most: int) -> list[ISubscription]:
        """Return the watchers that the next document is about; it counts as sent.

        ``most`` is how many it may have; the rest stays for the one after it.
        """
        taken: list[ISubscription] = []
        for name, watcher in list(self.moved.items()):
            if len(taken) == most:
                break
            del self.moved[name]
            state = (watcher.status, watcher.event)
            if self.known.get(name) != state:
                taken.append(watcher)
                self._learn(name, None if watcher.status == TERMINATED else state)
        return taken

    def _learn(self, name: bytes, state: tuple[bytes, bytes] | None) -> None:
        before = self.known.pop(name, None)
        if before is not None:
            self._sum -= _digest(name, *before)
        if state is not None:
            self._sum += _digest(name, *state)
            self.known[name] = state

    @property
    def tag(self) -> bytes:
        """The entity-tag of what the subscriber knows."""
        return b"%0*x" % (2 * _TAG_LENGTH, self._sum % _ALL)


def _digest(*facts: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(b"\0".join(facts), digest_size=_TAG_LENGTH).digest())


def document(
    version: int,
    is_full: bool,
    resource: bytes,
    package: bytes,
    watchers: Iterable[ISubscription],
    now: float,
) -> bytes:
    """Return the document about some watchers of a resource (RFC 3858 §3)."""
    root = etree.Element(_ROOT, nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    root.set("version", str(version))
    root.set("state", "full" if is_full else "partial")
    every = etree.SubElement(root, _LIST)
    every.set("resource", xml_uri(aor_uri(resource)))
    every.set("package", package.decode())
    for watcher in watchers:
        _add(every, watcher, now)
    return write_xml(root)


def _add(every: etree._Element, watcher: ISubscription, now: float) -> None:
    element = etree.SubElement(every, _WATCHER)
    element.set("id", watcher.id.decode())
    element.set("status", watcher.status.decode())
    element.set("event", watcher.event.decode())
    element.set("duration-subscribed", xml_seconds(now - watcher.began_at))
    if watcher.status in (PENDING, ACTIVE):
        element.set("expiration", xml_seconds(watcher.expires_at - now))
    who = watcher.watcher
    # A name that nobody vouches for would be anybody's; who is anonymous stays it (RFC 3323).
    known = b"" if who.is_private else who.identity
    if known and who.display:
        element.set("display-name", xml_text(unquote(who.display)))
    element.text = xml_uri(known or ANONYMOUS)
