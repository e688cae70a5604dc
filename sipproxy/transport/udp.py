"""UDP: one socket per listener as flows, who is heard on them, and what the network returns."""

from __future__ import annotations

import hashlib
import math
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from sipproxy.sip.shown import shown
from sipproxy.transport.batches import datagrams_of
from sipproxy.transport.datagrams import BUFFER, Address
from sipproxy.transport.identity import SentBy, sent_by
from sipproxy.transport.stun import answer

if TYPE_CHECKING:
    from sipproxy.sip.headers import Via
    from sipproxy.transaction.parties import Path
    from sipproxy.transport.sockets import Bound
    from sipproxy.transport.tape import Tape

FLOWS = 8192  # remote addresses that are remembered of a socket: what they are is read once
_FIRST_OF_SIP = b"\x02"  # STUN begins with 0 or 1, and SIP never does (RFC 5626 §8)


def place_of(host: str, port: int) -> bytes:
    """Return an address and a port as lasting names of flows have them."""
    return b"%b %d" % (host.encode(), port)


class Receiver(Protocol):
    """Who is given what arrives: the transaction layer."""

    def datagram(self, data: bytes, flow: UdpFlow) -> None:
        """A datagram came."""

    def undeliverable(self, data: bytes) -> None:
        """The beginning of a datagram of ours came back."""


class _Ear:
    """A remote address that somebody watches: when it was heard last, and who is to be told."""

    __slots__ = ("heard_at", "watchers")

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.watchers: dict[Callable[[], None], None] = {}


class UdpFlow:
    """A local socket and a remote address."""

    __slots__ = ("_place", "address", "endpoint", "host", "port")

    reliable = False
    via_transport = b"UDP"
    proven_domains: frozenset[bytes] = frozenset()

    def __init__(self, endpoint: UdpEndpoint, address: Address, place: Any = None) -> None:
        self.endpoint = endpoint
        self.address = address
        self.host: bytes = address[0].encode("ascii")
        self.port: int = address[1]
        self._place = place or endpoint.place(address)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, UdpFlow)
            and self.endpoint is other.endpoint
            and self.address[:2] == other.address[:2]
        )

    def __hash__(self) -> int:
        return hash(self.address[:2])

    def __repr__(self) -> str:
        return f"<UdpFlow {self.address[0]}:{self.address[1]}>"

    @property
    def is_open(self) -> bool:
        """Whether something can be sent: always, as long as there is the socket."""
        return self.endpoint.is_open

    @property
    def sent_by(self) -> SentBy:
        """What our Via says on this flow."""
        return self.endpoint.sent_by

    def send(self, data: bytes) -> None:
        """Send a datagram; one that the kernel has no room for is lost, as datagrams are."""
        endpoint = self.endpoint
        if endpoint.tape is not None:
            endpoint.tape.sent(data, self)
        endpoint.write(data, self._place)

    def reply_path(self, via: Via) -> Path:
        """Return where responses go: maddr, the source port for rport, else the port in Via.

        RFC 3261 §18.2.2 and RFC 3581 §4. A maddr that is no unicast address of one host is passed
        over: it would have us send to many for the asking.
        """
        maddr = via.params.get(b"maddr")
        if maddr is not None and (host := _unicast(maddr)):
            return UdpFlow(self.endpoint, (host, via.effective_port))
        if b"rport" in via.params or via.effective_port == self.address[1]:
            return self
        return UdpFlow(self.endpoint, (self.address[0], via.effective_port, *self.address[2:]))

    @property
    def local(self) -> tuple[str, int]:
        """Our own address and port."""
        return self.endpoint.local

    @property
    def heard_at(self) -> float:
        """When a datagram came last, while somebody watches; else long ago."""
        return self.endpoint.heard_at(self.address)

    def watch(self, closed: Callable[[], None]) -> None:
        """Call ``closed`` once an ICMP error says that nobody is there (RFC 5626 §7)."""
        self.endpoint.watch(self.address, closed)

    def unwatch(self, closed: Callable[[], None]) -> None:
        """Undo `watch`."""
        self.endpoint.unwatch(self.address, closed)


def _unicast(host: bytes) -> str | None:
    try:
        address = ip_address(host.strip(b"[]").decode("ascii"))
    except ValueError:
        return None
    if b"%" in host:  # the scope of a link is no part of SIP
        return None
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        return None
    return str(address)


@implementer(IReadDescriptor)
class UdpEndpoint:
    """A bound socket that the reactor reads."""

    def __init__(self, sock: socket.socket, sent_by: SentBy, reactor: Any) -> None:
        self.here = place_of(*sock.getsockname()[:2])
        # A short name of the place: tokens stand in every message of a dialog.
        self.mark = hashlib.blake2b(self.here, digest_size=4).digest()
        self.sent_by = sent_by
        self.is_open = True
        self.tape: Tape | None = None
        self.datagrams = datagrams_of(sock)
        self.place = self.datagrams.place
        self.family = sock.family
        self.socket = sock
        self._reactor = reactor
        self._receiver: Receiver | None = None
        self._is_reading = False
        self._waiting: list[tuple[bytes, Any]] = []
        self._flows: dict[Any, UdpFlow] = {}
        self._ears: dict[Address, _Ear] = {}
        self._prefix = f"UDP {sent_by.port}"
        self._log = Logger()

    def start(self, receiver: Receiver) -> None:
        """Begin to read."""
        self._receiver = receiver
        incoming, outgoing = self.datagrams.start()
        self._log.info(
            "{endpoint}: buffers of {incoming} and {outgoing} bytes, in and out, of {wanted}",
            endpoint=self._prefix,
            incoming=incoming,
            outgoing=outgoing,
            wanted=BUFFER,
        )
        self._reactor.addReader(self)

    @property
    def local(self) -> tuple[str, int]:
        """The address and port of the socket."""
        host, port = self.socket.getsockname()[:2]
        return host, port

    def call(self, bound: Bound) -> None:
        """Go by what a configuration says from now on."""
        self.sent_by = sent_by(bound.listen)

    def stop(self) -> None:
        """Stop reading and close the socket."""
        self._reactor.removeReader(self)
        self._receiver = None
        self.is_open = False
        self.socket.close()

    def leave(self) -> None:
        """Stop, though the server goes on: whoever relies on a flow of this socket is told."""
        self.stop()
        for address in list(self._ears):
            self._is_dead(address)

    def flow(self, host: str, port: int) -> UdpFlow:
        """Return the flow to a remote address."""
        return UdpFlow(self, (host, port))

    def write(self, data: bytes, place: Any) -> None:
        """Send a datagram; what a batch of received ones causes goes out after it, together.

        A peer that sleeps is then woken once a batch, and not once a datagram.
        """
        if self._is_reading:
            self._waiting.append((data, place))
        else:
            self._send([(data, place)])

    # Who is heard

    def heard_at(self, address: Address) -> float:
        """Return when a datagram came last from a watched address; long ago from any other."""
        ear = self._ears.get(address[:2])
        return -math.inf if ear is None else ear.heard_at

    def watch(self, address: Address, closed: Callable[[], None]) -> None:
        """Note from now on when an address is heard; call ``closed`` where it turns out dead."""
        ear = self._ears.get(address[:2])
        if ear is None:
            ear = self._ears[address[:2]] = _Ear(self._reactor.seconds())
        ear.watchers[closed] = None

    def unwatch(self, address: Address, closed: Callable[[], None]) -> None:
        """Undo `watch`."""
        ear = self._ears.get(address[:2])
        if ear is not None:
            ear.watchers.pop(closed, None)
            if not ear.watchers:
                del self._ears[address[:2]]

    def _is_dead(self, address: Address) -> None:
        """The network says that nobody is there: bindings that rely on it end (RFC 5626 §7)."""
        ear = self._ears.pop(address[:2], None)
        for closed in () if ear is None else ear.watchers:
            try:
                closed()
            except Exception:
                self._log.failure("while {address} is given up", address=address)

    def _hear(self, address: Address) -> None:
        ear = self._ears.get(address[:2])
        if ear is not None:
            ear.heard_at = self._reactor.seconds()

    def _send(self, waiting: list[tuple[bytes, Any]]) -> None:
        for data, place, problem in self.datagrams.send(waiting):
            host = self.datagrams.address(place)[0]
            self._log.info("UDP to {host}: {problem}", host=host, problem=problem)
            if self._receiver is not None:
                self._reactor.callLater(0, self._receiver.undeliverable, data)

    # IReadDescriptor

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """What the reactor's own messages about us begin with."""
        return self._prefix

    def doRead(self) -> None:
        """Take what is there, up to a batch, then send what came of it."""
        self._is_reading = True
        try:
            self._read()
        finally:
            self._is_reading = False
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._send(waiting)

    def connectionLost(self, reason: Any) -> None:
        """The reactor gave the reader up: what woke it was no datagram, but one that came back."""
        if reason.check(ConnectionDone) and self._receiver is not None:
            self._reactor.addReader(self)
            self.doRead()

    def _read(self) -> None:
        """Read a batch; when nothing is there, an error made the socket ready."""
        receiver, flows, ears = self._receiver, self._flows, self._ears
        assert receiver is not None
        arrived = self.datagrams.receive()
        if not arrived:
            self._read_errors(receiver)
        for data, place in arrived:
            try:
                flow = flows.get(place) or self._new_flow(place)
                if ears:
                    self._hear(flow.address)
                if data[:1] < _FIRST_OF_SIP:
                    self._answer_ping(data, flow)
                else:
                    receiver.datagram(data, flow)
            except Exception:
                self._log.failure("a bug, met by {message}", message=shown(data))

    def _new_flow(self, place: Any) -> UdpFlow:
        """Return the flow of who was not heard before; however many there are, few are kept."""
        if len(self._flows) >= FLOWS:
            self._flows.clear()
        flow = self._flows[place] = UdpFlow(self, self.datagrams.address(place), place)
        return flow

    def _answer_ping(self, data: bytes, flow: UdpFlow) -> None:
        """RFC 5626 §8: STUN comes to the port of SIP; other datagrams that begin so are dropped."""
        response = answer(data, flow.address)
        if response is not None:
            flow.send(response)

    def _read_errors(self, receiver: Receiver) -> None:
        for data, address, is_dead in self.datagrams.returned():
            try:
                receiver.undeliverable(data)
                if is_dead:
                    self._is_dead(address)
            except Exception:
                self._log.failure("a bug, met by what came back: {message}", message=shown(data))
