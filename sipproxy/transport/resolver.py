"""From a host name to addresses: the last step of RFC 3263."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IResolutionReceiver
from zope.interface import implementer


class Unreachable(Exception):
    """There is no way to a next hop; the text says why."""


@implementer(IResolutionReceiver)
class _Collector:
    def __init__(self, host: str) -> None:
        self.found: Deferred[list[str]] = Deferred()
        self._host = host
        self._addresses: list[str] = []

    def resolutionBegan(self, resolution: Any) -> None:
        """Nothing to do before the first address."""

    def addressResolved(self, address: Any) -> None:
        """One more address."""
        if address.host not in self._addresses:
            self._addresses.append(address.host)

    def resolutionComplete(self) -> None:
        """That was all."""
        if self._addresses:
            self.found.callback(self._addresses)
        else:
            self.found.errback(Unreachable(f"{self._host} has no address"))


def _is_name(host: str) -> bool:
    """Tell whether a name can be looked up: the system's resolver raises on others, unheard."""
    try:
        return bool(host) and "\0" not in host and bool(host.encode("idna"))
    except UnicodeError:  # a label that is empty or longer than 63 octets
        return False


class Resolver:
    """Finds the A and AAAA records of a name by the reactor's own resolver."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def addresses(self, host: str) -> list[str] | Deferred[list[str]]:
        """Return the addresses of a host, at once for a numeric one; fails with `Unreachable`."""
        try:
            return [str(ip_address(host))]
        except ValueError:
            if not _is_name(host):
                return fail(Unreachable(f"{host!r} is no host name"))
            collector = _Collector(host)
            self._reactor.nameResolver.resolveHostName(collector, host)
            return collector.found
