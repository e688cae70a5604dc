"""Which hops a SIP URI has, and in which order: the rules of RFC 3263 and 2782, without a query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sipproxy.sip.uri import Uri

_SERVICES = {b"SIP+D2U": "udp", b"SIP+D2T": "tcp", b"SIPS+D2T": "tls"}  # RFC 3263 §4.1
_LABELS = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
_SECURE = {"": "tls", "tcp": "tls", "tls": "tls"}  # by the transport parameter of a sips URI
_PLAIN = {"udp": "udp", "tcp": "tcp", "tls": "tls"}
NOWHERE = "."  # RFC 2782: the service is decidedly not available


class Unreachable(Exception):
    """There is no way to a next hop; the text says why."""


class Hop(NamedTuple):
    """Where a request may be sent.

    ``name`` is what the URI calls it, before any look-up; ``wanted`` are the domains that a
    certificate there may be for (RFC 5922 §4).
    """

    transport: str
    address: str
    port: int
    name: str
    wanted: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.transport} {host}:{self.port}"


class Srv(NamedTuple):
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


class Naptr(NamedTuple):
    """A NAPTR record (RFC 3403 §4)."""

    order: int
    preference: int
    flags: bytes
    service: bytes
    regexp: bytes
    replacement: str


class Service(NamedTuple):
    """A transport, and the name of the SRV records of those who serve by it."""

    transport: str
    name: str


class Aim(NamedTuple):
    """What a URI says of its next hop.

    ``transport`` is empty where the DNS is to choose; ``default`` is the one without its word.
    """

    scheme: str
    host: str
    port: int | None
    transport: str
    default: str

    @property
    def service(self) -> Service:
        """The service by the URI's own transport (RFC 3263 §4.2)."""
        return Service(self.transport, _LABELS[self.transport] + self.host)

    @property
    def services(self) -> list[Service]:
        """What to ask for where there is no NAPTR record: each transport of the scheme (§4.1)."""
        kinds = ["tls"] if self.default == "tls" else sorted(("tcp", "udp"), key=self._is_second)
        return [Service(kind, _LABELS[kind] + self.host) for kind in kinds]

    def _is_second(self, transport: str) -> bool:
        return transport != self.default


def aim(uri: Uri, transports: Collection[str]) -> Aim:
    """Read what a URI says (§4, §4.1); raises `Unreachable` for a transport that we have not."""
    host = (uri.params.get(b"maddr") or uri.host).strip(b"[]").decode("ascii", "replace").lower()
    if "%" in host:
        raise Unreachable("the scope of a link is no part of SIP")
    wanted = (uri.params.get(b"transport") or b"").decode("ascii", "replace").lower()
    known = _SECURE if uri.scheme == b"sips" else _PLAIN
    transport = known.get(wanted, "")
    if (wanted and not transport) or (transport and transport not in transports):
        raise Unreachable(f"no transport {wanted or transport}")
    default = transport or ("udp" if "udp" in transports else "tcp")
    if uri.scheme == b"sips" and not wanted:
        transport = ""  # NAPTR records may still name another host (§4.1)
    return Aim(uri.scheme.decode(), host, uri.port, transport, default)


def default_port(transport: str) -> int:
    """Return the port that a transport has where none is written (RFC 3261 §18.1.1, §19.1.2)."""
    return 5061 if transport == "tls" else 5060


def numeric(host: str) -> str:
    """Return a numeric host in its shortest form; empty for a name."""
    return _numeric(host) if len(host) < 46 else ""


@lru_cache(4096)
def _numeric(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def is_name(host: str) -> bool:
    """Tell whether a name can be looked up, with the labels of a service in front of it."""
    if len(host) > 240 or not host.isascii() or not host.isprintable() or " " in host:
        return False
    return all(0 < len(label) <= 63 for label in host.split("."))


def services(records: Iterable[Naptr], aimed: Aim, transports: Collection[str]) -> list[Service]:
    """Return the services that a domain's NAPTR records offer us, the domain's favourite first.

    §4.1: what is no "SIP+D2X" of ours is discarded, for a sips URI all but "SIPS+D2T"; the regular
    expression is empty and the replacement the name of SRV records.
    """
    found: list[Service] = []
    for record in sorted(records, key=lambda one: one[:2]):
        transport = _SERVICES.get(record.service.upper(), "")
        if transport not in transports or (aimed.scheme == "sips" and transport != "tls"):
            continue
        service = Service(transport, record.replacement.lower())
        fits = record.flags.lower() == b"s" and not record.regexp and is_name(service.name)
        if fits and service not in found:
            found.append(service)
    return found


def in_order(records: Iterable[Srv], random: Callable[[int], bytes]) -> Iterator[Srv]:
    """Give the records of a service in the order to try them (RFC 2782, "Usage rules").

    Lower priority first; of one priority, by chance in proportion to weight, those of weight 0
    standing in front so that they are chosen rarely. Nothing is drawn for records not asked for.
    """
    left = sorted(records, key=lambda one: (one.priority, one.weight > 0))
    while left:
        first = [one for one in left if one.priority == left[0].priority]
        total = sum(one.weight for one in first)
        drawn = int.from_bytes(random(4), "big") % (total + 1)
        for one in first:
            drawn -= one.weight
            if drawn <= 0:
                break
        left.remove(one)
        yield one


_PRIVATE = [
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        *("127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10"),
        *("192.0.0.0/24", "64:ff9b:1::/48"),  # RFC 6890, 8215
        *("::1/128", "fe80::/10", "fec0::/10", "fc00::/7"),
    )
]
_NOBODY = [  # no one host's, whoever says so
    ip_network(text)
    for text in ("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "ff00::/8", "::/96")
]
_TRANSLATED = IPv6Network("64:ff9b::/96")  # RFC 6052


@lru_cache(4096)
def is_private(address: str) -> bool:
    """Tell whether an address is of this host, this link or this site (RFC 1918, 6598, 4193)."""
    return _among(address, _PRIVATE)


def is_outside(host: bytes) -> bool:
    """Tell whether the address of a flow is a public one."""
    address = numeric(host.decode("ascii", "replace").partition("%")[0])
    return bool(address) and not is_private(address)


@lru_cache(4096)
def is_nobody(address: str) -> bool:
    """Tell whether an address is none of one host: unspecified, multicast, reserved."""
    return address != "::1" and _among(address, _NOBODY)


def _among(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    plain = _embedded(ip_address(address))
    return any(plain in network for network in networks)


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 one leads to, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
