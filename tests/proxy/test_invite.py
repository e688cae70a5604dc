"""The response context of an INVITE, by itself (RFC 3261 §16.7, §16.8, §16.10, §9.1)."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sipproxy.interfaces import Target
from sipproxy.proxy.invite import CALLING, CANCELLED, ENDED, LEAVING, RINGING, InviteContext, Leg
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from tests.proxy.fakes import request
from tests.rfc import rfc
from tests.sip.strategies import examples
from tests.sip.tables import TableCase, rows

OURS = (b"Via", b"SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-ours")


class Client:
    """A client transaction that can be given up."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.is_abandoned = False

    def abandon(self) -> None:
        """Note it."""
        self.is_abandoned = True


class Exchange:
    """Notes what an INVITE asks of the proxy; a target named ``dead`` cannot be sent to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.legs: list[Leg] = []
        self.clients: dict[int, Client] = {}
        self.waking: set[Any] = set()

    def call(self, targets: Sequence[Target], legs: Sequence[Leg]) -> None:
        """Send to each target, as far as there is a flow."""
        first = len(self.legs)
        self.legs += legs
        for place, (target, leg) in enumerate(zip(targets, legs, strict=True), first):
            self.log.append(f"call {target.uri.decode()}")
            if target.uri == b"refused":
                raise SipError(440)
            if target.uri == b"dead":
                leg.branch_failed()
            elif target.uri != b"connecting":
                self.clients[place] = Client(place)
                leg.sent(self.clients[place])  # type: ignore[arg-type]

    def cancel(self, client: Any, user: Any) -> None:
        """Note a CANCEL."""
        self.log.append(f"cancel {client.name}")

    def failed(self, error: Exception) -> int:
        """Return the status of an error."""
        assert isinstance(error, SipError)
        return error.status

    def ring(self, sleeper: Any) -> None:
        """Note Timer C."""
        self.waking.add(sleeper)

    next_group = leave = ring

    def answer(self, request: Request, server: Any, response: Response) -> None:
        """Note a response of a branch."""
        self.log.append(f"answer {response.status}")

    def answer_status(self, request: Request, server: Any, status: int) -> None:
        """Note a response of our own."""
        self.log.append(f"own {status}")

    def forget(self, sleeper: Any) -> None:
        """Drop an appointment."""
        self.waking.discard(sleeper)


class InviteCase(TableCase):
    """A context, its groups of targets by name."""

    def start(self, *groups: Sequence[str]) -> InviteContext:
        self.exchange = Exchange()
        self.request = request(method="INVITE")
        targets = [[Target(name.encode()) for name in group] for group in groups]
        context = InviteContext(self.exchange, self.request, object(), targets)  # type: ignore[arg-type]
        context.start()
        return context

    def come(self, leg: int, status: int, alone: bool = False) -> None:
        """Let a response come to a leg; ``alone``: our Via is the only one."""
        copy = self.request.copy()
        if alone:
            copy.remove(b"via")
        copy.insert(0, *OURS)
        response = parse_datagram(make_response(copy, status, b"t").encode())
        assert isinstance(response, Response)
        client: Any = self.exchange.clients.get(leg)
        self.exchange.legs[leg].answered(response, client)

    def said(self) -> list[str]:
        """Return what went up or down since this was asked last."""
        log, self.exchange.log = self.exchange.log, []
        return log


class LegTests(InviteCase):
    """One branch."""

    @rfc(3261, "9.1", "a CANCEL waits for a provisional response")
    def test_states(self) -> None:
        context = self.start(["a"])
        leg = self.exchange.legs[0]
        self.assertEqual(leg.state, CALLING)
        context.cancel()
        self.assertEqual(leg.state, LEAVING)
        self.come(0, 100)
        self.assertEqual(leg.state, CANCELLED)
        self.come(0, 487)
        self.assertEqual((leg.state, self.exchange.waking), (ENDED, set()))
        self.assertEqual(self.said(), ["call a", "cancel 0", "answer 487"])

    @rfc(3261, "16.7 step 2", "a 101 to 199 begins Timer C again, a 100 does not")
    def test_timer_c_is_reset_by_101_to_199(self) -> None:
        """§16.7 step 2."""
        self.start(["a"])
        for status, again in ((100, False), (180, True), (199, True)):
            self.exchange.waking.clear()
            self.come(0, status)
            self.assertEqual(bool(self.exchange.waking), again, status)
        self.assertEqual(self.exchange.legs[0].state, RINGING)

    @rfc(3261, "16.8", "when Timer C fires a branch that has said something is cancelled")
    @rfc(3261, "16.8", "when Timer C fires a branch that has said nothing is as good as a 408")
    @rfc(3261, "9.1", "a branch that has not ended 64*T1 after its CANCEL is given up")
    @rows(
        {
            "before a provisional: as good as 408": ([], ["own 408"], True),
            "ringing: CANCEL": ([180], ["answer 180", "cancel 0"], False),
            "cancelled, and still silent": (
                [180, "wake"],
                ["answer 180", "cancel 0", "own 408"],
                True,
            ),
        }
    )
    def test_timer_c_fires(self, events: list[Any], said: list[str], given_up: bool) -> None:
        """§16.8, §9.1."""
        self.start(["a"])
        for event in [*events, "wake"]:
            if event == "wake":
                self.exchange.legs[0].woken()
            else:
                self.come(0, event)
        self.assertEqual(self.said()[1:], said)
        self.assertEqual(self.exchange.clients[0].is_abandoned, given_up)

    def test_a_branch_that_connects_is_not_sent_once_cancelled(self) -> None:
        context = self.start(["connecting"])
        context.cancel()
        self.assertTrue(self.exchange.legs[0].is_over)
        self.assertEqual(self.said(), ["call connecting", "own 487"])

    @rfc(3261, "16.7 step 3", "a response without another Via is not forwarded")
    def test_response_for_us_alone(self) -> None:
        """§16.7 step 3: nobody else is to see it."""
        self.start(["a"])
        self.come(0, 180, alone=True)
        self.come(0, 486, alone=True)
        self.assertEqual(self.said(), ["call a", "own 500"])


class ContextTests(InviteCase):
    """Several of them."""

    @rfc(3261, "16.7 step 5", "a 6xx waits for the branches that are left, and no new one begins")
    @rfc(3261, "16.7 step 5", "any further 2xx to an INVITE is forwarded immediately")
    @rfc(3261, "16.7 step 6", "a lone 503 goes upstream as 500")
    @rfc(3261, "16.7 step 6", "the best is a 6xx, else of the lowest class, 401 and the like first")
    @rfc(3261, "16.9", "a request that cannot be delivered is as good as one that was answered 503")
    @rows(
        {
            "all dead": ([["dead", "dead"], ["dead"]], [], ["call dead"] * 3 + ["own 500"]),
            "the dead make way": ([["dead"], ["a"]], [(0, 0)], ["call dead", "call a"]),
            "503 goes up as 500": ([["a"]], [(0, 503)], ["call a", "own 500"]),
            "6xx keeps the next from ringing": (
                *([["a", "b"], ["c"]], [(0, 603), (1, 486)]),
                ["call a", "call b", "answer 603"],
            ),
            "6xx and a branch that connects": (
                *([["a", "connecting"]], [(0, 603)]),
                ["call a", "call connecting", "answer 603"],
            ),
            "the best of two groups": (
                *([["a"], ["b"]], [(0, 404), (1, 407)]),
                ["call a", "call b", "answer 407"],
            ),
            "many that are dead": ([["dead"]] * 2000, [], ["call dead"] * 2000 + ["own 500"]),
            "a group that cannot be made": (
                *([["a"], ["refused"], ["b"]], [(0, 486)]),
                ["call a", "call refused", "answer 486"],
            ),
            "the first that cannot be made": (
                *([["refused"], ["b"]], []),
                ["call refused", "own 440"],
            ),
            "half of a group that cannot be made": (
                *([["a", "refused"], ["b"]], [(0, 100), (0, 487)]),
                ["call a", "call refused", "cancel 0", "own 408"],
            ),
            "2xx twice": (
                *([["a"]], [(0, 200), (0, 200)]),
                ["call a", "answer 200", "answer 200"],
            ),
            "nothing but 2xx after a 2xx": (
                *([["a", "b"]], [(0, 200), (1, 180), (1, 486), (1, 200)]),
                ["call a", "call b", "answer 200", "cancel 1", "answer 200"],
            ),
        }
    )
    def test_outcome(
        self, groups: list[list[str]], events: list[tuple[int, int]], said: list[str]
    ) -> None:
        self.start(*groups)
        for leg, status in events:
            if status:
                self.come(leg, status)
        self.assertEqual(self.said(), said)

    @rfc(3261, "16.10", "a CANCEL is answered 200 at once, and goes to every pending branch")
    def test_cancel_ends_the_search(self) -> None:
        context = self.start(["a"], ["b"])
        self.come(0, 180)
        context.cancel()
        self.come(0, 487)
        self.assertEqual(self.said(), ["call a", "answer 180", "cancel 0", "answer 487"])

    def test_nothing_is_left_to_the_collector(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for status in (200, 486, 603):
            context = self.start(["a", "b"], ["c"])
            self.come(0, status)
            self.come(1, 486)
            if status == 486:
                self.come(2, 486)
            self.exchange.legs.clear()
            del context
        self.assertEqual(gc.collect(), 0)

    @rfc(3261, "16.7 step 5", "one final response goes upstream, or 2xx to an INVITE alone")
    @rfc(3261, "16.7 step 6", "a final response goes upstream when every branch has ended")
    @examples(300)
    @given(
        st.lists(st.lists(st.sampled_from(["a", "dead"]), min_size=1, max_size=3), min_size=1),
        st.lists(
            st.tuples(
                st.sampled_from(["come", "wake", "silence", "failure", "cancel", "next"]),
                st.integers(0, 5),
                st.sampled_from([100, 180, 200, 302, 404, 487, 503, 600]),
            ),
            max_size=25,
        ),
    )
    def test_whatever_happens(
        self, groups: list[list[str]], events: list[tuple[str, int, int]]
    ) -> None:
        """It ends with one final answer, or with 2xx alone, and nothing wakes any more."""
        context = self.start(*groups)
        for event, place, status in events:
            self.happen(context, event, place, status)
        while not context.is_over:
            leg = next(leg for leg in self.exchange.legs if leg.state != ENDED)
            leg.timed_out(None)  # type: ignore[arg-type]
        for leg in self.exchange.legs:
            leg.timed_out(None)  # type: ignore[arg-type]
        log = self.said()
        finals = [e for e in log if e.startswith("own") or e > "answer 2" and e[:6] == "answer"]
        self.assertTrue(len(finals) == 1 or set(finals) == {"answer 200"}, log)
        self.assertEqual(self.exchange.waking, set())
        cancels = [entry for entry in log if entry.startswith("cancel")]
        self.assertEqual(len(cancels), len(set(cancels)))

    def happen(self, context: InviteContext, event: str, place: int, status: int) -> None:
        """Let one thing happen, if it can."""
        if event == "cancel":
            if not context.is_over:
                context.cancel()
        elif event == "next":
            if context in self.exchange.waking:
                context.woken()
        elif place in self.exchange.clients:
            self.happen_to(place, event, status)
            is_refused = event == "come" and status >= 300
            if event in ("silence", "failure") or is_refused or self.is_abandoned(place):
                del self.exchange.clients[place]  # RFC 6026 figure 5: it passes nothing on any more

    def is_abandoned(self, place: int) -> bool:
        """Tell whether a branch was given up."""
        return self.exchange.clients[place].is_abandoned

    def happen_to(self, place: int, event: str, status: int) -> None:
        """Let one thing happen to a branch."""
        leg = self.exchange.legs[place]
        if event == "come":
            self.come(place, status)
        elif event == "wake" and leg in self.exchange.waking:
            leg.woken()
        elif event == "silence":
            leg.timed_out(None)  # type: ignore[arg-type]
        elif event == "failure":
            leg.failed(None)  # type: ignore[arg-type]
