"""Why connections were closed by us."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.transport.network import Network
from sipproxy.transport.settings import Limits
from tests.transport.fakes import Surroundings, connected

START = b"MESSAGE sip:a SIP/2.0\r\n"
WHOLE = START + b"Content-Length: 0\r\n\r\n"


class ClosedTest(SynchronousTestCase):
    """Each limit, by its name."""

    def closed(self, *received: bytes, seconds: float = 0.0) -> dict[str, int]:
        """Return what is counted after octets have come, and time has passed."""
        surroundings = Surroundings()
        flow, _ = connected(surroundings)
        for data in received:
            flow.dataReceived(data)
        surroundings.advance(seconds)
        return dict(surroundings.counts.closed)

    def test_idle(self) -> None:
        self.assertEqual(self.closed(WHOLE, seconds=601), {"idle": 1})

    def test_unused(self) -> None:
        self.assertEqual(self.closed(seconds=21), {"partial": 1})

    def test_half_a_message(self) -> None:
        self.assertEqual(self.closed(WHOLE, START, seconds=21), {"partial": 1})

    def test_a_head_that_is_too_long(self) -> None:
        self.assertEqual(self.closed(START + b"X: " + b"x" * 2000), {"head": 1})

    def test_a_body_that_is_too_long(self) -> None:
        self.assertEqual(self.closed(START + b"Content-Length: 9999\r\n\r\n"), {"body": 1})

    def test_no_message(self) -> None:
        self.assertEqual(self.closed(START + b"Content-Length: x\r\n\r\n"), {"unreadable": 1})

    def test_one_that_does_not_read(self) -> None:
        surroundings = Surroundings()
        flow, wire = connected(surroundings)
        wire.room = 0
        flow.send(b"x")
        surroundings.advance(31)
        self.assertEqual(surroundings.counts.closed, {"write_stall": 1})

    def test_one_that_is_sent_too_much(self) -> None:
        surroundings = Surroundings()
        flow, wire = connected(surroundings)
        wire.room = 0
        flow.send(b"x" * 501)
        self.assertEqual(surroundings.counts.closed, {"write_queue": 1})

    def test_who_may_not_begin(self) -> None:
        class Flow:
            """One more."""

            name, host, version = b"1", b"192.0.2.1", ""
            via_transport, port = b"TCP", 1

        for limits, why in (
            (Limits(connections=0), "connections"),
            (Limits(connections_per_address=0), "connections_per_address"),
        ):
            surroundings = Surroundings()
            network = Network(surroundings.clock, limits, None, surroundings.ticker, bytes)  # type: ignore[arg-type]
            self.assertFalse(network.opened(Flow()))  # type: ignore[arg-type]
            self.assertEqual(network.counts.closed, {why: 1})
