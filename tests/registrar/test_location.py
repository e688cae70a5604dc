"""The location table: expiry, connections that close, and who is told."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from sipproxy.interfaces import ILocation
from sipproxy.registrar.binding import Binding
from sipproxy.sip.headers import parse_name_addr
from tests.registrar.fakes import ALICE, Flow, Host
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

BOB = b"bob@example.test"


class LocationTest(TableCase):
    """A table, with a watcher that notes who has changed."""

    def setUp(self) -> None:
        self.host = Host()
        self.table = self.host.location
        self.changed: list[bytes] = []
        self.table.watch(self.changed.append)

    def binding(
        self, host: str, seconds: float = 100, flow: Flow | None = None, q: float = 1.0
    ) -> Binding:
        contact = parse_name_addr(f"<sip:x@{host}>".encode())
        return Binding(contact, b"", q, self.host.now() + seconds, b"1", 1, (), flow)

    def taken(self) -> list[bytes]:
        """Return who has changed since this was asked last."""
        changed = self.changed[:]
        self.changed.clear()
        return changed

    def test_interface(self) -> None:
        verifyObject(ILocation, self.table)

    def test_empty(self) -> None:
        self.assertEqual(list(self.table.bindings(ALICE)), [])
        self.table.commit(ALICE, [])
        self.assertEqual((len(self.table), self.taken()), (0, []))

    def test_commit(self) -> None:
        first, second = self.binding("a.test"), self.binding("b.test")
        self.table.commit(ALICE, [first])
        self.table.commit(BOB, [second])
        self.assertEqual(list(self.table.bindings(ALICE)), [first])
        self.table.commit(ALICE, [second, first])
        self.assertEqual(list(self.table.bindings(ALICE)), [second, first])
        self.assertEqual(set(self.table.aors()), {ALICE, BOB})
        self.table.commit(ALICE, [])
        self.assertEqual(set(self.table.aors()), {BOB})
        self.assertEqual(self.taken(), [ALICE, BOB, ALICE, ALICE])

    def test_best_q_first(self) -> None:
        """Among equals the order is kept."""
        given = [self.binding(f"{n}.test", q=q) for n, q in enumerate((0.5, 1.0, 0.1, 0.5))]
        self.table.commit(ALICE, given)
        found = [b.contact.raw_uri[6:7] for b in self.table.bindings(ALICE)]
        self.assertEqual(found, [b"1", b"0", b"3", b"2"])

    def test_expiry(self) -> None:
        self.table.commit(ALICE, [self.binding("a.test", 10), self.binding("b.test", 20)])
        self.taken()
        self.host.advance(9.8)
        self.assertEqual((len(self.table.bindings(ALICE)), self.taken()), (2, []))
        self.host.advance(0.5)
        self.assertEqual((len(self.table.bindings(ALICE)), self.taken()), (1, [ALICE]))
        self.host.advance(10)
        self.assertEqual((len(self.table), self.taken()), (0, [ALICE]))

    def test_expired_before_the_tick(self) -> None:
        """What has expired is not given, though nobody has been told yet."""
        self.table.commit(ALICE, [self.binding("a.test", 10), self.binding("b.test", 20)])
        self.taken()
        self.host.clock.rightNow += 10  # no tick yet
        self.assertEqual((len(self.table.bindings(ALICE)), self.taken()), (1, []))

    def test_refreshed(self) -> None:
        """The appointment of a binding that was refreshed is of no account."""
        self.table.commit(ALICE, [self.binding("a.test", 10)])
        self.host.advance(5)
        self.table.commit(ALICE, [self.binding("a.test", 10)])
        self.taken()
        self.host.advance(9)
        self.assertEqual((len(self.table.bindings(ALICE)), self.taken()), (1, []))
        self.host.advance(1.5)
        self.assertEqual((len(self.table), self.taken()), (0, [ALICE]))

    @rfc(5626, "7", "a binding ends with its connection")
    def test_flow_closes(self) -> None:
        """RFC 5626 §7: what was reached by a connection goes with it, at once."""
        flow, other = Flow(True), Flow(True)
        kept = self.binding("c.test", flow=other)
        self.table.commit(ALICE, [self.binding("a.test", flow=flow), kept])
        self.table.commit(BOB, [self.binding("b.test", flow=flow)])
        self.taken()
        flow.close()
        self.assertEqual(list(self.table.bindings(ALICE)), [kept])
        self.assertEqual(list(self.table.aors()), [ALICE])
        self.assertEqual(self.taken(), [ALICE, BOB])

    def test_a_flow_is_watched_while_a_binding_needs_it(self) -> None:
        flow, datagrams = Flow(True), Flow(False)
        both = [self.binding("a.test", flow=flow), self.binding("b.test", flow=flow)]
        self.table.commit(ALICE, [*both, self.binding("c.test", flow=datagrams)])
        self.assertEqual((len(flow.watching), datagrams.watching), (1, []))
        self.table.commit(ALICE, both[:1])
        self.assertEqual(len(flow.watching), 1)
        self.table.commit(ALICE, [])
        self.assertEqual(flow.watching, [])

    @rows({"taken out": False, "its connection closes": True})
    def test_nothing_holds_what_is_gone(self, closes: bool) -> None:
        """The wheel lets go of it at once."""
        held, flow = len(self.host.wheel), Flow(True)
        self.table.commit(ALICE, [self.binding("a.test", flow=flow)])
        self.assertEqual(len(self.host.wheel), held + 1)
        if closes:
            flow.close()
        else:
            self.table.commit(ALICE, [])
        self.assertEqual(len(self.host.wheel), held)

    def test_expiry_lets_go_of_the_flow(self) -> None:
        flow = Flow(True)
        self.table.commit(ALICE, [self.binding("a.test", 10, flow)])
        self.host.advance(10.5)
        self.assertEqual(flow.watching, [])
