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
    """Stands between a branch and its user while the instance has other flows.

    ``again`` sends the request to another target, for a user. A non-INVITE has our patience and no
    more: each flow but the last gets half of what is left of it. What becomes of the last one is
    reported as if it were the only one.
    """

    __slots__ = ("_again", "_client", "_core", "_deadline", "_left", "_user", "booked", "due")

    def __init__(
        self,
        core: Core,
        user: BranchUser,
        others: Sequence[Target],
        again: Callable[[Target, BranchUser], None],
        is_invite: bool,
    ) -> None:
        self.due = self.booked = 0
        self._core = core
        self._user = user
        self._left = list(others)
        self._again = again
        self._client: ClientTransaction | None = None
        patience = 0 if is_invite else core.ticks(core.settings.patience)
        self._deadline = patience and core.wheel.now + patience

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self._user.is_over

    @property
    def is_leaving(self) -> bool:
        """Whether the branch is cancelled, and only its end is waited for."""
        return self._user.is_leaving

    def sent(self, client: ClientTransaction) -> None:
        """The request has left by a flow."""
        wheel = self._core.wheel
        if self._left and self._deadline:
            self._client = client
            wheel.wake(self, max(1, (self._deadline - wheel.now) // 2))
        self._user.sent(client)

    def answered(self, response: Response, client: ClientTransaction) -> None:
        """A response came: from behind the flow, or from who knows that it is gone."""
        report = partial(self._user.answered, response, client)
        if response.status in GONE:
            self._go_on(report)
        else:
            self._end(report)

    def timed_out(self, client: ClientTransaction) -> None:
        """Timer B or F fired."""
        self._go_on(partial(self._user.timed_out, client))

    def failed(self, client: ClientTransaction) -> None:
        """The transport could not deliver."""
        self._go_on(partial(self._user.failed, client))

    def branch_failed(self) -> None:
        """The request could not be sent."""
        self._go_on(self._user.branch_failed)

    def woken(self) -> None:
        """The flow has been silent for its share of our patience."""
        client = self._client
        if client is not None:
            client.abandon()
        self._go_on(self._user.branch_failed)

    def _go_on(self, report: Callable[[], None]) -> None:
        if not self._left or self._user.is_over or self._user.is_leaving:
            self._end(report)
            return
        target = self._left.pop(0)
        self._core.log.info("a flow of {uri} is gone; there is another", uri=target.uri)
        try:
            self._again(target, self)
        except SipError:
            self._go_on(report)

    def _end(self, report: Callable[[], None]) -> None:
        self._client = None
        self._core.wheel.forget(self)
        report()
