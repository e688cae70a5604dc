"""Next hops that have failed just now."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.transport import breaker
from sipproxy.transport.breaker import Breaker
from sipproxy.transport.hops import Hop

A, B, C = (Hop("udp", f"198.51.100.{n}", 5060, "b.test") for n in (1, 2, 3))


class BreakerTest(SynchronousTestCase):
    """The order in which hops are tried."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(self.clock.seconds)

    def test_tried_last_for_a_while(self) -> None:
        self.breaker.failed(A, 30)
        self.assertEqual(self.breaker.ordered([A, B, C]), [B, C, A])
        self.clock.advance(30)
        self.assertEqual(self.breaker.ordered([A, B, C]), [A, B, C])
        self.assertEqual(len(self.breaker), 0)

    def test_all_dead(self) -> None:
        """Then there is nothing better than their own order."""
        for hop in (B, A):
            self.breaker.failed(hop, 30)
        self.assertEqual(self.breaker.ordered([A, B]), [A, B])

    def test_answered(self) -> None:
        self.breaker.failed(A, 30)
        self.breaker.answered(A)
        self.breaker.answered(B)
        self.assertEqual(self.breaker.ordered([A, B]), [A, B])

    def test_a_target_by_another_name_is_the_same(self) -> None:
        self.breaker.failed(A._replace(name="c.test"), 30)
        self.assertEqual(self.breaker.ordered([A, B]), [B, A])

    def test_another_port_or_transport_is_another_target(self) -> None:
        self.breaker.failed(A._replace(port=5070), 30)
        self.breaker.failed(A._replace(transport="tcp"), 30)
        self.assertEqual(self.breaker.ordered([A, B]), [A, B])

    def test_bounded(self) -> None:
        self.patch(breaker, "MOST", 2)
        for hop in (A, B, A, C):
            self.breaker.failed(hop, 30)
        self.assertEqual(len(self.breaker), 2)
        self.assertEqual(self.breaker.ordered([A, B, C]), [B, A, C])
