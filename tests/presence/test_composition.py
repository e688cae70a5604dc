"""Composing: what several publications and registrations say becomes one document."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipproxy.interfaces.events import IComposer
from sipproxy.presence.composition import Composer
from tests.documents import assert_valid
from tests.presence.fakes import (
    ALICE,
    STARTED,
    Agent,
    Gone,
    M,
    P,
    basics,
    outline,
    person,
    pidf,
    service,
)
from tests.registrar.fakes import Flow
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

R = "{urn:ietf:params:xml:ns:pidf:rpid}"
X = "{http://example.test/extension}"
AWAY = "<rpid:activities><rpid:away/></rpid:activities>"
BUSY = "<rpid:activities><rpid:busy/></rpid:activities>"


class WithAgent(TableCase):
    """What watchers of alice are shown."""

    def setUp(self) -> None:
        self.agent = Agent()

    def person(self) -> etree._Element:
        """Return the one person of the document."""
        (found,) = self.agent.shown().iter(M + "person")
        return found


class CompositionTest(WithAgent):
    """All that is said is in it."""

    def test_interface(self) -> None:
        verifyObject(IComposer, Composer())

    def test_nothing(self) -> None:
        self.assertEqual(Composer().compose(ALICE, [], [], STARTED), (None, None))
        root = self.agent.shown()
        self.assertEqual(list(basics(root).values()), ["closed"])
        self.assertEqual(root.findtext(f"{P}tuple/{P}contact"), "sip:alice@example.test")

    @rfc(3856, "6.9", "what several sources say of a presentity is one document")
    def test_union(self) -> None:
        """Tuples, notes, devices and whatever else there is, of everybody."""
        device = '<dm:device id="d{0}"><dm:deviceID>urn:x:{0}</dm:deviceID></dm:device>'
        for name in "12":
            notes = f"<note>both</note><note>{name}</note>"
            inside = service(f"t{name}"), notes, device.format(name), f"<x:e>{name}</x:e>"
            self.agent.publish(pidf(*inside))
        root = self.agent.shown()
        self.assertEqual(list(basics(root)), ["t1", "t2"])
        self.assertEqual([note.text for note in root.iter(P + "note")], ["both", "1", "2"])
        self.assertEqual([d.get("id") for d in root.iter(M + "device")], ["d1", "d2"])
        self.assertEqual([e.text for e in root.iter(X + "e")], ["1", "2"])

    def test_two_of_one_contact(self) -> None:
        """RFC 3863 §4.1.2: they may contradict each other, and both are shown."""
        self.agent.publish(pidf(service("t", "open", "sip:alice@example.test")))
        self.agent.publish(pidf(service("u", "closed", "sip:alice@example.test")))
        self.assertEqual(basics(self.agent.shown()), {"t": "open", "u": "closed"})

    def test_prefixes_that_differ(self) -> None:
        """The same prefix means another namespace in another publication."""
        first = pidf(person("p", "<x:a>1</x:a>"), "<x:b/>")
        self.agent.publish(first)
        self.agent.publish(
            first.replace(b"example.test/extension", b"x.test").replace(b'"p"', b'"q"')
        )
        tags = [element.tag for element in self.agent.shown() if element.tag != M + "person"]
        self.assertEqual(tags, [X + "b", "{http://x.test}b"])
        self.assertEqual({child.tag for child in self.person()}, {X + "a", "{http://x.test}a"})


class PersonTest(WithAgent):
    """RFC 4479 §3.2: there can be only one person."""

    @rfc(4479, "3.2", "there is one person, and what several say of it is merged")
    def test_the_latest_counts(self) -> None:
        self.agent.publish(pidf(person("p", AWAY + "<rpid:class>a</rpid:class>", "01:00:00")))
        self.agent.publish(pidf(person("q", BUSY + "<x:only/>", "01:00:01")))
        self.agent.publish(pidf(person("r", AWAY, "00:59:59")))
        found = self.person()
        tags = [child.tag for child in found]
        expected = [R + "activities", X + "only", R + "class", M + "timestamp"]
        self.assertEqual(tags, expected)
        self.assertEqual(found[0][0].tag, R + "busy")
        self.assertEqual(found[-1].text, "2001-09-09T01:00:01Z")
        self.assertEqual(found.get("id"), "p")

    def test_without_a_time_it_is_of_when_it_came(self) -> None:
        self.agent.publish(pidf(person("p", AWAY)))
        self.agent.publish(pidf(person("q", BUSY, "01:46:39")))
        self.assertEqual(self.person()[0][0].tag, R + "away")
        self.agent.host.advance(1)
        self.agent.publish(pidf(person("r", BUSY)))
        self.assertEqual(self.person()[0][0].tag, R + "busy")

    def test_a_clock_that_is_ahead(self) -> None:
        """It counts as of when it came, so that it is not right for ever."""
        self.agent.publish(pidf(person("p", AWAY, "23:00:00")))
        self.agent.host.advance(60)
        self.agent.publish(pidf(person("q", BUSY, "01:47:30")))
        self.assertEqual(self.person()[0][0].tag, R + "busy")

    def test_of_one_time(self) -> None:
        self.agent.publish(pidf(person("p", AWAY, "01:00:00")))
        self.agent.publish(pidf(person("q", BUSY, "01:00:00")))
        self.assertEqual(self.person()[0][0].tag, R + "busy")

    def test_notes_are_kept(self) -> None:
        for name, notes in ("p", "ab"), ("q", "bc"):
            inside = "".join(f"<dm:note>{note}</dm:note>" for note in notes)
            self.agent.publish(pidf(person(name, inside, "01:00:00")))
        self.assertEqual(
            [note.text for note in self.person()], ["b", "c", "a", "2001-09-09T01:00:00Z"]
        )

    def test_several_of_one_name(self) -> None:
        """RPID may say one thing for now and another for later (RFC 4480 §3.1)."""
        later = '<rpid:activities from="2001-09-10T00:00:00Z"><rpid:meal/></rpid:activities>'
        self.agent.publish(pidf(person("p", AWAY + later, "01:00:00")))
        self.agent.publish(pidf(person("q", BUSY, "00:00:00")))
        self.assertEqual([child[0].tag for child in self.person()[:2]], [R + "away", R + "meal"])

    def test_several_in_one_document(self) -> None:
        self.agent.publish(pidf(person("p", AWAY, "01:00:00"), person("q", BUSY, "02:00:00")))
        self.assertEqual(self.person().get("id"), "p")


class StaleTest(WithAgent):
    """A publisher whose connection has closed is gone, though its publication has not expired."""

    def test_closed_until_refreshed(self) -> None:
        flow = Gone()
        inside = "<note>n</note>", person("p", AWAY), service("u")
        more = "<x:kept/>"
        status = "<status><basic>open</basic><x:gone/></status>"
        published = self.agent.publish(
            pidf(f'<tuple id="t">{status}{more}</tuple>', *inside), flow=flow
        )
        before = outline(self.agent.shown())
        flow.is_open = False
        root = self.agent.shown()
        self.assertEqual(basics(root), {"t": "closed", "u": "closed"})
        self.assertEqual([child.tag for child in root[0]], [P + "status", X + "kept"])
        self.assertEqual(len(root[0][0]), 1)
        self.assertEqual(self.person()[0][0].tag, R + "away")
        published.flow = Gone()
        self.assertEqual(outline(self.agent.shown()), before)

    def test_over_udp_nobody_knows(self) -> None:
        flow = Flow()
        self.agent.publish(pidf(service("t")), flow=flow)
        flow.close()
        self.assertEqual(basics(self.agent.shown()), {"t": "open"})

    def test_others_stay_open(self) -> None:
        flow = Gone()
        self.agent.publish(pidf(service("t")), flow=flow)
        self.agent.publish(pidf(service("u")))
        flow.is_open = False
        self.assertEqual(basics(self.agent.shown()), {"t": "closed", "u": "open"})


TIMED = {
    "to come": ("02:00:00", "03:00:00", True),
    "to come, without an end": ("02:00:00", "", True),
    "now": ("01:00:00", "03:00:00", False),
    "now, without an end": ("01:00:00", "", False),
    "past when it was published": ("00:00:00", "01:00:00", True),
}


class TimedTest(WithAgent):
    """RFC 4481: what was, or will be, but never what is."""

    def timed(self, starts: str, ends: str) -> str:
        """Return a timed status between two times of day."""
        until = f' until="2001-09-09T{ends}Z"' if ends else ""
        basic = "<ts:basic>closed</ts:basic>"
        return f'<ts:timed-status from="2001-09-09T{starts}Z"{until}>{basic}</ts:timed-status>'

    def count(self) -> int:
        """Return how many are shown."""
        root = self.agent.shown()
        return len(list(root.iter("{urn:ietf:params:xml:ns:pidf:timed-status}timed-status")))

    @rows(TIMED)
    @rfc(4481, "3", "the time of a timed status does not encompass the present")
    def test_timed(self, starts: str, ends: str, is_shown: bool) -> None:
        self.agent.publish(pidf(service("t", more=self.timed(starts, ends))))
        self.assertEqual(self.count(), int(is_shown))

    def test_its_time_comes(self) -> None:
        """It goes by itself, and stays away when its time has passed."""
        both = self.timed("01:46:50", "01:47:00") + self.timed("01:47:10", "02:00:00")
        self.agent.publish(pidf(service("t", more=both)))
        self.assertEqual(self.count(), 2)
        self.agent.host.advance(10.5)
        self.assertEqual(self.agent.notifier.told, [("changed", ALICE)])
        self.assertEqual(self.count(), 1)
        self.agent.host.advance(19)
        self.assertEqual((self.count(), len(self.agent.notifier.told)), (1, 1))
        self.agent.host.advance(1)
        self.assertEqual((self.count(), len(self.agent.notifier.told)), (0, 2))

    def test_a_publication_that_goes(self) -> None:
        """Nobody is woken for what nobody says any more."""
        self.agent.publish(pidf(service("t", more=self.timed("02:00:00", ""))))
        self.count()
        self.assertEqual(len(self.agent.host.wheel), 1)
        self.agent.notifier.published.clear()
        self.count()
        self.assertEqual(len(self.agent.host.wheel), 0)

    def test_years_from_now(self) -> None:
        timed = self.timed("00:00:00", "").replace("2001", "9999")
        self.agent.publish(pidf(service("t", more=timed)))
        self.assertEqual(self.count(), 1)


_names = st.sampled_from(["a", "b", "t4109", "p4159", "x.2", "_"])
_moods = st.sampled_from(["sad", "happy", "in_awe"])
_texts = st.text("ab <&\u00e9", max_size=8).map(
    lambda text: text.replace("&", "&amp;").replace("<", "&lt;")
)
_stamps = st.sampled_from(["", "00:00:00", "01:00:00", "23:00:00"])
_tuples = st.builds(
    lambda basic, text: (
        "tuple",
        f"<status><basic>{basic}</basic></status><x:y>{text}</x:y><note>{text}</note>",
    ),
    st.sampled_from(["open", "closed"]),
    _texts,
)
_persons = st.builds(
    lambda mood, text, stamp: (
        "dm:person",
        f"<rpid:mood><rpid:{mood}/></rpid:mood><dm:note>{text}</dm:note>"
        + (f"<dm:timestamp>2001-09-09T{stamp}Z</dm:timestamp>" if stamp else ""),
    ),
    _moods,
    _texts,
    _stamps,
)
_devices = st.builds(
    lambda text: ("dm:device", f"<x:z>{text}</x:z><dm:deviceID>urn:x:1</dm:deviceID>"), _texts
)
_documents = st.lists(
    st.tuples(_names, st.one_of(_tuples, _persons, _devices)),
    max_size=5,
    unique_by=lambda part: part[0],
).map(lambda parts: pidf(*(f'<{t} id="{name}">{inside}</{t}>' for name, (t, inside) in parts)))


def count(data: bytes | etree._Element, tag: str) -> int:
    """Return how many elements of a name a document has."""
    root = etree.fromstring(data) if isinstance(data, bytes) else data
    return len(list(root.iter(tag)))


class RandomTest(SynchronousTestCase):
    """Whatever is published, by however many."""

    @given(st.lists(st.tuples(_documents, st.booleans()), max_size=5))
    def test_nothing_is_lost(self, publications: list[tuple[bytes, bool]]) -> None:
        """The document is valid, has every tuple and device, and one person at most."""
        agent = Agent()
        for data, is_gone in publications:
            flow = Gone()
            flow.is_open = not is_gone
            agent.publish(data, flow=flow)
        root = assert_valid(agent.render().data)
        documents = [data for data, _ in publications]
        for tag in (P + "tuple", M + "device"):
            least = sum(count(data, tag) for data in documents)
            closed = tag == P + "tuple" and not documents
            self.assertEqual(count(root, tag), least + closed)
        persons = sum(count(data, M + "person") for data in documents)
        self.assertEqual(count(root, M + "person"), min(persons, 1))
        for tag in (X + "y", X + "z"):
            texts = sorted(
                e.text or "" for data in documents for e in etree.fromstring(data).iter(tag)
            )
            self.assertEqual(sorted(e.text or "" for e in root.iter(tag)), texts)

    @given(st.lists(_documents, max_size=4))
    def test_in_any_order(self, documents: list[bytes]) -> None:
        """The same publications give the same octets, in whatever order they are listed."""
        agent = Agent()
        for data in documents:
            agent.publish(data)
        expected = agent.render().data
        for order in itertools.permutations(agent.notifier.published):
            agent.notifier.published = list(order)
            self.assertEqual(agent.render().data, expected)

    @given(st.lists(_documents, min_size=2, max_size=4), st.data())
    def test_one_goes(self, documents: list[bytes], data: st.DataObject) -> None:
        """The tuples of the others stay as they are, with their names."""
        agent = Agent()
        published = [agent.publish(one) for one in documents]
        before = [outline(e) for e in agent.shown().iter(P + "tuple")]
        gone = data.draw(st.sampled_from(published))
        agent.notifier.published.remove(gone)
        own = [outline(e) for e in gone.content.root.iter(P + "tuple")]
        after = [outline(e) for e in agent.shown().iter(P + "tuple")]
        self.assertEqual(after, [one for one in before if one not in own])
