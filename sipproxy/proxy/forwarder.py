"""Request forwarding: a branch for each target, and the way back up (RFC 3261 §16.6, §16.7)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from twisted.python.failure import Failure
from zope.interface import implementer

from sipproxy.auth.asserted import ASSERTED, assert_identity, privacy
from sipproxy.interfaces import IForwarder, Sender, Target
from sipproxy.proxy.branch import DIALOG_FORMING, NOBODY, Branch, BranchUser, prepared
from sipproxy.proxy.context import ResponseContext
from sipproxy.proxy.core import Core
from sipproxy.proxy.flows import Flows
from sipproxy.proxy.instances import first_of_each
from sipproxy.proxy.invite import InviteContext, Leg
from sipproxy.proxy.loops import breadth, new_branch, refuse_loop, second_part, shares
from sipproxy.proxy.passage import RecordRoute
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.transaction.server import InviteServer

if TYPE_CHECKING:
    from sipproxy.sip.uri import Uri
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.parties import ClientUser, Flow
    from sipproxy.transaction.server import ServerTransaction
    from sipproxy.transaction.wheel import Sleeper


class Outgoing:
    """A request on its way to its targets; raises `SipError` 400, 440 or 482."""

    __slots__ = (
        *("_breadth", "_core", "_is_asserted", "_privacy", "_near"),
        *("_record_route", "_request", "_second"),
    )

    def __init__(
        self,
        core: Core,
        request: Request,
        sender: Sender,
        near: Flow | None,
        targets: Sequence[Target],
    ) -> None:
        self._core = core
        self._request = request
        self._near = near
        self._is_asserted = assert_identity(request, sender)
        self._privacy = privacy(request) if self._is_asserted else frozenset()
        self._second = b""
        self._record_route = None
        # RFC 5393 §4.1: where we fork we have to look for a loop, else we may. What goes to the
        # flow of a device does not come back.
        if len(targets) > 1 or targets[0].flow is None:
            self._second = second_part(request)
            refuse_loop(request, self._second, core.identity)
        self._breadth = breadth(request, core.settings.max_breadth)
        if request.method in DIALOG_FORMING and near is not None:
            self._record_route = RecordRoute(core, request, sender, near, targets[0].past_routes)

    def send(self, targets: Sequence[Target], users: Sequence[BranchUser]) -> None:
        """Send the request to several targets at once, which share its breadth."""
        widths = shares(self._breadth, len(targets))
        if len(targets) == 1 and not targets[0].others:
            one, hop = self._branch(targets[0], users[0], widths[0])
            one.send(targets[0].flow, hop)
            return
        branches = []
        for target, user, width in zip(targets, users, widths, strict=True):
            if target.others:
                is_invite = self._request.method == b"INVITE"
                again = partial(self._again, width)
                user = Flows(self._core, user, target.others, again, is_invite).first
            branches.append((self._branch(target, user, width), target.flow))
        for (one, hop), flow in branches:
            one.send(flow, hop)

    def _branch(self, target: Target, user: BranchUser, width: int) -> tuple[Branch, Uri | None]:
        """Return a branch and its next hop, where it is not the target's flow."""
        core = self._core
        copy, hop = prepared(self._request, target, width, core.settings.max_forwards)
        if self._is_asserted and not self._is_told_to(target):
            copy.remove(ASSERTED)
        branch = new_branch(core.random(8), self._second)
        return Branch(core, copy, branch, user, self._near, self._record_route), hop

    def _again(self, width: int, target: Target, user: BranchUser) -> None:
        one, hop = self._branch(target, user, width)
        one.send(target.flow, hop)

    def _is_told_to(self, target: Target) -> bool:
        """Whether a target is to see who the sender is: a trusted peer, or a user (RFC 3325 §7).

        The sender may have asked that all be told.
        """
        if target.is_trusted or b"none" in self._privacy:
            return True
        return target.is_user and b"id" not in self._privacy


class WayUp:
    """The way of answers back to who sent the request."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def answer(self, request: Request, server: ServerTransaction, response: Response) -> None:
        """Send a response of a branch upstream; nobody vouches for who sent it (RFC 3325 §5)."""
        if ASSERTED in response.names:
            response.remove(ASSERTED)
        self._core.respond_with(request, server, response)

    def answer_status(self, request: Request, server: ServerTransaction, status: int) -> None:
        """Send a response of our own upstream."""
        self._core.respond(request, server, status)

    def forget(self, sleeper: Sleeper) -> None:
        """Nobody needs to wake it any more."""
        self._core.wheel.forget(sleeper)


@implementer(IForwarder)
class Forwarder(WayUp):
    """A stateful proxy for any method: INVITE forks by q in turn, all else in parallel."""

    def forward(
        self,
        request: Request,
        transaction: ServerTransaction,
        targets: Sequence[Target],
        sender: Sender,
    ) -> None:
        """Forward a request to all targets; raises `SipError` 440 or 482."""
        core = self._core
        targets = first_of_each(targets)
        outgoing = Outgoing(core, request, sender, transaction.flow, targets)
        if isinstance(transaction, InviteServer):
            Invitation(core, outgoing).start(request, transaction, targets)
            return
        silent = 480 if targets[0].is_user else 504
        context = ResponseContext(self, request, transaction, len(targets), silent)
        core.wheel.wake(context, core.patience)
        outgoing.send(targets, [context] * len(targets))

    def acknowledge(self, ack: Request, near: Flow, target: Target) -> None:
        """Forward the ACK to a 2xx, which has no transaction: it goes on as it came (§16.11)."""
        core = self._core
        copy, hop = prepared(ack, target, 0, core.settings.max_forwards)
        Branch(core, copy, new_branch(_likeness(ack)), NOBODY, near).send(target.flow, hop)


class Invitation(WayUp):
    """An INVITE between its context and the parts of the proxy."""

    def __init__(self, core: Core, outgoing: Outgoing) -> None:
        WayUp.__init__(self, core)
        self._outgoing = outgoing
        self._end = core.wheel.now + core.ticks(core.settings.longest_ring)

    def start(self, request: Request, server: InviteServer, targets: Sequence[Target]) -> None:
        """Begin to ring; raises `SipError` 487 where the caller has given up meanwhile."""
        if server.is_cancelled:
            raise SipError(487)
        ordered = sorted(targets, key=_preference, reverse=True)
        groups = [list(group) for _, group in groupby(ordered, _preference)]
        context = InviteContext(self, request, server, groups)
        server.on_cancel = context.cancel
        server.trying()
        context.start()

    def call(self, targets: Sequence[Target], legs: Sequence[Leg]) -> None:
        """Send the request to targets; each leg hears of one of them."""
        self._outgoing.send(targets, legs)

    def cancel(self, client: ClientTransaction, user: ClientUser) -> None:
        """Send the CANCEL of a branch."""
        self._core.layer.cancel(client, user)

    def ring(self, sleeper: Sleeper) -> None:
        """Wake in Timer C (§16.6 step 11), or when it has rung for longer than anything may."""
        wheel = self._core.wheel
        ring = self._core.ticks(self._core.settings.ring)
        wheel.wake(sleeper, max(1, min(ring, self._end - wheel.now)))

    def next_group(self, sleeper: Sleeper) -> None:
        """Wake when others are to be tried."""
        self._core.wheel.wake(sleeper, self._core.ticks(self._core.settings.next_group))

    def leave(self, sleeper: Sleeper) -> None:
        """Wake when a branch that was cancelled has had its time (§9.1: 64*T1)."""
        self._core.wheel.wake(sleeper, self._core.layer.timers.timeout)

    def failed(self, error: Exception) -> int:
        """Return what is said of branches that could not be made; a bug is logged."""
        if isinstance(error, SipError):
            return error.status
        self._core.log.failure("a bug, met by an INVITE", Failure(error))
        return 500


def _likeness(ack: Request) -> bytes:
    """Return what is the same whenever the same ACK comes (§16.11)."""
    number = b"%d" % ack.cseq.number
    parts = (ack.via.branch, ack.from_.tag or b"", ack.to.tag or b"", ack.call_id, number)
    return hashlib.blake2s(b"\0".join((*parts, ack.raw_uri)), digest_size=8).digest()


def _preference(target: Target) -> float:
    return target.q
