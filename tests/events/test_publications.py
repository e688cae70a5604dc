"""The table of publications: expiry, connections that close, and what is held for how long."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.events.publishing import COLOUR, SHAPE, Bench, Flow
from tests.registrar.fakes import ALICE
from tests.rfc import rfc

CHANGE = (COLOUR, ALICE)


class TableCase(SynchronousTestCase):
    """A compositor with its table."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.host, self.table = self.bench.host, self.bench.table

    def colours(self) -> list[str]:
        """Return what there is, in order."""
        return [colour for colour, _ in self.bench.state()]


@rfc(3903, "4.2", "a publication that is not refreshed within its time expires")
class ExpiryTest(TableCase):
    """Each resource has one appointment, with the first publication to expire."""

    def test_expires_as_if_removed(self) -> None:
        self.bench.publish("red", Expires="60")
        self.host.advance(59)
        self.assertEqual((self.colours(), self.bench.changes), (["RED"], [CHANGE]))
        self.host.advance(1.1)
        self.assertEqual((self.colours(), self.bench.changes), ([], [CHANGE] * 2))
        self.assertEqual((len(self.table), len(self.host.wheel)), (0, 0))

    def test_one_after_the_other(self) -> None:
        self.bench.publish("red", Expires="120")
        self.bench.publish("blue", Expires="60")
        self.bench.publish("round", Event="shape", Expires="90")
        self.assertEqual(len(self.host.wheel), 2)
        for seconds, left in ((61, ["RED"]), (30, ["RED"]), (31, [])):
            self.host.advance(seconds)
            self.assertEqual(self.colours(), left)
        self.assertEqual(self.bench.changes[3:], [CHANGE, (SHAPE, ALICE), CHANGE])
        self.assertEqual(len(self.host.wheel), 0)

    def test_what_is_past_is_not_there_before_the_tick(self) -> None:
        self.bench.publish("red", Expires="60")
        self.bench.publish("blue", Expires="120")
        self.host.clock.rightNow += 60
        self.assertEqual((self.colours(), len(self.bench.changes)), (["BLUE"], 2))
        self.host.advance(0.1)
        self.assertEqual(len(self.bench.changes), 3)

    def test_what_is_past_is_told_though_another_is_refreshed_before_the_tick(self) -> None:
        tag = self.bench.tag("red", Expires="120")
        self.bench.publish("blue", Expires="60")
        self.host.clock.rightNow += 60
        self.bench.publish("", tag)
        self.assertEqual((self.colours(), self.bench.changes), (["RED"], [CHANGE] * 3))

    def test_refreshed_in_time(self) -> None:
        tag = self.bench.tag("red", Expires="60")
        for _ in range(5):
            self.host.advance(50)
            tag = self.bench.tag("", tag, Expires="60")
        self.assertEqual((self.colours(), self.bench.changes), (["RED"], [CHANGE]))
        self.assertEqual(len(self.host.wheel), 1)

    def test_nothing_is_held_of_what_is_gone(self) -> None:
        flow = Flow(reliable=True)
        tag = self.bench.tag("red", flow=flow)
        self.bench.publish("", tag, Expires="0", flow=flow)
        self.assertEqual((len(self.table), len(self.host.wheel), flow.watching), (0, 0, []))


class StaleTest(TableCase):
    """A publication whose connection has closed is stale until it is refreshed."""

    def setUp(self) -> None:
        super().setUp()
        self.flow = Flow(reliable=True)

    def stale(self) -> list[bool]:
        """Return which publications are stale."""
        return [publication.is_stale for publication in self.table.of(COLOUR, ALICE)]

    def test_closed(self) -> None:
        self.bench.publish("blue")
        self.bench.publish("red", flow=self.flow)
        self.assertEqual(self.stale(), [False, False])
        self.flow.close()
        self.assertEqual((self.stale(), self.bench.changes), ([False, True], [CHANGE] * 3))

    def test_several_by_one_connection(self) -> None:
        for colour in ("red", "blue"):
            self.bench.publish(colour, flow=self.flow)
        self.bench.publish("round", flow=self.flow, Event="shape")
        self.assertEqual(len(self.flow.watching), 2)  # a resource and package each
        self.flow.close()
        self.assertEqual(self.bench.changes[3:], [CHANGE, (SHAPE, ALICE)])

    def test_refresh_by_another_flow(self) -> None:
        tag = self.bench.tag("red", flow=self.flow)
        self.flow.close()
        other = Flow(reliable=True)
        tag = self.bench.tag("", tag, flow=other)
        self.assertEqual((self.stale(), self.bench.changes), ([False], [CHANGE] * 3))
        other.close()
        self.assertEqual((self.stale(), self.bench.changes), ([True], [CHANGE] * 4))
        self.bench.publish("", tag)
        self.assertEqual((self.stale(), self.bench.changes), ([False], [CHANGE] * 5))

    def test_refresh_in_time(self) -> None:
        """The old connection is of no interest any more."""
        tag = self.bench.tag("red", flow=self.flow)
        self.bench.publish("", tag)
        self.assertEqual((self.flow.watching, self.bench.changes), ([], [CHANGE] * 2))
        self.flow.close()
        self.assertEqual((self.stale(), self.bench.changes), ([False], [CHANGE] * 2))

    def test_refresh_while_it_stands(self) -> None:
        """By the same flow nothing is another; by another one, what speaks of whom may be."""
        tag = self.bench.tag("red", flow=self.flow)
        tag = self.bench.tag("", tag, flow=self.flow)
        self.assertEqual(self.bench.changes, [CHANGE])
        self.bench.publish("", tag, flow=Flow(reliable=True))
        self.assertEqual(self.bench.changes, [CHANGE] * 2)

    def test_modified_by_another_flow(self) -> None:
        tag = self.bench.tag("red", flow=self.flow)
        self.flow.close()
        self.bench.publish("blue", tag)
        self.assertEqual((self.stale(), self.colours()), ([False], ["BLUE"]))

    def test_removed_and_expired_all_the_same(self) -> None:
        tag = self.bench.tag("red", flow=self.flow, Expires="90")
        self.bench.publish("blue", flow=self.flow, Expires="60")
        self.flow.close()
        self.host.advance(60.1)
        self.assertEqual(self.colours(), ["RED"])
        self.bench.publish("", tag, Expires="0")
        self.assertEqual((self.colours(), len(self.host.wheel)), ([], 0))

    def test_closed_before_it_was_kept(self) -> None:
        """While the package was asked, for instance."""
        self.flow.close()
        self.bench.publish("red", flow=self.flow)
        self.assertEqual(self.stale(), [True])

    def test_over_udp_nothing_closes(self) -> None:
        flow = Flow()
        self.bench.publish("red", flow=flow)
        self.assertIs(self.table.of(COLOUR, ALICE)[0].flow, flow)
        self.assertEqual((flow.watching, self.stale()), ([], [False]))

    def test_by_a_proxy(self) -> None:
        """Its connection to us says nothing of the publisher."""
        via = "SIP/2.0/TCP p.test;branch=z9hG4bKp, SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKx"
        self.bench.publish("red", flow=self.flow, Via=via)
        self.flow.close()
        self.assertEqual((self.stale(), self.bench.changes), ([False], [CHANGE]))
