"""XML patch operations (RFC 5261)."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from sipproxy.events.xml import MAX_DEPTH, read_xml
from sipproxy.presence import patches
from sipproxy.presence.patches import MAX_OPERATIONS, patched
from sipproxy.presence.trees import PatchError
from tests.rfc import rfc
from tests.shared import SHARED, needs_shared
from tests.sip.tables import TableCase, rows

WITH_INSTRUCTIONS = etree.XMLParser(resolve_entities=False)


def read(text: str) -> etree._Element:
    """Return the root of a document, its processing instructions kept."""
    return etree.fromstring(text.encode(), WITH_INSTRUCTIONS)


def operations(text: str, declared: str = "") -> list[etree._Element]:
    """Return the patch operations of a diff document."""
    return list(read(f"<diff {declared}>{text}</diff>"))


def canonical(root: etree._Element) -> str:
    """Return the canonical form with comments, which decides what is equal (RFC 5261 §3)."""
    return etree.tostring(root.getroottree(), method="c14n", with_comments=True).decode()


# Of these Hypothesis makes selectors, and attributes of operations.
PIECES = [
    *("d", "a", "n:a", "*", "/", "[1]", "[2]", "[@x='1']", "[.='t']", "[a='t']", "@x", "@n:x"),
    *("text()", "comment()", "id('i')", "namespace::p", "processing-instruction('q')", ".", ".."),
    *("//", "|", "'", "(", "["),
]
DIRECTIVES = [
    *("before", "after", "both", "prepend", "@x", "@n:y", "namespace::p", "namespace::n"),
]


class PatchCase(TableCase):
    """Documents, and what becomes of them."""

    def becomes(self, document: str, patch: str, expected: str, declared: str = "") -> None:
        """Assert what a patch makes of a document, and that it leaves the old one alone."""
        root = read(document)
        before = canonical(root)
        self.assertEqual(
            canonical(patched(root, operations(patch, declared))), canonical(read(expected))
        )
        self.assertEqual(canonical(root), before)

    def fails(self, name: str, document: str, patch: str, declared: str = "") -> None:
        """Assert that a patch cannot be applied, and the error (§5.1)."""
        with self.assertRaises(PatchError) as caught:
            patched(read(document), operations(patch, declared))
        self.assertEqual(caught.exception.name, name, str(caught.exception))


@needs_shared("examples", "rfc5261")
class ExampleTest(TableCase):
    """Appendix A: every document, patch and result."""

    # A.16 shows no white space where the instruction was; §4.5.6 has the texts beside it joined.
    ERRATA = {16: "</foo>\n  \n</doc>"}

    @rfc(5261, "4", "patch operations are applied in the order of the document")
    def test_appendix_a(self) -> None:
        folder = SHARED / "examples" / "rfc5261"
        for triple in json.loads((folder / "triples.json").read_text()):
            document, diff, result = (
                read_bytes((folder / triple[part]).read_bytes())
                for part in ("doc", "diff", "result")
            )
            expected = canonical(result)
            if triple["n"] in self.ERRATA:
                expected = expected.replace("</foo>\n</doc>", self.ERRATA[triple["n"]])
            self.assertEqual(canonical(patched(document, list(diff))), expected, triple["n"])


def read_bytes(data: bytes) -> etree._Element:
    """Return the root of a document as it lies in a file."""
    return etree.fromstring(data, WITH_INSTRUCTIONS)


class SelectorTest(PatchCase):
    """What a selector points at (§4.1, §8); what it finds is marked."""

    DOCUMENT = (
        "<!--first--><doc><a n='1'>x</a><a n='2' m='&quot;'><b>y</b></a>one<c/>two"
        "<!--c1--><!--c2--><?p q?><?r s?><d id='i'/><d xml:id='j'>z<e/></d></doc>"
    )

    @rows(
        {
            "the root": ("doc", "/doc"),
            "any element": ("*/c", "/doc/c"),
            "from the root node": ("/doc/c", "/doc/c"),
            "by position": ("doc/a[2]", "/doc/a[2]"),
            "of all elements": ("*/*[3]", "/doc/c"),
            "by attribute": ("doc/a[@n='1']", "/doc/a[1]"),
            "in double quotes": ('doc/a[@n="1"]', "/doc/a[1]"),
            "the other quotes within": ("doc/a[@m='\"']", "/doc/a[2]"),
            "by a child's value": ("*/a[b='y']", "/doc/a[2]"),
            "by its own value": ("*/a[.='x']", "/doc/a[1]"),
            "several predicates": ("*/a[@n='2'][@m='\"'][1]", "/doc/a[2]"),
            "a position after a predicate": ("*/a[@n='2'][1]", "/doc/a[2]"),
            "spaces, as XPath has them": (" * / a [ @n = '1' ] ", "/doc/a[1]"),
            "id()": ("id('i')", "/doc/d[1]"),
            "behind a slash": ("/id('i')", "/doc/d[1]"),
            "by xml:id, and on": ("id('j')/e", "/doc/d[2]/e"),
        }
    )
    def test_elements(self, selector: str, found: str) -> None:
        root = patched(read(self.DOCUMENT), [operation("add", selector, type="@hit", text="!")])
        tree = root.getroottree()
        self.assertEqual([tree.getpath(one) for one in root.iter("*") if one.get("hit")], [found])

    @rows(
        {
            "a text": ("doc/a[1]/text()", "<a n='1'>x</a>", "<a n='1'/>"),
            "the second text": ("doc/text()[2]", "two", ""),
            "a comment": ("doc/comment()[2]", "<!--c2-->", ""),
            "a comment beside the root": ("comment()", "<!--first-->", ""),
            "an instruction": ("doc/processing-instruction()[1]", "<?p q?>", ""),
            "an instruction by its name": ("doc/processing-instruction('r')", "<?r s?>", ""),
            "an attribute": ("doc/a[2]/@n", " n='2'", ""),
        }
    )
    def test_other_nodes(self, selector: str, gone: str, left: str) -> None:
        expected = self.DOCUMENT.replace(gone, left, 1)
        self.becomes(self.DOCUMENT, f'<remove sel="{selector}"/>', expected)

    @rows(
        {
            "nothing there": ("doc/x", "unlocated-node"),
            "two of them": ("doc/a", "unlocated-node"),
            "two texts": ("doc/text()", "unlocated-node"),
            "the zeroth": ("doc/a[0]", "unlocated-node"),
            "the zeroth text": ("doc/text()[0]", "unlocated-node"),
            "below the last": ("doc/a[3]/b", "unlocated-node"),
            "no such id": ("id('k')", "unlocated-node"),
            "no such attribute": ("doc/@x", "unlocated-node"),
            "no such namespace": ("doc/namespace::x", "invalid-namespace-uri"),
            "empty": ("", "invalid-attribute-value"),
            "the root node": ("/", "invalid-attribute-value"),
            "descendants": ("//a", "invalid-attribute-value"),
            "a slash too much": ("doc/c/", "invalid-attribute-value"),
            "the parent": ("doc/a[1]/..", "invalid-attribute-value"),
            "an axis": ("doc/child::c", "invalid-attribute-value"),
            "a union": ("doc|doc", "invalid-attribute-value"),
            "a function": ("doc/*[last()]", "invalid-attribute-value"),
            "a function of ours, elsewhere": ("doc/id('i')", "invalid-attribute-value"),
            "a comparison": ("doc/a[@n>'1']", "invalid-attribute-value"),
            "an open bracket": ("doc/a[", "invalid-attribute-value"),
            "no quotes": ("doc/a[@n=1]", "invalid-attribute-value"),
            "an attribute on the way": ("doc/@x/c", "invalid-attribute-value"),
            "a text on the way": ("doc/text()[1]/c", "invalid-attribute-value"),
            "text() that is given something": ("doc/text('p')", "invalid-attribute-value"),
            "a prefix that nobody declares": ("n:doc", "invalid-namespace-prefix"),
            "of an attribute": ("doc/@n:a", "invalid-namespace-prefix"),
            "too long": ("doc" + "/c" * 1100, "invalid-attribute-value"),
        }
    )
    def test_refused(self, selector: str, name: str) -> None:
        with self.assertRaises(PatchError) as caught:
            patched(read(self.DOCUMENT), [operation("remove", selector)])
        self.assertEqual(caught.exception.name, name)


def operation(name: str, selector: str, text: str = "", **attributes: str) -> etree._Element:
    """Return a patch operation."""
    element = etree.Element(name, {"sel": selector, **attributes})
    element.text = text or None
    return element


class AddTest(PatchCase):
    """§4.3."""

    @rows(
        {
            "last": ('sel="d"', "<x/>", "<d><a/>t<x/></d>"),
            "first": ('sel="d" pos="prepend"', "<x/>", "<d><x/><a/>t</d>"),
            "before": ('sel="d/a" pos="before"', "<x/>", "<d><x/><a/>t</d>"),
            "after": ('sel="d/a" pos="after"', "<x/>", "<d><a/><x/>t</d>"),
            "text after text is one text": ('sel="d/text()" pos="after"', "u<x/>v",
                                            "<d><a/>tu<x/>v</d>"),
            "text before text, too": ('sel="d/text()" pos="before"', "u<x/>v",
                                      "<d><a/>u<x/>vt</d>"),
            "several, with white space": ('sel="d"', "\n <x/>\n", "<d><a/>t\n <x/>\n</d>"),
            "a comment": ('sel="d"', "<!--c-->", "<d><a/>t<!--c--></d>"),
            "a comment before the root": ('sel="d" pos="before"', "<!--c-->",
                                          "<!--c--><d><a/>t</d>"),
            "an instruction behind it": ('sel="*" pos="after"', "<?p q?>", "<d><a/>t</d><?p q?>"),
            "nothing": ('sel="d"', "", "<d><a/>t</d>"),
            "characters that are escaped": ('sel="d"', "&lt;&amp;&gt;&#13;<![CDATA[<]]>",
                                            "<d><a/>t&lt;&amp;&gt;&#13;&lt;</d>"),
            "an attribute": ('sel="d/a" type="@n"', "&lt;&quot;&#10;",
                             "<d><a n='&lt;&quot;&#10;'/>t</d>"),
            "an attribute of XML": ('sel="d/a" type="@xml:lang"', "en",
                                    "<d><a xml:lang='en'/>t</d>"),
            "a namespace": ('sel="d/a" type="namespace::n"', "urn:n",
                            "<d><a xmlns:n='urn:n'/>t</d>"),
        }
    )  # fmt: skip
    def test_add(self, attributes: str, content: str, expected: str) -> None:
        self.becomes("<d><a/>t</d>", f"<add {attributes}>{content}</add>", expected)

    @rows(
        {
            "another root": ('sel="d" pos="after"', "<x/>", "invalid-root-element-operation"),
            "text beside the root": ('sel="d" pos="before"', "x", "invalid-xml-prolog-operation"),
            "into a text": ('sel="d/text()"', "<x/>", "invalid-patch-directive"),
            "an attribute of a text": ('sel="d/text()" type="@n"', "x", "invalid-patch-directive"),
            "an attribute that is there": ('sel="d" type="@id"', "x", "invalid-patch-directive"),
            "to an attribute": ('sel="d/@id"', "x", "invalid-attribute-value"),
            "elements into an attribute": ('sel="d" type="@n"', "<x/>", "invalid-node-types"),
            "another place": ('sel="d" pos="inside"', "<x/>", "invalid-attribute-value"),
            "another type": ('sel="d" type="n"', "x", "invalid-attribute-value"),
            "an attribute without a name": ('sel="d" type="@"', "x", "invalid-attribute-value"),
            "with a prefix that nobody declares": ('sel="d" type="@n:a"', "x",
                                                   "invalid-namespace-prefix"),
            "a namespace without URI": ('sel="d" type="namespace::n"', "",
                                        "invalid-namespace-uri"),
            "a URI with a space": ('sel="d" type="namespace::n"', "a b", "invalid-namespace-uri"),
            "the prefix of XML": ('sel="d" type="namespace::xml"', "urn:x",
                                  "invalid-namespace-prefix"),
            "a namespace that is there": ('sel="d" type="namespace::p"', "urn:q",
                                          "invalid-patch-directive"),
            "one that would change names": ('sel="d/p:a" type="namespace::p"', "urn:q",
                                            "invalid-namespace-prefix"),
            "no sel": ("", "x", "invalid-attribute-value"),
        }
    )  # fmt: skip
    def test_refused(self, attributes: str, content: str, name: str) -> None:
        self.fails(
            name,
            "<d id='i' xmlns:p='urn:p'><p:a/>t</d>",
            f"<add {attributes}>{content}</add>",
            "xmlns:p='urn:p'",
        )


class ReplaceTest(PatchCase):
    """§4.4."""

    @rows(
        {
            "an element": ("d/a", "<b m='2'/>", "<d x='1'><b m='2'/>t<!--c--><?p q?></d>"),
            "white space beside it is passed over": (
                "d/a", "\n <b/>\n", "<d x='1'><b/>t<!--c--><?p q?></d>"),
            "the root": ("d", "<e/>", "<e/>"),
            "an attribute": ("d/@x", "2", "<d x='2'><a n='1'>u</a>t<!--c--><?p q?></d>"),
            "an attribute by nothing": ("d/@x", "", "<d x=''><a n='1'>u</a>t<!--c--><?p q?></d>"),
            "a text": ("d/text()", "s", "<d x='1'><a n='1'>u</a>s<!--c--><?p q?></d>"),
            "a text by nothing": ("d/text()", "", "<d x='1'><a n='1'>u</a><!--c--><?p q?></d>"),
            "a comment": ("d/comment()", "<!--e-->", "<d x='1'><a n='1'>u</a>t<!--e--><?p q?></d>"),
            "an instruction": ("d/processing-instruction()", "<?r?>",
                               "<d x='1'><a n='1'>u</a>t<!--c--><?r?></d>"),
        }
    )  # fmt: skip
    def test_replace(self, selector: str, content: str, expected: str) -> None:
        document = "<d x='1'><a n='1'>u</a>t<!--c--><?p q?></d>"
        self.becomes(document, f'<replace sel="{selector}">{content}</replace>', expected)

    @rows(
        {
            "an element by text": ("d/a", "x"),
            "an element by nothing": ("d/a", ""),
            "an element by two": ("d/a", "<b/><b/>"),
            "an element by a comment": ("d/a", "<!--c-->"),
            "a comment by an element": ("d/comment()", "<b/>"),
            "an attribute by an element": ("d/@x", "<b/>"),
            "a text by an element": ("d/text()", "<b/>"),
            "a text by a comment": ("d/text()", "a<!--c-->"),
        }
    )
    def test_refused(self, selector: str, content: str) -> None:
        self.fails(
            "invalid-node-types",
            "<d x='1'><a/>t<!--c--></d>",
            f'<replace sel="{selector}">{content}</replace>',
        )


class RemoveTest(PatchCase):
    """§4.5."""

    DOCUMENT = "<d x='1'>s<a/>t<b/> <c/>\n<!--n--> </d>"

    @rows(
        {
            "an element, and the texts beside it are one": (
                'sel="d/a"', "<d x='1'>st<b/> <c/>\n<!--n--> </d>"),
            "with the space after": ('sel="d/b" ws="after"', "<d x='1'>s<a/>t<c/>\n<!--n--> </d>"),
            "with the space before": (
                'sel="d/c" ws="before"', "<d x='1'>s<a/>t<b/>\n<!--n--> </d>"),
            "with both": ('sel="d/c" ws="both"', "<d x='1'>s<a/>t<b/><!--n--> </d>"),
            "a comment": ('sel="d/comment()" ws="both"', "<d x='1'>s<a/>t<b/> <c/></d>"),
            "a text": ('sel="d/text()[2]"', "<d x='1'>s<a/><b/> <c/>\n<!--n--> </d>"),
            "an attribute": ('sel="d/@x"', "<d>s<a/>t<b/> <c/>\n<!--n--> </d>"),
        }
    )  # fmt: skip
    def test_remove(self, attributes: str, expected: str) -> None:
        self.becomes(self.DOCUMENT, f"<remove {attributes}/>", expected)

    @rows(
        {
            "the root": ('sel="d"', "invalid-root-element-operation"),
            "no space before": ('sel="d/b" ws="both"', "invalid-whitespace-directive"),
            "no space after": ('sel="d/a" ws="after"', "invalid-whitespace-directive"),
            "nothing at all before": ('sel="e/f" ws="before"', "unlocated-node"),
            "of a text": ('sel="d/text()[1]" ws="after"', "invalid-patch-directive"),
            "of an attribute": ('sel="d/@x" ws="after"', "invalid-patch-directive"),
            "another side": ('sel="d/b" ws="around"', "invalid-attribute-value"),
        }
    )
    def test_refused(self, attributes: str, name: str) -> None:
        self.fails(name, self.DOCUMENT, f"<remove {attributes}/>")

    def test_at_the_ends_there_is_no_space(self) -> None:
        for side in ("before", "after"):
            patch = f'<remove sel="d/a" ws="{side}"/>'
            self.fails("invalid-whitespace-directive", "<d><a/></d>", patch)


class NamespaceTest(PatchCase):
    """§4.2: prefixes are those of the diff in selectors, and of the document in what results."""

    @rfc(5261, "4.2.1", "a prefix of a selector means what the diff declares")
    def test_the_prefix_of_the_document_does_not_matter(self) -> None:
        document = "<x:d xmlns:x='foo:'><x:bar/></x:d>"
        self.becomes(document, '<remove sel="a:d/a:bar"/>', "<x:d xmlns:x='foo:'/>",
                     "xmlns:a='foo:'")  # fmt: skip

    @rfc(5261, "4.2.1", "a selector without a prefix is in the default namespace of the diff")
    def test_the_default_namespace_of_the_diff(self) -> None:
        document = "<x:d xmlns:x='foo:'><x:bar/><bar/></x:d>"
        self.becomes(document, '<remove sel="d/bar"/>', "<x:d xmlns:x='foo:'><bar/></x:d>",
                     "xmlns='foo:'")  # fmt: skip

    @rfc(5261, "4.2.1", "where there is none it matches what is in no namespace")
    def test_without_a_default_namespace(self) -> None:
        self.fails("unlocated-node", "<d xmlns='foo:'/>", '<add sel="d">x</add>', "xmlns:a='foo:'")

    @rows(
        {
            "that of the document": (
                "<b:d xmlns:b='foo:'/>", "xmlns:a='foo:'", "<a:n/>",
                "<b:d xmlns:b='foo:'><b:n/></b:d>"),
            "its default": (
                "<d xmlns='foo:'/>", "xmlns:a='foo:'", "<a:n/>", "<d xmlns='foo:'><n/></d>"),
            "the diff's default": (
                "<b:d xmlns:b='foo:'/>", "xmlns='foo:'", "<n/>",
                "<b:d xmlns:b='foo:'><b:n/></b:d>"),
            "the same, where there are several": (
                "<b:d xmlns:a='foo:' xmlns:b='foo:'/>", "xmlns:a='foo:'", "<a:n/>",
                "<b:d xmlns:a='foo:' xmlns:b='foo:'><a:n/></b:d>"),
            "the same default": (
                "<b:d xmlns='foo:' xmlns:b='foo:'/>", "xmlns='foo:'", "<n/>",
                "<b:d xmlns='foo:' xmlns:b='foo:'><n/></b:d>"),
            "that of the context node": (
                "<b:d xmlns:a='foo:' xmlns:b='foo:'/>", "xmlns:c='foo:'", "<c:n/>",
                "<b:d xmlns:a='foo:' xmlns:b='foo:'><b:n/></b:d>"),
            "the one before by the alphabet": (
                "<d xmlns:x='foo:' xmlns:y='foo:'/>", "xmlns:xx='foo:'", "<xx:n/>",
                "<d xmlns:x='foo:' xmlns:y='foo:'><x:n/></d>"),
            "the last before": (
                "<d xmlns:x='foo:' xmlns:y='foo:'/>", "xmlns:z='foo:'", "<z:n/>",
                "<d xmlns:x='foo:' xmlns:y='foo:'><y:n/></d>"),
            "the first, where all stand behind": (
                "<d xmlns:x='foo:' xmlns:y='foo:'/>", "xmlns:a='foo:'", "<a:n/>",
                "<d xmlns:x='foo:' xmlns:y='foo:'><x:n/></d>"),
            "the default is the first of all": (
                "<o:d xmlns='foo:' xmlns:x='foo:' xmlns:o='o:'/>", "xmlns:a='foo:'", "<a:n/>",
                "<o:d xmlns='foo:' xmlns:x='foo:' xmlns:o='o:'><n/></o:d>"),
            "that of the diff, where the document has none": (
                "<d/>", "xmlns:a='foo:'", "<a:n/>", "<d><a:n xmlns:a='foo:'/></d>"),
            "its own declarations come along as they are": (
                "<b:d xmlns:b='foo:'/>", "", "<a:n xmlns:a='foo:' xmlns:u='bar:'/>",
                "<b:d xmlns:b='foo:'><a:n xmlns:a='foo:' xmlns:u='bar:'/></b:d>"),
            "what is in none stays in none": (
                "<d xmlns='foo:'/>", "", "<n><m/></n>",
                "<d xmlns='foo:'><n xmlns=''><m/></n></d>"),
            "one that means something else there": (
                "<a:d xmlns:a='bar:'/>", "xmlns:a='foo:'", "<a:n/>",
                "<a:d xmlns:a='bar:'><a:n xmlns:a='foo:'/></a:d>"),
            "what is within, too": (
                "<d xmlns='foo:' xmlns:z='bar:'/>", "xmlns:a='foo:' xmlns:b='bar:'",
                "<a:n><b:m/></a:n>", "<d xmlns='foo:' xmlns:z='bar:'><n><z:m/></n></d>"),
            "a prefix that is hidden within is not used": (
                "<b:d xmlns:b='foo:'/>", "xmlns:a='foo:'", "<b:n xmlns:b='bar:'><a:m/></b:n>",
                "<b:d xmlns:b='foo:'><b:n xmlns:b='bar:'><a:m xmlns:a='foo:'/></b:n></b:d>"),
            "of an attribute": (
                "<d xmlns:z='bar:'/>", "xmlns:b='bar:'", "<n b:m='1'/>",
                "<d xmlns:z='bar:'><n z:m='1'/></d>"),
            "never the default for an attribute": (
                "<d xmlns='bar:'/>", "xmlns:b='bar:'", "<b:n b:m='1'/>",
                "<d xmlns='bar:'><n xmlns:b='bar:' b:m='1'/></d>"),
            "of two that fall together, a new one": (
                "<b:d xmlns:b='foo:'/>", "xmlns:a='foo:' xmlns:b='bar:'", "<a:n b:m='1'/>",
                "<b:d xmlns:b='foo:'><b:n xmlns:ns0='bar:' ns0:m='1'/></b:d>"),
        }
    )  # fmt: skip
    @rfc(5261, "4.2.3", "added content gets the prefixes of the document that is patched")
    def test_prefixes_of_added_content(
        self, document: str, declared: str, content: str, expected: str
    ) -> None:
        self.becomes(document, f'<add sel="*">{content}</add>'.replace("<add", "<p:add").replace(
            "</add", "</p:add"), expected, f"{declared} xmlns:p='urn:p'")  # fmt: skip

    def test_the_context_of_a_replacement_is_the_parent(self) -> None:
        document = "<b:d xmlns:a='foo:' xmlns:b='foo:'><a:n/></b:d>"
        patch = '<replace sel="*/c:n"><c:m/></replace>'
        expected = "<b:d xmlns:a='foo:' xmlns:b='foo:'><b:m/></b:d>"
        self.becomes(document, patch, expected, "xmlns:c='foo:'")

    @rows(
        {
            "declared there": ("<d xmlns:z='bar:'/>", "<d xmlns:z='bar:' z:m='1'/>"),
            "only as the default": (
                "<d xmlns='bar:'/>", "<d xmlns='bar:' xmlns:b='bar:' b:m='1'/>"),
            "nowhere": ("<d/>", "<d xmlns:b='bar:' b:m='1'/>"),
            "the prefix has another meaning": (
                "<b:d xmlns:b='foo:'/>", "<b:d xmlns:b='foo:' xmlns:ns0='bar:' ns0:m='1'/>"),
        }
    )  # fmt: skip
    def test_an_added_attribute(self, document: str, expected: str) -> None:
        patch = '<add sel="*" type="@b:m">1</add>'
        self.becomes(document, patch, expected, "xmlns:b='bar:'")

    @rows(
        {
            "replaced": ('<replace sel="d/namespace::p">new:</replace>',
                         "<d xmlns:p='new:'><p:a p:n='1'/><p:b xmlns:p='own:'/></d>"),
            "and found by its new name": (
                '<replace sel="d/namespace::p">new:</replace><remove sel="d/n:a"/>',
                "<d xmlns:p='new:'><p:b xmlns:p='own:'/></d>"),
            "removed when nothing uses it": (
                '<remove sel="d/o:a"/><remove sel="d/namespace::p"/>',
                "<d><p:b xmlns:p='own:'/></d>"),
        }
    )  # fmt: skip
    def test_declarations(self, patch: str, expected: str) -> None:
        document = "<d xmlns:p='old:'><p:a p:n='1'/><p:b xmlns:p='own:'/></d>"
        self.becomes(document, patch, expected, "xmlns:n='new:' xmlns:o='old:'")

    @rfc(5261, "4.5.3", "a namespace that a node uses is not removed")
    def test_a_namespace_in_use_stays(self) -> None:
        for document in ("<p:d xmlns:p='u:'/>", "<d xmlns:p='u:'><a><b p:n='1'/></a></d>"):
            patch = '<remove sel="*/namespace::p"/>'
            self.fails("invalid-namespace-prefix", document, patch)

    @rfc(5261, "4.4.3", "a namespace is changed where it is declared")
    def test_a_namespace_is_changed_where_it_is_declared(self) -> None:
        document = "<d xmlns:p='u:'><a/></d>"
        patch = '<replace sel="d/a/namespace::p">v:</replace>'
        self.fails("invalid-namespace-uri", document, patch)


class BoundsTest(PatchCase):
    """No patch keeps us busy, however it is made."""

    FLAT = "<d>" + "<n/>" * 3900 + "</d>"
    DEEP = "<d>" + "<n>" * 40 + "</n>" * 40 + "</d>"
    DECLARED = " ".join(f"xmlns:a{number}='urn:a'" for number in range(60))

    @rows(
        {
            "a large document, again and again": (FLAT, '<replace sel="*/n[1]"><n/></replace>'),
            "values compared again and again": (FLAT, "<remove sel=\"*[.='x']\"/>"),
            "all that is there by its value": (FLAT, '<add sel="*/n[.=\'\'][9]" type="@x">y</add>'),
            "ids": (FLAT, "<remove sel=\"id('x')\"/>"),
            "what is added": (FLAT, '<add sel="d">' + "<n/>" * 300 + "</add>"),
            "what it is called": (
                f"<d {DECLARED}/>", '<add sel="d">' + '<n xmlns="urn:a"/>' * 300 + "</add>"),
            "declarations": (
                f"<d {DECLARED}>" + "<n/>" * 1000 + "</d>",
                '<replace sel="d/namespace::a1">v:</replace>'),
        }
    )  # fmt: skip
    def test_work(self, document: str, patch: str) -> None:
        with self.assertRaises(PatchError) as caught:
            patched(read_xml(document.encode()), operations(patch * MAX_OPERATIONS))
        self.assertIn(caught.exception.name, ("invalid-patch-directive", "unlocated-node"))

    def test_many_operations(self) -> None:
        one = '<add sel="d"><x/></add>'
        self.assertEqual(len(patched(read("<d/>"), operations(one * MAX_OPERATIONS))), 100)
        self.fails("invalid-diff-format", "<d/>", one * (MAX_OPERATIONS + 1))

    def test_depth(self) -> None:
        self.patch(patches, "MAX_WORK", 10**9)
        inner = "<n>" * 10 + "<m id='i%d'/>" + "</n>" * 10
        first = f'<add sel="d">{inner % 0}</add>'
        more = "".join(
            f"<add sel=\"id('i{number}')\">{inner % (number + 1)}</add>" for number in range(9)
        )
        self.fails("invalid-patch-directive", "<d/>", first + more)
        self.assertGreater(MAX_DEPTH, 40)

    def test_namespaces(self) -> None:
        declared = " ".join(f"xmlns:b{number}='urn:b'" for number in range(60))
        nested = f"<d {self.DECLARED}><n {declared}/></d>"
        self.fails("invalid-diff-format", nested, '<remove sel="d/n"/>')
        self.fails("invalid-patch-directive", f"<d {self.DECLARED}/>",
                   f'<add sel="d"><n {declared}/></add>')  # fmt: skip

    def test_no_patch_operation(self) -> None:
        self.fails("invalid-diff-format", "<d/>", '<move sel="d"/>')

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "replace", "remove"]),
                st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
                st.sampled_from(["", "t", "<a/>", "<p:a p:x='2'><a/></p:a>", "<!--c-->", "<?q?>"]),
                st.dictionaries(
                    st.sampled_from(["pos", "type", "ws"]), st.sampled_from(DIRECTIVES), max_size=1
                ),
            ),
            max_size=5,
        )
    )
    def test_any_patch_is_applied_or_refused(
        self, made: list[tuple[str, str, str, dict[str, str]]]
    ) -> None:
        diff = etree.Element("diff", nsmap={"n": "u:", "p": "v:"})
        for name, selector, content, attributes in made:
            one = read(f"<{name} xmlns:n='u:' xmlns:p='v:'>{content}</{name}>")
            one.set("sel", selector)
            for attribute, value in attributes.items():
                one.set(attribute, value)
            diff.append(one)
        document = (
            "<d xmlns:p='u:'><a x='1'>t</a><p:a p:x='1' id='i'><a>t</a> <a/></p:a><!--c--><?q?></d>"
        )
        try:
            root = patched(read(document), list(diff))
        except PatchError as error:
            self.assertNotEqual(error.phrase, "")
        else:
            sent = etree.tostring(root.getroottree())
            self.assertEqual(canonical(read_bytes(sent)), canonical(root))
