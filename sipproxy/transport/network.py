"""All listeners and connections together: who is asked for the flow to a next hop."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipproxy.interfaces import then
from sipproxy.transport.identity import SentBy, sent_by
from sipproxy.transport.resolver import Resolver, Unreachable
from sipproxy.transport.settings import Limits
from sipproxy.transport.sockets import Bound, room
from sipproxy.transport.stream import StreamFlow
from sipproxy.transport.udp import UdpEndpoint, UdpFlow

if TYPE_CHECKING:
    from sipproxy.sip.uri import Uri
    from sipproxy.transaction.layer import TransactionLayer
    from sipproxy.transaction.parties import Flow
    from sipproxy.transport.ticker import Ticker

AnyFlow = UdpFlow | StreamFlow
_UDP_NAME = struct.Struct("!cBH")


class _Connections(Factory):
    """Makes the flow of each new connection, in or out."""

    noisy = False

    def __init__(self, network: Network, our: SentBy) -> None:
        self._network = network
        self._our = our

    def buildProtocol(self, addr: Any) -> StreamFlow:
        """Return the protocol of a new connection."""
        return StreamFlow(self._network, self._network.random(8), self._our)


class Network:
    """The listeners, the connections, and the way to a next hop.

    ``ticker`` keeps the appointments, ``random`` gives so many random octets.
    """

    def __init__(
        self,
        reactor: Any,
        limits: Limits,
        layer: TransactionLayer,
        ticker: Ticker,
        random: Callable[[int], bytes],
    ) -> None:
        self.limits = limits
        self.receiver = layer
        self.wake = ticker.wake
        self.forget = ticker.forget
        self.random = random
        self.resolver = Resolver(reactor)
        self._reactor = reactor
        self._endpoints: list[UdpEndpoint] = []
        self._listeners: list[tuple[Bound, SentBy]] = []
        self._ports: list[Any] = []
        self._flows: dict[bytes, StreamFlow] = {}
        self._by_peer: dict[tuple[bytes, int], StreamFlow] = {}
        self._per_address: Counter[bytes] = Counter()
        self._connecting: dict[tuple[str, int], list[Deferred[StreamFlow]]] = {}
        self._log = Logger()
        self._most = limits.connections
        self.refuse: Callable[[str, int], None] = lambda address, port: None  # see `Inside`

    # Life

    def adopt(self, bound: Iterable[Bound]) -> None:
        """Take over bound sockets; nothing is read yet."""
        for one in bound:
            our = sent_by(one.listen)
            if one.listen.transport == "udp":
                self._endpoints.append(UdpEndpoint(one.socket, our, self._reactor))
            else:
                self._listeners.append((one, our))

    def start(self) -> None:
        """Begin to serve."""
        self._most = room(self.limits.connections)
        if self._most < self.limits.connections:
            self._log.warn("ulimit -n allows for {most} connections only", most=self._most)
        for endpoint in self._endpoints:
            endpoint.start(self.receiver)
        for one, our in self._listeners:
            factory = _Connections(self, our)
            port = self._reactor.adoptStreamPort(one.socket.fileno(), one.family, factory)
            one.socket.close()  # the reactor has its own duplicate
            self._ports.append(port)

    def stop(self) -> None:
        """Close every listener and connection."""
        for port in self._ports:
            port.stopListening()
        for flow in list(self._flows.values()):
            flow.close()
        for endpoint in self._endpoints:
            endpoint.stop()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._flows)

    @property
    def fullness(self) -> float:
        """How full the fullest UDP receive queue is, of 1."""
        return max((endpoint.fullness for endpoint in self._endpoints), default=0.0)

    # Surroundings of a connection

    def seconds(self) -> float:
        """The monotonic time."""
        seconds: float = self._reactor.seconds()
        return seconds

    def opened(self, flow: StreamFlow) -> bool:
        """Count a connection; False where a limit forbids it."""
        if (
            len(self._flows) >= self._most
            or self._per_address[flow.host] >= self.limits.connections_per_address
        ):
            self._log.warn("{flow}: refused, too many connections", flow=flow)
            return False
        self._flows[flow.name] = flow
        self._by_peer[(flow.host, flow.port)] = flow
        self._per_address[flow.host] += 1
        return True

    def closed(self, flow: StreamFlow) -> None:
        """A connection has ended."""
        self._flows.pop(flow.name, None)
        if self._by_peer.get((flow.host, flow.port)) is flow:
            del self._by_peer[(flow.host, flow.port)]
        self._per_address[flow.host] -= 1
        if not self._per_address[flow.host]:
            del self._per_address[flow.host]

    def send_anew(self, flow: StreamFlow, host: str, port: int, data: bytes) -> None:
        """Send a response whose connection is gone by another one (RFC 3261 §18.2.2)."""
        connected: Deferred[StreamFlow] = self._connect(host, port)
        connected.addCallbacks(
            lambda new: new.send(data),
            lambda why: self._log.info("no way back to {flow}: {why}", flow=flow, why=why.value),
        )

    # Names of flows

    def name(self, flow: Flow) -> bytes:
        """Return what `find` knows the flow by again; empty for a flow that is none of ours."""
        if isinstance(flow, StreamFlow):
            return b"s" + flow.name
        if not isinstance(flow, UdpFlow):
            return b""
        packed = socket.inet_pton(flow.endpoint.family, flow.address[0].partition("%")[0])
        return _UDP_NAME.pack(b"u", self._endpoints.index(flow.endpoint), flow.port) + packed

    def find(self, name: bytes) -> AnyFlow | None:
        """Return the flow of a name, or None if it is gone."""
        if name[:1] == b"s":
            return self._flows.get(name[1:])
        if name[:1] != b"u" or len(name) < _UDP_NAME.size:
            return None
        _, index, port = _UDP_NAME.unpack_from(name)
        if index >= len(self._endpoints):
            return None
        endpoint: UdpEndpoint = self._endpoints[index]
        host = socket.inet_ntop(endpoint.family, name[_UDP_NAME.size :])
        return endpoint.flow(host, port)

    # The way to a next hop

    def reach(self, uri: Uri, size: int, near: Flow | None = None) -> AnyFlow | Deferred[AnyFlow]:
        """Return the flow to a next hop for a request of ``size`` bytes.

        A request beyond ``limits.datagram`` goes by TCP, and by UDP after all where there is no
        connection to be had (RFC 3261 §18.1.1). Of several sockets the one of ``near`` is taken
        if it fits. Raises `Unreachable`, or fails with it.
        """
        transport = (uri.params.get(b"transport") or b"udp").lower()
        if transport not in (b"udp", b"tcp") or uri.scheme == b"sips":
            raise Unreachable(f"no transport {transport.decode('ascii', 'replace')}")
        host = (uri.params.get(b"maddr") or uri.host).strip(b"[]").decode("ascii", "replace")
        port = uri.effective_port

        if "%" in host:
            raise Unreachable("the scope of a link is no part of SIP")

        def choose(addresses: list[str]) -> Any:
            if transport == b"tcp":
                return self._stream(addresses[0], port)
            if size <= self.limits.datagram:
                return self._datagram(addresses, port, near)
            return self._stream_first(addresses, port, near)

        return then(self.resolver.addresses(host), choose)  # type: ignore[no-any-return]

    def _stream_first(self, addresses: list[str], port: int, near: Flow | None) -> Any:
        flow = self._stream(addresses[0], port)
        if isinstance(flow, Deferred):
            flow.addErrback(lambda _: self._datagram(addresses, port, near))
        return flow

    def _datagram(self, addresses: list[str], port: int, near: Flow | None) -> UdpFlow:
        endpoints = self._endpoints
        if isinstance(near, UdpFlow):
            endpoints = [near.endpoint, *endpoints]
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for endpoint in endpoints:
                if endpoint.family == family:
                    self.refuse(address, port)
                    return endpoint.flow(address, port)
        raise Unreachable(f"no listener for UDP to {addresses[0]}")

    def _stream(self, address: str, port: int) -> StreamFlow | Deferred[StreamFlow]:
        known = self._by_peer.get((address.encode(), port))
        if known is not None and known.is_writable:
            return known
        self.refuse(address, port)
        return self._connect(address, port)

    def _connect(self, address: str, port: int) -> Deferred[StreamFlow]:
        """Connect, once for all who ask while it is under way."""
        waiting: Deferred[StreamFlow] = Deferred()
        key = (address, port)
        if key in self._connecting:
            self._connecting[key].append(waiting)
            return waiting
        self._connecting[key] = [waiting]
        endpoint = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        attempt = endpoint(self._reactor, address, port, timeout=self.limits.connect).connect(
            _Connections(self, self._stream_sent_by(address))
        )
        attempt.addCallbacks(self._connected, self._refused, (key,), {}, (key,), {})
        return waiting

    def _connected(self, flow: Any, key: tuple[str, int]) -> None:
        for waiting in self._connecting.pop(key):
            waiting.callback(flow)

    def _refused(self, failure: Failure, key: tuple[str, int]) -> None:
        problem = Unreachable(f"TCP to {key[0]}:{key[1]}: {failure.getErrorMessage()}")
        for waiting in self._connecting.pop(key):
            waiting.errback(problem)

    def _stream_sent_by(self, address: str) -> SentBy:
        """Return what Via says on a connection that we open: a listener's, if there is one."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for one, our in self._listeners:
            if one.family == family:
                return our
        ours = [our for _, our in self._listeners] + [e.sent_by for e in self._endpoints]
        return SentBy(b"TCP", ours[0].host, ours[0].port)
