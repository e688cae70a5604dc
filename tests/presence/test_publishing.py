"""Publications in parts (RFC 5264)."""

from __future__ import annotations

from lxml import etree

from sipproxy.interfaces.events import Publication
from sipproxy.presence.partial import PIDF_DIFF
from sipproxy.presence.patches import MAX_OPERATIONS
from sipproxy.presence.pidf import Document
from tests.presence.fakes import ALICE, NAMESPACES, Agent, basics, pidf, service
from tests.presence.trees import shape
from tests.rfc import rfc
from tests.shared import SHARED, needs_shared
from tests.sip.tables import TableCase, rows

P = 'xmlns:p="urn:ietf:params:xml:ns:pidf-diff"'
ALICES = 'entity="sip:alice@example.test"'
TO_CLOSED = """<p:replace sel="*/tuple[@id='t1']/status/basic/text()">closed</p:replace>"""


def whole(*parts: str, attributes: str = ALICES) -> bytes:
    """Return a <pidf-full>."""
    return f"<p:pidf-full {NAMESPACES} {P} {attributes}>{''.join(parts)}</p:pidf-full>".encode()


def changes(*operations: str, attributes: str = ALICES) -> bytes:
    """Return a <pidf-diff>."""
    return (
        f"<p:pidf-diff {NAMESPACES} {P} {attributes}>{''.join(operations)}</p:pidf-diff>".encode()
    )


class PartialCase(TableCase):
    """Alice publishes."""

    def setUp(self) -> None:
        self.agent = Agent()

    def check(self, data: bytes, replaced: Publication | None = None) -> Document:
        """Have a body checked."""
        return self.agent.package.check(ALICE, PIDF_DIFF, data, replaced)

    def publish(self, data: bytes, replaced: Publication | None = None) -> Publication:
        """Publish in parts."""
        content = self.check(data, replaced)
        publication = Publication(b"t", PIDF_DIFF, data, content, 0, 1)
        self.agent.notifier.published[:] = [publication]
        return publication

    def basics(self) -> dict[str, str]:
        """Return what alice's services are said to be."""
        return basics(self.agent.shown())


class PublishTest(PartialCase):
    """§4.3."""

    @rfc(5264, "4.3.1", "pidf-full is taken as the document that is published")
    def test_full(self) -> None:
        self.publish(whole(service("t1"), service("t2", "closed")))
        self.assertEqual(self.basics(), {"t1": "open", "t2": "closed"})
        other = Agent()
        other.publish(pidf(service("t1"), service("t2", "closed")))
        self.assertEqual(shape(self.agent.shown()), shape(other.shown()))

    @rfc(5264, "4.3.2", "the operations of pidf-diff are applied in sequence to what was published")
    def test_difference(self) -> None:
        first = self.publish(whole(service("t1"), service("t2")))
        add = f'<p:add sel="*/tuple[2]" pos="after">{service("t3")}</p:add>'
        second = self.publish(changes(TO_CLOSED, add), first)
        self.assertEqual(self.basics(), {"t1": "closed", "t2": "open", "t3": "open"})
        self.publish(changes("""<p:remove sel="*/tuple[@id='t3']"/>"""), second)
        self.assertEqual(self.basics(), {"t1": "closed", "t2": "open"})

    def test_selectors_of_presence(self) -> None:
        """The root is <presence> to them, as in the examples of RFC 5262 to 5264."""
        first = self.publish(whole(service("t1")))
        self.publish(changes(TO_CLOSED.replace("*/", "presence/", 1)), first)
        self.assertEqual(self.basics(), {"t1": "closed"})

    def test_difference_to_what_was_published_as_pidf(self) -> None:
        first = self.agent.publish(pidf(service("t1")))
        self.publish(changes(TO_CLOSED), first)
        self.assertEqual(self.basics(), {"t1": "closed"})

    def test_full_in_place_of_a_difference(self) -> None:
        first = self.publish(whole(service("t1")))
        second = self.publish(changes(TO_CLOSED), first)
        self.publish(whole(service("t9")), second)
        self.assertEqual(self.basics(), {"t9": "open"})

    def test_no_operations(self) -> None:
        first = self.publish(whole(service("t1")))
        second = self.publish(changes(), first)
        self.assertEqual(self.basics(), {"t1": "open"})
        self.assertEqual(second.content.key, first.content.key)

    def test_versions_mean_nothing(self) -> None:
        first = self.publish(whole(service("t1"), attributes=f'{ALICES} version="7"'))
        self.publish(changes(TO_CLOSED, attributes=f'{ALICES} version="3"'), first)
        self.assertEqual(self.basics(), {"t1": "closed"})

    @rows({"none": "", "another form": 'entity="pres:alice@sip.example.test"'})
    def test_entity_of_a_difference(self, attributes: str) -> None:
        first = self.publish(whole(service("t1")))
        self.publish(changes(TO_CLOSED, attributes=attributes), first)
        self.assertEqual(self.basics(), {"t1": "closed"})

    def test_what_is_renamed_is_called_as_its_publisher_calls_it(self) -> None:
        """Two devices name their tuples alike; each changes its own."""
        first = self.agent.publish(pidf(service("t1")))
        content = self.check(whole(service("t1")))
        self.assertNotEqual(content.ids, first.content.ids)
        second = Publication(b"u", PIDF_DIFF, b"", content, 0, 2)
        self.agent.notifier.published.append(second)
        changed = self.check(changes(TO_CLOSED), second)
        self.assertEqual(changed.ids, content.ids)
        self.assertEqual(set(basics(changed.root).values()), {"closed"})


class RefusalTest(PartialCase):
    """Nothing is kept of what is refused, and what was published stays (§4.3)."""

    @rfc(5264, "4.3.2", "an initial publication with pidf-diff is answered 400")
    def test_initial_difference(self) -> None:
        error = self.refuses(400, self.check, changes(TO_CLOSED))
        self.assertEqual(error.reason, "Invalid Partial Publication")

    @rows(
        {
            "no XML": b"<p:pidf-diff",
            "a document type": b"<!DOCTYPE a><a/>",
            "neither the one nor the other": pidf(service("t1")),
            "another namespace": b"<pidf-diff/>",
            "no such node": changes("""<p:remove sel="*/tuple[@id='t7']"/>"""),
            "no such operation": changes('<p:move sel="*/note"/>'),
            "the second fails": changes(TO_CLOSED, '<p:remove sel="*/note"/>'),
            "the root goes": changes('<p:remove sel="*"/>'),
            "it is no presence document any more": changes('<p:replace sel="*"><a/></p:replace>'),
            "a status is none any more": changes('<p:remove sel="*/tuple/status/basic"/>'),
            "two of one name": changes(f'<p:add sel="*" pos="prepend">{service("t1")}</p:add>'),
            "entity of another": changes(TO_CLOSED, attributes='entity="sip:bob@example.test"'),
            "entity that is no URI": changes(TO_CLOSED, attributes='entity="alice"'),
            "too many operations": changes(TO_CLOSED * (MAX_OPERATIONS + 1)),
            "too deep": changes('<p:add sel="*/*/*">' + "<x:a>" * 62 + "</x:a>" * 62 + "</p:add>"),
            "line ends in a selector": changes('<p:remove sel="*&#13;&#10;X: y"/>'),
        }
    )
    @rfc(5264, "4.3.2", "errors in processing pidf-diff are answered 400, and nothing has changed")
    def test_difference(self, data: bytes) -> None:
        first = self.publish(whole(service("t1")))
        before = etree.tostring(first.content.root)
        error = self.refuses(400, self.check, data, first)
        self.assertTrue(error.reason.isprintable())
        self.assertEqual(etree.tostring(first.content.root), before)
        self.assertEqual(self.basics(), {"t1": "open"})

    def test_an_error_has_its_name(self) -> None:
        """RFC 5261 §5.1."""
        first = self.publish(whole(service("t1")))
        error = self.refuses(400, self.check, changes('<p:remove sel="*/tuple" ws="both"/>'), first)
        self.assertIn("invalid-whitespace-directive", error.reason)

    @rows(
        {
            "no entity": (400, whole(service("t1"), attributes="")),
            "somebody else's": (403, whole(attributes='entity="sip:bob@example.test"')),
            "no presence document": (400, whole("<tuple/>")),
            "too large": (413, whole(f"<note>{'x' * 70000}</note>")),
        }
    )
    def test_full(self, status: int, data: bytes) -> None:
        self.refuses(status, self.check, data)

    def test_it_grows_no_further_than_any_other(self) -> None:
        publication = self.publish(whole(service("t1")))
        more = changes(f'<p:add sel="*"><x:a>{"x" * 30000}</x:a></p:add>')
        publication = self.publish(more, publication)
        publication = self.publish(more, publication)
        self.refuses(413, self.check, more, publication)

    def test_parts_are_counted_too(self) -> None:
        publication = self.publish(whole(service("t1")))
        notes = changes('<p:add sel="*">' + "<note>x</note>" * 600 + "</p:add>")
        publication = self.publish(notes, publication)
        self.refuses(413, self.check, notes, publication)


@needs_shared("examples", "rfc5264")
class ExampleTest(PartialCase):
    """§6: what is wrong with it is put right first."""

    def example(self, number: int) -> bytes:
        """Return a body of the example, for alice, in the form of the RFCs that came of it.

        It is about somebody else than its Request-URI, and in the form of early drafts of RFC 4479
        and 4480: they have person and device, relationship and activities in other places.
        """
        data = (SHARED / f"examples/rfc5264/0{number}.xml").read_text("utf-8")
        for old, new in (
            ("pres:someone@example.com", "pres:alice@example.test"),
            ("<r:relationship>assistant</r:relationship>", ""),
            ("<r:activity>meeting</r:activity>", ""),
            ('xmlns:r="', 'xmlns:d="urn:ietf:params:xml:ns:pidf:data-model" xmlns:r="'),
            ("<r:person>", '<d:person id="p">'),
            ("</r:person>", "</d:person>"),
            ('<r:device id="urn:esn:600b40c7">', '<d:device id="d">'),
            ("</r:device>", "<d:deviceID>urn:esn:600b40c7</d:deviceID></d:device>"),
            ("<r:status>", ""),
            ("</r:status>", ""),
            ("<c:video>false</c:video>", ""),
            ("r:person/r:status/r:activities", "d:person/r:activities"),
        ):  # fmt: skip
            data = data.replace(old, new)
        return data.encode()

    def test_6(self) -> None:
        first = self.publish(self.example(0))
        self.assertEqual(
            self.basics(), {"sg89ae": "open", "cg231jcr": "open", "r1230d": "closed"}
        )  # fmt: skip
        self.publish(self.example(1), first)
        self.assertEqual(
            self.basics(),
            {"sg89ae": "open", "cg231jcr": "open", "r1230d": "open", "ert4773": "open"},
        )
        root = self.agent.shown()
        self.assertEqual(len(list(root.iter("{*}busy"))), 0)
        self.assertEqual(len(list(root.iter("{*}on-the-phone"))), 1)
        self.assertEqual(
            [one.get("priority") for one in root.iter("{*}contact")], ["0.8", "0.7", "0.9", "0.4"]
        )
