"""Event filters (RFC 4660, RFC 4661)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from sipproxy.events import filters
from sipproxy.events.excerpts import Needs, What
from sipproxy.events.expressions import (
    MAX_COMPARISONS,
    MAX_STEPS,
    ExpressionError,
    parse_expression,
)
from sipproxy.events.filters import MAX_FILTER, SIMPLE_FILTER, Criteria, FilterReader, Filters
from sipproxy.events.patience import OutOfPatience, Patience
from sipproxy.events.triggers import Named
from sipproxy.events.xml import read_xml
from sipproxy.presence.filters import SCHEMA
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request
from sipproxy.sip.parser import parse_datagram
from sipproxy.transport.identity import Identity
from tests.documents import assert_valid, canonical, examples
from tests.rfc import rfc
from tests.shared import SHARED, needs_shared
from tests.sip.tables import TableCase, rows

ALICE = b"alice@example.test"
IDENTITY = Identity(["example.test"], ["sip.example.test"], [])
WATCHERINFO = "{urn:ietf:params:xml:ns:watcherinfo}"
WINFO_SCHEMA = {
    WATCHERINFO + "watcherinfo": Needs(("version", "state")),
    WATCHERINFO + "watcher-list": Needs(("resource", "package")),
    WATCHERINFO + "watcher": Needs(("status", "event", "id")),
}
BINDINGS = {
    "p": "urn:ietf:params:xml:ns:pidf",
    "dm": "urn:ietf:params:xml:ns:pidf:data-model",
    "r": "urn:ietf:params:xml:ns:pidf:rpid",
    "x": "urn:x",
}


def subscribe(body: bytes, headers: str = "Content-Type: application/simple-filter+xml") -> Request:
    """Return a SUBSCRIBE with a body."""
    head = (
        "SUBSCRIBE sip:alice@example.test SIP/2.0\r\nVia: SIP/2.0/UDP h.test;branch=z9hG4bK1\r\n"
        "From: <sip:bob@example.test>;tag=1\r\nTo: <sip:alice@example.test>\r\nCall-ID: 1\r\n"
        "CSeq: 1 SUBSCRIBE\r\nEvent: presence\r\n"
        f"{headers}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    message = parse_datagram(head.encode() + body)
    assert isinstance(message, Request)
    return message


def filter_set(inner: str, package: str = "") -> bytes:
    """Return a <filter-set>, with the prefixes of `BINDINGS` bound."""
    bound = "".join(f'<ns-binding prefix="{p}" urn="{uri}"/>' for p, uri in BINDINGS.items())
    return (
        f'<filter-set xmlns="{filters.NAMESPACE}"{package}>'
        f"<ns-bindings>{bound}</ns-bindings>{inner}</filter-set>"
    ).encode()


class FilterCase(TableCase):
    """Reads filters for alice@example.test."""

    def setUp(self) -> None:
        self.reader = FilterReader(b"presence", IDENTITY, 40)

    def read(self, inner: str, earlier: Filters | None = None, resource: bytes = ALICE) -> Filters:
        """Return the filters that hold after a SUBSCRIBE."""
        found = self.reader.read(subscribe(filter_set(inner)), resource, earlier)
        assert found is not None
        return found

    def criteria(self, inner: str) -> Criteria:
        """Return what one filter of these elements comes to."""
        found = self.read(f'<filter id="1">{inner}</filter>').criteria
        assert found is not None
        return found


DOCUMENT = (
    '<p:presence xmlns:p="urn:ietf:params:xml:ns:pidf" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid"'
    ' xmlns:x="urn:x" entity="sip:alice@example.test">'
    '<p:tuple id="a"><p:status><p:basic>open</p:basic></p:status><r:class>IM</r:class>'
    '<p:contact priority="0.5">im:a@b</p:contact><p:note>n1</p:note></p:tuple>'
    '<p:tuple id="b" n="7"><p:status><p:basic>closed</p:basic><x:y z="1"><x:w/>t</x:y></p:status>'
    '<r:class>voice</r:class><p:contact priority="1">tel:1</p:contact></p:tuple>'
    "<p:note>n2</p:note></p:presence>"
)


class ExpressionTest(FilterCase):
    """RFC 4661 §5: what is found in the document, by its path and attribute."""

    def found(self, text: str) -> list[str]:
        """Return the paths of what an expression finds."""
        root = read_xml(DOCUMENT.encode())
        expression = parse_expression(text, BINDINGS)
        tree = root.getroottree()
        selected = expression.select(root, Patience(1000))
        return [
            tree.getpath(element) + (f"/@{attribute}" if attribute else "")
            for element, attribute in selected
        ]

    T1, T2 = "/p:presence/p:tuple[1]", "/p:presence/p:tuple[2]"

    @rows(
        {
            "the whole path": ("/p:presence/p:note", ["/p:presence/p:note"]),
            "all of a name": ("/p:presence/p:tuple", [T1, T2]),
            "at any level": ("//p:basic", [T1 + "/p:status/p:basic", T2 + "/p:status/p:basic"]),
            "at any level, the root": ("//p:presence", ["/p:presence"]),
            "at any level, later": ("/p:presence//p:basic",
                                    [T1 + "/p:status/p:basic", T2 + "/p:status/p:basic"]),
            "at any level, twice": ("//p:presence//x:w", [T2 + "/p:status/x:y/x:w"]),
            "anything": ("/*/p:note", ["/p:presence/p:note"]),
            "anything twice": ("/*/*/r:class", [T1 + "/r:class", T2 + "/r:class"]),
            "an attribute": ("/p:presence/@entity", ["/p:presence/@entity"]),
            "an attribute at any level": ("//@z", [T2 + "/p:status/x:y/@z"]),
            "an attribute below": ("//p:tuple//@priority",
                                   [T1 + "/p:contact/@priority", T2 + "/p:contact/@priority"]),
            "spaces": (" / p:presence / \n p:note ", ["/p:presence/p:note"]),
            "by an attribute": ('//p:tuple[@id="b"]', [T2]),
            "in single quotes": ("//p:tuple[@id='b']", [T2]),
            "by a child": ('//p:tuple[r:class="IM"]', [T1]),
            "by a path": ('//p:tuple[p:status/p:basic="closed"]', [T2]),
            "by a path of anything": ('//p:tuple[*/p:basic="closed"]', [T2]),
            "by a path at any level": ('/p:presence[p:tuple//p:basic="closed"]/p:note',
                                       ["/p:presence/p:note"]),
            "by an attribute of a child": ('//p:tuple[p:contact/@priority="1"]', [T2]),
            "by a smaller number": ("//p:tuple[p:contact/@priority<0.6]", [T1]),
            "by a larger number": ("//p:tuple[p:contact/@priority > .5]", [T2]),
            "a quoted number": ('//p:tuple[p:contact/@priority<"0.6"]', [T1]),
            "the same number": ("//p:tuple[@n=7.0]", [T2]),
            "no number": ("//p:tuple[r:class>1]", []),
            "its own value": ('//r:class[.="IM"]', [T1 + "/r:class"]),
            "the value of all within": ('//p:status[.="closedt"]', [T2 + "/p:status"]),
            "its parent": ('//p:basic[..="open"]', [T1 + "/p:status/p:basic"]),
            "the parent of the root": ('/p:presence[..="open"]', []),
            "and": ('//p:tuple[r:class="IM" and @id="a"]', [T1]),
            "and, not both": ('//p:tuple[r:class="IM" and @id="b"]', []),
            "or": ('//p:tuple[r:class="IM" or @id="b"]', [T1, T2]),
            "and comes before or": (
                '//p:tuple[@id="a" or @id="b" and r:class="IM"]', [T1]),
            "in the middle": ('//p:tuple[@id="b"]/p:status/p:basic', [T2 + "/p:status/p:basic"]),
            "twice": ('//p:tuple[@id="b"]/p:status[p:basic="closed"]/x:y',
                      [T2 + "/p:status/x:y"]),
            "on the way to an attribute": ('//p:tuple[@id="b"]/p:contact/@priority',
                                           [T2 + "/p:contact/@priority"]),
            "nothing of the name": ("/p:presence/p:person", []),
            "another root": ("/p:tuple", []),
            "an element called and": ("//p:and", []),
        }
    )  # fmt: skip
    def test_found(self, text: str, paths: list[str]) -> None:
        self.assertEqual(self.found(text), paths)

    @rfc(4661, "5", "a name without a prefix is in no namespace")
    def test_no_prefix_is_no_namespace(self) -> None:
        self.assertEqual(self.found("//tuple"), [])
        root = read_xml(b'<a><tuple b="1"/></a>')
        self.assertEqual(len(parse_expression("//tuple[@b=1]", {}).select(root, Patience(99))), 1)

    @rows(
        {
            "empty": "",
            "relative": "p:presence",
            "the root node": "/",
            "all": "//",
            "a slash too much": "/p:presence/",
            "a position": "/p:presence/p:tuple[1]",
            "a test for being there": "/p:presence/p:tuple[@id]",
            "a function": "/p:presence/p:tuple[last()]",
            "a function of names": "//*[local-name()='tuple']",
            "not": "//p:tuple[not(@id='a')]",
            "brackets": "//p:tuple[(@id='a')]",
            "an axis": "/child::p:presence",
            "a variable": "//p:tuple[@id=$x]",
            "another path to compare with": "//p:tuple[@id=@id]",
            "a name to compare with": "//p:tuple[@id=open]",
            "unequal": "//p:tuple[@id!='a']",
            "at most": "//p:tuple[@id<=1]",
            "the parent": "/p:presence/..",
            "itself": "/p:presence/.",
            "a union": "/p:presence|/p:presence",
            "any attribute": "//@*",
            "after an attribute": "//@id/p:x",
            "a condition of an attribute": "//@id[.='a']",
            "an open predicate": "//p:tuple[@id='a'",
            "a predicate without end": "//p:tuple[@id='a' and",
            "an empty predicate": "//p:tuple[]",
            "neither and nor or": "//p:tuple[@id='a' xor @id='b']",
            "an open literal": "//p:tuple[@id='a]",
            "a prefix that is not bound": "/q:presence",
            "an attribute of it": "/p:presence/@q:x",
            "a prefix alone": "/p:",
            "text()": "/p:presence/text()",
            "any attribute at any level of a condition": "//p:tuple[p:status//@z='1']",
            "too long": "/p:presence" + "/p:x" * 600,
            "too many steps": "/x:x" * (MAX_STEPS + 1),
            "too many steps to compare": "/p:a[" + "/".join(["x:x"] * (MAX_STEPS + 2)) + "='1']",
            "too many comparisons":
                "/p:a[" + " or ".join(["@a='1'"] * (MAX_COMPARISONS + 1)) + "]",
        }
    )  # fmt: skip
    def test_refused(self, text: str) -> None:
        self.assertRaises(ExpressionError, parse_expression, text, BINDINGS)

    def test_what_means_the_same_is_equal(self) -> None:
        one = parse_expression('//p:tuple[@id = "a" or p:x<2]/@n', BINDINGS)
        other = parse_expression("//q:tuple[@id='a'  or q:x < 2.0]/@n", {"q": BINDINGS["p"]})
        third = parse_expression("//q:tuple[@id='a' or q:x < 3]/@n", {"q": BINDINGS["p"]})
        self.assertEqual((one, hash(one)), (other, hash(other)))
        self.assertNotEqual(one, third)
        self.assertNotEqual(one, "one")

    def test_work_is_bounded(self) -> None:
        root = read_xml(b"<a>" + b"<b>" * 50 + b"</b>" * 50 + b"<c/>" * 500 + b"</a>")
        for text in (
            "//*//*//*//*",
            "//*[*//*='1' or *//*='2' or *//*='3' or *//*='4']",
        ):
            expression = parse_expression(text, {})
            self.assertRaises(OutOfPatience, expression.select, root, Patience(1500))

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                ["/", "//", "p:tuple", "*", "@id", "@", "[", "]", "=", "<", "'a'", "5", "and", "or",
                 ".", "..", "p:status", "x:y", " "]
            ),
            max_size=12,
        ).map("".join)
    )  # fmt: skip
    def test_anything_is_found_as_xpath_finds_it_or_refused(self, text: str) -> None:
        root = read_xml(DOCUMENT.encode())
        try:
            expression = parse_expression(text, BINDINGS)
        except ExpressionError:
            return
        places = {element: place for place, element in enumerate(root.iter())}
        selected = expression.select(root, Patience(10**6))  # a set: its order means nothing
        found = [
            element if attribute is None else str(element.get(attribute))
            for element, attribute in sorted(selected, key=lambda node: places[node[0]])
        ]
        expected = root.xpath(text, namespaces=BINDINGS)
        self.assertEqual(found, list(expected))


class ReadTest(FilterCase):
    """What a body has to be (RFC 4660 §5.2, §5.4)."""

    GOOD = '<filter id="1"><what><include>//p:basic</include></what></filter>'

    def test_a_filter(self) -> None:
        found = self.read(self.GOOD)
        self.assertEqual([(one.id, one.resource, one.enabled) for one in found.filters],
                         [("1", ALICE, True)])  # fmt: skip
        self.assertIsNotNone(found.criteria)

    def test_who_ask_the_same_are_equal(self) -> None:
        one, other = self.criteria("<trigger><changed by='2'>//p:a</changed></trigger>"), (
            self.criteria("<trigger><changed by='2.0'> //p:a </changed></trigger>")
        )  # fmt: skip
        self.assertEqual((one, hash(one)), (other, hash(other)))

    @rfc(4660, "5.2", "a body that is no filter is answered 415")
    def test_another_body(self) -> None:
        for headers in (
            "Content-Type: text/plain",
            "Subject: x",
            "Content-Type: application/simple-filter+xml\r\nContent-Encoding: gzip",
        ):
            error = self.refuses(
                415, self.reader.read, subscribe(filter_set(self.GOOD), headers), ALICE, None
            )
            self.assertIn((b"Accept", SIMPLE_FILTER), error.headers)

    def test_another_body_that_need_not_be_understood(self) -> None:
        headers = "Content-Type: text/plain\r\nContent-Disposition: render; handling=optional"
        earlier = self.read(self.GOOD)
        self.assertIs(self.reader.read(subscribe(b"x", headers), ALICE, earlier), earlier)

    def test_parameters_and_case_of_the_type(self) -> None:
        headers = "Content-Type: Application/Simple-Filter+XML ;charset=utf-8"
        found = self.reader.read(subscribe(filter_set(self.GOOD), headers), ALICE, None)
        self.assertIsNotNone(found)

    @rows(
        {
            "no XML": b"filter",
            "not closed": b"<filter-set>",
            "a document type": b"<!DOCTYPE x><filter-set/>",
            "no UTF-8": b"<a>\xff</a>",
        }
    )
    def test_no_xml(self, body: bytes) -> None:
        self.refuses(400, self.reader.read, subscribe(body), ALICE, None)

    def test_too_large(self) -> None:
        self.refuses(413, self.reader.read, subscribe(b" " * (MAX_FILTER + 1)), ALICE, None)

    @rows(
        {
            "another root": b"<filter-set/>",
            "another namespace": filter_set(GOOD).replace(b"simple-filter", b"simple-winfo-filter"),
            "another document": b'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:a@b"/>',
            "no filter": filter_set(""),
            "another package": filter_set(GOOD, ' package="presence.winfo"'),
            "an attribute that is none": filter_set(GOOD, ' pakage="presence"'),
        }
    )  # fmt: skip
    def test_another_document(self, body: bytes) -> None:
        self.misunderstood(body)

    def misunderstood(self, body: bytes, earlier: Filters | None = None) -> None:
        """Assert that a filter is answered 488, with the reason in a Warning."""
        error = self.refuses(488, self.reader.read, subscribe(body), ALICE, earlier)
        ((name, value),) = error.headers
        self.assertEqual(name, b"Warning")
        self.assertRegex(value, rb'^399 sipproxy "Filter: [ !#-\[\]-~]+"$')

    def test_its_own_package(self) -> None:
        body = filter_set(self.GOOD, ' package="presence"')
        self.assertIsNotNone(self.reader.read(subscribe(body), ALICE, None))

    @rows(
        {
            "no id": "<filter><what><include>/p:a</include></what></filter>",
            "nothing in it": '<filter id="1"/>',
            "uri and domain": '<filter id="1" uri="sip:a@b" domain="b"><what/></filter>',
            "no uri": '<filter id="1" uri="a"><what/></filter>',
            "no domain": '<filter id="1" domain="a@@b"><what/></filter>',
            "neither true nor false": '<filter id="1" enabled="yes"><what/></filter>',
            "removed or not": '<filter id="1" remove="TRUE"/>',
            "an attribute that is none": '<filter id="1" url="sip:a@b"><what/></filter>',
            "two of one id": '<filter id="1"><what/></filter><filter id="1" uri="sip:x@y"><what/>'
                             "</filter>",
            "two for one resource": '<filter id="1"><what/></filter>'
                                    '<filter id="2" uri="sip:alice@example.test"><what/></filter>',
            "in another form": '<filter id="1" uri="sips:alice@sip.example.test"><what/></filter>'
                               '<filter id="2" uri="pres:alice@example.test"><what/></filter>',
            "two for one domain": '<filter id="1" domain="a.test"><what/></filter>'
                                  '<filter id="2" domain="A.test"><what/></filter>',
            "two <what>": '<filter id="1"><what/><what/></filter>',
            "an element that is none": '<filter id="1"><when/></filter>',
            "in <what>": '<filter id="1"><what><add>/p:a</add></what></filter>',
            "in <trigger>": '<filter id="1"><trigger><include>/p:a</include></trigger></filter>',
            "in <include>": '<filter id="1"><what><include><a/></include></what></filter>',
            "an empty <include>": '<filter id="1"><what><include> </include></what></filter>',
            "another type": '<filter id="1"><what><include type="regex">/p:a</include></what>'
                            "</filter>",
            "XPath beyond ours": '<filter id="1"><what><include>count(//*)</include></what>'
                                 "</filter>",
            "an unbound prefix": '<filter id="1"><what><include>/q:a</include></what></filter>',
            "a condition to trigger": '<filter id="1"><trigger><added>/p:a[@b="1"]</added>'
                                      "</trigger></filter>",
            "from for what is added": '<filter id="1"><trigger><added from="x">/p:a</added>'
                                      "</trigger></filter>",
            "by no number": '<filter id="1"><trigger><changed by="x">/p:a</changed></trigger>'
                            "</filter>",
            "by a number, from none": '<filter id="1"><trigger><changed by="1" from="x">/p:a'
                                      "</changed></trigger></filter>",
            "an element of no namespace": '<filter xmlns="" id="1"/>',
            "quotes": '<filter id="1"><what><include>/a&quot;\\\N{SNOWMAN}</include></what>'
                      "</filter>",
        }
    )  # fmt: skip
    @rfc(4660, "5.4", "a filter that is not aligned with the schema is answered 488")
    @rfc(4660, "5.2", "two filters for one resource or domain are answered 488")
    def test_misunderstood(self, inner: str) -> None:
        self.misunderstood(filter_set(inner))

    @rows(
        {
            "none": "<ns-bindings/>",
            "no prefix": '<ns-bindings><ns-binding urn="u:"/></ns-bindings>',
            "no namespace": '<ns-bindings><ns-binding prefix="a"/></ns-bindings>',
            "two for a prefix": '<ns-bindings><ns-binding prefix="a" urn="u:"/>'
                                '<ns-binding prefix="a" urn="v:"/></ns-bindings>',
            "a namespace with brackets": '<ns-bindings><ns-binding prefix="a" urn="u}"/>'
                                         "</ns-bindings>",
            "something else": '<ns-bindings><binding prefix="a" urn="u:"/></ns-bindings>',
        }
    )  # fmt: skip
    def test_bindings(self, bindings: str) -> None:
        body = f'<filter-set xmlns="{filters.NAMESPACE}">{bindings}{self.GOOD}</filter-set>'
        self.misunderstood(body.encode())

    def test_extensions_are_passed_over(self) -> None:
        inner = (
            '<filter xmlns:e="urn:e" e:a="1" id="1"><what e:b="2"><include e:c="3">//p:a</include>'
            "<e:d/></what><e:f/></filter>"
        )
        self.assertIsNotNone(self.read(inner).criteria)

    @rfc(4660, "8", "the number of conditions is limited, by default to 40")
    def test_too_many(self) -> None:
        include, changed = "<include>//p:a</include>", "<changed>//p:a</changed>"
        for most, inner in ((39, f"<what>{include * 39}</what>"), (39, "<what/>")):
            body = f'<filter id="1">{inner}<trigger>{changed * (40 - most)}</trigger></filter>'
            self.read(body)
        for inner in (
            f"<what>{include * 41}</what>",
            f"<trigger>{changed * 21}</trigger><trigger>{changed * 20}</trigger>",
        ):
            self.misunderstood(filter_set(f'<filter id="1">{inner}</filter>'))
        many = "".join(f'<filter id="{n}" uri="sip:{n}@a.test"><what/></filter>' for n in range(41))
        self.misunderstood(filter_set(many))

    def test_too_many_after_some(self) -> None:
        include = "<include>//p:a</include>"
        earlier = self.read(f'<filter id="1"><what>{include * 30}</what></filter>')
        more = f'<filter id="2" uri="sip:x@y"><what>{include * 11}</what></filter>'
        self.misunderstood(filter_set(more), earlier)


class UpdateTest(FilterCase):
    """Filters persist in a dialog, and are changed one by one (RFC 4660 §5.2.2, RFC 4661 §3.4)."""

    ONE = '<filter id="1"><what><include>//p:basic</include></what></filter>'

    def setUp(self) -> None:
        super().setUp()
        self.first = self.read(self.ONE)

    @rfc(4660, "5.2.2", "a filter of the same id takes the place of the earlier one")
    def test_replaced(self) -> None:
        other = '<filter id="1"><what><include>//p:note</include></what></filter>'
        after = self.read(other, self.first)
        self.assertEqual(after, self.read(other))
        self.assertNotEqual(after.criteria, self.first.criteria)

    @rfc(4660, "5.2.2", "a filter that is to be removed is")
    def test_removed(self) -> None:
        after = self.read('<filter id="1" remove="true"/>', self.first)
        self.assertEqual((after.filters, after.criteria), ((), None))

    def test_removed_though_it_never_was(self) -> None:
        after = self.read('<filter id="7" remove="1"/>', self.first)
        self.assertEqual(after, self.first)

    @rfc(4660, "5.2.2", "another id for the same resource is an error")
    def test_another_id(self) -> None:
        body = filter_set(self.ONE.replace('"1"', '"2"'))
        self.refuses(488, self.reader.read, subscribe(body), ALICE, self.first)

    def test_another_id_in_the_place_of_the_removed_one(self) -> None:
        after = self.read('<filter id="1" remove="true"/>' + self.ONE.replace('"1"', '"2"'),
                          self.first)  # fmt: skip
        self.assertEqual([one.id for one in after.filters], ["2"])

    def test_another_one_is_added(self) -> None:
        more = '<filter id="2" uri="sip:bob@example.test"><trigger/></filter>'
        after = self.read(more, self.first)
        self.assertEqual([one.id for one in after.filters], ["1", "2"])
        self.assertEqual(after.criteria, self.first.criteria)

    def test_switched_off_and_on(self) -> None:
        off = self.read('<filter id="1" enabled="false"/>', self.first)
        self.assertEqual((off.criteria, len(off.filters)), (None, 1))
        self.assertEqual(self.read('<filter id="1" enabled="true"/>', off), self.first)
        self.assertEqual(self.read('<filter id="1"/>', off), self.first)

    def test_switched_on_with_another_content(self) -> None:
        off = self.read('<filter id="1" enabled="0"/>', self.first)
        on = self.read('<filter id="1"><trigger><added>//p:a</added></trigger></filter>', off)
        assert on.criteria is not None
        self.assertIsNone(on.criteria.what)
        self.assertEqual(len(on.criteria.triggers), 1)

    def test_one_that_is_off_from_the_start(self) -> None:
        off = self.read('<filter id="3" uri="sip:x@y" enabled="false"/>', self.first)
        self.assertEqual(len(off.filters), 2)
        self.assertEqual(off.criteria, self.first.criteria)


class TargetTest(FilterCase):
    """Which filter is for the resource (RFC 4660 §3.3.2, §5.2.1)."""

    A = "<what><include>//p:a</include></what>"
    B = "<what><include>//p:b</include></what>"

    @rows(
        {
            "none named": ("", True),
            "the resource": (' uri="sip:alice@example.test"', True),
            "in another form": (' uri=" pres:alice@sip.example.test "', True),
            "somebody else of ours": (' uri="sip:bob@example.test"', False),
            "somebody elsewhere": (' uri="sip:alice@b.test"', False),
            "by telephone": (' uri="tel:+1"', False),
            "our domain": (' domain="example.test"', True),
            "in capitals": (' domain="EXAMPLE.test"', True),
            "by an alias": (' domain="sip.example.test"', True),
            "another domain": (' domain="b.test"', False),
            "a part of ours": (' domain="test"', False),
        }
    )
    @rfc(4660, "5.2.1", "a filter for a domain that is not ours is not applied")
    def test_for_us(self, target: str, is_for_us: bool) -> None:
        found = self.read(f'<filter id="1"{target}>{self.A}</filter>')
        self.assertEqual(found.criteria is not None, is_for_us)

    def test_that_of_the_resource_comes_before_that_of_its_domain(self) -> None:
        expected = self.criteria(self.A)
        of_domain = f'<filter id="1" domain="example.test">{self.B}</filter>'
        of_resource = f'<filter id="2">{self.A}</filter>'
        self.assertEqual(self.read(of_domain + of_resource).criteria, expected)
        self.assertEqual(self.read(of_resource + of_domain).criteria, expected)
        off = self.read('<filter id="2" enabled="false"/>', self.read(of_domain + of_resource))
        self.assertEqual(off.criteria, self.criteria(self.B))


class ContentTest(FilterCase):
    """<what> (RFC 4661 §3.5, RFC 4660 §5.3.1)."""

    HEAD = (
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid"'
        ' xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:x="urn:x"'
        ' entity="sip:alice@example.test">'
    )
    T1 = (
        '<tuple id="t1"><status><basic>open</basic></status><r:class>IM</r:class>'
        '<contact priority="0.5">im:a@b</contact><note xml:lang="en">n</note></tuple>'
    )
    T2 = '<tuple id="t2"><status><x:s x:k="1">v</x:s></status><contact>tel:1</contact></tuple>'
    REST = (
        '<note>here</note><dm:person id="p1"><r:activities from="2026-01-01T00:00:00Z">'
        "<r:note>a</r:note><r:busy/></r:activities><r:mood><r:note>b</r:note><r:happy/></r:mood>"
        '</dm:person><dm:device id="d1"><r:user-input last-input="2026-01-01T00:00:00Z">idle'
        '</r:user-input><dm:deviceID>urn:d</dm:deviceID></dm:device><x:e a="1"><x:f>g</x:f></x:e>'
    )
    DOCUMENT = HEAD + T1 + T2 + REST + "</presence>"

    def becomes(self, what: str, expected: str) -> None:
        """Assert what a filter leaves, that it is valid, and that the document stays as it was."""
        root = read_xml(self.DOCUMENT.encode())
        found = self.criteria(f"<what>{what}</what>").filtered(root, SCHEMA)
        assert found is not None
        self.assertEqual(etree.tostring(root).decode(), self.DOCUMENT)
        self.assertEqual(
            canonical(found).decode(),
            canonical(f"{self.HEAD}{expected}</presence>".encode()).decode(),
        )
        assert_valid(etree.tostring(found))

    @rows(
        {
            "an element with what is around it": (
                "<include>//p:basic</include>",
                '<tuple id="t1"><status><basic>open</basic></status></tuple>'),
            "an element with all that is in it": ("<include>//p:tuple</include>", T1 + T2),
            "what has to be there comes along": (
                "<include>//p:contact</include>",
                '<tuple id="t1"><status><basic>open</basic></status>'
                '<contact priority="0.5">im:a@b</contact></tuple>'
                '<tuple id="t2"><status><x:s x:k="1">v</x:s></status><contact>tel:1</contact>'
                "</tuple>"),
            "and what that needs": (
                '<include>//p:tuple[@id="t1"]/@id</include>',
                '<tuple id="t1"><status><basic>open</basic></status></tuple>'),
            "several add up": (
                "<include>//r:class</include><include>/p:presence/p:note</include>",
                '<tuple id="t1"><status><basic>open</basic></status><r:class>IM</r:class></tuple>'
                "<note>here</note>"),
            "an attribute, with its element": (
                "<include>//@priority</include>",
                '<tuple id="t1"><status><basic>open</basic></status>'
                '<contact priority="0.5">im:a@b</contact></tuple>'),
            "an attribute of a namespace": (
                "<include>//@xml:lang</include>",
                '<tuple id="t1"><status><basic>open</basic></status><note xml:lang="en">n</note>'
                "</tuple>"),
            "a namespace": (
                f'<include type="namespace"> {BINDINGS["p"]} </include>',
                '<tuple id="t1"><status><basic>open</basic></status>'
                '<contact priority="0.5">im:a@b</contact><note xml:lang="en">n</note></tuple>'
                '<tuple id="t2"><status><x:s x:k="1">v</x:s></status><contact>tel:1</contact>'
                "</tuple><note>here</note>"),
            "another namespace": (
                '<include type="namespace">urn:x</include>',
                '<tuple id="t2"><status><x:s x:k="1">v</x:s></status></tuple>'
                '<x:e a="1"><x:f>g</x:f></x:e>'),
            "what a device cannot do without": (
                "<include>//r:user-input</include>",
                '<dm:device id="d1"><r:user-input last-input="2026-01-01T00:00:00Z">idle'
                "</r:user-input><dm:deviceID>urn:d</dm:deviceID></dm:device>"),
            "an optional attribute goes": (
                "<include>//r:busy</include>",
                '<dm:person id="p1"><r:activities><r:busy/></r:activities></dm:person>'),
            "a mood is more than a note": (
                "<include>//r:mood/r:note</include>",
                '<dm:person id="p1"><r:mood><r:note>b</r:note><r:happy/></r:mood></dm:person>'),
            "an unknown element keeps its attributes": (
                "<include>//x:f</include>", '<x:e a="1"><x:f>g</x:f></x:e>'),
            "unless they are excluded": (
                "<include>//x:f</include><exclude>//x:e/@a</exclude>",
                "<x:e><x:f>g</x:f></x:e>"),
            "all but something": (
                "<exclude>//p:tuple</exclude><exclude>//dm:device</exclude>",
                REST.replace(REST[REST.index("<dm:device") : REST.index("<x:e")], "")),
            "a namespace but for an element": (
                f'<include type="namespace">{BINDINGS["p"]}</include>'
                "<exclude>/p:presence/p:tuple</exclude>", "<note>here</note>"),
            "all but an attribute": (
                '<include>//p:tuple[@id="t1"]</include><exclude>//@priority</exclude>',
                T1.replace(' priority="0.5"', "")),
            "all but a namespace": (
                f'<include>//p:tuple</include><exclude type="namespace">{BINDINGS["r"]}</exclude>',
                T1.replace("<r:class>IM</r:class>", "") + T2),
            "not what has to be there": (
                '<include>//p:tuple[@id="t1"]</include><exclude>//p:status</exclude>'
                "<exclude>//@id</exclude>", T1),
            "nor the last of a status": (
                '<include>//p:tuple[@id="t2"]</include><exclude>//x:s</exclude>', T2),
            "nor a device's name": (
                "<include>//dm:device</include><exclude>//dm:deviceID</exclude>"
                "<exclude>//r:user-input</exclude>",
                '<dm:device id="d1"><dm:deviceID>urn:d</dm:deviceID></dm:device>'),
            "what is included again stays out": (
                "<include>//p:note</include><include>//p:tuple</include>"
                "<exclude>//p:tuple</exclude>", "<note>here</note>"),
            "the root": ("<include>/p:presence</include>", T1 + T2 + REST),
            "of the root, what it needs": ("<include>/p:presence/@entity</include>", ""),
        }
    )  # fmt: skip
    @rfc(4660, "5.3.1", "what is left is valid: what has to be there is put back")
    @rfc(4661, "3.5.1", "what is included comes with all that stands around it")
    @rfc(4661, "3.5.2", "what is excluded is left out, but for what has to be there")
    def test_content(self, what: str, expected: str) -> None:
        self.becomes(what, expected)

    @rows(
        {
            "nothing of the kind": "<include>//p:timestamp</include>",
            "no such namespace": '<include type="namespace">urn:y</include>',
            "all of it excluded": "<include>//p:basic</include><exclude>/p:presence</exclude>",
            "all excluded": "<exclude>/p:presence</exclude>",
        }
    )
    @rfc(4660, "5.3.1", "where nothing is left there is no content")
    def test_nothing_is_left(self, what: str) -> None:
        root = read_xml(self.DOCUMENT.encode())
        self.assertIsNone(self.criteria(f"<what>{what}</what>").filtered(root, SCHEMA))

    def test_an_empty_what_is_none(self) -> None:
        root = read_xml(self.DOCUMENT.encode())
        self.assertIs(self.criteria("<what/>").filtered(root, SCHEMA), root)

    def test_what_is_too_much_work_is_not_filtered(self) -> None:
        root = read_xml(self.DOCUMENT.encode())
        criteria = self.criteria("<what><include>//p:basic</include></what>")
        self.patch(filters, "MAX_WORK", 5)
        self.assertIs(criteria.filtered(root, SCHEMA), root)

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.sampled_from(["include", "exclude"]), min_size=1, max_size=4),
        st.data(),
    )
    def test_whatever_is_left_is_valid(self, kinds: list[str], data: st.DataObject) -> None:
        root = read_xml(self.DOCUMENT.encode())
        names = sorted({str(one.tag) for one in root.iter("*")})
        attributes = sorted({str(name) for one in root.iter("*") for name in one.attrib})
        known = {uri: prefix for prefix, uri in BINDINGS.items()} | {
            "http://www.w3.org/XML/1998/namespace": "xml"
        }
        what = []
        for kind in kinds:
            is_attribute = data.draw(st.booleans())
            name = data.draw(st.sampled_from(attributes if is_attribute else names))
            uri, _, local = name.rpartition("}")
            called = f"{known[uri[1:]]}:{local}" if uri else local
            what.append(f"<{kind}>//{'@' if is_attribute else ''}{called}</{kind}>")
        criteria = self.criteria(f"<what>{''.join(what)}</what>")
        found = criteria.filtered(root, SCHEMA)
        if found is not None:
            assert_valid(etree.tostring(found))
            self.assertLessEqual(
                {one.tag for one in found.iter("*")}, {one.tag for one in root.iter("*")}
            )


class TriggerTest(FilterCase):
    """<trigger> (RFC 4661 §3.6): from one document to the next."""

    def is_triggered(self, triggers: str, old: str, new: str) -> bool:
        """Tell whether a filter would have a change told."""
        criteria = self.criteria(f"<trigger>{triggers}</trigger>")
        before, after = (read_xml(f'<d xmlns="urn:x">{one}</d>'.encode()) for one in (old, new))
        return criteria.is_triggered(before, after)

    OPEN, CLOSED = '<t id="a"><s>open</s></t>', '<t id="a"><s>closed</s></t>'

    @rows(
        {
            "any change": ("<changed>//x:s</changed>", OPEN, CLOSED, True),
            "no change": ("<changed>//x:s</changed>", OPEN, OPEN, False),
            "of something else": ("<changed>//x:u</changed>", OPEN, CLOSED, False),
            "from": ('<changed from="open">//x:s</changed>', OPEN, CLOSED, True),
            "from something else": ('<changed from="open">//x:s</changed>', CLOSED, OPEN, False),
            "to": ('<changed to="closed">//x:s</changed>', OPEN, CLOSED, True),
            "to something else": ('<changed to="closed">//x:s</changed>', CLOSED, OPEN, False),
            "from and to": ('<changed from="open" to="closed">//x:s</changed>', OPEN, CLOSED, True),
            "to, without a change": ('<changed to="open">//x:s</changed>', OPEN, OPEN, False),
            "space around is no change": ("<changed>/x:d/x:s</changed>", "<s>a</s>", "<s> a </s>",
                                          False),
            "nor is another way to write a number": (
                "<changed>/x:d/x:s</changed>", "<s>0.5</s>", "<s>0.50</s>", False),
            "an attribute": ("<changed>//@n</changed>", "<s n='1'/>", "<s n='2'/>", True),
            "something within an element": ("<changed>//x:t</changed>", OPEN, CLOSED, True),
            "one of them, known by its id": (
                '<changed from="closed" to="open">//x:s</changed>',
                OPEN + CLOSED.replace('"a"', '"b"'), OPEN.replace('"a"', '"b"') + OPEN, True),
            "two change places": (
                "<changed>//x:s</changed>",
                OPEN + CLOSED.replace('"a"', '"b"'), CLOSED.replace('"a"', '"b"') + OPEN, False),
            "without an id it is the place": (
                "<changed>//x:s</changed>", "<s>1</s><s>2</s>", "<s>2</s><s>1</s>", True),
            "what comes has not changed": ("<changed>//x:s</changed>", "", OPEN, False),
            "but to its value": ('<changed to="open">//x:s</changed>', "", OPEN, True),
            "not to another": ('<changed to="closed">//x:s</changed>', "", OPEN, False),
            "and from none": ('<changed from="closed" to="open">//x:s</changed>', "", OPEN, False),
            "what goes has not changed": ("<changed>//x:s</changed>", OPEN, "", False),
            "but from its value": ('<changed from="open">//x:s</changed>', OPEN, "", True),
            "by enough": ('<changed by="2">//x:n</changed>', "<n>6</n>", "<n>8</n>", True),
            "down by enough": ('<changed by="2">//x:n</changed>', "<n>6</n>", "<n>3.5</n>", True),
            "by too little": ('<changed by="2">//x:n</changed>', "<n>6</n>", "<n>7.9</n>", False),
            "by nothing": ('<changed by="0">//x:n</changed>', "<n>6</n>", "<n>6</n>", False),
            "by, and no number": ('<changed by="2">//x:n</changed>', "<n>6</n>", "<n>x</n>", False),
            "by and to": ('<changed by="2" to="8">//x:n</changed>', "<n>6</n>", "<n>8.0</n>", True),
            "by and to another": ('<changed by="2" to="9">//x:n</changed>', "<n>6</n>", "<n>8</n>",
                                  False),
            "added": ("<added>//x:t</added>", "", OPEN, True),
            "added beside": ("<added>//x:t</added>", OPEN, OPEN + OPEN.replace("a", "b"), True),
            "another in its place": ("<added>//x:t</added>", OPEN, OPEN.replace('"a"', '"b"'),
                                     True),
            "not added": ("<added>//x:t</added>", OPEN, CLOSED, False),
            "an attribute added": ("<added>//@n</added>", "<s/>", "<s n='1'/>", True),
            "removed": ("<removed>//x:t</removed>", OPEN, "", True),
            "not removed": ("<removed>//x:t</removed>", "", OPEN, False),
            "both": ("<changed>//x:n</changed><added>//x:t</added>", "<n>1</n>", "<n>2</n>" + OPEN,
                     True),
            "one of both": ("<changed>//x:n</changed><added>//x:t</added>", "<n>1</n>", "<n>2</n>",
                            False),
        }
    )  # fmt: skip
    @rfc(4661, "3.6.1", "a value that has changed as asked for triggers, the same value does not")
    @rfc(4661, "3.6", "all conditions of a trigger have to be met")
    def test_trigger(self, triggers: str, old: str, new: str, expected: bool) -> None:
        self.assertIs(self.is_triggered(triggers, old, new), expected)

    def test_any_of_several_triggers(self) -> None:
        both = "<changed>//x:n</changed></trigger><trigger><added>//x:t</added>"
        for old, new, expected in (
            ("<n>1</n>", "<n>2</n>", True),
            ("", self.OPEN, True),
            ("", "<u/>", False),
        ):
            self.assertIs(self.is_triggered(both, old, new), expected)

    def test_without_a_trigger_every_change_is_told(self) -> None:
        root = read_xml(b"<a/>")
        for inner in ("<what/>", "<trigger/>"):
            self.assertTrue(self.criteria(inner).is_triggered(root, root))

    def test_elements_that_hold_others_cost_what_it_takes_to_compare_them(self) -> None:
        """As deep as a document may be, each is written out: 40 conditions took 65 ms."""
        deep, flat = "<a>" * 50 + "</a>" * 50, "<a/>" * 50
        expression = parse_expression("//*", {})
        for inside, is_too_much in ((deep * 15, True), (flat * 15, False)):
            patience = Patience(10_000)
            named = Named(read_xml(f"<p>{inside}</p>".encode()), patience)
            if is_too_much:
                self.assertRaises(OutOfPatience, named.values, expression, patience)
            else:
                self.assertEqual(len(named.values(expression, patience)), 751)

    def test_what_is_too_much_work_is_told(self) -> None:
        criteria = self.criteria("<trigger><added>//x:t</added></trigger>")
        root = read_xml(b"<a><b/><b/></a>")
        self.assertFalse(criteria.is_triggered(root, root))
        self.patch(filters, "MAX_WORK", 1)
        self.assertTrue(criteria.is_triggered(root, root))


@needs_shared("examples", "rfc4660")
class ExampleTest(FilterCase):
    """RFC 4660 §7 and RFC 4661 §6, element by element."""

    def document(self, name: str) -> etree._Element:
        """Return an example."""
        return read_xml((SHARED / "examples" / name).read_bytes())

    def filters(self, name: str, package: bytes, resource: bytes) -> Criteria:
        """Return what an example filter comes to."""
        data = (SHARED / "examples" / name).read_bytes()
        # RFC 4660 §7.2.3 prints a namespace that no RFC has registered.
        data = data.replace(b"simple-winfo-filter", b"simple-filter")
        found = FilterReader(package, IDENTITY, 40).read(subscribe(data), resource, None)
        assert found is not None and found.criteria is not None
        return found.criteria

    @rows(
        {
            "7.1.1": ("02", "01", "03", b"presence"),
            "7.1.2": ("04", "01", "05", b"presence"),
            "7.2.1": ("11", "10", "12", b"presence.winfo"),
            "7.2.2": ("13", "10", "14", b"presence.winfo"),
            "7.2.3": ("15", "16", "17", b"presence.winfo"),
        }
    )
    def test_content(self, asked: str, state: str, told: str, package: bytes) -> None:
        criteria = self.filters(f"rfc4660/{asked}.xml", package, b"presentity@example.com")
        root, expected = (self.document(f"rfc4660/{one}.xml") for one in (state, told))
        schema = SCHEMA if package == b"presence" else WINFO_SCHEMA
        found = criteria.filtered(root, schema)
        assert found is not None
        self.assertEqual(canonical(found), canonical(expected))

    def test_7_1_3(self) -> None:
        criteria = self.filters("rfc4660/06.xml", b"presence", b"presentity@example.com")
        first, second, third = (self.document(f"rfc4660/{one}.xml") for one in ("01", "07", "08"))
        self.assertFalse(criteria.is_triggered(first, second))
        self.assertTrue(criteria.is_triggered(first, third))
        self.assertIs(criteria.filtered(third, SCHEMA), third)

    def test_7_2_3_triggers(self) -> None:
        criteria = self.filters("rfc4660/15.xml", b"presence.winfo", b"presentity@example.com")
        before, after = self.document("rfc4660/10.xml"), self.document("rfc4660/16.xml")
        self.assertTrue(criteria.is_triggered(before, after))
        self.assertFalse(criteria.is_triggered(after, after))

    def test_4_1(self) -> None:
        data = (SHARED / "examples/rfc4660/00.xml").read_bytes()
        reader = FilterReader(b"presence", IDENTITY, 40)
        for resource in (b"sarah@example.com", b"alice@biloxi.com"):
            found = reader.read(subscribe(data), resource, None)
            assert found is not None and found.criteria is not None
            self.assertIsInstance(found.criteria.what, What)
        other = reader.read(subscribe(data), b"bob@example.com", None)
        assert other is not None
        self.assertIsNone(other.criteria)

    def test_rfc4661_6_1(self) -> None:
        criteria = self.filters("rfc4661/00.xml", b"presence", b"presentity@example.com")
        found = criteria.filtered(self.document("rfc4660/01.xml"), SCHEMA)
        assert found is not None
        self.assertEqual([one.text for one in found.iter("{*}basic")], ["closed"])
        self.assertEqual(len(list(found.iter("*"))), 4)

    def test_rfc4661_6_2(self) -> None:
        """It says OPEN and CLOSED, where PIDF has open and closed: case counts."""
        criteria = self.filters("rfc4661/01.xml", b"presence", b"presentity@example.com")
        shouted = [
            read_xml(
                (SHARED / f"examples/rfc4660/{one}.xml").read_bytes()
                .replace(b"open", b"OPEN").replace(b"closed", b"CLOSED")
            )
            for one in ("07", "08")
        ]  # fmt: skip
        self.assertTrue(criteria.is_triggered(*shouted))
        self.assertFalse(criteria.is_triggered(*shouted[::-1]))
        quiet = [self.document(f"rfc4660/{one}.xml") for one in ("07", "08")]
        self.assertFalse(criteria.is_triggered(*quiet))

    def test_rfc4661_6_3(self) -> None:
        criteria = self.filters("rfc4661/02.xml", b"presence.winfo", b"presentity@example.com")
        state = self.document("rfc4660/10.xml")
        found = criteria.filtered(state, WINFO_SCHEMA)
        assert found is not None
        self.assertEqual([one.get("status") for one in found.iter("{*}watcher")], ["pending"])
        without = self.document("rfc4660/12.xml")
        self.assertTrue(criteria.is_triggered(without, state))
        self.assertFalse(criteria.is_triggered(state, without))

    def test_rfc4661_6_4(self) -> None:
        criteria = self.filters("rfc4661/03.xml", b"presence", b"buddylist@example.com")
        found = criteria.filtered(self.document("rfc4660/01.xml"), SCHEMA)
        assert found is not None
        self.assertEqual(len(list(found.iter("{*}class"))), 0)
        self.assertEqual(len(list(found.iter("{*}contact"))), 2)

    def test_rfc4661_6_5(self) -> None:
        """It uses a prefix that it does not bind; with the binding it is understood."""
        data = (SHARED / "examples/rfc4661/04.xml").read_bytes()
        reader = FilterReader(b"presence", IDENTITY, 40)
        self.refuses(488, reader.read, subscribe(data), ALICE, None)
        bound = data.replace(
            b"</ns-bindings>",
            b'<ns-binding prefix="pidf" urn="urn:ietf:params:xml:ns:pidf"/></ns-bindings>',
        )
        found = reader.read(subscribe(bound), ALICE, None)
        assert found is not None and found.criteria is not None
        game = (
            '<status><g:label xmlns:g="urn:ietf:params:xml:ns:game-ext">game-X</g:label></status>'
        )
        text = etree.tostring(self.document("rfc4660/05.xml")).decode()
        whole = read_xml(text.replace("</tuple>", f'</tuple><tuple id="g">{game}</tuple>').encode())
        left = found.criteria.filtered(whole, SCHEMA)
        assert left is not None
        self.assertEqual([one.get("id") for one in left], ["g"])

    def test_rfc4661_6_6(self) -> None:
        of_list = self.filters("rfc4661/05.xml", b"presence", b"buddies@example.com")
        of_bob = self.filters("rfc4661/05.xml", b"presence", b"bob@example.com")
        text = etree.tostring(self.document("rfc4660/01.xml")).decode()
        root = read_xml(
            text.replace("</contact>", "</contact><note>x</note>")
            .replace("IM<", "service<")
            .encode()
        )
        basics = of_list.filtered(root, SCHEMA)
        assert basics is not None
        self.assertEqual(len(list(basics.iter("{*}basic"))), 1)
        left = of_bob.filtered(root, SCHEMA)
        assert left is not None
        self.assertEqual({one.tag.rpartition("}")[2] for one in left.iter("*")},
                         {"presence", "tuple", "status", "basic", "contact"})  # fmt: skip

    def test_every_valid_example_is_read_or_misunderstood(self) -> None:
        for number in (4660, 4661):
            for name, data in examples(number).items():
                if b"filter-set" in data and name != "examples/rfc4661/04.xml":
                    package = b"presence.winfo" if b"watcherinfo" in data else b"presence"
                    reader = FilterReader(package, IDENTITY, 40)
                    try:
                        reader.read(subscribe(data), ALICE, None)
                    except SipError as error:
                        self.fail(f"{name}: {error} {error.headers}")
