"""How often a watcher wants to be told, at most and at least (RFC 6446)."""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import Params, malformed
from sipproxy.sip.headers import parse_event
from sipproxy.sip.message import Response

_NAMES = (b"max-rate", b"min-rate", b"adaptive-min-rate")
_rate = re.compile(rb"[0-9]{1,2}(?:\.[0-9]{1,10})?").fullmatch  # §9.2
_LOWEST, _HIGHEST = 1e-10, 99.9999999999  # §5.1
# The rolling average is over the time in which so many NOTIFYs go at the adaptive rate (§7.4).
_AVERAGED = 10
_REMEMBERED = 10 * _AVERAGED  # more of them do not make the pause any longer


class Rates(NamedTuple):
    """Notifications a second; None where nothing is said."""

    max_rate: float | None = None
    min_rate: float | None = None
    adaptive_min_rate: float | None = None


NONE = Rates()


def parse_rates(params: Params) -> Rates:
    """Return the rates in the parameters of an Event; raises `SipError` 400 (§9.2, §5.1: no 0)."""
    return Rates(*(_parsed(params, name) for name in _NAMES)) if params else NONE


def _parsed(params: Params, name: bytes) -> float | None:
    if name not in params:
        return None
    value = params[name] or b""
    if _rate(value) is None or not float(value):
        raise malformed(name.decode())
    return float(value)


def answered_rates(response: Response, package: bytes, wanted: Rates) -> Rates | None:
    """Return the rates that a 2xx to a NOTIFY asks for, None where it changes nothing (§9.3).

    ``wanted`` is what the latest SUBSCRIBE asked for: without any, the response may not ask for
    some (§4.1). What the Event of the response does not repeat is not wanted any more. One that is
    malformed, or of another package, is passed over, for nobody can be told.
    """
    event = response.value(b"event")
    if event is None or wanted == NONE:
        return None
    try:
        parsed = parse_event(event)
        return parse_rates(parsed.params) if parsed.package == package else None
    except SipError:
        return None


def agreed(wanted: Rates, interval: float, most: float, left: float) -> Rates:
    """Return the rates that hold, of those that are wanted (§5.3, §6.3, §7.3, §8).

    ``interval`` is the least time between two NOTIFYs by the package's rules, ``left`` the time
    that the subscription lasts, in seconds; ``most`` is the highest minimum rate that we grant.
    """
    highest, least, adaptive = wanted
    ours = 1 / interval if interval > 0 else _HIGHEST
    if highest is not None:
        if left > 0:
            highest = max(highest, 1 / left)  # §5.3: at least one before it ends
        highest = min(highest, ours)
    bound = min(most, ours if highest is None else highest)
    if least is not None and adaptive is not None and least >= adaptive:
        least = None  # §8
    least = None if least is None else min(least, bound)
    adaptive = None if adaptive is None else min(adaptive, bound)
    return Rates(highest, least, adaptive)


def rate_params(rates: Rates) -> bytes:
    """Return the parameters of a Subscription-State that tell the rates that hold (§4.2)."""
    pairs = zip(_NAMES, rates, strict=True)
    return b"".join(b";%s=%s" % (name, _written(rate)) for name, rate in pairs if rate is not None)


def _written(rate: float) -> bytes:
    text = f"{min(max(rate, _LOWEST), _HIGHEST):.10f}"
    return text.rstrip("0").rstrip(".").encode()


class Pace:
    """When the NOTIFYs of one subscription go.

    ``interval`` and ``most`` are those of `agreed`. Only a subscription with rates needs one: all
    others wait for the package's interval. Times are in seconds on one clock.
    """

    __slots__ = ("_history", "_interval", "_most", "rates", "sent_at", "wanted")

    def __init__(self, interval: float, most: float) -> None:
        self._interval = interval
        self._most = most
        self.wanted = self.rates = NONE
        self.sent_at = float("-inf")
        self._history: deque[float] = deque(maxlen=_REMEMBERED)

    def agree(self, wanted: Rates, now: float, expires_at: float) -> None:
        """Take what a SUBSCRIBE, or the response to a NOTIFY, asks for.

        Without a rate it is not held any more (§5.1, §6.1, §7.1). It is agreed anew, with the same
        ``wanted``, whenever the time that the subscription lasts gets shorter (§5.3).
        """
        before = self.rates.adaptive_min_rate
        self.wanted = wanted
        self.rates = agreed(wanted, self._interval, self._most, expires_at - now)
        adaptive = self.rates.adaptive_min_rate
        if adaptive is not None and adaptive != before:
            # §7.2 step 1: as if so many had gone, evenly, until now.
            self._history.clear()
            self._history.extend(now - n / adaptive for n in range(_AVERAGED, 0, -1))

    def sent(self, now: float) -> None:
        """Note that a NOTIFY goes, whatever for; not that one is retransmitted (§7.2 step 4)."""
        self.sent_at = now
        if self.rates.adaptive_min_rate is not None:
            self._history.append(now)

    @property
    def earliest(self) -> float:
        """When the next NOTIFY may go (§5.2).

        Not to be asked for one that answers a SUBSCRIBE, tells that a pending subscription is
        active, or is the last: these go at once.
        """
        highest = self.rates.max_rate
        return self.sent_at + (self._interval if highest is None else 1 / highest)

    @property
    def latest(self) -> float | None:
        """When a NOTIFY has to go though nothing has changed, None for never (§6.2, §7.2).

        It shows the whole state, or what the watcher does not know of it.
        """
        pauses = [1 / self.rates.min_rate] if self.rates.min_rate is not None else []
        if self.rates.adaptive_min_rate is not None:
            pauses.append(self._adaptive_pause(self.rates.adaptive_min_rate))
        return max(self.sent_at + min(pauses), self.earliest) if pauses else None

    def _adaptive_pause(self, rate: float) -> float:
        """Return the timeout of §7.4: the longer, the more has been sent of late."""
        period = _AVERAGED / rate
        since = self.sent_at - period
        count = sum(time > since for time in self._history)
        return count / (rate**2 * period)
