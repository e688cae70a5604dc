"""Event filters: what a SUBSCRIBE asks to be told of, and when (RFC 4660 §5, RFC 4661 §3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from lxml import etree

from sipproxy.events.excerpts import Schema, Selection, What
from sipproxy.events.expressions import ExpressionError, parse_expression
from sipproxy.events.patience import OutOfPatience, Patience
from sipproxy.events.triggers import (
    ADDED,
    CHANGED,
    REMOVED,
    Condition,
    Trigger,
    any_is_met,
    decimal_of,
)
from sipproxy.events.xml import read_xml
from sipproxy.sip.errors import SipError
from sipproxy.sip.uri import parse_uri

if TYPE_CHECKING:
    from sipproxy.sip.message import Request
    from sipproxy.transport.identity import Identity

SIMPLE_FILTER = b"application/simple-filter+xml"
NAMESPACE = "urn:ietf:params:xml:ns:simple-filter"
MAX_FILTER = 16384  # bytes
MAX_WORK = 10_000  # nodes looked at for one document; some 5 ms

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Criteria:
    """What filters come to for one resource: hashable, the same for watchers who ask the same."""

    what: What | None = None
    triggers: tuple[Trigger, ...] = ()

    def filtered(self, root: etree._Element, schema: Schema) -> etree._Element | None:
        """Return what is left of a document, valid by ``schema``; None: nothing is.

        It is the document itself where all is left, or where it is too much work (RFC 4660 §5.3.1
        has "a pre-configured value" for that). It is never edited.
        """
        if self.what is None:
            return root
        try:
            return self.what.excerpt(root, schema, Patience(MAX_WORK))
        except OutOfPatience:
            return root

    def is_triggered(self, old: etree._Element, new: etree._Element) -> bool:
        """Tell whether a watcher who was last told of ``old`` is to be told of ``new``.

        Both are documents before anything was filtered (RFC 4661 §3.6.1).
        """
        if not self.triggers:
            return True
        try:
            return any_is_met(self.triggers, old, new, Patience(MAX_WORK))
        except OutOfPatience:
            return True


@dataclass(frozen=True)
class Filter:
    """One <filter>: for a resource or a domain of ours, or for what is none of ours (empty)."""

    id: str
    resource: bytes
    domain: bytes
    enabled: bool
    criteria: Criteria


@dataclass(frozen=True)
class Filters:
    """The filters of one subscription (RFC 4660 §5.2.2), and what they come to."""

    filters: tuple[Filter, ...] = ()
    criteria: Criteria | None = None


class FilterReader:
    """Reads the filters of SUBSCRIBE requests for an event package.

    ``most`` is how many of <what>, <changed>, <added> and <removed> a subscription may have (RFC
    4660 §8).
    """

    def __init__(self, package: bytes, identity: Identity, most: int) -> None:
        self._package = package
        self._identity = identity
        self._most = most
        self._known: WeakValueDictionary[Filters, Filters] = WeakValueDictionary()

    def read(self, request: Request, resource: bytes, earlier: Filters | None) -> Filters | None:
        """Return the filters that hold after a SUBSCRIBE with a body.

        Raises `SipError` 415 for what is no filter, 413, 400 for what is no XML, and 488 for what
        is not understood (§5.2, §5.4).
        """
        if not _is_filter(request):
            return earlier
        if len(request.body) > MAX_FILTER:
            raise SipError(413)
        root = read_xml(request.body)
        try:
            found = self.updated(root, resource, earlier or Filters())
        except (_Misunderstood, ExpressionError) as error:
            raise SipError(488, headers=[_warning(str(error))]) from None
        return self._known.setdefault(found, found)  # who ask the same share it

    def updated(self, root: etree._Element, resource: bytes, earlier: Filters) -> Filters:
        """Return filters with those of a <filter-set> put in, replaced or removed."""
        _check(root, "filter-set", ("package",))
        package = root.get("package")
        if package is not None and package.strip().encode() != self._package:
            raise _Misunderstood(f"a filter for {package}")
        filters = {one.id: one for one in earlier.filters}
        bindings, named = dict[str, str](), set[str]()
        count = 0
        for name, element in _children(root, ("ns-bindings", "filter")):
            if name == "ns-bindings":
                bindings = _bindings(element)
                continue
            reading = _Reading(element, bindings)
            if reading.id in named:
                raise _Misunderstood("two filters of one id")
            named.add(reading.id)
            known = filters.pop(reading.id, None)
            if not reading.is_removed:
                filters[reading.id] = self._filter(reading, resource, known)
        if not named:
            raise _Misunderstood("no filter")
        count = sum(map(_weight, filters.values()))
        if count > self._most or len(filters) > self._most:
            raise _Misunderstood("too many filters")
        return _put_together(tuple(filters.values()), resource)

    def _filter(self, reading: _Reading, resource: bytes, known: Filter | None) -> Filter:
        """Return a filter that is new, or takes the place of one of its id (§3.4)."""
        if not reading.has_content:
            if known is not None:  # it is only switched on or off
                return Filter(
                    known.id, known.resource, known.domain, reading.is_enabled, known.criteria
                )
            if reading.is_enabled:
                raise _Misunderstood("a new filter without <what> or <trigger>")
        target, domain = resource, b""
        if reading.domain is not None:
            target, domain = b"", self._domain(reading.domain)
        elif reading.uri is not None:
            target = self._resource(reading.uri)
        return Filter(reading.id, target, domain, reading.is_enabled, reading.criteria)

    def _resource(self, text: str) -> bytes:
        try:
            uri = parse_uri(text.strip().encode())
        except SipError:
            raise _Misunderstood("a uri that is none") from None
        return self._identity.canonical(uri) if uri.is_sip else uri.raw

    def _domain(self, text: str) -> bytes:
        """Return which domain is meant, in the form of resources; it may be none of ours."""
        try:
            uri = parse_uri(b"sip:" + text.strip().encode())
        except SipError:
            raise _Misunderstood("a domain that is none") from None
        return self._identity.domain_of(uri) or uri.host


class _Misunderstood(Exception):
    """A filter is not aligned with the schema, or not accepted: 488 (RFC 4660 §5.4)."""


class _Reading:
    """What a <filter> says."""

    def __init__(self, element: etree._Element, bindings: Mapping[str, str]) -> None:
        _check(element, "filter", ("id", "uri", "domain", "remove", "enabled"))
        self.id = _attribute(element, "id")
        self.uri, self.domain = element.get("uri"), element.get("domain")
        if self.uri is not None and self.domain is not None:
            raise _Misunderstood("both uri and domain")
        self.is_removed = _boolean(element, "remove", False)
        self.is_enabled = _boolean(element, "enabled", True)
        parts = list(_children(element, ("what", "trigger")))
        self.has_content = bool(parts)
        whats = [part for name, part in parts if name == "what"]
        if len(whats) > 1:
            raise _Misunderstood("more than one <what>")
        what = _what(whats[0], bindings) if whats else None
        triggers = [_trigger(part, bindings) for name, part in parts if name == "trigger"]
        self.criteria = Criteria(what, tuple(one for one in triggers if one.conditions))


def _what(element: etree._Element, bindings: Mapping[str, str]) -> What | None:
    """Return what a <what> asks for; an empty one is none (RFC 4660 §5.4)."""
    _check(element, "what", ())
    includes: list[Selection] = []
    excludes: list[Selection] = []
    for name, child in _children(element, ("include", "exclude")):
        _check(child, name, ("type",))
        (includes if name == "include" else excludes).append(_selection(child, bindings))
    return What(tuple(includes), tuple(excludes)) if includes or excludes else None


def _selection(element: etree._Element, bindings: Mapping[str, str]) -> Selection:
    kind, text = element.get("type", "xpath"), _text(element)
    if kind == "namespace":
        return Selection(namespace=text)
    if kind != "xpath":
        raise _Misunderstood(f"a type that is neither xpath nor namespace: {kind}")
    return Selection(parse_expression(text, bindings))


def _trigger(element: etree._Element, bindings: Mapping[str, str]) -> Trigger:
    _check(element, "trigger", ())
    return Trigger(
        tuple(
            _condition(name, child, bindings)
            for name, child in _children(element, (CHANGED, ADDED, REMOVED))
        )
    )


def _condition(name: str, element: etree._Element, bindings: Mapping[str, str]) -> Condition:
    _check(element, name, ("from", "to", "by") if name == CHANGED else ())
    expression = parse_expression(_text(element), bindings)
    if not expression.is_reference:
        raise _Misunderstood(f"<{name}> with a condition")  # §3.6.1: it is a "reference"
    before, after, by = (element.get(name) for name in ("from", "to", "by"))
    if by is None:
        return Condition(name, expression, before, after)
    least = decimal_of(by)
    others = [decimal_of(one) for one in (before, after) if one is not None]
    if least is None or None in others:  # §3.6.1.4
        raise _Misunderstood("<changed> by, from or to what is no number")
    return Condition(name, expression, before, after, least)


def _bindings(element: etree._Element) -> dict[str, str]:
    _check(element, "ns-bindings", ())
    bindings: dict[str, str] = {}
    for name, child in _children(element, ("ns-binding",)):
        _check(child, name, ("prefix", "urn"))
        prefix, urn = _attribute(child, "prefix").strip(), _attribute(child, "urn").strip()
        if bindings.setdefault(prefix, urn) != urn or set(urn) & set("{}\"' []"):
            raise _Misunderstood("a binding of a namespace that is none")
    if not bindings:
        raise _Misunderstood("<ns-bindings> without any")
    return bindings


def _put_together(filters: tuple[Filter, ...], resource: bytes) -> Filters:
    """Find which filter holds: that of the resource, or else that of its domain (§3.3.2)."""
    targets = [(one.resource, one.domain) for one in filters]
    if len(set(targets)) < len(targets):
        raise _Misunderstood("two filters for one resource or domain")  # §5.2
    ours = (resource, b""), (b"", resource.rpartition(b"@")[2])
    for target in ours:
        for one in filters:
            if one.enabled and (one.resource, one.domain) == target:
                return Filters(filters, one.criteria)
    return Filters(filters)


def _weight(one: Filter) -> int:
    what, triggers = one.criteria.what, one.criteria.triggers
    count = 0 if what is None else len(what.includes) + len(what.excludes)
    return count + sum(len(trigger.conditions) for trigger in triggers)


def _check(element: etree._Element, name: str, attributes: tuple[str, ...]) -> None:
    """Refuse another element, or attributes that the schema does not have (RFC 4661 §7)."""
    if element.tag != f"{{{NAMESPACE}}}{name}":
        raise _Misunderstood(f"no <{name}>")
    for known in map(str, element.attrib):
        if not known.startswith("{") and known not in attributes:
            raise _Misunderstood(f"<{name}> with {known}")


def _children(
    element: etree._Element, names: tuple[str, ...]
) -> Iterator[tuple[str, etree._Element]]:
    """Return child elements of ours; those of extensions are passed over (RFC 4661 §4)."""
    for child in element.iterchildren("*"):
        uri, _, local = str(child.tag).rpartition("}")
        if uri == "{" + NAMESPACE and local in names:
            yield local, child
        elif uri in ("", "{" + NAMESPACE):
            raise _Misunderstood(f"<{local}> in <{etree.QName(element).localname}>")


def _attribute(element: etree._Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise _Misunderstood(f"<{etree.QName(element).localname}> without {name}")
    return str(value)


def _boolean(element: etree._Element, name: str, default: bool) -> bool:
    value = element.get(name)
    if value is None:
        return default
    truth = _TRUTH.get(value.strip())
    if truth is None:
        raise _Misunderstood(f"{name} is neither true nor false")
    return truth


def _text(element: etree._Element) -> str:
    if len(element):
        raise _Misunderstood(f"<{etree.QName(element).localname}> has no elements in it")
    text = (element.text or "").strip()
    if not text:
        raise _Misunderstood(f"<{etree.QName(element).localname}> is empty")
    return text


def _is_filter(request: Request) -> bool:
    """Tell whether a body is a filter; raises `SipError` 415 where it is not and has to be."""
    encoding = (request.value(b"content-encoding") or b"identity").strip().lower()
    media_type = (request.value(b"content-type") or b"").partition(b";")[0]
    if media_type.replace(b" ", b"").lower() == SIMPLE_FILTER and encoding == b"identity":
        return True
    disposition = (request.value(b"content-disposition") or b"").replace(b" ", b"").lower()
    if b";handling=optional" in disposition:
        return False
    raise SipError(415, headers=[(b"Accept", SIMPLE_FILTER), (b"Accept-Encoding", b"identity")])


def _warning(problem: str) -> tuple[bytes, bytes]:
    """Return a Warning that says why filters are not accepted (RFC 4660 §5.4)."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in problem)
    return b"Warning", b'399 sipproxy "Filter: %b"' % plain[:120].encode()
