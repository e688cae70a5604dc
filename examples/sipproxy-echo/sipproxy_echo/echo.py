"""The request handler ``echo``: a MESSAGE to it is answered, and sent back (RFC 3428)."""

from __future__ import annotations

from typing import Any

import msgspec
from zope.interface import implementer

from sipproxy.interfaces import IHost, IRequestHandler, Sender
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import unescape
from sipproxy.sip.message import Request
from sipproxy.sip.uri import aor_uri, request_form

SOFTWARE = b"sipproxy-echo"
_KEPT = (b"Content-Type", b"Content-Encoding", b"Content-Language", b"Content-Disposition")


class EchoOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[plugin.echo]`` table."""

    user: str = "echo"

    def __post_init__(self) -> None:
        if not self.user or any(character.isspace() for character in self.user):
            raise ValueError("user has to be the user part of an address")


@implementer(IRequestHandler)
class Echo:
    """Sends every MESSAGE for its user back to who sent it."""

    methods = frozenset((b"MESSAGE",))

    def __init__(self, options: EchoOptions, host: IHost) -> None:
        self._user = options.user.encode()
        self._host = host

    def claims(self, request: Request) -> bool:
        """Take a MESSAGE to our user; whoever asks us has seen that the domain is ours."""
        return request.method == b"MESSAGE" and unescape(request.uri.user or b"") == self._user

    def handle(self, request: Request, transaction: Any, sender: Sender) -> None:
        """Answer 200, without Contact and without a body (RFC 3428 §7), then send it back."""
        required = request.values(b"require")
        if required:  # RFC 3261 §8.2.2.3
            raise SipError(420, headers=[(b"Unsupported", b", ".join(required))])
        self._host.respond(request, transaction, 200)
        if not self._is_an_echo(request, sender):
            self._host.send(self._echo_of(request))

    def _is_an_echo(self, request: Request, sender: Sender) -> bool:
        """Tell an echo user, whoever runs it: by its name, or by what it says of itself."""
        user = sender.aor.rpartition(b"@")[0]
        return user == self._user or request.value(b"user-agent") == SOFTWARE

    def _echo_of(self, request: Request) -> Request:
        """Make the MESSAGE that goes back; the server adds Via and Max-Forwards."""
        us = aor_uri(self._host.identity.canonical(request.uri))
        them = request_form(request.from_.uri)
        kept = [(name, request.value(name.lower())) for name in _KEPT]
        headers = [
            (b"From", b"<%s>;tag=%s" % (us, self._host.random(8).hex().encode())),
            (b"To", b"<%s>" % them),
            (b"Call-ID", self._host.random(16).hex().encode()),
            (b"CSeq", b"1 MESSAGE"),
            (b"User-Agent", SOFTWARE),
            *((name, value) for name, value in kept if value is not None),
        ]
        return Request.build(b"MESSAGE", them, headers, request.body)
