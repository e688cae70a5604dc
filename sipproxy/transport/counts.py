"""What has become of connections: handshakes of TLS, its versions, and why we closed some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

SECURED, REFUSED, SLOW, BROKEN = "secured", "refused", "slow", "broken"


class Counts:
    """Counters that whoever knows adds to, and nobody but the operator reads.

    ``handshakes`` are by direction (in, out) and outcome: `SECURED`, `REFUSED` (the certificate is
    not what we ask for), `SLOW` (`limits.handshake`) or `BROKEN`. ``versions`` counts the
    connections that there are. ``closed`` is by the limit of the configuration that was met, or
    ``unreadable``.
    """

    def __init__(self) -> None:
        self.handshakes: Counter[tuple[str, str]] = Counter()
        self.versions: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self._watchers: list[Callable[[Any], None]] = []

    def watch(self, moved: Callable[[Any], None]) -> None:
        """Call ``moved`` with each connection that begins, is secured or has ended."""
        self._watchers.append(moved)

    def begun(self, flow: Any) -> None:
        """A connection stands."""
        self._tell(flow)

    def secured(self, flow: Any) -> None:
        """The handshake of a connection is over, and well."""
        self.versions[flow.version] += 1
        self._tell(flow)

    def ended(self, flow: Any) -> None:
        """A connection has ended."""
        if flow.version:
            self.versions[flow.version] -= 1
        self._tell(flow)

    def _tell(self, flow: Any) -> None:
        for moved in self._watchers:
            moved(flow)
