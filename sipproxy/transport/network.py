"""All listeners and connections together: who is asked for the flow to a next hop."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipproxy.transport.breaker import Breaker
from sipproxy.transport.certificates import wanted_domains
from sipproxy.transport.counts import Counts
from sipproxy.transport.identity import SentBy, sent_by
from sipproxy.transport.listening import Connections, StreamListener, start_all
from sipproxy.transport.resolver import Hop, Resolver, Unreachable
from sipproxy.transport.reuse import AliasTable
from sipproxy.transport.search import means_of
from sipproxy.transport.settings import Limits, Tls
from sipproxy.transport.sockets import Bound, room
from sipproxy.transport.stream import StreamFlow
from sipproxy.transport.tls import Contexts, TlsFlow, connect
from sipproxy.transport.udp import UdpEndpoint, UdpFlow, place_of
from sipproxy.transport.wayback import way_back

if TYPE_CHECKING:
    from sipproxy.sip.uri import Uri
    from sipproxy.transaction.layer import TransactionLayer
    from sipproxy.transaction.parties import Flow
    from sipproxy.transport.tape import Tape
    from sipproxy.transport.ticker import Ticker

AnyFlow = UdpFlow | StreamFlow
AnyListener = UdpEndpoint | StreamListener
_UDP_NAME = struct.Struct("!c4sH")  # u, the mark of a socket, a remote port; an address follows
# An address and a port, and the domains that a certificate there may be for: with TCP none.
_Place = tuple[str, int, tuple[bytes, ...]]


class Network:
    """The listeners, the connections, and the way to a next hop.

    ``ticker`` keeps the appointments, ``random`` gives so many random octets; ``resolver`` knows
    what names stand for; ``contexts``
    is what handshakes are made with, and has to know the listeners with TLS before they start.
    """

    def __init__(
        self,
        reactor: Any,
        limits: Limits,
        layer: TransactionLayer,
        ticker: Ticker,
        random: Callable[[int], bytes],
        resolver: Resolver | None = None,
    ) -> None:
        self.contexts = Contexts((), Tls(), Path())
        self.tape: Tape | None = None
        self.limits = limits
        self.counts = Counts()
        self.receiver = layer
        self.wake = ticker.wake
        self.forget = ticker.forget
        self.random = random
        self.resolver = resolver or Resolver(reactor)
        self.breaker = Breaker(reactor.seconds)
        self.means = means_of([])
        self._reactor = reactor
        self._endpoints: list[UdpEndpoint] = []
        self._marked: dict[bytes, UdpEndpoint] = {}
        self._listeners: list[StreamListener] = []
        self._is_started = False
        self._flows: dict[bytes, StreamFlow] = {}
        self._gathering: list[StreamFlow] = []
        self._aliases = AliasTable()
        self._per_address: Counter[bytes] = Counter()
        self._connecting: dict[_Place, list[Deferred[StreamFlow]]] = {}
        self._log = Logger()
        self._most = limits.connections
        self.refuse: Callable[[str, int], None] = lambda address, port: None  # see `Inside`

    # Life

    def adopt(self, bound: Iterable[Bound]) -> None:
        """Listen on bound sockets; nothing is read before the start.

        Those that there are already stay as they are, but for what they call themselves. Those
        that are not among them are closed, with the connections that have come by them. Raises
        OSError where a new one cannot be started, and nothing has changed then.
        """
        bound, known = list(bound), {one.socket: one for one in self._all}
        new = {one.socket: self._made(one) for one in bound if one.socket not in known}
        if self._is_started:
            start_all(new.values(), self.receiver)
        found = [new.get(one.socket) or known.pop(one.socket) for one in bound]
        for one, now in zip(found, bound, strict=True):
            one.call(now)
        self.means = means_of(bound)
        self._endpoints = [one for one in found if isinstance(one, UdpEndpoint)]
        self._listeners = [one for one in found if isinstance(one, StreamListener)]
        self._marked = {one.mark: one for one in self._endpoints}
        for one in known.values():
            one.leave()

    def _made(self, bound: Bound) -> AnyListener:
        our = sent_by(bound.listen)
        if bound.listen.transport != "udp":
            return StreamListener(self, bound, our, self._reactor)
        endpoint = UdpEndpoint(bound.socket, our, self._reactor)
        endpoint.tape = self.tape
        return endpoint

    def flows_of(self, listener: StreamListener) -> list[StreamFlow]:
        """Return the connections that go by the name of a listener."""
        our = replace(listener.sent_by, params=b"")
        return [f for f in self._flows.values() if replace(f.sent_by, params=b"") == our]

    def record(self, tape: Tape | None) -> None:
        """Have every message on a tape that comes or goes."""
        self.tape = self.receiver.tape = tape
        for endpoint in self._endpoints:
            endpoint.tape = tape

    def limit(self, limits: Limits) -> None:
        """Have other limits from now on, for the connections that there are, too."""
        self.limits = limits
        self._most = room(limits.connections)
        if self._most < limits.connections:
            self._log.warn("ulimit -n allows for {most} connections only", most=self._most)
        for flow in self._flows.values():
            flow.limit()

    def start(self) -> None:
        """Begin to serve."""
        self._is_started = True
        self.limit(self.limits)
        start_all(self._all, self.receiver)

    @property
    def _all(self) -> list[AnyListener]:
        return [*self._listeners, *self._endpoints]

    def stop(self) -> None:
        """Close every listener and connection."""
        for listener in self._listeners:
            listener.stop()
        for flow in list(self._flows.values()):
            flow.leave()
        for endpoint in self._endpoints:
            endpoint.stop()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._flows)

    @property
    def connecting(self) -> int:
        """How many connections of ours are under way."""
        return len(self._connecting)

    @property
    def flows(self) -> list[StreamFlow]:
        """Every connection, the oldest first."""
        return list(self._flows.values())

    @property
    def fullness(self) -> float:
        """How full the fullest UDP receive queue is, of 1."""
        return max((endpoint.datagrams.fullness for endpoint in self._endpoints), default=0.0)

    @property
    def dropped(self) -> dict[str, int]:
        """How many datagrams found no room in the kernel, on their way in and out."""
        all_of_them = [endpoint.datagrams for endpoint in self._endpoints]
        return {
            "in": sum(datagrams.dropped for datagrams in all_of_them),
            "out": sum(datagrams.unsent for datagrams in all_of_them),
        }

    # Surroundings of a connection

    def seconds(self) -> float:
        """The monotonic time."""
        seconds: float = self._reactor.seconds()
        return seconds

    def opened(self, flow: StreamFlow) -> bool:
        """Count a connection; False where a limit forbids it."""
        full = len(self._flows) >= self._most
        if full or self._per_address[flow.host] >= self.limits.connections_per_address:
            self._log.warn("{flow}: refused, too many connections", flow=flow)
            self.counts.closed["connections" if full else "connections_per_address"] += 1
            return False
        self._flows[flow.name] = flow
        self._aliases.add(flow)
        self._per_address[flow.host] += 1
        self.counts.begun(flow)
        return True

    def closed(self, flow: StreamFlow) -> None:
        """A connection has ended."""
        self._flows.pop(flow.name, None)
        self._aliases.remove(flow)
        self._per_address[flow.host] -= 1
        if not self._per_address[flow.host]:
            del self._per_address[flow.host]
        self.counts.ended(flow)

    def alias(self, flow: StreamFlow, port: int) -> None:
        """Let a connection that came in stand for one to its peer's port (RFC 5923 §8.2)."""
        self._aliases.alias(flow, port)

    def gather(self, flow: StreamFlow) -> None:
        """Have a connection flush once this turn of the reactor is over."""
        if not self._gathering:
            self._reactor.callLater(0, self._flush)
        self._gathering.append(flow)

    def _flush(self) -> None:
        gathering, self._gathering = self._gathering, []
        for flow in gathering:
            try:
                flow.flush()
            except Exception:  # none of the others is to pay for it
                self._log.failure("a bug, while {flow} is written to", flow=flow)

    def send_anew(self, flow: StreamFlow, host: str, port: int, data: bytes) -> None:
        """Send a response whose connection is gone by another one (RFC 3261 §18.2.2, 3263 §5).

        With TLS the peer has to prove again who it was; one that never did is not to be reached.
        """
        wanted = tuple(flow.proven_domains)
        if flow.via_transport == b"TLS" and not wanted:
            self._log.info("no way back to {flow}: it has shown no certificate", flow=flow)
            return
        connected = maybeDeferred(self._stream, host, port, wanted)  # one, however much is sent
        if not wanted:
            connected.addErrback(lambda _: Deferred.fromCoroutine(way_back(self, data)))
        connected.addCallbacks(
            lambda new: new.send(data),
            lambda why: self._log.info("no way back to {flow}: {why}", flow=flow, why=why.value),
        )

    # Names of flows

    def name(self, flow: Flow) -> bytes:
        """Return what `find` knows the flow by again; empty for a flow that is none of ours.

        That of a UDP flow is good after a restart, and whatever other listeners there are then.
        """
        if isinstance(flow, StreamFlow):
            return b"s" + flow.name
        if not isinstance(flow, UdpFlow):
            return b""
        packed = socket.inet_pton(flow.endpoint.family, flow.address[0].partition("%")[0])
        return _UDP_NAME.pack(b"u", flow.endpoint.mark, flow.port) + packed

    def find(self, name: bytes) -> AnyFlow | None:
        """Return the flow of a name, or None if it is gone."""
        if name[:1] == b"s":
            return self._flows.get(name[1:])
        if name[:1] != b"u" or len(name) < _UDP_NAME.size:
            return None
        _, mark, port = _UDP_NAME.unpack_from(name)
        endpoint = self._marked.get(mark)
        if endpoint is None:
            return None
        host = socket.inet_ntop(endpoint.family, name[_UDP_NAME.size :])
        return endpoint.flow(host, port)

    def lasting_name(self, flow: Flow) -> bytes:
        """Return what `find_again` knows the flow by after a restart; empty: it ends with us."""
        if not isinstance(flow, UdpFlow) or not flow.is_open:
            return b""
        return flow.endpoint.here + b" " + place_of(*flow.address[:2])

    def find_again(self, name: bytes) -> Flow | None:
        """Return the flow of a lasting name, or None where the listener is another now."""
        here, host, port = name.rsplit(b" ", 2)
        for endpoint in self._endpoints:
            if endpoint.here == here:
                return endpoint.flow(host.decode(), int(port))
        return None

    # The way to a next hop

    def hops(self, uri: Uri) -> list[Hop] | Deferred[list[Hop]]:
        """Return where a URI leads, in the order to try; raises `Unreachable` or fails with it.

        A hop that failed just now is the last one to try.
        """
        found = self.resolver.hops(uri, self.means)
        wanted = wanted_domains(uri)

        def ordered(hops: list[Hop]) -> list[Hop]:
            return self.breaker.ordered(hop._replace(wanted=wanted) for hop in hops)

        return ordered(found) if isinstance(found, list) else found.addCallback(ordered)

    def sources(self, uri: Uri) -> list[str] | Deferred[list[str]]:
        """Return every address that a URI stands for; fails with `Unreachable`."""
        return self.resolver.sources(uri)

    def reach(self, hop: Hop, size: int, near: Flow | None = None) -> Any:
        """Return the flow to a hop for a request of ``size`` bytes, or a Deferred of it.

        A request beyond ``limits.datagram`` goes by TCP, and by UDP after all where there is no
        connection to be had (RFC 3261 §18.1.1). Of several sockets the one of ``near`` is taken
        if it fits. Raises `Unreachable`, or fails with it.
        """
        if hop.transport == "tls":
            return self._stream(hop.address, hop.port, hop.wanted)
        if hop.transport == "tcp":
            return self._stream(hop.address, hop.port)
        if size <= self.limits.datagram:
            return self._datagram(hop, near)
        flow = self._stream(hop.address, hop.port)
        if isinstance(flow, Deferred):
            flow.addErrback(lambda _: self._datagram(hop, near))
        return flow

    def is_inside(self, hop: Hop) -> bool:
        """Tell whether a hop is where a stranger's name may not lead."""
        return self.resolver.is_inside(hop.address)

    def _datagram(self, hop: Hop, near: Flow | None) -> UdpFlow:
        endpoints = self._endpoints
        if isinstance(near, UdpFlow):
            endpoints = [near.endpoint, *endpoints]
        family = socket.AF_INET6 if ":" in hop.address else socket.AF_INET
        for endpoint in endpoints:
            if endpoint.family == family:
                self.refuse(hop.address, hop.port)
                return endpoint.flow(hop.address, hop.port)
        raise Unreachable(f"no listener for UDP to {hop.address}")

    def _stream(
        self, address: str, port: int, wanted: tuple[bytes, ...] = ()
    ) -> StreamFlow | Deferred[StreamFlow]:
        transport = b"TLS" if wanted else b"TCP"
        known = self._aliases.find(transport, address.encode(), port, wanted)
        if known is not None:
            return known
        self.refuse(address, port)
        return self._connect(address, port, wanted)

    def _connect(
        self, address: str, port: int, wanted: tuple[bytes, ...] = ()
    ) -> Deferred[StreamFlow]:
        """Connect, once for all who ask while it is under way; with TLS where domains are named."""
        waiting: Deferred[StreamFlow] = Deferred()
        place = (address, port, wanted)
        if place in self._connecting:
            self._connecting[place].append(waiting)
            return waiting
        self._connecting[place] = [waiting]
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        endpoint = kind(self._reactor, address, port, timeout=self.limits.connect)
        our = self._stream_sent_by(address, b"TLS" if wanted else b"TCP")
        if wanted:
            attempt: Deferred[Any] = Deferred()
            flow = TlsFlow(self, self.random(8), our, wanted, attempt)
            connect(self.contexts, endpoint, flow, self._reactor)
        else:
            attempt = endpoint.connect(Connections(self, our))
        attempt.addCallbacks(self._connected, self._refused, (place,), {}, (place,), {})
        return waiting

    def _connected(self, flow: Any, place: _Place) -> None:
        for waiting in self._connecting.pop(place):
            waiting.callback(flow)

    def _refused(self, failure: Failure, place: _Place) -> None:
        address, port, wanted = place
        transport = "TLS" if wanted else "TCP"
        problem = Unreachable(f"{transport} to {address}:{port}: {failure.getErrorMessage()}")
        for waiting in self._connecting.pop(place):
            waiting.errback(problem)

    def _stream_sent_by(self, address: str, transport: bytes) -> SentBy:
        """Return what Via says on a connection that we open: a listener's, if there is one."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for one in self._listeners:
            our = one.sent_by
            if one.bound.family == family and our.transport == transport:
                # Who knows us by our certificate may come back this way (RFC 5923 §8.1).
                return replace(our, params=b";alias") if transport == b"TLS" else our
        ours = self._all[0].sent_by
        return SentBy(transport, ours.host, ours.port)
