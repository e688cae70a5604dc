"""A notifier without dialogs: subscriptions that a test moves, and what their watchers are sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

from lxml import etree

from sipproxy.events.settings import Events
from sipproxy.interfaces.events import (
    ALLOW,
    BLOCK,
    Body,
    IEventPackage,
    ISubscriptionListener,
    Publication,
    Verdict,
    Watcher,
)
from sipproxy.sip.message import Request
from sipproxy.sip.uri import aor_uri
from sipproxy.transport.identity import Identity
from sipproxy.transport.settings import Listen
from tests.documents import assert_valid

ALICE, BOB, CAROL = b"alice@example.test", b"bob@example.test", b"carol@example.test"
STRANGER = Watcher(b"anonymous@anonymous.invalid")


def known(aor: bytes, display: bytes = b"") -> Watcher:
    """Return a watcher who has proven to be that user."""
    return Watcher(aor, aor_uri(aor), display)


class Subscription:
    """A subscription as packages see it."""

    media_type = b""
    accepted: tuple[bytes, ...] = ()
    terms = None

    def __init__(
        self, package: bytes, resource: bytes, watcher: Watcher, name: bytes, began_at: float = 0.0
    ) -> None:
        self.package = package
        self.resource = resource
        self.watcher = watcher
        self.id = name
        self.verdict = Verdict(ALLOW)
        self.memory: Any = None
        self.sent = 0
        self.status, self.event = b"init", b""
        self.began_at = began_at
        self.expires_at = began_at + 3600


class Notifier:
    """Keeps subscriptions, and tells whoever listens how the test moves them."""

    def __init__(self) -> None:
        self.every: list[Subscription] = []
        self.dirty: set[tuple[bytes, bytes]] = set()
        self.judged: list[tuple[bytes, bytes]] = []
        self._listeners: list[Any] = []

    def changed(self, package: bytes, resource: bytes) -> None:
        """Note that watchers are to be told."""
        self.dirty.add((package, resource))

    def judge(self, package: bytes, resource: bytes) -> None:
        """Note that watchers are to be judged."""
        self.judged.append((package, resource))

    def subscriptions(self, package: bytes, resource: bytes) -> Sequence[Subscription]:
        """Return those that are there."""
        return [s for s in self.every if (s.package, s.resource) == (package, resource)]

    def publications(self, package: bytes, resource: bytes) -> Sequence[Publication]:
        """Return none."""
        return ()

    def listen(self, listener: ISubscriptionListener) -> None:
        """Have one more hear of moves."""
        self._listeners.append(listener)

    def move(self, subscription: Subscription, status: bytes, event: bytes) -> None:
        """Give a subscription another state; the first time it is there, terminated it is gone."""
        subscription.status, subscription.event = status, event
        if subscription not in self.every:
            self.every.append(subscription)
        if status == b"terminated":
            self.every.remove(subscription)
        for listener in self._listeners:
            listener.moved(subscription, event)


class Host:
    """What event packages use of a server; the test says what time it is."""

    def __init__(self, **events: Any) -> None:
        self.settings = SimpleNamespace(events=Events(**events))
        listen = Listen("udp", "127.0.0.1")
        self.identity = Identity(["example.test"], [], [listen])
        self.notifier = Notifier()
        self.time = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.time


class Package:
    """The package that is watched: it allows whom the test says."""

    name = b"presence"
    body_types = (b"application/pidf+xml",)
    publication_types: tuple[bytes, ...] = ()
    default_expires = 3600
    notify_interval = 5.0

    def __init__(self) -> None:
        self.verdicts: dict[bytes, Verdict] = {}

    def exists(self, resource: bytes) -> Any:
        """Know alice alone."""
        return resource == ALICE

    def authorize(self, resource: bytes, watcher: Watcher) -> Verdict:
        """Return what the test has put there."""
        return self.verdicts.get(watcher.aor, Verdict(BLOCK))

    def terms(self, request: Request, resource: bytes, earlier: Any) -> Any:
        """Take no terms."""

    def check(
        self, resource: bytes, media_type: bytes, data: bytes, replaced: Publication | None
    ) -> Any:
        """Take no publications."""

    def compose(self, resource: bytes) -> Any:
        """Have no state."""

    def render(self, state: Any, subscription: Any, is_full: bool) -> Body | None:
        """Show nothing."""
        return None


class Subscriber:
    """Subscribes to a package, reads what it is sent, and keeps the tables of RFC 3858 §4.

    ``rows`` are the elements of the latest state by their id; ``read`` is every document.
    """

    def __init__(
        self, host: Host, package: IEventPackage, resource: bytes, watcher: Watcher
    ) -> None:
        self._host = host
        self._package = package
        name = b"of-%d" % len(host.notifier.every)
        self.subscription = Subscription(package.name, resource, watcher, name, host.now())
        self.subscription.verdict = package.authorize(resource, watcher)
        self.read: list[etree._Element] = []
        self.rows: dict[str, etree._Element] = {}
        self.tag = b""
        host.notifier.move(self.subscription, b"active", b"subscribe")
        self.refresh()

    def refresh(self) -> etree._Element:
        """Return the document that answers a SUBSCRIBE: full state."""
        document = self._told(is_full=True)
        assert document is not None and document.get("state") == "full"
        return document

    def hear(self) -> etree._Element | None:
        """Return the document of a change, or None where nothing is sent."""
        key = (self._package.name, self.subscription.resource)
        if key not in self._host.notifier.dirty:
            return None
        return self._told(is_full=False)

    def _told(self, is_full: bool) -> etree._Element | None:
        state = self._package.compose(self.subscription.resource)
        body = self._package.render(state, self.subscription, is_full)
        if body is None:
            return None
        assert body.media_type == self._package.body_types[0]
        document = assert_valid(body.data)
        assert document.get("version") == str(len(self.read)), document.get("version")
        self.subscription.sent += 1
        self.read.append(document)
        self.tag = body.tag
        self._apply(document)
        return document

    def _apply(self, document: etree._Element) -> None:
        if document.get("state") == "full":
            self.rows.clear()
        for row in document[0]:
            name = row.get("id", "")
            if row.get("state", row.get("status")) == "terminated":
                self.rows.pop(name, None)
            else:
                self.rows[name] = row


def assert_shows(ours: etree._Element, example: etree._Element, but: Collection[str] = ()) -> None:
    """Check that a document has the elements of an example, and its attributes among its own.

    ``but`` are attributes that need not be the same.
    """
    assert ours.tag == example.tag, (ours.tag, example.tag)
    for name, value in example.attrib.items():
        assert name in ours.attrib, (ours.tag, name)
        assert name in but or ours.get(name) == value, (ours.tag, name, ours.get(name), value)
    assert (ours.text or "").strip() == (example.text or "").strip(), (ours.text, example.text)
    for one, other in zip(ours, example, strict=True):
        assert_shows(one, other, but)
