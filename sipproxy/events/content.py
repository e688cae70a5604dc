"""What a NOTIFY tells, as it goes over the wire: the same octets for all who are told the same."""

from __future__ import annotations

from sipproxy.events.conditions import entity_tag
from sipproxy.interfaces.events import Body

_MOST = 8  # of one resource, made in one turn
_MOST_AT_REST = 2


class Content:
    """The end of a NOTIFY: ``octets`` begin after Subscription-State.

    ``tag`` is the entity-tag, which each NOTIFY has (RFC 5839 §6.1): that of the body, or of the
    one that is left out because its watcher has it (§6.2).
    """

    __slots__ = ("body", "octets", "tag")

    def __init__(self, body: Body | None, tag: bytes = b"") -> None:
        self.body = body
        self.tag = tag or entity_tag(body)
        if body is None:
            self.octets = b"SIP-ETag: %b\r\nContent-Length: 0\r\n\r\n" % self.tag
        else:
            self.octets = b"SIP-ETag: %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
                *(self.tag, body.media_type),
                *(len(body.data), body.data),
            )


EMPTY = Content(None)


class Contents:
    """The contents that were made last, by their bodies: watchers of one view share them."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, Content] = {}

    def clear(self) -> None:
        """Forget them."""
        self._known.clear()

    def rest(self) -> None:
        """Keep no more than most resources need."""
        if len(self._known) > _MOST_AT_REST:
            self._known.clear()

    def of(self, body: Body) -> Content:
        """Return the content of a body."""
        known = self._known.get(id(body))
        if known is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[id(body)] = Content(body)  # it holds the body, and so the id
        return known
