"""The response context: which answer goes upstream (RFC 3261 §16.7, RFC 4320 §4)."""

from __future__ import annotations

from itertools import permutations, product

from sipproxy.proxy.best import add_challenges, best
from sipproxy.proxy.context import ResponseContext
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from tests.proxy.fakes import request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

SILENT, DEAD = -1, -2
# What a branch may come to, best first (§16.7 step 6); those of one line are equal: the first wins.
# 408 is silence (RFC 4320 §4.2); 503 and what cannot be delivered are 500 (§16.7 step 6, §16.9).
RANKS: list[list[int]] = [
    [200, 202],
    [603, 600],
    [302],
    [401, 407, 415, 420, 484],
    [404, 486, 400],
    [SILENT, 408],
    [500, 504],
    [DEAD, 503],
]
OUTCOMES = [outcome for rank in RANKS for outcome in rank]


def rank(outcome: int) -> int:
    """Return the place of an outcome, 0 for the best."""
    return next(place for place, rank in enumerate(RANKS) if outcome in rank)


class Client:
    """A client transaction that can be given up."""

    def __init__(self) -> None:
        self.is_abandoned = False

    def abandon(self) -> None:
        """Note it."""
        self.is_abandoned = True


class Upstream:
    """Notes what was sent upstream."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.responses: list[Response] = []
        self.forgotten: list[ResponseContext] = []

    def answer(self, request: Request, server: object, response: Response) -> None:
        """Note a response of a branch."""
        self.sent.append(response.status)
        self.responses.append(response)

    def answer_status(self, request: Request, server: object, status: int) -> None:
        """Note a response of our own."""
        self.sent.append(status)

    def forget(self, context: ResponseContext) -> None:
        """Note that a context is over."""
        self.forgotten.append(context)


class ContextCase(TableCase):
    """A context with branches."""

    def start(self, branches: int, silent: int = 480) -> ResponseContext:
        self.request = request("Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-0")
        self.upstream = Upstream()
        self.clients = [Client() for _ in range(branches)]
        context = ResponseContext(self.upstream, self.request, object(), branches, silent)
        for client in self.clients:
            context.sent(client)
        return context

    def response(self, status: int, *headers: tuple[bytes, bytes]) -> Response:
        """Return a response as it comes to a branch, with our Via on top."""
        copy = self.request.copy()
        copy.insert(0, b"Via", b"SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-ours")
        message = parse_datagram(make_response(copy, status, b"t", headers=headers).encode())
        assert isinstance(message, Response)
        return message

    def come(self, context: ResponseContext, outcome: int, client: int = 0) -> None:
        """Let a branch come to its outcome."""
        if outcome == SILENT:
            context.timed_out(self.clients[client])
        elif outcome == DEAD:
            context.failed(self.clients[client])
        else:
            context.answered(self.response(outcome), self.clients[client])


@rfc(3261, "16.7 step 6", "the best is a 6xx, else of the lowest class, 401 and the like first")
@rfc(3261, "16.7 step 6", "a final response goes upstream when every branch has ended")
@rfc(3261, "16.7 step 6", "a lone 503 goes upstream as 500")
@rfc(4320, "4.2", "a 408 is never sent to what is no INVITE")
class BestTest(ContextCase):
    """Every pair and some triples of what two or three branches come to."""

    def expected(self, outcomes: tuple[int, ...], silent: int) -> int:
        winner = min(outcomes, key=rank)  # the first of several equal ones
        if winner in (SILENT, 408):
            return silent
        return 500 if winner in (DEAD, 503) else winner

    def test_one(self) -> None:
        for outcome in OUTCOMES:
            context = self.start(1)
            self.come(context, outcome)
            self.assertEqual(self.upstream.sent, [self.expected((outcome,), 480)], outcome)
            self.assertEqual(self.upstream.forgotten, [context])

    def test_pairs(self) -> None:
        for pair in product(OUTCOMES, repeat=2):
            context = self.start(2)
            for client, outcome in enumerate(pair):
                self.come(context, outcome, client)
            winner = pair[0] if 200 <= pair[0] < 300 else self.expected(pair, 480)
            self.assertEqual(self.upstream.sent, [winner], pair)

    def test_triples(self) -> None:
        for triple in permutations((603, 302, 486, 407, 500, SILENT, DEAD), 3):
            context = self.start(3)
            for client, outcome in enumerate(triple):
                self.assertEqual(self.upstream.sent, [], triple)
                self.come(context, outcome, client)
            self.assertEqual(self.upstream.sent, [self.expected(triple, 480)], triple)

    @rows(
        {
            "alone": ([SILENT], 504),
            "beside a dead one": ([SILENT, DEAD], 500),
            "beside a refusal": ([SILENT, 486], 486),
            "beside an error": ([SILENT, 501], 501),
        }
    )
    def test_silent_domain(self, outcomes: list[int], status: int) -> None:
        """Where not all targets are users' own devices, silence is 504."""
        context = self.start(len(outcomes), silent=504)
        for client, outcome in enumerate(outcomes):
            self.come(context, outcome, client)
        self.assertEqual(self.upstream.sent, [status])

    def test_never_408(self) -> None:
        for pair in product(OUTCOMES, repeat=2):
            context = self.start(2)
            self.come(context, pair[0])
            context.woken()
            self.assertNotIn(408, self.upstream.sent)
            self.assertNotIn(503, self.upstream.sent)


class LifeTest(ContextCase):
    """One final answer, and nothing after it."""

    @rfc(4320, "4.1", "no provisional response but 100 is sent to what is no INVITE")
    @rows({str(status): status for status in (100, 180, 183, 199)})
    def test_provisional(self, status: int) -> None:
        """RFC 4320 §4.1: nothing but our own 100 is sent."""
        context = self.start(1)
        self.come(context, status)
        self.assertEqual((self.upstream.sent, context.is_over), ([], False))

    @rfc(3261, "16.7 step 5", "any 2xx is forwarded immediately")
    @rfc(3261, "16.7 step 5", "one final response goes upstream, or 2xx to an INVITE alone")
    def test_2xx_at_once(self) -> None:
        """§16.7 step 5."""
        context = self.start(3)
        self.come(context, 486)
        self.come(context, 200, 1)
        self.assertEqual((self.upstream.sent, context.is_over), ([200], True))
        for outcome in (200, 603, SILENT, DEAD):
            self.come(context, outcome, 2)
        context.branch_failed()
        context.woken()
        self.assertEqual(self.upstream.sent, [200])

    @rfc(3261, "16.7 step 3", "our Via is taken off")
    def test_our_via_is_taken_off(self) -> None:
        """§16.7 step 3."""
        self.come(self.start(1), 200)
        (response,) = self.upstream.responses
        self.assertEqual(response.raw_values(b"via"), self.request.raw_values(b"via"))

    @rfc(3261, "16.7 step 3", "a response without another Via is not forwarded")
    def test_what_was_meant_for_us_alone(self) -> None:
        """§16.7 step 3: without another Via a response is not sent on."""
        context = self.start(1)
        response = self.response(200)
        for _ in range(2):
            response.pop_value(b"via")
        context.answered(response, self.clients[0])
        self.assertEqual(self.upstream.sent, [500])

    @rows(
        {
            "all silent": ([], 480),
            "one refused": ([486], 486),
            "one failed": ([DEAD], 480),
            "one in error": ([500], 480),
            "one redirected": ([302], 302),
            "one declined": ([603], 603),
        }
    )
    def test_patience(self, outcomes: list[int], status: int) -> None:
        """When our patience is over what is silent has failed, and is sent no more."""
        context = self.start(2)
        for client, outcome in enumerate(outcomes):
            self.come(context, outcome, client)
        context.woken()
        self.assertEqual((self.upstream.sent, context.is_over), ([status], True))
        self.assertTrue(self.clients[-1].is_abandoned)
        self.come(context, 200, 1)
        self.assertEqual(self.upstream.sent, [status])

    def test_a_flow_that_comes_too_late(self) -> None:
        """A branch that is still connecting is counted, and need not be sent any more."""
        context = self.start(1)
        context.woken()
        self.assertTrue(context.is_over)
        context.sent(Client())
        context.branch_failed()
        self.assertEqual(self.upstream.sent, [480])


@rfc(3261, "16.7 step 7", "a 401 or 407 has the challenges of all others, unchanged")
class ChallengesTest(ContextCase):
    """A 401 or 407 has the challenges of all, unchanged and in order (§16.7 step 7)."""

    WWW, PROXY = b"WWW-Authenticate", b"Proxy-Authenticate"

    def chosen(self, *statuses: int) -> Response:
        """Let branches answer, each with two challenges, and return what is sent on."""
        context = self.start(len(statuses))
        for number, status in enumerate(statuses):
            name = self.PROXY if status == 407 else self.WWW
            headers = [(name, b"Digest %d%d, x=1" % (number, n)) for n in (1, 2)]
            context.answered(self.response(status, *headers), self.clients[number])
        (response,) = self.upstream.responses
        return response

    def test_collected(self) -> None:
        response = self.chosen(407, 401, 486, 407)
        self.assertEqual(response.status, 407)
        found = [
            response.lines[place]
            for place, name in enumerate(response.names)
            if name.endswith(b"-authenticate")
        ]
        order = [(self.PROXY, 0), (self.WWW, 1), (self.PROXY, 3)]
        wanted = [b"%s: Digest %d%d, x=1" % (name, b, n) for name, b in order for n in (1, 2)]
        self.assertEqual(found, wanted)

    @rows({"302 wins": (302, 401), "603 wins": (603, 407)})
    def test_only_for_a_challenge(self, other: int, status: int) -> None:
        response = self.chosen(status, other)
        self.assertEqual(response.status, other)
        self.assertEqual(len(response.raw_values(b"www-authenticate")), 2)
        self.assertEqual(response.raw_values(b"proxy-authenticate"), [])

    def test_alone(self) -> None:
        self.start(1)
        one = self.response(401, (self.WWW, b"Digest x"))
        self.assertIs(best([one]), one)
        add_challenges(one, [one])
        self.assertEqual(one.raw_values(b"www-authenticate"), [b"Digest x"])
