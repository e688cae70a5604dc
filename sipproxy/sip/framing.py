"""Cutting a stream into messages (RFC 3261 §18.3), with keep-alives (RFC 5626 §4.4.1)."""

from __future__ import annotations

import re

from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import malformed, unfold
from sipproxy.sip.message import Request, split_lines
from sipproxy.sip.parser import BadMessage, salvage
from sipproxy.sip.scanner import scan_end

PING = b"\r\n\r\n"
PONG = b"\r\n"
_LINE_END = (b"\r", b"\n")

_content_length = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)", re.I
).findall


class Framer:
    """Collects octets and gives back whole messages and pings.

    ``max_head`` and ``max_body`` are in bytes. After a `BadMessage` there is no way back to
    framing: nothing more comes out, and the connection has to be closed.
    """

    __slots__ = ("_broken", "_buffer", "_needed", "_searched", "max_body", "max_head")

    def __init__(self, max_head: int, max_body: int) -> None:
        self.max_head = max_head
        self.max_body = max_body
        self._buffer = bytearray()
        self._searched = 0  # no end of head begins before this
        self._needed = 0  # length of the message whose head is known, or 0
        self._broken = False

    @property
    def pending(self) -> int:
        """Octets of a message that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes | BadMessage]:
        """Take octets and return what they complete: messages, `PING`, or last a `BadMessage`.

        The fault is a 513 for a head beyond its limit, a 413 for such a body, a 400 for a
        Content-Length that is missing, no number or ambiguous.
        """
        frames: list[bytes | BadMessage] = []
        if self._broken:
            return frames
        if not self._buffer:
            data = self._cut(data, frames)
            if not data:
                return frames
        self._buffer += data
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except BadMessage as error:
            self.close()
            error.__context__ = None  # its frames hold the list, and the list holds it: a cycle
            frames.append(error.with_traceback(None))
        return frames

    def close(self) -> None:
        """Take nothing more, and keep nothing of what has come."""
        self._broken = True
        self._buffer.clear()

    def _cut(self, data: bytes, frames: list[bytes | BadMessage]) -> bytes:
        """Cut ordinary messages that are whole out of what came, and return the rest."""
        start, size = 0, len(data)
        while 0 < (end := scan_end(data, start, self.max_head, self.max_body)) <= size:
            frames.append(data[start:end])
            start = end
        return data[start:]

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if not self._needed:
            if buffer.startswith(_LINE_END):
                if self._skip_line_ends():
                    return PING
                if buffer.startswith(_LINE_END):
                    return None
            self._needed = self._measure()
        if not self._needed or len(buffer) < self._needed:
            return None
        frame = bytes(buffer[: self._needed])
        del buffer[: self._needed]
        self._needed = self._searched = 0
        return frame

    def _skip_line_ends(self) -> bool:
        """Drop line ends before a start line (§7.5); True for a ping, which is two of them."""
        buffer = self._buffer
        while buffer.startswith(_LINE_END) and not PING.startswith(buffer[:4]):
            del buffer[:1]
        if not buffer.startswith(PING):
            return False  # it may become a ping
        del buffer[:4]
        return True

    def _measure(self) -> int:
        """Return the length of the message that begins the buffer, 0 while its head is partial."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", self._searched)
        if end < 0:
            self._searched = max(0, len(buffer) - 3)
            if len(buffer) > self.max_head + 3:  # its end may be there but for an octet
                raise self._bad(SipError(513, limit="head"), bytes(buffer))
            return 0
        head = bytes(buffer[:end])
        if end > self.max_head:
            raise self._bad(SipError(513, limit="head"), head)
        try:
            length = self._body_length(head)
        except SipError as error:
            raise self._bad(error, head) from None
        return end + 4 + length

    def _body_length(self, head: bytes) -> int:
        values = {unfold(value).strip() for value in _content_length(head)}
        if len(values) != 1:
            raise malformed("Content-Length")
        value = values.pop()
        if not value.isdigit():
            raise malformed("Content-Length")
        if len(value) > 12 or int(value) > self.max_body:
            raise SipError(413, limit="body")
        return int(value)

    def _bad(self, error: SipError, head: bytes) -> BadMessage:
        kept = head[: self.max_head].rpartition(b"\r\n")[0] if error.status == 513 else head
        request: Request | None = salvage(split_lines(kept))
        return BadMessage(error, request)
