"""Bad input, case by case: a 400-class answer or silence, and nothing that stays."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.torture.bad import CASES
from tests.torture.connection import Connection
from tests.torture.messages import parts
from tests.torture.table import CLOSE, DROP, FORWARD
from tests.torture.worlds import LINGER, PHONE, World, register


class Bad(SynchronousTestCase):
    """Makes the worlds."""

    def setUp(self) -> None:
        self.directory = self.mktemp()

    def world(self, required: bool = False) -> World:
        """Return a world where bob and alice are."""
        world = World(self.directory, ["example.test"], required)
        for user in (b"bob", b"alice"):
            register(world.server, user + b"@example.test", b"<sip:phone@%s>" % PHONE.encode())
        return world


class DatagramTests(Bad):
    """Each case as a datagram."""

    def check(self, case: str, data: bytes, allowed: str) -> None:
        world = self.world()
        before = world.state()
        world.sender.send(data)
        outcome = world.outcome()
        self.assertIn(outcome, allowed.split("|"), f"{case}: {data[:2000]!r}")
        if outcome != "200":
            self.assertEqual(world.state(), before, case)
        if outcome == FORWARD:
            self.assertEqual(parts(world.forwarded[0]).body, parts(data.lstrip()).body, case)
        if outcome != DROP and outcome != FORWARD:
            self.assertEqual(parts(world.sender.flow.sent[0]).start[:8], b"SIP/2.0 ", case)
        world.server.advance(LINGER)
        self.assertEqual(len(world.server.node.layer), 0, f"{case}: a transaction stays")

    def table(self, name: str) -> None:
        for case, data, allowed in CASES[name]():
            self.check(f"{name}: {case}", data, allowed)


class StreamTests(Bad):
    """Each case over TCP: what is refused as a datagram is refused, and the rest is no worse."""

    def table(self, name: str) -> None:
        for case, data, allowed in CASES[name]():
            world = self.world()
            before = world.state()
            connection = Connection(world.server)
            connection.write(data)
            words = connection.outcome(world).split()
            # The framing may refuse what a datagram's end makes up for.
            expected = {*allowed.split("|"), "400", "413", "513", CLOSE, "wait"} - {DROP}
            self.assertEqual(set(words) - expected, set(), f"{name}: {case}: {data[:2000]!r}")
            if "200" not in words:
                self.assertEqual(world.state(), before, case)
            world.server.advance(LINGER)
            self.assertEqual(len(world.server.node.layer), 0, f"{case}: a transaction stays")


def _add(cls: type[Bad], name: str) -> None:
    def test(self: DatagramTests | StreamTests) -> None:
        self.table(name)

    test.__name__ = "test_" + name.replace(" ", "_")
    setattr(cls, test.__name__, test)


for _name in CASES:
    _add(DatagramTests, _name)
    _add(StreamTests, _name)
