"""What no URI of a peer may lead to: ourselves, and what listens on this machine for itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from sipproxy.sip.uri import Uri
from sipproxy.transport.hops import is_nobody
from sipproxy.transport.resolver import Unreachable
from sipproxy.transport.settings import Listen

Address = IPv4Address | IPv6Address
MOST = 1024  # addresses of which it is known whether they are this machine's
KNOWN = 10.0  # seconds for which that is believed: the addresses of a machine change
_THIS = {4: ip_network("0.0.0.0/8"), 6: ip_network("::/128")}  # RFC 1122 §3.2.1.3, 4291 §2.5.2


class Inside:
    """Refuses next hops that are nobody's business but ours.

    A Route, a Path, a Contact or a name in the DNS may say any address; where we send is a matter
    of local policy (RFC 3261 §16.6 step 7). Our own listeners are never a next hop: whatever names
    us is served without one, and what does not would come back until its hops are used up.
    Addresses that mean this machine or this link (loopback, link-local, unspecified) are one only
    where a listener is on such an address itself, as in a laboratory, or where ``named``, the next
    hops of the configuration, says so. What is no one host's (multicast, broadcast) would have us
    send to many for the asking: it is one only where ``named`` says so. ``seconds`` is the
    monotonic time.
    """

    def __init__(
        self, listens: Iterable[Listen], named: Iterable[Uri], seconds: Callable[[], float]
    ) -> None:
        self._seconds = seconds
        self._known: dict[Address, tuple[float, bool]] = {}  # until when, and the answer
        self._listeners: set[tuple[Address, int]] = set()
        self._wildcards: set[tuple[int, int]] = set()
        self._is_open = False
        for listen in listens:
            address = ip_address(listen.address)
            self._listeners.add((address, listen.port))
            if address.is_unspecified:
                self._wildcards.add((address.version, listen.port))
            elif _is_inside(address):
                self._is_open = True
        self._named = {(uri.address, uri.effective_port) for uri in named}
        self._named |= {
            (address, port)
            for host, port in self._named
            if host == "localhost"
            for address in ("127.0.0.1", "::1")
        }

    def refuse(self, address: str, port: int) -> None:
        """Raise `Unreachable` for an address that no request may be sent to."""
        found = _unmapped(ip_address(address.partition("%")[0]))
        if (found, port) in self._listeners or (
            (found.version, port) in self._wildcards and self._is_local(found)
        ):
            raise Unreachable(f"{address}:{port} is ourselves")
        if is_nobody(str(found)) and not _is_inside(found) and not self._is_named(found, port):
            raise Unreachable(f"{address}:{port} is no one host")
        if not self._is_open and _is_inside(found) and not self._is_named(found, port):
            raise Unreachable(f"{address}:{port} is inside: a [[route]] that names it opens it")

    def _is_named(self, address: Address, port: int) -> bool:
        return (str(address), port) in self._named

    def _is_local(self, address: Address) -> bool:
        """Tell whether an address is one of this machine's; a socket for each request costs."""
        now = self._seconds()
        known = self._known.pop(address, None)
        if known is None or known[0] <= now:
            known = now + KNOWN, _is_local(address)
            if len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
        self._known[address] = known
        return known[1]


def _unmapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one may stand for (RFC 4291 §2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_inside(address: Address) -> bool:
    return address.is_loopback or address.is_link_local or address in _THIS[address.version]


def _is_local(address: Address) -> bool:
    """Ask the kernel whether an address is one of this machine's: it lets us bind it."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
