"""Connections as flows, messages cut out of them, and queues that stay bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from zope.interface import implementer

from sipproxy.sip.framing import PING, PONG, Framer
from sipproxy.sip.parser import BadMessage
from sipproxy.sip.shown import shown
from sipproxy.transport.counts import Counts
from sipproxy.transport.identity import SentBy
from sipproxy.transport.settings import Limits

if TYPE_CHECKING:
    from sipproxy.sip.headers import Via
    from sipproxy.transaction.parties import Path
    from sipproxy.transport.tape import Tape


class StreamReceiver(Protocol):
    """Who is given what arrives: the transaction layer."""

    def framed(self, data: bytes, flow: StreamFlow) -> None:
        """A message came."""

    def refused(self, error: BadMessage, flow: StreamFlow) -> None:
        """Octets came that are no message, and nothing can be read after them."""


class Surroundings(Protocol):
    """What a connection needs of the network that it is part of."""

    limits: Limits
    tape: Tape | None
    counts: Counts

    @property
    def receiver(self) -> StreamReceiver:
        """Who is given messages."""

    def seconds(self) -> float:
        """The monotonic time."""

    def wake(self, sleeper: Any, seconds: float) -> None:
        """Make an appointment."""

    def forget(self, sleeper: Any) -> None:
        """Drop an appointment, if there is one, and hold the sleeper no longer."""

    def opened(self, flow: StreamFlow) -> bool:
        """Count a connection; False where a limit forbids it."""

    def closed(self, flow: StreamFlow) -> None:
        """A connection has ended."""

    def alias(self, flow: StreamFlow, port: int) -> None:
        """Let a connection that came in stand for one to its peer's port (RFC 5923 §8.2)."""

    def gather(self, flow: StreamFlow) -> None:
        """Have a connection flush once this turn of the reactor is over."""

    def send_anew(self, flow: StreamFlow, host: str, port: int, data: bytes) -> None:
        """Send a response whose connection is gone by another (RFC 3261 §18.2.2)."""


class ReplyPath:
    """Where a response goes that came in on a connection: there, else to the sender's port."""

    __slots__ = ("_flow", "_port")

    reliable = True

    def __init__(self, flow: StreamFlow, port: int) -> None:
        self._flow = flow
        self._port = port

    def send(self, data: bytes) -> None:
        """Send by the connection, or by a new one to the port in Via (RFC 3261 §18.2.2)."""
        flow = self._flow
        if flow.is_writable:
            flow.send(data)
        else:
            flow.surroundings.send_anew(flow, flow.host.decode(), self._port, data)


@implementer(IPullProducer)
class StreamFlow(TwistedProtocol):
    """One connection.

    What a turn of the reactor gives it to send is sent together, and at once: by way of the
    reactor it would cost three more system calls and another turn. Only what the kernel has no
    room for goes that way.

    It closes by itself when it is idle, which one with watchers (bindings, dialogs, transactions)
    never is; when no message has come or gone in the time that one may take, which begins with the
    connection and holds for what has to come before, too; when a message does not get whole; and
    when the peer does not read.
    """

    reliable = True
    via_transport = b"TCP"
    proven_domains: frozenset[bytes] = frozenset()
    version = ""  # of TLS
    is_pushing = False  # as a producer of Twisted's: it is asked when there is room again

    def __init__(self, surroundings: Surroundings, name: bytes, sent_by: SentBy) -> None:
        self.surroundings = surroundings
        self.name = name
        self.sent_by = sent_by
        self.host = b""
        self.port = 0
        self.since = 0.0  # when it began
        self.is_open = False
        self._closing = True  # no octet is read or written: not connected yet, or ending
        self.due = self.booked = 0
        self._framer = Framer(surroundings.limits.head, surroundings.limits.body)
        self._watchers: dict[Callable[[], None], None] = {}
        self._active = self._begun = 0.0
        self._unused: float | None = 0.0  # since when; None once a message has come or gone
        self._stalled: float | None = None  # since when the kernel has had no room
        self._gathered: list[bytes] = []
        self._queued = 0  # octets: what is gathered, and what the kernel had no room for
        self._log = Logger()

    def __repr__(self) -> str:
        return f"<StreamFlow {self.host.decode()}:{self.port}>"

    # Flow

    @property
    def is_writable(self) -> bool:
        """Whether what is sent still goes out: no more once the connection is ending."""
        return not self._closing

    @property
    def heard_at(self) -> float:
        """When octets came last."""
        return self._active

    @property
    def holders(self) -> list[Any]:
        """Who relies on the connection: what the functions that are told of its end belong to."""
        return [getattr(closed, "__self__", None) for closed in self._watchers]

    @property
    def cipher(self) -> str:
        """How an open connection is encrypted; empty where it is not."""
        return ""

    @property
    def local(self) -> tuple[str, int]:
        """Our own address and port, of an open connection."""
        host = self._wire.getHost()
        return host.host, host.port

    def send(self, data: bytes) -> None:
        """Write a message; a peer that does not read loses its connection, not our memory."""
        if self._closing:
            return
        if data is not PONG:
            self._unused = None
        tape = self.surroundings.tape
        if tape is not None:
            tape.sent(data, self)
        self._put(data)

    def _put(self, data: bytes) -> None:
        gathered = self._gathered
        gathered.append(data)
        self._queued += len(data)
        if self._queued > self.surroundings.limits.write_queue:
            self.flush()
            self._check_queue()
        elif len(gathered) == 1 and self._stalled is None:
            self.surroundings.gather(self)

    def _check_queue(self) -> None:
        if self._queued > self.surroundings.limits.write_queue:
            self._log.info("{flow}: does not read, closed", flow=self)
            self.surroundings.counts.closed["write_queue"] += 1
            self._abort()

    def flush(self) -> None:
        """Send what was gathered, unless the kernel had no room for what was before it."""
        if self._closing or self._stalled is not None or not self._gathered:
            return
        data, self._gathered = b"".join(self._gathered), []
        sent = self._wire.writeSomeData(data)
        sent = sent if isinstance(sent, int) else 0  # of an error the reactor will hear, too
        self._queued = len(data) - sent
        if self._queued:
            self._stalled = self.surroundings.seconds()
            self._sleep()
            self._wire.write(data[sent:])

    def reply_path(self, via: Via) -> Path:
        """Return where responses go whose topmost Via is ``via``."""
        return ReplyPath(self, via.effective_port)

    def watch(self, closed: Callable[[], None]) -> None:
        """Call ``closed`` once when the connection ends; now, if it has."""
        if self.is_open:
            self._unused = None
            self._watchers[closed] = None
        else:
            closed()

    def unwatch(self, closed: Callable[[], None]) -> None:
        """Undo `watch`."""
        self._watchers.pop(closed, None)

    # Protocol

    def connectionMade(self) -> None:
        """The connection stands."""
        peer = self._wire.getPeer()
        self.host, self.port = peer.host.encode("ascii"), peer.port
        if not self.surroundings.opened(self):
            self._wire.abortConnection()
            return
        self.is_open = True
        self._active = self._unused = self.since = self.surroundings.seconds()
        self._wire.setTcpNoDelay(True)
        self._wire.setTcpKeepAlive(True)  # so that a peer that vanished is noticed
        self._begin()

    def _begin(self) -> None:
        """Octets of SIP may come and go."""
        self._closing = False
        self._active = self.surroundings.seconds()
        self._wire.registerProducer(self, self.is_pushing)
        self._sleep()

    def dataReceived(self, data: bytes) -> None:
        """Octets came."""
        if self._closing:
            return
        now = self._active = self.surroundings.seconds()
        was_partial = self._framer.pending > 0
        frames = self._framer.feed(data)
        if frames or not was_partial:
            self._begun = now
        for frame in frames:
            self._take(frame)
        if self._framer.pending and not self._closing:
            self._sleep()

    def _take(self, frame: bytes | BadMessage) -> None:
        try:
            if isinstance(frame, BadMessage):
                self.surroundings.counts.closed[frame.limit or "unreadable"] += 1
                self.surroundings.receiver.refused(frame, self)
                self.close()
            elif frame is PING:
                self.send(PONG)  # RFC 5626 §4.4.1
            else:
                self._unused = None
                self.surroundings.receiver.framed(frame, self)
        except Exception:
            message = shown(frame) if isinstance(frame, bytes) else "no message"
            self._log.failure("a bug, on {flow}, met by {message}", flow=self, message=message)

    def connectionLost(self, reason: Any = None) -> None:
        """The connection has ended: whoever relies on it is told."""
        self.transport = None  # it may refer to us
        if not self.is_open:
            return
        self.is_open = False
        self._closing = True
        self.surroundings.forget(self)
        self._framer.close()  # whoever still refers to us keeps nothing of what came, or was to go
        self._gathered = []
        self.surroundings.closed(self)
        watchers, self._watchers = self._watchers, {}
        for closed in watchers:
            try:
                closed()
            except Exception:
                self._log.failure("while closing {flow}", flow=self)

    def close(self) -> None:
        """Close once what was written is sent, or has waited too long."""
        if self.is_open and not self._closing:
            self._closing = True
            self.surroundings.wake(self, self.surroundings.limits.write_stall)
            if self._gathered:
                self._wire.write(b"".join(self._gathered))
                self._gathered = []
            self._wire.unregisterProducer()
            self._wire.loseConnection()

    def leave(self) -> None:
        """Close because the server stops."""
        self.close()

    def _abort(self) -> None:
        self._closing = True
        self._wire.abortConnection()

    @property
    def _wire(self) -> Any:
        return self.transport

    # Time

    def limit(self) -> None:
        """Follow the limits that its surroundings have now."""
        limits = self.surroundings.limits
        self._framer.max_head, self._framer.max_body = limits.head, limits.body
        if not self._closing:
            self._sleep()

    def _sleep(self) -> None:
        now, limits = self.surroundings.seconds(), self.surroundings.limits
        until = self._active + limits.idle
        if until <= now:  # somebody relies on it
            until = now + limits.idle
        if self._framer.pending:
            until = min(until, self._begun + limits.partial)
        if self._unused is not None:
            until = min(until, self._unused + limits.partial)
        if self._stalled is not None:
            until = min(until, self._stalled + limits.write_stall)
        self.surroundings.wake(self, until - now)

    def woken(self) -> None:
        """Close what is idle, unused, half a message, or stalled; else look again later."""
        now, limits = self.surroundings.seconds(), self.surroundings.limits
        stalled = self._stalled is not None and now - self._stalled >= limits.write_stall
        partial = self._framer.pending > 0 and now - self._begun >= limits.partial
        idle = not self._watchers and now - self._active >= limits.idle
        unused = self._unused is not None and now - self._unused >= limits.partial
        if stalled or partial or self._closing:
            if not self._closing:
                self.surroundings.counts.closed["write_stall" if stalled else "partial"] += 1
            self._abort()
        elif idle or unused:
            self.surroundings.counts.closed["idle" if idle else "partial"] += 1
            self.close()
        else:
            self._sleep()

    # IPullProducer: the transport asks for more

    def resumeProducing(self) -> None:
        """The kernel has taken what it had no room for."""
        self._stalled = None
        self._queued = sum(map(len, self._gathered))
        self.flush()

    def stopProducing(self) -> None:
        """The transport is closing."""
