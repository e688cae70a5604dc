"""What a watcher knows already (RFC 5839), and how often it wants to be told (RFC 6446)."""

from __future__ import annotations

from typing import Any

from sipproxy.interfaces.events import ALLOW, CONFIRM, POLITE_BLOCK, Body, Verdict
from sipproxy.sip.message import Request
from tests.events.fakes import NEWS, Phone
from tests.events.test_subscribe import BOB
from tests.events.test_telling import TellingCase
from tests.rfc import rfc
from tests.sip.tables import rows


class Conditions(TellingCase):
    """SIP-ETag and Suppress-If-Match."""

    def setUp(self) -> None:
        TellingCase.setUp(self)
        self.alice.ask()
        self.tag = self.etag()
        self.alice.take()

    def etag(self, phone: Phone | None = None) -> str:
        """Return the SIP-ETag of the NOTIFY that came last."""
        notify = (phone or self.alice).received[-1]
        assert isinstance(notify, Request)
        (value,) = notify.raw_values(b"sip-etag")
        return value.decode()

    @rfc(5839, "6.1", "each NOTIFY has an entity-tag, which names one state of a resource")
    def test_each_state_has_its_tag(self) -> None:
        tags = [self.tag]
        for text in (b"one", b"two", b"nothing yet"):
            self.change(text)
            tags.append(self.etag())
            self.alice.take()
        self.assertEqual(len(set(tags)), 3)
        self.assertEqual(tags[0], tags[3])

    def test_another_type_is_another_entity(self) -> None:
        self.alice.ask(Accept="text/html")
        self.assertNotEqual(self.etag(), self.tag)

    @rfc(5839, "6.3", "a refresh whose condition is true is answered 204, and no NOTIFY follows")
    def test_refresh(self) -> None:
        self.server.advance(100)
        response = self.alice.ask(300, Suppress_If_Match=self.tag)
        self.assertEqual((response.status, response.value(b"expires")), (204, b"300"))
        self.assertEqual(self.alice.notified, [])
        self.server.advance(299)
        self.assertEqual(len(self.notifier), 1)
        self.server.advance(1.2)
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout"])

    @rows({"another": "abc", "of old": "0" * 32})
    def test_the_condition_is_false(self, tag: str) -> None:
        self.assertEqual(self.alice.ask(Suppress_If_Match=tag).status, 200)
        self.assertEqual(self.alice.take(), ["active;expires=600: nothing yet"])

    @rfc(5839, "6.2", "a condition of * is true")
    def test_anything(self) -> None:
        self.assertEqual(self.alice.ask(Suppress_If_Match="*").status, 204)
        self.change(b"one")
        self.assertEqual(self.alice.notified, [])
        self.assertEqual(self.alice.ask().status, 200)
        self.assertEqual(self.alice.take(), ["active;expires=600: one"])

    def test_what_was_not_told_is_not_taken_for_known(self) -> None:
        """The condition is compared with what there is now, whoever was told of it."""
        self.alice.ask(Suppress_If_Match="*")
        self.change(b"one")
        self.assertEqual(self.alice.ask(Suppress_If_Match=self.tag).status, 200)
        self.assertEqual(self.alice.take(), ["active;expires=600: one"])

    def test_the_next_state_is_news(self) -> None:
        self.alice.ask(Suppress_If_Match=self.tag)
        self.change(b"one")
        self.assertEqual(self.alice.take(), ["active;expires=600: one"])
        self.change(b"nothing yet")
        self.assertEqual(self.alice.take(), ["active;expires=600: nothing yet"])

    @rfc(
        5839, "6.2", "where the state is known and the status is new, NOTIFY goes without its body"
    )
    def test_a_new_status_is_told_without_the_body(self) -> None:
        self.alice.ask(Suppress_If_Match=self.tag)
        self.judge(CONFIRM)
        self.assertEqual(self.alice.take(), ["pending;expires=600"])
        self.judge(ALLOW)  # what it was told meanwhile was something else: nothing
        self.assertEqual(self.alice.take(), ["active;expires=600: nothing yet"])

    @rfc(5839, "6.3", "a SUBSCRIBE that ends what is known is answered 204")
    def test_unsubscribe(self) -> None:
        self.assertEqual(self.alice.ask(0, Suppress_If_Match=self.tag).status, 204)
        self.assertEqual((self.alice.notified, len(self.notifier)), ([], 0))
        self.assert_nothing_is_left()

    def test_unsubscribe_while_pending(self) -> None:
        self.judge(CONFIRM)
        self.alice.take()
        self.assertEqual(self.alice.ask(0, Suppress_If_Match="*").status, 204)
        self.assertEqual((self.alice.notified, len(self.notifier)), ([], 0))
        (waiting,) = self.notifier.subscriptions(b"news", BOB)
        self.assertEqual(waiting.status, b"waiting")

    @rfc(5839, "6.2", "outside of a dialog NOTIFY goes without its body where the state is known")
    @rows({"to begin": 600, "once": 0})
    def test_a_new_subscription(self, expires: int) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3")
        self.assertEqual(carol.subscribe(expires, Suppress_If_Match=self.tag).status, 200)
        (_, notify) = carol.received
        self.assertEqual(notify.body, b"")
        self.assertEqual(notify.raw_values(b"content-type"), [])
        self.assertEqual(self.etag(carol), self.tag)
        self.assertTrue(notify.value(b"subscription-state"))

    def test_a_change_under_way(self) -> None:
        """What is to be told by now decides, and is rendered once."""
        self.change(b"one")
        self.change(b"two")  # the first has no answer yet
        self.news.log.clear()
        self.assertEqual(self.alice.ask(Suppress_If_Match=self.tag).status, 200)
        self.assertEqual(self.alice.take(), ["active;expires=600: two"])
        self.assertEqual(self.news.log.count("render full"), 1)

    def test_a_change_that_came_to_nothing(self) -> None:
        self.change(b"one")
        self.change(b"nothing yet")
        self.assertEqual(self.alice.ask(Suppress_If_Match=self.tag).status, 204)
        self.alice.take()
        self.change(b"one")
        self.assertEqual(self.alice.notified, [])  # the first is under way still

    def test_who_is_judged_is_told(self) -> None:
        self.news.verdicts[b"alice@example.test"] = Verdict(POLITE_BLOCK)
        self.notifier.judge(b"news", BOB)
        self.assertEqual(self.alice.ask(Suppress_If_Match=self.tag).status, 200)
        self.assertEqual(self.alice.take(), ["active;expires=600: no news"])

    @rows({"no token": '"abc"', "empty": " "})
    def test_malformed(self, tag: str) -> None:
        self.assertEqual(self.alice.ask(Suppress_If_Match=tag).status, 400)


class Remembered(TellingCase):
    """What is rendered and not sent is not remembered: the package numbers what it renders."""

    def setUp(self) -> None:
        TellingCase.setUp(self)
        self.patch(self.news, "render", self.numbered)
        self.alice.ask()
        self.tag = (self.alice.received[-1].value(b"sip-etag") or b"").decode()
        self.assertEqual(self.alice.take(), ["active;expires=600: 1 nothing yet"])

    def numbered(self, state: bytes, subscription: Any, is_full: bool) -> Body:
        """Return a text with a number that rises; its tag is that of the text."""
        subscription.memory = (subscription.memory or 0) + 1
        data = b"%d %b" % (subscription.memory, state)
        return Body(subscription.media_type, data, state.replace(b" ", b"-"))

    def test_of_a_refresh(self) -> None:
        self.alice.ask(Accept="text/html")
        self.assertEqual(self.alice.take(), ["active;expires=600: 2 nothing yet"])
        response = self.alice.ask(Accept="text/plain", Suppress_If_Match=self.tag)
        self.assertEqual(response.status, 204)
        self.change(b"two")
        self.assertEqual(self.alice.take(), ["active;expires=600: 3 two"])

    def test_of_a_new_subscription(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3")
        carol.subscribe(600, Suppress_If_Match=self.tag)
        self.assertEqual(carol.take(), ["active;expires=600"])
        self.change(b"one")
        self.assertEqual(carol.take(), ["active;expires=600: 1 one"])

    def test_of_a_change_that_came_to_nothing(self) -> None:
        self.change(b"one")
        self.change(b"two")
        self.change(b"one")
        self.assertEqual(self.alice.take(), ["active;expires=600: 2 one"])
        self.assertEqual(self.alice.notified, [])
        self.change(b"three")
        self.assertEqual(self.alice.take(), ["active;expires=600: 3 three"])

    def test_of_a_refresh_that_asks_for_something_else(self) -> None:
        response = self.alice.ask(Suppress_If_Match=self.tag, Accept="text/html")
        self.assertEqual(response.status, 200)
        self.assertEqual(self.alice.take(), ["active;expires=600: 2 nothing yet"])


class Rates(TellingCase):
    """max-rate, min-rate and adaptive-min-rate."""

    text = NEWS + "highest_min_rate = 1.0\n[plugin.news]\nnotify_interval = 1.0\n"

    @rfc(6446, "5.2", "the rate that holds is told in Subscription-State")
    @rows(
        {
            "at most": ("max-rate=0.1", ";max-rate=0.1"),
            "at least": ("min-rate=0.5", ";min-rate=0.5"),
            "adaptive": ("adaptive-min-rate=0.5", ";adaptive-min-rate=0.5"),
            "faster than we go": ("max-rate=20", ";max-rate=1"),
        }
    )
    def test_what_holds_is_told(self, asked: str, told: str) -> None:
        self.alice.ask(Event=f"news;{asked}")
        self.assertEqual(self.alice.take(), [f"active;expires=600{told}: nothing yet"])

    @rfc(6446, "5.2", "no more is told than max-rate allows, and then the latest")
    def test_at_most(self) -> None:
        self.alice.ask(Event="news;max-rate=0.1")
        self.alice.take()
        self.change(b"one")
        self.server.advance(9)
        self.change(b"two")
        self.assertEqual(self.alice.notified, [])
        self.server.advance(1.3)
        self.assertEqual(self.alice.take(), ["active;expires=589;max-rate=0.1: two"])

    @rfc(6446, "6.2", "a NOTIFY goes when min-rate is over, though nothing has changed")
    def test_at_least(self) -> None:
        self.alice.ask(Event="news;min-rate=0.1")
        self.alice.take()
        for left in (589, 579, 569):
            self.server.advance(10.2)
            (told,) = self.alice.take()
            self.assertIn(
                told, (f"active;expires={left + n};min-rate=0.1: nothing yet" for n in (0, 1))
            )
        self.server.advance(9)
        self.assertEqual(self.alice.notified, [])

    def test_at_least_waits_for_an_answer(self) -> None:
        self.alice.ask(Event="news;min-rate=0.5")
        self.server.advance(10)
        self.assertEqual(len(set(self.alice.notified)), 1)  # it is sent again, and no other
        self.alice.answer()
        self.assertEqual(len(set(self.alice.notified)), 2)

    def test_at_least_while_it_is_known(self) -> None:
        """RFC 6446 §6.2: what RFC 5839 suppresses is not sent."""
        self.alice.ask()
        tag = (self.alice.received[-1].value(b"sip-etag") or b"").decode()
        self.alice.take()
        self.assertEqual(
            self.alice.ask(Event="news;min-rate=0.5", Suppress_If_Match=tag).status, 204
        )
        self.news.log.clear()
        self.server.advance(21)
        self.assertEqual(self.alice.notified, [])
        self.assertIn(self.news.log.count("render full"), (9, 10))

    @rfc(6446, "7.4", "the more was told of late, the longer may be the pause")
    def test_adaptive(self) -> None:
        self.alice.ask(Event="news;adaptive-min-rate=0.2")
        self.alice.take()
        told = 0
        for _ in range(150):
            self.server.advance(0.4)  # before it is sent again
            told += len(self.alice.take())
        self.assertIn(told, range(9, 14))

    @rfc(6446, "5.1", "a SUBSCRIBE without a rate ends it")
    def test_no_more(self) -> None:
        self.alice.ask(Event="news;min-rate=0.5")
        self.alice.take()
        self.alice.ask()
        self.assertEqual(self.alice.take(), ["active;expires=600: nothing yet"])
        self.server.advance(60)
        self.assertEqual(self.alice.notified, [])

    @rfc(6446, "9.3", "a 2xx to a NOTIFY may change the rates, of the same package")
    @rows(
        {
            "another": ("news;min-rate=0.1", True),
            "none": ("news", False),
            "of another package": ("weather", True),
            "malformed": ("news;min-rate=fast", True),
        }
    )
    def test_in_a_response(self, event: str, goes_on: bool) -> None:
        self.alice.ask(Event="news;min-rate=0.5")
        self.alice.take(Event=event)
        self.server.advance(11)
        self.assertEqual(bool(self.alice.notified), goes_on)

    def test_a_response_asks_for_nothing_new(self) -> None:
        """RFC 6446 §4.1."""
        self.alice.ask()
        self.alice.take(Event="news;min-rate=0.5")
        self.server.advance(11)
        self.assertEqual(self.alice.notified, [])

    @rows({"zero": "0", "no number": "fast", "too long": "123"})
    def test_malformed(self, rate: str) -> None:
        self.assertEqual(self.alice.ask(Event=f"news;max-rate={rate}").status, 400)
