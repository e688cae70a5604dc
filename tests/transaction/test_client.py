"""The non-INVITE client transaction (RFC 3261 §17.1.2, figure 6)."""

from __future__ import annotations

from sipproxy.transaction.client import (
    COMPLETED,
    PROCEEDING,
    TERMINATED,
    TRYING,
    ClientTransaction,
    NonInviteClient,
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
    request,
    response,
)

T1, T2, T4 = TIMERS.t1, TIMERS.t2, TIMERS.t4
END = [(TIMEOUT, "forgotten"), (TIMEOUT, "timed out")]
# Timer E as §17.1.2.2 counts it: 500 ms, 1 s, 2 s, 4 s, 4 s, 4 s...
UNANSWERED = [0, 5, 15, 35, 75, 115, 155, 195, 235, 275, 315]


class NonInviteCase(TableCase):
    """A non-INVITE client transaction on a bench."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.request = request(b"MESSAGE")

    def start(self, reliable: bool = False, is_open: bool = True) -> NonInviteClient:
        self.flow = RecordingFlow(self.bench, reliable)
        self.flow.is_open = is_open
        client = NonInviteClient(
            (b"z9hG4bK1", b"MESSAGE"),
            self.request.encode(),
            self.flow,
            RecordingClient(self.bench),
            TIMERS,
            self.bench.wheel,
            self.bench.forgotten,
        )
        client.start()
        return client

    def run_script(self, reliable: bool, responses: list[tuple[int, int]]) -> list[Entry]:
        """Let responses come at their ticks, then run to the end, and return the log."""
        client = self.start(reliable)
        for tick, status in responses:
            self.bench.until(tick)
            client.received(response(self.request, status))
        self.bench.finish()
        self.assertEqual((client.state, client.due), (TERMINATED, 0))
        self.assertEqual(self.flow.watchers, [])
        return self.bench.log


class NonInviteTests(NonInviteCase):
    """Each arrow of figure 6, to the tick."""

    def test_timer_e_by_hand(self) -> None:
        """The helper that the tables use counts as §17.1.2.2 does."""
        self.assertEqual(doubling("x", TIMEOUT, T2), each("x", *UNANSWERED))

    @rfc(3261, "17.1.2.2", "Timer E doubles up to T2, unless by a stream; Timer F ends it")
    @rfc(3261, "17.1.2.2", "Completed absorbs repeated finals for Timer K, none by a stream")
    @rows(
        {
            "E doubles up to T2, then F": (False, [], [*each("sent MESSAGE", *UNANSWERED), *END]),
            "reliable: no E, F": (True, [], [(0, "sent MESSAGE"), *END]),
            "Trying, final: K": (
                False,
                [(7, 200)],
                [*each("sent MESSAGE", 0, 5), (7, "answered 200"), (7 + T4, "forgotten")],
            ),
            "Trying, final at once": (
                False,
                [(0, 404)],
                [(0, "sent MESSAGE"), (0, "answered 404"), (T4, "forgotten")],
            ),
            "reliable: K is zero": (
                True,
                [(7, 200)],
                [(0, "sent MESSAGE"), (7, "forgotten"), (7, "answered 200")],
            ),
            "Completed absorbs": (
                False,
                [(7, 603), (8, 603), (9, 200), (10, 100)],
                [*each("sent MESSAGE", 0, 5), (7, "answered 603"), (7 + T4, "forgotten")],
            ),
            "Proceeding: E runs on once, then is T2": (
                False,
                [(7, 100)],
                [
                    *each("sent MESSAGE", 0, 5),
                    (7, "answered 100"),
                    *each("sent MESSAGE", *range(15, TIMEOUT, T2)),
                    *END,
                ],
            ),
            "reliable: Proceeding, F": (
                True,
                [(7, 183)],
                [(0, "sent MESSAGE"), (7, "answered 183"), *END],
            ),
            "Proceeding, provisional, final": (
                False,
                [(7, 100), (20, 182), (30, 500)],
                [
                    *each("sent MESSAGE", 0, 5),
                    (7, "answered 100"),
                    (15, "sent MESSAGE"),
                    (20, "answered 182"),
                    (30, "answered 500"),
                    (30 + T4, "forgotten"),
                ],
            ),
            "final in the tick of a retransmission": (
                False,
                [(5, 200)],
                [(0, "sent MESSAGE"), (5, "answered 200"), (5 + T4, "forgotten")],
            ),
            "final in the last tick": (
                False,
                [(TIMEOUT, 200)],
                [
                    *each("sent MESSAGE", *UNANSWERED),
                    (TIMEOUT, "answered 200"),
                    (TIMEOUT + T4, "forgotten"),
                ],
            ),
        }
    )
    def test_figure_6(
        self, reliable: bool, responses: list[tuple[int, int]], log: list[Entry]
    ) -> None:
        self.assertEqual(self.run_script(reliable, responses), log)

    @rows(
        {"Trying": (None, TRYING), "Proceeding": (100, PROCEEDING), "Completed": (200, COMPLETED)}
    )
    def test_states(self, status: int | None, state: int) -> None:
        client = self.start()
        if status is not None:
            client.received(response(self.request, status))
        self.assertEqual(client.state, state)

    @rfc(3261, "17.1.2.2", "Completed absorbs repeated finals for Timer K, none by a stream")
    def test_every_final_status_completes(self) -> None:
        """§17.1.2.2: 200 to 699."""
        for status in (200, 299, 300, 407, 503, 699):
            client = self.start()
            client.received(response(self.request, status))
            self.assertEqual(client.state, COMPLETED, status)

    def test_retransmissions_are_the_same_octets(self) -> None:
        self.start()
        self.bench.finish()
        self.assertEqual(set(self.flow.sent), {self.request.encode()})


@rfc(3261, "17.1.4", "a transport error ends the transaction, and its user is told")
class FailureTests(NonInviteCase):
    """§17.1.4: transport errors, over both kinds of transport."""

    def test_connection_that_had_closed_before(self) -> None:
        """It is told once, and nothing is sent."""
        client = self.start(reliable=True, is_open=False)
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "forgotten"), (0, "failed")])
        self.assertEqual((client.state, self.flow.watchers), (TERMINATED, []))

    @rows({"in Trying": [], "in Proceeding": [100]})
    def test_connection_closed(self, statuses: list[int]) -> None:
        client = self.start(reliable=True)
        for status in statuses:
            client.received(response(self.request, status))
        self.bench.taken()
        self.flow.close()
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "forgotten"), (0, "failed")])
        self.assertEqual(client.state, TERMINATED)

    def test_undeliverable(self) -> None:
        client = self.start()
        self.bench.until(3)
        client.failed()
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "sent MESSAGE"), (3, "forgotten"), (3, "failed")])

    def test_after_a_final_response_it_is_no_news(self) -> None:
        client = self.start()
        client.received(response(self.request, 200))
        client.failed()
        self.bench.finish()
        self.assertEqual(self.bench.log[2:], [(T4, "forgotten")])

    def test_once(self) -> None:
        client = self.start()
        client.failed()
        client.failed()
        self.assertEqual(self.bench.log[1:], [(0, "forgotten"), (0, "failed")])

    @rows({"reliable": True, "unreliable": False})
    def test_abandoned(self, reliable: bool) -> None:
        """Nothing is sent any more, nothing reported, nobody watched."""
        client = self.start(reliable)
        client.abandon()
        client.abandon()
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "sent MESSAGE"), (0, "forgotten")])
        self.assertEqual(self.flow.watchers, [])

    def test_abandoned_after_a_final_response(self) -> None:
        client = self.start()
        client.received(response(self.request, 200))
        client.abandon()
        self.assertEqual(client.state, COMPLETED)

    def test_a_flow_that_raises(self) -> None:
        """Logged each time; the transaction ends when it would have."""
        client = self.start()
        self.flow.fault = ZeroDivisionError()
        self.bench.finish()
        self.assertEqual(
            [entry for entry in self.bench.log if entry[1] != "sent MESSAGE"],
            [*each("raised", *UNANSWERED[1:]), *END],
        )
        self.assertEqual(client.state, TERMINATED)

    @rows({"answered": 200, "abandoned": None})
    def test_the_wheel_lets_go_at_once(self, status: int | None) -> None:
        client = self.start(reliable=True)
        self.assertEqual(len(self.bench.wheel), 1)
        if status is None:
            client.abandon()
        else:
            client.received(response(self.request, status))
        self.assertEqual(len(self.bench.wheel), 0)

    def test_machines_leave_nothing_to_their_common_part(self) -> None:
        """What both machines must define is not defined for them."""
        client = self.start()
        self.assertRaises(NotImplementedError, ClientTransaction.woken, client)
        message = response(self.request, 200)
        self.assertRaises(NotImplementedError, ClientTransaction.received, client, message)
