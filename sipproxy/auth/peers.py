"""Which foreign senders may reach our users, and from where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from sipproxy.auth.settings import Federation, Route
from sipproxy.interfaces import then
from sipproxy.sip.uri import Uri, canonical_host, parse_uri
from sipproxy.transport.certificates import NOBODY, NextHop

Network = IPv4Network | IPv6Network


class Peer:
    """A foreign domain of the configuration: the way to it, and its own addresses.

    Raises ValueError or `SipError` for an address or a URI that cannot be read.
    """

    def __init__(self, route: Route) -> None:
        self.domain = canonical_host(route.domain.encode("idna"))
        self.is_trusted = route.trusted
        self.hop: Uri = NextHop(parse_uri(route.to.encode()), self.domain)
        self.sources: tuple[Network, ...] = tuple(ip_network(text) for text in route.from_)


class Peers:
    """The federation policy.

    ``sources`` gives the addresses of a URI, now or later: where an entry names no source, those
    of its next hops may speak for the domain.
    """

    def __init__(
        self,
        federation: Federation,
        routes: Iterable[Route],
        sources: Callable[[Uri], Any],
    ) -> None:
        self._inbound = federation.inbound
        self._sources = sources
        self._peers = {peer.domain: peer for peer in map(Peer, routes)}

    @property
    def hops(self) -> list[Uri]:
        """Every configured next hop."""
        return [peer.hop for peer in self._peers.values()]

    def hop(self, domain: bytes) -> Uri | None:
        """Return the configured next hop of a domain."""
        peer = self._peers.get(domain)
        return None if peer is None else peer.hop

    def may_send(self, domain: bytes, source: bytes, proven: frozenset[bytes] = NOBODY) -> Any:
        """Tell whether a foreign domain may send to our users from an address, or a Deferred.

        ``proven`` are the domains of the sender's certificate. It takes the place of the address,
        and speaks for no other domain (RFC 3261 §26.3.2.2, RFC 5922 §7.4).
        """
        if proven and domain not in proven:
            return False
        if self._inbound != "listed":
            return self._inbound == "open"
        return self._speaks_for(domain, source, proven)

    def is_trusted(self, domain: bytes) -> bool:
        """Tell whether asserted identities are told to a foreign domain (RFC 3324 §2.3)."""
        peer = self._peers.get(domain)
        return peer is not None and peer.is_trusted

    def vouches(self, domain: bytes, source: bytes, proven: frozenset[bytes] = NOBODY) -> Any:
        """Tell whether a sender that may send is the domain beyond doubt, or return a Deferred.

        Where only those may send that are, there is nothing to ask.
        """
        if self._inbound == "listed":
            return True
        return domain in proven or self._speaks_for(domain, source, proven)

    def is_listed(self, source: bytes) -> Any:
        """Tell whether an address may speak for any foreign domain, or return a Deferred of it."""
        waiting = []
        for domain in self._peers:
            found = self._speaks_for(domain, source, NOBODY)
            if isinstance(found, Deferred):
                waiting.append(found)
            elif found:
                return True
        return gatherResults(waiting).addCallback(any) if waiting else False

    def _speaks_for(self, domain: bytes, source: bytes, proven: frozenset[bytes]) -> Any:
        peer = self._peers.get(domain)
        if peer is None or proven:
            return peer is not None and domain in proven
        address = ip_address(source.decode("ascii").partition("%")[0])
        if peer.sources:
            return any(address in network for network in peer.sources)

        def among(found: list[str]) -> bool:
            return str(address) in found

        result = then(self._sources(peer.hop), among)
        if not isinstance(result, bool):
            result.addErrback(lambda _: False)  # a name without addresses speaks from nowhere
        return result
