"""Every torture message as SUBSCRIBE and as PUBLISH: answered in its class, and never kept."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.shared import needs_shared
from tests.torture.messages import octets, with_method
from tests.torture.table import DROP, FORWARD, ROWS, Row
from tests.torture.worlds import FOREVER, LINGER, World, ours

PACKAGES = '[events]\npackages = ["presence", "reg"]\n[presence]\nunknown_watchers = "allow"\n'
METHODS = (b"SUBSCRIBE", b"PUBLISH")
EVENT = b"Event: presence"
# Whatever says how long a body is, and which one is wanted.
UNWANTED = re.compile(rb"(?im)^(?:Content-Length|l|Accept)\s*:[^\n]*\n").sub
# What is no fault of the message: it is for a device, lacks an Event, is for nobody, or for
# somebody else; or has a body, or wants one, that is none of presence's.
LACKING = (FORWARD, "489", "404", "403", "400")
UNFIT = (FORWARD, "404", "403", "400", "406", "415")


def is_refused(row: Row) -> bool:
    """Tell whether nobody may act on a message, whatever its method is."""
    return row.ours == row.foreign and row.ours != FORWARD


@needs_shared("torture", "manifest.json")
class WatchingTests(SynchronousTestCase):
    """The messages of RFC 4475 and RFC 5118, to a server with event packages."""

    def setUp(self) -> None:
        self.directory = self.mktemp()

    def world(self, data: bytes) -> World:
        """Return a world where every Request-URI is ours."""
        return ours(self.directory, data, more=PACKAGES)

    def check(self, unfit: tuple[str, ...], *lines: bytes) -> None:
        """Send each, with more lines, and see it answered and forgotten."""
        for name, row in ROWS.items():
            for method in METHODS:
                data = with_method(octets(name), method, *lines)
                case = f"{name} ({row.section}) as {method.decode()}"
                world = self.world(data)
                before, held = world.state(), len(world.server.node.wheel)
                world.sender.send(data)
                wanted = (row.ours,) if is_refused(row) else unfit
                self.assertIn(world.outcome(), wanted, case)
                self.assertEqual(world.state(), before, case)
                self.check_nothing_stays(world, case)
                self.assertLessEqual(len(world.server.node.wheel), held, case)

    def check_nothing_stays(self, world: World, case: str) -> None:
        node = world.server.node
        self.assertEqual(len(node.publications), 0, case)
        self.assertEqual(len(node.notifier), 0, case)
        self.assertEqual(len(node.notifier.census), 0, case)
        world.server.advance(LINGER)
        self.assertEqual(len(node.layer), 0, case)

    def test_as_they_are(self) -> None:
        """What nobody may act on is refused as ever; all else lacks Event (RFC 6665 §7.2.1)."""
        self.check(LACKING)

    def test_with_an_event(self) -> None:
        self.check(UNFIT, EVENT, b"Expires: 600")

    def test_that_can_be_taken(self) -> None:
        """With a Contact, and no body: those to users are, and go when nobody answers."""
        taken = 0
        for name, row in ROWS.items():
            data = octets(name).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            data = with_method(data, b"SUBSCRIBE", EVENT, b"Expires: 600")
            data = UNWANTED(b"", data).replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
            world = self.world(data)
            world.sender.send(data)
            outcome = world.outcome().split()[0]
            if is_refused(row) and outcome != "200":
                self.assertIn(outcome, ("400", "416", "420", "505", DROP), name)
            taken += outcome == "200"
            world.server.advance(FOREVER)
            self.check_nothing_stays(world, name)
        self.assertGreater(taken, 5)
