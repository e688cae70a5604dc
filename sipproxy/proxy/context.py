"""The response context: the branches of one request, and the one answer that comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sipproxy.proxy.best import choose
from sipproxy.sip.message import Request, Response

if TYPE_CHECKING:
    from sipproxy.transaction.client import ClientTransaction
    from sipproxy.transaction.server import ServerTransaction
    from sipproxy.transaction.wheel import Sleeper


class Upstream(Protocol):
    """Who sends answers on."""

    def answer(self, request: Request, server: ServerTransaction, response: Response) -> None:
        """Send a response of a branch upstream."""

    def answer_status(self, request: Request, server: ServerTransaction, status: int) -> None:
        """Send a response of our own upstream."""

    def forget(self, sleeper: Sleeper) -> None:
        """Nobody needs to wake it any more."""


class ResponseContext:
    """What a stateful proxy knows of a non-INVITE request that it forwarded (RFC 3261 §16.7).

    The first 2xx goes upstream at once, else the best response when every branch has one. A branch
    that stays silent beyond the proxy's patience has failed: with ``silent_status``, for a 408
    must not be sent (RFC 4320 §4.2). It is over with the one final answer.
    """

    __slots__ = (
        "_clients",
        "_finals",
        "_own_status",
        "_pending",
        "_request",
        "_server",
        "_upstream",
        "booked",
        "due",
        "silent_status",
    )

    def __init__(
        self,
        upstream: Upstream,
        request: Request,
        server: ServerTransaction,
        branches: int,
        silent_status: int,
    ) -> None:
        self.silent_status = silent_status
        self.due = self.booked = 0
        self._upstream = upstream
        self._request: Request | None = request
        self._server: ServerTransaction | None = server
        self._pending = branches
        self._clients: tuple[ClientTransaction, ...] = ()
        self._finals: tuple[Response, ...] = ()
        self._own_status: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether the final answer has been sent."""
        return self._server is None

    is_leaving = False  # what is no INVITE is not cancelled

    def sent(self, client: ClientTransaction) -> None:
        """A branch was started."""
        if self._server is not None:
            self._clients += (client,)

    def answered(self, response: Response, client: ClientTransaction) -> None:
        """A branch has a response; provisional ones stay here (RFC 4320 §4.1)."""
        status = response.status
        if self._server is None or status < 200:
            return
        response.pop_value(b"via")
        if b"via" not in response.names:  # §16.7 step 3: it was meant for us alone
            self.branch_failed()
        elif status < 300:
            self._finish(response)
        elif status == 503:  # it speaks of that server, not of us (§16.7 step 6)
            self.branch_failed()
        elif status == 408:  # never sent on (RFC 4320 §4.2): as good as silence
            self._branch_ended(self.silent_status)
        elif status == 430:  # no endpoint knows of flows (RFC 5626 §11.5)
            self._branch_ended(480)
        else:
            self._finals += (response,)
            self._branch_ended()

    def timed_out(self, client: ClientTransaction) -> None:
        """Timer F fired in a branch."""
        self._branch_ended(self.silent_status)

    def failed(self, client: ClientTransaction) -> None:
        """A branch's request could not be delivered."""
        self.branch_failed()

    def branch_failed(self) -> None:
        """A branch is as good as one that answered 503, which goes upstream as 500 (§16.9)."""
        self._branch_ended(500)

    def woken(self) -> None:
        """Our patience is over: what is still silent has failed, and is not sent again."""
        if not self.is_over:
            clients = self._clients
            self._note(self.silent_status)
            self._conclude()
            for client in clients:
                client.abandon()

    def _note(self, status: int) -> None:
        self._own_status = min(status, self._own_status or status)

    def _branch_ended(self, own_status: int | None = None) -> None:
        if self.is_over:
            return
        if own_status is not None:
            self._note(own_status)
        self._pending -= 1
        if not self._pending:
            self._conclude()

    def _conclude(self) -> None:
        """Send the best of what branches answered and of what we say of the others (step 6)."""
        self._finish(choose(self._finals, self._own_status))

    def _finish(self, answer: Response | int) -> None:
        request, server = self._request, self._server
        self._request = self._server = None
        self._clients = self._finals = ()
        self._upstream.forget(self)
        if request is None or server is None:
            return
        if isinstance(answer, Response):
            self._upstream.answer(request, server, answer)
        else:
            self._upstream.answer_status(request, server, answer)
