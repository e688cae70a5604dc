"""What surrounds a connection in tests: a clock, limits, a wire without a socket."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from sipproxy.sip.parser import BadMessage
from sipproxy.transaction.wheel import Wheel
from sipproxy.transport.counts import Counts
from sipproxy.transport.identity import SentBy
from sipproxy.transport.settings import Limits
from sipproxy.transport.stream import StreamFlow
from sipproxy.transport.ticker import TICK, Ticker

LIMITS = Limits(
    head=1000, body=1000, write_queue=500, write_stall=30, idle=600, partial=20, connections=10
)


class Surroundings:
    """What a connection needs, and a log of what it told."""

    def __init__(self, **limits: Any) -> None:
        self.tape = None
        self.counts = Counts()
        self.limits = msgspec.structs.replace(LIMITS, **limits)
        self.clock = Clock()
        self.wheel = Wheel(self._raised)
        self.ticker = Ticker(self.clock, self.wheel)
        self.ticker.start()
        self.is_full = False
        self.messages: list[bytes] = []
        self.errors: list[int] = []
        self.anew: list[tuple[str, int, bytes]] = []
        self.gathering: list[StreamFlow] | None = None  # None: whatever is written is sent at once
        self.open: list[StreamFlow] = []
        self.fault: Exception | None = None

    @property
    def receiver(self) -> Surroundings:
        """Who is given messages."""
        return self

    def _raised(self, sleeper: object) -> None:
        raise AssertionError(f"{sleeper} raised")

    def advance(self, seconds: float) -> None:
        """Let time pass, a tick at a time."""
        for _ in range(round(seconds / TICK)):
            self.clock.advance(TICK)

    def seconds(self) -> float:
        """Return the time."""
        return self.clock.seconds()

    def wake(self, sleeper: Any, seconds: float) -> None:
        """Make an appointment."""
        self.ticker.wake(sleeper, seconds)

    def forget(self, sleeper: Any) -> None:
        """Drop an appointment."""
        self.ticker.forget(sleeper)

    def opened(self, flow: StreamFlow) -> bool:
        """Count a connection."""
        if not self.is_full:
            self.open.append(flow)
        return not self.is_full

    def closed(self, flow: StreamFlow) -> None:
        """Count it no more."""
        self.open.remove(flow)

    def gather(self, flow: StreamFlow) -> None:
        """Flush a connection, or note that it is to be flushed."""
        if self.gathering is None:
            flow.flush()
        else:
            self.gathering.append(flow)

    def send_anew(self, flow: StreamFlow, host: str, port: int, data: bytes) -> None:
        """Note what goes by another connection."""
        self.anew.append((host, port, data))

    def framed(self, data: bytes, flow: StreamFlow) -> None:
        """Note a message."""
        self.messages.append(data)
        if self.fault is not None:
            raise self.fault

    def refused(self, error: BadMessage, flow: StreamFlow) -> None:
        """Note what was no message, and answer it."""
        self.errors.append(error.status)
        flow.send(b"%d" % error.status)


class Wire(StringTransport):
    """A connection to 192.0.2.7:40000; what is written to it is kept until it is read."""

    def __init__(self) -> None:
        StringTransport.__init__(self, peerAddress=IPv4Address("TCP", "192.0.2.7", 40000))
        self.was_aborted = False
        self.is_kept_alive = False
        self.room = 1 << 30  # octets that the kernel takes
        self.protocol: Any = None

    def writeSomeData(self, data: bytes) -> Any:
        """Take what there is room for; what comes by `write` waits."""
        taken = data[: self.room]
        self.room -= len(taken)
        self.io.write(taken)
        return len(taken)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is nothing to delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Note that the peer is asked whether it is still there."""
        self.is_kept_alive = enabled

    def abortConnection(self) -> None:
        """End at once."""
        self.was_aborted = True
        self.protocol.connectionLost(None)


def connected(surroundings: Surroundings) -> tuple[StreamFlow, Wire]:
    """Return a connection and its wire."""
    flow, wire = StreamFlow(surroundings, b"name", SentBy(b"TCP", b"127.0.0.1", 5060)), Wire()
    wire.protocol = flow
    flow.makeConnection(wire)
    return flow, wire
