"""Watcher information (RFC 3857, 3858)."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lxml import etree
from zope.interface.verify import verifyObject

from sipproxy.events.watcherinfo import MEDIA_TYPE
from sipproxy.events.winfo import WatcherInformation
from sipproxy.interfaces.events import (
    ALLOW,
    BLOCK,
    CONFIRM,
    POLITE_BLOCK,
    IEventPackage,
    ISubscriptionListener,
    Verdict,
    Watcher,
)
from sipproxy.sip.grammar import is_token
from sipproxy.sip.message import Request
from sipproxy.sip.uri import aor_uri
from tests.documents import examples
from tests.events.watching import (
    ALICE,
    BOB,
    CAROL,
    STRANGER,
    Host,
    Notifier,
    Package,
    Subscriber,
    Subscription,
    assert_shows,
    known,
)
from tests.rfc import rfc
from tests.shared import needs_shared
from tests.sip.tables import TableCase, rows

PENDING, ACTIVE, WAITING, TERMINATED = b"pending", b"active", b"waiting", b"terminated"
SUBSCRIBE, APPROVED, TIMEOUT = b"subscribe", b"approved", b"timeout"
REJECTED, GIVEUP = b"rejected", b"giveup"
INIT = (b"init", b"")


class WinfoCase(TableCase):
    """Alice's presence, who watches it, and who watches that."""

    def setUp(self) -> None:
        self.host = Host()
        self.package = Package()
        self.winfo = WatcherInformation(self.package, self.host)
        self.made = 0

    @property
    def notifier(self) -> Notifier:
        """Where the subscriptions are."""
        return self.host.notifier

    def watcher(
        self,
        *moves: tuple[bytes, bytes],
        aor: bytes = BOB,
        name: bytes = b"",
        who: Watcher | None = None,
        resource: bytes = ALICE,
    ) -> Subscription:
        """Return a subscription to presence that has gone through these states."""
        self.made += 1
        who = who or known(aor)
        name = name or b"w%d" % self.made
        subscription = Subscription(b"presence", resource, who, name, self.host.now())
        for status, event in moves or [(PENDING, SUBSCRIBE)]:
            self.notifier.move(subscription, status, event)
        return subscription

    def subscriber(self, aor: bytes = ALICE) -> Subscriber:
        """Return one who subscribes to alice's watcher information."""
        return Subscriber(self.host, self.winfo, ALICE, known(aor))


def told(document: etree._Element | None) -> list[tuple[str, str, str]]:
    """Return what a document says of each watcher: id, status and event."""
    assert document is not None
    return [(row.get("id", ""), row.get("status", ""), row.get("event", "")) for row in document[0]]


class PackageTest(WinfoCase):
    """What the package is (RFC 3857 §4.1 to §4.5)."""

    def test_interfaces(self) -> None:
        verifyObject(IEventPackage, self.winfo)
        verifyObject(ISubscriptionListener, self.winfo)

    @rfc(3857, "4.1", "the package is named by appending .winfo, to itself too")
    def test_name(self) -> None:
        self.assertEqual(self.winfo.name, b"presence.winfo")
        self.assertEqual(WatcherInformation(self.winfo, self.host).name, b"presence.winfo.winfo")

    @rfc(3857, "4.5", "notifications are of application/watcherinfo+xml")
    def test_body_types(self) -> None:
        self.assertEqual((self.winfo.body_types, self.winfo.publication_types), ((MEDIA_TYPE,), ()))
        self.assertEqual(MEDIA_TYPE, b"application/watcherinfo+xml")

    @rfc(3857, "4.4", "a subscription lasts an hour where its SUBSCRIBE does not say")
    def test_duration(self) -> None:
        self.assertEqual(self.winfo.default_expires, 3600)

    @rfc(3857, "4.10", "a subscriber is notified not faster than once every five seconds")
    def test_rate(self) -> None:
        self.assertEqual(self.winfo.notify_interval, 5.0)
        slow = WatcherInformation(self.package, Host(winfo_interval=60.0))
        self.assertEqual(slow.notify_interval, 60.0)

    def test_resources_are_those_of_the_package(self) -> None:
        self.assertEqual((self.winfo.exists(ALICE), self.winfo.exists(BOB)), (True, False))

    def test_nobody_publishes(self) -> None:
        self.refuses(489, self.winfo.check, ALICE, b"a/b", b"", None)

    @rfc(4660, "5.2", "a notifier that does not understand filters answers 415")
    @rows(
        {
            "no body": (b"", b"", 0),
            "a filter": (b"<filter-set/>", b"", 415),
            "one that may be ignored": (b"<filter-set/>", b"session; handling=OPTIONAL", 0),
        }
    )
    def test_a_filter_is_for_others(self, body: bytes, disposition: bytes, status: int) -> None:
        request = Request(b"SUBSCRIBE", b"sip:alice@example.test", [], [], body)
        if disposition:
            request.append(b"Content-Disposition", disposition)
        if status:
            self.refuses(status, self.winfo.terms, request, ALICE, None)
        else:
            self.assertIsNone(self.winfo.terms(request, ALICE, None))


class AuthorizationTest(WinfoCase):
    """Who may know what (RFC 3857 §4.6)."""

    @rfc(3857, "4.6", "a user may subscribe to their own watcher information")
    @rfc(3857, "4.6", "an authorized watcher sees the own subscription alone, others nothing")
    @rows(
        {
            "the owner": (known(ALICE), Verdict(BLOCK), (ALLOW, None)),
            "an authorized watcher": (known(BOB), Verdict(ALLOW), (ALLOW, aor_uri(BOB))),
            "one who does not know that they are blocked": (
                known(BOB),
                Verdict(POLITE_BLOCK),
                (ALLOW, aor_uri(BOB)),
            ),
            "one who waits for a decision": (known(BOB), Verdict(CONFIRM), (BLOCK, None)),
            "one who is blocked": (known(BOB), Verdict(BLOCK), (BLOCK, None)),
            "one who is somebody else": (
                Watcher(ALICE, b"sip:bob@b.test"),
                Verdict(BLOCK),
                (BLOCK, None),
            ),
            "one who says to be the owner": (Watcher(ALICE), Verdict(ALLOW), (BLOCK, None)),
            "one whom nobody knows": (Watcher(BOB), Verdict(ALLOW), (BLOCK, None)),
            "an anonymous one": (STRANGER, Verdict(ALLOW), (BLOCK, None)),
        }
    )
    def test_winfo(self, who: Watcher, base: Verdict, expected: tuple[int, Any]) -> None:
        self.package.verdicts[who.aor] = base
        verdict = self.winfo.authorize(ALICE, who)
        self.assertEqual((verdict.handling, verdict.view), expected)

    def test_it_is_asked_again_when_the_package_is(self) -> None:
        for base in (Verdict(ALLOW, until=9.0), Verdict(CONFIRM, until=9.0)):
            self.package.verdicts[BOB] = base
            self.assertEqual(self.winfo.authorize(ALICE, known(BOB)).until, 9.0)

    @rfc(3857, "4.6", "foo.winfo.winfo is for the owner alone, and deeper for nobody")
    @rows(
        {
            "the owner, two deep": (2, ALICE, ALLOW),
            "an authorized watcher, two deep": (2, BOB, BLOCK),
            "the owner, three deep": (3, ALICE, BLOCK),
            "an authorized watcher, three deep": (3, BOB, BLOCK),
        }
    )
    def test_recursion(self, depth: int, aor: bytes, handling: int) -> None:
        self.package.verdicts[BOB] = Verdict(ALLOW)
        package = self.winfo
        for _ in range(depth - 1):
            package = WatcherInformation(package, self.host)
        self.assertEqual(package.authorize(ALICE, known(aor)).handling, handling)

    @rfc(3857, "4.6", "an authorized watcher sees the own subscription alone, others nothing")
    @rfc(3857, "4.7.2", "who watches foo and foo.winfo hears about their own subscription alone")
    def test_a_watcher_sees_the_own_subscriptions(self) -> None:
        self.package.verdicts[BOB] = Verdict(ALLOW)
        self.watcher((ACTIVE, SUBSCRIBE), name=b"bob-1")
        self.watcher((PENDING, SUBSCRIBE), name=b"carol-1", aor=CAROL)
        bob = self.subscriber(BOB)
        self.assertEqual(told(bob.read[0]), [("bob-1", "active", "subscribe")])
        self.watcher((PENDING, SUBSCRIBE), name=b"carol-2", aor=CAROL)
        self.assertIsNone(bob.hear())
        self.watcher((ACTIVE, SUBSCRIBE), name=b"bob-2")
        self.assertEqual(told(bob.hear()), [("bob-2", "active", "subscribe")])

    def test_two_whom_one_peer_vouches_for(self) -> None:
        """RFC 3325: From is a gateway's, and who they are is what it asserts."""
        gateway = b"gw@b.test"
        self.package.verdicts[gateway] = Verdict(ALLOW)
        self.watcher(name=b"one", who=Watcher(gateway, b"sip:one@b.test"))
        who = Watcher(gateway, b"sip:two@b.test")
        self.watcher(name=b"two", who=who)
        found = Subscriber(self.host, self.winfo, ALICE, who)
        self.assertEqual(list(found.rows), ["two"])

    def test_who_is_rejected_is_judged_here_too(self) -> None:
        subscription = self.watcher((ACTIVE, SUBSCRIBE))
        self.subscriber(BOB)
        self.notifier.move(subscription, TERMINATED, REJECTED)
        self.assertEqual(self.notifier.judged, [(b"presence.winfo", ALICE)])


class DocumentTest(WinfoCase):
    """What a document says of a watcher (RFC 3858 §3)."""

    def shown(self, who: Watcher) -> etree._Element:
        """Return the element of a watcher."""
        self.watcher((PENDING, SUBSCRIBE), who=who)
        return self.subscriber().read[0][0][0]

    def test_all_of_it(self) -> None:
        self.watcher((ACTIVE, SUBSCRIBE), who=known(BOB, b'"Bob \\"B\\" Ba\xc3\xb1os"'))
        self.host.time = 509.9
        document = self.subscriber().read[0]
        self.assertEqual(
            (document[0].get("resource"), document[0].get("package")),
            ("sip:alice@example.test", "presence"),
        )
        self.assertEqual(
            dict(document[0][0].attrib),
            {
                "id": "w1",
                "status": "active",
                "event": "subscribe",
                "duration-subscribed": "509",
                "expiration": "3090",
                "display-name": 'Bob "B" Bañ' + "os",
            },
        )
        self.assertEqual(document[0][0].text, "sip:bob@example.test")

    @rfc(3858, "3", "a watcher is shown by the identity that was authenticated")
    @rows(
        {
            "an identity": (
                Watcher(BOB, b"sip:bob@b.test", b"Bob"),
                "sip:bob@b.test",
                "Bob",
            ),
            "one who asks for privacy": (
                Watcher(b"bob@b.test", b"sip:bob@b.test", b'"Bob"', is_private=True),
                "sip:anonymous@anonymous.invalid",
                None,
            ),
            "an anonymous one": (
                Watcher(STRANGER.aor, b"", b'"Anonymous"'),
                "sip:anonymous@anonymous.invalid",
                None,
            ),
            "one whom nobody vouches for": (
                Watcher(BOB, b"", b"Mother"),
                "sip:anonymous@anonymous.invalid",
                None,
            ),
            "octets that XML cannot hold": (
                Watcher(BOB, b"sip:b\xff{ob}%zz%41@b.test", b'"B\x0b\xff"'),
                "sip:b%FF%7Bob%7D%25zz%41@b.test",
                "B\ufffd\ufffd",
            ),
        }
    )
    def test_who(self, who: Watcher, uri: str, display: str | None) -> None:
        element = self.shown(who)
        self.assertEqual((element.text, element.get("display-name")), (uri, display))

    @rows({"waiting": (WAITING, TIMEOUT), "terminated": (TERMINATED, TIMEOUT)})
    def test_what_is_over_does_not_expire(self, status: bytes, event: bytes) -> None:
        alice = self.subscriber()
        subscription = self.watcher()
        alice.hear()
        self.notifier.move(subscription, status, event)
        document = alice.hear()
        assert document is not None
        self.assertIsNone(document[0][0].get("expiration"))

    def test_never_less_than_nothing(self) -> None:
        self.watcher((ACTIVE, SUBSCRIBE))
        self.host.time = 4000.0
        self.assertEqual(self.subscriber().read[0][0][0].get("expiration"), "0")

    @rfc(3858, "3", "the id of a watcher is a token, and stays the same")
    def test_id(self) -> None:
        alice, other = self.subscriber(), self.subscriber()
        subscription = self.watcher()
        alice.hear()
        self.notifier.move(subscription, ACTIVE, APPROVED)
        ids = {told(document)[0][0] for document in (alice.hear(), alice.refresh(), other.hear())}
        self.assertEqual(ids, {"w1"})
        self.assertTrue(is_token(ids.pop().encode()))

    def test_nobody(self) -> None:
        self.assertEqual(told(self.subscriber().read[0]), [])

    def test_other_resources_are_not_there(self) -> None:
        self.watcher(resource=BOB)
        alice = self.subscriber()
        self.watcher(resource=BOB)
        self.assertIsNone(alice.hear())
        self.assertEqual(told(alice.read[0]), [])


# RFC 3857 §4.7.1, figure 1: where from, by which event, where to.
TRANSITIONS = {
    "init, no policy": ([], (PENDING, SUBSCRIBE)),
    "init, accepted": ([], (ACTIVE, SUBSCRIBE)),
    "pending, approved": ([(PENDING, SUBSCRIBE)], (ACTIVE, APPROVED)),
    "pending, timeout": ([(PENDING, SUBSCRIBE)], (WAITING, TIMEOUT)),
    "pending, rejected": ([(PENDING, SUBSCRIBE)], (TERMINATED, REJECTED)),
    "pending, deactivated": ([(PENDING, SUBSCRIBE)], (TERMINATED, b"deactivated")),
    "pending, probation": ([(PENDING, SUBSCRIBE)], (TERMINATED, b"probation")),
    "pending, noresource": ([(PENDING, SUBSCRIBE)], (TERMINATED, b"noresource")),
    "pending, giveup": ([(PENDING, SUBSCRIBE)], (TERMINATED, GIVEUP)),
    "active, rejected": ([(ACTIVE, SUBSCRIBE)], (TERMINATED, REJECTED)),
    "active, deactivated": ([(ACTIVE, SUBSCRIBE)], (TERMINATED, b"deactivated")),
    "active, probation": ([(ACTIVE, SUBSCRIBE)], (TERMINATED, b"probation")),
    "active, timeout": ([(ACTIVE, SUBSCRIBE)], (TERMINATED, TIMEOUT)),
    "active, noresource": ([(ACTIVE, SUBSCRIBE)], (TERMINATED, b"noresource")),
    "waiting, approved": ([(PENDING, SUBSCRIBE), (WAITING, TIMEOUT)], (TERMINATED, APPROVED)),
    "waiting, rejected": ([(PENDING, SUBSCRIBE), (WAITING, TIMEOUT)], (TERMINATED, REJECTED)),
    "waiting, giveup": ([(PENDING, SUBSCRIBE), (WAITING, TIMEOUT)], (TERMINATED, GIVEUP)),
    "waiting, noresource": ([(WAITING, TIMEOUT)], (TERMINATED, b"noresource")),
}


class TransitionTest(WinfoCase):
    """Each arrow of figure 1 (RFC 3857 §4.7.1)."""

    @rfc(3857, "4.7.1", "a watcher is told of with the status and the event that led to it")
    @rows(TRANSITIONS)
    def test_told(self, before: list[tuple[bytes, bytes]], after: tuple[bytes, bytes]) -> None:
        alice = self.subscriber()
        subscription = self.watcher(*before) if before else self.watcher(after)
        if before:
            alice.hear()
            self.notifier.move(subscription, *after)
        document = alice.hear()
        self.assertEqual(told(document), [("w1", after[0].decode(), after[1].decode())])
        assert document is not None
        self.assertEqual(document.get("state"), "partial")
        self.assertEqual(list(alice.rows), [] if after[0] == TERMINATED else ["w1"])

    @rfc(3858, "4", "who is terminated is told of once")
    @rows({name: row for name, row in TRANSITIONS.items() if row[1][0] == TERMINATED})
    def test_an_end_is_told_once(
        self, before: list[tuple[bytes, bytes]], after: tuple[bytes, bytes]
    ) -> None:
        alice = self.subscriber()
        subscription = self.watcher(*before)
        alice.hear()
        self.notifier.move(subscription, *after)
        alice.hear()
        self.assertIsNone(alice.hear())
        self.assertEqual(told(alice.refresh()), [])


class CoalescedTest(WinfoCase):
    """What moves several times between two documents, for each subscriber."""

    @rfc(3857, "4.7.2", "transient states are not told")
    @rows(
        {
            "an authorised fetch": (
                [],
                [(ACTIVE, SUBSCRIBE), (TERMINATED, TIMEOUT)],
                None,
            ),
            "pending and rejected": ([], [(PENDING, SUBSCRIBE), (TERMINATED, REJECTED)], None),
            "a fetch that nobody has decided on": (
                [],
                [(PENDING, SUBSCRIBE), (WAITING, TIMEOUT)],
                ("waiting", "timeout"),
            ),
            "pending and approved": (
                [],
                [(PENDING, SUBSCRIBE), (ACTIVE, APPROVED)],
                ("active", "approved"),
            ),
            "approved and rejected": (
                [(PENDING, SUBSCRIBE)],
                [(ACTIVE, APPROVED), (TERMINATED, REJECTED)],
                ("terminated", "rejected"),
            ),
            "approved and in doubt again": (
                [(PENDING, SUBSCRIBE)],
                [(ACTIVE, APPROVED), (PENDING, SUBSCRIBE)],
                None,
            ),
            "waiting and given up": (
                [(PENDING, SUBSCRIBE)],
                [(WAITING, TIMEOUT), (TERMINATED, GIVEUP)],
                ("terminated", "giveup"),
            ),
        }
    )
    def test_the_latest_counts(
        self,
        before: list[tuple[bytes, bytes]],
        moves: list[tuple[bytes, bytes]],
        expected: tuple[str, str] | None,
    ) -> None:
        alice = self.subscriber()
        subscription = self.watcher(*before, *moves) if not before else self.watcher(*before)
        if before:
            alice.hear()
            for move in moves:
                self.notifier.move(subscription, *move)
        document = alice.hear()
        self.assertEqual(document is None or told(document), not expected or [("w1", *expected)])
        if expected is None:
            self.assertEqual(alice.subscription.memory.moved, {})

    @rfc(3857, "4.7.1", "a new subscription ends the waiting one of the same watcher by giveup")
    def test_a_new_one_for_a_waiting_one(self) -> None:
        waiting = self.watcher((PENDING, SUBSCRIBE), (WAITING, TIMEOUT))
        alice = self.subscriber()
        self.notifier.move(waiting, TERMINATED, GIVEUP)
        self.watcher()
        expected = [("w1", "terminated", "giveup"), ("w2", "pending", "subscribe")]
        self.assertEqual(told(alice.hear()), expected)

    def test_each_subscriber_has_a_memory_of_their_own(self) -> None:
        early = self.subscriber()
        subscription = self.watcher()
        early.hear()
        late = self.subscriber()
        self.notifier.move(subscription, ACTIVE, APPROVED)
        self.assertEqual(told(early.hear()), [("w1", "active", "approved")])
        self.notifier.move(subscription, TERMINATED, TIMEOUT)
        self.assertEqual(told(late.hear()), [("w1", "terminated", "timeout")])
        self.assertEqual(told(early.hear()), [("w1", "terminated", "timeout")])

    def test_an_end_before_a_refresh_is_in_the_full_document(self) -> None:
        subscription = self.watcher()
        alice = self.subscriber()
        self.notifier.move(subscription, TERMINATED, REJECTED)
        self.watcher()
        expected = [("w1", "terminated", "rejected"), ("w2", "pending", "subscribe")]
        self.assertEqual(told(alice.refresh()), expected)
        self.assertEqual(told(alice.refresh()), expected[1:])

    @rfc(3857, "4.7.2", "a fetch is answered with full state")
    @rfc(3857, "4.3", "what a SUBSCRIBE triggers is full, what a change triggers is about it alone")
    def test_full_and_partial(self) -> None:
        self.watcher()
        alice = self.subscriber()
        self.watcher()
        alice.hear()
        alice.refresh()
        shapes = [(d.get("version"), d.get("state"), len(d[0])) for d in alice.read]
        self.assertEqual(shapes, [("0", "full", 1), ("1", "partial", 1), ("2", "full", 2)])

    def test_nobody_subscribes(self) -> None:
        self.watcher((PENDING, SUBSCRIBE), (ACTIVE, APPROVED), (TERMINATED, REJECTED))
        self.assertEqual((self.notifier.dirty, self.notifier.judged), (set(), []))

    def test_one_who_was_told_nothing_yet(self) -> None:
        """A subscription that is pending itself has no memory; its first document is full."""
        pending = Subscription(b"presence.winfo", ALICE, known(ALICE), b"x")
        self.notifier.move(pending, PENDING, SUBSCRIBE)
        self.watcher()
        self.assertIsNone(pending.memory)
        body = self.winfo.render(ALICE, pending, False)
        assert body is not None
        self.assertIn(b'state="full"', body.data)

    def test_one_who_knew_all_without_being_sent_anything(self) -> None:
        """RFC 5839 §6.2: the first NOTIFY had no body, and the subscription has no memory."""
        alice = self.subscriber()
        alice.subscription.memory = None
        self.notifier.dirty.clear()
        self.watcher()
        self.assertEqual(self.notifier.dirty, {(b"presence.winfo", ALICE)})

    def test_of_itself(self) -> None:
        deep = WatcherInformation(self.winfo, self.host)
        self.subscriber()
        alice = Subscriber(self.host, deep, ALICE, known(ALICE))
        self.assertEqual(told(alice.read[0]), [("of-0", "active", "subscribe")])
        self.assertEqual(alice.read[0][0].get("package"), "presence.winfo")
        self.subscriber()
        self.assertEqual(told(alice.hear()), [("of-2", "active", "subscribe")])


class TagTest(WinfoCase):
    """Entity-tags (RFC 5839 §4.1): the same where the same is shown."""

    def test_full_and_partial_lead_to_the_same(self) -> None:
        alice = self.subscriber()
        seen = [alice.tag]
        subscription = self.watcher()
        alice.hear()
        seen.append(alice.tag)
        self.assertEqual(self.subscriber().tag, alice.tag)
        self.notifier.move(subscription, ACTIVE, APPROVED)
        alice.hear()
        seen.append(alice.tag)
        self.notifier.move(subscription, TERMINATED, TIMEOUT)
        alice.hear()
        self.assertEqual((len(set(seen)), alice.tag), (3, seen[0]))

    def test_time_is_no_change(self) -> None:
        self.watcher()
        alice = self.subscriber()
        before = alice.tag
        self.host.time = 100.0
        alice.refresh()
        self.assertEqual(alice.tag, before)


class LimitTest(WinfoCase):
    """A document has as many watchers as the operator says, the next one the rest."""

    def setUp(self) -> None:
        super().setUp()
        self.host = Host(winfo_watchers=2)
        self.winfo = WatcherInformation(self.package, self.host)

    def test_so_many_fit_a_datagram(self) -> None:
        """Else whoever has many watchers, and came by UDP, would never be told of any."""
        self.host = Host()
        self.winfo = WatcherInformation(self.package, self.host)
        for number in range(1000):
            who = known(
                b"%d.with.quite-a-long-name@some.domain.example.org" % number, b"A. Watcher"
            )
            self.watcher((PENDING, SUBSCRIBE), who=who)
        document = etree.tostring(self.subscriber().read[0])
        self.assertLess(len(document), 65_535 - 4_000)

    def test_the_rest_follows(self) -> None:
        for status in (ACTIVE, WAITING, ACTIVE, PENDING, ACTIVE):
            self.watcher((status, SUBSCRIBE))
        alice = self.subscriber()
        ids = [[name for name, _, _ in told(alice.read[0])]]
        while (document := alice.hear()) is not None:
            ids.append([name for name, _, _ in told(document)])
        self.assertEqual(ids, [["w4", "w2"], ["w1", "w3"], ["w5"]])
        self.assertEqual(len(alice.rows), 5)

    def test_within_it_the_order_is_theirs(self) -> None:
        self.watcher((ACTIVE, SUBSCRIBE))
        self.watcher((PENDING, SUBSCRIBE))
        self.assertEqual([name for name, _, _ in told(self.subscriber().read[0])], ["w1", "w2"])


@needs_shared("examples", "rfc3857")
class ExamplesTest(WinfoCase):
    """The documents of RFC 3857 and 3858: where a server sends them, we say the same."""

    def owner(self, resource: bytes) -> Subscriber:
        """Return a resource's owner who subscribes."""
        return Subscriber(self.host, self.winfo, resource, known(resource))

    @rfc(3857, "3.1", "the owner learns who waits for a decision")
    def test_rfc3857_presence_authorization(self) -> None:
        self.watcher(aor=b"A@example.com", name=b"7768a77s", resource=b"B@example.com")
        document = self.owner(b"B@example.com").read[0]
        assert_shows(document, etree.fromstring(examples(3857)["examples/rfc3857/00.xml"]))

    @rfc(3857, "5", "the owner learns what has become of it")
    def test_rfc3857_usage(self) -> None:
        subscription = self.watcher(
            aor=b"A@example.com", name=b"77ajsyy76", resource=b"joe@example.com"
        )
        joe = self.owner(b"joe@example.com")
        self.notifier.move(subscription, ACTIVE, APPROVED)
        joe.hear()
        for document, name in zip(joe.read, ("01", "02"), strict=True):
            example = examples(3857)[f"examples/rfc3857/{name}.xml"]
            assert_shows(document, etree.fromstring(example))

    def test_rfc3858(self) -> None:
        resource = b"professor@example.net"
        a = self.watcher(aor=b"userA@example.net", name=b"8ajksjda7s", resource=resource)
        self.notifier.move(a, ACTIVE, APPROVED)
        self.host.time = 509.0
        who = known(b"userB@example.org", b'"Mr. Subscriber"')
        self.watcher(who=who, name=b"hh8juja87s997-ass7", resource=resource)
        document = self.owner(resource).read[0]
        assert_shows(document, etree.fromstring(examples(3858)["examples/rfc3858/00.xml"]))


_NEXT = {
    b"init": [(PENDING, SUBSCRIBE), (ACTIVE, SUBSCRIBE)],
    PENDING: [(ACTIVE, APPROVED), (WAITING, TIMEOUT), (TERMINATED, REJECTED)],
    ACTIVE: [(TERMINATED, TIMEOUT), (TERMINATED, b"noresource")],
    WAITING: [(TERMINATED, GIVEUP), (TERMINATED, APPROVED)],
}
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(0, 9), st.integers(0, 2)),
        st.tuples(st.just("hear"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("refresh"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 100), st.just(0)),
    ),
    min_size=20,
    max_size=60,
)


class SequenceTest(WinfoCase):
    """Whatever happens, in whatever order each is told of it."""

    @rfc(3858, "3", "versions start at 0 and rise by one with each document")
    @rfc(3858, "4", "partial documents in their order make the full state")
    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(_steps, st.integers(1, 4))
    def test_documents_add_up(self, steps: list[tuple[str, int, int]], most: int) -> None:
        self.setUp()
        self.host = Host(winfo_watchers=most)
        self.winfo = WatcherInformation(self.package, self.host)
        self.package.verdicts[BOB] = Verdict(ALLOW)
        subscribers = [self.subscriber(), self.subscriber(BOB), self.subscriber()]
        watchers: dict[int, Subscription] = {}
        for kind, number, choice in steps:
            if kind == "move":
                self.step(watchers, number, choice)
            elif kind == "wait":
                self.host.time += number
            else:
                getattr(subscribers[number], kind)()
        for subscriber in subscribers:
            self.check(subscriber)

    def step(self, watchers: dict[int, Subscription], number: int, choice: int) -> None:
        """Move a watcher along one of its arrows; one that is over begins anew."""
        watcher = watchers.get(number)
        if watcher is None or watcher.status == TERMINATED:
            self.made += 1
            who = known(BOB if number % 2 else CAROL)
            watcher = Subscription(b"presence", ALICE, who, b"w%d" % self.made, self.host.now())
            watchers[number] = watcher
        moves = _NEXT[watcher.status]
        self.notifier.move(watcher, *moves[choice % len(moves)])

    def check(self, subscriber: Subscriber) -> None:
        """Tell the rest: then what was told is what there is, each end was told once."""
        while subscriber.hear() is not None:
            pass
        view = subscriber.subscription.verdict.view
        shown = {
            watcher.id.decode(): (watcher.status.decode(), watcher.event.decode())
            for watcher in self.notifier.subscriptions(b"presence", ALICE)
            if view is None or watcher.watcher.identity == view
        }
        rows = subscriber.rows.items()
        self.assertEqual({name: (r.get("status"), r.get("event")) for name, r in rows}, shown)
        ends = [
            name
            for document in subscriber.read
            for name, status, _ in told(document)
            if status == "terminated"
        ]
        self.assertEqual(len(ends), len(set(ends)))


class UriTest(TableCase):
    """Any URI and any name makes a valid document."""

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.binary(max_size=20), st.binary(max_size=20))
    def test_valid(self, user: bytes, display: bytes) -> None:
        assume(b"[" not in user)  # of IPv6 references libxml2 knows nothing
        host = Host()
        winfo = WatcherInformation(Package(), host)
        identity = aor_uri(user + b"@b.test")
        for name, uri in ((b"1", identity), (b"2", b"sip:" + user + b"@b.test")):
            who = Watcher(user + b"@b.test", uri, display)
            host.notifier.move(Subscription(b"presence", ALICE, who, name), PENDING, SUBSCRIBE)
        self.assertEqual(len(Subscriber(host, winfo, ALICE, known(ALICE)).rows), 2)
