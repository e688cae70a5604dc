"""Recorders: what transactions send and tell, with the tick at which they did."""

from __future__ import annotations

from collections.abc import Callable

from sipproxy.sip.headers import Via
from sipproxy.sip.message import Message, Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from sipproxy.transaction.client import ClientTransaction
from sipproxy.transaction.layer import TransactionLayer
from sipproxy.transaction.parties import Flow, Path
from sipproxy.transaction.server import ServerTransaction
from sipproxy.transaction.timers import Timers
from sipproxy.transaction.wheel import Sleeper, Wheel
from tests.sip.samples import request as request_octets

# 100 ms a tick; J, D, L and M are told apart from B, F and H by another value.
TIMERS = Timers(t1=5, t2=40, t4=50, linger=400)
TIMEOUT = 64 * TIMERS.t1
FOREVER = 10_000

Entry = tuple[int, str]


class Bench:
    """A wheel, and the log of all that happened, in ticks since the beginning."""

    def __init__(self) -> None:
        self.wheel = Wheel(self._raised)
        self.log: list[Entry] = []
        self._begun = self.wheel.now

    @property
    def tick(self) -> int:
        """Ticks since the beginning."""
        return self.wheel.now - self._begun

    def note(self, event: str) -> None:
        """Write to the log."""
        self.log.append((self.tick, event))

    def until(self, tick: int) -> None:
        """Let time pass up to ``tick``, whose own appointments are still to come."""
        self.wheel.advance(self._begun + tick - 1)

    def finish(self) -> None:
        """Let so much time pass that everything must have ended."""
        self.until(self.tick + FOREVER)

    def taken(self) -> list[Entry]:
        """Return the log, and begin a new one."""
        log, self.log = self.log, []
        return log

    def forgotten(self, transaction: object) -> None:
        """Stand in for the layer's `forget`."""
        self.note("forgotten")

    def _raised(self, sleeper: Sleeper) -> None:
        self.note("raised")


class RecordingPath:
    """Where octets can be sent; notes the start of each message, then raises ``fault``."""

    def __init__(self, bench: Bench, reliable: bool = False, name: str = "sent") -> None:
        self.bench = bench
        self.reliable = reliable
        self.name = name
        self.sent: list[bytes] = []
        self.fault: Exception | None = None

    def send(self, data: bytes) -> None:
        """Note the method or the status."""
        self.sent.append(data)
        first, second = data.split(b" ", 2)[:2]
        self.bench.note(f"{self.name} {(second if first == b'SIP/2.0' else first).decode()}")
        if self.fault is not None:
            raise self.fault


class RecordingFlow(RecordingPath):
    """A flow from 192.0.2.7, whose responses go back on it, or on ``reply``."""

    host = b"192.0.2.7"
    port = 5060

    def __init__(self, bench: Bench, reliable: bool = False, name: str = "sent") -> None:
        RecordingPath.__init__(self, bench, reliable, name)
        self.via_transport = b"TCP" if reliable else b"UDP"
        self.reply: Path = self
        self.is_open = True
        self.watchers: list[Callable[[], None]] = []

    def reply_path(self, via: Via) -> Path:
        """Return where responses go."""
        return self.reply

    def watch(self, closed: Callable[[], None]) -> None:
        """Note who wants to hear of the end; tell it at once where it has come."""
        self.watchers.append(closed)
        if not self.is_open:
            closed()

    def unwatch(self, closed: Callable[[], None]) -> None:
        """Forget it; raises ValueError for one who does not watch."""
        self.watchers.remove(closed)

    def close(self) -> None:
        """End, and tell each watcher once; each takes itself off."""
        self.is_open = False
        for closed in self.watchers[:]:
            closed()


class RecordingClient:
    """Who sends requests."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.responses: list[Response] = []

    def answered(self, response: Response, transaction: ClientTransaction) -> None:
        """Note a response."""
        self.responses.append(response)
        self.bench.note(f"answered {response.status}")

    def timed_out(self, transaction: ClientTransaction) -> None:
        """Note that Timer B or F fired."""
        self.bench.note("timed out")

    def failed(self, transaction: ClientTransaction) -> None:
        """Note that the transport failed."""
        self.bench.note("failed")


class RecordingServer:
    """Who is given requests."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.requests: list[Request] = []
        self.transactions: list[ServerTransaction] = []

    def received(self, request: Request, transaction: ServerTransaction) -> None:
        """Note a new request."""
        self.requests.append(request)
        self.transactions.append(transaction)
        self.bench.note(f"received {request.method.decode()}")

    def acknowledged(self, ack: Request, flow: Flow) -> None:
        """Note an ACK that belongs to a 2xx."""
        self.requests.append(ack)
        self.bench.note("acknowledged")


def parsed(data: bytes) -> Request:
    """Return a request that is known to be valid."""
    message = parse_datagram(data)
    assert isinstance(message, Request)
    return message


def request(method: bytes, *lines: bytes, **headers: bytes) -> Request:
    """Return a valid request."""
    return parsed(request_octets(method, *lines, **headers))


def response(to: Message, status: int, tag: bytes = b"t") -> Response:
    """Return the response to a request, as it is read from the wire."""
    assert isinstance(to, Request)
    message = parse_datagram(make_response(to, status, tag).encode())
    assert isinstance(message, Response)
    return message


def each(event: str, *ticks: int) -> list[Entry]:
    """Return log entries of one event at several ticks."""
    return [(tick, event) for tick in ticks]


def doubling(event: str, limit: int, cap: int = 1 << 30, start: int = 0) -> list[Entry]:
    """Return an event at ``start``, after T1, 2*T1, 4*T1... (at most ``cap``), before ``limit``."""
    entries, tick, interval = [], start, TIMERS.t1
    while tick < limit:
        entries.append((tick, event))
        tick += interval
        interval = min(2 * interval, cap)
    return entries


def answer(
    layer: TransactionLayer,
    server: ServerTransaction,
    request: Request,
    status: int,
    reason: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Answer a request as a user of the layer does."""
    server.respond(make_response(request, status, layer.tag(request), reason, headers))
