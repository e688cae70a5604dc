"""A transaction layer on a bench, for the tests of matching and of faults."""

from __future__ import annotations

import hashlib

from sipproxy.sip.message import Request
from sipproxy.sip.parser import parse_datagram
from sipproxy.transaction.client import ClientTransaction
from sipproxy.transaction.layer import TransactionLayer
from sipproxy.transaction.server import ServerTransaction
from tests.sip.samples import request as request_octets
from tests.sip.tables import TableCase
from tests.transaction.fakes import (
    TIMERS,
    Bench,
    RecordingClient,
    RecordingFlow,
    RecordingServer,
    answer,
    parsed,
)

OURS = (b"us.example", 5060)


def tag(request: Request) -> bytes:
    """Return the same To tag each time a request is given (RFC 3261 §8.2.7)."""
    seen = request.values(b"via")[-1] + b"".join(request.raw_values(b"call-id"))
    return hashlib.sha256(seen).hexdigest()[:8].encode()


def is_ours(host: bytes, port: int) -> bool:
    """Tell whether a sent-by is one that we put into Via."""
    return (host, port) == OURS


class LayerCase(TableCase):
    """A layer with a flow below it and a user above it."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.layer = TransactionLayer(self.bench.wheel, TIMERS, tag, is_ours)
        self.layer.user = self.user = RecordingServer(self.bench)
        self.client = RecordingClient(self.bench)
        self.flow = RecordingFlow(self.bench)

    def arrive(self, method: bytes, *lines: bytes, **headers: bytes) -> None:
        """Let a request arrive."""
        self.layer.datagram(request_octets(method, *lines, **headers), self.flow)

    def events(self) -> list[str]:
        """Return what happened since this was last asked, without ticks."""
        return [event for _, event in self.bench.taken()]

    def respond(self, status: int) -> ServerTransaction:
        """Answer the request that came last."""
        server, request = self.user.transactions[-1], self.user.requests[-1]
        answer(self.layer, server, request, status)
        return server

    def send(
        self, method: bytes, branch: bytes = b"z9hG4bKus", **headers: bytes
    ) -> ClientTransaction:
        """Send a request of ours."""
        headers.setdefault("Via", b"SIP/2.0/UDP us.example;branch=" + branch)
        self.request = parsed(request_octets(method, **headers))
        return self.layer.send(self.request, branch, self.flow, self.client)

    def answer(self, status: int, **changed: bytes) -> None:
        """Let a response to the request sent last arrive, with some of its lines changed."""
        head = {name: self.request.value(name.encode()) for name in ("via", "from", "to", "cseq")}
        head |= {"call-id": self.request.call_id, **changed}
        lines = [f"{name}: ".encode() + (value or b"") for name, value in head.items()]
        start = b"SIP/2.0 %d Whatever" % status
        self.layer.datagram(b"\r\n".join([start, *lines, b"", b""]), self.flow)

    def finish(self) -> None:
        """Let time pass until nothing is left, and check that nothing is."""
        self.bench.finish()
        self.assertEqual(len(self.layer), 0)
        self.assertEqual(self.layer._claimed, {})
        self.assertEqual(len(self.bench.wheel), 0)

    def last_sent(self) -> bytes:
        """Return the octets sent last, which must be a valid message."""
        data = self.flow.sent[-1]
        self.assertEqual(parse_datagram(data).encode(), data)
        return data
