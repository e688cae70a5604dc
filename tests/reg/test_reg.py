"""The registration package: what it is, who may have it, and what it tells (RFC 3680, 5628)."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree
from zope.interface.verify import verifyObject

from sipproxy.interfaces import DEACTIVATED, REJECTED, Ending
from sipproxy.interfaces.events import ALLOW, BLOCK, IEventPackage, Watcher
from sipproxy.reg.reginfo import GRUU_NAMESPACE, MEDIA_TYPE, NAMESPACE
from sipproxy.registrar.binding import CREATED, Binding, Life
from sipproxy.sip.headers import parse_name_addr
from sipproxy.sip.message import Request
from tests.events.watching import Subscriber, known
from tests.reg.fakes import APPLICATION, DESK, INSTANCE, PHONE, RegBench, contacts
from tests.registrar.fakes import ALICE, Flow
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

BOB = b"bob@example.test"


class RegCase(TableCase):
    """Alice's phones, and who watches them."""

    def setUp(self) -> None:
        self.bench = RegBench()
        self.package = self.bench.package

    def gruus(self, contact: etree._Element) -> tuple[str | None, str | None]:
        """Return the public and the temporary GRUU of a contact."""
        found = [contact.find(f"{{{GRUU_NAMESPACE}}}{kind}-gruu") for kind in ("pub", "temp")]
        public, temporary = (None if one is None else one.get("uri") for one in found)
        return public, temporary


class PackageTest(RegCase):
    """What the package is (RFC 3680 §4.1 to §4.5)."""

    def test_interface(self) -> None:
        verifyObject(IEventPackage, self.package)

    @rfc(3680, "4.5", "notifications are of application/reginfo+xml")
    def test_body_types(self) -> None:
        types = self.package.body_types, self.package.publication_types
        self.assertEqual(types, ((b"application/reginfo+xml",), ()))

    @rfc(3680, "4.4", "a subscription lasts 3761 seconds where its SUBSCRIBE does not say")
    def test_duration(self) -> None:
        self.assertEqual((self.package.name, self.package.default_expires), (b"reg", 3761))

    @rfc(3680, "4.10", "a watcher is notified not faster than once every five seconds")
    def test_rate(self) -> None:
        self.assertEqual(self.package.notify_interval, 5.0)
        self.assertEqual(self.bench.made(notify_interval=0.0).notify_interval, 0.0)

    @rfc(3680, "4.7.1", "every address-of-record has a state, contacts or not")
    def test_resources_are_the_users(self) -> None:
        found = [self.package.exists(aor) for aor in (ALICE, b"nobody@example.test")]
        self.assertEqual(found, [True, False])

    def test_nobody_publishes(self) -> None:
        self.refuses(489, self.package.check, ALICE, MEDIA_TYPE, b"", None)

    @rfc(4660, "5.2", "a notifier that does not understand filters answers 415")
    def test_a_filter_is_refused(self) -> None:
        request = Request(b"SUBSCRIBE", b"sip:alice@example.test", [], [], b"<filter-set/>")
        self.refuses(415, self.package.terms, request, ALICE, None)

    @rows(
        {
            "an address": ("app@b.test", b"app@b.test"),
            "an address of ours by another name": ("sip:%61pp@Example.test", b"app@example.test"),
            "a domain": ("B.test.", b"@b.test"),
        }
    )
    def test_who_is_listed(self, written: str, aor: bytes) -> None:
        self.assertEqual(self.bench.made(watchers=(written,))._watchers, {aor})

    @rows(
        {
            "nothing": "",
            "two": "a@b.test, c@b.test",
            "a URI with parameters": "a@b.test;x=1",
            "a port": "b.test:5060",
            "another scheme": "tel:+12",
            "no ASCII": "é.test",
        }
    )
    def test_who_cannot_be_listed(self, written: str) -> None:
        error = self.assertRaises(ValueError, self.bench.made, watchers=(written,))
        self.assertIn("watchers", str(error))

    @rows({"less than nothing": -1.0, "for ever": float("inf"), "no number": float("nan")})
    def test_interval(self, seconds: float) -> None:
        self.assertRaises(ValueError, self.bench.made, notify_interval=seconds)


class AuthorizationTest(RegCase):
    """Who may know (RFC 3680 §4.6)."""

    @rfc(3680, "4.6", "users may subscribe to their own registration state")
    @rfc(3680, "4.6", "others only where the administrator provides for it")
    @rows(
        {
            "the user": (known(ALICE), ALLOW),
            "another user": (known(BOB), BLOCK),
            "one who says to be the user": (Watcher(ALICE), BLOCK),
            "a listed address": (known(APPLICATION), ALLOW),
            "one who says to be listed": (Watcher(APPLICATION), BLOCK),
            "a peer of a listed domain": (Watcher(b"@edge.test", b"sip:edge.test"), ALLOW),
            "a user of a listed domain": (Watcher(b"x@edge.test", b"sips:x@edge.test:5061"), ALLOW),
            "a domain below it": (Watcher(b"@a.edge.test", b"sip:a.edge.test"), BLOCK),
            "From alone is listed": (Watcher(APPLICATION, b"sip:bob@b.test"), BLOCK),
            "an identity that is no SIP URI": (Watcher(BOB, b"tel:+1"), BLOCK),
            "an anonymous one": (Watcher(b"anonymous@anonymous.invalid"), BLOCK),
        }
    )
    def test_who(self, who: Watcher, handling: int) -> None:
        self.assertEqual(self.package.authorize(ALICE, who).handling, handling)

    def test_by_default_nobody_else(self) -> None:
        package = self.bench.made()
        self.assertEqual(package.authorize(ALICE, known(APPLICATION)).handling, BLOCK)


class ContactTest(RegCase):
    """What is told of a contact (RFC 3680 §5.1)."""

    def shown(self, contact: str, **headers: str) -> etree._Element:
        """Register a contact and return its element."""
        self.bench.register(contact, **headers)
        return self.bench.subscriber().read[0][0][0]

    def test_all_of_it(self) -> None:
        self.bench.host.advance(10)
        contact = f'"Alice \\"A\\"" <{PHONE}>;q=0.50;expires=600;audio;+x="a;b";{INSTANCE}'
        self.bench.register(contact, Call_ID="a&b")
        self.bench.host.advance(5)
        element = self.bench.subscriber().read[0][0][0]
        given = dict(element.attrib)
        self.assertEqual(len(given.pop("id")), 18)
        self.assertEqual(
            given,
            {
                "state": "active",
                "event": "registered",
                "duration-registered": "5",
                "expires": "595",
                "q": "0.50",
                "callid": "a&b",
                "cseq": "1",
            },
        )
        inside = [(etree.QName(e).localname, e.get("name"), e.text) for e in element][:5]
        self.assertEqual(
            inside,
            [
                ("uri", None, PHONE),
                ("display-name", None, 'Alice "A"'),
                ("unknown-param", "audio", None),
                ("unknown-param", "+x", '"a;b"'),
                ("unknown-param", "+sip.instance", '"<urn:x:1>"'),
            ],
        )

    @rfc(3680, "5.1", "what XML cannot hold as it was written is told in another form")
    def test_octets_that_xml_cannot_hold(self) -> None:
        contact = b'"\xc3\xa9\xff\x0b" <sip:a\xff@192.0.2.1>;+x="\x0b"'.decode("latin-1")
        request = self.bench.request(f"<{PHONE}>")
        request.put(b"Contact", contact.encode("latin-1"))
        self.bench.handle(request)
        element = self.bench.subscriber().read[0][0][0]
        texts = [child.text for child in element]
        self.assertEqual(texts, ["sip:a%FF@192.0.2.1", "é\ufffd\ufffd", '"\ufffd"'])

    @rfc(3680, "4.7.1", "an address-of-record without contacts is init")
    def test_none(self) -> None:
        document = self.bench.subscriber().read[0]
        registration = document[0]
        expected = ("sip:alice@example.test", "init", 0)
        found = (registration.get("aor"), registration.get("state"), len(registration))
        self.assertEqual((found, document.get("state")), (expected, "full"))


class EventTest(RegCase):
    """Each cause has its event (RFC 3680 §4.7.1, figure 2)."""

    def setUp(self) -> None:
        super().setUp()
        self.stream = Flow(reliable=True)

    def nothing(self) -> None:
        """No binding yet."""

    def register(self) -> None:
        """A REGISTER binds it, or refreshes it."""
        self.bench.register(f"<{PHONE}>;expires=60", flow=self.stream)

    def create(self) -> None:
        """It is bound without a REGISTER."""
        contact, until = parse_name_addr(f"<{PHONE}>".encode()), self.bench.host.now() + 60
        life = Life(contact.raw_uri, self.bench.host.now())
        fixed = Binding(contact, b"", 1.0, until, b"", 0, (), None, None, 0, life, CREATED)
        self.bench.host.location.commit(ALICE, [fixed])

    def shorten(self) -> None:
        """An administrator wants it to register anew soon."""
        (binding,) = self.bench.host.location.bindings(ALICE)
        until = self.bench.host.now() + 10
        self.bench.host.location.commit(ALICE, [binding.shortened(until)])

    def expire(self) -> None:
        """Nothing is heard of it."""
        self.bench.host.advance(60.5)

    def unregister(self) -> None:
        """The client takes it back."""
        self.bench.register(f"<{PHONE}>;expires=0")

    def close(self) -> None:
        """Its connection is lost."""
        self.stream.close()

    def deactivate(self) -> None:
        """An administrator wants it to register anew at once."""
        self.bench.host.location.commit(ALICE, [], DEACTIVATED)

    def reject(self) -> None:
        """An administrator does not want it any more."""
        self.bench.host.location.commit(ALICE, [], REJECTED)

    def suspend(self) -> None:
        """An administrator wants it to register anew later."""
        self.bench.host.location.commit(ALICE, [], Ending(b"probation", 30))

    @rfc(3680, "4.7.1", "a contact is told of with the event that led to its state")
    @rfc(3680, "5.1", "expires stands beside shortened, retry-after beside probation")
    @rows(
        {
            "registered": (nothing, register, "active", {"expires": "60"}),
            "created": (nothing, create, "active", {"expires": "60"}),
            "refreshed": (register, register, "active", {"expires": "60"}),
            "shortened": (register, shorten, "active", {"expires": "10"}),
            "expired": (register, expire, "terminated", {}),
            "unregistered": (register, unregister, "terminated", {}),
            "deactivated": (register, deactivate, "terminated", {}),
            "deactivated by a lost flow": (register, close, "terminated", {}),
            "probation": (register, suspend, "terminated", {"retry-after": "30"}),
            "rejected": (register, reject, "terminated", {}),
        }
    )
    def test_event(
        self,
        before: Callable[[EventTest], None],
        act: Callable[[EventTest], None],
        state: str,
        attributes: dict[str, str],
    ) -> None:
        before(self)
        alice = self.bench.subscriber()
        act(self)
        document = alice.hear()
        assert document is not None
        event = self.id().rpartition("test_event_")[2].partition("_")[0]
        self.assertEqual(contacts(document), [(PHONE, state, event)])
        element = document[0][0]
        left = {name: element.get(name) for name in ("expires", "retry-after")}
        self.assertEqual({k: v for k, v in left.items() if v}, attributes)
        self.assertEqual(document[0].get("state"), state)
        self.assertEqual(document.get("state"), "partial")

    @rfc(3680, "4.7.1", "from terminated to init is never told")
    def test_terminated_is_told_once_and_init_not_at_all(self) -> None:
        self.register()
        alice = self.bench.subscriber()
        self.unregister()
        alice.hear()
        self.assertIsNone(alice.hear())
        self.bench.host.advance(3600)
        self.assertIsNone(alice.hear())
        self.assertEqual([d[0].get("state") for d in alice.read], ["active", "terminated"])

    def test_one_of_two_goes(self) -> None:
        self.register()
        self.bench.register(f"<{DESK}>;q=0.1")
        alice = self.bench.subscriber()
        self.unregister()
        document = alice.hear()
        assert document is not None
        self.assertEqual(contacts(document), [(PHONE, "terminated", "unregistered")])
        self.assertEqual(document[0].get("state"), "active")


class CoalescedTest(RegCase):
    """What happens several times between two documents, for each watcher."""

    @rfc(3680, "4.7.2", "a notification has the contacts that have changed, a fetch gets all")
    def test_full_and_partial(self) -> None:
        self.bench.register(f"<{PHONE}>")
        alice = self.bench.subscriber()
        self.bench.register(f"<{DESK}>")
        alice.hear()
        alice.refresh()
        shapes = [(d.get("version"), d.get("state"), len(d[0])) for d in alice.read]
        self.assertEqual(shapes, [("0", "full", 1), ("1", "partial", 1), ("2", "full", 2)])

    def test_come_and_gone(self) -> None:
        alice = self.bench.subscriber()
        self.bench.register(f"<{PHONE}>")
        self.bench.register(f"<{PHONE}>;expires=0")
        self.assertIsNone(alice.hear())

    def test_gone_and_come(self) -> None:
        self.bench.register(f"<{PHONE}>")
        self.bench.host.advance(5)
        alice = self.bench.subscriber()
        self.bench.register(f"<{PHONE}>;expires=0")
        self.bench.register(f"<{PHONE}>")
        document = alice.hear()
        assert document is not None
        self.assertEqual(contacts(document), [(PHONE, "active", "registered")])
        self.assertEqual(document[0][0].get("duration-registered"), "0")

    def test_refreshed_and_gone(self) -> None:
        self.bench.register(f"<{PHONE}>")
        alice = self.bench.subscriber()
        self.bench.register(f"<{PHONE}>;q=0.3", Call_ID="2")
        self.bench.host.location.commit(ALICE, [], REJECTED)
        document = alice.hear()
        assert document is not None
        self.assertEqual(contacts(document), [(PHONE, "terminated", "rejected")])
        self.assertEqual((document[0][0].get("q"), document[0][0].get("callid")), ("0.3", "2"))

    def test_an_end_before_a_refresh_is_in_the_full_document(self) -> None:
        self.bench.register(f"<{PHONE}>")
        alice = self.bench.subscriber()
        self.bench.register(f"<{PHONE}>;expires=0")
        document = alice.refresh()
        self.assertEqual(contacts(document), [(PHONE, "terminated", "unregistered")])
        self.assertEqual(document[0].get("state"), "terminated")
        self.assertEqual(alice.refresh()[0].get("state"), "init")

    def test_expired_before_the_table_has_noticed(self) -> None:
        self.bench.register(f"<{PHONE}>;expires=60")
        alice = self.bench.subscriber()
        self.bench.host.clock.rightNow += 60
        self.assertEqual(contacts(alice.refresh()), [(PHONE, "terminated", "expired")])
        self.bench.host.advance(1)
        self.assertIsNone(alice.hear())

    def test_each_watcher_has_a_memory_of_their_own(self) -> None:
        self.bench.register(f"<{PHONE}>")
        early = self.bench.subscriber()
        self.bench.register(f"<{PHONE}>;expires=0")
        late = self.bench.subscriber()
        self.assertEqual(contacts(early.hear()), [(PHONE, "terminated", "unregistered")])
        self.assertIsNone(late.hear())

    def test_other_users_are_not_told_of(self) -> None:
        bob = self.bench.subscriber(BOB)
        self.bench.register(f"<{PHONE}>")
        self.assertIsNone(bob.hear())
        self.assertEqual(bob.rows, {})


class IdTest(RegCase):
    """The ids of registrations and contacts (RFC 3680 §5.1)."""

    def ids(self, subscriber: Subscriber) -> tuple[set[str | None], dict[str, set[str]]]:
        """Return all ids of registrations, and of each contact, that a watcher was told."""
        found: dict[str, set[str]] = {}
        for document in subscriber.read:
            for contact in document[0]:
                found.setdefault(contact[0].text or "", set()).add(contact.get("id", ""))
        return {document[0].get("id") for document in subscriber.read}, found

    @rfc(3680, "5.1", "the id of a registration stays the same, and that of a contact")
    def test_they_stay(self) -> None:
        watchers = [self.bench.subscriber(), self.bench.application()]
        for _ in range(2):
            for contact in (f"<{PHONE}>", f"<{DESK}>", f"<{PHONE}>", f"<{PHONE}>;expires=0"):
                self.bench.register(contact)
                for watcher in watchers:
                    watcher.hear()
        found = [self.ids(watcher) for watcher in watchers]
        self.assertEqual(found[0], found[1])
        registrations, of_contacts = found[0]
        self.assertEqual([len(registrations), *map(len, of_contacts.values())], [1, 1, 1])

    @rfc(3680, "5.1", "what differs has another id")
    def test_they_differ(self) -> None:
        flow = Flow(reliable=True)
        self.bench.bind(PHONE, flow, reg_id=1)
        self.bench.bind(PHONE, flow, reg_id=2)
        self.bench.register(f"<{PHONE}>", f"<{PHONE};transport=tcp>")
        bob = self.bench.subscriber(BOB)
        alice = self.bench.subscriber()
        self.assertEqual(len(alice.rows), 4)
        self.assertNotEqual(alice.read[0][0].get("id"), bob.read[0][0].get("id"))

    @rows(
        {
            "as before": (PHONE, True),
            "an escape": ("sip:%61lice@192.0.2.1", True),
            "a parameter that nobody knows": (f"{PHONE};x=1", True),
            "another port": (f"{PHONE}:5060", False),
        }
    )
    def test_equal_uris(self, again: str, is_same: bool) -> None:
        self.bench.register(f"<{PHONE}>")
        alice = self.bench.subscriber()
        before = set(alice.rows)
        self.bench.register(f"<{again}>")
        document = alice.hear()
        assert document is not None
        self.assertEqual({document[0][0].get("id")} == before, is_same)

    def test_they_outlive_the_process(self) -> None:
        """They are of the key alone, and without it nobody can tell whose they are."""
        other = RegBench()
        other.package = other.made(b"another key")
        ids = [bench.subscriber().read[0][0].get("id") for bench in (self.bench, RegBench(), other)]
        self.assertEqual(ids[0], ids[1])
        self.assertNotEqual(ids[0], ids[2])


class GruuTest(RegCase):
    """The GRUUs of contacts (RFC 5628 §5)."""

    def setUp(self) -> None:
        super().setUp()
        self.bench.host.advance(7300)  # what was before the start is of no account now

    def given(self) -> str:
        """Return the temporary GRUU of the instance now."""
        response = self.bench.register(Supported="gruu")
        value = response.raw_values(b"contact")[0].decode()
        return value.partition('temp-gruu="')[2].partition('"')[0]

    @rfc(5628, "5", "a contact of an instance has its public GRUU")
    @rfc(5628, "5", "the latest temporary GRUU is for those who may register it alone")
    def test_who_is_told_which(self) -> None:
        self.bench.bind(PHONE)
        public = "sip:alice@example.test;gr=urn:x:1"
        found = [self.bench.subscriber(), self.bench.application()]
        gruus = [self.gruus(watcher.read[0][0][0]) for watcher in found]
        self.assertEqual(gruus, [(public, self.given()), (public, None)])

    def test_no_instance(self) -> None:
        self.bench.register(f"<{PHONE}>")
        self.assertEqual(self.gruus(self.bench.subscriber().read[0][0][0]), (None, None))

    @rfc(5628, "5", "contacts of one instance have the same GRUUs")
    @rfc(5628, "5", "first-cseq is the CSeq that the oldest valid temporary GRUU came of")
    def test_flows_of_an_instance(self) -> None:
        flow = Flow(reliable=True)
        self.bench.bind(PHONE, flow, reg_id=1)
        alice, application = self.bench.subscriber(), self.bench.application()
        self.bench.bind(PHONE, flow, reg_id=2)
        alice.hear()
        self.assertEqual({self.gruus(row)[1] for row in alice.rows.values()}, {self.given()})
        path = f"{{{GRUU_NAMESPACE}}}temp-gruu"
        firsts = {row.find(path).get("first-cseq") for row in alice.rows.values()}  # type: ignore[union-attr]
        self.assertEqual(firsts, {"1"})
        document = application.hear()
        self.assertEqual(len(contacts(document)), 1, "nothing that it may know has changed")

    def test_what_is_over_has_no_temporary_one(self) -> None:
        self.bench.bind(PHONE)
        alice = self.bench.subscriber()
        self.bench.bind(PHONE, Expires="0")
        document = alice.hear()
        assert document is not None
        self.assertEqual(self.gruus(document[0][0]), ("sip:alice@example.test;gr=urn:x:1", None))

    def test_elements_stand_last(self) -> None:
        """The schema has others' elements after its own (RFC 3680 §5.4)."""
        self.bench.bind(PHONE)
        spaces = [etree.QName(e).namespace for e in self.bench.subscriber().read[0][0][0]]
        self.assertEqual(spaces, [NAMESPACE] * 2 + [GRUU_NAMESPACE] * 2)


class TagTest(RegCase):
    """Entity-tags (RFC 5839 §4.1): the same where the same is shown."""

    def test_full_and_partial_lead_to_the_same(self) -> None:
        alice = self.bench.subscriber()
        seen = [alice.tag]
        for contact in (f"<{PHONE}>", f"<{PHONE}>", f"<{DESK}>", f"<{PHONE}>;expires=0"):
            self.bench.register(contact)
            alice.hear()
            seen.append(alice.tag)
            self.assertEqual(self.bench.subscriber().tag, alice.tag)
        self.assertEqual(len(set(seen)), 5)
        self.bench.register("*", Expires="0")
        alice.hear()
        self.assertEqual(alice.tag, seen[0])

    def test_time_is_no_change(self) -> None:
        self.bench.register(f"<{PHONE}>")
        alice = self.bench.subscriber()
        before = alice.tag
        self.bench.host.advance(10)
        alice.refresh()
        self.assertEqual(alice.tag, before)
