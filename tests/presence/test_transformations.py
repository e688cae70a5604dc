"""What a watcher is shown of a presence document (RFC 5025 §3.3, §4): a table, and properties."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.presence.permissions import (
    ATTRIBUTES,
    EVERY,
    EVERYTHING,
    FULL,
    Permissions,
    combined,
)
from sipproxy.presence.transformations import transformed
from tests.documents import assert_valid, canonical, examples
from tests.presence.rulesets import ALL, WHOLE, choose, granted, presence, provide, unknown
from tests.rfc import rfc

WORK = "<r:class>work</r:class>"
PERSON = '<dm:person id="p1">{}</dm:person>'
DEVICE = '<dm:device id="d1">{}<dm:deviceID>urn:x:d1</dm:deviceID>{}</dm:device>'
SERVICE = (
    '<tuple id="t1"><status><basic>open</basic></status>{}<contact>sip:a@b.test</contact>{}</tuple>'
)
EMPTY = SERVICE.format("", "")
LAST = 'last-input="2026-01-01T00:00:00Z"'
INPUT = f'<r:user-input idle-threshold="600" {LAST} id="u">idle</r:user-input>'
TIME = "<{}timestamp>2026-01-01T00:00:00Z</{}timestamp>"
TIME, MODEL_TIME = TIME.format("", ""), TIME.format("dm:", "dm:")
EVERYBODY = (
    SERVICE.format("", "")
    + PERSON.format("")
    + PERSON.replace("p1", "p2").format(WORK)
    + DEVICE.format("", "")
)
IM = '<tuple id="t2"><status><basic>open</basic></status><contact>im:a@b.test</contact></tuple>'
BARE = '<tuple id="t3"><status><basic>closed</basic></status></tuple>'
D2 = '<dm:device id="d2"><dm:deviceID>urn:x:d2</dm:deviceID></dm:device>'

# name: (transformations, what there is, what is shown)
TABLE = {
    # §3.3.1: which occurrences
    "nothing is granted": ("", EVERYBODY, ""),
    "attributes alone": (provide("mood", "note", "class"), EVERYBODY, ""),
    "all attributes alone": ("<pr:provide-all-attributes/>", EVERYBODY, ""),
    "all persons": (choose("persons"), EVERYBODY, PERSON.format("") + '<dm:person id="p2"/>'),
    "all devices": (choose("devices"), EVERYBODY, DEVICE.format("", "")),
    "all services": (choose("services"), EVERYBODY, EMPTY),
    "an empty set": ("<pr:provide-persons/>", EVERYBODY, ""),
    "a person by id": (choose("persons", occurrence_id="p1"), EVERYBODY, PERSON.format("")),
    "an id, its case": (choose("persons", occurrence_id="P1"), EVERYBODY, ""),
    "a person by a device's id": (choose("persons", occurrence_id="d1"), EVERYBODY, ""),
    "a person by class": (
        choose("persons", **{"class": "work"}) + provide("class"),
        EVERYBODY,
        PERSON.replace("p1", "p2").format(WORK),
    ),
    "class, its case": (
        choose("persons", **{"class": "Work"}) + provide("class"),
        EVERYBODY,
        "",
    ),
    "class, white space": (
        choose("persons", **{"class": " work "}) + provide("class"),
        PERSON.format("<r:class>\n work </r:class>"),
        PERSON.format("<r:class>\n work </r:class>"),
    ),
    "a class that is not shown": (choose("persons", **{"class": "work"}), EVERYBODY, ""),
    "a class, or its id": (
        choose("persons", **{"class": "work"}) + choose("persons", occurrence_id="p2"),
        EVERYBODY,
        '<dm:person id="p2"/>',
    ),
    "a class of another namespace": (
        choose("persons", **{"class": "work"}) + provide("class"),
        PERSON.format("<x:class>work</x:class>"),
        "",
    ),
    "a device by its device id": (
        choose("devices", deviceID="URN:X:d1"),
        DEVICE.format("", "") + D2,
        DEVICE.format("", ""),
    ),
    "a device by id": (choose("devices", occurrence_id="d2"), DEVICE.format("", "") + D2, D2),
    "a service by id": (choose("services", occurrence_id="t2"), EMPTY + IM, IM),
    "a service by class": (
        choose("services", **{"class": "work"}) + provide("class"),
        SERVICE.format(WORK, "") + IM,
        SERVICE.format(WORK, ""),
    ),
    "a service by URI": (
        choose("services", service_uri="sip:%61@B.test"),
        EMPTY + IM + BARE,
        EMPTY,
    ),
    "a URI, another scheme": (choose("services", service_uri="sips:a@b.test"), EMPTY + IM, ""),
    "a URI that is none": (choose("services", service_uri="a"), EMPTY + BARE, ""),
    "a service by scheme": (choose("services", service_uri_scheme="im"), EMPTY + IM + BARE, IM),
    "a scheme, its case": (choose("services", service_uri_scheme="IM"), EMPTY + IM, ""),
    "a scheme, a part of it": (choose("services", service_uri_scheme="si"), EMPTY, ""),
    "two rules, two services": (
        choose("services", service_uri_scheme="im") + choose("services", occurrence_id="t3"),
        EMPTY + IM + BARE,
        IM + BARE,
    ),
    # §3.3.2: what is always shown
    "of a service": (
        choose("services"),
        SERVICE.format(
            "<r:service-class><r:note>all day</r:note><r:electronic/></r:service-class><x:foo/>",
            f"<note>n</note>{TIME}",
        ).replace("<contact>", '<contact priority="0.5">'),
        SERVICE.format(
            "<r:service-class><r:note>all day</r:note><r:electronic/></r:service-class>", TIME
        ).replace("<contact>", '<contact priority="0.5">'),
    ),
    "of a person": (choose("persons"), PERSON.format(MODEL_TIME), PERSON.format(MODEL_TIME)),
    "of a device": (
        choose("devices"),
        DEVICE.format(WORK, MODEL_TIME),
        DEVICE.format("", MODEL_TIME),
    ),
    "a status that says more": (
        choose("services"),
        '<tuple id="t1"><status><basic>open</basic><x:foo/></status></tuple>',
        '<tuple id="t1"><status><basic>open</basic></status></tuple>',
    ),
    "a status that says else": (
        choose("services") + unknown("foo", "urn:example:x"),
        '<tuple id="t1"><status><x:foo/></status></tuple>',
        "",  # RFC 3863 §4.1.3: a status MUST have a value
    ),
    "a service class of a person": (
        choose("persons"),
        PERSON.format("<r:service-class><r:postal/></r:service-class>"),
        PERSON.format(""),
    ),
    "a comment": (
        choose("persons") + provide("mood"),
        PERSON.format("<!-- psst --><r:mood><!-- psst --><r:sad/></r:mood>"),
        PERSON.format("<r:mood><r:sad/></r:mood>"),
    ),
    "text that is out of place": (choose("persons"), PERSON.format("psst"), PERSON.format("")),
    "a foreign child of the document": (ALL, "<x:foo>psst</x:foo>", ""),
    # §3.3.2.1 to §3.3.2.13
    "activities keep their notes": (
        choose("persons") + provide("activities"),
        PERSON.format(
            "<r:activities><r:note>far</r:note><r:away/></r:activities><dm:note>n</dm:note>"
        ),
        PERSON.format("<r:activities><r:note>far</r:note><r:away/></r:activities>"),
    ),
    "activities of a service": (
        choose("services") + provide("activities"),
        SERVICE.format("<r:activities><r:away/></r:activities>", ""),
        EMPTY,
    ),
    "a device id of a service": (
        choose("services") + provide("deviceID"),
        SERVICE.format("<dm:deviceID>urn:x:d1</dm:deviceID>", ""),
        SERVICE.format("<dm:deviceID>urn:x:d1</dm:deviceID>", ""),
    ),
    "a device id of a service is not granted with devices": (
        ALL,
        SERVICE.format("<dm:deviceID>urn:x:d1</dm:deviceID>", ""),
        EMPTY,
    ),
    "user input, false": (
        ALL + "<pr:provide-user-input>false</pr:provide-user-input>",
        PERSON.format(INPUT),
        PERSON.format(""),
    ),
    "user input, bare": (
        ALL + "<pr:provide-user-input>bare</pr:provide-user-input>",
        PERSON.format(INPUT) + DEVICE.format(INPUT.replace('"u"', '"v"'), ""),
        PERSON.format("<r:user-input>idle</r:user-input>")
        + DEVICE.format("<r:user-input>idle</r:user-input>", ""),
    ),
    "user input, thresholds": (
        ALL + "<pr:provide-user-input>thresholds</pr:provide-user-input>",
        SERVICE.format(INPUT, ""),
        SERVICE.format('<r:user-input idle-threshold="600">idle</r:user-input>', ""),
    ),
    "user input, thresholds that there are not": (
        ALL + "<pr:provide-user-input>thresholds</pr:provide-user-input>",
        PERSON.format("<r:user-input>active</r:user-input>"),
        PERSON.format("<r:user-input>active</r:user-input>"),
    ),
    "user input, full": (
        ALL + "<pr:provide-user-input>full</pr:provide-user-input>",
        PERSON.format(INPUT),
        PERSON.format(INPUT),
    ),
    "notes of each": (
        ALL + provide("note"),
        SERVICE.format("", '<note xml:lang="de">t</note>')
        + PERSON.format("<dm:note>p</dm:note><dm:note>q</dm:note>")
        + DEVICE.format("", "<dm:note>d</dm:note>"),
        SERVICE.format("", '<note xml:lang="de">t</note>')
        + PERSON.format("<dm:note>p</dm:note><dm:note>q</dm:note>")
        + DEVICE.format("", "<dm:note>d</dm:note>"),
    ),
    "the document's note is that of a person without": (
        ALL + provide("note"),
        "<note>n</note>" + PERSON.format(""),
        "<note>n</note>" + PERSON.format(""),
    ),
    "the document's note, where no person lacks one": (
        ALL + provide("note"),
        "<note>n</note>" + PERSON.format("<dm:note>p</dm:note>"),
        PERSON.format("<dm:note>p</dm:note>"),
    ),
    "the document's note, of a person who is not shown": (
        choose("persons", occurrence_id="p2") + provide("note"),
        "<note>n</note>" + PERSON.format(""),
        "",
    ),
    "the document's note, where notes are not": (
        ALL,
        "<note>n</note>" + PERSON.format(""),
        PERSON.format(""),
    ),
    # §3.3.2.14
    "an unknown attribute": (
        ALL + unknown("foo", "urn:example:x"),
        SERVICE.format("<x:foo/>", "")
        + PERSON.format("<x:foo a='1'><x:in/></x:foo><x:bar/><s:foo/>"),
        SERVICE.format("<x:foo/>", "") + PERSON.format("<x:foo a='1'><x:in/></x:foo>"),
    ),
    "an attribute that is known is not unknown": (
        ALL + unknown("mood", "urn:ietf:params:xml:ns:pidf:rpid"),
        PERSON.format("<r:mood><r:sad/></r:mood>"),
        PERSON.format(""),
    ),
    "nor is it elsewhere": (
        ALL + unknown("mood", "urn:ietf:params:xml:ns:pidf:rpid"),
        SERVICE.format("<r:mood><r:sad/></r:mood>", ""),
        EMPTY,
    ),
    "nor is a note": (
        ALL + unknown("note", "urn:ietf:params:xml:ns:pidf:data-model"),
        PERSON.format("<dm:note>n</dm:note>"),
        PERSON.format(""),
    ),
    "an attribute of RPID that nobody knows": (
        ALL + unknown("shoe", "urn:ietf:params:xml:ns:pidf:rpid"),
        PERSON.format("<r:shoe/>"),
        PERSON.format("<r:shoe/>"),
    ),
    # §3.3.2.15
    "all attributes of one person": (
        choose("persons", occurrence_id="p1") + "<pr:provide-all-attributes/>",
        PERSON.format(INPUT + "<x:foo/><dm:note>n</dm:note>") + DEVICE.format("", ""),
        PERSON.format(INPUT + "<x:foo/><dm:note>n</dm:note>"),
    ),
    "all attributes, a status that says more": (
        choose("services") + "<pr:provide-all-attributes/>",
        '<tuple id="t1"><status><basic>open</basic><x:foo/></status></tuple>',
        '<tuple id="t1"><status><basic>open</basic><x:foo/></status></tuple>',
    ),
    "all attributes, by class": (
        choose("persons", **{"class": "work"}) + "<pr:provide-all-attributes/>",
        EVERYBODY,
        PERSON.replace("p1", "p2").format(WORK),
    ),
    "everything": (
        WHOLE,
        EVERYBODY + "<x:foo/>",
        EVERYBODY + "<x:foo/>",
    ),
}

# Each attribute, an example of it, and where its permission shows it (RFC 4480 table 1).
ATTRIBUTE = {
    "activities": ("<r:activities><r:away/></r:activities>", "p"),
    "class": (WORK, "pds"),
    "mood": ("<r:mood><r:sad/></r:mood>", "p"),
    "place-is": ("<r:place-is><r:audio><r:noisy/></r:audio></r:place-is>", "p"),
    "place-type": ("<r:place-type><r:other>boat</r:other></r:place-type>", "p"),
    "privacy": ("<r:privacy><r:audio/></r:privacy>", "ps"),
    "relationship": ("<r:relationship><r:self/></r:relationship>", "s"),
    "sphere": ("<r:sphere><r:work/></r:sphere>", "p"),
    "status-icon": ("<r:status-icon>http://b.test/a.png</r:status-icon>", "ps"),
    "time-offset": ("<r:time-offset>-240</r:time-offset>", "p"),
}
PLACES = {"p": PERSON, "d": DEVICE.replace("{}</dm", "</dm"), "s": SERVICE.replace("{}</t", "</t")}


def read(body: str) -> etree._Element:
    """Return a presence document."""
    return etree.fromstring(presence(body))


def shown(root: etree._Element, permissions: Permissions) -> bytes:
    """Return the one form of what is shown, which has to be valid, and as it would be left."""
    before = canonical(root)
    first = transformed(root, permissions)
    assert_valid(etree.tostring(first))
    assert (first is root) == permissions.is_whole, "it is shared where all of it is shown"
    assert canonical(root) == before, "the document itself was edited"
    assert canonical(transformed(first, permissions)) == canonical(first), "is no fixed point"
    return canonical(first)


@rfc(5025, "3.3.1", "occurrences are shown that a permission identifies, and no others")
@rfc(5025, "3.3.2", "contact, service class, basic status, timestamps and device ids are shown")
@rfc(5025, "3.3.2.12", "user input is shown with as many of its attributes as are granted")
@rfc(5025, "3.3.2.14", "an unknown attribute is shown by name and namespace, a known one is not")
@rfc(5025, "3.3.2.15", "all attributes are those that nobody knows, too")
@rfc(5025, "4", "what is sent is a fixed point of the privacy filter")
class Transformations(SynchronousTestCase):
    """The table."""

    def test_table(self) -> None:
        for name, (transformations, body, expected) in TABLE.items():
            found = shown(read(body), granted(transformations))
            wanted = canonical(presence(expected))
            self.assertEqual(found, wanted, name)

    def test_each_attribute_in_each_place(self) -> None:
        for name, (example, places) in ATTRIBUTE.items():
            for place, occurrence in PLACES.items():
                whole, bare = occurrence.format(example), occurrence.format("")
                wanted = whole if place in places else bare
                found = shown(read(whole), granted(ALL + provide(name)))
                self.assertEqual(found, canonical(presence(wanted)), (name, place))
                others = provide(*(ATTRIBUTES - {name}))
                found = shown(read(whole), granted(ALL + others))
                self.assertEqual(found, canonical(presence(bare)), (name, place))

    def test_namespaces_of_what_is_withheld_are_withheld(self) -> None:
        root = read(PERSON.format("<s:plan/><x:foo/>"))
        permissions = granted(ALL + unknown("foo", "urn:example:x"))
        text = etree.tostring(transformed(root, permissions))
        self.assertNotIn(b"secret", text)
        self.assertIn(b"urn:example:x", text)

    def test_attributes_of_the_document_are_withheld(self) -> None:
        root = read("")
        root.set("{urn:example:secret}plan", "b")
        self.assertEqual(
            dict(transformed(root, granted(ALL)).attrib), {"entity": root.get("entity")}
        )

    def test_the_examples_of_the_rfcs(self) -> None:
        for name, data in {**examples(3863), **examples(4479), **examples(4480)}.items():
            root = etree.fromstring(data)
            self.assertEqual(shown(root, EVERYTHING), canonical(root), name)
            shown(root, granted(ALL))
            self.assertEqual(len(transformed(root, granted(""))), 0, name)


KINDS = {
    "persons": ("class", "occurrence-id"),
    "devices": ("class", "occurrence-id", "deviceID"),
    "services": ("class", "occurrence-id", "service-uri", "service-uri-scheme"),
}
VALUES = {
    "class": ("work", "home"),
    "occurrence-id": ("a1", "a2", "a3", "a4"),
    "deviceID": ("urn:x:1", "urn:x:2"),
    "service-uri": ("sip:a@b.test", "im:a@b.test"),
    "service-uri-scheme": ("sip", "im"),
}
FOO = "{urn:example:x}foo"
CLASSES = st.sampled_from(["", WORK, "<r:class>home</r:class>"])
EXTRAS = st.lists(
    st.sampled_from([one for one, _ in ATTRIBUTE.values() if "class" not in one]), unique=True
)


def chosen(kind: str) -> st.SearchStrategy[frozenset[tuple[str, str]]]:
    """Return sets of members for persons, devices or services."""
    members = [(how, what) for how in KINDS[kind] for what in VALUES[how]]
    return st.frozensets(st.sampled_from([EVERY, *members]), max_size=4)


GRANTS = st.builds(
    Permissions,
    st.sampled_from((0, 10, 20, 30)),
    *map(chosen, KINDS),
    st.frozensets(st.sampled_from(sorted(ATTRIBUTES))),
    st.sampled_from((0, 10, 20, 30)),
    st.sampled_from((frozenset(), frozenset({FOO}))),
    st.booleans(),
)


@st.composite
def documents(draw: st.DrawFn) -> etree._Element:
    """Return presence documents, with up to four occurrences."""
    parts = {"t": [], "n": [], "o": []}
    for number in range(1, draw(st.integers(0, 4)) + 1):
        inner = (
            draw(CLASSES)
            + "".join(draw(EXTRAS))
            + draw(st.sampled_from(["", INPUT.replace('id="u"', ""), "<x:foo/>"]))
        )
        note = draw(st.sampled_from(["", "note"]))
        kind = draw(st.sampled_from(["person", "device", "tuple"]))
        dm = f"<dm:note>{note}</dm:note>" if note else ""
        if kind == "person":
            parts["o"].append(f'<dm:person id="a{number}">{inner}{dm}</dm:person>')
        elif kind == "device":
            what = draw(st.sampled_from(VALUES["deviceID"]))
            parts["o"].append(
                f'<dm:device id="a{number}">{inner}<dm:deviceID>{what}</dm:deviceID>{dm}'
                "</dm:device>"
            )
        else:
            uri = draw(st.sampled_from(VALUES["service-uri"]))
            more = draw(st.sampled_from(["", "<x:foo/>"]))
            parts["t"].append(
                f'<tuple id="a{number}"><status><basic>open</basic>{more}</status>{inner}'
                f"<contact>{uri}</contact>{f'<note>{note}</note>' if note else ''}</tuple>"
            )
    parts["n"] += draw(st.sampled_from([[], ["<note>all</note>"]]))
    return read("".join(sum(parts.values(), [])))


def pieces(root: etree._Element) -> set[tuple[str, ...]]:
    """Return everything that a document says: the path, name, attributes and text of each part."""
    found = set()
    for element in root.iter():
        path = [one.get("id", "") + one.tag for one in element.iterancestors()]
        text = (element.text or "").strip()
        found.add((*path, element.tag, text))
        found.update((*path, element.tag, name, value) for name, value in element.attrib.items())
    return found


class Properties(SynchronousTestCase):
    """Whatever the document, whatever is granted."""

    @given(documents(), GRANTS)
    def test_what_is_shown_is_a_valid_fixed_point(
        self, root: etree._Element, permissions: Permissions
    ) -> None:
        shown(root, combined([permissions]))

    @given(documents(), st.lists(GRANTS, max_size=3), GRANTS)
    def test_more_rules_never_show_less(
        self, root: etree._Element, rules: list[Permissions], another: Permissions
    ) -> None:
        few = pieces(transformed(root, combined(rules)))
        many = pieces(transformed(root, combined([*rules, another])))
        self.assertLessEqual(few, many)

    @given(documents(), GRANTS)
    def test_nothing_is_shown_that_was_not_there(
        self, root: etree._Element, permissions: Permissions
    ) -> None:
        self.assertLessEqual(pieces(transformed(root, combined([permissions]))), pieces(root))

    @settings(max_examples=200)
    @given(documents(), GRANTS)
    def test_nothing_is_shown_that_is_not_granted(
        self, root: etree._Element, permissions: Permissions
    ) -> None:
        """Each element that is shown is looked up in the RFC's words, by another way."""
        permissions = combined([permissions])
        for element in transformed(root, permissions).iterdescendants():
            self.assertTrue(is_granted(element, permissions), etree.tostring(element))

    @given(documents(), GRANTS)
    def test_what_is_granted_is_shown(self, root: etree._Element, permissions: Permissions) -> None:
        """But for what only its class could grant where the class is withheld (§4)."""
        permissions = combined([permissions])
        found = {one.get("id") for one in transformed(root, permissions) if "id" in one.attrib}
        for occurrence in root:
            if "id" in occurrence.attrib and is_granted(occurrence, permissions):
                by_class = "class" in permissions.attributes
                others = {how for how in reasons(occurrence, permissions) if how != "class"}
                if others or by_class:
                    self.assertIn(occurrence.get("id"), found)


def reasons(occurrence: etree._Element, permissions: Permissions) -> set[str]:
    """Return by what an occurrence is granted (§3.3.1)."""
    kind = {"person": "persons", "device": "devices", "tuple": "services"}
    members = getattr(permissions, kind[etree.QName(occurrence).localname])
    uri = occurrence.findtext("{*}contact") or ""
    values = {
        "all": "",
        "class": occurrence.findtext("{*}class"),
        "occurrence-id": occurrence.get("id"),
        "deviceID": occurrence.findtext("{*}deviceID"),
        "service-uri": uri,
        "service-uri-scheme": uri.partition(":")[0],
    }
    return {how for how, what in members if values[how] == what}


def is_granted(element: etree._Element, permissions: Permissions) -> bool:
    """Tell whether an element may be shown, by the text of §3.3."""
    parent, name = element.getparent(), etree.QName(element).localname
    if parent is None:
        return True
    if "id" in element.attrib and parent.getparent() is None:
        return bool(reasons(element, permissions))
    if permissions.all_attributes:
        return True
    if name == "user-input":
        kept = set(element.attrib)
        allowed = {0: None, 10: set(), 20: {"idle-threshold"}}
        return permissions.user_input == FULL or (
            (limit := allowed[permissions.user_input]) is not None and kept <= limit
        )
    if name in ATTRIBUTES and not (name == "deviceID" and parent.tag.endswith("device")):
        return name in permissions.attributes
    if element.tag == FOO:
        return FOO in permissions.unknown and not parent.tag.endswith("status")
    return name in ("status", "basic", "contact", "deviceID") or is_granted(parent, permissions)


class Cost(SynchronousTestCase):
    """It is a copy, and as linear as one."""

    def test_a_document_of_many_occurrences(self) -> None:
        root = read("".join(PERSON.replace("p1", f"p{n}").format("") for n in range(1000)))
        before = copy.deepcopy(root)
        found = transformed(root, granted(choose("persons", occurrence_id="p7")))
        self.assertEqual([one.get("id") for one in found], ["p7"])
        self.assertEqual(canonical(root), canonical(before))
