"""A presence agent for tests: alice's registrar, what she publishes, and who watches her."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lxml import etree

from sipproxy.interfaces.events import (
    ALLOW,
    Body,
    Publication,
    Verdict,
    Watcher,
)
from sipproxy.presence.composition import Composer
from sipproxy.presence.package import PresencePackage, State
from sipproxy.presence.pidf import Document
from sipproxy.presence.settings import Presence
from tests.documents import assert_valid
from tests.registrar.fakes import ALICE, STARTED, Bench

BOB = b"bob@example.test"
CAROL = b"carol@elsewhere.test"
KEY = bytes(range(32))
PIDF_XML = b"application/pidf+xml"
P = "{urn:ietf:params:xml:ns:pidf}"
M = "{urn:ietf:params:xml:ns:pidf:data-model}"
NAMESPACES = (
    'xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" '
    'xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" xmlns:c="urn:ietf:params:xml:ns:pidf:cipid" '
    'xmlns:ts="urn:ietf:params:xml:ns:pidf:timed-status" xmlns:x="http://example.test/extension"'
)


def pidf(*parts: str, entity: str = "sip:alice@example.test") -> bytes:
    """Return a presence document of these parts."""
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<presence {NAMESPACES} entity="{entity}">'
    return "".join((head, *parts, "</presence>")).encode()


def service(name: str, basic: str = "open", contact: str = "", more: str = "") -> str:
    """Return a tuple; ``more`` follows the status."""
    to = f"<contact>{contact}</contact>" if contact else ""
    stamp = "<timestamp>2001-09-09T00:00:00Z</timestamp>"
    return f'<tuple id="{name}"><status><basic>{basic}</basic></status>{more}{to}{stamp}</tuple>'


def person(name: str, inside: str, stamp: str = "") -> str:
    """Return a person, changed at a time of day or nobody knows when."""
    at = f"<dm:timestamp>2001-09-09T{stamp}Z</dm:timestamp>" if stamp else ""
    return f'<dm:person id="{name}">{inside}{at}</dm:person>'


class Gone:
    """A connection, that a test closes."""

    reliable = True
    is_open = True


class Notifier:
    """A notifier that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.published: list[Publication] = []
        self.subscribed: list[Subscription] = []

    def changed(self, package: bytes, resource: bytes) -> None:
        """Note a change."""
        self.told.append(("changed", resource))

    def judge(self, package: bytes, resource: bytes) -> None:
        """Note a call."""
        self.told.append(("judge", resource))

    def publications(self, package: bytes, resource: bytes) -> Sequence[Publication]:
        """Return alice's publications."""
        return self.published if resource == ALICE else []

    def subscriptions(self, package: bytes, resource: bytes) -> Sequence[Any]:
        """Return alice's watchers."""
        return self.subscribed if resource == ALICE else []


class Subscription:
    """A subscription, as far as rendering asks."""

    def __init__(self, watcher: Watcher, verdict: Verdict) -> None:
        self.watcher = watcher
        self.verdict = verdict
        self.media_type = PIDF_XML
        self.terms: Any = None
        self.memory: Any = None


class Rules:
    """What a test decides of each watcher, by identity; everybody else may have everything."""

    def __init__(self) -> None:
        self.verdicts: dict[bytes, Callable[[bytes | None], Verdict]] = {}
        self.asked: list[tuple[bytes, bytes | None]] = []

    def judge(self, resource: bytes, watcher: Watcher, sphere: bytes | None) -> Verdict:
        """Return what the test says, and note the sphere."""
        self.asked.append((watcher.identity, sphere))
        known = self.verdicts.get(watcher.identity)
        return known(sphere) if known else Verdict(ALLOW, "all")


def transformed(root: etree._Element, permissions: Any) -> etree._Element:
    """Return all of a document for "all", its tuples alone for "tuples"."""
    if permissions == "all":
        return root
    copy = etree.fromstring(etree.tostring(root))
    for element in copy:
        if element.tag != P + "tuple":
            copy.remove(element)
    return copy


class Agent(Bench):
    """The presence package beside a registrar, on a clock; alice publishes, others watch."""

    def __init__(self, **settings: Any) -> None:
        Bench.__init__(self)
        host: Any = self.host
        self.notifier = host.notifier = Notifier()
        host.settings = self
        self.presence = Presence(**settings)
        self.rules = Rules()
        made = (host, KEY, Composer(), self.rules, transformed)
        self.package = PresencePackage(*made, lambda: STARTED + host.now())
        self.order = 0

    def check(self, data: bytes, replaced: Publication | None = None) -> Document:
        """Have a body checked; raises `SipError`."""
        return self.package.check(ALICE, PIDF_XML, data, replaced)

    def publish(
        self, data: bytes, replaced: Publication | None = None, flow: Any = None
    ) -> Publication:
        """Publish for alice, in place of another publication or beside the others."""
        content = self.check(data, replaced)
        self.order += 1
        tag = b"%d" % self.order
        publication = Publication(tag, PIDF_XML, data, content, 0, self.order, flow)
        if replaced is not None:
            self.notifier.published.remove(replaced)
        self.notifier.published.append(publication)
        return publication

    def state(self) -> State:
        """Compose."""
        return self.package.compose(ALICE)

    def watch(self, identity: bytes = b"sip:bob@example.test") -> Subscription:
        """Subscribe to alice."""
        watcher = Watcher(identity.removeprefix(b"sip:"), identity)
        subscription = Subscription(watcher, self.package.authorize(ALICE, watcher))
        self.notifier.subscribed.append(subscription)
        return subscription

    def render(self, subscription: Subscription | None = None) -> Body:
        """Return what a watcher, or one who may see all, is sent; it has to be valid."""
        asked: Any = subscription or self.watch()
        body = self.package.render(self.state(), asked, True)
        assert body is not None
        assert_valid(body.data)
        return body

    def shown(self, subscription: Subscription | None = None) -> etree._Element:
        """Return the document that a watcher is sent."""
        return etree.fromstring(self.render(subscription).data)


def basics(root: etree._Element) -> dict[str, str]:
    """Return the basic status of each tuple by its name."""
    return {
        element.get("id", ""): element.findtext(f"{P}status/{P}basic") or ""
        for element in root.iter(P + "tuple")
    }


def outline(element: etree._Element) -> tuple[Any, ...]:
    """Return what an element means: name, attributes, text, and the same of its children."""
    attributes = sorted((str(name), str(value)) for name, value in element.attrib.items())
    text = (element.text or "").strip()
    return element.tag, tuple(attributes), text, tuple(map(outline, element))
