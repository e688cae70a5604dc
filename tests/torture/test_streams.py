"""Every torture message over TCP: cut out of the stream, or not (RFC 3261 §18.3)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.shared import needs_shared
from tests.torture.connection import Connection
from tests.torture.messages import differences, octets
from tests.torture.table import CALL, CLOSE, DROP, FORWARD, ROWS, WAIT
from tests.torture.worlds import FOREVER, SOURCE, ours


@needs_shared("torture", "manifest.json")
class StreamTests(SynchronousTestCase):
    """The table's column for streams."""

    def setUp(self) -> None:
        self.directory = self.mktemp()

    def check(self, name: str, wanted: str, piece: int) -> None:
        """Write a message in pieces, and see it end as it has to."""
        data = octets(name)
        world = ours(self.directory, data)
        before = world.state()
        connection = Connection(world.server)
        connection.write(data, piece)
        self.assertEqual(connection.outcome(world), wanted, name)
        if wanted == FORWARD:
            self.assertEqual(differences(data, world.forwarded[0], SOURCE.encode()), [], name)
        if "200" not in wanted:
            self.assertEqual(world.state(), before, name)
        world.server.advance(FOREVER)
        self.assertEqual(len(world.server.node.layer), 0, name)

    def column(self, piece: int) -> None:
        for name, row in ROWS.items():
            wanted = row.stream or row.ours
            self.check(name, "" if wanted == DROP else wanted, piece)

    def test_by_the_segment(self) -> None:
        self.column(1460)

    def test_by_the_octet(self) -> None:
        self.column(1)

    def test_what_does_not_get_whole_ends_the_connection(self) -> None:
        """§3.1.2.2 and §3.1.2.15: nothing is answered, and after a time it is over."""
        for name in (name for name, row in ROWS.items() if row.stream.endswith(WAIT)):
            world = ours(self.directory, octets(name))
            connection = Connection(world.server)
            connection.write(octets(name))
            world.server.advance(world.server.node.settings.limits.partial - 1)
            self.assertFalse(connection.is_closed, name)
            world.server.advance(2)
            self.assertTrue(connection.is_closed, name)

    def test_nothing_is_read_behind_a_fault(self) -> None:
        """What follows could be anything."""
        good = octets("rfc4475/lwsdisp")
        for name in (name for name, row in ROWS.items() if row.stream == f"400 {CLOSE}"):
            world = ours(self.directory, good)
            connection = Connection(world.server)
            connection.write(octets(name) + good)
            connection.flow.dataReceived(good)
            self.assertEqual(connection.outcome(world), f"400 {CLOSE}", name)

    def test_display_names(self) -> None:
        """§3.1.2.15 with the end of head that it lacks: they are seen, and refused."""
        data = octets("rfc4475/baddn") + b"\r\n"
        world = ours(self.directory, data)
        connection = Connection(world.server)
        connection.write(data)
        self.assertEqual(connection.outcome(world), "400")

    def test_the_missing_body_comes_later(self) -> None:
        """§3.1.2.2: it belongs to that message, whatever it says."""
        data = octets("rfc4475/clerr")
        world = ours(self.directory, data)
        connection = Connection(world.server)
        connection.write(data)
        lacking = 9999 - len(data.partition(b"\r\n\r\n")[2])
        good = octets("rfc4475/lwsdisp")
        connection.write(good.ljust(lacking, b"x"))
        self.assertEqual(connection.outcome(world), "480")  # who it is for has no binding

    def test_all_on_one_connection(self) -> None:
        """Whatever leaves the framing in order, one behind the other."""
        names = [name for name, row in ROWS.items() if not row.stream or row.stream == CALL]
        world = ours(self.directory, b"")
        connection = Connection(world.server)
        for name in names:
            connection.write(octets(name))
        self.assertFalse(connection.is_closed)
        self.assertFalse(connection.is_waiting)
        good = octets("rfc4475/regaut01")
        connection.write(good.replace(b"CSeq: 9338", b"CSeq: 9339"))
        self.assertIn(b"CSeq: 9339 REGISTER", connection.answers[-1])
        self.assertEqual(connection.answers[-1][:11], b"SIP/2.0 200")

    def test_nothing_is_kept_of_a_connection_that_ended(self) -> None:
        """Whoever still refers to it keeps nothing of what it had read."""
        data = octets("rfc4475/clerr")
        connection = Connection(ours(self.directory, data).server)
        connection.write(data)
        self.assertTrue(connection.is_waiting)
        connection.flow.connectionLost()
        self.assertFalse(connection.is_waiting)
