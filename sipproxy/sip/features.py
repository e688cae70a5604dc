"""Feature tags of contacts, and whether two feature sets meet (RFC 3840 §9, 3841 §7.2, §8)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from sipproxy.sip.grammar import Params, malformed, unquote

MOST_TAGS = 64  # of one feature set; beyond: 400
MOST_VALUES = 64  # of one tag; beyond: 400
MOST_RANGES = 4  # among them, for each is compared with each
_LANGUAGE_AND_TYPE = (b"language", b"type")  # base tags that are not of the SIP tree
_BASE = frozenset(
    b"audio automata class duplex data control mobility description events priority methods "
    b"schemes application video actor isfocus extensions text".split()
)
_NUMBER = rb"([+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?)"
_numeric = re.compile(rb"#(?:(>=|<=|=)%s|%s:%s)" % (_NUMBER, _NUMBER, _NUMBER)).fullmatch

Range = tuple[float, float]
_Value = tuple[bytes, bytes] | Range  # a token or a string with its kind before it, or a range


class Terms:
    """What a feature set says of one tag: any of these values, or any but a denied one."""

    __slots__ = ("denied", "ranges", "values")

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        self.values: set[_Value] = {(b"token", value.lower()) for value in values}
        self.ranges: list[Range] = []
        self.denied: set[_Value] = set()

    def meets(self, other: Terms) -> bool:
        """Tell whether some value fits both."""
        if not self.values.isdisjoint(other.values):
            return True
        for low, high in self.ranges:
            if any(low <= top and bottom <= high for bottom, top in other.ranges):
                return True
        return _leaves(self.denied, other) or _leaves(other.denied, self)


def _leaves(denied: set[_Value], other: Terms) -> bool:
    """Tell whether "not this" or "not that" leaves something of what the other side allows."""
    if not denied:
        return False
    if len(denied) > 1 or other.denied:  # of two different ones, each is what the other is not
        return True
    (one,) = denied
    return any(value != one for value in other.values) or any(
        not _covers(one, found) for found in other.ranges
    )


def _covers(value: _Value, found: Range) -> bool:
    low, high = value
    if isinstance(low, bytes) or isinstance(high, bytes):
        return False
    return low <= found[0] and found[1] <= high


Features = dict[bytes, Terms]


def features_of(params: Params) -> Features:
    """Return the feature set that header parameters say, by decoded tag (RFC 3841 §7.2.3, §8).

    Parameters that are no feature tags are passed over. Raises `SipError` 400 beyond `MOST_TAGS`,
    `MOST_VALUES` or `MOST_RANGES`.
    """
    found: Features = {}
    for name, value in params.items():
        tag = _tag(name, params)
        if tag is not None:
            found[tag] = _terms(value)
    if len(found) > MOST_TAGS:
        raise malformed("feature tags")
    return found


def _tag(name: bytes, params: Params) -> bytes | None:
    """Return the feature tag that a parameter encodes, or None where it encodes none (§8)."""
    if name in _BASE:
        return b"sip." + name
    if name in _LANGUAGE_AND_TYPE:
        return name
    if name[:1] != b"+" or name[1:] in params:  # §7.2.3 step 3: a base tag has no plus
        return None
    return name[1:].replace(b"!", b":").replace(b"'", b"/")


def _terms(value: bytes | None) -> Terms:
    text = b"TRUE" if value is None else unquote(value)
    terms = Terms()
    if text[:1] == b"<" and text[-1:] == b">":  # with brackets it is a string, and has case
        terms.values.add((b"string", text[1:-1]))
        return terms
    parts = text.split(b",")
    if len(parts) > MOST_VALUES:
        raise malformed("feature tag")
    for part in parts:
        _add(terms, part.strip())
    if len(terms.ranges) > MOST_RANGES:
        raise malformed("feature tag")
    return terms


def _add(terms: Terms, text: bytes) -> None:
    """Add a tag-value: what is no number, though it begins as one, is a token."""
    is_denied = text[:1] == b"!"
    if is_denied:
        text = text[1:]
    numbers = _range(text)
    if is_denied:
        terms.denied.add((b"token", text.lower()) if numbers is None else numbers)
    elif numbers is None:
        terms.values.add((b"token", text.lower()))
    else:
        terms.ranges.append(numbers)


def _range(text: bytes) -> Range | None:
    match = _numeric(text)
    if match is None:
        return None
    relation, number, low, high = match.groups()
    if relation is None:
        return float(low), float(high)
    low_end = -math.inf if relation == b"<=" else float(number)
    return low_end, math.inf if relation == b">=" else float(number)
