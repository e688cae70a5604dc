"""How subscriptions move, who hears of it, and who may wait (RFC 3857 §4.7.1)."""

from __future__ import annotations

from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK, Verdict
from tests.events.fakes import NEWS, Listener, Phone
from tests.events.test_subscribe import ALICE, BOB, SubscribeCase
from tests.rfc import rfc
from tests.sip.tables import rows

LONG = 1800  # seconds that somebody may wait


class StatesCase(SubscribeCase):
    """Nobody has decided about alice yet."""

    text = NEWS + f"waiting = {LONG}.0\nunauthorized = 3\n"

    def setUp(self) -> None:
        SubscribeCase.setUp(self)
        self.listener = Listener()
        self.notifier.listen(self.listener)
        self.news.verdicts[ALICE] = Verdict(CONFIRM)

    def judge(self, handling: int) -> None:
        """Change the verdict on alice, and let a turn pass."""
        self.news.verdicts[ALICE] = Verdict(handling)
        self.notifier.judge(b"news", BOB)
        self.server.clock.advance(0)

    def heard(self) -> list[str]:
        """Return what the listener has heard since it was asked last, without the watcher."""
        heard, self.listener.heard = self.listener.heard, []
        return [one.removeprefix("alice@example.test ") for one in heard]

    def expire(self) -> None:
        """Let the one subscription expire."""
        self.server.advance(600.2)
        self.alice.take()

    def statuses(self) -> list[bytes]:
        """Return the statuses of all that is kept of bob's watchers."""
        return [one.status for one in self.notifier.subscriptions(b"news", BOB)]


class Moves(StatesCase):
    """Each edge of figure 1."""

    @rfc(3857, "4.7.1", "without a policy a subscription is pending")
    def test_pending(self) -> None:
        self.alice.subscribe()
        self.assertEqual((self.heard(), self.statuses()), (["pending subscribe"], [b"pending"]))

    @rows({"allow": ALLOW, "polite": POLITE_BLOCK})
    def test_accepted(self, handling: int) -> None:
        self.news.verdicts[ALICE] = Verdict(handling)
        self.alice.subscribe()
        self.assertEqual((self.heard(), self.statuses()), (["active subscribe"], [b"active"]))

    def test_refused(self) -> None:
        self.news.verdicts[ALICE] = Verdict(BLOCK)
        self.alice.subscribe()
        self.assertEqual((self.heard(), self.statuses()), ([], []))

    @rfc(3857, "4.7.1", "a pending subscription that is approved is active")
    def test_pending_approved(self) -> None:
        self.alice.subscribe()
        self.judge(ALLOW)
        self.assertEqual(self.heard(), ["pending subscribe", "active approved"])

    @rfc(3857, "4.7.1", "a pending subscription that is rejected is terminated")
    def test_pending_rejected(self) -> None:
        self.alice.subscribe()
        self.judge(BLOCK)
        self.assertEqual(self.heard()[1:], ["terminated rejected"])
        self.assert_nothing_is_left()

    @rfc(3857, "4.7.1", "a pending subscription that times out is waiting")
    def test_pending_timeout(self) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.server.advance(600.2)
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout"])
        self.assertEqual((self.heard()[1:], self.statuses()), (["waiting timeout"], [b"waiting"]))
        self.assertEqual(len(self.notifier), 0)  # it has no dialog any more

    def test_pending_unsubscribed(self) -> None:
        self.alice.subscribe()
        self.alice.ask(0)
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout"])
        self.assertEqual((self.heard()[1:], self.statuses()), (["waiting timeout"], [b"waiting"]))

    def test_pending_and_gone(self) -> None:
        """Who answers nothing leaves nothing: it may never have been there."""
        self.alice.subscribe()
        self.server.advance(33)
        self.assertEqual(self.heard()[1:], ["terminated giveup"])
        self.assert_nothing_is_left()

    def test_pending_for_too_long(self) -> None:
        self.alice.subscribe()
        self.alice.take()
        for _ in range(3):
            self.server.advance(500)
            self.alice.ask()
            self.alice.take()
        self.server.advance(300.2)
        self.assertEqual(self.alice.take(), ["terminated;reason=giveup"])
        self.assertEqual(self.heard()[1:], ["terminated giveup"])
        self.assert_nothing_is_left()

    @rfc(3857, "4.7.1", "a waiting subscription that is approved or rejected is terminated")
    @rows({"approved": (ALLOW, "approved"), "rejected": (BLOCK, "rejected")})
    def test_waiting_decided(self, handling: int, event: str) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.expire()
        self.judge(handling)
        self.assertEqual(self.heard()[2:], [f"terminated {event}"])
        self.assertEqual(self.alice.notified, [])
        self.assert_nothing_is_left()

    def test_waiting_judged_the_same(self) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.expire()
        self.judge(CONFIRM)
        self.assertEqual((len(self.heard()), self.statuses()), (2, [b"waiting"]))

    @rfc(3857, "4.7.1", "a waiting subscription gives up in the end")
    def test_waiting_given_up(self) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.expire()
        self.heard()
        self.server.advance(LONG - 601)
        self.assertEqual(self.statuses(), [b"waiting"])
        self.server.advance(2)
        self.assertEqual(self.heard(), ["terminated giveup"])
        self.assert_nothing_is_left()

    @rfc(3857, "4.7.1", "a waiting subscription gives up for a new one that asks for the same")
    def test_waiting_asked_again(self) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.expire()
        self.heard()
        self.alice.subscribe()
        self.assertEqual(self.heard(), ["terminated giveup", "pending subscribe"])
        self.assertEqual(self.statuses(), [b"pending"])

    @rows(
        {
            "a parameter": {"Event": "news;detail=all"},
            "a filter": {"body": "good", "Content-Type": "text/plain"},
        }
    )
    def test_waiting_asked_for_something_else(self, headers: dict[str, str]) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.expire()
        self.alice.subscribe(**headers)
        self.assertEqual(self.statuses(), [b"waiting", b"pending"])

    @rows({"id": {"Event": "news;id=7"}, "a rate": {"Event": "news;max-rate=1"}})
    def test_waiting_asked_for_the_same_in_other_words(self, headers: dict[str, str]) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.expire()
        self.alice.subscribe(**headers)
        self.assertEqual(self.statuses(), [b"pending"])

    def test_somebody_else_waits(self) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.expire()
        Phone(self.server, "carol", "192.0.2.3").subscribe()
        self.assertEqual(self.statuses(), [b"waiting", b"active"])

    def test_active_timeout(self) -> None:
        self.news.verdicts[ALICE] = Verdict(ALLOW)
        self.alice.subscribe()
        self.alice.take()
        self.expire()
        self.assertEqual(self.heard(), ["active subscribe", "terminated timeout"])
        self.assert_nothing_is_left()

    def test_active_rejected(self) -> None:
        self.news.verdicts[ALICE] = Verdict(ALLOW)
        self.alice.subscribe()
        self.judge(BLOCK)
        self.assertEqual(self.heard()[1:], ["terminated rejected"])

    @rfc(5025, "3.2.1", "confirm puts an active subscription back into pending, without document")
    def test_active_suspended(self) -> None:
        self.news.verdicts[ALICE] = Verdict(ALLOW)
        self.alice.subscribe()
        self.judge(CONFIRM)
        self.assertEqual((self.heard()[1:], self.statuses()), (["pending subscribe"], [b"pending"]))

    def test_a_refresh_is_no_event(self) -> None:
        self.alice.subscribe()
        self.alice.ask()
        self.assertEqual(self.heard(), ["pending subscribe"])

    @rfc(3857, "4.7.2", "an authorised fetch is no news")
    def test_a_fetch(self) -> None:
        self.news.verdicts[ALICE] = Verdict(ALLOW)
        self.alice.subscribe(0)
        self.assertEqual(self.heard(), [])

    @rfc(3857, "4.7.1", "a fetch that nobody has permitted leaves a waiting entry")
    def test_a_fetch_without_policy(self) -> None:
        self.alice.subscribe(0)
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout"])
        self.assertEqual((self.heard(), self.statuses()), (["waiting timeout"], [b"waiting"]))
        self.alice.subscribe(0)
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout"])
        self.assertEqual(self.heard(), ["terminated giveup", "waiting timeout"])
        self.judge(ALLOW)
        self.assertEqual(self.heard(), ["terminated approved"])
        self.assert_nothing_is_left()

    def test_a_listener_that_fails(self) -> None:
        self.patch(self.listener, "moved", lambda *arguments: {}["x"])
        self.assertEqual(self.alice.subscribe().status, 200)
        self.assertEqual(self.alice.take(), ["pending;expires=600"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    @rows(
        {
            "deactivated": (b"deactivated", None, "terminated;reason=deactivated"),
            "probation": (b"probation", 60, "terminated;reason=probation;retry-after=60"),
            "noresource": (b"noresource", None, "terminated;reason=noresource"),
            "giveup": (b"giveup", 0, "terminated;reason=giveup;retry-after=0"),
        }
    )
    def test_dismissed(self, reason: bytes, retry_after: int | None, told: str) -> None:
        self.alice.subscribe()
        self.alice.take()
        self.notifier.end(b"news", BOB, reason, retry_after)
        self.assertEqual(self.alice.take(), [told])
        self.assertEqual(self.heard()[1:], [f"terminated {reason.decode()}"])
        self.assert_nothing_is_left()

    @rows({"invariant": b"invariant", "badfilter": b"badfilter"})
    def test_dismissed_for_reasons_that_are_no_events(self, reason: bytes) -> None:
        self.alice.subscribe()
        self.notifier.end(b"news", BOB, reason)
        self.assertEqual(self.alice.take()[-1:], [f"terminated;reason={reason.decode()}"])
        self.assertEqual(self.heard()[1:], ["terminated deactivated"])


class Limits(SubscribeCase):
    """How much one may ask for."""

    text = (
        NEWS
        + f"waiting = {LONG}.0\nper_watcher = 3\nper_source = 5\nunauthorized = 2\nunproven = 2\n"
    )

    def subscribe(self, count: int, phone: Phone | None = None, expires: int = 600) -> list[int]:
        """Subscribe to so many users, and return the answers."""
        phone, statuses = phone or self.alice, []
        for number in range(count):
            statuses.append(phone.subscribe(expires, to=f"user{number}").status)
            phone.take()
        return statuses

    def test_of_a_watcher(self) -> None:
        self.assertEqual(self.subscribe(4), [200, 200, 200, 403])
        self.alice.ask(0)  # it is about a dialog that is none: the last one was refused
        self.server.advance(601)
        self.assertEqual(self.subscribe(1), [200])

    def test_of_an_address(self) -> None:
        others = [Phone(self.server, name, "192.0.2.1") for name in ("carol", "dave")]
        self.assertEqual(self.subscribe(3, others[0]), [200] * 3)
        self.assertEqual(self.subscribe(3, others[1]), [200, 200, 403])

    def test_a_refresh_is_none_more(self) -> None:
        self.subscribe(3)
        self.assertEqual(self.alice.ask().status, 200)

    @rfc(3857, "4.7.1", "a watcher may not have more than some that are pending or waiting")
    def test_unauthorized(self) -> None:
        self.news.handling = CONFIRM
        self.assertEqual(self.subscribe(3), [200, 200, 403])
        self.assertEqual(self.subscribe(1, Phone(self.server, "carol", "192.0.2.3")), [200])

    def test_who_waits_makes_room(self) -> None:
        """The oldest that waits without a dialog gives up."""
        self.news.handling = CONFIRM
        self.assertEqual(self.subscribe(3, expires=0), [200, 200, 200])
        waiting = [
            len(self.notifier.subscriptions(b"news", b"user%d@example.test" % n)) for n in range(3)
        ]
        self.assertEqual(waiting, [0, 1, 1])
        self.server.advance(LONG + 1)
        self.assert_nothing_is_left()


class Strangers(SubscribeCase):
    """Whom nobody vouches for."""

    text = (
        NEWS
        + f"unproven = 2\nper_watcher = 3\nunauthorized = 2\nwaiting = {LONG}.0\n"
        + '[federation]\ninbound = "open"\n'
        + '[[route]]\ndomain = "b.test"\nto = "sip:192.0.2.9"\n'
    )

    def subscribe(self, number: int, expires: int = 600) -> int:
        """Subscribe as one of a foreign domain, and return the status."""
        self.alice.client.clear()
        self.alice.tag, self.alice.contact = "", f"sip:user{number}@example.test"
        self.alice.call += 1
        sender = f"<sip:user{number}@b.test>;tag={number}"
        contact = "<sip:victim@203.0.113.9>"
        via = f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-{number}"  # a proxy's
        self.alice.client.send(self.alice.request(expires, Via=via, From=sender, Contact=contact))
        return next(m.status for m in self.alice.received if hasattr(m, "status"))

    def test_one_address_may_have_few_that_nobody_has_answered(self) -> None:
        victim = self.server.client("203.0.113.9")
        self.assertEqual([self.subscribe(n) for n in range(4)], [200, 200, 403, 403])
        self.assertEqual(len(victim.received), 2)
        self.server.advance(33)
        self.assertEqual(len(self.notifier), 0)
        self.assertEqual(self.subscribe(9), 200)

    def test_whoever_answers_may_have_more(self) -> None:
        there = self.server.client("203.0.113.9")
        for number in range(4):
            self.assertEqual(self.subscribe(number), 200)
            there.answer(200)
        self.assertEqual([w.identity for w in self.news.watchers], [b""] * 4)

    @rows({"a fetch": ALLOW, "one that is pending": CONFIRM})
    def test_a_last_word_that_nobody_answers_counts_too(self, handling: int) -> None:
        """What asks once is no cheaper a way to have a victim sent to."""
        self.news.handling = handling
        victim = self.server.client("203.0.113.9")
        self.assertEqual([self.subscribe(n, 0) for n in range(4)], [200, 200, 403, 403])
        self.assertEqual(len(victim.received), 2)
        self.server.advance(33)
        self.assertEqual(self.subscribe(9, 0), 200)
        self.assert_nothing_is_left()

    def test_who_ends_them_at_once_has_no_more(self) -> None:
        victim = self.server.client("203.0.113.9")
        statuses = []
        for number in range(4):
            statuses.append(self.subscribe(number))
            self.alice.tag = (self.alice.received[0].to.tag or b"").decode()
            sender = f"<sip:user{number}@b.test>;tag={number}"
            headers = {"Via": f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-end-{number}"}
            headers |= {"From": sender, "Contact": "<sip:victim@203.0.113.9>"}
            self.alice.client.send(self.alice.request(0, **headers))
        self.assertEqual((statuses, len(victim.received)), ([200, 200, 403, 403], 4))
        self.assert_nothing_is_left()

    def test_a_fetch_that_is_answered(self) -> None:
        there = self.server.client("203.0.113.9")
        for number in range(4):
            self.assertEqual(self.subscribe(number, 0), 200)
            there.answer(200)
        self.assert_nothing_is_left()

    @rfc(3857, "4.7.1", "the server may give a waiting subscription up to save memory")
    def test_nobody_whom_nobody_knows_is_remembered(self) -> None:
        self.news.handling = CONFIRM
        there = self.server.client("203.0.113.9")
        self.subscribe(1)
        there.answer(200)
        self.server.advance(601)
        self.assert_nothing_is_left()

    def test_in_the_name_of_somebody_else(self) -> None:
        """Whoever takes a name takes no room of its owner's, and ends nothing."""
        self.news.handling = CONFIRM
        known = Phone(self.server, "carol", "192.0.2.9")
        sender = "<sip:carol@b.test>;tag="
        for number in range(2):
            asked = known.subscribe(0, to=f"user{number}", From=f"{sender}{number}")
            self.assertEqual((asked.status, len(known.take())), (200, 1))
        stranger = Phone(self.server, "carol", "203.0.113.8")
        for number in range(3):
            stranger.subscribe(to=f"user{number}", From=f"{sender}x{number}")
            stranger.take()
        for number in range(2):
            (one, *_) = self.notifier.subscriptions(b"news", b"user%d@example.test" % number)
            self.assertEqual((one.status, one.watcher.identity), (b"waiting", b"sip:carol@b.test"))

    def test_a_refresh_by_whom_nobody_vouches_for(self) -> None:
        """Who has only seen the dialog does not have its documents sent elsewhere."""
        known = Phone(self.server, "carol", "192.0.2.9")
        sender = "<sip:carol@b.test>;tag=1"
        self.assertEqual(known.subscribe(From=sender).status, 200)
        known.take()
        stranger = Phone(self.server, "carol", "203.0.113.8")
        stranger.cseq, stranger.tag, stranger.contact = 9, known.tag, known.contact
        asked = stranger.ask(From=sender, Call_ID="carol-192.0.2.9-1")
        self.assertEqual((asked.status, stranger.notified), (403, []))
        self.assertEqual(known.ask(From=sender).status, 200)
