"""Parts of a front door that note when they are asked, and answer as the test says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from sipproxy.interfaces import (
    IForwarder,
    IRequestFilter,
    IRequestHandler,
    IResponseFilter,
    IRouter,
    Sender,
    Target,
)
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.testing import CONFIG, FakeServer, octets
from sipproxy.transport.names import Hosts
from tests.transport.zones import FakeDns

OPEN = CONFIG + "[auth]\nrequired = false\n"
REQUEST = """
    MESSAGE sip:bob@example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-1
    From: <sip:alice@example.test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: 1
    CSeq: 1 MESSAGE
"""


def request(*lines: str, method: str = "MESSAGE", uri: str = "sip:bob@example.test") -> Request:
    """Return a request of alice's with more header lines."""
    text = REQUEST.replace("MESSAGE sip:bob@example.test", f"{method} {uri}")
    text = "\n".join([text.replace("1 MESSAGE", f"1 {method}").rstrip(), *lines])
    parsed = parse_datagram(octets(text))
    assert isinstance(parsed, Request)
    return parsed


def resolve(server: FakeServer, dns: FakeDns) -> None:
    """Have a server look names up in the DNS of a test, and nowhere else."""
    hosts = Hosts(server.clock, os.devnull)
    server.network.resolver = server.node._resolver(dns, hosts)
    server.network.is_resolving = True


class Part:
    """What the fakes share: a log, and what to do when asked.

    ``does`` is a result, an exception to raise, or a Deferred.
    """

    def __init__(self, name: str, log: list[str], does: Any = None) -> None:
        self.name = name
        self.log = log
        self.does = does

    def asked(self) -> Any:
        """Note that this part was asked, and do as it was told."""
        self.log.append(self.name)
        if isinstance(self.does, Exception):
            raise self.does
        return self.does


@implementer(IRequestFilter, IResponseFilter)
class Filter(Part):
    """A filter of both kinds."""

    def request(self, request: Request, sender: Sender) -> Any:
        """Let a request pass."""
        return self.asked()

    def response(self, response: Response, request: Request) -> Any:
        """Put a mark on a response."""
        response.append(b"X-Seen", self.name.encode())
        return self.asked()


@implementer(IRequestHandler)
class Handler(Part):
    """A handler for one method."""

    def __init__(self, name: str, log: list[str], method: bytes, does: Any = None) -> None:
        Part.__init__(self, name, log, does)
        self.methods = frozenset((method,))

    def claims(self, request: Request) -> bool:
        """Take the method."""
        return request.method in self.methods

    def handle(self, request: Request, transaction: Any, sender: Sender) -> Any:
        """Handle a request."""
        return self.asked()


@implementer(IRouter)
class Router(Part):
    """A router."""

    def targets(self, request: Request, sender: Sender) -> Any:
        """Find targets."""
        return self.asked()


@implementer(IForwarder)
class Forwarder(Part):
    """A forwarder that sends nothing."""

    targets: Sequence[Target] = ()

    def forward(
        self, request: Request, transaction: Any, targets: Sequence[Target], sender: Sender
    ) -> Any:
        """Note the targets."""
        self.targets = targets
        return self.asked()


class Senders(Part):
    """Says that everybody is alice."""

    def identify(self, request: Request, flow: Any, passage: Any, is_ours: bool) -> Any:
        """Name the sender."""
        result = self.asked()
        return result if isinstance(result, Deferred) else Sender(b"alice@example.test", True)
