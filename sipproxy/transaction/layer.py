"""Matches messages to transactions and makes new ones (RFC 3261 §17.1.3, §17.2.3, §18)."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from sipproxy.sip.errors import SipError
from sipproxy.sip.headers import MAGIC_COOKIE
from sipproxy.sip.message import Request, Response
from sipproxy.sip.names import METHODS
from sipproxy.sip.parser import BadMessage, parse_datagram, parse_framed
from sipproxy.sip.response import error_response
from sipproxy.transaction.client import (
    PROCEEDING,
    ClientTransaction,
    InviteClient,
    NonInviteClient,
    make_cancel,
)
from sipproxy.transaction.server import InviteServer, NonInviteServer, ServerTransaction

if TYPE_CHECKING:
    from sipproxy.transaction.parties import ClientUser, Flow, Path, ServerUser, Taping
    from sipproxy.transaction.timers import Timers
    from sipproxy.transaction.wheel import Wheel


# A request of ours has our Via before all else.
_returned = re.compile(rb"(\S+) [^\r\n]* SIP/2\.0\r\nVia:[^\r\n]*?;branch=([^;,\s]+)").match


_CANCELLABLE = tuple(sorted(METHODS - {b"ACK", b"CANCEL"}))


class TransactionLayer:
    """Holds every transaction, and stands between the transports and their users.

    ``tag`` makes the To tag of a response to a request, the same each time it is asked (RFC 3261
    §8.2.7); ``is_ours`` knows the sent-by values that we put into Via (§18.1.2). Beyond
    ``limit`` server transactions, lingering ones included, a new request is answered 503 and kept
    nowhere; so it is where `admit` says how many seconds from now it may come again. A negative
    number of seconds means silence.
    """

    def __init__(
        self,
        wheel: Wheel,
        timers: Timers,
        tag: Callable[[Request], bytes],
        is_ours: Callable[[bytes, int], bool],
        limit: int = 250_000,
    ) -> None:
        self.wheel = wheel
        self.timers = timers
        self.tag = tag
        self.user: ServerUser | None = None
        self.admit: Callable[[Request, Flow], int] | None = None
        self.tape: Taping | None = None
        self.turned_away = 0  # how many came beyond the limit
        self.requests = dict.fromkeys([*sorted(METHODS), b"other"], 0)  # how many came, by method
        self.is_ours = is_ours
        self.limit = limit
        self._servers: dict[Hashable, ServerTransaction] = {}
        self._clients: dict[tuple[bytes, bytes], ClientTransaction] = {}
        self._claimed: dict[bytes, ServerTransaction] = {}
        # Bound once: each transaction that lingers would keep an object of its own for it.
        self._ended_server, self._ended_client = self._forget_server, self._forget_client

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    @property
    def servers(self) -> int:
        """How many server transactions there are."""
        return len(self._servers)

    @property
    def unanswered(self) -> int:
        """How many requests have no final response yet."""
        return sum(not server.is_answered for server in self._servers.values())

    # What arrives

    def datagram(self, data: bytes, flow: Flow) -> None:
        """Take a datagram."""
        if self.tape is not None:
            self.tape.received(data, flow)
        try:
            message = parse_datagram(data)
        except BadMessage as error:
            self.refused(error, flow)
        else:
            self._arrived(message, flow)

    def framed(self, data: bytes, flow: Flow) -> None:
        """Take a message that the framing of a stream has cut out."""
        if self.tape is not None:
            self.tape.received(data, flow)
        try:
            message = parse_framed(data)
        except BadMessage as error:
            self.refused(error, flow)
        else:
            self._arrived(message, flow)

    def refused(self, error: BadMessage, flow: Flow) -> None:
        """Answer what is no valid request, without keeping anything (RFC 3261 §8.2.7)."""
        request = error.salvage
        if request is None:
            return
        try:
            request.stamp(flow.host, flow.port)
            path = flow.reply_path(request.via)
        except SipError:
            path = flow
        path.send(error_response(request, error, self.tag(request)).encode())

    def undeliverable(self, data: bytes) -> None:
        """The network returned the beginning of a datagram of ours (RFC 3261 §18.4)."""
        match = _returned(data)
        client = match and self._clients.get((match.group(2), match.group(1)))
        if client:
            client.failed()

    def _arrived(self, message: Request | Response, flow: Flow) -> None:
        if isinstance(message, Response):
            self._response(message)
        else:
            self._request(message, flow)

    def _response(self, response: Response) -> None:
        """A response that matches nothing is dropped, late 2xx too (RFC 6026 §8.3, 4320 §4.2)."""
        via = response.via
        client = self._clients.get((via.branch, response.cseq.method))
        if client is not None and self.is_ours(via.host, via.effective_port):
            client.received(response)

    def _request(self, request: Request, flow: Flow) -> None:
        is_ack = request.method == b"ACK"
        try:
            key = _server_key(request, b"INVITE" if is_ack else request.method)
        except SipError as error:
            self.refused(BadMessage(error, None if is_ack else request), flow)
            return
        server = self._servers.get(key)
        if is_ack:
            request.stamp(flow.host, flow.port)
            self._acknowledged(request, server, flow)
        elif server is not None:
            server.repeated()
        else:
            request.stamp(flow.host, flow.port)
            self._open(key, request, flow)

    def _acknowledged(self, ack: Request, server: ServerTransaction | None, flow: Flow) -> None:
        if self.user is not None and (
            server is None or (isinstance(server, InviteServer) and server.acknowledged())
        ):
            self.user.acknowledged(ack, flow)

    def _open(self, key: Hashable, request: Request, flow: Flow) -> None:
        if self.user is None:
            return
        machine = InviteServer if request.method == b"INVITE" else NonInviteServer
        method = request.method
        self.requests[method if method in self.requests else b"other"] += 1
        path = flow.reply_path(request.via)
        after = 0 if self.admit is None else self.admit(request, flow)
        if after == 0 and len(self._servers) >= self.limit:
            self.turned_away += 1
            after = 30
        if after:
            self._turn_away(request, path, after)
            return
        server = machine(key, request, flow, path, self.timers, self.wheel, self._ended_server)
        server.start()
        self._servers[key] = server
        self.user.received(request, server)

    def _turn_away(self, request: Request, path: Path, after: int) -> None:
        if after > 0:
            error = SipError(503, headers=[(b"Retry-After", b"%d" % after)])
            path.send(error_response(request, error, self.tag(request)).encode())

    # What users ask

    def send(
        self, request: Request, branch: bytes, flow: Flow, user: ClientUser
    ) -> ClientTransaction:
        """Send a request whose topmost Via, with ``branch``, is in place."""
        if request.method != b"INVITE":
            return self.send_octets(request.method, request.encode(), branch, flow, user)
        key = (branch, b"INVITE")
        client = InviteClient(
            key, request.encode(), flow, user, self.timers, self.wheel, self._ended_client
        )
        self._clients[key] = client
        client.invite(request)
        return client

    def send_octets(
        self, method: bytes, data: bytes, branch: bytes, flow: Flow, user: ClientUser
    ) -> ClientTransaction:
        """Send what is no INVITE, as it goes over the wire."""
        key = (branch, method)
        client = NonInviteClient(key, data, flow, user, self.timers, self.wheel, self._ended_client)
        self._clients[key] = client
        client.start()
        return client

    def cancel(self, client: ClientTransaction, user: ClientUser) -> None:
        """Send the CANCEL of an INVITE that has a provisional response only (§9.1)."""
        if isinstance(client, InviteClient) and client.state == PROCEEDING:
            self.send(make_cancel(client.request), client.key[0], client.flow, user)

    def cancelled(self, cancel: Request) -> ServerTransaction | None:
        """Return the transaction that a CANCEL means, of whatever method (§9.2)."""
        for method in _CANCELLABLE:
            server = self._servers.get(_server_key(cancel, method))
            if server is not None:
                return server
        return None

    def claim(self, server: ServerTransaction, request: Request) -> bool:
        """Note that we are the UAS of a request; False if it is a merged one (§8.2.2.2)."""
        if request.to.tag is not None:
            return True
        sender = request.from_  # with its URI, for what another user sends is another request
        number, tag = request.cseq.number, sender.tag or b""
        # Octets take half the room of what they are made of; there is no line feed in any.
        key = b"%b\n%b\n%b\n%d %b" % (sender.raw_uri, tag, request.call_id, number, request.method)
        if self._claimed.get(key, server) is not server:
            return False
        if self._servers.get(server.key) is server:  # it may have ended before it is claimed
            self._claimed[key] = server
            server.merge_key = key
        return True

    def _forget_server(self, server: ServerTransaction) -> None:
        self._servers.pop(server.key, None)
        if server.merge_key is not None:
            self._claimed.pop(server.merge_key, None)

    def _forget_client(self, client: ClientTransaction) -> None:
        self._clients.pop(client.key, None)


def _server_key(request: Request, method: bytes) -> Hashable:
    """Return what a request has in common with its transaction (§17.2.3); raises `SipError` 400.

    Stamping the Via changes nothing of it. A client of RFC 2543 has no branch of its own making.
    """
    via = request.via
    branch = via.branch
    if branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE):
        return (branch, via.host, via.effective_port, method)
    return (
        request.raw_uri,
        request.from_.tag,
        request.call_id,
        request.cseq.number,
        (via.transport, branch, via.sent_by),
        method,
    )
