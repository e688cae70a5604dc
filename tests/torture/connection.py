"""A connection to a server without sockets, through the framing that a real one has."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport

from sipproxy.sip.framing import Framer
from sipproxy.sip.parser import BadMessage
from sipproxy.testing import FakeServer
from sipproxy.transport.identity import SentBy
from sipproxy.transport.stream import StreamFlow
from tests.torture.table import CLOSE, FORWARD, WAIT
from tests.torture.worlds import SOURCE, World


class _Transport(StringTransport):
    """Can what Twisted's has not got."""

    def writeSomeData(self, data: bytes) -> int:
        """Take all of it."""
        self.write(data)
        return len(data)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is delayed here."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nobody vanishes here."""


class Connection:
    """A peer that writes octets, and reads what comes back."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.transport = _Transport(peerAddress=IPv4Address("TCP", SOURCE, 5060))
        our = SentBy(b"TCP", b"127.0.0.1", 5060)
        self.flow = StreamFlow(server.network, server.node.random(8), our)
        self.flow.makeConnection(self.transport)

    def write(self, data: bytes, piece: int = 1460) -> None:
        """Write octets, in segments of a size; no more once the server has closed."""
        for start in range(0, len(data), piece):
            if not self.is_closed:
                self.flow.dataReceived(data[start : start + piece])

    @property
    def is_closed(self) -> bool:
        """Whether the server has ended the connection."""
        return bool(self.transport.disconnecting)

    @property
    def is_waiting(self) -> bool:
        """Whether the server has part of a message, and waits for the rest."""
        return self.flow._framer.pending > 0

    @property
    def answers(self) -> list[bytes]:
        """Every response that came."""
        self.server.clock.advance(0)  # the end of a turn, after which a connection is written to
        frames = Framer(1 << 20, 1 << 20).feed(self.transport.value())
        assert not any(isinstance(frame, BadMessage) for frame in frames)
        return [bytes(frame) for frame in frames if isinstance(frame, bytes)]

    def outcome(self, world: World | None = None) -> str:
        """Return what became of the octets, in the table's words."""
        words = [data[8:11].decode() for data in self.answers]
        words += [FORWARD for _ in (world.forwarded if world else ())]
        words += [CLOSE] if self.is_closed else [WAIT] if self.is_waiting else []
        return " ".join(words)
