"""Users with small clients of our own, which can do what well-behaved clients do not."""

from __future__ import annotations

import ssl

from twisted.trial.unittest import TestCase

from sipproxy.ctl.client import Client
from sipproxy.sip.message import Request, Response
from tests.interop.processes import HOST, password

TEXT = (b"Content-Type", b"text/plain;charset=UTF-8")
PRIVATE = b"10.255.255.1:5060"  # nobody answers there


class User(Client):
    """A client that talks to the port of a server, with the password that the tests give."""

    def __init__(
        self,
        case: TestCase,
        aor: str,
        port: int,
        transport: str = "udp",
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(transport, (HOST, port), aor, password(aor), context)
        case.addCleanup(self.close)

    def status(self, to: str, *headers: tuple[bytes, bytes]) -> int:
        """Send a MESSAGE, with credentials where they are asked for, and return how it ended."""
        uri = b"sip:" + to.encode()
        return self.authenticated(b"MESSAGE", uri, to, [TEXT, *headers]).status

    def unproven(self, to: str, *headers: tuple[bytes, bytes]) -> Response:
        """Send a MESSAGE without credentials, and return the first answer."""
        uri = b"sip:" + to.encode()
        return self.final(self.send(b"MESSAGE", uri, to, [TEXT, *headers], b"psst"))

    def deliver(self, receiver: Client, body: str, challenged: bool = True) -> Request:
        """Send a MESSAGE to another user, and return what arrived there.

        Raises AssertionError unless it was answered 200.
        """
        text = body.encode()
        branch = self.message(receiver.aor, text, challenged)
        arrived = receiver.request()
        while arrived.body != text:  # an earlier one, sent again to a slow receiver
            arrived = receiver.request()
        status = self.final(branch).status
        assert status == 200, f"the MESSAGE was answered {status}"
        return arrived


class Roamer(User):
    """A client behind a NAT: what it writes of itself leads nowhere."""

    @property
    def address(self) -> bytes:
        """The address in Via and Contact."""
        return PRIVATE
