"""The flows of one instance, tried one after the other until one answers (RFC 5626 §7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sipproxy.interfaces import Target
from sipproxy.proxy.core import Core
from sipproxy.sip.errors import SipError

if TYPE_CHECKING:
    from sipproxy.proxy.branch import BranchUser
    from sipproxy.sip.message import Response
    from sipproxy.transaction.client import ClientTransaction

GONE = (408, 430)  # what another flow may make good


class Flows:
    """The flows of an instance, between a branch and its user.

    ``again`` sends the request to another target, for a user. A non-INVITE has our patience and no
    more: each flow but the last gets half of what is left of it. What becomes of the last one is
    reported as if it were the only one.
    """

    __slots__ = ("_again", "_core", "_deadline", "_left", "_turn", "booked", "due", "user")

    def __init__(
        self,
        core: Core,
        user: BranchUser,
        others: Sequence[Target],
        again: Callable[[Target, BranchUser], None],
        is_invite: bool,
    ) -> None:
        self.due = self.booked = 0
        self.user = user
        self._core = core
        self._left = list(others)
        self._again = again
        self._deadline = None if is_invite else core.deadline()
        self._turn = Turn(self)

    @property
    def first(self) -> Turn:
        """Who hears of the first flow."""
        return self._turn

    def is_on(self, turn: Turn) -> bool:
        """Tell whether it is this flow's turn, and not that of another after it."""
        return turn is self._turn

    def begun(self) -> None:
        """The request has left by a flow: if there is another, it has its share of the time."""
        if self._left and self._deadline is not None:
            self._core.wheel.wake(self, self._core.share(self._deadline))

    def woken(self) -> None:
        """The flow has been silent for its share of our patience."""
        client = self._turn.client
        if client is not None:
            client.abandon()
        self.go_on(self.user.branch_failed)

    def go_on(self, report: Callable[[], None]) -> None:
        """Try the next flow, or report what became of the last."""
        if not self._left or self.user.is_over or self.user.is_leaving:
            self.end(report)
            return
        target = self._left.pop(0)
        self._core.log.info("a flow of {uri} is gone; there is another", uri=target.uri)
        self._turn = Turn(self)
        try:
            self._again(target, self._turn)
        except SipError:
            self.go_on(report)

    def end(self, report: Callable[[], None]) -> None:
        """Report what became of it."""
        self._turn.client = None
        self._core.wheel.forget(self)
        report()


class Turn:
    """One flow's; when it is over, nothing that comes of it counts any more."""

    __slots__ = ("_flows", "client")

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self.client: ClientTransaction | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return not self._flows.is_on(self) or self._flows.user.is_over

    @property
    def is_leaving(self) -> bool:
        """Whether the branch is cancelled, and only its end is waited for."""
        return self._flows.user.is_leaving

    def sent(self, client: ClientTransaction) -> None:
        """The request has left."""
        if self._flows.is_on(self):
            self.client = client
            self._flows.begun()
            self._flows.user.sent(client)

    def answered(self, response: Response, client: ClientTransaction) -> None:
        """A response came: from behind the flow, or from who knows that it is gone."""
        report = partial(self._flows.user.answered, response, client)
        if not self._flows.is_on(self):
            if 200 <= response.status < 300:
                report()  # whoever accepted has to hear of it
        elif response.status in GONE:
            self._flows.go_on(report)
        else:
            self._flows.end(report)

    def timed_out(self, client: ClientTransaction) -> None:
        """Timer B or F fired."""
        self._ended(partial(self._flows.user.timed_out, client))

    def failed(self, client: ClientTransaction) -> None:
        """The transport could not deliver."""
        self._ended(partial(self._flows.user.failed, client))

    def branch_failed(self) -> None:
        """The request could not be sent."""
        self._ended(self._flows.user.branch_failed)

    def _ended(self, report: Callable[[], None]) -> None:
        if self._flows.is_on(self):
            self._flows.go_on(report)
