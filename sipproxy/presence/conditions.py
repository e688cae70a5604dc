"""When a rule applies: identity, sphere, validity (RFC 4745 §7, RFC 5025 §3.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from lxml import etree

from sipproxy.presence.equivalence import Entity, UriSet, identifier, to_ascii
from sipproxy.sip.uri import Uri

POLICY = "{urn:ietf:params:xml:ns:common-policy}"
_WIDEST = 14 * 3600  # seconds: no time zone is further from UTC (XML Schema part 2 §3.2.7.3)
_date_time = re.compile(
    r"\s*(-?\d{4,})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(?:(Z)|([+-])(\d\d):(\d\d))?\s*",
    re.A,
).fullmatch


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Of whom a rule is asked, and when.

    ``identities`` are the URIs that have been authenticated, none for a stranger; ``sphere`` is
    None where it is undefined (RFC 5025 §3.1.2); ``time`` is in seconds since 1970.
    """

    identities: tuple[Entity, ...]
    sphere: str | None
    time: float


class Condition(Protocol):
    """A child of <conditions>; all of a rule's have to hold (RFC 4745 §10.1)."""

    def holds(self, circumstances: Circumstances) -> bool:
        """Tell whether it is TRUE."""


class Never:
    """What is in a namespace that is not known, or is itself not known (RFC 4745 §7)."""

    def holds(self, circumstances: Circumstances) -> bool:
        """It is FALSE."""
        return False


class Identity:
    """Who asks: any of its children will do (RFC 4745 §7.1.1)."""

    def __init__(self, element: etree._Element) -> None:
        ones = [one for one in element if one.tag == POLICY + "one"]
        self._ones = UriSet(_entity(one) for one in ones if not len(one))
        manies = [Many(one) for one in element if one.tag == POLICY + "many"]
        self._manies = [many for many in manies if not many.is_plain]
        self._domains = frozenset[bytes]().union(*(m.domains for m in manies if m.is_plain))

    def holds(self, circumstances: Circumstances) -> bool:
        """Tell whether somebody is asking who is meant; nobody is who is not authenticated."""
        identities = circumstances.identities
        return any(
            identity in self._ones or identity.domain in self._domains for identity in identities
        ) or any(many.holds(identities) for many in self._manies)


class Many:
    """Everybody, or a domain, but for exceptions (RFC 4745 §7.1.3).

    It ``is_plain`` where it is for a domain, and nothing else is said.
    """

    def __init__(self, element: etree._Element) -> None:
        domain = element.get("domain")
        self._is_for_all = domain is None
        self.domains = frozenset[bytes]() if domain is None else _domains([domain])
        self.is_plain = domain is not None and not len(element)
        exceptions = [one for one in element if one.tag == POLICY + "except"]
        self._is_known = len(exceptions) == len(element)  # what else excludes, nobody knows
        self._users = UriSet(_entity(one) for one in exceptions if "id" in one.attrib)
        self._except = _domains(_excluded(one) for one in exceptions if "id" not in one.attrib)

    def holds(self, identities: Sequence[Entity]) -> bool:
        """Tell whether one of them belongs here, and none is excepted (RFC 5025 §3.1.1.2)."""
        if not self._is_known or not identities:
            return False
        if any(one in self._users or one.domain in self._except for one in identities):
            return False
        return self._is_for_all or any(one.domain in self.domains for one in identities)


class Sphere:
    """What the presentity is doing, one of several tokens (RFC 4745 §7.3)."""

    def __init__(self, element: etree._Element) -> None:
        self._tokens = frozenset(token.casefold() for token in element.get("value", "").split())

    def holds(self, circumstances: Circumstances) -> bool:
        """Tell whether that is the sphere; where none is defined, nothing is."""
        sphere = circumstances.sphere
        return sphere is not None and sphere.casefold() in self._tokens


class Validity:
    """Periods, in one of which it has to be (RFC 4745 §7.4)."""

    def __init__(self, element: etree._Element) -> None:
        begins = (moment(_text(one), -_WIDEST) for one in element.iterchildren(POLICY + "from"))
        ends = (moment(_text(one), _WIDEST) for one in element.iterchildren(POLICY + "until"))
        self._periods = tuple(zip(begins, ends, strict=True))

    def holds(self, circumstances: Circumstances) -> bool:
        """Tell whether from <= now < until of any of them."""
        return any(begin <= circumstances.time < end for begin, end in self._periods)

    def change(self, time: float) -> float | None:
        """Return when it may hold or cease to hold next, None for never."""
        return min((at for period in self._periods for at in period if time < at), default=None)


def read_condition(element: etree._Element) -> Condition:
    """Read a child of <conditions>; raises ValueError."""
    kind = _KINDS.get(element.tag)
    return Never() if kind is None else kind(element)


_KINDS: dict[str, Callable[[etree._Element], Condition]] = {
    POLICY + "identity": Identity,
    POLICY + "sphere": Sphere,
    POLICY + "validity": Validity,
}


def _entity(element: etree._Element) -> Uri:
    """Return whom ``id`` names; a wrong <except> would let in whom it was to keep out."""
    name, written = etree.QName(element).localname, element.get("id", "")
    if "domain" in element.attrib:  # §7.2: it MUST NOT
        raise ValueError(f"<{name}> has id and domain: write two elements")
    uri = identifier(written)
    if uri is None:
        raise ValueError(f'<{name} id="{written[:80]}"> is no URI: write sip:user@domain')
    return uri


def _excluded(element: etree._Element) -> str:
    domain = element.get("domain")
    if domain is None:
        raise ValueError('<except> excludes nobody: write id="sip:user@domain" or domain="..."')
    if to_ascii(domain) is None:
        raise ValueError(f'<except domain="{domain[:80]}"> is no domain')
    return domain


def _domains(written: Iterable[str]) -> frozenset[bytes]:
    return frozenset(filter(None, map(to_ascii, written)))


def _text(element: etree._Element) -> str:
    return element.text or ""


def moment(written: str, unzoned: int) -> float:
    """Return an xs:dateTime in seconds since 1970; infinity beyond the calendar's years.

    Without a time zone it is no certain moment (XML Schema part 2 §3.2.7.4): ``unzoned`` are the
    seconds east of UTC that it is then taken for. Raises ValueError.
    """
    match = _date_time(written)
    if match is None:
        raise ValueError(f"{written.strip()[:40]!r} is no time: write 2026-12-24T17:00:00+01:00")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    zulu, sign, hours, minutes = match.groups()[7:]
    east = 0 if zulu else unzoned
    if sign:
        east = (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "+" else -1)
    if not 1 < year < 9999:
        return float("inf") if year > 1 else float("-inf")
    since = timedelta(hours=hour, minutes=minute, seconds=second - east)  # 24:00:00 is a time
    whole = (datetime(year, month, day, tzinfo=UTC) + since).timestamp()
    return whole + float(match[7] or 0)
