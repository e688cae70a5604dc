"""Bad input leaves nothing that only the cycle collector could free, for it hardly ever runs."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from tests.shared import needs_shared
from tests.torture.agents import Agent
from tests.torture.bad import CASES
from tests.torture.bodies import document, publications, subscriptions
from tests.torture.connection import Connection
from tests.torture.messages import octets
from tests.torture.table import ROWS
from tests.torture.worlds import FOREVER, World


@needs_shared("torture", "manifest.json")
class CycleTests(SynchronousTestCase):
    """Every torture message and every bad one to a server, with the collector off."""

    def setUp(self) -> None:
        self.server = World(self.mktemp(), ["example.com", "example.test"]).server
        self.messages = [octets(name) for name in ROWS]
        self.messages += [data for cases in CASES.values() for _, data, _ in cases()]

    def collected(self) -> int:
        """Send all of them, and return how many objects had to be collected."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.send_all()
        self.server.advance(FOREVER)
        return gc.collect()

    def send_all(self) -> None:
        raise NotImplementedError


class DatagramTests(CycleTests):
    """Over UDP."""

    def send_all(self) -> None:
        flow = self.server.client("192.0.2.66").flow
        for data in self.messages:
            self.server.deliver(data, flow)
            flow.sent.clear()

    def test_no_cycles(self) -> None:
        self.assertEqual(self.collected(), 0)


class StreamTests(CycleTests):
    """Over TCP, each on a connection of its own."""

    def send_all(self) -> None:
        for data in self.messages:
            connection = Connection(self.server)
            connection.write(data)
            connection.flow.close()
            connection.flow.connectionLost()

    def test_no_cycles(self) -> None:
        self.assertEqual(self.collected(), 0)


class AgentTests(CycleTests):
    """Subscriptions and publications: refused, answered, silent, expired."""

    def send_all(self) -> None:
        self.server = self.agent.server
        for _, body, _ in publications():
            self.agent.publish(body)
        for _, body, _ in subscriptions():
            self.agent.subscribe(body)
        for status in (200, 481, 500, 0):
            self.agent.publish(document(f"<note>{status}</note>"))
            for event in ("presence", "presence.winfo", "reg"):
                self.agent.subscribe(Event=event, From="<sip:alice@example.test>;tag=a")
                if status:
                    self.agent.answer(status)
        self.agent.client.clear()
        self.server.advance(600)
        self.agent.client.clear()

    def test_no_cycles(self) -> None:
        self.agent = Agent(self.mktemp())
        self.send_all()  # what is made once may be thrown away once
        self.assertEqual(self.collected(), 0)
