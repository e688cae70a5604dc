"""One copy of a request on its way: the flow is found, then its transaction made (§16.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.python.failure import Failure

from sipproxy.interfaces import Target, is_deferred
from sipproxy.proxy.core import Core
from sipproxy.proxy.routing import dialog_of, next_route, put_routes
from sipproxy.sip.message import Request
from sipproxy.sip.uri import Uri
from sipproxy.transaction.parties import ClientUser
from sipproxy.transport.resolver import Unreachable

if TYPE_CHECKING:
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.parties import Flow
    from sipproxy.transport.network import AnyFlow

# NOTIFY too: a subscriber's route set comes of it (RFC 6665 §4.3, §4.4.1). Never MESSAGE.
DIALOG_FORMING = frozenset((b"INVITE", b"SUBSCRIBE", b"REFER", b"NOTIFY"))
_HEAD_ROOM = 120  # about what our Via adds, bytes


class BranchUser(ClientUser, Protocol):
    """Who a branch is for."""

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""

    def sent(self, client: ClientTransaction) -> None:
        """The branch has its transaction."""

    def branch_failed(self) -> None:
        """The branch could not be sent."""


class Branch:
    """A branch of a request: the copy for one target, and who waits for its answer.

    ``near`` is the flow that the request came by, if it came from elsewhere: its socket is taken if
    it fits, and a Record-Route token names it where it is the only way back.
    """

    __slots__ = ("_branch", "_core", "_known", "_near", "_user", "copy")

    def __init__(
        self, core: Core, copy: Request, branch: bytes, user: BranchUser, near: Flow | None
    ) -> None:
        self.copy = copy
        self._core = core
        self._branch = branch
        self._user = user
        self._near = near
        self._known = False

    def send(self, flow: Flow | None, hop: Uri | None) -> None:
        """Send by what leads to ``hop``, once it is there; by ``flow`` where there is none."""
        if hop is None:
            self._known = True
            self._start(flow)
            return
        try:
            found: Any = self._core.network.reach(hop, length(self.copy), self._near)
        except Unreachable as problem:
            self._failed(problem)
            return
        if is_deferred(found):
            found.addCallback(self._start).addErrback(self._no_flow)
        else:
            self._start(found)

    def _no_flow(self, failure: Failure) -> None:
        if isinstance(failure.value, Unreachable):
            self._failed(failure.value)
        else:
            self._core.log.failure("while sending {copy}", failure, copy=self.copy)
            self._user.branch_failed()

    def _failed(self, problem: Unreachable) -> None:
        self._core.log.info("{copy} not sent: {problem}", copy=self.copy, problem=problem)
        self._user.branch_failed()

    def _start(self, flow: Any) -> None:
        if self._user.is_over:
            return
        copy, our = self.copy, flow.sent_by
        if copy.method in DIALOG_FORMING and self._near is not None:
            self._record_route(flow, self._near)
        if flow.reliable and b"content-length" not in copy.names:
            copy.append(b"Content-Length", b"%d" % len(copy.body))  # step 9
        via = (flow.via_transport, our.host, our.port, self._branch)
        copy.insert(0, b"Via", b"SIP/2.0/%s %s:%d;branch=%s" % via)
        self._user.sent(self._core.layer.send(copy, self._branch, flow, self._user))

    def _record_route(self, flow: AnyFlow, near: Flow) -> None:
        """Stay on the path of the dialog, with a token that admits it (step 4).

        The token names the flow of a side that can be reached by it alone: a client that is
        adjacent and came by a stream or with ``rport``, a target that is a flow.
        """
        copy, network = self.copy, self._core.network
        adjacent = len(copy.values(b"via")) == 1
        up = b""
        if adjacent and (near.reliable or b"rport" in copy.via.params):
            up = network.name(near)
        down = network.name(flow) if self._known else b""
        token = self._core.tokens.make(up, down, dialog_of(copy))
        transport = b";transport=tcp" if near.reliable and flow.reliable else b""
        our = flow.sent_by
        value = b"<sip:%s@%s:%d%s;lr>" % (token, our.host, our.port, transport)
        copy.push(b"Record-Route", value)


def prepared(
    request: Request, target: Target, width: int, max_forwards: int
) -> tuple[Request, Uri | None]:
    """Return the copy for a target, and its next hop: steps 1 to 3 and 5 to 7 of §16.6.

    There is no next hop where the target's flow is what it goes by.
    """
    copy = request.copy()
    if target.uri != request.raw_uri:
        copy.retarget(target.uri)
    hops = request.max_forwards
    copy.put(b"Max-Forwards", b"%d" % (max_forwards if hops is None else hops - 1))
    copy.put(b"Max-Breadth", b"%d" % width)  # RFC 5393 §5.3.3
    if target.routes:
        put_routes(copy, [*target.routes, *request.values(b"route")])
    route = next_route(copy)
    if route is None:
        return copy, None if target.flow is not None else target.hop or copy.uri
    if not route.uri.is_loose_router:  # a strict router wants itself in the Request-URI
        put_routes(copy, [*copy.values(b"route")[1:], b"<" + copy.raw_uri + b">"])
        copy.retarget(route.raw_uri)
    return copy, route.uri


def length(copy: Request) -> int:
    """Return about how many bytes the request will have when it leaves."""
    lines = sum(map(len, copy.lines)) + 2 * len(copy.lines)
    return len(copy.raw_uri) + lines + len(copy.body) + _HEAD_ROOM
