"""Random events: no machine ever raises, and each always ends forgotten."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from sipproxy.sip.response import make_response
from sipproxy.transaction.client import InviteClient, NonInviteClient
from sipproxy.transaction.server import InviteServer, NonInviteServer
from tests.sip.strategies import examples, messages, mutated
from tests.sip.tables import TableCase
from tests.transaction.fakes import (
    TIMERS,
    Bench,
    Entry,
    RecordingClient,
    RecordingFlow,
    answer,
    request,
    response,
)
from tests.transaction.layers import LayerCase

STATUSES = st.sampled_from([100, 180, 200, 202, 302, 404, 408, 503, 600])
TICKS = st.integers(0, 500)
# What may happen: ticks pass, or an event with a status.
EVENTS = st.lists(
    st.tuples(TICKS, st.sampled_from(["message", "repeat", "fail", "close", "abandon"]), STATUSES),
    max_size=12,
)
_Events = list[tuple[int, str, int]]
REQUESTS = {method: request(method) for method in (b"INVITE", b"MESSAGE")}


class ClientTests(TableCase):
    """RFC 3261 figure 6 and RFC 6026 figure 5."""

    def play(self, bench: Bench, client: NonInviteClient | InviteClient, events: _Events) -> None:
        """Let events happen; a response comes while the layer knows the transaction."""
        method = client.key[1]
        for ticks, event, status in events:
            bench.until(bench.tick + ticks)
            if event == "fail":
                client.failed()
            elif event == "abandon":
                client.abandon()
            elif event == "close":
                client.flow.close()  # type: ignore[attr-defined]
            elif (0, "forgotten") not in [(0, what) for _, what in bench.log]:
                client.received(response(REQUESTS[method], status))

    def check(self, log: list[Entry], flow: RecordingFlow) -> None:
        """One outcome at most is told, and nothing is sent after the end."""
        events = [event for _, event in log]
        outcomes = [event for event in events if event in ("timed out", "failed")]
        self.assertLessEqual(len(outcomes), 1)
        self.assertEqual(events.count("forgotten"), 1)
        after = events[events.index("forgotten") + 1 :]
        self.assertFalse([event for event in after if event.startswith("sent")])
        self.assertEqual(flow.watchers, [])

    @examples(200)
    @given(st.booleans(), EVENTS)
    def test_non_invite(self, reliable: bool, events: _Events) -> None:
        bench = Bench()
        flow = RecordingFlow(bench, reliable)
        wire = REQUESTS[b"MESSAGE"].encode()
        client = NonInviteClient(
            *((b"z9hG4bK1", b"MESSAGE"), wire, flow, RecordingClient(bench), TIMERS),
            *(bench.wheel, bench.forgotten),
        )
        client.start()
        self.play(bench, client, events)
        bench.finish()
        self.check(bench.log, flow)
        finals = [what for _, what in bench.log if what.startswith("answered") and what[9] != "1"]
        self.assertLessEqual(len(finals), 1)
        self.assertEqual(len(bench.wheel), 0)

    @examples(200)
    @given(st.booleans(), EVENTS)
    def test_invite(self, reliable: bool, events: _Events) -> None:
        bench = Bench()
        flow = RecordingFlow(bench, reliable)
        wire = REQUESTS[b"INVITE"].encode()
        client = InviteClient(
            *((b"z9hG4bK1", b"INVITE"), wire, flow, RecordingClient(bench), TIMERS),
            *(bench.wheel, bench.forgotten),
        )
        client.invite(REQUESTS[b"INVITE"])
        self.play(bench, client, events)
        bench.finish()
        client.abandon()  # what Timer C of its user would come to (§16.8)
        self.check(bench.log, flow)
        self.assertEqual(len(bench.wheel), 0)


class ServerTests(TableCase):
    """RFC 3261 figure 8 with RFC 4320, and RFC 6026 figure 7."""

    @examples(200)
    @given(st.booleans(), EVENTS)
    def test_non_invite(self, reliable: bool, events: _Events) -> None:
        bench = Bench()
        flow = RecordingFlow(bench, reliable)
        message = REQUESTS[b"MESSAGE"]
        server = NonInviteServer(
            *("key", message, flow, flow, TIMERS, bench.wheel, bench.forgotten)
        )
        server.start()
        for ticks, event, status in events:
            bench.until(bench.tick + ticks)
            if event == "message":
                server.respond(make_response(message, status, b"t"))
            elif server.state < 5:
                server.repeated()
        bench.finish()
        sent = [(tick, what) for tick, what in bench.log if what.startswith("sent")]
        provisional = [(tick, what) for tick, what in sent if what[5] == "1"]
        self.assertTrue(all(what == "sent 100" and tick >= 35 for tick, what in provisional))
        self.assertLessEqual(len({what for _, what in sent} - {"sent 100"}), 1)
        self.assertEqual([what for _, what in bench.log].count("forgotten"), 1)
        self.assertEqual((bench.log[-1][1], len(bench.wheel)), ("forgotten", 0))

    @examples(200)
    @given(st.booleans(), EVENTS, STATUSES.filter(lambda status: status >= 200))
    def test_invite(self, reliable: bool, events: _Events, last: int) -> None:
        bench = Bench()
        flow = RecordingFlow(bench, reliable)
        message = REQUESTS[b"INVITE"]
        server = InviteServer(*("key", message, flow, flow, TIMERS, bench.wheel, bench.forgotten))
        server.start()
        acts: dict[str, Callable[[], object]] = {
            "repeat": server.repeated,
            "close": flow.close,
            "abandon": server.acknowledged,
        }
        for ticks, event, status in [*events, (0, "message", last)]:
            bench.until(bench.tick + ticks)
            if event in acts and server.state < 5:
                acts[event]()
            else:
                server.respond(make_response(message, status, b"t"))
        bench.finish()
        finals = {what for _, what in bench.log if what.startswith("sent") and what[5] != "1"}
        self.assertTrue(len(finals) == 1 or finals <= {"sent 200", "sent 202"})
        self.assertEqual([what for _, what in bench.log].count("forgotten"), 1)
        self.assertEqual((bench.log[-1][1], len(bench.wheel)), ("forgotten", 0))


BRANCHES = st.sampled_from([b"z9hG4bK1", b"z9hG4bK2", b"z9hG4bK", b"1"])
METHODS = st.sampled_from([b"MESSAGE", b"INVITE", b"ACK", b"CANCEL", b"OPTIONS"])
STEPS = st.lists(
    st.tuples(
        TICKS,
        st.sampled_from(["arrive", "send", "answer", "respond", "claim", "lost"]),
        METHODS,
        BRANCHES,
        STATUSES,
    ),
    max_size=20,
)


class LayerTests(LayerCase):
    """RFC 3261 §17: the layer with all of its machines."""

    def step(self, event: str, method: bytes, branch: bytes, status: int) -> None:
        """Let one thing happen."""
        if event == "arrive":
            self.arrive(method, Via=b"SIP/2.0/UDP a;branch=" + branch)
        elif event == "send" and method != b"ACK":
            self.sent += 1  # a branch of ours is never used twice (§8.1.1.7)
            self.send(method, b"z9hG4bK-us-%d" % self.sent)
        elif event == "answer" and self.sent:
            self.answer(status)
        elif event == "respond" and self.user.transactions:
            answer(self.layer, self.user.transactions[-1], self.news[-1], status)
        elif event == "claim" and self.user.transactions:
            self.layer.claim(self.user.transactions[-1], self.news[-1])
        elif event == "lost" and self.flow.sent:
            self.layer.undeliverable(self.flow.sent[-1])

    @property
    def news(self) -> list[object]:
        """The requests that are not ACKs, beside their transactions."""
        return [request for request in self.user.requests if request.method != b"ACK"]

    @examples(150)
    @given(st.booleans(), STEPS)
    def test_random_events(
        self, reliable: bool, steps: list[tuple[int, str, bytes, bytes, int]]
    ) -> None:
        self.setUp()
        self.flow.reliable = reliable
        self.sent = 0
        for ticks, *what in steps:
            self.bench.until(self.bench.tick + ticks)
            self.step(*what)
        for server, message in zip(self.user.transactions, self.news, strict=True):
            answer(self.layer, server, message, 408)  # as Timer C of a proxy would (§16.8)
        for client in list(self.layer._clients.values()):
            client.abandon()
        self.finish()
        self.assertNotIn("raised", [what for _, what in self.bench.log])

    @examples(150)
    @given(st.booleans(), mutated() | messages() | st.binary(max_size=60))
    def test_any_octets(self, framed: bool, data: bytes) -> None:
        """Whatever arrives, nothing is raised, and what is answered is answered with SIP."""
        self.setUp()
        take = self.layer.framed if framed else self.layer.datagram
        take(data, self.flow)
        take(data, self.flow)
        self.layer.undeliverable(data)
        for server, message in zip(self.user.transactions, self.news, strict=True):
            answer(self.layer, server, message, 500)
        for sent in self.flow.sent:
            self.assertTrue(sent.startswith(b"SIP/2.0 "))
            self.assertEqual(sent.count(b"\r\n\r\n"), 1)
            self.assertEqual(sent.count(b"\n"), sent.count(b"\r\n"))
        self.finish()
