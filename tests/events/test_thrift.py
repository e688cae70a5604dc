"""What a subscription keeps is kept once."""

from __future__ import annotations

from sipproxy.events.conditions import Condition
from sipproxy.events.dialog import Dialog
from sipproxy.events.rare import USUAL, changed
from sipproxy.interfaces.events import CONFIRM, Verdict, Watcher
from sipproxy.sip.message import Request
from tests.events.fakes import BOB, Phone
from tests.events.test_subscribe import SubscribeCase
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows


class WatcherTest(TableCase):
    """Who watches."""

    @rows(
        {
            "a user": (b"bob@example.test", b"sip:bob@example.test"),
            "escaped": (b"b b@example.test", b"sip:b%20b@example.test"),
            "no user": (b"@example.test", b"sip:example.test"),
            "nobody vouches": (b"bob@example.test", b""),
            "another identity": (b"bob@example.test", b"sip:robert@example.test"),
            "a telephone": (b"+1@example.test", b"tel:+1"),
            "nobody, with a telephone": (b"", b"tel:+1"),
            "nobody": (b"", b""),
        }
    )
    def test_what_it_was_made_of(self, aor: bytes, identity: bytes) -> None:
        for also, is_private in (((), False), ((b"tel:+2",), False), ((), True)):
            watcher = Watcher(aor, identity, b'"B"', also, is_private)
            self.assertEqual(
                (watcher.aor, watcher.identity, watcher.also, watcher.is_private),
                (aor, identity, also, is_private),
            )


class RareTest(TableCase):
    """What few have."""

    def test_as_usual_again(self) -> None:
        special = changed(USUAL, condition=Condition(b"a"), gives_up_at=1.0)
        self.assertIsNot(special, USUAL)
        self.assertIs(changed(special, condition=None, gives_up_at=float("inf")), USUAL)


class SharedTest(SubscribeCase):
    """Dialogs with the same."""

    def dialogs(self) -> list[Dialog]:
        """Return those of all who watch."""
        return [one.dialog for one in self.notifier.subscriptions(b"news", BOB) if one.dialog]

    def test_what_lines_have_in_common(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3")
        for phone in (self.alice, carol):
            self.assertEqual(phone.subscribe().status, 200)
            phone.take()
        one, other = self.dialogs()
        self.assertIs(one.opening, other.opening)
        self.assertIs(one.closing, other.closing)

    @rfc(3261, "12.2.1.1", "requests in a dialog have its tags, Call-ID, and our Contact")
    def test_each_has_its_own(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3")
        for phone in (self.alice, carol):
            response = phone.subscribe()
            (notify,) = (m for m in phone.received if isinstance(m, Request))
            self.assertEqual(
                (notify.from_.tag, notify.value(b"to"), notify.call_id),
                (response.to.tag, response.value(b"from"), response.call_id),
            )
            self.assertEqual(notify.value(b"contact"), response.value(b"contact"))
            phone.take()

    def test_most_have_nothing_rare(self) -> None:
        self.alice.subscribe()
        self.alice.take()
        (one,) = self.notifier.subscriptions(b"news", BOB)
        self.assertIs(one.rare, USUAL)

    def test_an_approved_one_has_nothing_rare(self) -> None:
        self.news.verdicts[b"alice@example.test"] = Verdict(CONFIRM)
        self.alice.subscribe()
        self.alice.take()
        (one,) = self.notifier.subscriptions(b"news", BOB)
        self.assertIsNot(one.rare, USUAL)
        self.news.verdicts.clear()
        self.notifier.judge(b"news", BOB)
        self.server.advance(0.1)
        self.alice.take()
        self.assertIs(one.rare, USUAL)


class NameTest(SubscribeCase):
    """What a subscription is known by."""

    def test_it_is_no_way_into_the_dialog(self) -> None:
        """Others may know it; who has not the rest of the tag has no dialog."""
        self.alice.subscribe()
        self.alice.take()
        (one,) = self.notifier.subscriptions(b"news", BOB)
        known, tag = one.id.decode(), self.alice.tag
        self.assertTrue(tag.startswith(known))
        for guess in (known, known + "0" * (len(tag) - len(known)), "?" + tag[1:], f" {tag[1:]}"):
            self.alice.tag = guess
            self.assertEqual(self.alice.ask().status, 481, guess)
        self.alice.tag = tag
        self.assertEqual(self.alice.ask().status, 200)
