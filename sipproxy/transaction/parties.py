"""Whom transactions talk to: flows below them, users above them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sipproxy.sip.headers import Via
    from sipproxy.sip.message import Request, Response
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.server import ServerTransaction


class Path(Protocol):
    """Where octets can be sent."""

    @property
    def reliable(self) -> bool:
        """Whether the transport retransmits by itself (RFC 3261 §17)."""

    def send(self, data: bytes) -> None:
        """Send a message; failure is told later, never raised."""


class Place(Protocol):
    """A host, in brackets where it is IPv6, a port, and what Via says besides."""

    @property
    def host(self) -> bytes:
        """The host as Via and URIs have it."""

    @property
    def port(self) -> int:
        """The port."""

    @property
    def params(self) -> bytes:
        """Parameters of Via, each after a semicolon."""


class Flow(Path, Protocol):
    """A connection, or a local socket and a remote address (RFC 5626 §3)."""

    @property
    def via_transport(self) -> bytes:
        """The name in Via: UDP, TCP, TLS."""

    @property
    def proven_domains(self) -> frozenset[bytes]:
        """The SIP domains that the peer's certificate, verified, is for; empty without one."""

    @property
    def sent_by(self) -> Place:
        """What our Via says on this flow."""

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""

    @property
    def host(self) -> bytes:
        """The remote address, without brackets."""

    @property
    def port(self) -> int:
        """The remote port."""

    @property
    def heard_at(self) -> float:
        """When anything came by it last, in seconds; known while somebody watches."""

    def reply_path(self, via: Via) -> Path:
        """Return where responses go whose topmost Via is ``via`` (RFC 3261 §18.2.2, 3581)."""

    def watch(self, closed: Callable[[], None]) -> None:
        """Call ``closed`` once when the flow ends: over UDP, when the network returns errors."""

    def unwatch(self, closed: Callable[[], None]) -> None:
        """Undo `watch`."""


class Taping(Protocol):
    """What is told of every message that comes."""

    def add(self, data: bytes, flow: Flow, is_sent: bool) -> None:
        """A message came, whatever it is, or was sent."""


class ClientUser(Protocol):
    """Who sent a request and hears what became of it."""

    def answered(self, response: Response, transaction: ClientTransaction) -> None:
        """A response came: provisional, final, or a further 2xx to an INVITE."""

    def timed_out(self, transaction: ClientTransaction) -> None:
        """Timer B or F fired."""

    def failed(self, transaction: ClientTransaction) -> None:
        """The transport reported that the request could not be delivered (RFC 3261 §17.1.4)."""


class ServerUser(Protocol):
    """Who is given each new request."""

    def received(self, request: Request, transaction: ServerTransaction) -> None:
        """A request came that is no retransmission."""

    def acknowledged(self, ack: Request, flow: Flow) -> None:
        """An ACK came that no transaction absorbs: it belongs to a 2xx."""
