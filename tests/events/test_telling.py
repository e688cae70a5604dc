"""NOTIFYs: when they are sent, and what becomes of a subscription by their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sipproxy.events.notifier import LONGEST
from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK, Verdict
from sipproxy.sip.message import Request
from tests.events.fakes import NEWS, Phone
from tests.events.test_outcomes import ALSO, REMOVED
from tests.events.test_subscribe import ALICE, BOB, SubscribeCase
from tests.rfc import rfc
from tests.sip.tables import rows


class TellingCase(SubscribeCase):
    """A watcher that has been told of the first state."""

    def setUp(self) -> None:
        SubscribeCase.setUp(self)
        self.alice.subscribe()
        self.alice.take()

    def change(self, text: bytes) -> None:
        """Change the state, and let a turn pass."""
        self.news.texts[BOB] = text
        self.notifier.changed(b"news", BOB)
        self.server.clock.advance(0)

    def judge(self, handling: int, view: object = None, until: float | None = None) -> None:
        """Change the verdict, and let a turn pass."""
        self.news.verdicts[ALICE] = Verdict(handling, view, until)
        self.notifier.judge(b"news", BOB)
        self.server.clock.advance(0)


class Bugs(SubscribeCase):
    """What should not happen leaves nothing for ever."""

    def test_the_first_notify_cannot_be_sent(self) -> None:
        self.patch(self.notifier.post, "send", lambda *_: {}["x"])
        self.assertEqual(self.alice.subscribe().status, 200)
        self.assertEqual(len(self.notifier), 1)
        self.server.advance(601)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)
        self.assert_nothing_is_left()


class Changes(TellingCase):
    """What changes is told, once, after what was told before."""

    @rfc(6665, "4.2.2", "a change of state is told at once")
    def test_a_change(self) -> None:
        self.change(b"one")
        self.assertEqual(self.alice.take(), ["active;expires=600: one"])
        self.change(b"two")
        self.assertEqual(self.alice.take(), ["active;expires=600: two"])

    def test_what_is_the_same_is_no_news(self) -> None:
        self.change(b"nothing yet")
        self.assertEqual(self.alice.take(), [])

    def test_nothing_to_tell(self) -> None:
        self.alice.ask(body="good", Content_Type="text/plain")
        self.alice.take()
        self.change(b"bad")
        self.assertEqual(self.alice.take(), [])
        self.change(b"good")
        self.assertEqual(self.alice.take(), ["active;expires=600: good"])

    def test_changes_of_one_turn_are_one(self) -> None:
        self.news.log.clear()
        for text in (b"one", b"two", b"three"):
            self.news.texts[BOB] = text
            self.notifier.changed(b"news", BOB)
        self.server.clock.advance(0)
        self.assertEqual(self.alice.take(), ["active;expires=600: three"])
        self.assertEqual(self.news.log, ["compose bob@example.test", "render"])

    def test_one_notify_at_a_time(self) -> None:
        """RFC 6665 §5.3.2: UDP may change the order of two."""
        self.news.log.clear()
        self.change(b"one")
        self.change(b"two")
        self.change(b"three")
        self.assertEqual(self.alice.notified, ["active;expires=600: one"])
        self.alice.answer()
        self.assertEqual(self.alice.notified[1:], ["active;expires=600: three"])
        self.assertEqual(self.news.log.count("render"), 2)

    def test_what_came_back_to_what_it_was_is_no_news(self) -> None:
        self.change(b"one")
        self.change(b"two")
        self.change(b"one")
        self.alice.answer()
        self.assertEqual(self.alice.notified, ["active;expires=600: one"])

    def test_cseq_rises_by_one(self) -> None:
        numbers = []
        for text in (b"one", b"two", b"three"):
            self.change(text)
            numbers.append(self.alice.received[-1].cseq.number)
            self.alice.take()
        self.assertEqual(numbers, [2, 3, 4])

    @rfc(6665, "5.3.2", "the NOTIFY that answers a SUBSCRIBE has the full state")
    @rfc(6665, "5.3.2", "a version counts the NOTIFYs of a subscription, one by one")
    def test_versions_count_what_is_sent(self) -> None:
        self.judge(ALLOW, "counted")
        self.assertEqual(self.alice.take(), ["active;expires=600: 1 nothing yet"])
        self.change(b"one")
        self.change(b"two")  # the first has no answer yet
        self.change(b"three")
        self.assertEqual(self.alice.notified, ["active;expires=600: 2 one"])
        self.alice.answer()
        self.assertEqual(self.alice.notified[1:], ["active;expires=600: 3 three"])
        self.alice.take()
        self.alice.ask()
        self.assertEqual(self.alice.take(), ["active;expires=600: 4 three"])

    def test_nobody_watches_any_more(self) -> None:
        self.notifier.changed(b"news", BOB)
        self.alice.ask(0)
        self.alice.take()
        self.server.clock.advance(0)
        self.assertEqual(self.alice.notified, [])
        self.assert_nothing_is_left()

    def test_somebody_elses_news(self) -> None:
        self.notifier.changed(b"news", b"carol@example.test")
        self.notifier.changed(b"weather", BOB)
        self.server.clock.advance(0)
        self.assertEqual(self.alice.notified, [])


class Turns(TellingCase):
    """Others have to be served, too."""

    def setUp(self) -> None:
        TellingCase.setUp(self)
        for _ in range(9):
            self.alice.subscribe()
            self.alice.take()
        self.booked: list[Callable[[], None]] = []
        self.patch(self.notifier, "_soon", self.booked.append)

    def turns(self) -> list[int]:
        """Change the state, and return how many are told in each turn that it takes."""
        self.news.texts[BOB] = b"new"
        self.notifier.changed(b"news", BOB)
        told = []
        while self.booked:
            self.booked.pop()()
            told.append(len(self.alice.notified))
            self.alice.client.clear()
        return [count for count in told if count]

    def test_so_many_at_once(self) -> None:
        self.assertEqual(self.turns(), [10])

    def test_what_takes_long_is_done_in_turns(self) -> None:
        """A large document, or a filter that means much work: not fifty times in one turn."""
        show = self.news.render

        def slowly(*arguments: Any) -> Any:
            self.server.clock.rightNow += LONGEST / 2
            return show(*arguments)

        self.patch(self.news, "render", slowly)
        self.assertEqual(self.turns(), [2] * 5)

    def test_one_at_least(self) -> None:
        """However long it takes to compose."""
        compose = self.news.compose

        def slowly(resource: bytes) -> Any:
            self.server.clock.rightNow += 2 * LONGEST
            return compose(resource)

        self.patch(self.news, "compose", slowly)
        self.assertEqual(self.turns(), [1, 9])


class Pace(TellingCase):
    """`IEventPackage.notify_interval` (RFC 3856 §6.10)."""

    text = NEWS + "[plugin.news]\nnotify_interval = 5.0\n"

    @rfc(3856, "6.10", "a watcher is told at most once in five seconds, and then of the latest")
    def test_changes_wait(self) -> None:
        self.change(b"one")
        self.assertEqual(self.alice.notified, [])  # five seconds from the first NOTIFY on
        self.server.advance(4.8)
        self.change(b"two")
        self.assertEqual(self.alice.notified, [])
        self.server.advance(0.4)
        self.assertEqual(self.alice.take(), ["active;expires=594: two"])
        self.server.advance(5.1)
        self.assertEqual(self.alice.notified, [])
        self.change(b"three")
        self.assertEqual(self.alice.take(), ["active;expires=589: three"])

    @rfc(6665, "4.2.1.2", "a NOTIFY follows each SUBSCRIBE that is accepted, after its 200")
    def test_a_subscribe_is_answered_at_once(self) -> None:
        self.change(b"one")
        self.alice.ask()
        self.assertEqual(self.alice.take(), ["active;expires=600: one"])
        self.server.advance(10)
        self.assertEqual(self.alice.take(), [])

    def test_the_last_word_is_said_at_once(self) -> None:
        self.change(b"one")
        self.judge(BLOCK)
        self.assertEqual(self.alice.take(), ["terminated;reason=rejected"])
        self.assert_nothing_is_left()

    def test_a_new_status_is_told_at_once(self) -> None:
        self.judge(CONFIRM)
        self.assertEqual(self.alice.take(), ["pending;expires=600"])
        self.judge(ALLOW)
        self.assertEqual(self.alice.take(), ["active;expires=600: nothing yet"])

    @rfc(6665, "4.1.3", "expires is never less than nothing")
    def test_it_has_expired_before_anybody_noticed(self) -> None:
        """The machine has slept: the turn comes before the appointment."""
        self.news.texts[BOB] = b"one"
        self.notifier.changed(b"news", BOB)
        self.server.clock.advance(700)
        self.assertEqual(self.alice.notified[0], "terminated;reason=timeout")
        self.assert_nothing_is_left()

    def test_it_expires_meanwhile(self) -> None:
        self.alice.ask(60)
        self.alice.take()
        self.server.advance(57)
        self.change(b"one")
        self.alice.take()
        self.change(b"two")
        self.server.advance(3.2)
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout"])
        self.assert_nothing_is_left()


class Answers(TellingCase):
    """What a watcher says of a NOTIFY (RFC 6665 §4.2.2)."""

    @rfc(6665, "4.2.2", "404, 405, 410, 416, 480 to 485, 489, 501 and 604 end the subscription")
    @rows({str(status): status for status in REMOVED + ALSO})
    def test_the_end(self, status: int) -> None:
        self.change(b"one")
        self.alice.take(status)
        self.assertEqual(len(self.notifier), 0)
        self.change(b"two")
        self.assertEqual(self.alice.notified, [])
        self.assert_nothing_is_left()

    @rows({str(status): status for status in (302, 400, 401, 403, 407, 486, 500, 503, 600, 603)})
    def test_no_end(self, status: int) -> None:
        """What was lost is told in full with the next change."""
        self.change(b"one")
        self.alice.take(status)
        self.news.log.clear()
        self.server.advance(10)
        self.assertEqual(self.alice.notified, [])
        self.change(b"two")
        self.assertEqual(self.alice.take(), ["active;expires=590: two"])
        self.assertEqual(self.news.log, ["compose bob@example.test", "render", "render full"])

    def test_what_may_not_be_seen_is_not_told_by_repeating(self) -> None:
        """Who refuses what it is told learns no more of changes than who takes it."""
        self.judge(POLITE_BLOCK)
        self.alice.take(500)
        for text in (b"one", b"two"):
            self.change(text)
            self.server.advance(10)
            self.assertEqual(self.alice.notified, [])
        self.judge(ALLOW)
        self.assertEqual(self.alice.take(), ["active;expires=580: two"])

    @rows({str(status): status for status in (500, 502, 503, 504)})
    def test_try_again(self, status: int) -> None:
        self.change(b"one")
        self.alice.take(status, Retry_After="20")
        self.change(b"two")
        self.server.advance(19.9)
        self.assertEqual(self.alice.notified, [])
        self.server.advance(0.3)
        self.assertEqual(self.alice.take(), ["active;expires=579: two"])

    def test_try_again_after_it_has_expired(self) -> None:
        self.alice.ask(60)
        self.alice.take(503, Retry_After="1800")
        self.server.advance(60.2)
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout"])
        self.assert_nothing_is_left()

    def test_a_refresh_does_not_wait_for_that(self) -> None:
        self.change(b"one")
        self.alice.take(503, Retry_After="1800")
        self.alice.ask()
        self.assertEqual(self.alice.take(), ["active;expires=600: one"])
        self.change(b"two")
        self.assertEqual(self.alice.take(), ["active;expires=600: two"])

    @rfc(6665, "4.2.2", "a NOTIFY that times out ends the subscription")
    def test_silence(self) -> None:
        self.change(b"one")
        self.server.advance(31)
        self.assertEqual(len(self.notifier), 1)
        self.server.advance(1.2)
        self.assertEqual(len(self.notifier), 0)
        self.assert_nothing_is_left()

    def test_silence_at_the_first(self) -> None:
        other = Phone(self.server, "carol", "192.0.2.3")
        other.subscribe()
        self.server.advance(32.2)
        self.assertEqual(len(self.notifier), 1)  # alice's

    def test_nobody_listens_there(self) -> None:
        """The network returned an error (RFC 3261 §18.4)."""
        self.change(b"one")
        self.server.node.layer.undeliverable(self.alice.client.flow.sent[-1])
        self.assert_nothing_is_left()

    def test_provisional_responses_are_none(self) -> None:
        self.change(b"one")
        self.alice.answer(100)
        self.change(b"two")
        self.assertEqual(len(self.alice.notified), 1)
        self.alice.answer(200)
        self.assertEqual(len(self.alice.notified), 2)

    @rfc(3261, "12.2.1.2", "a 2xx to a target refresh request replaces the remote target")
    def test_a_2xx_with_another_contact(self) -> None:
        self.change(b"one")
        self.alice.take(Contact="<sip:new@192.0.2.1:5060>")
        self.change(b"two")
        notify = self.alice.received[-1]
        assert isinstance(notify, Request)
        self.assertEqual(notify.raw_uri, b"sip:new@192.0.2.1:5060")

    @rfc(6665, "4.2.1.2", "a NOTIFY follows each SUBSCRIBE that is accepted, after its 200")
    @rows(
        {
            "no URI": "<",
            "no SIP URI": "<tel:+1>",
            "two": "<sip:a@192.0.2.7>, <sip:b@192.0.2.7>",
        }
    )
    def test_a_contact_of_no_use(self, contact: str) -> None:
        self.change(b"one")
        self.alice.take(Contact=contact)
        self.change(b"two")
        notify = self.alice.received[-1]
        assert isinstance(notify, Request)
        self.assertEqual(notify.raw_uri, b"sip:alice@192.0.2.1:5060")

    @rfc(3261, "26.2.2", "what has a sips URI goes by TLS, and by nothing less")
    def test_a_2xx_with_a_sips_contact(self) -> None:
        self.change(b"one")
        self.alice.take(200, Contact="<sips:alice@192.0.2.1>")
        self.change(b"two")
        self.assertEqual(self.alice.notified, [])

    def test_the_answer_to_an_older_one(self) -> None:
        """A SUBSCRIBE is answered at once, whatever is under way: what that comes to is no news."""
        self.change(b"one")
        older = self.alice.received[-1]
        self.alice.ask()
        self.alice.client.flow.sent.append(older.encode())
        self.alice.answer(481)
        self.assertEqual(len(self.notifier), 1)
        self.change(b"two")
        self.alice.client.clear()
        self.assertEqual(self.alice.notified, [])  # the newer one has no answer yet


class Judged(TellingCase):
    """`INotifier.judge` and `Verdict.until` (RFC 5025 §3.2.1)."""

    @rfc(6665, "4.2.1.3", "who is not authorized is answered 403, or told terminated, rejected")
    @rfc(5025, "3.2.1", "block ends a subscription, rejected")
    def test_block(self) -> None:
        self.judge(BLOCK)
        self.assertEqual(self.alice.take(), ["terminated;reason=rejected"])
        self.assert_nothing_is_left()

    def test_a_view_that_shows_something_else(self) -> None:
        self.judge(POLITE_BLOCK)
        self.assertEqual(self.alice.take(), ["active;expires=600: no news"])

    def test_a_view_that_shows_the_same(self) -> None:
        self.judge(ALLOW, "another")
        self.assertEqual(self.alice.take(), [])

    def test_the_same_verdict(self) -> None:
        self.judge(ALLOW)
        self.assertEqual(self.alice.take(), [])
        self.judge(CONFIRM)
        self.alice.take()
        self.judge(CONFIRM)
        self.assertEqual(self.alice.take(), [])

    def test_a_refresh_keeps_the_status(self) -> None:
        self.judge(CONFIRM)
        self.alice.take()
        self.alice.ask()
        self.assertEqual(self.alice.take(), ["pending;expires=600"])

    def test_nothing_leaves_by_a_verdict_that_does_not_hold(self) -> None:
        """A refresh may come before the turn in which all are judged."""
        self.news.verdicts[ALICE] = Verdict(BLOCK)
        self.notifier.judge(b"news", BOB)
        self.alice.ask()
        self.assertEqual(self.alice.take(), ["terminated;reason=rejected"])
        self.server.clock.advance(0)
        self.assertEqual(self.alice.notified, [])
        self.assert_nothing_is_left()

    def test_until(self) -> None:
        now = self.server.node.now()
        self.judge(ALLOW, None, now + 50)
        self.news.verdicts[ALICE] = Verdict(CONFIRM, None, now + 70)
        self.server.advance(49.8)
        self.assertEqual(self.alice.notified, [])
        self.server.advance(0.4)
        self.assertEqual(self.alice.take(), ["pending;expires=549"])
        self.news.verdicts[ALICE] = Verdict(ALLOW)
        self.server.advance(20)
        self.assertEqual(self.alice.take(), ["active;expires=530: nothing yet"])
        self.server.advance(500)
        self.assertEqual(self.alice.take(), [])

    def test_an_hour_that_has_come(self) -> None:
        """One that stays in the past is asked for tick by tick, and not for ever in one."""
        self.judge(ALLOW, None, self.server.node.now())
        self.news.watchers.clear()
        self.server.advance(1)
        self.assertIn(len(self.news.watchers), range(8, 12))

    def test_a_verdict_that_fails(self) -> None:
        self.patch(self.news, "authorize", lambda *arguments: {}["x"])
        self.notifier.judge(b"news", BOB)
        self.server.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.change(b"one")
        self.assertEqual(self.alice.take(), ["active;expires=600: one"])

    def test_one_that_is_under_way(self) -> None:
        self.change(b"one")
        self.judge(CONFIRM)
        self.assertEqual(self.alice.notified[1:], ["pending;expires=600"])
        self.alice.take()
        self.change(b"two")
        self.assertEqual(self.alice.notified, [])
