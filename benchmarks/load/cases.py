"""What is measured: CPU time of an operation, latency, and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from benchmarks.load import generator
from benchmarks.load.generator import Run
from benchmarks.load.servers import PASSWORD, Server, Setting


class Size(Enum):
    """How much is sent."""

    FULL = 0
    QUICK = 1
    LEAST = 2  # to see that a case works


@dataclass(frozen=True)
class Figure:
    """What one run has found, in the unit of its case; it counts where there is no fault."""

    value: float | None
    after: float | None = None  # what cleaning up has taken beside, where that was waited for
    fault: str = ""
    is_complete: bool = True  # every operation was answered, if not at once


class Case(Protocol):
    """Something that is measured, the same way with every server."""

    @property
    def name(self) -> str:
        """What ``--only`` calls it."""

    @property
    def title(self) -> str:
        """What the table calls it."""

    @property
    def unit(self) -> str:
        """In what its figures are."""

    def setting(self, size: Size) -> Setting:
        """Return what it needs of a server."""

    def measure(self, server: Server, size: Size, settles: bool) -> Figure:
        """Measure a server; where it ``settles``, what it cleans up afterwards, too."""


LIMITS: Mapping[Size, Mapping[str, int]] = {
    Size.FULL: {},
    Size.QUICK: {"users": 1000},
    Size.LEAST: {"users": 16, "presentities": 4, "watchers": 12, "conns": 4},
}
PAUSES = {Size.FULL: 0.2, Size.QUICK: 0.15, Size.LEAST: 0.05}
SETTLING = 1.5  # seconds beyond the linger until what has ended is gone


def options(load: Mapping[str, object], size: Size) -> dict[str, object]:
    """Return the options of the generator for a load, made smaller where that is asked for."""
    limits = LIMITS[size]
    smaller = {
        name: min(value, limits[name]) if isinstance(value, int) and name in limits else value
        for name, value in load.items()
    }
    return {"pause": PAUSES[size], "settle": 0.1, **smaller}


@dataclass(frozen=True)
class Operation:
    """CPU time of the server for one operation, or for each NOTIFY that one causes."""

    name: str
    title: str
    op: str
    counts: tuple[int, int, int]  # by `Size`
    load: Mapping[str, object]
    needs: Sequence[str] = ()
    per_notify: bool = False
    is_warm: bool = False  # the server has had as much before, of others, and has cleaned it up
    unit: str = field(default="µs", init=False)

    @property
    def prefix(self) -> str:
        """How its users are called, who are nobody else's: a server may see several cases."""
        return f"u{[one.name for one in OPERATIONS].index(self.name):03}"

    @property
    def _earlier(self) -> str:
        """How those are called who warm the server."""
        return self.prefix.replace("u", "w")

    def setting(self, size: Size) -> Setting:
        """Return what it needs of a server."""
        if "digest" not in self.needs:
            return Setting(frozenset(self.needs))
        users = options(self.load, size).get("users", self.counts[size.value])
        assert isinstance(users, int)
        prefixes = [self.prefix, *[self._earlier] * self.is_warm]
        accounts = [f"{prefix}{number:06}" for prefix in prefixes for number in range(users)]
        return Setting(frozenset(self.needs) - {"digest"}, accounts)

    def options(self, size: Size) -> dict[str, object]:
        """Return the options of the generator."""
        count = self.counts[size.value]
        given = {"users": count, **options(self.load, size), "count": count}
        if "digest" in self.needs:
            given["pass"] = PASSWORD
        return {**given, "user_prefix": self.prefix, "pres_prefix": self.prefix}

    def measure(self, server: Server, size: Size, settles: bool) -> Figure:
        """Run the load, and share the CPU time among the operations."""
        count = self.counts[size.value]
        settle = Setting().linger + SETTLING if settles else 0.1
        if self.is_warm:
            self._warm(server, size)
        run = generator.run(server, self.op, **{**self.options(size), "settle": settle})
        fault = run.fault or self._unchallenged(run)
        if not run.is_complete:
            return Figure(None, None, fault, False)
        share = 1e6 / (run.told["notify"] if self.per_notify else count)
        after = run.cleaning(settle) * share if settles else None
        return Figure(run.cpu * share, after, fault)

    def _warm(self, server: Server, size: Size) -> None:
        """Let a server do the same for others first, and clean it up."""
        others = {"user_prefix": self._earlier, "pres_prefix": self._earlier}
        settle = {"settle": 0.1 if size == Size.LEAST else Setting().linger + SETTLING}
        generator.run(server, self.op, **{**self.options(size), **others, **settle})

    def _unchallenged(self, run: Run) -> str:
        """Return how many were not asked for a password; nothing where all were who should be."""
        found, due = run.told["challenges"], run.told["n"] if "digest" in self.needs else 0
        return "" if found == due else f"{found} of {due} challenged"


def _message(kind: str, counts: tuple[int, int, int], what: str, **load: object) -> Operation:
    needs = [need for need in ("tcp", "tls", "digest") if need in kind]
    given = {"users": 1000, "window": 64, **load}
    return Operation(f"message-{kind}", f"MESSAGE by {what}", "message", counts, given, needs)


def _register(kind: str, op: str, counts: tuple[int, int, int], what: str) -> Operation:
    load = {"window": 64, **({"users": 10000} if op == "refresh" else {})}
    needs = ["digest"] if kind == "digest" else []
    return Operation(f"register-{kind}", f"REGISTER, {what}", op, counts, load, needs)


def _publish(watchers: int, counts: tuple[int, int, int], of: int, what: str) -> Operation:
    is_many = watchers > 1
    load = {"presentities": of, "watchers": watchers, "window": 1 if is_many else 8}
    name = f"{'notify' if is_many else 'publish'}-{watchers}"
    return Operation(name, what, "publish", counts, load, ["presence"], is_many)


_SUBSCRIBE = {"presentities": 1000, "window": 64, "prepublish": True}
OPERATIONS: Sequence[Operation] = [
    _message("udp-64", (20000, 4000, 40), "UDP, 64 outstanding"),
    _message("udp-256", (20000, 4000, 40), "UDP, 256 outstanding", window=256),
    _message("udp-1", (5000, 1000, 20), "UDP, one at a time", window=1),
    _message("udp-digest", (8000, 2000, 40), "UDP, with digest"),
    _message("tcp-16", (15000, 3000, 40), "TCP, 16 connections", transport="tcp", conns=16),
    _message("tcp-500", (15000, 3000, 40), "TCP, 500 connections", transport="tcp", conns=500),
    _message("tls-16", (12000, 3000, 40), "TLS, 16 connections", transport="tls", conns=16),
    _message("tls-500", (12000, 3000, 40), "TLS, 500 connections", transport="tls", conns=500),
    _register("refresh", "refresh", (20000, 8000, 40), "a refresh"),
    _register("new", "register", (20000, 8000, 40), "a new binding"),
    _register("digest", "register", (10000, 4000, 40), "with digest (401, then 200)"),
    Operation(
        *("subscribe", "SUBSCRIBE, with its first NOTIFY", "subscribe", (8000, 2000, 20)),
        *(_SUBSCRIBE, ["presence"]),
    ),
    _publish(0, (8000, 2000, 20), 200, "PUBLISH, no watcher"),
    _publish(1, (6000, 2000, 20), 200, "PUBLISH, one watcher"),
    _publish(100, (300, 60, 6), 3, "NOTIFY, each of 100 watchers"),
    _publish(1000, (40, 8, 4), 2, "NOTIFY, each of 1,000 watchers"),
    _publish(10000, (3, 1, 2), 1, "NOTIFY, each of 10,000 watchers"),
]
