"""Listeners for connections, and what makes the flow of each connection, in or out."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Factory

from sipproxy.transport.names import AAAA, A
from sipproxy.transport.search import Means
from sipproxy.transport.stream import StreamFlow
from sipproxy.transport.tls import TlsFlow, accepting

if TYPE_CHECKING:
    from OpenSSL import SSL

    from sipproxy.transport.identity import SentBy
    from sipproxy.transport.network import Network
    from sipproxy.transport.sockets import Bound
    from sipproxy.transport.udp import UdpEndpoint


class Connections(Factory):
    """Makes flows that go by what a listener calls itself at that moment."""

    noisy = False

    def __init__(self, network: Network, our: SentBy) -> None:
        self.sent_by = our
        self._network = network
        self._kind = TlsFlow if our.transport == b"TLS" else StreamFlow

    def buildProtocol(self, addr: Any) -> StreamFlow:
        """Return the protocol of a new connection."""
        return self._kind(self._network, self._network.random(8), self.sent_by)


class StreamListener:
    """A listener for TCP or TLS; ``bound`` may name other certificates while it listens."""

    def __init__(self, network: Network, bound: Bound, our: SentBy, reactor: Any) -> None:
        self.bound = bound
        self._network = network
        self._reactor = reactor
        self._connections = Connections(network, our)
        self._port: Any = None

    @property
    def socket(self) -> socket.socket:
        """What it was bound to; the reactor has a duplicate of it."""
        return self.bound.socket

    @property
    def sent_by(self) -> SentBy:
        """What it calls itself, to whoever connects from now on."""
        return self._connections.sent_by

    @sent_by.setter
    def sent_by(self, our: SentBy) -> None:
        """Call it something else."""
        self._connections.sent_by = our

    def start(self, receiver: Any) -> None:
        """Begin to listen; the flows know whom they are to give what comes."""
        factory: Factory = self._connections
        if self.bound.listen.transport == "tls":
            factory = accepting(self._context, factory, self._reactor)
        self._port = self._reactor.adoptStreamPort(self.socket.fileno(), self.bound.family, factory)
        self.socket.close()

    def _context(self) -> SSL.Context:
        return self._network.contexts.server(self.bound.listen)

    def leave(self) -> None:
        """Stop, though the server goes on: the connections that came by it are closed, too."""
        self.stop()
        for flow in self._network.flows_of(self):
            flow.close()

    def stop(self) -> None:
        """Listen no longer; connections stay."""
        if self._port is not None:
            self._port.stopListening()


class Numbers:
    """The number of each endpoint for datagrams, as names of flows have it, while it is there."""

    def __init__(self) -> None:
        self._endpoints: dict[int, UdpEndpoint] = {}

    def follow(self, endpoints: Sequence[UdpEndpoint]) -> None:
        """Forget those that are gone, and give each new one a number that is free."""
        kept = {number: one for number, one in self._endpoints.items() if one in endpoints}
        free = (number for number in range(256) if number not in kept)
        for one in endpoints:
            if kept.get(one.number) is not one:
                one.number = next(free)
                kept[one.number] = one
        self._endpoints = kept

    def find(self, number: int) -> UdpEndpoint | None:
        """Return the endpoint of a number, if it is there."""
        return self._endpoints.get(number)


def start_all(listeners: Iterable[UdpEndpoint | StreamListener], receiver: Any) -> None:
    """Start all of them, or none."""
    started: list[UdpEndpoint | StreamListener] = []
    try:
        for one in listeners:
            started.append(one)
            one.start(receiver)
    except BaseException:
        for one in started:
            one.leave()
        raise


def means_of(bound: Sequence[Bound]) -> Means:
    """Return what we can send by: streams always, for a connection of ours needs no listener."""
    transports = {one.listen.transport for one in bound} | {"tcp", "tls"}
    families = {one.family for one in bound} or {socket.AF_INET}
    kinds = ((AAAA, socket.AF_INET6), (A, socket.AF_INET))
    return Means(frozenset(transports), [kind for kind, family in kinds if family in families])
