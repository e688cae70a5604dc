"""UDP: one socket per listener, datagrams in and out, and what the network returns."""

from __future__ import annotations

import errno
import math
import select
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from sipproxy.transport.identity import SentBy
from sipproxy.transport.stun import answer

if TYPE_CHECKING:
    from sipproxy.sip.headers import Via
    from sipproxy.transaction.parties import Path

BATCH = 64  # datagrams per turn of the reactor
BUFFER = 4 << 20  # kernel buffers, bytes
_IP_RECVERR = 11  # <bits/in.h>; the socket module of CPython has no names for them
_IPV6_RECVERR = 25
_MSG_ERRQUEUE = 0x2000
_EXTENDED_ERROR = struct.Struct("=IB")  # its beginning: errno, origin
_ICMP = (2, 3)  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
_FIRST_OF_SIP = b"\x02"  # STUN begins with 0 or 1, and SIP never does (RFC 5626 §8)
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=II")  # of the receive queue: bytes taken, bytes there are

Address = tuple[Any, ...]


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

    __slots__ = ("address", "endpoint")

    reliable = False
    via_transport = b"UDP"
    proven_domains: frozenset[bytes] = frozenset()

    def __init__(self, endpoint: UdpEndpoint, address: Address) -> None:
        self.endpoint = endpoint
        self.address = address

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
    def host(self) -> bytes:
        """The remote address, without brackets."""
        host: str = self.address[0]
        return host.encode("ascii")

    @property
    def port(self) -> int:
        """The remote port."""
        port: int = self.address[1]
        return port

    @property
    def sent_by(self) -> SentBy:
        """What our Via says on this flow."""
        return self.endpoint.sent_by

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent: always, over UDP."""
        return True

    def send(self, data: bytes) -> None:
        """Send a datagram; one that the kernel has no room for is lost, as datagrams are."""
        self.endpoint.write(data, self.address)

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
    def heard_at(self) -> float:
        """When a datagram came last, while somebody watches; else long ago."""
        return self.endpoint.heard_at(self.address)

    def watch(self, closed: Callable[[], None]) -> None:
        """Call ``closed`` once an ICMP error says that nobody is there (RFC 5626 §7)."""
        self.endpoint.watch(self.address, closed)

    def unwatch(self, closed: Callable[[], None]) -> None:
        """Undo `watch`."""
        self.endpoint.unwatch(self.address, closed)


def is_unreachable(error: bytes) -> bool:
    """Tell whether a ``sock_extended_err`` is an ICMP error that means: nobody is there.

    One about the size of a datagram says nothing of the next, nor does an error of our own.
    """
    if len(error) < _EXTENDED_ERROR.size:
        return False
    number, origin = _EXTENDED_ERROR.unpack_from(error)
    return origin in _ICMP and number != errno.EMSGSIZE


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
    """A bound socket that the reactor reads.

    With ``IP_RECVERR`` the kernel returns datagrams that a peer's ICMP error refers to. The reactor
    would drop a reader that reports an error, so it watches an epoll descriptor of ours instead,
    with the socket in it.
    """

    def __init__(self, sock: socket.socket, sent_by: SentBy, reactor: Any) -> None:
        self.sent_by = sent_by
        self._socket = sock
        self._reactor = reactor
        self._receiver: Receiver | None = None
        self._epoll: select.epoll | None = None
        self._is_reading = False
        self._waiting: list[tuple[bytes, Address]] = []
        self._ears: dict[Address, _Ear] = {}
        self._log = Logger()
        self.family = sock.family

    def start(self, receiver: Receiver) -> None:
        """Begin to read."""
        self._receiver = receiver
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        if self.family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        self._epoll = select.epoll()
        self._epoll.register(self._socket.fileno(), select.EPOLLIN)
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Stop reading and close the socket."""
        self._reactor.removeReader(self)
        if self._epoll is not None:
            self._epoll.close()
        self._socket.close()

    def flow(self, host: str, port: int) -> UdpFlow:
        """Return the flow to a remote address."""
        return UdpFlow(self, (host, port))

    @property
    def fullness(self) -> float:
        """How full the kernel's receive queue is, of 1; 0 where the kernel does not tell."""
        try:
            told = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            taken, room = _MEMINFO.unpack(told)
        except (OSError, struct.error):
            return 0.0
        return float(taken / room) if room else 0.0

    def write(self, data: bytes, address: Address) -> None:
        """Send a datagram; what a batch of received ones causes goes out after it, together.

        A peer that sleeps is then woken once a batch, and not once a datagram.
        """
        if self._is_reading:
            self._waiting.append((data, address))
        else:
            self._send(data, address)

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

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for data, address in waiting:
            self._send(data, address)

    def _send(self, data: bytes, address: Address) -> None:
        """Send now. An error that was waiting belongs to an earlier datagram: try twice."""
        for _ in range(2):
            try:
                self._socket.sendto(data, address)
                return
            except BlockingIOError:
                return
            except (OSError, ValueError, TypeError) as error:
                problem = str(error)  # an exception that its own frame holds is a cycle
        self._log.info("UDP to {address}: {problem}", address=address[0], problem=problem)
        if self._receiver is not None:
            self._reactor.callLater(0, self._receiver.undeliverable, data)

    # IReadDescriptor

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return -1 if self._epoll is None or self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:
        """What the reactor's own messages about us begin with."""
        return f"UDP {self.sent_by.port}"

    def doRead(self) -> None:
        """Take what is there, up to a batch, then send what came of it."""
        self._is_reading = True
        try:
            self._read()
        finally:
            self._is_reading = False
            self._flush()

    def _read(self) -> None:
        """Read a batch; when nothing is there, an error made the socket ready."""
        receive, receiver, ears = self._socket.recvfrom, self._receiver, self._ears
        assert receiver is not None
        for count in range(BATCH):
            try:
                data, address = receive(65535)
            except BlockingIOError:
                if count == 0:
                    self._read_errors(receiver)
                return
            except OSError:
                self._read_errors(receiver)
                continue
            try:
                if ears:
                    self._hear(address)
                if data[:1] < _FIRST_OF_SIP:
                    self._answer_ping(data, address)
                else:
                    receiver.datagram(data, UdpFlow(self, address))
            except Exception:
                self._log.failure("a datagram from {address}: {data!r}", address=address, data=data)

    def _answer_ping(self, data: bytes, address: Address) -> None:
        """RFC 5626 §8: STUN comes to the port of SIP; other datagrams that begin so are dropped."""
        response = answer(data, address)
        if response is not None:
            self.write(response, address)

    def _read_errors(self, receiver: Receiver) -> None:
        for _ in range(BATCH):
            try:
                data, facts, _, address = self._socket.recvmsg(65535, 512, _MSG_ERRQUEUE)
            except OSError:
                return
            try:
                receiver.undeliverable(data)
                if any(is_unreachable(fact) for _, _, fact in facts):
                    self._is_dead(address)
            except Exception:
                self._log.failure("a datagram that came back: {data!r}", data=data)

    def connectionLost(self, reason: Any) -> None:
        """The reactor gave the reader up."""
