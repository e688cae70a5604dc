"""What a SUBSCRIBE is answered, and what follows it at once (RFC 6665 §4.2.1)."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sipproxy.interfaces.events import BLOCK, CONFIRM, POLITE_BLOCK, Verdict
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.testing import FakeServer
from tests.events.fakes import NEWS, News, NewsFactory, Phone
from tests.installed import install_also
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

ALICE, BOB = b"alice@example.test", b"bob@example.test"


class SubscribeCase(TableCase):
    """A server with a package, and a phone."""

    text = NEWS
    accounts: ClassVar[dict[str, str]] = {}

    def setUp(self) -> None:
        factory = NewsFactory()
        install_also(self, [factory])
        self.server = FakeServer(self.mktemp(), self.text, self.accounts)
        self.news: News = factory.built
        self.notifier = self.server.node.notifier
        self.alice = Phone(self.server)

    def assert_nothing_is_left(self) -> None:
        """Check that every table is empty once transactions have had their time."""
        self.server.advance(40)
        self.assertEqual(self.held(), 0)

    def held(self) -> int:
        """Return how much is kept of subscriptions, by tables, counters and timers."""
        notifier, node = self.notifier, self.server.node
        tables = (notifier._known, notifier._resources, notifier._passes, notifier._changed)
        flows = sum(flow.watchers for flow in node.network.peers.values())  # type: ignore[attr-defined]
        return (
            sum(map(len, tables))
            + len(notifier.states)
            + len(notifier.census)
            + len(node.wheel)
            + len(node.layer)
            + flows
        )


class Initial(SubscribeCase):
    """The first SUBSCRIBE."""

    @rfc(6665, "3.1.1", "the 200 to a SUBSCRIBE has Expires, not longer than was asked for")
    @rows(
        {
            "as asked": ("600", 600),
            "the package's default": (None, 600),
            "too long": ("1000000", 86400),
            "longer than any number": ("9" * 30, 86400),
            "malformed": ("soon", 3600),
            "the least": ("60", 60),
        }
    )
    def test_expires(self, asked: str | None, granted: int) -> None:
        response = self.alice.subscribe(None, **{} if asked is None else {"Expires": asked})
        self.assertEqual((response.status, response.value(b"expires")), (200, b"%d" % granted))
        self.assertEqual(self.alice.notified, [f"active;expires={granted}: nothing yet"])

    @rfc(6665, "4.2.1.1", "423 only where more than 0, less than an hour and less than our minimum")
    def test_interval_too_brief(self) -> None:
        response = self.alice.subscribe(59)
        self.assertEqual((response.status, response.value(b"min-expires")), (423, b"60"))
        self.assertEqual(self.alice.notified, [])
        self.assertEqual(self.alice.subscribe(0).status, 200)

    @rows(
        {
            "unknown package": ({"Event": "weather"}, 489),
            "another case": ({"Event": "News"}, 489),
            "an unknown template": ({"Event": "news.weather"}, 489),
            "no Event": ({"Event": ""}, 489),
            "two packages": ({"Event": "news, weather"}, 400),
            "no token": ({"Event": "ne ws"}, 400),
            "a parameter twice": ({"Event": "news;id=1;id=2"}, 400),
            "nothing acceptable": ({"Accept": "application/pidf+xml"}, 406),
            "Accept": ({"Accept": "text"}, 400),
            "an extension": ({"Require": "eventlist"}, 420),
            "no Contact": ({"Contact": ""}, 400),
            "two contacts": ({"Contact": "<sip:a@192.0.2.1>, <sip:b@192.0.2.1>"}, 400),
            "no SIP contact": ({"Contact": "<tel:+123>"}, 400),
            "any contact": ({"Contact": "*"}, 400),
            "a sips contact without TLS": ({"Contact": "<sips:alice@192.0.2.1>"}, 400),
            "a contact too long": ({"Contact": f"<sip:{'a' * 2048}@192.0.2.1>"}, 400),
            "too much to keep": ({"Record-Route": ", ".join(["<sip:192.0.2.1;lr>"] * 500)}, 513),
            "no SIP route": ({"Record-Route": "<tel:+123>"}, 400),
            "no route at all": ({"Record-Route": "<<>"}, 400),
            "a filter of a kind unknown": ({"body": "x", "Content-Type": "text/html"}, 415),
            "an encoded one": (
                {"body": "x", "Content-Type": "text/plain", "Content-Encoding": "gzip"},
                415,
            ),
        }
    )
    def test_refused(self, headers: dict[str, str], status: int) -> None:
        self.assertEqual(self.alice.subscribe(**headers).status, status)
        self.assertEqual(self.alice.notified, [])
        self.assertEqual((len(self.notifier), len(self.notifier.census)), (0, 0))
        self.assert_nothing_is_left()

    @rfc(6665, "8.2.1", "there is exactly one Event")
    def test_event_twice(self) -> None:
        request = self.alice.request().replace("Event: news", "Event: news\nEvent: news")
        self.alice.contact = "sip:bob@example.test"
        self.alice.client.send(
            request.replace("SUBSCRIBE  SIP", "SUBSCRIBE sip:bob@example.test SIP")
        )
        (response,) = self.alice.received
        assert isinstance(response, Response)
        self.assertEqual(response.status, 400)

    @rfc(6665, "4.2.1.1", "a package that is not understood is answered 489")
    def test_bad_event_names_those_that_there_are(self) -> None:
        self.assertEqual(self.alice.subscribe(Event="weather").value(b"allow-events"), b"news")

    def test_nobody(self) -> None:
        self.news.strangers.add(BOB)
        self.assertEqual(self.alice.subscribe().status, 404)
        self.assert_nothing_is_left()

    def test_who_exists_may_take_its_time(self) -> None:
        self.news.waiting = Deferred()
        self.alice.contact = "sip:bob@example.test"
        self.alice.client.send(self.alice.request())
        self.assertEqual(self.alice.received, [])
        self.news.waiting.callback(True)
        self.assertEqual([m.status for m in self.alice.received if isinstance(m, Response)], [200])
        self.assertEqual(self.alice.notified, ["active;expires=600: nothing yet"])

    @rows({"not": (False, 404), "refused": (Failure(SipError(603)), 603)})
    def test_it_turns_out_later(self, result: Any, status: int) -> None:
        self.news.waiting = Deferred()
        self.alice.contact = "sip:bob@example.test"
        self.alice.client.send(self.alice.request())
        self.news.waiting.callback(result)
        (response,) = self.alice.received
        assert isinstance(response, Response)
        self.assertEqual(response.status, status)
        self.assert_nothing_is_left()

    def test_who_asks_has_gone_meanwhile(self) -> None:
        """Nothing is answered after Timer F of who asked, and nothing is begun (RFC 4320 §4.2)."""
        self.news.waiting = Deferred()
        self.alice.contact = "sip:bob@example.test"
        self.alice.client.send(self.alice.request())
        self.server.advance(33)
        self.news.waiting.callback(True)
        self.assertEqual(self.alice.notified, [])
        self.assert_nothing_is_left()

    @rfc(6665, "4.2.1.3", "who is not authorized is answered 403, or told terminated, rejected")
    @rfc(5025, "3.2.1", "a SUBSCRIBE of who is blocked is answered 403")
    def test_blocked(self) -> None:
        self.news.verdicts[ALICE] = Verdict(BLOCK)
        self.assertEqual(self.alice.subscribe().status, 403)
        self.assert_nothing_is_left()

    @rfc(6665, "4.2.1.1", "a SUBSCRIBE is answered without waiting for a user")
    @rows(
        {
            "pending": (CONFIRM, "pending;expires=600"),
            "polite": (POLITE_BLOCK, "active;expires=600: no news"),
        }
    )
    def test_verdicts(self, handling: int, told: str) -> None:
        self.news.verdicts[ALICE] = Verdict(handling)
        self.assertEqual(self.alice.subscribe().status, 200)
        self.assertEqual(self.alice.notified, [told])

    @rfc(6665, "4.2.1.2", "a NOTIFY follows each SUBSCRIBE that is accepted, after its 200")
    def test_the_answer_goes_first(self) -> None:
        self.alice.subscribe()
        first, second = self.alice.received
        self.assertIsInstance(first, Response)
        self.assertIsInstance(second, Request)

    @rfc(6665, "3.2.1", "the body of a NOTIFY is of a type in Accept, else the package's default")
    @rfc(6665, "4.5.2", "id of Event is in each NOTIFY")
    def test_id(self) -> None:
        self.alice.subscribe(Event="news;id=17;x=y")
        (_, notify) = self.alice.received
        self.assertEqual(notify.value(b"event"), b"news;id=17")

    def test_accept_chooses_the_body_type(self) -> None:
        self.alice.subscribe(Accept="text/html, text/plain;q=0.1")
        (_, notify) = self.alice.received
        self.assertEqual(notify.value(b"content-type"), b"text/html")

    def test_a_bug_of_the_package_is_answered_500_and_leaves_nothing(self) -> None:
        self.patch(self.news, "authorize", lambda *arguments: {}["x"])
        self.assertEqual(self.alice.subscribe().status, 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assert_nothing_is_left()

    def test_a_bug_that_shows_later_leaves_the_state_out(self) -> None:
        self.patch(self.news, "render", lambda *arguments: {}["x"])
        self.assertEqual(self.alice.subscribe().status, 200)
        self.assertEqual(self.alice.take(), ["active;expires=600"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    @rfc(6665, "4.6", "a CANCEL of a SUBSCRIBE is answered, and changes nothing")
    def test_cancel(self) -> None:
        self.alice.contact = "sip:bob@example.test"
        request = self.alice.request()
        self.alice.client.send(request)
        self.alice.take()
        cancel = request.replace("SUBSCRIBE", "CANCEL").replace("Event: news\n", "")
        self.alice.client.send(cancel)
        (response,) = self.alice.received
        assert isinstance(response, Response)
        self.assertEqual((response.status, len(self.notifier)), (200, 1))

    def test_merged(self) -> None:
        self.alice.contact = "sip:bob@example.test"
        request = self.alice.request()
        self.alice.client.send(request)
        self.alice.take()
        self.alice.client.send(request.replace("branch=z9hG4bK-", "branch=z9hG4bK-other-"))
        (response,) = self.alice.received
        assert isinstance(response, Response)
        self.assertEqual((response.status, len(self.notifier)), (482, 1))


class InDialog(SubscribeCase):
    """Later ones."""

    def setUp(self) -> None:
        SubscribeCase.setUp(self)
        self.alice.subscribe()
        self.alice.take()

    @rfc(6665, "4.2.1.4", "a subscription that is not refreshed ends, and its watcher is told so")
    @rfc(6665, "4.2.1.4", "a refresh updates the time, and is followed by a NOTIFY")
    def test_refresh(self) -> None:
        self.server.advance(100)
        self.assertEqual(self.alice.ask(300).status, 200)
        self.assertEqual(self.alice.take(), ["active;expires=300: nothing yet"])
        self.server.advance(299)
        self.assertEqual((len(self.notifier), self.alice.notified), (1, []))
        self.server.advance(1.2)
        self.assertEqual(
            (len(self.notifier), self.alice.take()), (0, ["terminated;reason=timeout"])
        )
        self.assert_nothing_is_left()

    @rows(
        {
            "another call": ({"Call-ID": "other"}, 481),
            "another caller": ({"From": "<sip:alice@example.test>;tag=other"}, 481),
            "another dialog": ({"To": "<sip:bob@example.test>;tag=0123456789abcdef"}, 481),
            "out of order": ({"CSeq": "0 SUBSCRIBE"}, 500),
            "another user": ({"From": "<sip:carol@example.test>;tag=alice1"}, 403),
            "another id": ({"Event": "news;id=1"}, 403),
            "another package": ({"Event": "weather"}, 489),
            "too brief": ({"Expires": "1"}, 423),
            "not acceptable": ({"Accept": "x/y"}, 406),
            "extension": ({"Require": "x"}, 420),
            "two contacts": ({"Contact": "<sip:a@192.0.2.1>, <sip:b@192.0.2.1>"}, 400),
        }
    )
    def test_refused(self, headers: dict[str, str], status: int) -> None:
        """The subscription is as it was."""
        self.assertEqual(self.alice.ask(**headers).status, status)
        self.assertEqual(self.alice.notified, [])
        self.news.texts[BOB] = b"still there"
        self.notifier.changed(b"news", BOB)
        self.server.clock.advance(0)
        self.assertEqual(self.alice.take(), ["active;expires=600: still there"])

    @rfc(6665, "8.2.1", "an Event with an id never matches one without")
    @rfc(6665, "4.5.2", "a new subscription in a dialog is refused, 403 with a reason")
    def test_dialogs_are_not_shared(self) -> None:
        response = self.alice.ask(Event="news;id=1")
        self.assertEqual(response.reason, b"Dialog Sharing Is Not Supported")

    def test_the_same_cseq_is_no_error(self) -> None:
        """Some clients repeat a request with credentials as it was."""
        self.alice.cseq -= 1
        response = self.alice.ask(Via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-x;rport")
        self.assertEqual(response.status, 200)

    @rfc(3261, "12.2.2", "a request that is refused has its sequence number, too")
    def test_cseq_of_what_was_refused(self) -> None:
        self.assertEqual(self.alice.ask(5, CSeq="50 SUBSCRIBE").status, 423)
        self.assertEqual(self.alice.ask(CSeq="49 SUBSCRIBE").status, 500)
        self.assertEqual(self.alice.ask(CSeq="51 SUBSCRIBE").status, 200)

    @rfc(6665, "4.4.1", "a subscription is over once a NOTIFY has said so")
    @rfc(
        6665, "4.4.3", "the NOTIFY that answers Expires 0 is terminated, by timeout, with the state"
    )
    def test_unsubscribe(self) -> None:
        self.assertEqual(self.alice.ask(0).value(b"expires"), b"0")
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout: nothing yet"])
        self.assertEqual(self.alice.ask().status, 481)
        self.assert_nothing_is_left()

    def test_the_request_uri_may_be_the_user(self) -> None:
        """Some clients send everything to the address-of-record."""
        self.alice.contact = "sip:bob@example.test"
        self.assertEqual(self.alice.ask().status, 200)
        self.assertEqual(len(self.alice.take()), 1)

    @rfc(3856, "6.7", "the body is of a type in Accept of the latest SUBSCRIBE, else pidf+xml")
    def test_accept_of_the_latest_counts(self) -> None:
        for accept, media_type in (("text/html", b"text/html"), ("", b"text/plain")):
            self.alice.ask(Accept=accept)
            notify = self.alice.received[-1]
            self.assertEqual(notify.value(b"content-type"), media_type)
            self.alice.take()

    def test_a_filter_stays_until_another_comes(self) -> None:
        filtered = {"Content-Type": "text/plain", "body": "good"}
        self.alice.ask(**filtered)
        self.assertEqual(self.alice.take(), ["active;expires=600"])
        self.alice.ask()
        self.assertEqual(self.alice.take(), ["active;expires=600"])
        self.alice.ask(**filtered | {"body": "nothing"})
        self.assertEqual(self.alice.take(), ["active;expires=600: nothing yet"])

    def test_a_contact_is_not_needed_again(self) -> None:
        self.assertEqual(self.alice.ask(Contact="").status, 200)
        self.assertEqual(len(self.alice.take()), 1)

    @rfc(6665, "3.1", "SUBSCRIBE is a target refresh request")
    def test_target_refresh(self) -> None:
        self.alice.ask(Contact="<sip:other@192.0.2.1:5060;x=y>")
        notify = self.alice.received[-1]
        assert isinstance(notify, Request)
        self.assertEqual(notify.raw_uri, b"sip:other@192.0.2.1:5060;x=y")

    def test_another_connection(self) -> None:
        """Where the client comes from elsewhere, that is where it is told, and at once."""
        self.news.texts[BOB] = b"news"
        self.notifier.changed(b"news", BOB)
        self.server.advance(0.1)  # it is not answered: the old address is dead
        moved = Phone(self.server, host="192.0.2.9")
        moved.cseq, moved.call, moved.tag, moved.contact = 10, 1, self.alice.tag, self.alice.contact
        moved.ask(**{"Call-ID": "alice-192.0.2.1-1"})
        self.assertEqual(moved.take(), ["active;expires=600: news"])
        self.alice.client.clear()
        self.server.advance(40)
        self.assertEqual((self.alice.received, len(self.notifier)), ([], 1))


class OurGruu(SubscribeCase):
    """A SUBSCRIBE to our own Contact, outside of its dialog (RFC 6665 §4.5.1)."""

    @rfc(6665, "4.5.1", "our local target is a GRUU")
    def test_it_leads_to_what_its_dialog_is_about(self) -> None:
        self.alice.subscribe()
        target = self.alice.contact
        self.alice.take()
        carol = Phone(self.server, "carol", "192.0.2.3")
        carol.contact = target
        self.assertEqual(carol.ask(To="<sip:bob@example.test>").status, 200)
        self.assertEqual(carol.take(), ["active;expires=600: nothing yet"])
        (_, other) = self.notifier.subscriptions(b"news", BOB)
        self.assertEqual(other.watcher.aor, b"carol@example.test")

    def test_one_that_is_over(self) -> None:
        self.alice.contact = "sip:s-0123456789abcdef@127.0.0.1:5060;gr"
        self.assertEqual(self.alice.ask(To="<sip:bob@example.test>").status, 404)

    def test_a_gruu_of_a_user_goes_to_the_device(self) -> None:
        self.alice.contact = "sip:bob@example.test;gr=urn:uuid:x"
        self.assertEqual(self.alice.ask(To="<sip:bob@example.test>").status, 480)
        self.assertEqual(self.news.log, [])


class Polling(SubscribeCase):
    """A SUBSCRIBE with Expires 0 (RFC 6665 §4.4.3)."""

    @rfc(
        6665, "4.4.3", "the NOTIFY that answers Expires 0 is terminated, by timeout, with the state"
    )
    def test_fetch(self) -> None:
        self.assertEqual(self.alice.subscribe(0).status, 200)
        self.assertEqual(self.alice.take(), ["terminated;reason=timeout: nothing yet"])
        self.assertEqual(self.notifier.subscriptions(b"news", BOB), ())
        self.assert_nothing_is_left()

    def test_a_fetch_that_nobody_answers(self) -> None:
        self.alice.subscribe(0)
        self.assert_nothing_is_left()

    def test_a_fetch_over_a_connection(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3", "tcp")
        carol.subscribe(0)
        self.assertEqual(carol.take(), ["terminated;reason=timeout: nothing yet"])
        self.assert_nothing_is_left()
