"""The response context of an INVITE: branches that ring, at once or in turn (RFC 3261 §16.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from sipproxy.interfaces import Target
from sipproxy.proxy.best import choose
from sipproxy.proxy.branch import NOBODY
from sipproxy.proxy.context import Upstream
from sipproxy.sip.message import Request, Response

if TYPE_CHECKING:
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.parties import ClientUser
    from sipproxy.transaction.server import ServerTransaction
    from sipproxy.transaction.wheel import Sleeper

WAITING, CALLING, RINGING, LEAVING, CANCELLED, ENDED = range(6)


class Exchange(Upstream, Protocol):
    """What an INVITE needs of the proxy that it passes."""

    def call(self, targets: Sequence[Target], legs: Sequence[Leg]) -> None:
        """Send the request to targets; each leg hears of one of them."""

    def cancel(self, client: ClientTransaction, user: ClientUser) -> None:
        """Send the CANCEL of a branch."""

    def failed(self, error: Exception) -> int:
        """Return the status of branches that could not be made."""

    def ring(self, sleeper: Sleeper) -> None:
        """Wake in Timer C (§16.6 step 11)."""

    def next_group(self, sleeper: Sleeper) -> None:
        """Wake when others are to be tried."""

    def leave(self, sleeper: Sleeper) -> None:
        """Wake when a branch that was cancelled has had its time (§9.1)."""


class Leg:
    """One branch of an INVITE.

    ::

        Waiting --sent--> Calling --1xx--> Ringing --cancel--> Cancelled
           |                 '--cancel--> Leaving --1xx-----------^
           '--cancel--.
        any --final response, failure, or silence--> Ended

    A CANCEL must wait for a provisional response (RFC 3261 §9.1). Timer C begins with Calling and
    again with each 101 to 199 (§16.7 step 2); when it fires the branch is cancelled (§16.8).
    """

    __slots__ = ("_client", "_context", "_exchange", "booked", "due", "state")

    def __init__(self, context: InviteContext, exchange: Exchange) -> None:
        self._context = context
        self._exchange = exchange
        self._client: ClientTransaction | None = None
        self.state = WAITING
        self.due = self.booked = 0

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self.state == ENDED

    @property
    def is_leaving(self) -> bool:
        """Whether it is cancelled: then no other hop is tried."""
        return self.state in (LEAVING, CANCELLED)

    def sent(self, client: ClientTransaction) -> None:
        """The branch has its transaction, or another one where a hop has failed (RFC 3263 §4.3)."""
        if self.state != ENDED:  # it may have failed at once
            self._client = client
            if self.state != LEAVING:  # it was cancelled while another hop was looked for
                self.state = CALLING
            self._exchange.ring(self)

    def answered(self, response: Response, client: ClientTransaction) -> None:
        """The branch has a response; one that was meant for us alone goes no further (step 3)."""
        response.pop_value(b"via")
        is_ours = b"via" not in response.names
        if response.status < 200:
            self._provisional(response, is_ours)
        elif is_ours:
            self.branch_failed()
        elif response.status < 300:
            self._end()
            self._context.accepted(response)
        elif self.state != ENDED:
            # Who had rung for too long has not answered, whatever it says to our CANCEL.
            is_late = self.state == CANCELLED and not self._context.is_cancelled
            self._end()
            self._context.ended(408 if is_late and response.status == 487 else response)

    def _provisional(self, response: Response, is_ours: bool) -> None:
        if self.state == ENDED:
            return
        if self.state == CALLING:
            self.state = RINGING
        if self.state == LEAVING:
            self._cancel_now()
        elif self.state == RINGING and response.status > 100:
            self._exchange.ring(self)
        if response.status > 100 and not is_ours:
            self._context.progressed(response)

    def timed_out(self, client: ClientTransaction) -> None:
        """Timer B fired: as good as a 408, or as the 487 of a call that was cancelled."""
        self._fail(self._context.silent_status)

    def failed(self, client: ClientTransaction) -> None:
        """The request could not be delivered."""
        self.branch_failed()

    def branch_failed(self) -> None:
        """The branch is as good as one that answered 503, which goes upstream as 500 (§16.9)."""
        self._fail(self._context.silent_status if self.is_leaving else 500)

    def cancel(self) -> None:
        """Nobody wants an answer of this branch any more (step 10)."""
        if self.state == WAITING:
            self._fail(self._context.silent_status)
        elif self.state == CALLING:
            self.state = LEAVING
        elif self.state == RINGING:
            self._cancel_now()

    def abort(self, status: int) -> None:
        """The branch could not be made, or one beside it: what was sent already is cancelled."""
        if self.state == WAITING:
            self._fail(status)
        else:
            self.cancel()

    def woken(self) -> None:
        """Timer C fired, or a branch that was cancelled has said nothing for too long."""
        if self.state == RINGING:
            self._cancel_now()
        elif self.state != ENDED:
            client = self._client
            self._fail(self._context.silent_status)
            if client is not None:
                client.abandon()

    def _cancel_now(self) -> None:
        self.state = CANCELLED
        self._exchange.leave(self)
        if self._client is not None:
            self._exchange.cancel(self._client, NOBODY)

    def _fail(self, status: int) -> None:
        if self.state != ENDED:
            self._end()
            self._context.ended(status)

    def _end(self) -> None:
        self.state = ENDED
        self._client = None
        self._exchange.forget(self)


class InviteContext:
    """What a stateful proxy knows of an INVITE that it forwarded (RFC 3261 §16.7).

    The groups of targets are tried in turn, those of a group at once. Every 2xx goes upstream as it
    comes, and ends the search; so does a 6xx, which waits for the branches that are left. Of all
    others the best goes upstream when nothing is left to be tried.
    """

    __slots__ = (
        "_answers",
        "_exchange",
        "_groups",
        "_is_starting",
        "_legs",
        "_own_status",
        "_request",
        "_server",
        "booked",
        "due",
        "is_cancelled",
        "is_over",
    )

    def __init__(
        self,
        exchange: Exchange,
        request: Request,
        server: ServerTransaction,
        groups: Sequence[Sequence[Target]],
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._server = server
        self._groups = list(groups)
        self._is_starting = False
        self._legs: list[Leg] = []
        self._answers: list[Response] = []
        self._own_status: int | None = None
        self.due = self.booked = 0
        self.is_cancelled = False  # by the caller
        self.is_over = False  # the final response has been sent

    def start(self) -> None:
        """Try group after group, as long as each fails at once."""
        self._is_starting = True
        while self._groups and all(leg.is_over for leg in self._legs):
            self._try(self._groups.pop(0))
        self._is_starting = False
        if not self.is_over and all(leg.is_over for leg in self._legs):
            self._conclude()

    def _try(self, targets: Sequence[Target]) -> None:
        self._legs = [Leg(self, self._exchange) for _ in targets]
        if self._groups:
            self._exchange.next_group(self)
        try:
            self._exchange.call(targets, self._legs)
        except Exception as error:
            self._groups = []
            status = self._exchange.failed(error)
            for leg in list(self._legs):
                leg.abort(status)

    def woken(self) -> None:
        """This group has rung for long enough, and there are others (§16.6 step 11)."""
        self._cancel_legs()

    def cancel(self) -> None:
        """The caller does not want to wait any longer (§16.10)."""
        self.is_cancelled = True
        self._groups = []
        self._cancel_legs()

    @property
    def silent_status(self) -> int:
        """What is said of a branch that was cancelled before it answered."""
        return 487 if self.is_cancelled else 408

    def progressed(self, response: Response) -> None:
        """A branch rings."""
        if not self.is_over:
            self._exchange.answer(self._request, self._server, response)

    def accepted(self, response: Response) -> None:
        """A branch has accepted: that goes upstream whatever went before (step 5)."""
        self.is_over = True
        self._exchange.answer(self._request, self._server, response)
        self._stop()
        self._legs = []

    def ended(self, outcome: Response | int) -> None:
        """A branch has refused, or failed with a status that we say of it."""
        if isinstance(outcome, int):
            self._note(outcome)
        elif outcome.status == 503:  # it speaks of that server, not of us (step 6)
            self._note(500)
        elif outcome.status == 430:  # no endpoint knows of flows (RFC 5626 §11.5)
            self._note(480)
        else:
            self._answers.append(outcome)
            if outcome.status >= 600:
                self._stop()
        if not self.is_over and not self._is_starting and all(leg.is_over for leg in self._legs):
            self.start()

    def _note(self, status: int) -> None:
        self._own_status = min(status, self._own_status or status)

    def _conclude(self) -> None:
        self._exchange.forget(self)
        self.is_over = True
        self._legs = []
        answer = choose(self._answers, self._own_status)
        if isinstance(answer, Response):
            self._exchange.answer(self._request, self._server, answer)
        else:
            self._exchange.answer_status(self._request, self._server, answer)

    def _stop(self) -> None:
        self._groups = []
        self._exchange.forget(self)
        self._cancel_legs()

    def _cancel_legs(self) -> None:
        for leg in self._legs:
            leg.cancel()
