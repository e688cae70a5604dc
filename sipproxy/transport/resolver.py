"""From a SIP URI to the hops that it stands for, in the order to try them (RFC 3263, RFC 3861)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail

from sipproxy.transport.hops import (
    Aim,
    Hop,
    Unreachable,
    aim,
    default_port,
    is_name,
    is_nobody,
    is_private,
    numeric,
)
from sipproxy.transport.lookup import Lookup
from sipproxy.transport.names import AAAA, MOST_RECORDS, A, Hosts, Names, too_slow
from sipproxy.transport.search import Means, Search
from sipproxy.transport.settings import Dns

if TYPE_CHECKING:
    from sipproxy.sip.uri import Uri

__all__ = ["Hop", "Means", "Resolver", "Unreachable"]

_ANY = Means(("udp", "tcp", "tls"))


class Resolver:
    """Locates SIP servers.

    ``random`` gives so many random octets. ``own`` are names that the operator has written down:
    the DNS may give them private addresses, too. ``lookup`` asks a DNS server for the records of a
    name and a type; ``hosts`` is what /etc/hosts says.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Dns | None = None,
        random: Callable[[int], bytes] = os.urandom,
        own: Iterable[str] = (),
        lookup: Callable[[str, int], Any] | None = None,
        hosts: Hosts | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings = settings or Dns()
        self._random = random
        self._own = frozenset(own)
        self._lookup = lookup
        self.names = Names(reactor, settings, lookup or Lookup(reactor, settings))
        self._hosts = hosts or Hosts(reactor)

    def follow(self, settings: Dns, own: Iterable[str]) -> None:
        """Ask as these settings say, from now on; what is under way ends as it began."""
        self._own = frozenset(own)
        if settings != self._settings:
            self._settings = settings
            self.names.follow(settings, self._lookup or Lookup(self._reactor, settings))

    def hops(self, uri: Uri, means: Means) -> list[Hop] | Deferred[list[Hop]]:
        """Return the hops of a URI, one or more, at once where its host is numeric.

        Raises `Unreachable`, or fails with it. Drawn once for a branch of a request: what belongs
        to its transaction stays with the hop that was taken (RFC 3263 §4).
        """
        return self._hops(uri, means, self._settings.hops)

    def sources(self, uri: Uri) -> list[str] | Deferred[list[str]]:
        """Return every address that a URI stands for, by whatever transport."""
        found = self._hops(uri, _ANY, MOST_RECORDS)
        return _addresses(found) if isinstance(found, list) else found.addCallback(_addresses)

    def is_inside(self, address: str) -> bool:
        """Tell whether an address is one where a stranger's name may not lead."""
        return not self._settings.private and is_private(address)

    def leads_inside(self, uri: Uri) -> bool:
        """Tell whether a URI that a stranger has written leads into our site by itself.

        By a numeric host, or one of /etc/hosts; what the DNS says is judged when it does. Hosts
        that the operator has written down lead there by right.
        """
        host = (
            (uri.params.get(b"maddr") or uri.host).strip(b"[]").decode("ascii", "replace").lower()
        )
        if host in self._own:
            return False
        address = numeric(host)
        found = [address] if address else self._hosts.addresses(host)
        return any(map(self.is_inside, found))

    def _hops(self, uri: Uri, means: Means, most: int) -> list[Hop] | Deferred[list[Hop]]:
        aimed = aim(uri, means.transports)
        if address := numeric(aimed.host):  # §4.1, §4.2: nobody is asked
            return [_hop(aimed, address)]
        if not is_name(aimed.host):
            return fail(Unreachable(f"{aimed.host!r} is no host name"))
        if known := self._hosts.addresses(aimed.host):
            ours = [one for one in known if (AAAA if ":" in one else A) in means.kinds]
            return [_hop(aimed, address) for address in (ours or known)[:most]]
        admits = partial(self._admits, aimed.host in self._own)
        search = Search(self.names, means, aimed, most, admits, self._random)
        found = Deferred.fromCoroutine(search.hops())
        if not found.called:
            found.addTimeout(self._settings.patience, self._reactor, too_slow(aimed.host))
        return found

    def _admits(self, is_own: bool, address: str) -> bool:
        """Tell whether the DNS may give a name this address.

        A stranger's name is not to lead into our site, nor to many hosts at once.
        """
        if is_nobody(address):
            return False
        return is_own or not self.is_inside(address)


def _hop(aimed: Aim, address: str) -> Hop:
    port = default_port(aimed.default) if aimed.port is None else aimed.port
    return Hop(aimed.default, address, port, aimed.host)


def _addresses(hops: list[Hop]) -> list[str]:
    return [hop.address for hop in hops]
