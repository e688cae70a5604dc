"""Client transactions: send requests again and take their responses (RFC 3261 §17.1, 6026).

A client transaction is given the wheel, the timers, ``forget``, a flow and its user. Its methods
are the events of the figures in the class docstrings. Timers book the next
appointment before they send: a transaction ends even where sending raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sipproxy.sip.message import Request

if TYPE_CHECKING:
    from sipproxy.sip.message import Response
    from sipproxy.transaction.parties import ClientUser, Flow
    from sipproxy.transaction.timers import Timers
    from sipproxy.transaction.wheel import Wheel

TRYING, PROCEEDING, COMPLETED, ACCEPTED, TERMINATED = range(5)
CALLING = TRYING  # what figure 5 calls the first state


class ClientTransaction:
    """What the two client machines share."""

    __slots__ = (
        "_data",
        "_deadline",
        "_forget",
        "_interval",
        "_timers",
        "_user",
        "_wheel",
        "booked",
        "due",
        "flow",
        "key",
        "state",
    )

    def __init__(
        self,
        key: tuple[bytes, bytes],
        data: bytes,
        flow: Flow,
        user: ClientUser,
        timers: Timers,
        wheel: Wheel,
        forget: Callable[[ClientTransaction], None],
    ) -> None:
        self.key = key
        self.flow = flow
        self.state = TRYING
        self.due = self.booked = 0
        self._data = data
        self._user = user
        self._timers = timers
        self._wheel = wheel
        self._forget = forget
        self._interval = timers.t1
        self._deadline = wheel.now + timers.timeout  # Timer B or F

    def start(self) -> None:
        """Send the request for the first time."""
        if self.flow.reliable:
            self.flow.watch(self.failed)
            if self.state == TERMINATED:  # the flow had ended before
                return
        self._sleep()
        self.flow.send(self._data)

    def received(self, response: Response) -> None:
        """A response came that matches."""
        raise NotImplementedError

    def woken(self) -> None:
        """A timer fired."""
        raise NotImplementedError

    def failed(self) -> None:
        """The transport could not deliver (§17.1.4); later than a final response it is no news."""
        if self.state < COMPLETED:
            self._terminate()
            self._user.failed(self)

    def abandon(self) -> None:
        """The user has given up: nothing is sent any more, and nothing reported."""
        if self.state < COMPLETED:
            self._terminate()

    def _sleep(self) -> None:
        """Wait for the next retransmission, which unreliable transports alone have, or the end."""
        wheel = self._wheel
        ticks = self._deadline - wheel.now
        if not self.flow.reliable and self._interval < ticks:
            ticks = self._interval
        wheel.wake(self, ticks)

    def _time_out(self) -> None:
        self._terminate()
        self._user.timed_out(self)

    def _linger(self, state: int, ticks: int) -> None:
        self.state = state
        if self.flow.reliable:
            self.flow.unwatch(self.failed)
        if ticks:
            self._wheel.wake(self, ticks)
        else:
            self._terminate()

    def _terminate(self) -> None:
        if self.flow.reliable and self.state < COMPLETED:
            self.flow.unwatch(self.failed)
        self.state = TERMINATED
        self._wheel.forget(self)
        self._data = b""
        self._forget(self)


class NonInviteClient(ClientTransaction):
    """The non-INVITE client transaction (RFC 3261 figure 6).

    ::

        Trying --1xx--> Proceeding --200-699--> Completed --Timer K--> Terminated
           |--Timer F, error--'----------------------------------------^
           '--------------200-699-----------------^
    """

    __slots__ = ()

    def received(self, response: Response) -> None:
        """Pass on what is new; Completed absorbs repeated finals."""
        if self.state >= COMPLETED:
            return
        if response.status < 200:
            self.state = PROCEEDING
        else:
            self._data = b""
            # §17.1.2.2: Timer K is T4 for unreliable transports and zero for reliable ones.
            self._linger(COMPLETED, 0 if self.flow.reliable else self._timers.t4)
        self._user.answered(response, self)

    def woken(self) -> None:
        """Timer E, F or K fired."""
        if self.state == COMPLETED:
            self._terminate()
        elif self._wheel.now >= self._deadline:
            self._time_out()
        else:
            doubled = min(2 * self._interval, self._timers.t2)
            self._interval = self._timers.t2 if self.state == PROCEEDING else doubled
            self._sleep()
            self.flow.send(self._data)


class InviteClient(ClientTransaction):
    """The INVITE client transaction (RFC 6026 figure 5).

    ::

        Calling --1xx--> Proceeding --300-699--> Completed --Timer D--> Terminated
           |                 '--2xx--> Accepted --Timer M---------------^
           '--Timer B, error--------------------------------------------^

    Whoever sends the INVITE limits Proceeding (Timer C, RFC 3261 §16.8).
    """

    __slots__ = ("_ack", "request")

    def invite(self, request: Request) -> None:
        """Send the INVITE; it is kept to build CANCEL and the ACK to a non-2xx from."""
        self.request = request
        self._ack = b""
        self.start()

    def received(self, response: Response) -> None:
        """Pass on provisional responses, one non-2xx final with its ACK, and every 2xx."""
        if self.state == COMPLETED:
            if response.status >= 300:
                self.flow.send(self._ack)
            return
        if self.state == ACCEPTED:
            if 200 <= response.status < 300:
                self._user.answered(response, self)
            return
        if response.status < 200:
            self.state = PROCEEDING
            self._wheel.forget(self)  # neither Timer A nor Timer B runs on
        elif response.status < 300:
            self._linger(ACCEPTED, self._timers.linger)  # Timer M, for all transports
        else:
            self._ack = make_ack(self.request, response).encode()
            try:
                self.flow.send(self._ack)
            finally:
                # §17.1.1.2: Timer D is at least 32 s for unreliable transports, zero for others.
                self._linger(COMPLETED, 0 if self.flow.reliable else self._timers.linger)
        self._user.answered(response, self)

    def woken(self) -> None:
        """Timer A, B, D or M fired."""
        if self.state != CALLING:
            self._terminate()
        elif self._wheel.now >= self._deadline:
            self._time_out()
        else:
            self._interval *= 2  # §17.1.1.2: Timer A doubles without a limit
            self._sleep()
            self.flow.send(self._data)


def make_cancel(request: Request) -> Request:
    """Make the CANCEL of a request that was sent (RFC 3261 §9.1)."""
    return Request.build(
        b"CANCEL",
        request.raw_uri,
        [
            *_of_hop(request),
            (b"To", request.value(b"to") or b""),
            (b"Call-ID", request.call_id),
            (b"CSeq", b"%d CANCEL" % request.cseq.number),
            *((b"Route", value) for value in request.values(b"route")),
        ],
    )


def make_ack(request: Request, response: Response) -> Request:
    """Make the ACK to a final response that is no 2xx (RFC 3261 §17.1.1.3)."""
    headers = [
        *_of_hop(request),
        (b"To", response.value(b"to") or b""),
        (b"Call-ID", request.call_id),
        (b"CSeq", b"%d ACK" % request.cseq.number),
        *((b"Route", value) for value in request.values(b"route")),
    ]
    return Request.build(b"ACK", request.raw_uri, headers)


def _of_hop(request: Request) -> list[tuple[bytes, bytes]]:
    """Return what the companions of a request on one hop take over from it."""
    return [
        (b"Via", request.first_value(b"via")),
        (b"Max-Forwards", b"70"),
        (b"From", request.value(b"from") or b""),
    ]
