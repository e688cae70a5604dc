"""Who watches a registration is told after a restart what is new, and nothing else."""

from __future__ import annotations

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.message import Request
from sipproxy.testing import CONFIG, FakeServer
from tests.documents import assert_valid
from tests.events.fakes import Phone
from tests.reg.fakes import contacts
from tests.registrar.test_survival import register
from tests.rfc import rfc

TEXT = (
    CONFIG + '[auth]\nrequired = false\n[events]\npackages = ["reg"]\n[plugin.reg]\n'
    'notify_interval = 0.0\n[components]\nstore = "sqlite"\n'
)
DESK, MOBILE = "sip:alice@192.0.2.2", "sip:alice@192.0.2.3;transport=tcp"


class RegTests(SynchronousTestCase):
    """Alice has two phones, and watches them."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), TEXT)
        register(self.server.client("192.0.2.2"), f"<{DESK}>", user="alice")
        self.alice = Phone(self.server)

    def subscribe(self) -> None:
        """Subscribe, and answer the first NOTIFY."""
        self.assertEqual(self.alice.subscribe(600, "alice", Event="reg").status, 200)
        self.assertEqual(self.told(), [(0, "full", [(DESK, "active", "registered")])])
        self.server.advance(0.1)

    def restart(self, crashed: bool = False) -> None:
        """Begin another server."""
        self.server = self.server.restarted(crashed, 10)
        self.alice.client = self.server.client("192.0.2.1")
        self.alice.client.clear()
        self.server.advance(0.4)

    def told(self) -> list[tuple[int, str, list[tuple[str, str, str]]]]:
        """Return version, state and contacts of each document that came."""
        found = []
        for message in self.alice.received:
            if isinstance(message, Request):
                assert_valid(message.body)
                root = etree.fromstring(message.body)
                told = int(root.get("version", "")), root.get("state", ""), contacts(root)
                found.append(told)
        self.alice.take()
        return found

    def test_nothing_after_a_stop(self) -> None:
        self.subscribe()
        self.restart()
        self.assertEqual(self.told(), [])

    @rfc(3680, "5.1", "the version of a document is higher than any before, through a restart")
    def test_all_after_a_crash(self) -> None:
        self.subscribe()
        for last in (0, 1000):
            self.restart(crashed=True)
            ((version, state, shown),) = self.told()
            self.assertEqual((state, shown), ("full", [(DESK, "active", "registered")]))
            self.assertGreater(version, last)

    def test_a_contact_that_was_lost(self) -> None:
        """RFC 3680 §5.1: what is not in a full document is bound no more."""
        self.subscribe()
        mobile = self.server.client("192.0.2.3", 5060, "tcp")
        register(mobile, f"<{MOBILE}>", user="alice")
        self.assertEqual([len(shown) for _, _, shown in self.told()], [1])
        self.restart()
        ((_, state, shown),) = self.told()
        self.assertEqual((state, shown), ("full", [(DESK, "active", "registered")]))
        self.server.advance(10)
        self.assertEqual(self.told(), [])

    def test_the_next_change(self) -> None:
        self.subscribe()
        self.restart()
        register(self.server.client("192.0.2.2"), f"<{DESK}>", 2, "alice")
        ((version, state, shown),) = self.told()
        self.assertEqual((state, shown), ("full", [(DESK, "active", "refreshed")]))
        self.assertGreater(version, 0)
        register(self.server.client("192.0.2.2"), f"<{DESK}>", 3, "alice")
        self.assertEqual([told[:2] for told in self.told()], [(version + 1, "partial")])
