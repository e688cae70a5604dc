"""Server transactions: absorb repeated requests and repeat responses (RFC 3261 §17.2, 6026, 4320).

A server transaction is given the wheel, the timers, ``forget`` and the path of its responses; its
user calls `respond`. Its methods are the events of the figures in the class docstrings. They book
the next appointment before they send: a transaction ends even where sending raises.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from sipproxy.sip.response import make_response

if TYPE_CHECKING:
    from sipproxy.sip.message import Request, Response
    from sipproxy.transaction.parties import Flow, Path
    from sipproxy.transaction.timers import Timers
    from sipproxy.transaction.wheel import Wheel

TRYING, PROCEEDING, COMPLETED, CONFIRMED, ACCEPTED, TERMINATED = range(6)
_CHALLENGES = (401, 407)


class ServerTransaction:
    """What the two server machines share: who they are and how they send."""

    __slots__ = (
        "_forget",
        "_timers",
        "_wheel",
        "booked",
        "due",
        "flow",
        "key",
        "last",
        "merge_key",
        "path",
        "request",
        "state",
    )

    def __init__(
        self,
        key: Hashable,
        request: Request,
        flow: Flow,
        path: Path,
        timers: Timers,
        wheel: Wheel,
        forget: Callable[[ServerTransaction], None],
    ) -> None:
        self.key = key
        self.merge_key: bytes | None = None
        self.request: Request | None = request
        self.flow: Flow | None = flow
        self.path = path
        self.state = TRYING
        self.last: bytes | None = None
        self.due = self.booked = 0
        self._timers = timers
        self._wheel = wheel
        self._forget = forget

    @property
    def is_answered(self) -> bool:
        """Whether a final response was sent."""
        return self.state >= COMPLETED

    def repeated(self) -> None:
        """The request came again."""
        if self.last is not None:
            self.path.send(self.last)

    def respond(self, response: Response) -> None:
        """Send a response of the user's; one that comes after a final one is not sent."""
        raise NotImplementedError

    def refuse(self, response: Response) -> None:
        """Send a response of the user's that says no before anything was begun."""
        self.respond(response)

    def cancelled(self) -> None:
        """A CANCEL came; it does nothing to what is no INVITE (§9.2)."""

    def woken(self) -> None:
        """A timer fired."""
        raise NotImplementedError

    def _send(self, response: Response) -> None:
        self.last = response.encode()
        self.path.send(self.last)

    def _send_trying(self) -> None:
        if self.request is not None:
            self._send(make_response(self.request, 100, b""))

    def _terminate(self) -> None:
        """§17.2.2: once in Terminated, the transaction is destroyed immediately."""
        self.state = TERMINATED
        self._wheel.forget(self)
        self.request = self.flow = None
        self._forget(self)


class NonInviteServer(ServerTransaction):
    """The non-INVITE server transaction (RFC 3261 figure 8, with RFC 4320).

    ::

        Trying --1xx--> Proceeding --2xx-6xx--> Completed --Timer J--> Terminated
           '--------------2xx-6xx------------------^

    Only 100 is a provisional response here, and none is sent before a client's Timer E has reached
    T2; then one has to be (RFC 4320 §4.1). A request that is not answered within 64*T1 is given
    up in silence, for a 408 must not be sent (§4.2).
    """

    __slots__ = ()

    def start(self) -> None:
        """Begin to wait for an answer."""
        self._wheel.wake(self, self._timers.trying)

    def respond(self, response: Response) -> None:
        """Send a final response; provisional ones are the machine's own (RFC 4320 §4.1)."""
        if response.status < 200 or self.state >= COMPLETED:
            return
        self._send(response)
        if self.path.reliable:
            self._terminate()  # §17.2.2: Timer J is zero
            return
        self.state = COMPLETED
        self.request = self.flow = None
        self._wheel.wake(self, self._timers.linger)

    def refuse(self, response: Response) -> None:
        """Send a refusal; a challenge is not remembered (RFC 3261 §26.3.2.4, §8.2.7).

        The request that comes again is challenged again. Where it comes with credentials, under the
        branch of the first, as libpurple has it, it is served.
        """
        is_first = self.state < COMPLETED
        self.respond(response)
        if is_first and response.status in _CHALLENGES and self.state == COMPLETED:
            self._terminate()

    def woken(self) -> None:
        """The 100 is due, the request's time is over, or Timer J fired."""
        if self.state != TRYING:
            self._terminate()
            return
        self.state = PROCEEDING
        self._wheel.wake(self, self._timers.timeout - self._timers.trying)
        self._send_trying()


class InviteServer(ServerTransaction):
    """The INVITE server transaction (RFC 6026 figure 7).

    ::

        Proceeding --300-699--> Completed --ACK--> Confirmed --Timer I--> Terminated
           |                       '--Timer H-----------------------------^
           '--2xx--> Accepted --Timer L-----------------------------------^
    """

    __slots__ = ("_deadline", "_interval", "is_cancelled", "on_cancel")

    def start(self) -> None:
        """Begin to wait; 100 is due unless the user answers within 200 ms (§17.2.1)."""
        self.state = PROCEEDING
        self.is_cancelled = False
        self.on_cancel: Callable[[], None] | None = None
        self._interval = self._deadline = 0
        self._wheel.wake(self, max(1, self._timers.t1 // 5))

    def trying(self) -> None:
        """The user will not answer at once: send 100, if nothing was sent before."""
        if self.last is None:
            self._wheel.forget(self)
            self._send_trying()

    def refuse(self, response: Response) -> None:
        """Send a refusal once, and again only when the INVITE comes again (§8.2.7).

        Repeated until an ACK comes, it would be a weapon: whoever asked may have forged the source.
        The ACK is absorbed as any other. Once a 100 was sent the INVITE does not come again.
        """
        if self.last is not None:
            self.respond(response)
            return
        self.state = COMPLETED
        self.request = self.on_cancel = None
        self._wheel.wake(self, self._timers.linger)
        self._send(response)

    def cancelled(self) -> None:
        """A CANCEL came: it is the user's to end what has no final response yet (§9.2)."""
        if self.state == PROCEEDING:
            self.is_cancelled = True
            if self.on_cancel is not None:
                self.on_cancel()

    def repeated(self) -> None:
        """The INVITE came again: Accepted absorbs it (RFC 6026 §7.1), so does Confirmed."""
        if self.state in (PROCEEDING, COMPLETED):
            ServerTransaction.repeated(self)

    def respond(self, response: Response) -> None:
        """Send a response; in Accepted only further 2xx pass (RFC 6026 §7.1)."""
        if self.state == ACCEPTED:
            if 200 <= response.status < 300:
                self.path.send(response.encode())
        elif self.state == PROCEEDING:
            if response.status >= 300:
                self._complete()
            elif response.status >= 200:
                self.state, self.on_cancel = ACCEPTED, None
                self._wheel.wake(self, self._timers.linger)  # Timer L
            else:
                self._wheel.forget(self)  # it stands for the 100
            self._send(response)

    def _complete(self) -> None:
        self.state = COMPLETED
        self.request = self.on_cancel = None
        self._deadline = self._wheel.now + self._timers.timeout  # Timer H
        self._interval = self._timers.t1
        self._sleep()

    def _sleep(self) -> None:
        """Wait for Timer G, which unreliable transports alone have, or for Timer H."""
        left = self._deadline - self._wheel.now
        self._wheel.wake(self, left if self.path.reliable else min(self._interval, left))

    def acknowledged(self) -> bool:
        """An ACK came; True where it is the user's, in Accepted (RFC 6026 §7.1)."""
        if self.state == COMPLETED:
            if self.path.reliable:
                self._terminate()  # Timer I is zero
            else:
                self.state = CONFIRMED
                self._wheel.wake(self, self._timers.t4)
        return self.state == ACCEPTED

    def woken(self) -> None:
        """The 100 is due, or Timer G, H, I or L fired."""
        if self.state == PROCEEDING:
            self._send_trying()
        elif self.state == COMPLETED and self._wheel.now < self._deadline:
            self._interval = min(2 * self._interval, self._timers.t2)
            self._sleep()
            self.path.send(self.last or b"")
        else:
            self._terminate()
