"""One hop after the other (RFC 3263 §4.3, RFC 4321 §1.5)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sipproxy.proxy.branch import Branch
from sipproxy.sip.message import Request, Response
from sipproxy.sip.uri import parse_uri
from sipproxy.testing import FakeClient, FakeServer
from sipproxy.transport.resolver import Unreachable
from tests.proxy.fakes import OPEN, request, resolve
from tests.sip.tables import TableCase, rows
from tests.transport.zones import FakeDns

ZONE = """
    b.test             A     198.51.100.1
    b.test             A     198.51.100.2
    b.test             A     198.51.100.3
    tcp.test           A     198.51.100.1
    _sip._tcp.tcp.test SRV   1 0 5060 one.test
    _sip._tcp.tcp.test SRV   2 0 5060 two.test
    one.test           A     198.51.100.1
    two.test           A     198.51.100.2
    lone.test          A     198.51.100.1
"""


class AttemptsCase(TableCase):
    """A server with a DNS, and the peers that it leads to."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN)
        self.dns = FakeDns(ZONE)
        resolve(self.server, self.dns)
        self.alice = self.server.client("192.0.2.1")
        self.count = 0

    def peers(self, *numbers: int, transport: str = "udp") -> list[FakeClient]:
        return [self.server.client(f"198.51.100.{n}", 5060, transport) for n in numbers]

    def send(self, uri: str = "sip:carol@b.test", method: str = "MESSAGE", *lines: str) -> None:
        self.count += 1
        sent = request(*lines, method=method, uri=uri).encode()
        self.alice.clear()
        self.alice.send(sent.replace(b"bK-1", b"bK-%d" % self.count))

    @property
    def statuses(self) -> list[int]:
        found = [m.status for m in self.alice.received if isinstance(m, Response)]
        return [status for status in found if status != 100]

    def got(self, peers: list[FakeClient]) -> list[int]:
        """Return how many transactions each peer has seen."""
        return [len({m.via.branch for m in peer.received}) for peer in peers]


class NextTest(AttemptsCase):
    """What is a failure, and what is an answer."""

    @rows({"404": 404, "408": 408, "480": 480, "500": 500, "603": 603})
    def test_answers(self, status: int) -> None:
        peers = self.peers(1, 2, 3)
        self.send()
        peers[0].answer(status)
        self.assertEqual(self.statuses, [504 if status == 408 else status])
        self.assertEqual(self.got(peers), [1, 0, 0])

    def test_503(self) -> None:
        peers = self.peers(1, 2, 3)
        self.send()
        peers[0].answer(503)
        peers[1].answer(503)
        self.assertEqual(self.statuses, [])
        peers[2].answer(200)
        self.assertEqual((self.statuses, self.got(peers)), ([200], [1, 1, 1]))

    def test_another_transaction_with_the_same_request(self) -> None:
        """§4.3: identical but for the branch."""
        peers = self.peers(1, 2)
        self.send("sip:carol@b.test", "SUBSCRIBE", "X-Odd :  a ,b")
        peers[0].answer(503)
        first, second = (peer.received[0] for peer in peers)
        assert isinstance(first, Request) and isinstance(second, Request)
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.assertEqual(len(second.raw_values(b"via")), 2)
        self.assertEqual(len(second.raw_values(b"record-route")), 1)
        same = [line for line in first.lines if not line.startswith((b"Via:", b"Record-Route:"))]
        self.assertEqual([x for x in second.lines if x in same], same)

    def test_unreachable(self) -> None:
        """Refused: the next at once."""
        (last,) = self.peers(3)
        self.send()
        last.answer(200)
        self.assertEqual((self.statuses, self.got([last])), ([200], [1]))

    def test_lost(self) -> None:
        """A connection that breaks, and one that has broken before anything was sent."""
        first, second = self.peers(1, 2, transport="tcp")
        self.send("sip:carol@tcp.test")
        first.flow.close()
        second.answer(200)
        self.assertEqual(self.statuses, [200])
        self.send("sip:carol@tcp.test")
        second.flow.close()
        self.assertEqual((self.statuses, len(first.received)), ([500], 1))

    def test_none_left(self) -> None:
        """All refuse: 500 at once."""
        self.send()
        self.assertEqual(self.statuses, [500])

    def test_a_bug_is_told_once(self) -> None:
        self.peers(2)
        waiting = self.server.network.pending[("udp", "198.51.100.1", 5060)] = Deferred()
        self.send()
        waiting.errback(Failure(KeyError("x")))
        self.assertEqual(self.statuses, [500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_bug_once_the_dns_has_answered(self) -> None:
        self.dns.waits = True
        self.patch(self.server.network, "reach", {}.__getitem__)
        self.send()
        for _ in range(5):
            self.dns.answer()
        self.assertEqual(self.statuses, [500])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_one_hop_has_nobody_in_between(self) -> None:
        (peer,) = self.peers(1)
        self.send("sip:carol@lone.test")
        peer.answer(503)
        self.assertEqual((self.statuses, len(self.server.network.breaker)), ([500], 0))


class ShareTest(AttemptsCase):
    """Our patience is one for all hops."""

    def test_halves(self) -> None:
        peers = self.peers(1, 2, 3)
        self.send()
        for seconds, got in ((4.9, [1, 0, 0]), (0.3, [1, 1, 0]), (2.6, [1, 1, 1])):
            self.server.advance(seconds)
            self.assertEqual(self.got(peers), got)
        self.assertEqual(self.statuses, [])
        self.server.advance(2.5)
        self.assertEqual(self.statuses, [504])

    def test_who_is_given_up_is_heard_no_more(self) -> None:
        """Nothing is sent to it again, and its late answer is dropped."""
        peers = self.peers(1, 2)
        self.send()
        self.server.advance(5.2)
        sent = len(peers[0].received)
        self.server.advance(2)
        peers[0].answer(200)
        self.assertEqual((len(peers[0].received), self.statuses), (sent, []))
        peers[1].answer(202)
        self.assertEqual(self.statuses, [202])

    def test_who_was_heard_of_is_waited_for(self) -> None:
        """§4.3: a timeout is a failure where no response came at all, a provisional one neither."""
        peers = self.peers(1, 2)
        self.send()
        peers[0].answer(100)
        self.server.advance(9.5)
        self.assertEqual(self.got(peers), [1, 0])
        peers[0].answer(200)
        self.assertEqual(self.statuses, [200])

    def test_a_connection_that_comes_too_late(self) -> None:
        waiting = self.server.network.pending[("udp", "198.51.100.1", 5060)] = Deferred()
        (second,) = self.peers(2)
        self.send()
        self.server.advance(5.2)
        late = self.server.client("198.51.100.1", 5060, "tcp")
        waiting.callback(late.flow)
        self.assertEqual((len(late.received), self.got([second])), (0, [1]))
        second.answer(200)
        self.assertEqual(self.statuses, [200])

    def test_a_refusal_that_comes_too_late(self) -> None:
        waiting = self.server.network.pending[("udp", "198.51.100.1", 5060)] = Deferred()
        (second,) = self.peers(2)
        self.send()
        self.server.advance(5.2)
        waiting.errback(Unreachable("refused"))
        self.assertEqual(self.got([second]), [1])
        second.answer(200)
        self.assertEqual(self.statuses, [200])

    def test_a_slow_dns(self) -> None:
        """It is part of our patience; nothing is sent for who was told that it was in vain."""
        self.dns.waits = True
        peers = self.peers(1, 2)
        self.send()
        self.server.advance(10.3)
        self.assertIn(self.statuses, ([500], [504]))
        self.dns.answer()
        self.assertEqual(self.got(peers), [0, 0])

    def test_nothing_is_left(self) -> None:
        """Every appointment has ended with the transactions."""
        self.peers(1, 2, 3)
        self.send()
        self.server.advance(60)
        self.assertEqual((len(self.server.node.wheel), len(self.server.node.layer)), (0, 0))


class AvoidTest(AttemptsCase):
    """A hop that failed is tried last for a while."""

    def first(self) -> int:
        """Return which hop a request tries first; it answers 200."""
        peers = self.peers(1, 2, 3)
        self.send()
        (number,) = [n for n, peer in enumerate(peers) if peer.received]
        peers[number].answer(200)
        return number

    def fails(self, **headers: str) -> None:
        peers = self.peers(1, 2, 3)
        self.send()
        peers[0].answer(503, **headers)
        peers[1].answer(200)

    @rows(
        {
            "no Retry-After": ({}, 29.5, 30.5),
            "Retry-After": ({"Retry_After": "60"}, 59.5, 60.5),
            "with a comment": ({"Retry_After": "90 (lunch);duration=3600"}, 89.5, 90.5),
            "bounded": ({"Retry_After": "999999"}, 299.5, 300.5),
            "0": ({"Retry_After": "0"}, 29.5, 30.5),
            "no number": ({"Retry_After": "soon"}, 29.5, 30.5),
        }
    )
    def test_for(self, headers: dict[str, str], before: float, after: float) -> None:
        self.fails(**headers)
        self.server.advance(before)
        self.assertEqual(self.first(), 1)
        self.server.advance(after - before)
        self.assertEqual(self.first(), 0)

    def test_an_answer_ends_it(self) -> None:
        self.fails()
        peers = self.peers(1, 2, 3)
        self.send()
        peers[1].answer(503)
        peers[2].answer(503)
        peers[0].answer(200)
        self.assertEqual(self.first(), 0)


class Caller:
    """Who a branch is for."""

    is_over = is_leaving = False

    def __init__(self) -> None:
        self.told: list[str] = []
        self.clients: list[Any] = []

    def sent(self, client: Any) -> None:
        """Note a transaction."""
        self.clients.append(client)

    def branch_failed(self) -> None:
        """Note a failure."""
        self.told.append("branch failed")

    def answered(self, response: Response, client: Any) -> None:
        """Note a response."""
        self.told.append(str(response.status))

    def timed_out(self, client: Any) -> None:
        """Note silence."""
        self.told.append("timed out")

    def failed(self, client: Any) -> None:
        """Note a loss."""
        self.told.append("failed")


class InviteTest(AttemptsCase):
    """What a branch of an INVITE does differently."""

    def setUp(self) -> None:
        super().setUp()
        self.caller = Caller()
        self.hops = self.peers(1, 2, 3)

    def invite(self, method: str = "INVITE") -> None:
        copy = request("Max-Forwards: 70", method=method, uri="sip:carol@b.test")
        branch = Branch(self.server.node.core, copy, b"z9hG4bKx.l01", self.caller, None)
        branch.send(None, parse_uri(b"sip:carol@b.test"))

    def test_timer_b_limits_it(self) -> None:
        """§4.3: Timer B, for it may ring by then."""
        self.invite()
        self.server.advance(31.5)
        self.assertEqual(self.got(self.hops), [1, 0, 0])
        self.server.advance(1)
        self.assertEqual(self.got(self.hops), [1, 1, 0])
        self.server.advance(64)
        self.assertEqual(self.caller.told, ["timed out"])

    def test_ringing(self) -> None:
        self.invite()
        self.hops[0].answer(180)
        self.server.advance(60)
        self.hops[0].answer(200)
        self.hops[0].answer(200)
        self.assertEqual(self.caller.told, ["180", "200", "200"])
        self.assertEqual(self.got(self.hops), [1, 0, 0])

    def test_who_is_cancelled_while_connecting(self) -> None:
        """§16.10: nothing is sent once the connection stands."""
        peers = self.peers(1, 2, transport="tcp")
        connecting: Deferred[Any] = Deferred()
        self.server.network.pending["tcp", "198.51.100.2", 5060] = connecting
        copy = request("Max-Forwards: 70", method="INVITE", uri="sip:carol@tcp.test")
        branch = Branch(self.server.node.core, copy, b"z9hG4bKx.l01", self.caller, None)
        branch.send(None, parse_uri(b"sip:carol@tcp.test;transport=tcp"))
        peers[0].answer(503)
        self.caller.is_leaving = True
        connecting.callback(peers[1].flow)
        self.assertEqual((self.got(peers), self.caller.told), ([1, 0], ["branch failed"]))

    def test_who_is_cancelled_is_tried_nowhere_else(self) -> None:
        """§16.8, §16.10: nobody is waited for."""
        self.invite()
        self.caller.is_leaving = True
        self.hops[0].answer(503)
        self.assertEqual((self.got(self.hops), self.caller.told), ([1, 0, 0], ["503"]))

    def test_ack(self) -> None:
        """The ACK to a 2xx has no transaction: it goes to one hop, and nothing tells of it."""
        self.invite("ACK")
        self.server.advance(40)
        self.assertEqual([len(peer.received) for peer in self.hops], [1, 0, 0])

    def test_503_is_acknowledged_where_it_came_from(self) -> None:
        """§4: the ACK of a transaction goes where its request went."""
        self.invite()
        self.hops[0].answer(503)
        methods = [[m.method for m in peer.received] for peer in self.hops]
        self.assertEqual(methods, [[b"INVITE", b"ACK"], [b"INVITE"], []])
        first, ack = self.hops[0].received
        self.assertEqual(first.via.branch, ack.via.branch)
        self.assertEqual(
            [client.flow for client in self.caller.clients], [self.hops[0].flow, self.hops[1].flow]
        )

    def test_what_the_branch_says_of_loops_stays(self) -> None:
        """RFC 5393 §4.2.1: the second part of the branch is that of the request."""
        self.invite()
        self.hops[0].answer(503)
        self.hops[1].answer(503)
        branches = [peer.received[0].via.branch for peer in self.hops]
        self.assertEqual(branches[0], b"z9hG4bKx.l01")
        self.assertEqual(len(set(branches)), 3)
        for branch in branches:
            self.assertTrue(branch.endswith(b".l01"))

    def test_a_request_of_our_own(self) -> None:
        """Its last hop has the whole of Timer F."""
        self.invite("MESSAGE")
        self.server.advance(39)
        self.assertEqual((self.got(self.hops), self.caller.told), ([1, 1, 1], []))
        self.server.advance(2)
        self.assertEqual(self.caller.told, ["timed out"])

    def test_nobody_waits_any_more(self) -> None:
        self.invite("MESSAGE")
        self.caller.is_over = True
        self.hops[0].answer(503)
        self.server.advance(10)
        self.assertEqual(self.got(self.hops), [1, 0, 0])
