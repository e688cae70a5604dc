"""Every torture message as a datagram: who is answered what, and what is forwarded."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.shared import needs_shared
from tests.torture.messages import as_message, differences, octets
from tests.torture.table import CALL, DROP, FORWARD, ROWS
from tests.torture.worlds import FOREVER, LINGER, SOURCE, World, foreign, ours, outbound


@needs_shared("torture", "manifest.json")
class DatagramTests(SynchronousTestCase):
    """The table's columns but for streams."""

    def setUp(self) -> None:
        self.directory = self.mktemp()

    def column(self, column: str, make: Callable[[str, bytes], World]) -> None:
        """Send the message of each row that has something in a column to a world of its own."""
        for name, row in ROWS.items():
            wanted: str = getattr(row, column)
            if wanted:
                data = as_message(octets(name)) if column == "message" else octets(name)
                self.check(f"{name} ({row.section}), {column}", data, wanted, make)

    def test_nothing_is_kept_of_what_is_no_message(self) -> None:
        """RFC 3261 §8.2.7: the answer to what cannot be read is stateless."""
        for name, row in ROWS.items():
            is_unreadable = row.ours == row.foreign and not row.message
            if is_unreadable and row.ours in ("400", "505", DROP):
                world = ours(self.directory, octets(name))
                world.sender.send(octets(name))
                self.assertEqual(len(world.server.node.layer), 0, name)

    def check(
        self, case: str, data: bytes, wanted: str, make: Callable[[str, bytes], World]
    ) -> None:
        world = make(self.directory, data)
        before = world.state()
        world.sender.send(data)
        self.assertEqual(world.outcome(), wanted, case)
        if wanted in (FORWARD, CALL):
            self.assertEqual(differences(data, world.forwarded[0], SOURCE.encode()), [], case)
        if wanted != "200":
            self.assertEqual(world.state(), before, case)
        world.server.advance(FOREVER if wanted == CALL else LINGER)
        self.assertEqual(len(world.server.node.layer), 0, f"{case}: a transaction stays")

    def test_to_our_users(self) -> None:
        self.column("ours", ours)

    def test_to_our_users_with_authentication(self) -> None:
        def secured(directory: str, data: bytes) -> World:
            return ours(directory, data, required=True)

        self.column("secured", secured)

    def test_between_others(self) -> None:
        self.column("foreign", foreign)

    def test_as_message(self) -> None:
        """What is forwarded as INVITE is so as MESSAGE."""
        self.column("message", ours)

    def test_to_elsewhere(self) -> None:
        self.column("outbound", outbound)
