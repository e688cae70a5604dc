"""Feature tags and feature sets (RFC 3840 §9, RFC 3841 §8)."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sipproxy.sip.features import MOST_VALUES, Features, features_of
from sipproxy.sip.grammar import parse_params
from tests.sip.tables import TableCase, rows


def features(text: str) -> Features:
    """Return the feature set of header parameters."""
    return features_of(parse_params(text.encode()))


def shown(text: str) -> dict[str, list[Any]]:
    """Return a feature set as tags with what they may be, ``!`` before what they may not."""
    return {
        tag.decode(): sorted(
            [str(value) for value in terms.values]
            + [str(value) for value in terms.ranges]
            + [f"!{value}" for value in terms.denied]
        )
        for tag, terms in features(text).items()
    }


class ReadTest(TableCase):
    """From parameters to a feature set."""

    def test_the_example_of_section_8(self) -> None:
        found = shown(
            ';mobility="fixed";events="!presence,message-summary";language="en,de"'
            ';description="<PC>";+sip.newparam;+rangeparam="#-4:+5.125"'
        )
        self.assertEqual(found, {
            "sip.mobility": ["(b'token', b'fixed')"],
            "sip.events": ["!(b'token', b'presence')", "(b'token', b'message-summary')"],
            "language": ["(b'token', b'de')", "(b'token', b'en')"],
            "sip.description": ["(b'string', b'PC')"],
            "sip.newparam": ["(b'token', b'true')"],
            "rangeparam": ["(-4.0, 5.125)"],
        })  # fmt: skip

    def test_the_example_of_section_7_2_3(self) -> None:
        """Other parameters are none of ours."""
        found = shown(
            ';audio;video;mobility="fixed";+sip.message="TRUE";other-param=66372'
            ';methods="INVITE,OPTIONS,BYE,CANCEL,ACK";schemes="sip,http";q=0.3;expires=3600'
        )
        tags = "sip.audio sip.video sip.mobility sip.message sip.methods sip.schemes"
        self.assertEqual(set(found), set(tags.split()))
        self.assertEqual(len(found["sip.methods"]), 5)

    @rows(
        {
            "a base tag has no plus (§7.2.3)": (';video;+video="FALSE"', ["sip.video"]),
            "and is another with one": (";+video", ["video"]),
            "encoded": (";+g.example!a'b", ["g.example:a/b"]),
            "capitals": (";AUDIO;+SIP.Foo", ["sip.audio", "sip.foo"]),
        }
    )
    def test_tags(self, text: str, tags: list[str]) -> None:
        self.assertEqual(list(shown(text)), tags)

    @rows(
        {
            "equal": ("#=5", (5.0, 5.0)),
            "at least": ("#>=-1.5", (-1.5, math.inf)),
            "at most": ("#<=+2.", (-math.inf, 2.0)),
            "between": ("#1:2", (1.0, 2.0)),
        }
    )
    def test_numbers(self, text: str, expected: tuple[float, float]) -> None:
        (terms,) = features(f';+n="{text}"').values()
        self.assertEqual(terms.ranges, [expected])

    @rows(
        {
            "no number": "#>=x",
            "too long a number": "#=" + "9" * 21,
            "half a range": "#1:",
            "alone": "#",
        }
    )
    def test_what_is_no_number_is_a_token(self, text: str) -> None:
        (terms,) = features(f';+n="{text}"').values()
        self.assertEqual((terms.ranges, terms.values), ([], {(b"token", text.encode())}))

    @rows(
        {
            "values": ",".join(map(str, range(MOST_VALUES + 1))),
            "ranges": "#=1,#=2,#=3,#=4,#=5",
        }
    )
    def test_too_many(self, text: str) -> None:
        self.refuses(400, features, f';+n="{text}"')

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(st.sampled_from('a!#<>=:1.,+- "\\'), max_size=12))
    def test_any_value_is_read(self, text: str) -> None:
        """And a feature set that says anything at all meets itself."""
        (terms,) = features_of({b"+x": text.encode()}).values()
        self.assertTrue(terms.meets(terms) or len(terms.denied) == 1)


class MeetTest(TableCase):
    """Whether two sets have a value in common (RFC 2533 as RFC 3841 §7.2.4 has it)."""

    @rows(
        {
            "the same token": ("a", "a", True),
            "tokens have no case": ("Fixed", "FIXED", True),
            "others": ("a", "b", False),
            "one of several": ("a,b", "c,b", True),
            "the same string": ("<PC>", "<PC>", True),
            "strings have case": ("<PC>", "<pc>", False),
            "a string is no token": ("<a>", "a", False),
            "booleans": ("TRUE", "FALSE", False),
            "not this one": ("!a", "a", False),
            "not that one": ("!a", "b", True),
            "not that one, or this": ("!a,a", "a", True),
            "nobody is left": ("!a", "a,A", False),
            "neither": ("!a", "!a", True),
            "one of two denied": ("!a,!b", "a", True),
            "overlapping": ("#1:3", "#2:4", True),
            "touching": ("#<=3", "#>=3", True),
            "apart": ("#<=2", "#>=3", False),
            "equal": ("#=3", "#3.0:3", True),
            "not in there": ("!#1:5", "#2:3", False),
            "not all of it": ("!#1:5", "#2:6", True),
            "a number is no token": ("#=3", "3", False),
            "a token is not denied by a number": ("!#1:5", "x", True),
            "nor the other way round": ("!x", "#=1", True),
        }
    )
    def test_meets(self, one: str, other: str, expected: bool) -> None:
        (first,), (second,) = (features(f';+x="{t}"').values() for t in (one, other))
        self.assertEqual((first.meets(second), second.meets(first)), (expected, expected))
