"""One after the other: what waits for one resource happens in the order of its arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from sipproxy.interfaces import is_deferred
from sipproxy.sip.errors import SipError


class _Line:
    """Who waits for one resource; the one who is served does not stand in it any more."""

    __slots__ = ("is_free", "is_moving", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Deferred[None]] = deque()
        self.is_free = False
        self.is_moving = False


class Turns:
    """Lets one at a time act on a resource, where acting may return a Deferred.

    As long as nobody waits, nothing is kept.
    """

    def __init__(self) -> None:
        self._lines: dict[bytes, _Line] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def take(self, resource: bytes, act: Callable[[], Any], limit: int | None = None) -> Any:
        """Return what ``act`` returns, or a Deferred of it where others are before it.

        Raises what it raises, and `SipError` 503 where ``limit`` others wait: requests have one.
        """
        line = self._lines.get(resource)
        if line is not None:
            return self._wait(line, resource, act, limit)
        result = act()
        if is_deferred(result):
            self._lines[resource] = _Line()
            result.addBoth(self._served, resource)
        return result

    def _wait(self, line: _Line, resource: bytes, act: Callable[[], Any], limit: int | None) -> Any:
        if limit is not None and len(line.waiting) >= limit:
            raise SipError(503, headers=[(b"Retry-After", b"10")], limit="turns")
        turn: Deferred[None] = Deferred()
        line.waiting.append(turn)
        return turn.addCallback(lambda _: act()).addBoth(self._served, resource)

    def _served(self, result: Any, resource: bytes) -> Any:
        """Call the next one; in a loop, for a long line must not become a deep stack."""
        line = self._lines[resource]
        line.is_free = True
        if not line.is_moving:
            line.is_moving = True
            while line.is_free and line.waiting:
                line.is_free = False
                line.waiting.popleft().callback(None)
            line.is_moving = False
            if line.is_free:
                del self._lines[resource]
        return result
