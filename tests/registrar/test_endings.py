"""What made a binding, and why a contact is bound no more (RFC 3680 §4.7.1)."""

from __future__ import annotations

from collections.abc import Callable

from sipproxy.interfaces import REJECTED, Ending
from sipproxy.registrar.binding import Binding
from tests.registrar.fakes import ALICE, Bench, Flow
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

PHONE, DESK = "sip:alice@192.0.2.1", "sip:alice@192.0.2.2"
ONE = '+sip.instance="<urn:x:1>"'


class EndingsCase(TableCase):
    """A registrar, and what was heard of the ends of contacts."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.location = self.bench.host.location
        self.ended: list[tuple[str, str]] = []
        self.location.listen(self.hear)

    def hear(self, aor: bytes, binding: Binding, ending: Ending) -> None:
        """Note an end; whoever hears of it finds the bindings as they are now."""
        self.assertEqual(aor, ALICE)
        self.assertNotIn(binding, self.location.bindings(aor))
        self.ended.append((binding.contact.raw_uri.decode(), ending.event.decode()))

    def flow(self, uri: str, flow: Flow, reg_id: int = 1) -> None:
        """Register a flow (RFC 5626 §4.2)."""
        contact = f"<{uri}>;{ONE};reg-id={reg_id}"
        self.bench.register(contact, flow=flow, Supported="outbound, path")


class EndingTest(EndingsCase):
    """Each cause has its event."""

    def unregister(self) -> None:
        """The client takes it back (§4.7.1: expiration zero)."""
        self.bench.register(f"<{PHONE}>;expires=0")

    def unregister_all(self) -> None:
        """The client takes all back (RFC 3261 §10.2.2)."""
        self.bench.register("*", Expires="0")

    def expire(self) -> None:
        """Nothing is heard of it."""
        self.bench.host.advance(61)

    def expire_unseen(self) -> None:
        """It has expired before the tick, and another contact is registered."""
        self.bench.host.clock.rightNow += 60
        self.bench.register(f"<{DESK}>")

    def administrator(self) -> None:
        """An operator removes it."""
        self.location.commit(ALICE, [], REJECTED)

    def close(self) -> None:
        """Its connection closes."""
        self.stream.close()

    @rfc(3680, "4.7.1", "a contact that is bound no more has ended by the event of its cause")
    @rows(
        {
            "Expires 0": (unregister, "unregistered"),
            "all of them": (unregister_all, "unregistered"),
            "not refreshed": (expire, "expired"),
            "not refreshed, and the next REGISTER is first to see": (expire_unseen, "expired"),
            "removed": (administrator, "rejected"),
            "its connection is lost": (close, "deactivated"),
        }
    )
    def test_cause(self, act: Callable[[EndingTest], None], event: str) -> None:
        self.stream = Flow(reliable=True)
        self.bench.register(f"<{PHONE}>;expires=60", flow=self.stream)
        act(self)
        self.assertEqual(self.ended, [(PHONE, event)])

    def test_a_flow_that_falls_silent(self) -> None:
        """RFC 5626 §5.4: it is dead before its time, and may register anew."""
        self.flow(PHONE, Flow())
        self.bench.host.advance(151)
        self.assertEqual(self.ended, [(PHONE, "deactivated")])

    def test_a_flow_with_another_contact(self) -> None:
        """RFC 5626 §6: the one replaces the other, and their URIs differ."""
        self.flow(PHONE, Flow())
        self.flow(DESK, Flow())
        self.assertEqual(self.ended, [(PHONE, "unregistered")])

    def test_a_refresh_is_no_end(self) -> None:
        self.flow(PHONE, Flow())
        self.flow(PHONE, Flow(), reg_id=2)
        for _ in range(2):
            self.bench.register(f"<{DESK}>")
            self.flow(PHONE, Flow())
        self.assertEqual(self.ended, [])

    def test_nobody_else_goes(self) -> None:
        self.bench.register(f"<{PHONE}>;expires=60", f"<{DESK}>;expires=90")
        self.bench.host.advance(61)
        self.bench.host.advance(30)
        self.assertEqual(self.ended, [(PHONE, "expired"), (DESK, "expired")])


class EventTest(EndingsCase):
    """What a binding says of itself."""

    def told(self) -> list[tuple[str, int]]:
        """Return the event of each binding, and since when its contact is bound."""
        bindings = self.location.bindings(ALICE)
        return [(binding.event.decode(), round(binding.life.since)) for binding in bindings]

    @rfc(3680, "4.7.1", "a contact is registered, and then refreshed")
    def test_refreshed(self) -> None:
        self.bench.host.advance(5)
        self.bench.register(f"<{PHONE}>")
        self.assertEqual(self.told(), [("registered", 5)])
        self.bench.host.advance(5)
        self.bench.register(f"<{PHONE};x=1>")
        self.assertEqual(self.told(), [("refreshed", 5)])

    def test_named_twice_in_one_request(self) -> None:
        self.bench.register(f"<{PHONE}>", f"<{PHONE}>;q=0.1")
        self.assertEqual(self.told(), [("registered", 0)])

    def test_registered_again(self) -> None:
        self.bench.register(f"<{PHONE}>")
        self.bench.host.advance(5)
        self.bench.register(f"<{PHONE}>;expires=0")
        self.bench.register(f"<{PHONE}>")
        self.assertEqual(self.told(), [("registered", 5)])

    def test_the_first_uri_stays_known(self) -> None:
        """Contacts that are equal are one, however they are written (RFC 3261 §19.1.4)."""
        self.bench.register(f"<{PHONE}>")
        self.bench.register(f"<{PHONE};x=1>")
        (binding,) = self.location.bindings(ALICE)
        self.assertEqual(binding.life.uri, PHONE.encode())

    def test_another_flow_of_its_instance_leaves_it_what_it_was(self) -> None:
        self.flow(PHONE, Flow())
        self.flow(PHONE, Flow(), reg_id=2)
        self.flow(PHONE, Flow(), reg_id=2)
        self.assertEqual([event for event, _ in self.told()], ["registered", "refreshed"])

    @rfc(3680, "4.7.1", "what an administrator shortens stays bound, by the event shortened")
    def test_shortened(self) -> None:
        self.bench.register(f"<{PHONE}>")
        (binding,) = self.location.bindings(ALICE)
        self.location.commit(ALICE, [binding.shortened(self.bench.host.now() + 10)])
        self.assertEqual((self.told(), self.bench.contacts()), ([("shortened", 0)], {PHONE: 10}))
        self.bench.host.advance(11)
        self.assertEqual(self.ended, [(PHONE, "expired")])


class FirstCseqTest(EndingsCase):
    """The REGISTER that the oldest valid temporary GRUU came of (RFC 5628 §5)."""

    def first_cseqs(self) -> list[int]:
        """Return it for each binding."""
        bindings = self.location.bindings(ALICE)
        return [b.instance.first_cseq for b in bindings if b.instance]

    @rfc(5628, "5", "first-cseq is the CSeq that the oldest valid temporary GRUU came of")
    def test_an_unbroken_row(self) -> None:
        self.bench.host.advance(7300)  # what was before the start is of no account now
        for _ in range(3):
            self.bench.register(f"<{PHONE}>;{ONE}", Call_ID="a")
        self.assertEqual(self.first_cseqs(), [1])
        self.bench.register(f"<{PHONE}>;{ONE}", Call_ID="b")
        self.bench.register(f"<{PHONE}>;{ONE}", Call_ID="b")
        self.assertEqual(self.first_cseqs(), [4])

    def test_all_contacts_of_an_instance_agree(self) -> None:
        self.bench.host.advance(7300)
        self.bench.register(f"<{PHONE}>;{ONE}", Call_ID="a")
        self.bench.register(f"<{DESK}>;{ONE}", Call_ID="b")
        self.assertEqual(self.first_cseqs(), [2, 2])

    def test_after_a_start(self) -> None:
        """Those of before may be valid, and nobody knows by which CSeq: none is to be dropped."""
        self.bench.register(f"<{PHONE}>;{ONE}", Call_ID="a")
        self.assertEqual(self.first_cseqs(), [0])
