"""A compositor with its table, a package that takes colours, and a publisher."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from sipproxy.events.packages import Packages
from sipproxy.events.publications import PublicationTable
from sipproxy.events.publish import EventStateCompositor
from sipproxy.events.settings import Events
from sipproxy.interfaces import Sender
from sipproxy.interfaces.events import ALLOW, Body, IEventPackage, Publication, Verdict, Watcher
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from tests.registrar.fakes import ALICE, KeptStore
from tests.registrar.fakes import Flow as Flow
from tests.registrar.fakes import Host as RegistrarHost
from tests.registrar.fakes import Transaction as RegistrarTransaction

COLOUR, SHAPE = b"colour", b"shape"


@implementer(IEventPackage)
class Colours:
    """What colour somebody is: any word but "none"; every publication counts."""

    body_types = publication_types = (b"text/colour", b"application/colour+xml")
    default_expires = 3600
    notify_interval = 0.0

    def __init__(self, name: bytes, users: Any) -> None:
        self.name = name
        self.users = users  # or a Deferred, or whatever `exists` is to return
        self.replaced: list[Publication | None] = []

    def exists(self, resource: bytes) -> Any:
        """Tell whether there is somebody."""
        return resource in self.users if isinstance(self.users, set) else self.users

    def authorize(self, resource: bytes, watcher: Watcher) -> Verdict:
        """Let everybody see everything."""
        return Verdict(ALLOW)

    def terms(self, request: Request, resource: bytes, earlier: Any) -> None:
        """Take no terms."""

    def check(
        self, resource: bytes, media_type: bytes, data: bytes, replaced: Publication | None
    ) -> str:
        """Return the colour."""
        self.replaced.append(replaced)
        if data == b"none":
            raise SipError(400, "No Colour")
        return data.decode().upper()

    def compose(self, resource: bytes) -> None:
        """Nothing is composed here."""

    def render(self, state: Any, subscription: Any, is_full: bool) -> Body | None:
        """Nothing is told here."""


class Host(RegistrarHost):
    """What the compositor uses of a server."""

    def __init__(self, events: Events, store: KeptStore | None = None) -> None:
        RegistrarHost.__init__(self, store)
        self.events = events
        self.drawn = 0

    @property
    def settings(self) -> Host:
        """The configuration, of which there is but one table."""
        return self

    def random(self, length: int) -> bytes:
        """Return octets that were not there before."""
        self.drawn += 1
        return self.drawn.to_bytes(length, "big")


class Transaction(RegistrarTransaction):
    """A server transaction that may be over."""

    is_answered = False


class Bench:
    """A compositor, and alice, who publishes."""

    def __init__(self, store: KeptStore | None = None, **events: Any) -> None:
        self.host = Host(Events(**events), store)
        self.changes: list[tuple[bytes, bytes]] = []
        self.colour = Colours(COLOUR, self.host.users)
        self.shape = Colours(SHAPE, self.host.users)
        self.blind = Colours(b"blind", self.host.users)
        self.blind.publication_types = ()  # type: ignore[assignment]
        self.packages = Packages({})
        self.table = PublicationTable(self.host, self._changed, self.packages, self.host)
        for package in (self.colour, self.shape, self.blind):
            self.packages.add(package)
        self.handler = EventStateCompositor(self.host, self.table, self.packages)
        self.cseq = 0
        self.flow = Flow()  # over UDP, where a test does not say otherwise

    def _changed(self, package: bytes, resource: bytes) -> None:
        self.changes.append((package, resource))

    def request(
        self, body: str = "", tag: str = "", uri: str = "sip:alice@example.test", **headers: str
    ) -> Request:
        """Return a PUBLISH; ``headers`` have ``_`` for ``-``, an empty one is left out."""
        self.cseq += 1
        lines = {
            "Via": f"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{self.cseq};rport",
            "From": "<sip:alice@example.test>;tag=1",
            "To": f"<{uri}>",
            "Call-ID": "1",
            "CSeq": f"{self.cseq} PUBLISH",
            "Event": "colour",
            "SIP-If-Match": tag,
            "Content-Type": "text/colour" if body else "",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        head = [f"{name}: {value}" for name, value in lines.items() if value]
        data = "\r\n".join([f"PUBLISH {uri} SIP/2.0", *head, "", body])
        request = parse_datagram(data.encode())
        assert isinstance(request, Request)
        return request

    def publish(
        self,
        body: str = "",
        tag: str = "",
        flow: Flow | None = None,
        sender: Sender | None = None,
        **headers: str,
    ) -> Response:
        """Send a PUBLISH of alice's and return its answer; raises `SipError`."""
        transaction = self.start(self.request(body, tag, **headers), flow, sender)
        (response,) = transaction.responses
        assert response.status == 200
        return response

    def start(
        self, request: Request, flow: Flow | None = None, sender: Sender | None = None
    ) -> Transaction:
        """Hand over a request whose answer may come later; raises `SipError`."""
        transaction = Transaction(flow or self.flow)
        result = self.handler.handle(request, transaction, sender or Sender(ALICE, is_user=True))
        if result is not None:
            result.addErrback(lambda failure: transaction.responses.append(failure.value))
        return transaction

    def refused(self, body: str = "", tag: str = "", **headers: Any) -> SipError:
        """Send a PUBLISH that is refused."""
        try:
            response = self.publish(body, tag, **headers)
        except SipError as error:
            return error
        raise AssertionError(f"not refused, but {response}")

    def tag(self, body: str = "", tag: str = "", **headers: Any) -> str:
        """Publish and return the entity-tag."""
        value = self.publish(body, tag, **headers).value(b"sip-etag")
        assert value is not None
        return value.decode()

    def state(self, package: bytes = COLOUR, resource: bytes = ALICE) -> list[tuple[str, int]]:
        """Return alice's publications: the content and the seconds left, in order."""
        now = self.host.now()
        return [(p.content, round(p.expires_at - now)) for p in self.table.of(package, resource)]
