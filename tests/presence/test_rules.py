"""Authorization documents: what is read, what is refused, and how rules combine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.events.xml import MAX_ELEMENTS
from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK
from sipproxy.presence.permissions import (
    ATTRIBUTES,
    BARE,
    EVERY,
    EVERYTHING,
    FULL,
    NONE,
    THRESHOLDS,
    Permissions,
    combined,
)
from sipproxy.presence.rules import Rule, read_rules
from tests.documents import examples
from tests.presence.rulesets import (
    ALL,
    WHOLE,
    circumstances,
    granted,
    identity,
    rule,
    ruleset,
    unknown,
)
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

REFUSED = {
    "nothing": (b"", "Malformed XML: it is empty"),
    "half": (ruleset(rule())[:-9], "Malformed XML: "),
    "another document": (b"<presence/>", "line 1: Element 'presence': No matching global"),
    "a document type": (b"<!DOCTYPE ruleset>" + ruleset(), "Malformed XML: a document type"),
    "two rules of one id": (ruleset(rule(), rule()), "line 1: Element 'rule', attribute 'id': 'a'"),
    "a rule without id": (ruleset("<rule/>"), "line 1: Element 'rule': The attribute 'id'"),
    "an id that is none": (ruleset(rule(name="1")), "line 1: Element 'rule', attribute 'id': '1'"),
    "an empty identity": (ruleset(rule(identity(""))), "line 1: Element 'identity': Missing child"),
    "until alone": (
        ruleset(rule("<validity><until>2027-01-15T08:00:00Z</until></validity>")),
        "line 1: Element 'until': This element is not expected. Expected is ( from )",
    ),
    "a time that is none": (
        ruleset(rule("<validity><from>noon</from><until>night</until></validity>")),
        "line 1: Element 'from': 'noon' is not a valid value",
    ),
    "one without id": (ruleset(rule(identity("<one/>"))), "line 1: Element 'one': The attribute"),
    "an address that is no URI": (
        ruleset(rule(identity('<one id="bob@example.test"/>'))),
        'line 1: rule "a": <one id="bob@example.test"> is no URI: write sip:user@domain',
    ),
    "an exception that is no URI": (
        ruleset(rule(identity('<many><except id="bob"/></many>'))),
        'line 1: rule "a": <except id="bob"> is no URI: write sip:user@domain',
    ),
    "an exception of nobody": (
        ruleset(rule(identity("<many><except/></many>"))),
        'line 1: rule "a": <except> excludes nobody: write id="sip:user@domain" or domain="..."',
    ),
    "an exception that is no domain": (
        ruleset(rule(identity('<many><except domain="a..b"/></many>'))),
        'line 1: rule "a": <except domain="a..b"> is no domain',
    ),
    "an exception of a user and a domain": (
        ruleset(rule(identity('<many><except id="sip:a@b.test" domain="b.test"/></many>'))),
        'line 1: rule "a": <except> has id and domain: write two elements',
    ),
    "an action that is none": (
        ruleset(rule(action="maybe")),
        "line 1: Element 'pr:sub-handling': ",
    ),
    "a truth that is none": (
        ruleset(rule("", "<pr:provide-mood>yes</pr:provide-mood>")),
        "line 1: Element 'pr:provide-mood': 'yes' is not a valid value",
    ),
    "all beside one": (
        ruleset(
            rule(
                "",
                "<pr:provide-persons><pr:all-persons/><pr:class>a</pr:class></pr:provide-persons>",
            )
        ),
        "line 1: Element 'pr:class': This element is not expected",
    ),
    "an attribute with a prefix": (
        ruleset(
            rule(
                "",
                unknown("x:foo", "urn:x"),
            )
        ),
        'line 1: rule "a": <provide-unknown-attribute name="x:foo"> MUST have no prefix',
    ),
    "an attribute that names nothing": (
        ruleset(
            rule(
                "",
                unknown("a b", "urn:x"),
            )
        ),
        'line 1: rule "a": <provide-unknown-attribute name="a b" ns="urn:x"> names no element',
    ),
    "very many rules": (
        ruleset(*(f'<rule id="r{number}"/>' for number in range(MAX_ELEMENTS))),
        "Malformed XML: it is too deep, or has too many elements",
    ),
}


@rfc(4745, "6.1", "no two rules of a document have one id")
@rfc(4745, "7.2", "an exception has an id or a domain, not both")
@rfc(4745, "7.4", "from and until are in pairs")
@rfc(5025, "3.3.2.14", "the name of an unknown attribute has no prefix")
class Refused(SynchronousTestCase):
    """What is no authorization document, in one line each."""

    def test_table(self) -> None:
        for name, (data, expected) in REFUSED.items():
            error = str(self.assertRaises(ValueError, read_rules, data))
            self.assertTrue(error.startswith(expected), f"{name}: {error}")
            self.assertLess(len(error), 260, name)
            self.assertNotIn("\n", error, name)

    def test_the_line_is_told(self) -> None:
        data = ruleset(rule(), "\n\n" + rule(identity('<one id="bob"/>'), name="b"))
        error = str(self.assertRaises(ValueError, read_rules, data))
        self.assertTrue(error.startswith('line 3: rule "b": '), error)


class Limits(TableCase):
    """What takes too long to read."""

    @rows(
        {
            "rules": ([f'<rule id="a{n}"/>' for n in range(11)],),
            "names": ([rule(identity('<one id="sip:a@b"/>' * 9))],),
            "conditions": ([rule('<sphere value="work"/>' * 10)],),
            "what is not ASCII": ([rule(identity('<many domain="\xfc\xfc\xfc.test"/>'))],),
            "what is escaped": ([rule(identity('<many domain="%41.test"/>'))],),
        }
    )
    def test_eleven(self, written: list[str]) -> None:
        data = ruleset(*written)
        self.assertTrue(read_rules(data, most=11))
        error = str(self.assertRaises(ValueError, read_rules, data, "", 10))
        expected = "it has 11 rules, conditions and names in them, and 10 are allowed by [presence]"
        self.assertEqual(error, f"{expected} rules")

    def test_what_is_granted_is_not_counted(self) -> None:
        self.assertTrue(read_rules(ruleset(rule(granted=unknown("a", "urn:x") * 100)), most=1))


class Read(SynchronousTestCase):
    """What is one."""

    def test_no_rules(self) -> None:
        self.assertEqual(read_rules(ruleset()), [])

    def test_a_bare_rule_grants_nothing(self) -> None:
        (found,) = read_rules(ruleset('<rule id="a"/>'))
        self.assertEqual(found.permissions, Permissions())
        self.assertEqual(found.permissions.handling, BLOCK)

    def test_names(self) -> None:
        rules = read_rules(ruleset(rule(name="a"), rule(name=" b ")), "index")
        self.assertEqual(
            [(one.document, one.id) for one in rules], [("index", "a"), ("index", "b")]
        )

    @rfc(5025, "8", "a permission that is not known grants nothing")
    def test_what_is_not_known_grants_nothing(self) -> None:
        for text in (
            "<pr:provide-everything>true</pr:provide-everything>",
            "<x:provide-mood>true</x:provide-mood>",
            "<pr:provide-persons><x:all/></pr:provide-persons>",
        ):
            self.assertEqual(granted(text), Permissions(ALLOW), text)

    def test_comments_say_nothing(self) -> None:
        text = "<pr:provide-mood>tr<!-- un -->ue</pr:provide-mood><!-- <pr:provide-note/> -->"
        self.assertEqual(granted(text), Permissions(ALLOW, attributes=frozenset({"mood"})))

    @rfc(5025, "5", "every action and transformation is supported")
    def test_each_permission(self) -> None:
        for attribute in ATTRIBUTES:
            for value, expected in (("true", {attribute}), (" 1 ", {attribute}), ("false", set())):
                text = f"<pr:provide-{attribute}>{value}</pr:provide-{attribute}>"
                self.assertEqual(granted(text).attributes, expected, text)
        for value, number in {
            "false": NONE,
            "bare": BARE,
            "thresholds": THRESHOLDS,
            "full": FULL,
        }.items():
            text = f"<pr:provide-user-input>{value}</pr:provide-user-input>"
            self.assertEqual(granted(text).user_input, number, value)
        for value, number in {
            "block": BLOCK,
            "confirm": CONFIRM,
            " polite-block ": POLITE_BLOCK,
            "allow": ALLOW,
        }.items():
            (found,) = read_rules(ruleset(rule(action=value)))
            self.assertEqual(found.permissions.handling, number, value)

    def test_each_set(self) -> None:
        for kind, members in {
            "person": ("class", "occurrence-id"),
            "device": ("class", "occurrence-id", "deviceID"),
            "service": ("class", "occurrence-id", "service-uri", "service-uri-scheme"),
        }.items():
            inner = "".join(f"<pr:{name}> a:b </pr:{name}>" for name in members)
            found = granted(f"<pr:provide-{kind}s>{inner}</pr:provide-{kind}s>")
            self.assertEqual(getattr(found, f"{kind}s"), {(name, "a:b") for name in members})

    def test_unknown_attributes(self) -> None:
        text = (
            '<pr:provide-unknown-attribute name="foo" ns="urn:x">{}</pr:provide-unknown-attribute>'
        )
        self.assertEqual(granted(text.format("true")).unknown, {"{urn:x}foo"})
        self.assertEqual(granted(text.format("false")).unknown, frozenset())

    def test_the_example_of_rfc_5025(self) -> None:
        for data in examples(5025).values():
            (found,) = read_rules(data)
            self.assertTrue(found.concerns(circumstances("sip:user@example.com")))
            self.assertFalse(found.concerns(circumstances("sip:user@example.net")))
            expected = Permissions(
                ALLOW,
                persons=frozenset({EVERY}),
                services=frozenset(
                    {("service-uri-scheme", "sip"), ("service-uri-scheme", "mailto")}
                ),
                attributes=frozenset({"activities"}),
                user_input=BARE,
                unknown=frozenset({"{urn:vendor-specific:foo-namespace}foo"}),
            )
            self.assertEqual(found.permissions, expected)


MOOD, NOTE = ("<pr:provide-mood>true</pr:provide-mood>", "<pr:provide-note>true</pr:provide-note>")
NO_MOOD = "<pr:provide-mood>false</pr:provide-mood>"
HOME = "<pr:provide-devices><pr:class>home</pr:class></pr:provide-devices>"
BIZ = HOME.replace("home", "biz").replace(
    "</pr:class>", "</pr:class><pr:deviceID>urn:a:b</pr:deviceID>"
)
EACH = "<pr:provide-devices><pr:all-devices/></pr:provide-devices>"
INPUT = "<pr:provide-user-input>{}</pr:provide-user-input>"

# name: (transformations of each rule, what they grant together)
COMBINED = {
    "true or false": ((MOOD, NO_MOOD), Permissions(ALLOW, attributes=frozenset({"mood"}))),
    "false or false": ((NO_MOOD, NO_MOOD), Permissions(ALLOW)),
    "true or nothing": (("", MOOD), Permissions(ALLOW, attributes=frozenset({"mood"}))),
    "two attributes": ((MOOD, NOTE), Permissions(ALLOW, attributes=frozenset({"mood", "note"}))),
    "within one rule": ((MOOD + NO_MOOD,), Permissions(ALLOW, attributes=frozenset({"mood"}))),
    "the larger of two": (
        (INPUT.format("thresholds"), INPUT.format("bare")),
        Permissions(ALLOW, user_input=THRESHOLDS),
    ),
    "false is the least": (
        (INPUT.format("false"), INPUT.format("bare")),
        Permissions(ALLOW, user_input=BARE),
    ),
    "the union of two sets": (
        (HOME, BIZ),
        Permissions(
            ALLOW,
            devices=frozenset({("class", "home"), ("class", "biz"), ("deviceID", "urn:a:b")}),
        ),
    ),
    "all of a set": ((HOME, EACH), Permissions(ALLOW, devices=frozenset({EVERY}))),
    "all attributes beside one": (
        (MOOD, "<pr:provide-all-attributes/>"),
        Permissions(ALLOW, attributes=ATTRIBUTES, user_input=FULL, all_attributes=True),
    ),
    "one for what, one for which": (
        (ALL, "<pr:provide-all-attributes/>"),
        EVERYTHING,
    ),
    "everything at once": ((WHOLE,), EVERYTHING),
}


@rfc(4745, "10.2", "each permission is combined by itself: OR, maximum, union")
class Combination(SynchronousTestCase):
    """All rules that match."""

    def test_table(self) -> None:
        for name, (transformations, expected) in COMBINED.items():
            self.assertEqual(granted(*transformations), expected, name)
            self.assertEqual(granted(*reversed(transformations)), expected, name)
            self.assertEqual(hash(granted(*transformations)), hash(expected), name)

    @rfc(5025, "3.2.1", "of several values of sub-handling the largest counts")
    def test_handling(self) -> None:
        order = ["block", "confirm", "polite-block", "allow"]
        for low, one in enumerate(order):
            for high, other in enumerate(order[low:], low):
                rules = read_rules(ruleset(rule(action=one), rule(action=other, name="b")))
                found = combined(rule.permissions for rule in rules)
                self.assertEqual(found.handling, 10 * high, (one, other))

    def test_no_rule(self) -> None:
        self.assertEqual(combined([]), Permissions())

    def test_the_example_of_rfc_4745(self) -> None:
        """§10.3, with sub-handling for Y and user-input for Z."""
        begin, end = "2003-12-24T17:00:00+01:00", "2003-12-24T21:00:00+01:00"
        old = "2003-12-22T17:00:00+01:00", "2003-12-23T17:00:00+01:00"
        rows = (
            ("bob", "home", (begin, end), "confirm", "thresholds"),
            ("alice", "work", (begin, end), "confirm", "full"),
            ("bob", "work", (begin, end), "confirm", "bare"),
            ("tom", "work", (begin, end), "confirm", "full"),
            ("bob", "work", (begin, end), "polite-block", "thresholds"),
            ("bob", "work", old, "allow", "full"),
        )
        text = [
            rule(
                identity(f'<one id="sip:{who}@b.test"/>') + f'<sphere value="{sphere}"/>'
                f"<validity><from>{since}</from><until>{until}</until></validity>",
                INPUT.format(user_input),
                action,
                f"r{number}",
            )
            for number, (who, sphere, (since, until), action, user_input) in enumerate(rows, 1)
        ]
        asked = circumstances("sip:bob@b.test", sphere="work", time=1072282500.0)
        fired: list[Rule] = [
            one for one in read_rules(ruleset(*text)) if one.concerns(asked) and one.is_valid(asked)
        ]
        self.assertEqual([one.id for one in fired], ["r3", "r5"])
        found = combined(one.permissions for one in fired)
        self.assertEqual((found.handling, found.user_input), (POLITE_BLOCK, THRESHOLDS))
