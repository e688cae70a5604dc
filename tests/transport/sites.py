"""Networks on real loopback sockets, and the plain sockets that talk to them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from sipproxy.interfaces import then
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from sipproxy.sip.uri import parse_uri
from sipproxy.transaction.layer import TransactionLayer
from sipproxy.transaction.timers import timers
from sipproxy.transaction.wheel import Wheel
from sipproxy.transport.identity import Identity
from sipproxy.transport.network import Network
from sipproxy.transport.settings import Limits, Listen
from sipproxy.transport.sockets import bind_all
from sipproxy.transport.ticker import TICK, Ticker
from sipproxy.transport.tls import Contexts

PATIENCE = 10.0  # seconds; only a test that fails waits this long
FOUR, SIX = "127.0.0.1", "::1"


def has_ipv6() -> bool:
    """Tell whether ::1 is there."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((SIX, 0))
    except OSError:
        return False
    return True


class Site:
    """Listeners, a transaction layer, and a user that notes requests and answers them 200."""

    def __init__(self, *listens: Listen, contexts: Contexts | None = None, **limits: Any) -> None:
        self.bound = bound = bind_all(listens)
        self.listens = [one.listen for one in bound]
        identity = Identity(["example.test"], [], self.listens)
        self.ticker = Ticker(reactor, Wheel(self._raised))
        self.layer = TransactionLayer(
            self.ticker._wheel, timers(TICK, 1.0), lambda request: b"tag", identity.sent
        )
        self.layer.user = self
        self.count = 0
        self.requests: list[Request] = []
        self.servers: list[Any] = []
        self.flows: list[Any] = []
        self.told: list[str] = []
        self.is_answering = True
        found = msgspec.structs.replace(Limits(), **limits)
        self.network = Network(reactor, found, self.layer, self.ticker, self.random)
        if contexts is not None:
            self.network.contexts = contexts
        self.network.adopt(bound)
        self.ticker.start()
        self.network.start()

    def _raised(self, sleeper: object) -> None:
        raise AssertionError(f"{sleeper} raised")

    def random(self, length: int) -> bytes:
        """Return octets that were not there before."""
        self.count += 1
        return self.count.to_bytes(length, "big")

    def port(self, transport: str, address: str = FOUR) -> int:
        """Return the port of a listener."""
        return next(
            one.port for one in self.listens if (one.transport, one.address) == (transport, address)
        )

    def stop(self) -> Any:
        """Close everything; a Deferred where that takes a turn of the reactor."""
        self.ticker.stop()
        self.network.stop()
        return deferLater(reactor, 0)

    # ServerUser

    def received(self, request: Request, transaction: Any) -> None:
        """Note a request, and answer it unless the test wants to."""
        self.requests.append(request)
        self.servers.append(transaction)
        self.flows.append(transaction.flow)
        if self.is_answering:
            transaction.respond(make_response(request, 200, b"tag"))

    def acknowledged(self, ack: Request, flow: Any) -> None:
        """Note an ACK."""
        self.requests.append(ack)

    # ClientUser

    def answered(self, response: Response, transaction: Any) -> None:
        """Note an answer."""
        self.told.append(str(response.status))

    def timed_out(self, transaction: Any) -> None:
        """Note that nothing came."""
        self.told.append("timed out")

    def failed(self, transaction: Any) -> None:
        """Note that it could not be delivered."""
        self.told.append("failed")

    # What a test lets it do

    def send(self, flow: Any) -> None:
        """Send a MESSAGE by a flow in a transaction."""
        branch = b"z9hG4bK" + self.random(8).hex().encode()
        our = flow.sent_by
        via = b"SIP/2.0/%s %s:%d;branch=%s" % (flow.via_transport, our.host, our.port, branch)
        text = message("x", 1).partition(b"\r\n")[2].partition(b"\r\n")[2]
        head = b"MESSAGE sip:peer.test SIP/2.0\r\nVia: " + via + b"\r\n"
        request = parse_datagram(head + text)
        assert isinstance(request, Request)
        self.layer.send(request, branch, flow, self)

    def hops(self, uri: str) -> Any:
        """Return the hops of a URI, or a Deferred of them."""
        return self.network.hops(parse_uri(uri.encode()))

    def reach(self, uri: str, size: int = 500, near: Any = None) -> Any:
        """Return the flow to the first hop of a URI, or a Deferred of it."""
        return then(self.hops(uri), lambda found: self.network.reach(found[0], size, near))


def message(via: str, number: int = 1, body: bytes = b"") -> bytes:
    """Return a MESSAGE with this Via."""
    lines = [
        "MESSAGE sip:bob@example.test SIP/2.0",
        f"Via: {via}",
        "From: <sip:alice@example.test>;tag=1",
        "To: <sip:bob@example.test>",
        "Call-ID: 1",
        f"CSeq: {number} MESSAGE",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class SiteCase(TestCase):
    """A test case that closes what it opens, and waits for conditions."""

    def site(self, *listens: Listen, contexts: Contexts | None = None, **limits: Any) -> Site:
        """Return a site; UDP and TCP on 127.0.0.1 where no listener is named."""
        if not listens:
            listens = (Listen("udp", FOUR, 0), Listen("tcp", FOUR, 0))
        site = Site(*listens, contexts=contexts, **limits)
        self.addCleanup(site.stop)
        return site

    def udp(self, host: str = FOUR) -> socket.socket:
        """Return a bound datagram socket that does not block."""
        return self._socket(host, socket.SOCK_DGRAM)

    def listener(self, host: str = FOUR) -> socket.socket:
        """Return a listening socket that does not block."""
        listening = self._socket(host, socket.SOCK_STREAM)
        listening.listen(5)
        return listening

    def _socket(self, host: str, kind: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.socket(family, kind)
        self.addCleanup(found.close)
        found.bind((host, 0))
        found.setblocking(False)
        return found

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connected socket that does not block."""
        client = socket.create_connection((host, port), timeout=PATIENCE)
        self.addCleanup(client.close)
        client.setblocking(False)
        return client

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Let the reactor turn until a condition holds, and return what it gave."""
        deadline = reactor.seconds() + PATIENCE
        while not (found := condition()):
            if reactor.seconds() > deadline:
                raise AssertionError("waited in vain")
            await deferLater(reactor, 0.001)
        return found

    async def read(self, plain: socket.socket) -> bytes:
        """Return the next datagram, or octets of a stream; empty where a stream has ended."""
        found: list[bytes] = []

        def ready() -> bool:
            with suppress(BlockingIOError):
                found.append(plain.recv(65535))
            return bool(found)

        await self.until(ready)
        return found[0]

    async def accepted(self, listening: socket.socket) -> socket.socket:
        """Return the next connection to a listening socket."""
        found: list[socket.socket] = []

        def ready() -> bool:
            with suppress(BlockingIOError):
                found.append(listening.accept()[0])
            return bool(found)

        await self.until(ready)
        self.addCleanup(found[0].close)
        found[0].setblocking(False)
        return found[0]

    async def response(self, plain: socket.socket) -> Response:
        """Return the next response."""
        parsed = parse_datagram(await self.read(plain))
        assert isinstance(parsed, Response)
        return parsed

    async def reached(self, site: Site, uri: str, size: int = 500) -> Any:
        """Return the flow to a URI once it is there."""
        found = site.reach(uri, size)
        return await found if isinstance(found, Deferred) else found
