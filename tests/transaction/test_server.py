"""The non-INVITE server transaction (RFC 3261 §17.2.2, figure 8, RFC 4320)."""

from __future__ import annotations

from sipproxy.transaction.server import (
    COMPLETED,
    PROCEEDING,
    TERMINATED,
    TRYING,
    NonInviteServer,
    ServerTransaction,
)
from sipproxy.transaction.timers import Timers
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows
from tests.transaction.fakes import (
    TIMEOUT,
    TIMERS,
    Bench,
    Entry,
    RecordingFlow,
    RecordingPath,
    request,
    response,
)

LINGER = TIMERS.linger
TRYING_AT = 5 + 10 + 20  # when a client's Timer E has reached T2 (RFC 4320 §4.1)
GIVEN_UP = [(TRYING_AT, "sent 100"), (TIMEOUT, "forgotten")]
AGAIN = 0  # stands for a repeated request in a script


class NonInviteCase(TableCase):
    """A non-INVITE server transaction on a bench."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.request = request(b"MESSAGE")

    def start(self, reliable: bool = False, timers: Timers = TIMERS) -> NonInviteServer:
        self.flow = RecordingFlow(self.bench, reliable, "never sent")
        self.path = RecordingPath(self.bench, reliable)
        server = NonInviteServer(
            "key",
            self.request,
            self.flow,
            self.path,
            timers,
            self.bench.wheel,
            self.bench.forgotten,
        )
        server.start()
        return server

    def run_script(self, reliable: bool, events: list[tuple[int, int]]) -> list[Entry]:
        """Let the user respond and the request come again, run to the end, return the log."""
        server = self.start(reliable)
        for tick, status in events:
            self.bench.until(tick)
            if status == AGAIN:
                server.repeated()
            else:
                server.respond(response(self.request, status))
        self.bench.finish()
        self.assertEqual((server.state, server.due), (TERMINATED, 0))
        self.assertIsNone(server.request)
        self.assertIsNone(server.flow)
        return self.bench.log


class NonInviteTests(NonInviteCase):
    """Each arrow of figure 8, to the tick."""

    @rfc(3261, "17.2.2", "a repeated request is answered with the last response")
    @rfc(3261, "17.2.2", "Completed lasts for Timer J, over reliable transports not at all")
    @rows(
        {
            "no answer: 100 when E has reached T2, then silence": (False, [], GIVEN_UP),
            "reliable: the same": (True, [], GIVEN_UP),
            "Trying absorbs repetitions": (False, [(1, AGAIN), (34, AGAIN)], GIVEN_UP),
            "Trying, final: J": (
                False,
                [(7, 200)],
                [(7, "sent 200"), (7 + LINGER, "forgotten")],
            ),
            "Trying, final at once": (
                False,
                [(0, 603)],
                [(0, "sent 603"), (LINGER, "forgotten")],
            ),
            "reliable: J is zero": (True, [(7, 200)], [(7, "sent 200"), (7, "forgotten")]),
            "Proceeding repeats the 100": (
                False,
                [(40, AGAIN), (50, AGAIN)],
                [
                    *[(TRYING_AT, "sent 100"), (40, "sent 100"), (50, "sent 100")],
                    (TIMEOUT, "forgotten"),
                ],
            ),
            "Proceeding, final: J": (
                False,
                [(100, 404)],
                [(TRYING_AT, "sent 100"), (100, "sent 404"), (100 + LINGER, "forgotten")],
            ),
            "reliable: Proceeding, final": (
                True,
                [(100, 404)],
                [(TRYING_AT, "sent 100"), (100, "sent 404"), (100, "forgotten")],
            ),
            "Completed repeats the final": (
                False,
                [(0, 200), (5, AGAIN), (399, AGAIN)],
                [(0, "sent 200"), (5, "sent 200"), (399, "sent 200"), (LINGER, "forgotten")],
            ),
            "a second final is not sent": (
                False,
                [(0, 200), (5, 404), (6, AGAIN)],
                [(0, "sent 200"), (6, "sent 200"), (LINGER, "forgotten")],
            ),
            "final in the tick of the 100": (
                False,
                [(TRYING_AT, 200)],
                [(TRYING_AT, "sent 200"), (TRYING_AT + LINGER, "forgotten")],
            ),
            "final in the last tick": (
                False,
                [(TIMEOUT, 200)],
                [*GIVEN_UP[:1], (TIMEOUT, "sent 200"), (TIMEOUT + LINGER, "forgotten")],
            ),
            "final too late is not sent": (False, [(TIMEOUT + 1, 200)], GIVEN_UP),
            "RFC 4320 4.1: no provisional response of the user's": (
                False,
                [(1, 100), (2, 180), (50, 100), (60, 199)],
                GIVEN_UP,
            ),
        }
    )
    def test_figure_8(
        self, reliable: bool, events: list[tuple[int, int]], log: list[Entry]
    ) -> None:
        self.assertEqual(self.run_script(reliable, events), log)

    @rfc(
        3261, "26.3.2.4", "a challenge is sent once for each request that comes, and not remembered"
    )
    @rows(
        {
            "401": (401, [(0, "sent 401"), (0, "forgotten")]),
            "407": (407, [(0, "sent 407"), (0, "forgotten")]),
            "another refusal": (403, [(0, "sent 403"), (LINGER, "forgotten")]),
        }
    )
    def test_refusals(self, status: int, log: list[Entry]) -> None:
        """Of us; a challenge that somebody else has sent is a response like any other."""
        server = self.start()
        server.refuse(response(self.request, status))
        self.bench.finish()
        self.assertEqual((self.bench.log, server.due), (log, 0))

    def test_a_challenge_that_comes_too_late(self) -> None:
        server = self.start()
        server.respond(response(self.request, 200))
        server.refuse(response(self.request, 407))
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "sent 200"), (LINGER, "forgotten")])

    @rfc(4320, "4.2", "a 408 is never sent to what is no INVITE")
    @rows({"reliable": True, "unreliable": False})
    def test_never_a_408(self, reliable: bool) -> None:
        """RFC 4320 §4.2: an element that cannot respond in time sends no final response."""
        self.run_script(reliable, [])
        self.assertEqual([parsed_status(data) for data in self.path.sent], [100])

    @rfc(4320, "4.1", "a 100 is sent when the client's Timer E reaches T2, and not before")
    @rows(
        {
            "defaults": (Timers(5, 40, 50, 400), 35),
            "another T1": (Timers(10, 40, 50, 400), 30),
            "T1 is T2": (Timers(5, 5, 5, 400), 1),
        }
    )
    def test_100_when_timer_e_reaches_t2(self, timers: Timers, tick: int) -> None:
        """RFC 4320 §4.1: not before, and not later."""
        self.start(timers=timers)
        self.bench.until(tick)
        self.assertEqual(self.bench.log, [])
        self.bench.until(tick + 1)
        self.assertEqual(self.bench.log, [(tick, "sent 100")])

    @rfc(3261, "8.2.6.1", "a 100 copies Timestamp")
    def test_100_has_no_tag_and_copies_the_timestamp(self) -> None:
        """RFC 3261 §8.2.6.1, §8.2.6.2."""
        self.request.append(b"Timestamp", b"54")
        self.start()
        self.bench.until(TRYING_AT + 1)
        (data,) = self.path.sent
        self.assertIn(b"\r\nTo: Bob <sip:bob@biloxi.com>\r\n", data)
        self.assertIn(b"\r\nTimestamp: 54\r\n", data)

    def test_states(self) -> None:
        server = self.start()
        self.assertEqual((server.state, server.is_answered), (TRYING, False))
        self.bench.until(TRYING_AT + 1)
        self.assertEqual((server.state, server.is_answered), (PROCEEDING, False))
        server.respond(response(self.request, 200))
        self.assertEqual((server.state, server.is_answered), (COMPLETED, True))

    def test_a_path_that_raises(self) -> None:
        """Logged; the transaction ends when it would have."""
        self.start()
        self.path.fault = ZeroDivisionError()
        self.bench.finish()
        self.assertEqual(self.bench.log, [GIVEN_UP[0], (TRYING_AT, "raised"), GIVEN_UP[1]])

    def test_the_wheel_lets_go_at_once(self) -> None:
        server = self.start(reliable=True)
        self.assertEqual(len(self.bench.wheel), 1)
        server.respond(response(self.request, 200))
        self.assertEqual(len(self.bench.wheel), 0)

    def test_completed_keeps_the_response_alone(self) -> None:
        """What lingers is the last response and where it goes."""
        server = self.start()
        final = response(self.request, 200)
        server.respond(final)
        self.assertEqual((server.request, server.flow), (None, None))
        self.assertEqual((server.last, server.path), (final.encode(), self.path))

    def test_machines_leave_nothing_to_their_common_part(self) -> None:
        """What both machines must define is not defined for them."""
        server = self.start()
        self.assertRaises(NotImplementedError, ServerTransaction.woken, server)
        message = response(self.request, 200)
        self.assertRaises(NotImplementedError, ServerTransaction.respond, server, message)

    def test_nothing_to_send_once_the_request_is_gone(self) -> None:
        server = self.start()
        server.request = None
        self.bench.until(TRYING_AT + 1)
        self.assertEqual((self.bench.log, server.last), ([], None))


def parsed_status(data: bytes) -> int:
    """Return the status of an encoded response."""
    return int(data.split(b" ")[1])
