"""The hops of one branch, tried one after the other until one answers (RFC 3263 §4.3, RFC 4321)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from sipproxy.interfaces import is_deferred
from sipproxy.proxy.core import Core
from sipproxy.sip.uri import Uri
from sipproxy.transport.resolver import Hop, Unreachable

if TYPE_CHECKING:
    from sipproxy.proxy.branch import Branch, BranchUser
    from sipproxy.sip.message import Response
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.parties import Flow


class Attempts:
    """Stands between a branch and its user while there are several hops.

    A hop has failed that cannot be reached, is lost, answers 503 or, without any response, lets
    its transaction time out (§4.3). A non-INVITE has our patience and no more: each hop but the
    last gets half of what is left of it, and is silent then (RFC 4321 §1.5). What becomes of the
    last hop is reported as if it were the only one.
    """

    __slots__ = (
        "_branch",
        "_client",
        "_core",
        "_deadline",
        "_hop",
        "_is_heard",
        "_left",
        "_near",
        "_number",
        "_size",
        "_user",
        "booked",
        "due",
    )

    def __init__(
        self, core: Core, branch: Branch, user: BranchUser, size: int, near: Flow | None
    ) -> None:
        self.due = self.booked = 0
        self._core = core
        self._branch = branch
        self._user = user
        self._size = size
        self._near = near
        self._deadline = core.deadline()
        self._left: list[Hop] = []
        self._number = 0  # of the attempt: what comes of an earlier one is late
        self._hop: Hop
        self._client: ClientTransaction | None = None
        self._is_heard = False

    def find(self, uri: Uri) -> None:
        """Look for the hops of a URI, and try the first."""
        try:
            found: Any = self._core.network.hops(uri)
        except Unreachable as problem:
            self._unsent(problem)
            return
        if is_deferred(found):
            found.addCallback(self._found).addErrback(self._lost)
        else:
            self._found(found)

    def _found(self, hops: list[Hop]) -> None:
        self._left = hops
        if len(hops) == 1:
            self._reach(self._user)
        else:
            self._reach(self)

    def _reach(self, user: Any) -> None:
        """Take the next hop; ``user`` hears of its transaction."""
        if self._is_unwanted():
            return
        self._number += 1
        self._client, self._is_heard = None, False
        self._hop, *self._left = self._left
        self._limit()
        try:
            found: Any = self._core.network.reach(self._hop, self._size, self._near)
        except Unreachable as problem:
            self._unreached(problem)
            return
        if is_deferred(found):
            found.addCallback(self._reached, user, self._number)
            found.addErrback(self._lost, self._number)
        else:
            self._reached(found, user, self._number)

    def _limit(self) -> None:
        """Leave time for another hop.

        Timer B alone limits an INVITE, which may ring by then; nothing tells of an ACK.
        """
        wheel = self._core.wheel
        if self._left and self._branch.copy.method not in (b"INVITE", b"ACK"):
            wheel.wake(self, self._core.share(self._deadline))
        else:
            wheel.forget(self)

    def _reached(self, flow: Any, user: Any, number: int) -> None:
        if number != self._number or self._is_unwanted():
            return
        client = self._branch.start(flow, user, is_last=not self._left)
        if client is not None and number == self._number:  # else it has failed already
            if self.due:  # there may be need to give it up
                self._client = client
            self._user.sent(client)

    def _is_unwanted(self) -> bool:
        """Tell whether nothing is to be sent any more; who cancelled meanwhile is told so."""
        if self._user.is_over:
            return True
        if self._user.is_leaving:
            self._settle()
            self._user.branch_failed()
            return True
        return False

    # What becomes of it

    def _lost(self, failure: Failure, number: int = 0) -> None:
        """Looking or connecting has failed: by rights, or by a bug of ours."""
        if not isinstance(failure.value, Unreachable):
            self._core.log.failure("while sending {copy}", failure, copy=self._branch.copy)
            self._settle()
            self._number = -1  # whatever else was begun is late
            self._user.branch_failed()
        elif number == self._number == 0:
            self._unsent(failure.value)
        elif number == self._number:
            self._unreached(failure.value)

    def _unsent(self, problem: Unreachable) -> None:
        copy = self._branch.copy
        self._core.log.info("{copy} not sent: {problem}", copy=copy, problem=problem)
        self._user.branch_failed()

    def _unreached(self, problem: Unreachable) -> None:
        self._go_on(partial(self._unsent, problem))

    def _go_on(self, report: Callable[[], None], seconds: float = 0.0) -> None:
        """Try the next hop, or report what became of the last, or of one that is cancelled."""
        network = self._core.network
        network.breaker.failed(self._hop, seconds or network.limits.avoid)
        if self._left and not self._user.is_leaving and not self._user.is_over:
            self._core.log.info("{hop} has failed; there is another", hop=self._hop)
            self._reach(self)
        else:
            self._settle()
            report()

    def _settle(self) -> None:
        """Nothing more is to be tried, and nobody held."""
        self._core.wheel.forget(self)
        self._client = None

    # ClientUser

    def answered(self, response: Response, client: ClientTransaction) -> None:
        """A response came: what it says is final, unless it is a 503 (RFC 3263 §4.3)."""
        report = partial(self._user.answered, response, client)
        self._is_heard = True
        if response.status == 503:
            self._go_on(report, self._retry_after(response))
            return
        self._settle()
        self._core.network.breaker.answered(self._hop)
        report()

    def timed_out(self, client: ClientTransaction) -> None:
        """Timer B or F fired; a hop that was heard of is none to go on from (§4.3)."""
        if self._is_heard:
            self._user.timed_out(client)
        else:
            self._go_on(partial(self._user.timed_out, client))

    def failed(self, client: ClientTransaction) -> None:
        """The transport could not deliver."""
        self._go_on(partial(self._user.failed, client))

    def woken(self) -> None:
        """The hop has been silent for its share of our patience, and there is another."""
        client, self._client = self._client, None
        if self._user.is_over:
            return
        if client is not None:
            client.abandon()
        self._go_on(self._user.branch_failed)

    def _retry_after(self, response: Response) -> float:
        """Return how long a 503 asks to be left alone (RFC 3261 §21.5.4), within our limits."""
        limits = self._core.network.limits
        text = (response.value(b"retry-after") or b"").partition(b";")[0].partition(b"(")[0].strip()
        asked = float(text) if text.isdigit() and len(text) < 10 else limits.avoid
        return min(asked, limits.retry_after) or limits.avoid
