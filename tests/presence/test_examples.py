"""The example documents of the RFCs go in as they are published and come out with their meaning."""

from __future__ import annotations

from lxml import etree

from sipproxy.interfaces.events import Publication
from sipproxy.presence.composition import Composer
from sipproxy.presence.pidf import Document, Reader
from sipproxy.transport.identity import Identity
from tests.documents import assert_valid
from tests.presence.fakes import PIDF_XML, STARTED, P, outline
from tests.shared import SHARED, needs_shared
from tests.sip.tables import TableCase, rows

SOMEONE = b"someone@example.com"
EXAMPLES = {
    "RFC 3863 §4.2.2, with a prefix": "rfc3863/00.xml",
    "RFC 3863 §4.2.2": "rfc3863/01.xml",
    "RFC 3863 §4.2.4": "rfc3863/02.xml",
    "RFC 3863 §4.3.1": "rfc3863/04.xml",
    "RFC 3863 §4.3.2": "rfc3863/05.xml",
    "RFC 3863 §4.3.3": "rfc3863/06.xml",
    "RFC 4479 §6": "rfc4479/02.xml",
    "RFC 4480 §4": "rfc4480/00.xml",
    "RFC 4482 §4": "rfc4482/01.xml",
    "RFC 5196 §6": "rfc5196/00.xml",
}
TIMED = b"""<presence xmlns="urn:ietf:params:xml:ns:pidf"
     xmlns:ts="urn:ietf:params:xml:ns:pidf:timed-status"
       entity="pres:someone@example.com">
     <tuple id="c8dqui">
       <status>
         <basic>open</basic>
       </status>
       <ts:timed-status from="2005-08-15T10:20:00.000-05:00"
          until="2005-08-22T19:30:00.000-05:00">
          <ts:basic>closed</ts:basic>
       </ts:timed-status>
       <contact>sip:someone@example.com</contact>
     </tuple>
     <note>I'll be in Tokyo next week</note>
   </presence>"""


def corrected(data: bytes) -> bytes:
    """Undo the RFCs' own faults.

    RFC 4479 §6 has no entity; RFC 4480 §4 has a sphere with text, which the schema in §5 does not
    allow: what is sent has no sphere then, though rules go by it.
    """
    if b"entity=" not in data:
        data = data.replace(b"<presence ", b'<presence entity="pres:someone@example.com" ', 1)
    return data.replace(b"<rpid:sphere>bowling league</rpid:sphere>", b"")


def expected(data: bytes) -> etree._Element:
    """Return what a document has to become: the same, under the URI that is subscribed to."""
    root = etree.fromstring(corrected(data))
    root.set("entity", "sip:someone@example.com")
    return root


def unstamped(root: etree._Element, like: etree._Element) -> etree._Element:
    """Take the timestamps that we give tuples off, where another document has none."""
    for element, model in zip(root.iter(P + "tuple"), like.iter(P + "tuple"), strict=True):
        if model.find(P + "timestamp") is None:
            element.remove(element[-1])
    return root


class Example(TableCase):
    """Publishes for someone@example.com."""

    def setUp(self) -> None:
        self.reader = Reader(Identity(["example.com"], [], []), 65536, 1000)
        self.published: list[Publication] = []

    def publish(self, data: bytes) -> Document:
        others = [publication.content for publication in self.published]
        document = self.reader.read(SOMEONE, data, STARTED, others)
        self.published.append(Publication(b"t", PIDF_XML, data, document, 0, len(self.published)))
        return document

    def composed(self) -> etree._Element:
        """Return what is known of someone, as it is sent."""
        root, _ = Composer().compose(SOMEONE, self.published, [], STARTED)
        assert root is not None
        return assert_valid(etree.tostring(root))


@needs_shared("examples")
class ExampleTest(Example):
    """Each example by itself, and beside another publication."""

    @rows(EXAMPLES)
    def test_by_itself(self, file: str) -> None:
        data = (SHARED / "examples" / file).read_bytes()
        wanted = expected(data)
        self.publish(data if b"entity=" in data else corrected(data))
        self.assertEqual(outline(unstamped(self.composed(), wanted)), outline(wanted))

    @rows(EXAMPLES)
    def test_beside_another(self, file: str) -> None:
        """Nothing is lost, and each element stays what it was."""
        data = (SHARED / "examples" / file).read_bytes()
        wanted = expected(data)
        self.publish(data if b"entity=" in data else corrected(data))
        self.publish(
            b'<p:presence xmlns:p="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:x:dm" '
            b'entity="sip:someone@example.com"><p:note>beside</p:note></p:presence>'
        )
        parts = list(map(outline, unstamped(self.composed(), wanted)))
        for element in wanted:
            self.assertIn(outline(element), parts)
        self.assertEqual(len(parts), len(wanted) + 1)

    def test_rfc4482_is_not_well_formed(self) -> None:
        """RFC 4482 §3 closes <display-name> with </card>."""
        data = (SHARED / "examples" / "rfc4482/00.xml").read_bytes()
        self.refuses(400, self.publish, data)

    def test_rfc4480_sphere(self) -> None:
        data = (SHARED / "examples" / "rfc4480/00.xml").read_bytes()
        document = self.publish(data)
        self.assertEqual([sphere.value for sphere in document.spheres], [b"bowling league"])


class TimedTest(Example):
    """RFC 4481 §4, which has no file of its own."""

    def test_example(self) -> None:
        self.publish(TIMED)
        root, until = Composer().compose(SOMEONE, self.published, [], STARTED)
        assert root is not None
        wanted = expected(TIMED)
        self.assertEqual(outline(unstamped(root, wanted)), outline(wanted))
        self.assertEqual(until, 1124119200.0)  # 2005-08-15T15:20:00Z, when it would be the present
