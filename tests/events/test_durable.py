"""``[store] durable = true``: a SUBSCRIBE counts, and is answered, when it is on disk."""

from __future__ import annotations

import inspect
from typing import Any

from zope.interface import alsoProvides

from sipproxy.events.dialog import Dialog
from sipproxy.events.subscription_records import KIND, _Dialog, _Watcher
from sipproxy.interfaces.events import CONFIRM, IKeepsStates, Verdict, Watcher
from sipproxy.sip.message import Response
from sipproxy.testing import FakeServer
from tests.events.fakes import NEWS, News, NewsFactory, Phone
from tests.installed import install_also
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows
from tests.store.test_stores import Thread

ALICE, BOB = b"alice@example.test", b"bob@example.test"
DURABLE = NEWS + '[components]\nstore = "sqlite"\n[store]\ndurable = true\n'


class DurableCase(TableCase):
    """A server whose disk takes its time, and a phone."""

    def setUp(self) -> None:
        factory = NewsFactory()
        install_also(self, [factory])
        self.server = FakeServer(self.mktemp(), DURABLE)
        self.news: News = factory.built
        self.store: Any = self.server.node.store
        self.disk = self.store.worker = Thread()
        self.notifier = self.server.node.notifier
        self.alice = Phone(self.server)

    def send(self, expires: int = 600, **headers: str) -> None:
        """Send a SUBSCRIBE of alice's, in the dialog where there is one."""
        self.alice.contact = self.alice.contact or "sip:bob@example.test"
        self.alice.client.clear()
        self.alice.client.send(self.alice.request(expires, **headers))

    def settle(self) -> None:
        """Let the disk do its work, and whatever comes of it."""
        self.server.clock.advance(0.01)
        while self.disk.work:
            self.disk.run()
        self.server.clock.advance(0)

    def fill_the_disk(self) -> None:
        """Have the disk refuse what it is given."""
        pages = self.store._database.execute("PRAGMA page_count").fetchone()[0]
        self.store._database.execute(f"PRAGMA max_page_count = {pages}")
        row = "INSERT INTO state VALUES ('filler', randomblob(16), zeroblob(1000))"
        for _ in range(100):
            try:
                self.store._database.execute(row)
            except Exception:
                return
        raise AssertionError("there is room still")

    def make_room(self) -> None:
        """Undo that, and let what was kept be written."""
        self.store._database.execute("PRAGMA max_page_count = 1073741823")
        self.server.clock.advance(1.0)
        self.settle()

    def answers(self) -> list[int]:
        """Return the statuses that came, and take the dialog of a 200."""
        responses = [m for m in self.alice.received if isinstance(m, Response)]
        for response in responses:
            if response.status == 200:
                self.alice.tag = (response.to.tag or b"").decode()
                self.alice.contact = response.addresses(b"contact")[0].raw_uri.decode()
        return [response.status for response in responses]

    def subscribed(self, expires: int = 600) -> None:
        """Subscribe."""
        self.send(expires)
        self.settle()
        self.assertEqual(self.answers(), [200])
        self.alice.take()
        self.settle()

    @property
    def kept(self) -> int:
        """How many subscriptions are on disk."""
        return len(self.store.load(KIND))


class NewTest(DurableCase):
    """A new subscription."""

    def test_not_before_it_is_safe(self) -> None:
        self.send()
        self.assertEqual((self.alice.received, len(self.notifier)), ([], 0))
        self.settle()
        self.assertEqual((self.answers(), len(self.notifier), self.kept), ([200], 1, 1))
        self.assertEqual(self.alice.notified, ["active;expires=600: nothing yet"])

    def test_a_state_that_was_kept_for_somebody_who_has_left_meanwhile(self) -> None:
        """Nobody hears how it changes while nobody watches."""
        self.news.rest = lambda state: True  # type: ignore[attr-defined]
        alsoProvides(self.news, IKeepsStates)
        carol = Phone(self.server, "carol", "192.0.2.3")
        carol.contact = "sip:bob@example.test"
        carol.client.send(carol.request())
        self.settle()
        self.assertEqual(len(self.notifier.states), 1)
        self.send()
        self.notifier.end(b"news", BOB, b"deactivated")
        self.news.texts[BOB] = b"news"
        self.notifier.changed(b"news", BOB)
        self.settle()
        self.assertEqual(self.alice.notified, ["active;expires=600: news"])

    def test_a_fetch_waits_for_nothing(self) -> None:
        self.send(0)
        self.assertEqual((self.answers(), self.disk.work), ([200], []))

    def test_a_fetch_that_has_to_be_confirmed(self) -> None:
        """It waits for a decision, and that is safe, too."""
        self.news.verdicts[ALICE] = Verdict(CONFIRM)
        self.send(0)
        self.assertEqual(self.answers(), [])
        self.settle()
        self.assertEqual((self.answers(), self.kept), ([200], 1))

    def test_a_disk_that_is_full(self) -> None:
        self.fill_the_disk()
        self.send(body="x" * 5000, Content_Type="text/plain")
        self.settle()
        self.assertEqual((self.answers(), self.alice.notified), ([500], []))
        self.make_room()
        self.assertEqual((self.kept, len(self.notifier), len(self.notifier.census)), (0, 0, 0))

    def test_judged_otherwise_meanwhile(self) -> None:
        """The rules changed while it was being written: nothing is shown."""
        self.send()
        self.news.verdicts[ALICE] = Verdict(CONFIRM)
        self.notifier.judge(b"news", BOB)
        self.settle()
        self.assertEqual(self.answers(), [200])
        self.assertEqual(self.alice.notified[-1:], ["pending;expires=600"])

    def test_two_at_once(self) -> None:
        """They watch one resource, whichever came first."""
        carol = Phone(self.server, "carol", "192.0.2.3")
        self.send()
        carol.contact = "sip:bob@example.test"
        carol.client.send(carol.request())
        self.settle()
        self.alice.take()
        carol.take()
        self.news.texts[BOB] = b"news"
        self.notifier.changed(b"news", BOB)
        self.settle()
        told = [self.alice.take()[0].partition(": ")[2], carol.take()[0].partition(": ")[2]]
        self.assertEqual(told, ["news", "news"])

    def test_one_that_was_given_up(self) -> None:
        """No answer for so long: whoever asked asks again."""
        self.send()
        self.server.advance(40)
        self.settle()
        self.settle()
        self.server.advance(1)
        self.settle()
        self.assertEqual((len(self.notifier), self.kept), (0, 0))


class RefreshTest(DurableCase):
    """A refresh, or an end."""

    def expires(self) -> int:
        """Return how long the subscription lasts."""
        (one,) = self.notifier.subscriptions(b"news", BOB)
        return round(one.expires_at - self.server.node.now(), -1)

    def test_a_refresh(self) -> None:
        self.subscribed()
        self.send(300)
        self.assertEqual((self.answers(), self.expires()), ([], 600))
        self.settle()
        self.assertEqual((self.answers(), self.expires()), ([200], 300))

    @rows({"a refresh": 300, "an end": 0})
    def test_a_disk_that_is_full(self, expires: int) -> None:
        """It is what it was before, but for the CSeq that a refused request has, too."""
        self.subscribed()
        (one,) = self.notifier.subscriptions(b"news", BOB)
        before = one.past(float), one.dialog.target
        self.store._database.execute("PRAGMA query_only = 1")
        self.send(expires, Contact="<sip:elsewhere@192.0.2.1>")
        self.settle()
        self.assertEqual((self.answers(), self.alice.notified), ([500], []))
        self.assertEqual((one.past(float), one.dialog.target), before)
        self.store._database.execute("PRAGMA query_only = 0")
        self.make_room()
        ((_, record),) = self.store.load(KIND)
        self.assertEqual(record[5][5], one.dialog.target)

    def test_an_end(self) -> None:
        self.subscribed()
        self.send(0)
        self.assertEqual((self.answers(), len(self.notifier)), ([], 1))
        self.settle()
        self.assertEqual((self.answers(), len(self.notifier), self.kept), ([200], 0, 0))
        self.assertEqual(self.alice.notified, ["terminated;reason=timeout: nothing yet"])

    def test_one_after_the_other(self) -> None:
        self.subscribed()
        self.send(300)
        first = len(self.disk.work)
        self.alice.client.send(self.alice.request(120))
        self.assertEqual(len(self.disk.work), first)
        self.settle()
        self.assertEqual((self.answers(), self.expires()), ([200, 200], 120))

    def test_it_ends_meanwhile(self) -> None:
        """Who has been rejected cannot refresh."""
        self.subscribed()
        self.send(300)
        (one,) = self.notifier.subscriptions(b"news", BOB)
        one.reject()
        self.settle()
        self.assertEqual(self.answers(), [481])
        self.settle()
        self.server.clock.advance(0.1)
        self.settle()
        self.assertEqual(self.kept, 0)

    def test_it_is_approved_meanwhile(self) -> None:
        """Both are on disk then."""
        self.news.verdicts[ALICE] = Verdict(CONFIRM)
        self.subscribed()
        self.send(300)
        self.news.verdicts.clear()
        self.notifier.judge(b"news", BOB)
        self.settle()
        self.server.clock.advance(0.1)
        self.settle()
        ((_, record),) = self.store.load(KIND)
        left = self.store.moment(record[6][5]) - self.server.node.now()
        self.assertEqual((record[6][2], round(left, -1)), (b"active", 300))


class SlotTest(TableCase):
    """Whoever adds a fact finds it missing in the records."""

    @rfc(3261, "12", "a dialog is all that a restart must not forget")
    def test_dialog(self) -> None:
        forgotten = {"way", "is_lost", "is_outside"}  # found again, or found out
        parts, whole = {"opening", "own", "closing"}, {"tag", "lines"}
        self.assertEqual(
            set(Dialog.__slots__) - forgotten - parts, set(_Dialog.__struct_fields__) - whole
        )

    def test_watcher(self) -> None:
        facts = inspect.signature(Watcher).parameters
        self.assertEqual(list(facts), list(_Watcher.__struct_fields__))
