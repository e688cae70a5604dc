"""When a rule applies (RFC 4745 §7, RFC 5025 §3.1): a table, and what does not fit."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.presence.conditions import moment
from sipproxy.presence.equivalence import domain_of, identifier, same, to_ascii
from sipproxy.presence.rules import read_rules
from tests.documents import examples
from tests.presence.rulesets import NOON, circumstances, identity, matches, one, rule, ruleset
from tests.rfc import rfc
from tests.shared import needs_shared

BOB, TEL = "sip:bob@example.test", "tel:+1-212-555-1234"
MANY = identity("<many/>")
DOMAIN = identity('<many domain="example.test"/>')


def period(begin: str, end: str) -> str:
    """Return a pair of times."""
    return f"<from>{begin}</from><until>{end}</until>"


def validity(*pairs: str) -> str:
    """Return a condition."""
    return f"<validity>{''.join(pairs)}</validity>"


# NOON is 2027-01-15T08:00:00Z.
PAST = period("2027-01-14T08:00:00Z", "2027-01-15T08:00:00Z")
NOW = period("2027-01-15T08:00:00Z", "2027-01-15T08:00:01Z")
LATER = period("2027-01-15T08:00:01Z", "2027-01-16T08:00:00Z")

# name: (conditions, who asks and when, whether the rule matches)
TABLE = {
    # RFC 4745 §7.1.1, §10.1: conditions that are not there do not keep anybody out
    "no condition, a user": ("", circumstances(BOB), True),
    "no condition, a stranger": ("", circumstances(), True),
    "sphere alone, a stranger": ('<sphere value="work"/>', circumstances(sphere="work"), True),
    "validity alone, a stranger": (validity(NOW), circumstances(), True),
    # §7: what is not known is FALSE
    "a condition of another namespace": ("<x:moon/>", circumstances(BOB), False),
    "another namespace beside one that holds": (one(BOB) + "<x:moon/>", circumstances(BOB), False),
    "within identity, alone": (identity("<x:friend/>"), circumstances(BOB), False),
    "within identity, beside one that holds": (
        identity(f'<x:friend/><one id="{BOB}"/>'),
        circumstances(BOB),
        True,
    ),
    "within one": (identity(f'<one id="{BOB}"><x:by/></one>'), circumstances(BOB), False),
    "within many": (identity("<many><x:unless/></many>"), circumstances(BOB), False),
    # §7.1.2, RFC 5025 §3.1.1.2: one
    "one": (one(BOB), circumstances(BOB), True),
    "one, another user": (one(BOB), circumstances("sip:carol@example.test"), False),
    "one, a stranger": (one(BOB), circumstances(), False),
    "one, case of the host": (one("sip:bob@EXAMPLE.Test"), circumstances(BOB), True),
    "one, case of the user": (one("sip:Bob@example.test"), circumstances(BOB), False),
    "one, an escape": (one("sip:%62ob@example.test"), circumstances(BOB), True),
    "one, a port": (one("sip:bob@example.test:5060"), circumstances(BOB), False),
    "one, pres for sip": (one("pres:bob@example.test"), circumstances(BOB), False),
    "one, sips for sip": (one("sips:bob@example.test"), circumstances(BOB), False),
    "one, a number in a SIP URI": (
        one("tel:+12125551234"),
        circumstances("sip:+12125551234@example.test;user=phone"),
        False,
    ),
    "one, a SIP URI for a number": (
        one("sip:+12125551234@example.test"),
        circumstances("tel:+12125551234"),
        False,
    ),
    "one, a number with separators": (one(TEL), circumstances("tel:+1(212)555.1234"), True),
    "one, an address of mail": (
        one("mailto:bob@EXAMPLE.test"),
        circumstances("mailto:bob@example.test"),
        True,
    ),
    "one, an IRI": (
        one("sip:jürgen@bücher.test"),
        circumstances("sip:j%C3%BCrgen@xn--bcher-kva.test"),
        True,
    ),
    "one, the second of two asserted": (one(TEL), circumstances(BOB, "tel:+12125551234"), True),
    "two ones": (
        identity(f'<one id="sip:carol@example.test"/><one id="{BOB}"/>'),
        circumstances(BOB),
        True,
    ),
    "two identities": (one(BOB) + one("sip:carol@example.test"), circumstances(BOB), False),
    # §7.1.3: many
    "many": (MANY, circumstances(BOB), True),
    "many, a number": (MANY, circumstances(TEL), True),
    "many, a stranger": (MANY, circumstances(), False),
    "many of a domain": (DOMAIN, circumstances(BOB), True),
    "many of a domain, another one": (DOMAIN, circumstances("sip:bob@b.test"), False),
    "many of a domain, one as long": (DOMAIN, circumstances("sip:bob@example.tost"), False),
    "many of a domain, a part of it": (DOMAIN, circumstances("sip:bob@a.example.test"), False),
    "many of a domain, the end of it": (DOMAIN, circumstances("sip:bob@test"), False),
    "many of a domain, a number": (DOMAIN, circumstances(TEL), False),
    "many of a domain, a stranger": (DOMAIN, circumstances(), False),
    "many of a domain, any scheme": (DOMAIN, circumstances("pres:bob@example.test"), True),
    "many of a domain, its case": (
        identity('<many domain="Example.TEST"/>'),
        circumstances(BOB),
        True,
    ),
    "many of a domain, percent-encoded": (
        identity('<many domain="ex%61mple.test"/>'),
        circumstances(BOB),
        True,
    ),
    "many of a domain, with other letters": (
        identity('<many domain="BÜCHER.test"/>'),
        circumstances("sip:bob@xn--bcher-kva.test"),
        True,
    ),
    "many of a domain, other letters percent-encoded": (
        identity('<many domain="b%C3%BCcher.test"/>'),
        circumstances("sip:bob@xn--bcher-kva.test"),
        True,
    ),
    "many of a domain that is none": (
        identity('<many domain="a..test"/>'),
        circumstances("sip:bob@a.test"),
        False,
    ),
    "many of no domain": (identity('<many domain=""/>'), circumstances(TEL), False),
    # §7.1.3.2, §7.1.3.3: except
    "except a user": (identity(f'<many><except id="{BOB}"/></many>'), circumstances(BOB), False),
    "except another user": (
        identity('<many><except id="sip:carol@example.test"/></many>'),
        circumstances(BOB),
        True,
    ),
    "except a domain": (
        identity('<many><except domain="example.test"/></many>'),
        circumstances(BOB),
        False,
    ),
    "except another domain": (
        identity('<many><except domain="b.test"/></many>'),
        circumstances(BOB),
        True,
    ),
    "except one of several": (
        identity(f'<many><except domain="b.test"/><except id="{BOB}"/></many>'),
        circumstances(BOB),
        False,
    ),
    "of a domain except a user": (
        identity(f'<many domain="example.test"><except id="{BOB}"/></many>'),
        circumstances(BOB),
        False,
    ),
    "except a number, and a user who is asserted with it": (
        identity(f'<many><except id="{TEL}"/></many>'),
        circumstances(BOB, "tel:+12125551234"),
        False,
    ),
    "excepted here and named there": (
        identity(f'<many><except id="{BOB}"/></many><one id="{BOB}"/>'),
        circumstances(BOB),
        True,
    ),
    "except, a stranger": (
        identity(f'<many><except id="{BOB}"/></many>'),
        circumstances(),
        False,
    ),
    # §7.3, RFC 5025 §3.1.2: sphere
    "sphere": ('<sphere value="work"/>', circumstances(BOB, sphere="work"), True),
    "sphere, its case": ('<sphere value="WORK"/>', circumstances(BOB, sphere="Work"), True),
    "sphere, another": ('<sphere value="work"/>', circumstances(BOB, sphere="home"), False),
    "sphere, one of two": ('<sphere value="home work"/>', circumstances(BOB, sphere="work"), True),
    "sphere, a part of a token": (
        '<sphere value="workshop"/>',
        circumstances(BOB, sphere="work"),
        False,
    ),
    "sphere, undefined": ('<sphere value="work"/>', circumstances(BOB), False),
    "sphere, undefined, and no token": ('<sphere value=""/>', circumstances(BOB), False),
    # §7.4: validity
    "validity, from is within": (validity(NOW), circumstances(BOB), True),
    "validity, until is not": (validity(PAST), circumstances(BOB), False),
    "validity, not yet": (validity(LATER), circumstances(BOB), False),
    "validity, one of three": (validity(PAST, LATER, NOW), circumstances(BOB), True),
    "validity, pairs are not mixed": (validity(PAST, LATER), circumstances(BOB), False),
    "validity, two conditions": (validity(NOW) + validity(PAST), circumstances(BOB), False),
    "validity, another time zone": (
        validity(period("2027-01-15T09:00:00+01:00", "2027-01-15T03:00:01-05:00")),
        circumstances(BOB),
        True,
    ),
    "validity, until before from": (
        validity(period("2027-01-15T09:00:00Z", "2027-01-15T07:00:00Z")),
        circumstances(BOB),
        False,
    ),
    "validity, no time zone, surely within": (
        validity(period("2027-01-14T18:00:00", "2027-01-15T22:00:01")),
        circumstances(BOB),
        True,
    ),
    "validity, no time zone, from may be later": (
        validity(period("2027-01-14T18:00:01", "2027-01-17T08:00:00")),
        circumstances(BOB),
        False,
    ),
    "validity, no time zone, until may be over": (
        validity(period("2027-01-10T08:00:00", "2027-01-15T22:00:00")),
        circumstances(BOB),
        False,
    ),
    "validity, for ever": (
        validity(period("-0044-03-15T08:00:00Z", "12027-01-15T08:00:00Z")),
        circumstances(BOB),
        True,
    ),
    # §10.1: all conditions have to hold
    "all three hold": (
        one(BOB) + '<sphere value="work"/>' + validity(NOW),
        circumstances(BOB, sphere="work"),
        True,
    ),
    "but for the identity": (
        one(BOB) + '<sphere value="work"/>' + validity(NOW),
        circumstances("sip:carol@example.test", sphere="work"),
        False,
    ),
    "but for the sphere": (
        one(BOB) + '<sphere value="work"/>' + validity(NOW),
        circumstances(BOB, sphere="home"),
        False,
    ),
    "but for the time": (
        one(BOB) + '<sphere value="work"/>' + validity(PAST),
        circumstances(BOB, sphere="work"),
        False,
    ),
}


@rfc(4745, "7", "a condition of a namespace that is not known is FALSE")
@rfc(4745, "7.1.1", "without an identity condition a rule is for anybody, authenticated or not")
@rfc(4745, "7.1.3", "domains are compared label by label, after percent-decoding and ToASCII")
@rfc(4745, "7.2", "whoever is named is compared as a URI")
@rfc(4745, "7.3", "the tokens of a sphere are compared without case, and any of them will do")
@rfc(4745, "7.4", "a rule is valid while from <= now < until of any pair")
@rfc(4745, "10.1", "a rule matches if all its conditions do")
@rfc(5025, "3.1.1.2", "who is not authenticated matches no identity")
@rfc(5025, "3.1.1.2", "each of several asserted identities is compared")
@rfc(5025, "3.1.1.2", "URIs of different schemes are never equivalent")
@rfc(5025, "3.1.2", "where the sphere is undefined no sphere matches")
class Conditions(SynchronousTestCase):
    """The table."""

    def test_table(self) -> None:
        for name, (conditions, asked, expected) in TABLE.items():
            self.assertIs(matches(conditions, asked), expected, name)

    def test_a_rule_without_the_element(self) -> None:
        (bare,) = read_rules(ruleset('<rule id="a"/>'))
        self.assertTrue(bare.concerns(circumstances()) and bare.is_valid(circumstances()))


class Changes(SynchronousTestCase):
    """When it has to be looked at again."""

    def change(self, conditions: str, time: float = NOON) -> float:
        """Return when the time changes what a rule says."""
        (found,) = read_rules(ruleset(rule(conditions)))
        return found.change(time) - time

    def test_the_next_of_all_moments(self) -> None:
        for name, pairs, expected in (
            ("it begins", (LATER,), 1.0),
            ("it ends", (NOW,), 1.0),
            ("it is over", (PAST,), float("inf")),
            ("several", (PAST, period("2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z")), 3600.0),
            ("for ever", (period("0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"),), float("inf")),
        ):
            self.assertEqual(self.change(validity(*pairs)), expected, name)

    def test_two_conditions(self) -> None:
        later = validity(period("2027-01-15T08:00:30Z", "2027-01-15T09:00:00Z"))
        self.assertEqual(self.change(validity(NOW) + later), 1.0)

    def test_without_validity(self) -> None:
        self.assertEqual(self.change(one(BOB)), float("inf"))


class Moments(SynchronousTestCase):
    """xs:dateTime."""

    def test_table(self) -> None:
        for written, expected in {
            "1970-01-01T00:00:00Z": 0.0,
            " 1970-01-01T00:00:00Z\n": 0.0,
            "1970-01-01T01:00:00+01:00": 0.0,
            "1969-12-31T19:00:00.25-05:00": 0.25,
            "1969-12-31T24:00:00Z": 0.0,
            "1970-01-01T00:00:00": -7.0,
            "10000-01-01T00:00:00Z": float("inf"),
            "-0001-01-01T00:00:00Z": float("-inf"),
        }.items():
            self.assertEqual(moment(written, 7), expected, written)

    def test_what_is_none(self) -> None:
        for written in ("", "yesterday", "2027-01-15", "2027-01-15T08:00Z", "2027-13-15T08:00:00Z"):
            self.assertRaises(ValueError, moment, written, 0)


class Identifiers(SynchronousTestCase):
    """URIs and domains, as documents write them and as they are compared."""

    def test_same(self) -> None:
        for a, b, expected in (
            ("urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",) * 2 + (True,),
            ("URN:UUID:F81D4fae-7dec", "urn:uuid:f81d4fae-7dec", True),
            ("urn:device:0003BA", "urn:device:0003ba", False),
            ("http://Example.test/A%7Eb", "HTTP://example.TEST/A~b", True),
            ("http://example.test/a", "http://example.test/A", False),
            ("mailto:Bob@example.test", "mailto:bob@example.test", False),
            ("tel:911;phone-context=+1-2", "tel:911;PHONE-context=+12", True),
            ("tel:911;phone-context=+12", "tel:911;phone-context=+13", False),
            ("tel:+12;ext=3-4;isub=5", "tel:+12;isub=5;ext=34", True),
            ("tel:+12", "tel:12", False),
            ("sip:a@b.test;transport=tcp", "sip:a@b.test", False),
            ("sip:a@b.test;x=1", "sip:a@b.test;y=2", True),
            ("x:a", "y:a", False),
        ):
            first, second = identifier(str(a)), identifier(str(b))
            assert first is not None and second is not None
            self.assertIs(same(first, second), expected, a)

    def test_domains(self) -> None:
        for written, expected in {
            "sip:a@B.test.": b"b.test",
            "sip:[2001:DB8::1]": b"[2001:db8::1]",
            "tel:+12": None,
            "mailto:a@B.test?subject=x@c.test": b"b.test",
            "xmpp:a@b.test/phone": b"b.test",
            "urn:a:b": None,
        }.items():
            uri = identifier(written)
            assert uri is not None
            self.assertEqual(domain_of(uri), expected, written)

    def test_what_is_no_domain(self) -> None:
        for written in ("", ".", "a..b", "a" * 64, "a%FFb", "a" * 5000, "\ud800"):
            self.assertIsNone(to_ascii(written), written[:10])

    def test_what_is_no_uri(self) -> None:
        for written in ("", "bob", "bob@example.test", "sip:", "a b:c", "sip:a@ü..de"):
            self.assertIsNone(identifier(written), written)


class Examples(SynchronousTestCase):
    """The documents in RFC 4745, asked as its text does."""

    @needs_shared("examples")
    def test_each(self) -> None:
        documents = examples(4745)
        work = dict(sphere="work", time=moment("2003-12-24T18:00:00+01:00", 0))
        for number, asked, expected in (
            (0, circumstances("sip:alice@example.com"), ["f3g44r1"]),
            (0, circumstances("tel:+12125551234"), ["f3g44r1"]),
            (0, circumstances("mailto:bob@example.net"), ["f3g44r1"]),
            (0, circumstances("sip:bob@example.net"), []),
            (1, circumstances("sip:anybody@example.net"), ["f3g44r5"]),
            (1, circumstances(), []),
            (2, circumstances("sip:carol@example.net", **work), ["f3g44r1"]),
            (2, circumstances("sip:carol@example.com", **work), []),
            (2, circumstances("sip:carol@example.org", **work), []),
            (2, circumstances("sip:alice@bad.example.net", **work), []),
            (2, circumstances("sip:bob@bad.example.net", **work), ["f3g44r1"]),
            (2, circumstances("tel:+12125551234", **work), []),
            (3, circumstances("sip:carol@example.com"), ["f3g44r1"]),
            (3, circumstances("sip:bob@example.com"), []),
            (4, circumstances("sip:andrew@example.com", sphere="work"), ["f3g44r2"]),
            (4, circumstances("sip:allison@example.com", sphere="work"), []),
            (4, circumstances("sip:john@doe.example.com", sphere="work"), ["z6y55r2"]),
            (4, circumstances("sip:john@doe.example.com", sphere="home"), ["z6y55r2"]),
            (5, circumstances(time=moment("2003-09-01T00:00:00Z", 0)), ["f3g44r3"]),
            (5, circumstances(time=moment("2003-09-15T15:20:00Z", 0)), []),
            (6, circumstances("sip:bob@example.com", **work), ["f3g44r1"]),
            (6, circumstances("sip:bob@example.com", time=work["time"]), []),
        ):
            rules = read_rules(documents[f"examples/rfc4745/{number:02}.xml"])
            found = [one.id for one in rules if one.concerns(asked) and one.is_valid(asked)]
            self.assertEqual(found, expected, (number, asked))
