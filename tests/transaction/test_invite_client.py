"""The INVITE client transaction (RFC 6026 figure 5, RFC 3261 §17.1.1)."""

from __future__ import annotations

from sipproxy.transaction.client import (
    ACCEPTED,
    CALLING,
    COMPLETED,
    PROCEEDING,
    TERMINATED,
    InviteClient,
    make_ack,
)
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows
from tests.transaction.fakes import (
    TIMEOUT,
    TIMERS,
    Bench,
    Entry,
    RecordingClient,
    RecordingFlow,
    doubling,
    each,
    parsed,
    request,
    response,
)

LINGER = TIMERS.linger
END = [(TIMEOUT, "forgotten"), (TIMEOUT, "timed out")]
# Timer A as §17.1.1.2 counts it: 500 ms, 1 s, 2 s, 4 s, 8 s, 16 s.
UNANSWERED = [0, 5, 15, 35, 75, 155, 315]


class InviteCase(TableCase):
    """An INVITE client transaction on a bench."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.request = request(b"INVITE", b"Route: <sip:p1;lr>,<sip:p2;lr>")

    def start(self, reliable: bool = False, is_open: bool = True) -> InviteClient:
        self.flow = RecordingFlow(self.bench, reliable)
        self.flow.is_open = is_open
        self.user = RecordingClient(self.bench)
        client = InviteClient(
            (b"z9hG4bK1", b"INVITE"),
            self.request.encode(),
            self.flow,
            self.user,
            TIMERS,
            self.bench.wheel,
            self.bench.forgotten,
        )
        client.invite(self.request)
        return client

    def run_script(self, reliable: bool, responses: list[tuple[int, int]]) -> list[Entry]:
        """Let responses come at their ticks, then run to the end, and return the log."""
        client = self.start(reliable)
        for tick, status in responses:
            self.bench.until(tick)
            client.received(response(self.request, status))
        self.bench.finish()
        self.state = client.state
        return self.bench.log


class InviteTests(InviteCase):
    """Each arrow of figure 5, to the tick."""

    def test_timer_a_by_hand(self) -> None:
        self.assertEqual(doubling("x", TIMEOUT), each("x", *UNANSWERED))

    @rfc(3261, "17.1.1.2", "Timer A doubles, unless by a stream; Timer B ends it at 64*T1")
    @rfc(3261, "17.1.1.2", "Completed lasts for Timer D; each repeated final gets the ACK again")
    @rfc(3261, "17.1.1.2", "in Proceeding nothing is sent again; each response goes to the user")
    @rfc(6026, "7.2", "Accepted gives each 2xx to the user and lasts for Timer M")
    @rows(
        {
            "A doubles without a limit, then B": (
                False,
                [],
                [*each("sent INVITE", *UNANSWERED), *END],
            ),
            "reliable: no A, B": (True, [], [(0, "sent INVITE"), *END]),
            "Calling, 300-699: ACK, D": (
                False,
                [(7, 486)],
                [
                    *each("sent INVITE", 0, 5),
                    (7, "sent ACK"),
                    (7, "answered 486"),
                    (7 + LINGER, "forgotten"),
                ],
            ),
            "reliable: D is zero": (
                True,
                [(7, 302)],
                [(0, "sent INVITE"), (7, "sent ACK"), (7, "forgotten"), (7, "answered 302")],
            ),
            "Calling, 2xx: no ACK, M": (
                False,
                [(7, 200)],
                [*each("sent INVITE", 0, 5), (7, "answered 200"), (7 + LINGER, "forgotten")],
            ),
            "reliable: M all the same": (
                True,
                [(7, 200)],
                [(0, "sent INVITE"), (7, "answered 200"), (7 + LINGER, "forgotten")],
            ),
            "Accepted: each 2xx to the user, nothing else": (
                False,
                [(0, 200), (10, 200), (20, 202), (30, 486), (40, 180)],
                [
                    (0, "sent INVITE"),
                    *[(0, "answered 200"), (10, "answered 200"), (20, "answered 202")],
                    (LINGER, "forgotten"),
                ],
            ),
            "Completed: ACK again for 300-699, nothing else": (
                False,
                [(0, 404), (10, 404), (20, 200), (30, 180), (40, 503)],
                [
                    *[(0, "sent INVITE"), (0, "sent ACK"), (0, "answered 404")],
                    *each("sent ACK", 10, 40),
                    (LINGER, "forgotten"),
                ],
            ),
            "Proceeding, 2xx": (
                False,
                [(7, 180), (200, 183), (400, 200)],
                [
                    *each("sent INVITE", 0, 5),
                    *[(7, "answered 180"), (200, "answered 183"), (400, "answered 200")],
                    (400 + LINGER, "forgotten"),
                ],
            ),
            "Proceeding, 300-699": (
                False,
                [(7, 100), (400, 603)],
                [
                    *each("sent INVITE", 0, 5),
                    *[(7, "answered 100"), (400, "sent ACK"), (400, "answered 603")],
                    (400 + LINGER, "forgotten"),
                ],
            ),
            "reliable: Proceeding, 300-699": (
                True,
                [(7, 100), (400, 603)],
                [
                    *[(0, "sent INVITE"), (7, "answered 100")],
                    *[(400, "sent ACK"), (400, "forgotten"), (400, "answered 603")],
                ],
            ),
        }
    )
    def test_figure_5(
        self, reliable: bool, responses: list[tuple[int, int]], log: list[Entry]
    ) -> None:
        self.assertEqual(self.run_script(reliable, responses), log)
        self.assertEqual(self.state, TERMINATED)
        self.assertEqual(self.flow.watchers, [])

    @rfc(3261, "17.1.1.2", "in Proceeding nothing is sent again; each response goes to the user")
    @rows({"reliable": True, "unreliable": False})
    def test_proceeding_has_no_timer(self, reliable: bool) -> None:
        """§17.1.1.2: neither A nor B in Proceeding; Timer C is its user's (§16.8)."""
        log = self.run_script(reliable, [(3, 180)])
        self.assertEqual(log, [(0, "sent INVITE"), (3, "answered 180")])
        self.assertEqual(self.state, PROCEEDING)

    @rows(
        {
            "Calling": (None, CALLING),
            "Proceeding": (199, PROCEEDING),
            "Accepted": (299, ACCEPTED),
            "Completed": (300, COMPLETED),
        }
    )
    def test_states(self, status: int | None, state: int) -> None:
        client = self.start()
        if status is not None:
            client.received(response(self.request, status))
        self.assertEqual(client.state, state)

    def test_user_hears_each_response_itself(self) -> None:
        client = self.start()
        first, second = (response(self.request, 200, tag) for tag in (b"1", b"2"))
        client.received(first)
        client.received(second)
        self.assertEqual(self.user.responses, [first, second])


@rfc(3261, "17.1.4", "a transport error ends the transaction, and its user is told")
class FailureTests(InviteCase):
    """RFC 3261 §17.1.4, RFC 6026 §7.2: the transport fails."""

    def test_connection_that_had_closed_before(self) -> None:
        """It is told once, and nothing is sent."""
        client = self.start(reliable=True, is_open=False)
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "forgotten"), (0, "failed")])
        self.assertEqual((client.state, self.flow.watchers), (TERMINATED, []))

    @rows({"in Calling": [], "in Proceeding": [180]})
    def test_connection_closed(self, statuses: list[int]) -> None:
        client = self.start(reliable=True)
        for status in statuses:
            client.received(response(self.request, status))
        self.bench.taken()
        self.flow.close()
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "forgotten"), (0, "failed")])
        self.assertEqual((client.state, self.flow.watchers), (TERMINATED, []))

    def test_accepted_goes_on(self) -> None:
        client = self.start(reliable=True)
        client.received(response(self.request, 200))
        self.assertEqual(self.flow.watchers, [])
        self.flow.close()
        self.bench.finish()
        self.assertEqual(self.bench.log[2:], [(LINGER, "forgotten")])

    @rows({"in Calling": [], "in Proceeding": [180]})
    def test_abandoned(self, statuses: list[int]) -> None:
        client = self.start()
        for status in statuses:
            client.received(response(self.request, status))
        self.bench.taken()
        client.abandon()
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "forgotten")])


class RaisingTests(InviteCase):
    """A flow that raises: the transaction ends when it would have."""

    def test_retransmissions(self) -> None:
        self.start()
        self.flow.fault = ZeroDivisionError()
        self.bench.finish()
        self.assertEqual(
            [entry for entry in self.bench.log if entry[1] != "sent INVITE"],
            [*each("raised", *UNANSWERED[1:]), *END],
        )

    @rows({"Calling": [], "Proceeding": [100]})
    def test_ack(self, statuses: list[int]) -> None:
        client = self.start()
        for status in statuses:
            client.received(response(self.request, status))
        self.flow.fault = ZeroDivisionError()
        self.assertRaises(ZeroDivisionError, client.received, response(self.request, 404))
        self.bench.finish()
        self.assertEqual(self.bench.log[-1], (LINGER, "forgotten"))

    def test_the_wheel_lets_go_in_proceeding(self) -> None:
        client = self.start()
        self.assertEqual(len(self.bench.wheel), 1)
        client.received(response(self.request, 100))
        self.assertEqual(len(self.bench.wheel), 0)


class AckTests(InviteCase):
    """RFC 3261 §17.1.1.3: the ACK to a final response that is no 2xx."""

    @rfc(3261, "17.1.1.2", "Completed lasts for Timer D; each repeated final gets the ACK again")
    def test_same_ack_each_time(self) -> None:
        client = self.start()
        for tag in (b"1", b"2"):
            client.received(response(self.request, 404, tag))
        _, first, second = self.flow.sent
        self.assertEqual(first, second)
        self.assertEqual(parsed(first).to.tag, b"1")

    @rfc(3261, "17.1.1.3", "the ACK to a non-2xx has To of the response, all else of the INVITE")
    def test_what_it_copies(self) -> None:
        self.request.push(b"Via", b"SIP/2.0/UDP us;branch=z9hG4bKus")
        self.request.append(b"Subject", b"x")
        ack = make_ack(self.request, response(self.request, 404, b"far"))
        self.assertEqual((ack.method, ack.raw_uri), (b"ACK", self.request.raw_uri))
        self.assertEqual(ack.values(b"via"), [b"SIP/2.0/UDP us;branch=z9hG4bKus"])
        self.assertEqual(ack.value(b"from"), self.request.value(b"from"))
        self.assertEqual(ack.to.tag, b"far")
        self.assertEqual(ack.call_id, self.request.call_id)
        self.assertEqual((ack.cseq.number, ack.cseq.method), (314159, b"ACK"))
        self.assertEqual(ack.values(b"route"), [b"<sip:p1;lr>", b"<sip:p2;lr>"])
        self.assertIsNone(ack.value(b"subject"))
        self.assertEqual(ack.body, b"")

    @rfc(3261, "17.1.1.3", "the ACK to a non-2xx has To of the response, all else of the INVITE")
    def test_single_via_of_several_on_a_line(self) -> None:
        """The ACK MUST contain a single Via, equal to the topmost of the request."""
        invite = request(b"INVITE", Via=b"SIP/2.0/UDP us;branch=z9hG4bKus, SIP/2.0/UDP them")
        ack = make_ack(invite, response(invite, 404))
        self.assertEqual(ack.values(b"via"), [b"SIP/2.0/UDP us;branch=z9hG4bKus"])
        self.assertEqual(parsed(ack.encode()).encode(), ack.encode())
