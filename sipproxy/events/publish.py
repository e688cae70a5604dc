"""Processing PUBLISH requests (RFC 3903 §6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from sipproxy.events.packages import Packages
from sipproxy.events.publications import PublicationTable
from sipproxy.events.settings import Events
from sipproxy.events.terms import refuse_encoding
from sipproxy.interfaces import IHost, IRequestHandler, Sender, then
from sipproxy.interfaces.events import IEventPackage, Publication
from sipproxy.interfaces.reload import IReconfigurable
from sipproxy.registrar.outbound import is_direct
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import is_token, malformed
from sipproxy.sip.headers import parse_expires
from sipproxy.sip.message import Request
from sipproxy.sip.options import refuse_unknown
from sipproxy.sip.uri import aor_uri, parse_uri

if TYPE_CHECKING:
    from sipproxy.transaction.server import ServerTransaction

SUPPORTED: frozenset[bytes] = frozenset()


@implementer(IRequestHandler, IReconfigurable)
class EventStateCompositor:
    """Keeps what users publish, as PUBLISH requests ask; composing it is the packages' business.

    Contact and Record-Route mean nothing here, and none is returned. Nothing is kept of a request
    that is refused.
    """

    methods = frozenset((b"PUBLISH",))

    def __init__(self, host: IHost, table: PublicationTable, packages: Packages) -> None:
        self._host = host
        self._table = table
        self._packages = packages
        self._follow(host.settings.events)

    def _follow(self, settings: Events) -> None:
        self._settings = settings
        self._forward = frozenset(name.encode() for name in settings.forward)
        self._publishers = {
            name.encode(): frozenset(self._canonical(aor) for aor in aors)
            for name, aors in settings.publishers.items()
        }

    def reconfigured(self, options: Any, host: IHost) -> Callable[[], None]:
        """Follow other settings, with those who wait for their turn."""
        return lambda: self._follow(host.settings.events)

    def _canonical(self, aor: str) -> bytes:
        """Return an address of the configuration as senders have theirs."""
        uri = parse_uri(aor_uri(aor.encode()))
        canonical: bytes = self._host.identity.canonical(uri)
        return canonical

    def claims(self, request: Request) -> bool:
        """Take every PUBLISH, but for packages whose notifiers are the phones themselves.

        Where we have no package at all, they are whoever registered here.
        """
        if request.method != b"PUBLISH" or not self._packages:
            return False
        event = request.value(b"event") or b""
        return event.partition(b";")[0].strip() not in self._forward

    def handle(self, request: Request, transaction: ServerTransaction, sender: Sender) -> Any:
        """Follow the steps of §6, one request for a resource after the other."""
        refuse_unknown(request, b"require", SUPPORTED)  # RFC 3261 §8.2.2.3
        if not request.uri.user:
            raise SipError(404)
        resource = self._host.identity.canonical(request.uri)
        return self._table.turns.take(
            resource,
            lambda: self._look_up(request, transaction, sender, resource),
            self._settings.publications_waiting,
        )

    def _look_up(
        self, request: Request, transaction: ServerTransaction, sender: Sender, resource: bytes
    ) -> Any:
        """Steps 1 and 2: the resource and its package; then who may publish (§14.1)."""
        package, flow = self._package(request), transaction.flow

        def found(exists: bool) -> Any:
            if not exists:
                raise SipError(404)
            if sender.aor != resource or not sender.is_user:
                self._check_publisher(package.name, sender)
            if transaction.is_answered:  # nobody would ever learn the entity-tag
                return None
            return then(
                self._commit(request, package, resource, flow),
                lambda headers: self._host.respond(request, transaction, 200, headers=headers),
            )

        return then(package.exists(resource), found)

    def _package(self, request: Request) -> IEventPackage:
        """Step 2; its parameters mean nothing to a publication."""
        package = self._packages.asked(request.value(b"event"))
        if package is None or not package.publication_types:
            raise SipError(489, headers=[(b"Allow-Events", self._packages.allow_events)])
        return package

    def _check_publisher(self, package: bytes, sender: Sender) -> None:
        if not sender.is_user or sender.aor not in self._publishers.get(package, ()):
            raise SipError(403, "Publishing For Somebody Else")

    def _commit(self, request: Request, package: IEventPackage, resource: bytes, flow: Any) -> Any:
        """Steps 3 to 6: all of it or nothing; what the 200 says is returned once it is safe."""
        table, where = self._table, (package.name, resource)
        known = self._precondition(request, *where)
        seconds = self._interval(request)
        # That a proxy's connection ends says nothing of the client.
        by = None if flow is not None and flow.reliable and not is_direct(request) else flow
        if request.body:
            media_type = _media_type(request, package)
            content = package.check(resource, media_type, request.body, known)
        elif known is None:
            raise SipError(400, "No State To Publish")
        if not seconds:
            tag = table.remove(*where, known)
        elif request.body:
            tag = table.put(*where, media_type, request.body, content, seconds, by, known)
        else:
            assert known is not None
            tag = table.refresh(*where, known, seconds, by)
        return then(tag, lambda tag: [(b"Expires", b"%d" % seconds), (b"SIP-ETag", tag)])

    def _precondition(
        self, request: Request, package: bytes, resource: bytes
    ) -> Publication | None:
        """Step 3: one entity-tag, of this resource and package, or none."""
        if b"sip-if-match" not in request.names:
            return None
        tag = request.value(b"sip-if-match") or b""
        known = self._table.find(package, resource, tag)
        if known is None:
            raise SipError(412) if is_token(tag) else malformed("SIP-If-Match")
        return known

    def _interval(self, request: Request) -> int:
        """Step 4: what is asked for, cut to what we grant; 423 where it is too brief."""
        settings = self._settings
        header = request.value(b"expires")
        asked = settings.default_publication if header is None else parse_expires(header)
        if 0 < asked < settings.min_publication:
            raise SipError(423, headers=[(b"Min-Expires", b"%d" % settings.min_publication)])
        return min(asked, settings.max_publication)


def _media_type(request: Request, package: IEventPackage) -> bytes:
    """Return the media type of a body without parameters; 415 for one that is not taken."""
    refuse_encoding(request)
    written = request.value(b"content-type") or b""
    if written in package.publication_types:
        return written
    plain = written.lower().partition(b";")[0]
    media_type = b"/".join(part.strip() for part in plain.split(b"/"))
    if media_type not in package.publication_types:
        raise SipError(415, headers=[(b"Accept", b", ".join(package.publication_types))])
    return media_type
