"""Authorization documents: rules, read and checked by the RFCs' schemas (RFC 4745, 5025)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.resources import as_file, files
from typing import Any

from lxml import etree

from sipproxy.events.xml import read_xml
from sipproxy.presence.conditions import POLICY, Circumstances, Condition, Validity, read_condition
from sipproxy.presence.permissions import RULES, Permissions, read_permissions
from sipproxy.sip.errors import SipError

MEDIA_TYPE = b"application/auth-policy+xml"


class Rule:
    """What is granted, and when.

    ``document`` and ``id`` name it: two documents of a user may have rules of one id.
    """

    __slots__ = ("_conditions", "_periods", "document", "id", "permissions")

    def __init__(
        self, document: str, name: str, conditions: Iterable[Condition], permissions: Permissions
    ) -> None:
        self.document = document
        self.id = name
        self.permissions = permissions
        conditions = list(conditions)
        self._periods = [one for one in conditions if isinstance(one, Validity)]
        self._conditions = [one for one in conditions if not isinstance(one, Validity)]

    def concerns(self, circumstances: Circumstances) -> bool:
        """Tell whether all holds but, perhaps, the time (RFC 4745 §10.1)."""
        return all(condition.holds(circumstances) for condition in self._conditions)

    def is_valid(self, circumstances: Circumstances) -> bool:
        """Tell whether it is the time for it (RFC 4745 §7.4)."""
        return all(period.holds(circumstances) for period in self._periods)

    def change(self, time: float) -> float:
        """Return when it may become or cease to be valid next; infinity for never."""
        changes = (period.change(time) for period in self._periods)
        return min((at for at in changes if at is not None), default=float("inf"))


def read_rules(data: bytes, document: str = "", most: int | None = None) -> list[Rule]:
    """Read an authorization document; raises ValueError with one line that says what is wrong.

    It has to be valid by the schemas of RFC 4745 §13 and RFC 5025 §7, and say nothing that §3 of
    the latter does not allow. ``most`` is how much it may say: its rules, all that stands in their
    conditions, and the characters of names there that are not ASCII, each of which takes as long to
    read as a rule.
    """
    try:
        root = read_xml(data)
    except SipError as error:
        raise ValueError(error.reason) from None
    etree.strip_tags(root, etree.Comment)
    if most is not None and (count := _weight(root)) > most:
        told = f"{count} rules, conditions and names in them, and {most} are allowed"
        raise ValueError(f"it has {told} by [presence] rules")
    schema = _schema()
    if not schema.validate(root):
        faults: Any = schema.error_log
        fault = faults[0]
        raise ValueError(f"line {fault.line}: {_readable(fault.message)}")
    return [_rule(element, document) for element in root]


def _weight(root: etree._Element) -> int:
    conditions = [part for rule in root for part in rule.iterfind(f"{POLICY}conditions//*")]
    names = (name for part in conditions for name in part.attrib.values())
    return (
        len(root)
        + len(conditions)
        + sum(len(name) for name in names if not name.isascii() or "%" in name)
    )


def _rule(element: etree._Element, document: str) -> Rule:
    name = element.get("id", "").strip()
    try:
        conditions = map(read_condition, element.iterfind(f"{POLICY}conditions/*"))
        granted = (part for part in element if part.tag != POLICY + "conditions")
        permissions = read_permissions(one for part in granted for one in part)
        return Rule(document, name, conditions, permissions)
    except ValueError as error:
        raise ValueError(f'line {element.sourceline}: rule "{name}": {error}') from None


@functools.cache
def _schema() -> etree.XMLSchema:
    with as_file(files("sipproxy.presence") / "schemas") as folder:
        return etree.XMLSchema(etree.parse(folder / "pres-rules.xsd"))


def _readable(message: str) -> str:
    """Return what the validator says, with names as people write them."""
    short = message.replace(POLICY, "").replace(RULES, "pr:")
    return short.replace("##other", "another namespace's ").replace("\n", " ").rstrip(".")[:200]
