"""Subscriptions outlive the server: stopped, or killed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lxml import etree

from sipproxy.events.archive import SLICE
from sipproxy.events.subscription_records import KIND, RESERVED
from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK, Verdict
from sipproxy.sip.message import Request
from sipproxy.testing import FakeServer
from tests.events.fakes import NEWS, Listener, News, NewsFactory, Phone
from tests.installed import install_also
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

ALICE, BOB = b"alice@example.test", b"bob@example.test"
KEPT = NEWS + '[components]\nstore = "sqlite"\n'


class SurvivalCase(TableCase):
    """A server with a package that is started again and again, and a phone."""

    text = KEPT

    def setUp(self) -> None:
        self.texts: dict[bytes, bytes] = {}
        self.verdicts: dict[bytes, Verdict] = {}
        install_also(self, [NewsFactory(self.package)])
        self.server = FakeServer(self.mktemp(), self.text)
        self.alice = Phone(self.server)

    def package(self, notify_interval: float, handling: int) -> News:
        """Return the package of another server, with what there is to tell."""
        self.news = News(notify_interval, handling)
        self.news.texts, self.news.verdicts = self.texts, self.verdicts
        return self.news

    def restart(self, *phones: Phone, crashed: bool = True, seconds: float = 0.0) -> None:
        """Begin another server; phones are where they were, without their connections."""
        self.server = self.server.restarted(crashed, seconds)
        self.listener = Listener()
        self.notifier.listen(self.listener)
        for phone in phones or (self.alice,):
            phone.client = self.server.client(phone.host, 5060, phone.transport)
            phone.client.clear()

    @property
    def notifier(self) -> Any:
        """The notifier of the server that runs now."""
        return self.server.node.notifier

    def subscribe(self, expires: int = 600, **headers: str) -> None:
        """Subscribe, and answer the first NOTIFY."""
        self.assertEqual(self.alice.subscribe(expires, **headers).status, 200)
        self.alice.take()
        self.server.advance(0.1)

    def tell(self, text: bytes) -> None:
        """Change what there is to tell."""
        self.texts[BOB] = text
        self.notifier.changed(b"news", BOB)
        self.server.clock.advance(0)

    def heard(self) -> list[str]:
        """Answer the last NOTIFY; return what came, with times to ten seconds."""
        texts = self.alice.take()
        return [re.sub(r"(?<=expires=)\d+", lambda m: str(round(int(m[0]), -1)), t) for t in texts]

    def cseqs(self) -> list[int]:
        """Return the CSeq of each NOTIFY that came."""
        return [m.cseq.number for m in self.alice.received if isinstance(m, Request)]

    def kept(self) -> list[Any]:
        """Return the records of subscriptions that are on disk."""
        return [value for _, value in self.server.node.store.load(KIND)]


class ToldTest(SurvivalCase):
    """What is told after a restart."""

    def test_after_a_crash_all_is_told_once(self) -> None:
        """Nobody knows what the watcher has been told."""
        self.subscribe()
        self.restart()
        self.assertEqual(self.alice.received, [])
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["active;expires=600: nothing yet"])
        self.server.advance(60)
        self.assertEqual(self.heard(), [])

    def test_after_a_stop_nothing_is_told_where_nothing_has_changed(self) -> None:
        self.subscribe()
        for _ in range(3):
            self.restart(crashed=False)
            self.server.advance(10)
            self.assertEqual(self.heard(), [])
        self.tell(b"news")
        self.assertEqual(self.heard(), ["active;expires=570: news"])

    def test_after_a_stop_what_has_changed_meanwhile_is_told(self) -> None:
        self.subscribe()
        self.texts[BOB] = b"news"
        self.restart(crashed=False, seconds=60)
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["active;expires=540: news"])

    def test_what_was_not_answered_is_told_again(self) -> None:
        self.subscribe()
        self.tell(b"news")
        self.restart(crashed=False)
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["active;expires=600: news"])

    def test_a_change_does_not_wait_for_its_turn(self) -> None:
        self.subscribe()
        self.restart()
        self.tell(b"news")
        self.assertEqual(self.heard(), ["active;expires=600: news"])
        self.server.advance(10)
        self.assertEqual(self.heard(), [])

    def test_after_a_crash_that_followed_a_stop(self) -> None:
        """What was known at the stop is no longer known after another run."""
        self.subscribe()
        self.restart(crashed=False)
        self.server.advance(1)
        self.tell(b"news")
        self.alice.take()
        self.texts.clear()
        self.restart(crashed=True)
        self.server.advance(0.4)
        self.assertEqual(len(self.alice.take()), 1)

    def test_slice_by_slice(self) -> None:
        phones = [Phone(self.server, f"u{n}", f"192.0.2.{n}") for n in range(1, 200)]
        for phone in phones:
            phone.subscribe()
            phone.take()
        self.server.advance(0.1)
        self.restart(*phones)
        counts = []
        for _ in range(6):
            self.server.clock.advance(0.1)
            counts.append(sum(len(phone.take()) for phone in phones))
        self.assertEqual((sum(counts), max(counts)), (199, SLICE))

    def test_a_start_that_takes_long(self) -> None:
        """The ticks that it has missed come at once; those who are to be told do not."""
        phones = [Phone(self.server, f"u{n}", f"192.0.2.{n}") for n in range(1, 120)]
        for phone in phones:
            phone.subscribe()
            phone.take()
        self.server.advance(0.1)
        self.restart(*phones)
        self.server.clock.advance(5)
        self.assertEqual(sum(bool(phone.take()) for phone in phones), SLICE)
        self.server.advance(0.3)
        self.assertEqual(sum(bool(phone.take()) for phone in phones), 119 - SLICE)


class SequenceTest(SurvivalCase):
    """No CSeq, and no version of a document, is sent twice."""

    @rfc(3261, "12.2.1.1", "the CSeq of a dialog rises, also through a restart")
    def test_cseq_rises_whatever_happens(self) -> None:
        self.subscribe()
        last = 1
        for number in range(6):
            for _ in range(3):
                self.tell(b"news %d %d" % (number, last))
                (cseq,) = self.cseqs()
                self.assertGreater(cseq, last)
                last = cseq
                self.alice.take()
            if number == 3:  # another crash before anything was written
                self.restart()
            self.restart(crashed=number % 2 == 0)

    def test_not_every_notify_is_written(self) -> None:
        self.subscribe()
        store, written = self.server.node.store, []

        def at_once(kind: str, key: bytes, current: Callable[[bytes], Any]) -> None:
            written.append(key)
            store.put(kind, key, current(key))

        self.patch(store, "later", at_once)
        for number in range(RESERVED + 100):
            self.tell(b"%d" % number)
            self.alice.take()
        self.assertEqual(len(written), 2)
        (last,) = (one.dialog.cseq for one in self.notifier._known.values())
        self.server.clock.advance(0.05)
        self.restart()
        self.server.advance(0.4)
        self.assertGreater(self.cseqs()[0], last)

    def test_the_watcher_has_its_own(self) -> None:
        self.subscribe()
        self.restart()
        self.alice.cseq -= 1
        self.assertEqual(self.alice.ask().status, 200)
        self.alice.cseq -= 2
        self.assertEqual(self.alice.ask().status, 500)

    @rfc(3858, "4", "the version of a document is higher than any before")
    def test_versions_of_watcher_information(self) -> None:
        bob = Phone(self.server, "bob", "192.0.2.2")
        bob.subscribe(600, Event="news.winfo")
        version, state = self.document(bob)
        self.assertEqual((version, state), (0, "full"))
        self.subscribe()
        self.server.advance(6)
        self.assertEqual(self.document(bob), (1, "partial"))
        self.restart(self.alice, bob)
        self.server.advance(0.4)
        version, state = self.document(bob)
        self.assertEqual(state, "full")
        self.assertGreater(version, 1)

    def document(self, phone: Phone) -> tuple[int, str]:
        """Return version and state of the document that came last."""
        notify = [m for m in phone.received if isinstance(m, Request)][-1]
        phone.take()
        root = etree.fromstring(notify.body)
        return int(root.get("version", "")), root.get("state", "")

    def test_ids_of_watchers_stay(self) -> None:
        self.subscribe()
        (before,) = self.notifier.subscriptions(b"news", BOB)
        self.restart()
        (after,) = self.notifier.subscriptions(b"news", BOB)
        self.assertEqual(
            (after.id, after.status, after.event), (before.id, b"active", b"subscribe")
        )
        self.assertAlmostEqual(after.began_at, before.began_at, 3)

    def test_a_record_whose_name_is_not_in_its_tag(self) -> None:
        """It was written before names were: it has another one from now on, and the same dialog."""
        self.subscribe()
        (key,), (good,) = dict(self.server.node.store.load(KIND)), self.kept()
        tag, old = b"0123456789abcdef", b"fedcba9876543210"
        lines = good[5][1].replace(good[5][0], tag)
        past = [old, *good[6][1:]]
        store = self.server.node.store
        store.remove(KIND, key)
        store.put(KIND, old, [*good[:5], [tag, lines, *good[5][2:]], past, *good[7:]])
        self.server.clock.advance(0.1)
        before = self.alice.tag
        self.alice.tag = tag.decode()
        self.alice.contact = self.alice.contact.replace(before, self.alice.tag)
        self.restart()
        self.assertEqual(self.alice.ask().status, 200)
        self.server.clock.advance(0.1)
        self.assertEqual(list(dict(self.server.node.store.load(KIND))), [tag[:15]])
        self.alice.take()
        self.assertEqual(self.alice.ask(0).status, 200)
        self.server.clock.advance(0.1)
        self.assertEqual(self.kept(), [])


class DialogTest(SurvivalCase):
    """The dialog goes on."""

    def test_a_refresh(self) -> None:
        self.subscribe()
        self.restart(seconds=60)
        self.assertEqual(self.alice.ask(300).status, 200)
        self.assertEqual(self.heard(), ["active;expires=300: nothing yet"])
        self.server.advance(0.4)
        self.assertEqual(self.heard(), [])

    def test_an_end(self) -> None:
        self.subscribe()
        self.restart()
        self.assertEqual(self.alice.ask(0).status, 200)
        self.assertEqual(self.heard(), ["terminated;reason=timeout: nothing yet"])
        self.server.advance(0.1)
        self.restart()
        self.assertEqual(len(self.notifier), 0)
        self.assertEqual(self.alice.ask(0).status, 481)

    def test_routes_and_target(self) -> None:
        edge = self.server.client("192.0.2.50")
        self.alice.subscribe(
            600, Record_Route="<sip:192.0.2.50;lr>", Contact="<sip:alice@192.0.2.7>"
        )
        self.server.advance(0.1)
        edge.clear()
        self.restart()
        edge = self.server.client("192.0.2.50")
        edge.clear()
        self.server.advance(0.4)
        (notify,) = edge.received
        assert isinstance(notify, Request)
        self.assertEqual(notify.raw_uri, b"sip:alice@192.0.2.7")
        self.assertEqual(notify.value(b"route"), b"<sip:192.0.2.50;lr>")

    def test_a_target_that_an_answer_has_changed(self) -> None:
        self.subscribe()
        self.tell(b"news")
        self.alice.take(200, Contact="<sip:alice@192.0.2.1:5060;line=2>")
        self.server.advance(0.1)
        self.restart()
        self.server.advance(0.4)
        (notify,) = self.alice.received
        assert isinstance(notify, Request)
        self.assertEqual(notify.raw_uri, b"sip:alice@192.0.2.1:5060;line=2")

    def test_a_connection_that_can_be_made_again(self) -> None:
        """The Contact is where the connection came from."""
        self.alice = Phone(self.server, "alice", "192.0.2.1", "tcp")
        self.subscribe()
        self.restart()
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["active;expires=600: nothing yet"])

    def test_a_connection_from_behind_a_nat(self) -> None:
        """Nobody is told before it comes back, and then all."""
        self.alice = Phone(self.server, "alice", "192.0.2.1", "tcp")
        inside = "<sip:alice@10.0.0.1;transport=tcp>"
        self.subscribe(Contact=inside)
        self.restart()
        self.server.advance(10)
        self.assertEqual((self.heard(), len(self.notifier)), ([], 1))
        self.assertEqual(self.alice.ask(600, Contact=inside).status, 200)
        self.assertEqual(self.heard(), ["active;expires=600: nothing yet"])

    def test_one_that_never_comes_back(self) -> None:
        self.alice = Phone(self.server, "alice", "192.0.2.1", "tcp")
        self.subscribe(Contact="<sip:alice@10.0.0.1;transport=tcp>")
        self.restart()
        self.tell(b"news")
        self.assertEqual((len(self.notifier), len(self.notifier.census)), (0, 0))
        self.server.advance(0.1)
        self.assertEqual(self.kept(), [])


class TimeTest(SurvivalCase):
    """What happens while the server is down happens when it is back, once."""

    def test_expired(self) -> None:
        self.subscribe(60)
        self.restart(seconds=120)
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["terminated;reason=timeout"])
        self.assertEqual(self.listener.heard, ["alice@example.test terminated timeout"])
        self.server.advance(0.1)
        self.restart()
        self.server.advance(1)
        self.assertEqual((self.heard(), self.listener.heard), ([], []))

    def test_a_clock_that_steps(self) -> None:
        self.subscribe(600)
        for step in (3600, -7200):
            self.server.stepped += step
            self.restart()
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["active;expires=600: nothing yet"])

    def test_pending_and_then_approved(self) -> None:
        self.verdicts[ALICE] = Verdict(CONFIRM)
        self.subscribe()
        self.restart()
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["pending;expires=600"])
        self.verdicts[ALICE] = Verdict(ALLOW)
        self.notifier.judge(b"news", BOB)
        self.server.clock.advance(0)
        self.assertEqual(self.heard(), ["active;expires=600: nothing yet"])

    @rfc(3857, "4.7.1", "a watcher that waits for a decision still does after a restart")
    def test_waiting(self) -> None:
        self.verdicts[ALICE] = Verdict(CONFIRM)
        self.subscribe(60)
        self.restart(seconds=120)
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["terminated;reason=timeout"])
        self.assertEqual(self.listener.heard, ["alice@example.test waiting timeout"])
        self.server.advance(0.1)
        self.restart()
        (one,) = self.notifier.subscriptions(b"news", BOB)
        self.assertEqual((one.status, one.event, one.dialog), (b"waiting", b"timeout", None))
        self.restart(seconds=604800)
        self.server.advance(0.4)
        self.assertEqual(self.listener.heard, ["alice@example.test terminated giveup"])
        self.server.advance(0.1)
        self.assertEqual(self.kept(), [])

    @rows(
        {
            "blocked": (BLOCK, ["terminated;reason=rejected"]),
            "to be confirmed": (CONFIRM, ["pending;expires=600"]),
            "politely blocked": (POLITE_BLOCK, ["active;expires=600: no news"]),
        }
    )
    def test_judged_otherwise(self, handling: int, expected: list[str]) -> None:
        """The rules were changed while the server was down."""
        for crashed in (True, False):
            self.verdicts.clear()
            self.subscribe()
            self.verdicts[ALICE] = Verdict(handling)
            self.restart(crashed=crashed)
            self.server.advance(0.4)
            self.assertEqual(self.heard()[-1:], expected)
            self.alice.ask(0)
            self.alice.take()

    def test_what_one_may_have_is_counted_anew(self) -> None:
        self.verdicts[ALICE] = Verdict(CONFIRM)
        self.subscribe()
        before = len(self.notifier.census)
        self.restart()
        self.assertEqual(len(self.notifier.census), before)
        self.alice.ask(0)
        self.alice.take()
        self.notifier.subscriptions(b"news", BOB)[0].give_up()
        self.assertEqual(len(self.notifier.census), 0)


class WishTest(SurvivalCase):
    """What the watcher asked for holds."""

    def test_a_filter(self) -> None:
        self.subscribe(body="good", Content_Type="text/plain")
        self.restart()
        self.tell(b"bad news")
        self.server.advance(0.4)
        self.assertEqual([text.partition(": ")[2] for text in self.alice.take()], [""])
        self.tell(b"good news")
        self.assertEqual(self.heard(), ["active;expires=600: good news"])

    def test_too_many_of_them(self) -> None:
        """RFC 6665 §4.1.3: deactivated asks for another subscription at once."""
        self.subscribe()
        for _ in range(11):
            self.alice.ask(600, "news", Content_Type="text/plain")
            self.alice.take()
        self.server.advance(0.1)
        self.restart()
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["terminated;reason=deactivated"])

    def test_one_that_is_not_understood_any_more(self) -> None:
        self.subscribe(body="good", Content_Type="text/plain")
        self.patch(News, "terms", _not_understood)
        self.restart()
        self.server.advance(0.4)
        self.assertEqual(self.heard(), ["terminated;reason=deactivated"])

    def test_a_media_type(self) -> None:
        self.subscribe(Accept="text/html")
        self.restart()
        self.server.advance(0.4)
        (notify,) = self.alice.received
        self.assertEqual(notify.value(b"content-type"), b"text/html")

    def test_rates(self) -> None:
        self.subscribe(Event="news;min-rate=0.1")
        self.restart()
        self.server.advance(0.4)
        self.assertIn(";min-rate=0.1", self.alice.take()[0])
        self.server.advance(10.2)
        self.assertEqual(len(self.alice.take()), 1)

    def test_who_only_fetches_is_left_alone(self) -> None:
        """RFC 5839 §6.3: whatever it is, the watcher wants no NOTIFY."""
        self.subscribe()
        self.assertEqual(self.alice.ask(600, Suppress_If_Match="*").status, 204)
        self.server.advance(0.1)
        self.restart()
        self.server.advance(0.4)
        self.assertEqual([re.sub(";.*", "", text) for text in self.alice.take()], [])

    def test_a_condition_that_held(self) -> None:
        """After a stop what the watcher has is known; after a crash it is not."""
        for crashed, expected in ((False, []), (True, ["active;expires=600: nothing yet"])):
            self.subscribe()
            self.tell(b"nothing yet")
            (one,) = self.notifier.subscriptions(b"news", BOB)
            tag = one.acknowledged.decode()
            self.assertEqual(self.alice.ask(600, Suppress_If_Match=tag).status, 204)
            self.server.advance(0.1)
            self.restart(crashed=crashed)
            self.server.advance(0.4)
            self.assertEqual(self.heard(), expected)
            self.alice.ask(0)
            self.alice.take()


class BrokenTest(SurvivalCase):
    """What cannot be restored is left out, and nothing else."""

    def test_a_record_that_cannot_be_read(self) -> None:
        self.subscribe()
        (good,) = self.kept()
        store = self.server.node.store
        for number, value in enumerate(
            (
                None,
                [],
                [2, *good[1:]],
                [*good[:2], b"weather", *good[3:]],
                [*good[:4], None, *good[5:]],
                [*good[:5], [*good[5][:5], b"no URI", *good[5][6:]], *good[6:]],
                [*good[:6], [*good[6][:4], float("nan"), *good[6][5:]], *good[7:]],
                [*good[:6], [*good[6][:8], [], *good[6][9:]], *good[7:]],
            )
        ):
            store.put(KIND, b"bad%d" % number, value)
        self.restart(crashed=False)
        self.server.advance(0.1)
        self.assertEqual((len(self.notifier), len(self.kept())), (1, 1))


def _not_understood(*_: Any) -> None:
    from sipproxy.sip.errors import SipError

    raise SipError(415)
