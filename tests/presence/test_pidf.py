"""Presence documents as they are published: what is read, what is mended, what is refused."""

from __future__ import annotations

from lxml import etree

from sipproxy.interfaces.events import Publication
from sipproxy.presence.pidf import Document, spheres_at, spheres_change
from tests.documents import assert_valid
from tests.presence.fakes import ALICE, STARTED, Agent, M, P, basics, person, pidf, service
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

OPEN = "<status><basic>open</basic></status>"
MINIMAL = f'<tuple id="t">{OPEN}</tuple>'
ENTITIES = {
    "sip": "sip:alice@example.test",
    "pres": "pres:alice@example.test",
    "another name of ours": "sip:alice@sip.example.test",
    "sips with a port": "sips:alice@example.test:5061",
    "parameters": "sip:alice@example.test;transport=tcp",
    "escaped": "sip:%61lice@example.test",
    "white space": " sip:alice@example.test ",
}
STRANGE_ENTITIES = {
    "somebody else": ("sip:bob@example.test", 403),
    "another domain": ("sip:alice@elsewhere.test", 403),
    "a telephone": ("tel:+12125551212", 403),
    "no URI": ("alice", 400),
    "nothing": ("", 400),
}
# What clients send that the schema does not allow, and what is made of it.
T = "tuple(status(basic) timestamp)"  # what becomes of MINIMAL
MENDED = {
    "the person first": (
        person("p", "<rpid:class>c</rpid:class>") + MINIMAL,
        f"{T} person(class)",
    ),
    "notes before tuples": ("<note>hi</note>" + MINIMAL, f"{T} note"),
    "the contact first": (
        f'<tuple id="t"><contact>sip:a@b.test</contact>{OPEN}</tuple>',
        "tuple(status(basic) contact timestamp)",
    ),
    "a timestamp before the note": (
        f'<tuple id="t">{OPEN}<timestamp>2001-09-09T00:00:00Z</timestamp><note>n</note></tuple>',
        "tuple(status(basic) note timestamp)",
    ),
    "two contacts": (
        f'<tuple id="t">{OPEN}{"<contact>sip:a@b.test</contact>" * 2}</tuple>',
        "tuple(status(basic) contact timestamp)",
    ),
    "a note of PIDF in a person": (
        MINIMAL + person("p", "<dm:note>a</dm:note><note>b</note>"),
        f"{T} person(note note)",
    ),
    "a name that PIDF does not have": (MINIMAL + "<mood>sad</mood>", T),
    "no namespace": (MINIMAL + '<mood xmlns="">sad</mood>', T),
    "an extension of a status, then its basic": (
        '<tuple id="t"><status><x:y/><basic>open</basic></status></tuple>',
        "tuple(status(basic y) timestamp)",
    ),
    "neither open nor closed": (
        MINIMAL + '<tuple id="u"><status><basic>unknown</basic></status></tuple>',
        T,
    ),
    "neither open nor closed, but something else": (
        '<tuple id="t"><status><basic>unknown</basic><x:y/></status></tuple>',
        "tuple(status(y) timestamp)",
    ),
    "an extension that its RFC has otherwise": (
        MINIMAL + person("p", "<rpid:mood>sad</rpid:mood><rpid:class>c</rpid:class>"),
        f"{T} person(class)",
    ),
    "text between elements": (f"{MINIMAL}hello<note>n</note>", f"{T} note"),
    "a device whose name comes first": (
        MINIMAL + '<dm:device id="d"><dm:deviceID>urn:x:1</dm:deviceID><x:y/></dm:device>',
        f"{T} device(y deviceID)",
    ),
}
VALUES = {
    "a basic in capitals": ("<status><basic> Open </basic></status>", f"{P}basic", "open"),
    "a time in small letters": (
        OPEN + "<timestamp>2001-09-09t00:00:00z</timestamp>",
        f"{P}timestamp",
        "2001-09-09T00:00:00Z",
    ),
    "a time that is none": (
        OPEN + "<timestamp>yesterday</timestamp>",
        f"{P}timestamp",
        "2001-09-09T01:46:40.000Z",
    ),
    "a day that is none": (
        OPEN + "<timestamp>2001-02-31T00:00:00Z</timestamp>",
        f"{P}timestamp",
        "2001-09-09T01:46:40.000Z",
    ),
    "a note with elements": (f"{OPEN}<note>so <b>bold</b></note>", f"{P}note", "so bold"),
    "a contact with white space": (
        f'{OPEN}<contact priority="2"> sip:a@b.test </contact>',
        f"{P}contact",
        "sip:a@b.test",
    ),
}
PRIORITIES = {
    "0": ("0", "0"),
    "three digits": ("0.021", "0.021"),
    "1.00": ("1.00", "1.00"),
    "too large": ("1.1", None),
    "four digits": ("0.1234", None),
    "negative": ("-0.5", None),
    "a word": ("high", None),
    "empty": ("", None),
}
NAMES = {
    "a digit first": ("4f", "_4f"),
    "spaces": ("my phone", "_my_phone"),
    "a colon": ("a:b", "_a_b"),
    "white space around": (" t ", " t "),
}
# What phones and programs publish, and the basic status that watchers are shown.
CLIENTS = {
    "baresip": (
        pidf(
            '<dm:person id="p4159"><rpid:activities/></dm:person>',
            '<tuple id="t4109"><status><basic>open</basic></status>',
            "<contact>sip:alice@example.test</contact></tuple>",
        ),
        {"t4109": "open"},
    ),
    "baresip before anybody has said how she is": (
        pidf(
            '<dm:person id="p4159"><rpid:activities/></dm:person>',
            '<tuple id="t4109"><status><basic>unknown</basic></status>',
            "<contact>sip:alice@example.test</contact></tuple>",
        ),
        {},
    ),
    "Linphone": (
        pidf(
            '<tuple id="mg0g2-"><status><basic>open</basic><x:online/></status>',
            '<contact priority="0.42">sip:alice@example.test</contact>',
            "<timestamp>2023-04-07T07:34:48Z</timestamp></tuple>",
        ),
        {"mg0g2-": "open"},
    ),
    "libpurple": (
        pidf(
            '<tuple id="bs35r9f"><status><basic>open</basic></status><note>available</note></tuple>'
        ),
        {"bs35r9f": "open"},
    ),
    "sipML5": (
        pidf(
            '<tuple id="1001"><status><basic>open</basic><x:im>away</x:im></status>',
            '<contact priority="0.8">tel:+33600000000</contact>',
            '<note  xml:lang="fr">Bonjour</note></tuple>',
        ),
        {"_1001": "open"},
    ),
    "pjsua": (
        pidf(
            '<tuple id="pj0123"><status><basic>open</basic></status>',
            "<contact>sip:alice@example.test</contact>",
            "<timestamp>2023-04-07T07:34:48.123Z</timestamp><note>Away</note></tuple>",
            '<dm:person id="pj0124"><rpid:activities><rpid:away/></rpid:activities>',
            "<dm:note>Away</dm:note></dm:person>",
        ),
        {"pj0123": "open"},
    ),
    "Jitsi": (
        pidf(
            '<dm:person id="p7"><rpid:status-icon>http://a.test/a.png</rpid:status-icon>',
            "<rpid:activities><rpid:away/></rpid:activities></dm:person>",
            '<tuple id="t8"><status><basic>open</basic></status>',
            "<contact>sip:alice@example.test</contact><note>Away</note></tuple>",
        ),
        {"t8": "open"},
    ),
    "Blink": (
        pidf(
            '<dm:person id="PID-1"><rpid:activities><rpid:on-the-phone/></rpid:activities>',
            "<rpid:time-offset>60</rpid:time-offset>",
            "<dm:timestamp>2023-04-07T09:34:48.123456+02:00</dm:timestamp></dm:person>",
            '<dm:device id="DID-1"><rpid:user-input>active</rpid:user-input>',
            "<dm:deviceID>urn:uuid:1</dm:deviceID></dm:device>",
            '<tuple id="SID-1"><status><basic>open</basic><x:extended>busy</x:extended></status>',
            "<rpid:user-input>active</rpid:user-input><dm:deviceID>urn:uuid:1</dm:deviceID>",
            '<contact priority="0.5">sip:alice@example.test;gr=1</contact>',
            "<note>In a call</note>",
            "<timestamp>2023-04-07T09:34:48.123456+02:00</timestamp></tuple>",
        ),
        {"SID-1": "open"},
    ),
}
BOMB = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>' + pidf("<note>&c;</note>")[38:]
REFUSED = {
    "not well-formed": (pidf(MINIMAL)[:-3], 400),
    "empty": (b"", 400),
    "text": (b"open", 400),
    "a document type": (b"<!DOCTYPE a>" + pidf(MINIMAL)[38:], 400),
    "an external entity": (
        b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + pidf("<note>&e;</note>")[38:],
        400,
    ),
    "an entity bomb": (BOMB, 400),
    "UTF-16": (pidf(MINIMAL).decode().replace("UTF-8", "UTF-16").encode("utf-16"), 400),
    "Latin 1": (pidf(MINIMAL).replace(b"UTF-8", b"ISO-8859-1"), 400),
    "octets that are no UTF-8": (pidf("<note>\x01</note>").replace(b"\x01", b"\xff"), 400),
    "too deep": (pidf("<x:a>" * 100 + "</x:a>" * 100), 400),
    "20,000 attributes": (
        pidf("<x:a " + " ".join(f'a{n}=""' for n in range(3000)) + "/>"),
        400,
    ),
    "2,000 tuples": (pidf(*(f'<tuple id="t{n}">{OPEN}</tuple>' for n in range(2000))), 413),
    "1,000 elements": (pidf("<x:a/>" * 999), 413),
    "as many mistakes as there can be": (
        pidf(person("p", "<rpid:mood>sad</rpid:mood>" * 990)),
        400,
    ),
    "400 elements, and a mistake": (pidf("<x:a/>" * 400, MINIMAL), 400),
    "a huge note": (pidf(MINIMAL, "<note>" + "x" * 65536 + "</note>"), 413),
    "no namespace": (b'<presence entity="sip:alice@example.test"/>', 400),
    "another namespace": (pidf(MINIMAL).replace(b'ns:pidf"', b'ns:pidf2"'), 400),
    "another element": (b'<tuple xmlns="urn:ietf:params:xml:ns:pidf" id="t"/>', 400),
    "no entity": (pidf(MINIMAL).replace(b"entity", b"identity"), 400),
    "a name twice": (pidf(MINIMAL, MINIMAL), 400),
    "a person of a tuple's name": (pidf(MINIMAL, person("t", "")), 400),
    "a name twice, once mended": (
        pidf(f'<tuple id="a b">{OPEN}</tuple><tuple id="_a_b">{OPEN}</tuple>'),
        400,
    ),
    "a tuple without a name": (pidf(f"<tuple>{OPEN}</tuple>"), 400),
    "a tuple with an empty name": (pidf(f'<tuple id="">{OPEN}</tuple>'), 400),
    "a tuple without a status": (pidf('<tuple id="t"><note>n</note></tuple>'), 400),
    "an empty status": (pidf('<tuple id="t"><status/></tuple>'), 400),
    "a device without an ID": (pidf('<dm:device id="d"/>'), 400),
    "a person without a name": (pidf("<dm:person/>"), 400),
}


def shape(root: etree._Element) -> str:
    """Return the names of what is in a document, as MENDED has them."""

    def inside(element: etree._Element) -> str:
        name = etree.QName(element).localname
        within = " ".join(map(inside, element))
        return f"{name}({within})" if within else name

    return " ".join(map(inside, root))


class ReadingTest(TableCase):
    """What `PresencePackage.check` makes of a body."""

    def setUp(self) -> None:
        self.agent = Agent()

    def read(self, *parts: str) -> Document:
        """Publish a document, which has to become valid."""
        document = self.agent.check(pidf(*parts))
        assert_valid(etree.tostring(document.root))
        return document

    @rows(ENTITIES)
    def test_entity(self, entity: str) -> None:
        document = self.agent.check(pidf(MINIMAL, entity=entity))
        self.assertEqual(document.root.get("entity"), "sip:alice@example.test")

    @rows(STRANGE_ENTITIES)
    @rfc(3863, "4.1.1", "a document has the presentity's own URI as its entity")
    def test_strange_entity(self, entity: str, status: int) -> None:
        self.refuses(status, self.agent.check, pidf(MINIMAL, entity=entity))

    @rows(MENDED)
    def test_mended(self, parts: str, expected: str) -> None:
        self.assertEqual(shape(self.read(parts).root), expected)

    @rows(CLIENTS)
    def test_clients(self, data: bytes, expected: dict[str, str]) -> None:
        document = self.agent.check(data)
        self.assertEqual(basics(assert_valid(etree.tostring(document.root))), expected)

    @rows(VALUES)
    def test_values(self, inside: str, tag: str, expected: str) -> None:
        root = self.read(f'<tuple id="t">{inside}</tuple>').root
        self.assertEqual([element.text for element in root.iter(tag)], [expected])

    @rows(PRIORITIES)
    @rfc(3863, "4.1.5", "a priority that is out of range counts as none")
    def test_priority(self, said: str, kept: str | None) -> None:
        contact = f'<contact priority="{said}">sip:a@b.test</contact>'
        root = self.read(f'<tuple id="t">{OPEN}{contact}</tuple>').root
        self.assertEqual([c.get("priority") for c in root.iter(f"{P}contact")], [kept])

    @rows(NAMES)
    def test_names(self, said: str, kept: str) -> None:
        root = self.read(f'<tuple id="{said}">{OPEN}</tuple>').root
        self.assertEqual(root[0].get("id"), kept)

    def test_languages_of_what_encloses_notes(self) -> None:
        """RFC 3863 §4.1.6 has xml:lang there, the schema has not."""
        data = pidf(
            "<note>un</note>",
            '<note xml:lang="de">zwei</note>',
            person("p", "<dm:note>x</dm:note>"),
        )
        document = self.agent.check(data.replace(b" entity", b' xml:lang="fr" entity'))
        assert_valid(etree.tostring(document.root))
        notes = [e for e in document.root.iter() if e.tag in (f"{P}note", f"{M}note")]
        language = "{http://www.w3.org/XML/1998/namespace}lang"
        self.assertEqual([note.get(language) for note in notes], ["fr", "de", "fr"])

    def test_comments_go(self) -> None:
        """No rule of the presentity's withholds what they say."""
        root = self.read(
            f'<tuple id="t"><!-- at home -->{OPEN}</tuple><note>a<!-- b -->c</note>'
        ).root
        self.assertNotIn(b"<!--", etree.tostring(root))
        self.assertEqual(root.findtext(f"{P}note"), "ac")

    @rfc(
        3863, "4.2.3", "elements of unknown namespaces are kept, also where they must be understood"
    )
    def test_unknown_elements(self) -> None:
        strange = (
            '<x:a xmlns:p="urn:ietf:params:xml:ns:pidf" p:mustUnderstand="1"><x:b c="d"/>e</x:a>'
        )
        within = f'<tuple id="t"><status>{strange}</status>{strange}</tuple>'
        parts = within + person("p", strange) + strange
        root = self.read(parts).root
        found = list(root.iter("{http://example.test/extension}a"))
        self.assertEqual(len(found), 4)
        for element in found:
            self.assertEqual(element.get(f"{P}mustUnderstand"), "1")
            self.assertEqual((element[0].get("c"), element[0].tail), ("d", "e"))

    def test_lunch_is_an_activity(self) -> None:
        """RFC 4480 §3.2 has it, the schema in §5 forgot it."""
        inside = "<rpid:activities><rpid:lunch/></rpid:activities>"
        root = self.agent.check(pidf(person("p", inside))).root
        self.assertEqual(shape(root), "person(activities(lunch))")

    @rows(REFUSED)
    def test_refused(self, data: bytes, status: int) -> None:
        error = self.refuses(status, self.agent.check, data)
        self.assertTrue(error.reason.isascii() and error.reason.isprintable(), error.reason)
        self.assertLess(len(error.reason), 160)

    def test_the_largest_that_is_taken(self) -> None:
        """As many elements and octets as the configuration says."""
        self.agent.check(pidf("<x:a/>" * 998))
        data = pidf(MINIMAL).partition(b"\n")[2]
        Agent(document=len(data), elements=4).check(data)
        self.refuses(413, Agent(document=len(data) - 1).check, data)
        self.refuses(413, Agent(elements=3).check, data)


class StampTest(TableCase):
    """The times that tuples have from us."""

    def setUp(self) -> None:
        self.agent = Agent()

    def stamps(self, publication: Publication) -> list[str | None]:
        """Return the timestamps in a publication."""
        return [e.text for e in publication.content.root.iter(f"{P}timestamp")]

    @rfc(3863, "4.1.7", "every tuple has the time of its last change")
    def test_time_of_the_change(self) -> None:
        data = pidf(MINIMAL, service("u"))
        first = self.agent.publish(data)
        self.assertEqual(self.stamps(first), ["2001-09-09T01:46:40.000Z", "2001-09-09T00:00:00Z"])
        self.agent.host.advance(2.5)
        second = self.agent.publish(data.replace(b'"u"', b'"v"'), first)
        self.assertEqual(self.stamps(second), self.stamps(first))
        third = self.agent.publish(data.replace(b"open", b"closed", 1), second)
        self.assertEqual(self.stamps(third)[0], "2001-09-09T01:46:42.500Z")

    def test_the_same_again(self) -> None:
        first = self.agent.publish(pidf(MINIMAL))
        self.agent.host.advance(10)
        self.assertIs(self.agent.publish(pidf(MINIMAL), first).content, first.content)

    def test_another_publication_has_its_own(self) -> None:
        self.agent.publish(pidf(MINIMAL))
        self.agent.host.advance(1)
        self.assertEqual(
            self.stamps(self.agent.publish(pidf(MINIMAL))), ["2001-09-09T01:46:41.000Z"]
        )


class NameTest(TableCase):
    """Many clients give their tuples one name always."""

    def setUp(self) -> None:
        self.agent = Agent()

    @rfc(3863, "4.1.2", "the tuples of a presentity have different names")
    def test_names_of_two_publications(self) -> None:
        first = self.agent.publish(pidf(service("t"), person("p", "")))
        second = self.agent.publish(pidf(service("t", "closed"), person("q", "")))
        self.assertEqual(basics(self.agent.shown()), {"t": "open", "t.2": "closed"})
        third = self.agent.publish(pidf(service("t", "closed")))
        self.assertEqual(list(basics(self.agent.shown())), ["t", "t.2", "t.3"])
        self.assertEqual(second.content.ids, {"t.2", "q"})
        self.assertEqual((first.content.ids, third.content.ids), ({"t", "p"}, {"t.3"}))

    def test_they_stay(self) -> None:
        """Who came second keeps his name when the first goes, and when he publishes again."""
        first = self.agent.publish(pidf(service("t")))
        second = self.agent.publish(pidf(service("t")))
        self.agent.notifier.published.remove(first)
        self.assertEqual(list(basics(self.agent.shown())), ["t.2"])
        self.agent.publish(pidf(service("t", "closed"), service("u")), second)
        self.assertEqual(basics(self.agent.shown()), {"t.2": "closed", "u": "open"})

    def test_a_name_that_was_given_comes_from_the_publisher(self) -> None:
        """The schema has each name once, and so does what is sent (§4.1.2)."""
        self.agent.publish(pidf(service("t")))
        second = self.agent.publish(pidf(service("t")))
        self.agent.publish(pidf(service("t"), service("t.2", "closed")), second)
        self.assertEqual(list(basics(self.agent.shown())), ["t", "t.3", "t.2"])

    def test_a_name_that_is_made_is_free(self) -> None:
        self.agent.publish(pidf(service("t"), service("t.2")))
        self.agent.publish(pidf(service("t"), service("t.3")))
        self.assertEqual(list(basics(self.agent.shown())), ["t", "t.2", "t.4", "t.3"])

    def test_names_of_extensions(self) -> None:
        """RPID has names, too (RFC 4480 §3.1); what other namespaces call id is their business."""
        named = '<rpid:mood id="m"><rpid:sad/></rpid:mood><x:y id="o"/><x:z xml:id="n"/>'
        self.agent.publish(pidf(person("p", named)))
        self.agent.publish(pidf(service("m"), service("n"), person("q", '<x:v id="n"/>')))
        self.assertEqual(list(basics(self.agent.shown())), ["m.2", "n.2"])


class SphereTest(TableCase):
    """The sphere that rules ask for (RFC 5025 §3.1.2)."""

    def sphere(self, *spheres: str, at: float = STARTED) -> tuple[bytes | None, float | None]:
        """Return the sphere of so many publications, and when it may be another one."""
        agent = Agent()
        documents = [agent.check(pidf(person("p", f"<rpid:{one}"))) for one in spheres]
        return spheres_at(documents, at), spheres_change(documents, at)

    @rows(
        {
            "none": (b"", ("class>x</rpid:class>",)),
            "an element": (b"work", ("sphere><rpid:work/></rpid:sphere>",)),
            "one of another namespace": (b"scouts", ("sphere><x:scouts/></rpid:sphere>",)),
            "text": (b"bowling league", ("sphere> bowling  league </rpid:sphere>",)),
            "two that agree": (b"work", ("sphere><rpid:work/></rpid:sphere>",) * 2),
            "one of two": (b"home", ("class>x</rpid:class>", "sphere><rpid:home/></rpid:sphere>")),
            "two that differ": (
                b"",
                ("sphere><rpid:work/></rpid:sphere>", "sphere><rpid:home/></rpid:sphere>"),
            ),
            "two in one": (b"", ("sphere><x:a/><x:b/></rpid:sphere>",)),
        }
    )
    @rfc(5025, "3.1.2", "a sphere that is not published, or inconsistently, is undefined")
    def test_sphere(self, expected: bytes, spheres: tuple[str, ...]) -> None:
        self.assertEqual(self.sphere(*spheres), (expected or None, None))

    def test_while_it_lasts(self) -> None:
        until = 'sphere until="2001-09-09T01:46:41Z"><rpid:work/></rpid:sphere>'
        since = 'sphere from="2001-09-09T01:46:41Z"><rpid:home/></rpid:sphere>'
        self.assertEqual(self.sphere(until, since), (b"work", STARTED + 1))
        self.assertEqual(self.sphere(until, since, at=STARTED + 1), (b"home", None))

    def test_of_alice(self) -> None:
        agent = Agent()
        agent.publish(pidf(person("p", "<rpid:sphere>gym</rpid:sphere>")))
        agent.watch()
        self.assertEqual(agent.rules.asked, [(b"sip:bob@example.test", b"gym")])
        self.assertEqual(agent.state().resource, ALICE)
