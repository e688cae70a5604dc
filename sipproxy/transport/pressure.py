"""Overload: what one source may begin, and whether new work has to wait (RFC 3261 §21.5.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from ipaddress import ip_address, ip_network
from socket import AF_INET6, inet_pton
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from sipproxy.sip.errors import SipError
from sipproxy.transport.settings import Limits
from sipproxy.transport.ticker import TICK

if TYPE_CHECKING:
    from sipproxy.sip.message import Request
    from sipproxy.transaction.parties import Flow

SILENCE = -1
WINDOW = 1.0  # seconds that requests are counted for
SURE = 3  # ticks by which the bad ones have to lead: a machine that stood still once is not behind
_MOST = SURE + 1  # and so many are remembered: it is over soon after it is over
SERVED = 8  # of so many new requests one is served, however far behind: refusing takes time, too
_FREE = -(1 << 60)  # a count that no window brings to a limit
_AFTER, _JITTER = 2, 9  # Retry-After is 2 to 10 seconds


class Pressure:
    """Says who has to come again later, and counts whom it sent away.

    ``random`` gives so many random octets: clients that were sent away together are not to come
    back together (RFC 5390 §5.3). ``listed`` tells, now or later, whether an address is that of a
    configured peer, for whose rate there is no limit; it is asked about who is beyond one, once in
    a window.
    """

    def __init__(
        self, limits: Limits, random: Callable[[int], bytes], listed: Callable[[bytes], Any]
    ) -> None:
        self.is_behind = False
        self.refused = {"rate": 0, "silently": 0, "behind": 0}
        self._limits = limits
        self._random = random
        self._listed = listed
        self._unlimited = [ip_network(text) for text in limits.unlimited]
        self._source_rate = limits.source_rate
        self._counts: dict[Hashable, int] = {}
        self._passed = 0.0
        self._score = 0
        self._turn = 0
        self._lateness = limits.lateness or math.inf
        self._queue = limits.queue or math.inf

    # Once a tick

    def ticked(self, late: float, fullness: float) -> None:
        """Take in how many seconds the tick is late, and how full the receive queue is, of 1."""
        is_bad = late > self._lateness or fullness > self._queue
        self._score = min(self._score + 1, _MOST) if is_bad else max(self._score - 1, 0)
        self.is_behind = self._score >= SURE
        self._passed += TICK + late
        if self._passed > WINDOW - TICK / 2:
            self._passed = 0.0
            self._counts = {}

    # Once a request

    def admit(self, request: Request, flow: Flow) -> int:
        """Return 0 where a request may begin, else after how many seconds, or `SILENCE`."""
        rate = self._source_rate
        if rate:
            host, counts = flow.host, self._counts
            key = host if host.find(b":") < 0 else _network(host)
            counts[key] = count = counts.get(key, 0) + 1
            if count > rate or count == 1:
                answer = self._judged(key, host, count, rate)
                if answer:
                    return answer
        if flow.reliable and (answer := self._on_connection(flow)):
            return answer
        if self.is_behind and _is_new(request):
            return self._put_off()
        return 0

    def _put_off(self) -> int:
        self._turn = (self._turn + 1) % SERVED
        if not self._turn:
            return 0
        self.refused["behind"] += 1
        return self._after()

    def _on_connection(self, flow: Flow) -> int:
        rate = self._limits.connection_rate
        if not rate:
            return 0
        key, counts = id(flow), self._counts
        counts[key] = count = counts.get(key, 0) + 1
        return self._judged(key, flow.host, count, rate)

    def _judged(self, key: Hashable, host: bytes, count: int, rate: int) -> int:
        if count == 1 and len(self._counts) > self._limits.sources:
            del self._counts[key]  # where sources are forged, counting them says nothing
        if count <= rate or (count == rate + 1 and self._is_unlimited(key, host, rate)):
            return 0
        if count > rate + self._limits.refusals:
            self.refused["silently"] += 1
            return SILENCE
        self.refused["rate"] += 1
        return self._after()

    def _is_unlimited(self, key: Hashable, host: bytes, rate: int) -> bool:
        """Free a key of its limit for this window; until it is known, too."""
        address = ip_address(host.decode("ascii").partition("%")[0])
        counts = self._counts
        found = any(address in network for network in self._unlimited) or self._listed(host)
        if found:
            counts[key] = _FREE
        if isinstance(found, Deferred):
            found.addCallback(lambda known: known or counts.update({key: rate + 1}))
        return bool(found)

    def _after(self) -> int:
        return _AFTER + self._random(1)[0] % _JITTER


def _network(host: bytes) -> bytes:
    """Return the /64 of an address of IPv6: whoever has one has them all."""
    return inet_pton(AF_INET6, host.decode("ascii").partition("%")[0])[:8]


def _is_new(request: Request) -> bool:
    """Tell whether this begins anything: what is in a dialog, or ends one, goes before it."""
    if request.method == b"CANCEL":
        return False
    try:
        return request.to.tag is None
    except SipError:
        return True
