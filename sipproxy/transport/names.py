"""What the DNS says of names: answers kept for their time, and asked for once (RFC 1035, 2308)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from socket import AF_INET6, inet_ntop
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns
from twisted.python.failure import Failure

from sipproxy.transport.durations import Durations
from sipproxy.transport.hops import NOWHERE, Naptr, Srv, Unreachable, numeric
from sipproxy.transport.lookup import WatchedFile
from sipproxy.transport.settings import Dns

HOSTS = "/etc/hosts"
MOST_ALIASES = 8  # CNAMEs on the way to one name
MOST_RECORDS = 64  # kept of one answer, the favourites among them

A, AAAA, SRV, NAPTR = dns.A, dns.AAAA, dns.SRV, dns.NAPTR
_NAMES = {A: "A", AAAA: "AAAA", SRV: "SRV", NAPTR: "NAPTR"}
Key = tuple[str, int]
Values = tuple[Any, ...]


class Answer(NamedTuple):
    """What is known of a name: values or, where there is none to be had, why; and how long."""

    values: Values
    seconds: float
    problem: str = ""


class Hosts:
    """The names in /etc/hosts, which are the operator's."""

    def __init__(self, reactor: Any, path: str = HOSTS) -> None:
        self._file = WatchedFile(path, reactor)
        self._addresses: dict[str, list[str]] = {}

    def addresses(self, name: str) -> list[str]:
        """Return the addresses of a name; none of one that is not there."""
        if self._file.is_new():
            self._addresses = {}
            for address, *names in filter(None, self._file.lines):
                for known in names if numeric(address) and "%" not in address else ():
                    self._addresses.setdefault(known.lower(), []).append(numeric(address))
        return self._addresses.get(name, [])


class Slots:
    """The questions that may be under way, shared by the domains that they are about.

    A domain, the last two labels of a name, is given one while it holds fewer than are free: names
    that nobody answers for take up half of the slots, however many of them somebody makes, and a
    domain that holds none gets the last. Strangers may share two labels (co.uk), and share by three
    what these may still have; three alone would be no bound, for anybody makes up a third.
    """

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._held: Counter[tuple[str, ...]] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def limit(self, most: int) -> None:
        """Have more, or fewer, once so many have been given back."""
        self._free += most - self._most
        self._most = most

    def take(self, name: str) -> bool:
        """Take one for a question about a name; tell whether there was one."""
        two, three = _domains(name)
        if self._held[three] >= self._free - self._held[two]:
            return False
        self._free -= 1
        self._held.update((two, three))
        return True

    def give_back(self, name: str) -> None:
        """Undo `take`."""
        self._free += 1
        for domain in _domains(name):
            self._held[domain] -= 1
            if not self._held[domain]:
                del self._held[domain]


class Names:
    """Answers from the cache, or by ``lookup``, which is given a name and a type of record.

    ``seconds`` is the monotonic time. The cache holds ``settings.cache`` answers; beyond that the
    oldest goes. As many as ``settings.queries`` questions are under way at once, shared by domains.
    ``outcomes`` counts answers by type and by whether they were ``found``, ``none``, ``failed``, or
    never asked for (``refused``); ``hits`` are those that were known, ``took`` is how long others
    took.
    """

    def __init__(self, reactor: Any, settings: Dns, lookup: Callable[[str, int], Any]) -> None:
        self._reactor = reactor
        self._settings = settings
        self._lookup = lookup
        self._cache: dict[Key, tuple[float, Answer]] = {}
        self._asking: dict[Key, list[Deferred[Values]]] = {}
        self._slots = Slots(settings.queries)
        self.hits = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.took = Durations()

    def follow(self, settings: Dns, lookup: Callable[[str, int], Any]) -> None:
        """Ask others, or otherwise, from now on; what is known was another's answer."""
        self._settings, self._lookup = settings, lookup
        self._cache.clear()
        self._slots.limit(settings.queries)

    @property
    def under_way(self) -> int:
        """How many questions have no answer yet."""
        return len(self._asking)

    def __len__(self) -> int:
        return len(self._cache)

    def ask(self, name: str, kind: int) -> Values | Deferred[Values]:
        """Return the values of a name's records, perhaps none, at once where they are known.

        Fails with `Unreachable`.
        """
        key = (name, kind)
        known = self._cache.get(key)
        if known is not None and known[0] > self._reactor.seconds():
            self.hits += 1
            return _told(known[1]) if known[1].problem else known[1].values
        waiting: Deferred[Values] = Deferred(partial(self._left, key))
        if key in self._asking:
            self._asking[key].append(waiting)
            return waiting
        if not self._slots.take(name):
            self.outcomes[_NAMES[kind], "refused"] += 1
            return fail(Unreachable(f"{name}: too many DNS queries at once"))
        self._asking[key] = [waiting]
        found = Deferred.fromCoroutine(self._find(name, kind))
        found.addTimeout(self._settings.patience, self._reactor, too_slow(name))
        found.addErrback(self._without, name)
        found.addCallback(self._answered, key, self._reactor.seconds())
        return waiting

    def _left(self, key: Key, waiting: Deferred[Values]) -> None:
        """Somebody waits no longer; the answer is still awaited, for the next."""
        others = self._asking.get(key, [])
        if waiting in others:
            others.remove(waiting)

    def _without(self, failure: Failure, name: str) -> Answer:
        """Note why there is no answer, for a while (RFC 2308 §7); what we did not expect, too."""
        known = isinstance(failure.value, Unreachable)
        problem = str(failure.value) if known else f"{name}: {failure.value!r}"
        return Answer((), self._settings.failure_ttl, problem)

    def _answered(self, answer: Answer, key: Key, begun: float) -> None:
        outcome = "failed" if answer.problem else "found" if answer.values else "none"
        self.outcomes[_NAMES[key[1]], outcome] += 1
        self.took.add(self._reactor.seconds() - begun)
        self._cache.pop(key, None)
        if answer.seconds > 0:
            if len(self._cache) >= self._settings.cache:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = (self._reactor.seconds() + answer.seconds, answer)
        self._slots.give_back(key[0])
        for waiting in self._asking.pop(key):
            _told(answer).chainDeferred(waiting)

    async def _find(self, name: str, kind: int) -> Answer:
        """Ask, and follow the aliases that no server has followed for us (RFC 1034 §3.6.2)."""
        passed: set[str] = set()
        seconds = self._settings.max_ttl
        begun = name
        while True:
            asked = name
            message = await self._lookup(asked, kind)
            aliases, values = _sorted_out(message.answers, kind)
            while name not in values and name in aliases:
                if name in passed or len(passed) >= MOST_ALIASES:
                    raise Unreachable(f"{begun}: its aliases lead nowhere")
                passed.add(name)
                name, alias_ttl = aliases[name]
                seconds = min(seconds, alias_ttl)
            if name in values:
                ttl = min(record.ttl for record in values[name])
                return Answer(_favourites(values[name], kind), min(seconds, ttl))
            if name == asked or message.rCode != dns.OK or message.authority:
                return Answer((), min(seconds, self._negative(message)))

    def _negative(self, message: Any) -> float:
        """Return how long to believe that there is nothing: as its SOA says, or not (§5)."""
        for record in message.authority:
            if record.type == dns.SOA:
                ttl = min(record.ttl, record.payload.minimum)
                return float(min(ttl, self._settings.max_negative_ttl))
        return 0.0


def too_slow(name: str) -> Callable[[Any, float], Any]:
    """Return what ends a search for a name that has used its time up."""

    def end(result: Any, seconds: float) -> Any:
        raise Unreachable(f"{name}: nothing from the DNS within {seconds:g} s")

    return end


def _domains(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the last two labels of a name, and the last three, one of them perhaps empty."""
    labels = ("", "", *name.split("."))
    return labels[-2:], labels[-3:]


def _told(answer: Answer) -> Deferred[Values]:
    return fail(Unreachable(answer.problem)) if answer.problem else succeed(answer.values)


def _sorted_out(
    records: list[Any], kind: int
) -> tuple[dict[str, tuple[str, float]], dict[str, list[Any]]]:
    """Return the aliases in an answer, and its records of a type, by owner."""
    aliases: dict[str, tuple[str, float]] = {}
    values: dict[str, list[Any]] = {}
    for record in records:
        owner = _text(record.name)
        if record.type == dns.CNAME:
            aliases.setdefault(owner, (_text(record.payload.name), record.ttl))
        elif record.type == kind:
            values.setdefault(owner, []).append(record)
    return aliases, values


def _favourites(records: list[Any], kind: int) -> Values:
    """Return the values of records; of too many those that come first anyhow."""
    values = [_value(record.payload, kind) for record in records]
    if kind in (SRV, NAPTR):
        values.sort(key=lambda value: value[:2] if kind == NAPTR else value[:1])
    return tuple(values[:MOST_RECORDS])


def _value(payload: Any, kind: int) -> Any:
    if kind == SRV:
        target = _text(payload.target) or NOWHERE
        return Srv(payload.priority, payload.weight, payload.port, target)
    if kind == NAPTR:
        texts = payload.flags.string, payload.service.string, payload.regexp.string
        return Naptr(payload.order, payload.preference, *texts, _text(payload.replacement))
    return payload.dottedQuad() if kind == A else inet_ntop(AF_INET6, payload.address)


def _text(name: Any) -> str:
    """Return a name in lower case, without the dot at its end; what is not ASCII is no host's."""
    return str(name.name.decode("ascii", "replace").lower().removesuffix("."))
