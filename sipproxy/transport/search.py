"""One search for the hops of a name: NAPTR, SRV, then addresses (RFC 3263 §4.1, §4.2; RFC 3861)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from sipproxy.transport.hops import (
    NOWHERE,
    Aim,
    Hop,
    Service,
    Srv,
    Unreachable,
    default_port,
    in_order,
    is_name,
    services,
)
from sipproxy.transport.names import AAAA, NAPTR, SRV, A, Names

if TYPE_CHECKING:
    from sipproxy.transport.sockets import Bound


class Means(NamedTuple):
    """What we can send by: our transports, and the types of address record for our families."""

    transports: Collection[str]
    kinds: Collection[int] = (AAAA, A)  # RFC 7984 §4, RFC 6724: IPv6 first


def means_of(bound: Sequence[Bound]) -> Means:
    """Return what we can send by: streams always, for a connection of ours needs no listener."""
    transports = {one.listen.transport for one in bound} | {"tcp", "tls"}
    families = {one.family for one in bound} or {socket.AF_INET}
    kinds = ((AAAA, socket.AF_INET6), (A, socket.AF_INET))
    return Means(frozenset(transports), [kind for kind, family in kinds if family in families])


Offer = tuple[Service, tuple[Srv, ...]]


class Search:
    """Asks ``names`` for at most ``most`` hops; ``admits`` says which addresses may be used."""

    def __init__(
        self,
        names: Names,
        means: Means,
        aimed: Aim,
        most: int,
        admits: Callable[[str], bool],
        random: Callable[[int], bytes],
    ) -> None:
        self._names = names
        self._means = means
        self._aimed = aimed
        self._most = most
        self._admits = admits
        self._random = random
        self._fallback = aimed.default  # the transport where there are no SRV records (§4.1)

    async def hops(self) -> list[Hop]:
        """Return one hop or more, in the order to try them; raises `Unreachable`."""
        aimed = self._aimed
        if aimed.port is None:
            offers = await self._abstract() or await self._offers()
            if any(records for _, records in offers):  # then nothing else is used (RFC 3861 §4)
                return await self._served(offers)
        port = default_port(self._fallback) if aimed.port is None else aimed.port
        found = await self._addresses([aimed.host])
        _raise_first(found)
        return [Hop(self._fallback, one, port, aimed.host) for one in found[0][: self._most]]

    async def _abstract(self) -> list[Offer]:
        """Return what serves an im or pres URI (RFC 3861 §3); nothing where it is as sip."""
        aimed = self._aimed
        if aimed.scheme not in ("im", "pres"):
            return []
        name = f"_{aimed.scheme}._sip.{aimed.host}"
        (records,) = await _each([self._names.ask(name, SRV)])
        _raise_first([records])
        return [(Service(aimed.default, name), records)] if records else []

    async def _offers(self) -> list[Offer]:
        """Return the services to try, with their SRV records."""
        wanted = await self._services()
        found = await _each([self._names.ask(service.name, SRV) for service in wanted])
        offers = [
            (service, records)
            for service, records in zip(wanted, found, strict=True)
            if not isinstance(records, Unreachable)
        ]
        if not any(records for _, records in offers):
            _raise_first(found)  # whether there are any is not known
        return offers

    async def _services(self) -> list[Service]:
        """Choose the transports (RFC 3263 §4.1); the URI's own, else as NAPTR says, else all."""
        aimed, ours = self._aimed, self._means.transports
        if aimed.transport:
            return [aimed.service]
        records = await _each([self._names.ask(aimed.host, NAPTR)])
        _raise_first(records)
        found = services(records[0], aimed, ours)
        if found:
            self._fallback = found[0].transport
        return found or [service for service in aimed.services if service.transport in ours]

    async def _served(self, offers: list[Offer]) -> list[Hop]:
        """Return the hops of SRV records; "." is nobody (RFC 2782, "Target")."""
        picked = [
            (service.transport, record)
            for service, records in offers
            for record in self._ordered(records)
            if record.target != NOWHERE and is_name(record.target)
        ][: self._most]
        if not picked:
            raise Unreachable(f"{self._aimed.host}: the DNS says that nobody serves it")
        found = await self._addresses([record.target for _, record in picked])
        hops = dict.fromkeys(
            Hop(transport, address, record.port, self._aimed.host)
            for (transport, record), addresses in zip(picked, found, strict=True)
            if not isinstance(addresses, Unreachable)
            for address in addresses
        )
        if not hops:
            _raise_first(found)
        return list(hops)[: self._most]

    def _ordered(self, records: Iterable[Srv]) -> Iterable[Srv]:
        drawn = in_order(records, self._random)
        return [record for _, record in zip(range(self._most), drawn, strict=False)]

    async def _addresses(self, names: Sequence[str]) -> list[Any]:
        """Return the addresses of each name that may be used, or its `Unreachable`."""
        kinds = self._means.kinds
        found = await _each([self._names.ask(name, kind) for name in names for kind in kinds])
        step = len(kinds)
        return [self._usable(name, found[n * step :][:step]) for n, name in enumerate(names)]

    def _usable(self, name: str, found: list[Any]) -> list[str] | Unreachable:
        failed = [values for values in found if isinstance(values, Unreachable)]
        given = [one for values in found if not isinstance(values, Unreachable) for one in values]
        usable = [address for address in given if self._admits(address)]
        if usable:
            return usable
        if given:
            text = f"{name}: the DNS gives {given[0]}, where no foreign name may be"
            return Unreachable(text)
        return failed[0] if failed else Unreachable(f"{name} has no address")


async def _each(asked: list[Any]) -> list[Any]:
    """Wait for all that was asked and is not known; what failed is there as its `Unreachable`."""
    waiting = [one for one in asked if isinstance(one, Deferred)]
    if not waiting:
        return asked
    results: list[Any] = []
    result: Any
    later = iter(await DeferredList(waiting, consumeErrors=True))
    for one in asked:
        success, result = next(later) if isinstance(one, Deferred) else (True, one)
        if not success and isinstance(result.value, CancelledError):
            raise result.value  # our time is up
        if not success:
            result.trap(Unreachable)
        results.append(result if success else result.value)
    return results


def _raise_first(results: Iterable[Any]) -> None:
    for result in results:
        if isinstance(result, Unreachable):
            raise result
