"""Request forwarding: a branch for each target, and the way back up (RFC 3261 §16.6, §16.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from sipproxy.interfaces import IForwarder, Sender, Target
from sipproxy.proxy.branch import DIALOG_FORMING, Branch, prepared
from sipproxy.proxy.context import ResponseContext
from sipproxy.proxy.core import Core
from sipproxy.proxy.instances import first_of_each
from sipproxy.proxy.loops import breadth, new_branch, refuse_loop, second_part, shares
from sipproxy.proxy.passage import RecordRoute
from sipproxy.sip.message import Request, Response

if TYPE_CHECKING:
    from sipproxy.transaction.server import ServerTransaction


@implementer(IForwarder)
class Forwarder:
    """A stateful proxy for any method but INVITE, forking in parallel."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._patience = core.ticks(core.settings.patience)

    def forward(
        self,
        request: Request,
        transaction: ServerTransaction,
        targets: Sequence[Target],
        sender: Sender,
    ) -> None:
        """Forward a request to all targets at once; raises `SipError` 440 or 482."""
        core, near = self._core, transaction.flow
        targets = first_of_each(targets)
        second = b""
        if len(targets) > 1:  # RFC 5393 §4.1
            second = second_part(request)
            refuse_loop(request, second, core.identity)
        widths = shares(breadth(request, core.settings.max_breadth), len(targets))
        silent = 480 if targets[0].is_user else 504
        record_route = None
        if request.method in DIALOG_FORMING and near is not None:
            record_route = RecordRoute(core, request, sender, near)
        context = ResponseContext(self, request, transaction, len(targets), silent)
        core.wheel.wake(context, self._patience)
        for target, width in zip(targets, widths, strict=True):
            copy, hop = prepared(request, target, width, core.settings.max_forwards)
            branch = new_branch(core.random(8), second)
            Branch(core, copy, branch, context, near, record_route).send(target.flow, hop)

    # Upstream

    def answer(self, request: Request, server: ServerTransaction, response: Response) -> None:
        """Send a response of a branch upstream."""
        self._core.respond_with(request, server, response)

    def answer_status(self, request: Request, server: ServerTransaction, status: int) -> None:
        """Send a response of our own upstream."""
        self._core.respond(request, server, status)

    def forget(self, context: ResponseContext) -> None:
        """A context is over."""
        self._core.wheel.forget(context)
