"""The configuration of subscriptions and publications."""

from __future__ import annotations

import msgspec


class Events(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[events]`` table; times in seconds."""

    packages: tuple[str, ...] = ()  # components that are event packages
    forward: tuple[str, ...] = ("dialog", "conference")  # phones notify of these themselves
    min_expires: int = 60  # of a subscription; beneath, and beneath an hour: 423
    max_expires: int = 86400  # longer ones are cut to this
    waiting: float = 604800.0  # how long it is remembered who asks for permission (RFC 3857 §4.7.1)
    per_watcher: int = 1000  # subscriptions of one watcher; beyond: 403
    per_source: int = 100000  # subscriptions that came from one address; beyond: 403
    unauthorized: int = 50  # of one watcher, that wait for permission; beyond: 403
    unproven: int = 100  # of one address, that nobody vouches for or answered yet; beyond: 403
    winfo_interval: float = 5.0  # seconds between documents for one subscriber (RFC 3857 §4.10)
    winfo_watchers: int = 1000  # in one document; the rest follows in the next
