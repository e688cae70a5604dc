"""Listeners for connections, and what makes the flow of each connection, in or out."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Factory

from sipproxy.transport.identity import SentBy, sent_by
from sipproxy.transport.stream import StreamFlow
from sipproxy.transport.tls import TlsFlow, accepting

if TYPE_CHECKING:
    from OpenSSL import SSL

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

    def call(self, bound: Bound) -> None:
        """Go by what a configuration says from now on, with the connections that have come."""
        our = sent_by(bound.listen)
        if our != self.sent_by:
            for flow in self._network.flows_of(self):
                flow.sent_by = replace(our, params=flow.sent_by.params)
        self.bound, self._connections.sent_by = bound, our

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
