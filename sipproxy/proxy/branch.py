"""One copy of a request on its way: by a flow, or to the hops of a URI (RFC 3261 §16.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sipproxy.interfaces import Target
from sipproxy.proxy.attempts import Attempts
from sipproxy.proxy.core import Core
from sipproxy.proxy.loops import renewed_branch
from sipproxy.proxy.passage import RecordRoute
from sipproxy.proxy.routing import next_route, put_routes
from sipproxy.proxy.secure import is_secure, is_sips, secured
from sipproxy.sip.message import Request
from sipproxy.sip.uri import Uri
from sipproxy.transaction.parties import ClientUser

if TYPE_CHECKING:
    from sipproxy.sip.message import Response
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.parties import Flow

# NOTIFY too: a subscriber's route set comes of it (RFC 6665 §4.3, §4.4.1). Never MESSAGE.
DIALOG_FORMING = frozenset((b"INVITE", b"SUBSCRIBE", b"REFER", b"NOTIFY"))
_HEAD_ROOM = 120  # about what our Via adds, bytes


class BranchUser(ClientUser, Protocol):
    """Who a branch is for."""

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""

    @property
    def is_leaving(self) -> bool:
        """Whether the branch is cancelled, and only its end is waited for."""

    def sent(self, client: ClientTransaction) -> None:
        """The branch has its transaction, or another one where a hop has failed."""

    def branch_failed(self) -> None:
        """The branch could not be sent."""


class Nobody:
    """Hears what becomes of a request that nobody waits for: a CANCEL, an ACK."""

    is_over = is_leaving = False

    def sent(self, client: ClientTransaction) -> None:
        """It has left."""

    def branch_failed(self) -> None:
        """It could not be sent."""

    def answered(self, response: Response, transaction: ClientTransaction) -> None:
        """A response came."""

    def timed_out(self, transaction: ClientTransaction) -> None:
        """Nothing came."""

    def failed(self, transaction: ClientTransaction) -> None:
        """It could not be delivered."""


NOBODY = Nobody()


class Branch:
    """A branch of a request: the copy for one target, and who waits for its answer.

    ``near`` is the flow that the request came by, if it came from elsewhere: its socket is taken if
    it fits. ``record_route`` is there for a request that forms a dialog.
    """

    __slots__ = ("_branch", "_core", "_known", "_near", "_record_route", "_user", "copy")

    def __init__(
        self,
        core: Core,
        copy: Request,
        branch: bytes,
        user: BranchUser,
        near: Flow | None,
        record_route: RecordRoute | None = None,
    ) -> None:
        self.copy = copy
        self._core = core
        self._branch = branch
        self._user = user
        self._near = near
        self._record_route = record_route
        self._known = False

    def send(self, flow: Flow | None, hop: Uri | None) -> None:
        """Send to the hops that ``hop`` stands for; by ``flow`` where there is none.

        A request to a sips URI goes by TLS, whatever leads there (§16.6 step 7).
        """
        user = self._user
        if is_sips(self.copy.raw_uri):
            hop = hop and secured(hop)
            if hop is None and not is_secure(flow):
                self._core.log.info("{copy} not sent: sips goes by TLS only", copy=self.copy)
                user.branch_failed()
                return
        if hop is not None:
            Attempts(self._core, self, user, length(self.copy), self._near).find(hop)
        elif not user.is_over:
            self._known = True
            client = self.start(flow, user)
            if client is not None:
                user.sent(client)

    def start(self, flow: Any, user: ClientUser, is_last: bool = True) -> ClientTransaction | None:
        """Send the copy in a transaction of its own; an ACK has none.

        Where it is not the last, the next one is sent as this copy was, with a new branch (RFC 3263
        §4.3).
        """
        copy, our, branch = self.copy, flow.sent_by, self._branch
        if not is_last:
            self.copy = copy.copy()
            self._branch = renewed_branch(branch, self._core.random(8))
        if self._record_route is not None:
            for value in self._record_route.values(flow, self._known, _asks_for_sips(copy)):
                copy.push(b"Record-Route", value)
        if flow.reliable and b"content-length" not in copy.names:
            copy.append(b"Content-Length", b"%d" % len(copy.body))  # step 9
        via = (flow.via_transport, our.host, our.port, branch, our.params)
        copy.insert(0, b"Via", b"SIP/2.0/%s %s:%d;branch=%s%s" % via)
        if copy.method == b"ACK":  # to a 2xx: it has no transaction (§17.1.1.3)
            flow.send(copy.encode())
            return None
        return self._core.layer.send(copy, branch, flow, user)


def _asks_for_sips(copy: Request) -> bool:
    """Tell whether a request as it is sent has a sips URI before it (RFC 3261 §16.6 step 4)."""
    if is_sips(copy.raw_uri):
        return True
    route = next_route(copy)
    return route is not None and is_sips(route.raw_uri)


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
    if width:  # an ACK has none
        copy.put(b"Max-Breadth", b"%d" % width)  # RFC 5393 §5.3.3
    if target.routes:
        put_routes(copy, [*target.routes, *request.values(b"route")])
    route = next_route(copy)
    if target.flow is not None and (route is None or target.past_routes):
        return copy, None
    if route is None:
        return copy, target.hop or copy.uri
    hop = route.uri
    if not hop.is_loose_router:  # a strict router wants itself in the Request-URI
        put_routes(copy, [*copy.values(b"route")[1:], b"<" + copy.raw_uri + b">"])
        hop = secured(hop) if is_sips(copy.raw_uri) else hop
        copy.retarget(route.raw_uri)
    return copy, hop


def length(copy: Request) -> int:
    """Return about how many bytes the request will have when it leaves."""
    lines = sum(map(len, copy.lines)) + 2 * len(copy.lines)
    return len(copy.raw_uri) + lines + len(copy.body) + _HEAD_ROOM
