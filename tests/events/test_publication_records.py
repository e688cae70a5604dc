"""Publications outlive the server; where that is promised, they are safe before the 200."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.events.publication_records import ENDED, KIND, kept_record, read_record, restored
from sipproxy.interfaces.events import Publication
from sipproxy.sip.errors import SipError
from tests.events.publishing import COLOUR, SHAPE, Bench, Colours, Transaction
from tests.registrar.fakes import ALICE, Flow, KeptStore, SlowStore
from tests.rfc import rfc

BEFORE, AFTER = KeptStore(1_000_000.0), KeptStore(1_000_500.0)  # the same dates
WORDS = st.from_regex(r"\A[a-z]{1,8}\Z").filter(lambda word: word != "none")
publications = st.builds(
    Publication,
    tag=st.binary(),
    media_type=st.binary(),
    data=WORDS.map(str.encode),
    content=st.none(),
    expires_at=st.floats(0, 1e6, allow_nan=False),
    order=st.integers(0, 2**60),
    flow=st.none() | st.just(Flow()),
)


class Flows:
    """Knows one flow again: that over UDP."""

    flow = Flow()

    def lasting_name(self, flow: Any) -> bytes:
        """Return the name of a flow that has one."""
        return b"" if flow.reliable else b"udp"

    def find_again(self, name: bytes) -> Any:
        """Return the flow."""
        return self.flow if name == b"udp" else None


def read(value: Any) -> list[Publication]:
    """Return the publications of a record."""
    package = Colours(COLOUR, set())
    return [restored(one, ALICE, package, AFTER, Flows()) for one in read_record(value)]


class RecordTests(SynchronousTestCase):
    """What is written is read, and checked."""

    def through(self, *given: Publication) -> list[Publication]:
        """Write and read."""
        package = Colours(COLOUR, set())
        data = msgspec.msgpack.encode(kept_record(given, package, BEFORE, Flows()))
        return read(msgspec.msgpack.decode(data))

    @given(st.lists(publications, max_size=4))
    def test_all_that_a_publication_is(self, given: list[Publication]) -> None:
        for one, again in zip(given, self.through(*given), strict=True):
            same = ("tag", "media_type", "data", "order")
            self.assertEqual([getattr(one, n) for n in same], [getattr(again, n) for n in same])
            self.assertEqual(again.content, one.data.decode().upper())
            self.assertEqual(again.flow, one.flow and Flows.flow)
            ends = BEFORE.date(one.expires_at), AFTER.date(again.expires_at)
            self.assertAlmostEqual(*ends, 3)

    def test_every_slot_is_thought_of(self) -> None:
        told = "content data expires_at flow media_type order tag"
        self.assertEqual(sorted(Publication.__slots__), told.split())

    def test_the_encoding_is_stable(self) -> None:
        """A file of yesterday is read tomorrow: change this by adding what has a default."""
        kept = [b"t", b"text/colour", b"red", 1_000_600.0, 7, b"", None]
        (one,) = read([1, [kept]])
        self.assertEqual((one.content, one.expires_at, one.flow), ("RED", 100.0, ENDED))
        self.assertTrue(one.is_stale)

    def test_what_cannot_be_read_is_a_value_error(self) -> None:
        good = [b"t", b"text/colour", b"red", 1_000_600.0, 7, None, None]
        for value in (
            None,
            [],
            [2, [good]],
            [1, [good[:-2]]],
            [1, [[*good[:3], float("inf"), *good[4:]]]],
            [1, [[*good[:2], b"none", *good[3:]]]],  # what the package refuses
        ):
            self.assertRaises(ValueError, read, value)


class SurvivalTests(SynchronousTestCase):
    """A table, and the one after it."""

    def setUp(self) -> None:
        self.bench = Bench()

    def restart(self, seconds: float = 0.0) -> None:
        """Begin another server with the same store and clock."""
        before, self.bench = self.bench, Bench(self.bench.host.store)
        self.bench.host.clock.advance(before.host.now() + seconds)
        self.bench.table.startService()

    def test_they_are_there(self) -> None:
        self.bench.publish("red", Expires="600")
        self.bench.publish("blue", Expires="300", Event="shape")
        self.restart(100)
        self.assertEqual(self.bench.state(), [("RED", 500)])
        self.assertEqual(self.bench.state(SHAPE), [("BLUE", 200)])

    @rfc(3903, "6", "an entity-tag of before a restart means what it meant")
    def test_tags(self) -> None:
        first = self.bench.tag("red")
        second = self.bench.tag("green", first)
        self.restart()
        self.assertEqual(self.bench.refused("blue", first).status, 412)
        third = self.bench.tag("", second)
        self.restart()
        self.bench.tag("blue", third)
        self.assertEqual([content for content, _ in self.bench.state()], ["BLUE"])

    def test_what_was_removed(self) -> None:
        self.bench.publish("", self.bench.tag("red"), Expires="0")
        self.restart()
        self.assertEqual((self.bench.state(), len(self.bench.table)), ([], 0))

    def test_what_expires_meanwhile_expires_once(self) -> None:
        self.bench.publish("red", Expires="60")
        self.bench.publish("blue", Expires="600")
        self.restart(120)
        self.assertEqual(self.bench.state(), [("BLUE", 480)])
        self.bench.host.advance(1)
        self.assertEqual(self.bench.changes, [(COLOUR, ALICE)])
        self.restart()
        self.bench.host.advance(1)
        self.assertEqual(self.bench.changes, [])

    def test_what_expires_while_it_runs(self) -> None:
        self.bench.publish("red", Expires="60")
        self.bench.host.advance(61)
        self.assertEqual(list(self.bench.host.store.load(KIND)), [])

    def test_a_connection_has_ended(self) -> None:
        """What came by it is stale until it is refreshed."""
        tag = self.bench.tag("red", flow=Flow(reliable=True))
        self.restart()
        (one,) = self.bench.table.of(COLOUR, ALICE)
        self.assertTrue(one.is_stale)
        self.restart()
        (one,) = self.bench.table.of(COLOUR, ALICE)
        self.assertTrue(one.is_stale)
        self.bench.tag("", tag, flow=Flow(reliable=True))
        (one,) = self.bench.table.of(COLOUR, ALICE)
        self.assertFalse(one.is_stale)

    def test_order_goes_on(self) -> None:
        self.bench.publish("red")
        self.bench.publish("green")
        self.restart()
        self.bench.publish("blue")
        orders = [one.order for one in self.bench.table.of(COLOUR, ALICE)]
        self.assertEqual(orders, [1, 2, 3])

    def test_a_package_that_is_gone(self) -> None:
        self.bench.host.store.put(KIND, b"sound " + ALICE, [1, []])
        self.restart()
        self.assertEqual((len(self.bench.table), list(self.bench.host.store.load(KIND))), (0, []))

    def test_a_record_that_cannot_be_read(self) -> None:
        self.bench.publish("red")
        self.bench.host.store.put(KIND, b"shape " + ALICE, ["?"])
        self.restart()
        self.assertEqual(self.bench.state(), [("RED", 3600)])
        self.assertEqual(len(self.bench.table), 1)
        self.assertEqual(len(list(self.bench.host.store.load(KIND))), 1)

    def test_one_of_a_resource_is_refused(self) -> None:
        """Those before it are there, and written so."""
        self.bench.publish("red")
        store = self.bench.host.store
        ((key, record),) = store.load(KIND)
        bad = msgspec.structs.replace(record.publications[0], data=b"none")
        store.put(
            KIND, key, msgspec.structs.replace(record, publications=(*record.publications, bad))
        )
        self.restart()
        self.assertEqual([content for content, _ in self.bench.state()], ["RED"])
        ((_, record),) = self.bench.host.store.load(KIND)
        self.assertEqual(len(record.publications), 1)


class DurableTests(SynchronousTestCase):
    """``[store] durable = true``."""

    def setUp(self) -> None:
        self.store = SlowStore()
        self.bench = Bench(self.store)

    def status(self, transaction: Transaction) -> int | None:
        """Return the status of the answer, None where there is none yet."""
        answers: list[Any] = transaction.responses
        return answers[0].status if answers else None

    def send(self, body: str, tag: str = "", **headers: str) -> Transaction:
        """Send a PUBLISH."""
        return self.bench.start(self.bench.request(body, tag, **headers))

    @rfc(3903, "6", "a publication counts when it is committed, and not if that fails")
    def test_answered_when_it_is_safe(self) -> None:
        sent = self.send("red")
        self.assertEqual(
            (self.status(sent), self.bench.state(), self.bench.changes), (None, [], [])
        )
        self.store.settle()
        self.assertEqual((self.status(sent), self.bench.state()), (200, [("RED", 3600)]))
        self.assertEqual(self.bench.changes, [(COLOUR, ALICE)])

    def test_a_disk_that_is_full(self) -> None:
        sent = self.send("red")
        self.store.fail()
        self.assertEqual((self.status(sent), self.bench.state(), self.bench.changes), (500, [], []))
        self.assertEqual(list(self.store.load(KIND)), [])

    def test_the_tag_before_it_holds_where_it_fails(self) -> None:
        self.send("red")
        self.store.settle()
        (known,) = self.bench.table.of(COLOUR, ALICE)
        for body, headers in (("blue", {}), ("", {}), ("", {"Expires": "0"})):
            sent = self.send(body, known.tag.decode(), **headers)
            self.store.fail()
            self.assertEqual(self.status(sent), 500)
            self.assertEqual(self.bench.table.of(COLOUR, ALICE), (known,))
            ((_, record),) = self.store.load(KIND)
            self.assertEqual([one.tag for one in record.publications], [known.tag])

    def test_one_after_the_other(self) -> None:
        """The second one's tag was used up by the first."""
        self.send("red")
        self.store.settle()
        (known,) = self.bench.table.of(COLOUR, ALICE)
        first, second = (self.send(word, known.tag.decode()) for word in ("green", "blue"))
        self.assertEqual((self.status(first), self.status(second)), (None, None))
        self.store.settle()
        self.assertEqual((self.status(first), self.status(second)), (200, 412))

    def test_another_expires_meanwhile(self) -> None:
        self.send("red", Expires="60")
        self.store.settle()
        sent = self.send("blue")
        self.bench.host.advance(61)
        self.store.settle()
        self.assertEqual(self.status(sent), 200)
        self.bench.host.advance(1)
        self.assertEqual([content for content, _ in self.bench.state()], ["BLUE"])
        ((_, record),) = self.store.load(KIND)
        self.assertEqual([one.data for one in record.publications], [b"blue"])

    def test_removing_nothing_waits_for_nothing(self) -> None:
        self.assertEqual(self.status(self.send("red", Expires="0")), 200)

    def test_a_refusal_waits_for_nothing(self) -> None:
        self.assertRaises(SipError, self.send, "none")
        self.assertEqual(self.store.promises, [])
