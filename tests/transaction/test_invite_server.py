"""The INVITE server transaction (RFC 6026 figure 7, RFC 3261 §17.2.1)."""

from __future__ import annotations

from sipproxy.transaction.server import (
    ACCEPTED,
    COMPLETED,
    CONFIRMED,
    PROCEEDING,
    TERMINATED,
    InviteServer,
)
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows
from tests.transaction.fakes import (
    TIMEOUT,
    TIMERS,
    Bench,
    Entry,
    RecordingFlow,
    RecordingPath,
    doubling,
    each,
    request,
    response,
)

LINGER, T2, T4 = TIMERS.linger, TIMERS.t2, TIMERS.t4
TRIED = (0, "sent 100")
AGAIN, ACK = 0, 1  # what else than a status may stand in a script
# Timer G as §17.2.1 counts it: 500 ms, 1 s, 2 s, 4 s, 4 s, 4 s...
UNACKNOWLEDGED = [0, 5, 15, 35, 75, 115, 155, 195, 235, 275, 315]


class InviteCase(TableCase):
    """An INVITE server transaction on a bench."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.request = request(b"INVITE")

    def start(self, reliable: bool = False, is_tried: bool = True) -> InviteServer:
        self.path = RecordingPath(self.bench, reliable)
        server = InviteServer(
            "key",
            self.request,
            RecordingFlow(self.bench, reliable, "never sent"),
            self.path,
            TIMERS,
            self.bench.wheel,
            self.bench.forgotten,
        )
        server.start()
        if is_tried:
            server.trying()
        return server

    def run_script(self, reliable: bool, events: list[tuple[int, int]]) -> list[Entry]:
        """Let the user respond, the INVITE come again and ACKs come; return the whole log."""
        server = self.start(reliable)
        for tick, event in events:
            self.bench.until(tick)
            if event == AGAIN:
                server.repeated()
            elif event == ACK:
                self.bench.note(f"ACK to the user: {server.acknowledged()}")
            else:
                server.respond(response(self.request, event))
        self.bench.finish()
        self.assertEqual((server.state, server.due), (TERMINATED, 0))
        self.assertIsNone(server.request)
        return self.bench.log


class InviteTests(InviteCase):
    """Each arrow of figure 7, to the tick."""

    def test_timer_g_by_hand(self) -> None:
        self.assertEqual(doubling("x", TIMEOUT, T2), each("x", *UNACKNOWLEDGED))

    @rfc(3261, "17.2.1", "a repeated INVITE is answered with the last provisional response")
    @rfc(3261, "17.2.1", "a non-2xx is sent again by Timer G until an ACK, or Timer H, comes")
    @rfc(3261, "17.2.1", "Confirmed absorbs ACKs for Timer I")
    @rfc(6026, "7.1", "Accepted sends each 2xx of the user, absorbs the INVITE, ends by Timer L")
    @rfc(6026, "7.1", "in Accepted an ACK goes to the user")
    @rows(
        {
            "Proceeding, 300-699, no ACK: G up to T2, then H": (
                False,
                [(7, 486)],
                [TRIED, *doubling("sent 486", 7 + TIMEOUT, T2, start=7)]
                + [(7 + TIMEOUT, "forgotten")],
            ),
            "reliable: no G, H": (
                True,
                [(7, 486)],
                [TRIED, (7, "sent 486"), (7 + TIMEOUT, "forgotten")],
            ),
            "Completed, ACK: I": (
                False,
                [(0, 404), (8, ACK)],
                [
                    *[TRIED, (0, "sent 404"), (5, "sent 404"), (8, "ACK to the user: False")],
                    (8 + T4, "forgotten"),
                ],
            ),
            "reliable: I is zero": (
                True,
                [(0, 404), (8, ACK)],
                [TRIED, (0, "sent 404"), (8, "forgotten"), (8, "ACK to the user: False")],
            ),
            "Completed repeats the final": (
                False,
                [(0, 404), (3, AGAIN), (8, ACK)],
                [
                    *[TRIED, (0, "sent 404"), (3, "sent 404"), (5, "sent 404")],
                    *[(8, "ACK to the user: False"), (8 + T4, "forgotten")],
                ],
            ),
            "Confirmed absorbs everything": (
                False,
                [(0, 404), (1, ACK), (2, ACK), (3, AGAIN), (4, 200), (5, 486)],
                [
                    *[TRIED, (0, "sent 404"), (1, "ACK to the user: False")],
                    *[(2, "ACK to the user: False"), (1 + T4, "forgotten")],
                ],
            ),
            "Proceeding repeats the last provisional": (
                False,
                [
                    (1, AGAIN),
                    (2, 180),
                    (3, AGAIN),
                    (900, 183),
                    (901, AGAIN),
                    (902, 486),
                    (903, ACK),
                ],
                [
                    *[TRIED, (1, "sent 100"), (2, "sent 180"), (3, "sent 180")],
                    *[(900, "sent 183"), (901, "sent 183"), (902, "sent 486")],
                    *[(903, "ACK to the user: False"), (903 + T4, "forgotten")],
                ],
            ),
            "Proceeding, 2xx: L": (
                False,
                [(7, 200)],
                [TRIED, (7, "sent 200"), (7 + LINGER, "forgotten")],
            ),
            "reliable: L all the same": (
                True,
                [(7, 200)],
                [TRIED, (7, "sent 200"), (7 + LINGER, "forgotten")],
            ),
            "Accepted absorbs the INVITE": (
                False,
                [(0, 200), (5, AGAIN), (15, AGAIN)],
                [TRIED, (0, "sent 200"), (LINGER, "forgotten")],
            ),
            "Accepted passes further 2xx and nothing else": (
                False,
                [(0, 200), (5, 200), (6, 202), (7, 486), (8, 180)],
                [
                    *[TRIED, (0, "sent 200"), (5, "sent 200"), (6, "sent 202")],
                    (LINGER, "forgotten"),
                ],
            ),
            "Accepted passes every ACK to the user": (
                False,
                [(0, 200), (5, ACK), (6, ACK)],
                [
                    *[TRIED, (0, "sent 200")],
                    *[(5, "ACK to the user: True"), (6, "ACK to the user: True")],
                    (LINGER, "forgotten"),
                ],
            ),
            "ACK before an answer is dropped": (
                False,
                [(1, ACK), (2, 486), (3, ACK)],
                [
                    *[TRIED, (1, "ACK to the user: False"), (2, "sent 486")],
                    *[(3, "ACK to the user: False"), (3 + T4, "forgotten")],
                ],
            ),
            "a second final is not sent": (
                False,
                [(0, 486), (1, 200), (2, 404), (3, ACK)],
                [TRIED, (0, "sent 486"), (3, "ACK to the user: False"), (3 + T4, "forgotten")],
            ),
        }
    )
    def test_figure_7(
        self, reliable: bool, events: list[tuple[int, int]], log: list[Entry]
    ) -> None:
        self.assertEqual(self.run_script(reliable, events), log)

    def test_proceeding_waits_for_its_user(self) -> None:
        """§17.2.1: nothing but the user ends Proceeding; a proxy has Timer C (§16.6 step 11)."""
        server = self.start()
        self.bench.finish()
        self.assertEqual((self.bench.log, server.state), ([TRIED], PROCEEDING))

    @rows({"299": (299, ACCEPTED), "300": (300, COMPLETED), "699": (699, COMPLETED)})
    def test_states(self, status: int, state: int) -> None:
        server = self.start()
        self.assertEqual((server.state, server.is_answered), (PROCEEDING, False))
        server.respond(response(self.request, status))
        self.assertEqual((server.state, server.is_answered), (state, True))

    def test_confirmed(self) -> None:
        server = self.start()
        server.respond(response(self.request, 404))
        server.acknowledged()
        self.assertEqual((server.state, server.is_answered), (CONFIRMED, True))

    def test_repetitions_are_the_same_octets(self) -> None:
        server = self.start()
        final = response(self.request, 404)
        server.respond(final)
        self.bench.finish()
        self.assertEqual(set(self.path.sent[1:]), {final.encode()})
        self.assertEqual(len(self.path.sent[1:]), len(UNACKNOWLEDGED))

    @rows(
        {
            "2xx: L": (200, [], LINGER),
            "300-699: G and H": (404, UNACKNOWLEDGED[1:], TIMEOUT),
        }
    )
    def test_a_path_that_raises(self, status: int, again: list[int], end: int) -> None:
        """Logged by whoever lets time pass; the transaction ends when it would have."""
        server = self.start()
        self.path.fault = ZeroDivisionError()
        self.assertRaises(ZeroDivisionError, server.respond, response(self.request, status))
        self.bench.finish()
        self.assertEqual(
            [entry for entry in self.bench.log if not entry[1].startswith("sent")],
            [*each("raised", *again), (end, "forgotten")],
        )


@rfc(3261, "17.2.1", "an INVITE is answered 100 within 200 ms, unless the user has answered")
class TryingTests(InviteCase):
    """§17.2.1: 100 within 200 ms, unless the user answers before."""

    @rows(
        {
            "nothing said": ([], [(1, "sent 100")]),
            "a final at once": ([486], [(0, "sent 486")]),
            "a provisional at once": ([180], [(0, "sent 180")]),
        }
    )
    def test_due(self, statuses: list[int], log: list[Entry]) -> None:
        server = self.start(is_tried=False)
        for status in statuses:
            server.respond(response(self.request, status))
        self.bench.until(4)
        self.assertEqual(self.bench.log, log)

    def test_not_twice(self) -> None:
        server = self.start()
        server.trying()
        self.bench.until(4)
        self.assertEqual(self.bench.log, [TRIED])


@rfc(3261, "8.2.7", "what is refused statelessly has the same tag each time, and leaves nothing")
class RefusalTests(InviteCase):
    """§8.2.7: a refusal is said once, and again when it is asked for."""

    @rows(
        {
            "by datagram": (False, False, [(0, "sent 407"), (LINGER, "forgotten")]),
            "by datagram, after a 100": (
                *(False, True),
                [TRIED, *doubling("sent 407", TIMEOUT, T2), (TIMEOUT, "forgotten")],
            ),
            "by stream": (True, False, [(0, "sent 407"), (LINGER, "forgotten")]),
        }
    )
    def test_refuse(self, reliable: bool, is_tried: bool, log: list[Entry]) -> None:
        server = self.start(reliable, is_tried)
        server.refuse(response(self.request, 407))
        self.bench.finish()
        self.assertEqual(self.bench.log, log)

    def test_asked_again(self) -> None:
        server = self.start(is_tried=False)
        server.refuse(response(self.request, 407))
        server.repeated()
        self.assertFalse(server.acknowledged())
        server.repeated()
        self.bench.finish()
        self.assertEqual(self.bench.log, [(0, "sent 407"), (0, "sent 407"), (T4, "forgotten")])

    def test_a_path_that_raises(self) -> None:
        server = self.start(is_tried=False)
        self.path.fault = ZeroDivisionError()
        self.assertRaises(ZeroDivisionError, server.refuse, response(self.request, 407))
        self.bench.finish()
        self.assertEqual(self.bench.log[-1], (LINGER, "forgotten"))


@rfc(3261, "9.2", "a CANCEL after the final response does nothing")
class CancelTests(InviteCase):
    """§9.2: a CANCEL is the user's as long as there is no final response."""

    @rows({"Proceeding": (None, True), "Accepted": (200, False), "Completed": (486, False)})
    def test_cancel(self, status: int | None, expected: bool) -> None:
        server = self.start()
        told: list[bool] = []
        server.on_cancel = lambda: told.append(True)
        if status is not None:
            server.respond(response(self.request, status))
        server.cancelled()
        self.assertEqual((server.is_cancelled, bool(told)), (expected, expected))

    def test_nobody_to_tell(self) -> None:
        server = self.start()
        server.cancelled()
        self.assertTrue(server.is_cancelled)
