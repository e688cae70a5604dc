"""One flow of an instance after the other, by itself (RFC 5626 §7)."""

from __future__ import annotations

from typing import Any

from sipproxy.interfaces import Target
from sipproxy.proxy.flows import Flows, Turn
from sipproxy.sip.errors import SipError
from sipproxy.sip.response import make_response
from sipproxy.testing import FakeServer
from tests.proxy.fakes import OPEN, request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows


class User:
    """A branch's user that notes what it hears."""

    is_over = is_leaving = False

    def __init__(self) -> None:
        self.heard: list[str] = []

    def sent(self, client: Any) -> None:
        """Note a transaction."""
        self.heard.append(f"sent {client.name}")

    def answered(self, response: Any, client: Any) -> None:
        """Note an answer."""
        self.heard.append(f"answered {response.status}")

    def timed_out(self, client: Any) -> None:
        """Note silence."""
        self.heard.append("timed out")

    def failed(self, client: Any) -> None:
        """Note a failure."""
        self.heard.append("failed")

    def branch_failed(self) -> None:
        """Note that nothing was sent."""
        self.heard.append("branch failed")


class Client:
    """A client transaction that can be given up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_abandoned = False

    def abandon(self) -> None:
        """Note it."""
        self.is_abandoned = True


class FlowsTest(TableCase):
    """An instance with three flows."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN)
        self.user = User()
        self.turns: list[Turn] = []
        self.clients: list[Client] = []
        others = [Target(b"sip:2"), Target(b"sip:3")]
        core: Any = self.server.node.core
        self.flows = Flows(core, self.user, others, self.again, is_invite=False)  # type: ignore[arg-type]
        self.begin(self.flows.first)

    def again(self, target: Target, turn: Any) -> None:
        if target.uri == b"sip:refused":
            raise SipError(400)
        self.begin(turn)

    def begin(self, turn: Any) -> None:
        self.turns.append(turn)
        self.clients.append(Client(str(len(self.turns))))
        turn.sent(self.clients[-1])

    def answer(self, turn: int, status: int) -> None:
        client: Any = self.clients[turn]
        self.turns[turn].answered(make_response(request(), status, b"t"), client)

    @rfc(5626, "7", "the next flow of an instance is tried after a 408, a 430 or a failure")
    @rows({"430": 430, "408": 408})
    def test_gone(self, status: int) -> None:
        for turn in range(3):
            self.answer(turn, status)
        heard = ["sent 1", "sent 2", "sent 3", f"answered {status}"]
        self.assertEqual(self.user.heard, heard)
        self.assertEqual(self.flows.due, 0)

    @rows({"timed_out": "timed out", "failed": "failed"})
    def test_failed(self, event: str) -> None:
        for turn in range(3):
            getattr(self.turns[turn], event.replace(" ", "_"))(self.clients[turn])
        self.assertEqual(self.user.heard, ["sent 1", "sent 2", "sent 3", event.replace("_", " ")])

    def test_not_sent(self) -> None:
        for turn in range(3):
            self.turns[turn].branch_failed()
        self.assertEqual(self.user.heard[-1], "branch failed")

    def test_any_other_answer_is_the_answer(self) -> None:
        self.answer(0, 486)
        self.assertEqual(self.user.heard, ["sent 1", "answered 486"])
        self.server.advance(20)
        self.assertEqual(len(self.turns), 1)

    def test_silence(self) -> None:
        """Half of what is left of our patience for each but the last."""
        self.server.advance(4.9)
        self.assertEqual(len(self.turns), 1)
        self.server.advance(0.3)
        self.assertEqual([client.is_abandoned for client in self.clients], [True, False])
        self.server.advance(2.5)
        self.assertEqual(len(self.turns), 3)
        self.server.advance(20)
        self.assertEqual([client.is_abandoned for client in self.clients], [True, True, False])

    @rfc(5626, "7", "one flow of an instance is tried at a time")
    def test_what_comes_of_an_earlier_flow_is_late(self) -> None:
        self.answer(0, 430)
        first: Any = self.clients[0]
        self.assertTrue(self.turns[0].is_over)
        self.turns[0].sent(first)
        self.turns[0].failed(first)
        self.turns[0].timed_out(first)
        self.turns[0].branch_failed()
        self.answer(0, 486)
        self.assertEqual(self.user.heard, ["sent 1", "sent 2"])
        self.answer(0, 200)  # but that
        self.assertEqual(self.user.heard[-1], "answered 200")

    @rows({"over": "is_over", "cancelled": "is_leaving"})
    def test_nobody_waits(self, attribute: str) -> None:
        setattr(self.user, attribute, True)
        self.answer(0, 430)
        self.assertEqual(self.user.heard, ["sent 1", "answered 430"])

    def test_a_target_that_cannot_be_made(self) -> None:
        self.flows._left.insert(0, Target(b"sip:refused"))
        self.answer(0, 430)
        self.assertEqual(self.user.heard, ["sent 1", "sent 2"])
