"""Requests of our own: they go wherever any request to their Request-URI goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from sipproxy.interfaces import IRouter, Sender, Target, is_deferred
from sipproxy.proxy.branch import NOBODY, Branch, prepared
from sipproxy.proxy.core import Core
from sipproxy.proxy.flows import Flows
from sipproxy.proxy.instances import first_of_each
from sipproxy.proxy.loops import new_branch, shares
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.sip.response import error_response

if TYPE_CHECKING:
    from sipproxy.proxy.branch import BranchUser
    from sipproxy.sip.uri import Uri
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.parties import ClientUser


class Errand:
    """Stands between one of our requests and who sent it; nobody has to listen."""

    def __init__(self, request: Request, user: ClientUser | None) -> None:
        self.request = request
        self._user = NOBODY if user is None else user

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return False

    @property
    def is_leaving(self) -> bool:
        """Whether it is cancelled, as only an INVITE can be."""
        return False

    def leaving(self, copies: Sequence[Request], may_change: bool) -> None:
        """The request is about to leave as these copies.

        ``may_change``: where one of them fails, another may be sent in its place.
        """

    def sent(self, client: ClientTransaction) -> None:
        """The branch has its transaction."""

    def branch_failed(self) -> None:
        """The branch could not be sent: as good as a 503 (RFC 3261 §8.1.3.1)."""
        self.refused(SipError(503))

    def refused(self, error: SipError) -> None:
        """The request did not leave this server."""
        self._user.answered(error_response(self.request, error, b"local"), None)  # type: ignore[arg-type]

    def answered(self, response: Response, transaction: ClientTransaction) -> None:
        """A response came."""
        self._user.answered(response, transaction)

    def timed_out(self, transaction: ClientTransaction) -> None:
        """Nothing came."""
        self._user.timed_out(transaction)

    def failed(self, transaction: ClientTransaction) -> None:
        """It could not be delivered."""
        self._user.failed(transaction)


class Origin:
    """Sends requests of our own."""

    def __init__(self, core: Core, routers: Sequence[IRouter] = ()) -> None:
        self._core = core
        self.routers = routers

    def send(self, request: Request, user: ClientUser | None = None) -> None:
        """Send a request that is complete but for Via, Max-Forwards and Content-Length.

        A request that finds no target is answered to ``user`` as its router refused it.
        """
        self.dispatch(Errand(request, user))

    def dispatch(self, errand: Errand) -> None:
        """Send the request of an errand, which hears of it in more detail."""
        request = errand.request
        if b"content-length" not in request.names:
            request.append(b"Content-Length", b"%d" % len(request.body))
        sender = Sender(self._core.identity.canonical(request.from_.uri), is_user=True)
        try:
            self._routed(iter(self.routers), request, sender, errand)
        except SipError as error:
            errand.refused(error)

    def _routed(
        self, routers: Iterator[IRouter], request: Request, sender: Sender, errand: Errand
    ) -> None:
        for router in routers:
            found: Any = router.targets(request, sender)
            if is_deferred(found):
                found.addCallback(self._found, routers, request, sender, errand)
                found.addErrback(self._lost, errand)
                return
            if found is not None:
                self._found(found, routers, request, sender, errand)
                return
        raise SipError(404)

    def _found(
        self,
        targets: Sequence[Target] | None,
        routers: Iterator[IRouter],
        request: Request,
        sender: Sender,
        errand: Errand,
    ) -> None:
        if targets is None:
            self._routed(routers, request, sender, errand)
            return
        if not targets:
            raise SipError(480)
        settings = self._core.settings
        targets = first_of_each(targets)
        widths = shares(settings.max_breadth, len(targets))
        ways = [
            prepared(request, target, width, settings.max_forwards)
            for target, width in zip(targets, widths, strict=True)
        ]
        errand.leaving([copy for copy, _ in ways], any(target.others for target in targets))
        for target, (copy, hop), width in zip(targets, ways, widths, strict=True):
            user: BranchUser = errand
            if target.others:  # RFC 5626 §5.3, §7: where one flow of a device fails, the next
                again = partial(self._again, request, width)
                is_invite = request.method == b"INVITE"
                user = Flows(self._core, errand, target.others, again, is_invite).first
            self._leave(target, copy, hop, user)

    def _again(self, request: Request, width: int, target: Target, user: BranchUser) -> None:
        copy, hop = prepared(request, target, width, self._core.settings.max_forwards)
        self._leave(target, copy, hop, user)

    def _leave(self, target: Target, copy: Request, hop: Uri | None, user: BranchUser) -> None:
        branch = new_branch(self._core.random(8))
        Branch(self._core, copy, branch, user, None).send(target.flow, hop)

    def _lost(self, failure: Failure, errand: Errand) -> None:
        if isinstance(failure.value, SipError):
            errand.refused(failure.value)
        else:
            self._core.log.failure("while routing a request of ours", failure)
            errand.refused(SipError(500))
