"""The configuration of subscriptions and publications."""

from __future__ import annotations

import math
from itertools import chain

import msgspec

from sipproxy.sip.grammar import is_host


class Events(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[events]`` table; times in seconds."""

    packages: tuple[str, ...] = ("presence", "reg")  # components that are event packages
    forward: tuple[str, ...] = ("dialog", "conference")  # phones notify of these themselves
    min_expires: int = 60  # of a subscription; beneath, and beneath an hour: 423
    max_expires: int = 86400  # longer ones are cut to this
    waiting: float = 604800.0  # how long it is remembered who asks for permission (RFC 3857 §4.7.1)
    per_watcher: int = 1000  # subscriptions of one watcher; beyond: 403
    per_source: int = 100000  # subscriptions that came from one address; beyond: 403
    unauthorized: int = 50  # of one watcher, that wait for permission; beyond: 403
    unproven: int = 100  # of one address, that nobody vouches for or answered yet; beyond: 403
    dialog: int = 8192  # bytes that are kept of the head of a SUBSCRIBE; beyond: 513
    states: int = 1000  # resources whose composed state is kept until it changes
    winfo_interval: float = 5.0  # seconds between documents for one subscriber (RFC 3857 §4.10)
    winfo_watchers: int = 250  # in one document, which has to fit a datagram; the rest follows
    highest_min_rate: float = 0.1  # NOTIFYs a second that may be asked for though nothing changes
    default_publication: int = 3600  # of a PUBLISH that does not say how long
    min_publication: int = 60  # less is answered 423
    max_publication: int = 7200  # longer ones are cut to this
    publications: int = 20  # per resource and package; beyond: 403
    publication_bytes: int = 65536  # of their bodies together; beyond: 413
    publications_waiting: int = 50  # per resource, while a package looks it up; beyond: 503
    publishers: dict[str, tuple[str, ...]] = {}  # by package: who publishes for others, too

    def __post_init__(self) -> None:
        if not 0 < self.min_expires <= self.max_expires:
            raise ValueError("needs 0 < min_expires <= max_expires")
        if not 0 < self.waiting < math.inf:
            raise ValueError("waiting has to be more than 0, and finite")
        if not 0 <= self.winfo_interval < math.inf:
            raise ValueError("winfo_interval has to be 0 or more, and finite")
        if not 0 < self.min_publication <= self.default_publication <= self.max_publication:
            raise ValueError("needs 0 < min_publication <= default_publication <= max_publication")
        if not 0 < self.highest_min_rate < 100:
            raise ValueError("highest_min_rate has to be more than 0, and less than 100")
        counts = (
            "per_watcher",
            "per_source",
            "states",
            "unauthorized",
            "unproven",
            "dialog",
            "winfo_watchers",
        )
        for name in (*counts, "publications", "publication_bytes", "publications_waiting"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} has to be at least 1")
        for aor in chain.from_iterable(self.publishers.values()):
            user, _, domain = aor.rpartition("@")
            if not user or not is_host(domain.encode()):
                raise ValueError(f"publishers: {aor!r} is no address: write user@domain")
