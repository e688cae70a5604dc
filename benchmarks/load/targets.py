"""What each case is to reach: the one table of targets."""

from __future__ import annotations

from dataclasses import dataclass

RATIO = "ratio"  # of ours to Kamailio's with its fastest allocator, in the same run
LIMIT = "limit"  # in the unit of the case, whoever else is measured


@dataclass(frozen=True)
class Target:
    """What ours is to reach with what is in C, and in Python alone; not more than that."""

    scanner: float
    pure: float
    kind: str = RATIO

    def of(self, server: str) -> float:
        """Return the target of ``ours`` or of ``pure``."""
        return self.pure if server == "pure" else self.scanner

    def __str__(self) -> str:
        if self.kind == RATIO:
            return f"{self.scanner} / {self.pure}"
        return str(self.scanner)


TARGETS = {
    "message-udp-64": Target(0.6, 1.0),
    "message-udp-256": Target(0.9, 1.4),
    "message-udp-1": Target(0.8, 1.0),
    "message-udp-digest": Target(0.6, 1.0),
    "message-tcp-16": Target(0.8, 1.2),
    "message-tcp-500": Target(0.8, 1.2),
    "message-tls-16": Target(0.6, 0.8),
    "message-tls-500": Target(0.6, 0.8),
    "register-refresh": Target(1.5, 2.0),
    "register-new": Target(1.2, 1.7),
    "register-digest": Target(0.9, 1.2),
    "subscribe": Target(0.4, 0.5),
    "publish-0": Target(0.6, 0.8),
    "publish-1": Target(0.5, 0.7),
    "notify-100": Target(0.5, 0.8),
    "notify-1000": Target(0.4, 0.7),
    "notify-10000": Target(0.04, 0.07),
    "latency": Target(1.5, 1.5),
    "latency-beside": Target(1.0, 1.0),
    "memory-binding": Target(1.2, 1.2, LIMIT),
    "memory-subscription": Target(1.2, 1.2, LIMIT),
    "memory-transaction": Target(1.0, 1.0, LIMIT),
    "memory-tcp": Target(2.0, 2.0, LIMIT),
}
