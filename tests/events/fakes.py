"""An event package whose state and verdicts a test sets, and clients that watch it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from sipproxy.interfaces import IComponentFactory
from sipproxy.interfaces.events import (
    ALLOW,
    BLOCK,
    CONFIRM,
    POLITE_BLOCK,
    Body,
    IEventHost,
    IEventPackage,
    INotifier,
    ISubscription,
    ISubscriptionListener,
    Publication,
    Verdict,
    Watcher,
)
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Message, Request, Response
from sipproxy.testing import CONFIG, FakeClient, FakeServer

NEWS = CONFIG + '[auth]\nrequired = false\n[events]\npackages = ["news"]\n'
BOB = b"bob@example.test"
HANDLINGS = {"block": BLOCK, "confirm": CONFIRM, "polite-block": POLITE_BLOCK, "allow": ALLOW}


@implementer(IEventPackage)
class News:
    """A package whose documents are lines of text: what a test says, or what is published.

    Else there is ``nothing yet``. Who published it and is gone, did so ``once``.

    A watcher of view "counted" gets the number of the document, as one with a version does.
    ``log`` notes what the notifier asks.
    """

    name = b"news"
    body_types = (b"text/plain", b"text/html")
    publication_types = (b"text/plain",)
    default_expires = 600

    def __init__(self, notify_interval: float = 0.0, handling: int = ALLOW) -> None:
        self.notify_interval = notify_interval
        self.handling = handling
        self.texts: dict[bytes, bytes] = {}
        self.verdicts: dict[bytes, Verdict] = {}
        self.strangers: set[bytes] = set()  # resources that do not exist
        self.waiting: Any = None  # a Deferred, where `exists` is to take its time
        self.notifier: INotifier | None = None
        self.watchers: list[Watcher] = []
        self.log: list[str] = []

    def exists(self, resource: bytes) -> Any:
        """Tell whether the test has not said otherwise."""
        return resource not in self.strangers if self.waiting is None else self.waiting

    def authorize(self, resource: bytes, watcher: Watcher) -> Verdict:
        """Return what the test says of a watcher."""
        self.watchers.append(watcher)
        return self.verdicts.get(watcher.aor) or Verdict(self.handling)

    def terms(self, request: Request, resource: bytes, earlier: Any) -> Any:
        """Take a text as a filter."""
        if request.value(b"content-type") != b"text/plain":
            raise SipError(415, headers=[(b"Accept", b"text/plain")])
        return request.body

    def check(
        self, resource: bytes, media_type: bytes, data: bytes, replaced: Publication | None
    ) -> Any:
        """Take any text but an empty one."""
        if not data:
            raise SipError(400)
        return data

    def compose(self, resource: bytes) -> Any:
        """Return the text of a resource."""
        self.log.append(f"compose {resource.decode()}")
        if resource in self.texts or self.notifier is None:
            return self.texts.get(resource, b"nothing yet")
        publications = self.notifier.publications(self.name, resource)
        told = [p.content + (b" (once)" if p.is_stale else b"") for p in publications]
        return b", ".join(told) or b"nothing yet"

    def render(self, state: Any, subscription: ISubscription, is_full: bool) -> Body | None:
        """Return the text, the same for everybody who is allowed to see it."""
        self.log.append("render full" if is_full else "render")
        text: bytes = state
        if subscription.verdict.handling == POLITE_BLOCK:
            text = b"no news"
        if subscription.terms is not None and subscription.terms not in text:
            return None
        if subscription.verdict.view == "counted":
            subscription.memory = (subscription.memory or 0) + 1
            text = b"%d %b" % (subscription.memory, text)
        return Body(subscription.media_type, text, hashlib.md5(text).hexdigest().encode())


class NewsOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[plugin.news]`` table."""

    notify_interval: float = 0.0
    handling: str = "allow"


@implementer(IPlugin, IComponentFactory)
class NewsFactory:
    """Builds the package of a test, and lets the test have it."""

    name = "news"
    provides = IEventPackage
    options = NewsOptions

    def __init__(self, package: Callable[[float, int], News] = News) -> None:
        self._package = package
        self.built: News

    def build(self, options: NewsOptions, host: IEventHost) -> News:
        """Build it."""
        self.built = self._package(options.notify_interval, HANDLINGS[options.handling])
        self.built.notifier = host.notifier
        return self.built


@implementer(ISubscriptionListener)
class Listener:
    """Notes how subscriptions move."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def moved(self, subscription: ISubscription, event: bytes) -> None:
        """Note the watcher, the new status and why."""
        watcher, status = subscription.watcher.aor.decode(), subscription.status.decode()
        self.heard.append(f"{watcher} {status} {event.decode()}")


class Phone:
    """A client of a `FakeServer` that subscribes, and answers what it is asked to."""

    def __init__(
        self,
        server: FakeServer,
        user: str = "alice",
        host: str = "192.0.2.1",
        transport: str = "udp",
    ) -> None:
        self.client: FakeClient = server.client(host, 5060, transport)
        self.user = user
        self.host = host
        self.transport = transport
        self.cseq = 0
        self.call = 0
        self.tag = ""  # the server's, once there is a dialog
        self.contact = ""

    # Sending

    def subscribe(self, expires: int | None = 600, to: str = "bob", **headers: str) -> Response:
        """Begin a subscription, and return the answer; what it was told is in ``notified``."""
        self.call += 1
        self.tag, self.contact = "", f"sip:{to}@example.test"
        return self.ask(expires, **headers)

    def ask(self, expires: int | None = 600, body: str = "", **headers: str) -> Response:
        """Send a SUBSCRIBE in the dialog, and return the answer."""
        self.client.clear()
        self.client.send(self.request(expires, body, **headers))
        response = next(m for m in self.received if isinstance(m, Response))
        if response.status < 300:
            self.tag = (response.to.tag or b"").decode()
            (contact,) = response.addresses(b"contact")
            self.contact = contact.raw_uri.decode()
        return response

    def request(self, expires: int | None = 600, body: str = "", **headers: str) -> str:
        """Return a SUBSCRIBE; ``headers`` have ``_`` for ``-``, an empty one is left out."""
        self.cseq += 1
        via = f"SIP/2.0/{self.transport.upper()} {self.host}:5060"
        scheme = "" if self.transport == "udp" else f";transport={self.transport}"
        tag = f";tag={self.tag}" if self.tag else ""
        to = "bob@example.test" if self.tag else self.contact.removeprefix("sip:")
        lines = {
            "Via": f"{via};branch=z9hG4bK-{self.user}-{self.host}-{self.cseq};rport",
            "Max-Forwards": "70",
            "From": f"<sip:{self.user}@example.test>;tag={self.user}{self.call}",
            "To": f"<sip:{to}>{tag}",
            "Call-ID": f"{self.user}-{self.host}-{self.call}",
            "CSeq": f"{self.cseq} SUBSCRIBE",
            "Contact": f"<sip:{self.user}@{self.host}:5060{scheme}>",
            "Event": "news",
            "Expires": "" if expires is None else str(expires),
            "Content-Length": str(len(body)),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        head = [f"{name}: {value}" for name, value in lines.items() if value]
        return "\n".join([f"SUBSCRIBE {self.contact} SIP/2.0", *head, "", body])

    def answer(self, status: int = 200, **headers: str) -> None:
        """Answer the NOTIFY that came last."""
        self.client.answer(status, **headers)

    # What came

    @property
    def received(self) -> Sequence[Message]:
        """Everything since the last SUBSCRIBE or `clear`."""
        return self.client.received

    @property
    def notified(self) -> list[str]:
        """Subscription-State and body of each NOTIFY that came, in short."""
        return [told(message) for message in self.received if isinstance(message, Request)]

    def take(self, status: int = 200, **headers: str) -> list[str]:
        """Answer the last NOTIFY, if there is one; return and forget what came."""
        notified = self.notified
        if notified:
            self.client.answer(status, **headers)
        self.client.clear()
        return notified


def told(notify: Message) -> str:
    """Return what a NOTIFY says in one line: ``active;expires=600: nothing yet``."""
    state = (notify.value(b"subscription-state") or b"?").decode()
    return f"{state}: {notify.body.decode()}" if notify.body else state
