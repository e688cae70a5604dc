"""Route information preprocessing (RFC 3261 §16.4)."""

from __future__ import annotations

from sipproxy.proxy.passage import Passage, Side, dialog_name
from sipproxy.proxy.routing import next_route, preprocess, put_routes
from sipproxy.sip.message import Request
from sipproxy.transport.identity import Identity
from sipproxy.transport.settings import Listen
from sipproxy.transport.tokens import FlowTokens
from tests.proxy.fakes import request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

TOKENS = FlowTokens(b"key")
UP, DOWN = Side(b"up", True, True), Side(b"down", True, False)
SIDES = (UP.encode(), DOWN.encode())
FIRST = request()
DIALOG = dialog_name(FIRST.call_id, FIRST.from_, FIRST.to)
TOKEN = TOKENS.make(*SIDES, DIALOG).decode()
ANOTHER = TOKENS.make(*SIDES, b"another dialog").decode()
FORGED = FlowTokens(b"other key").make(*SIDES, DIALOG).decode()


def later(*lines: str, uri: str = "sip:bob@example.test") -> Request:
    """Return a request in the dialog that the first one began."""
    copy = request(*lines, uri=uri)
    copy.put(b"To", (copy.value(b"to") or b"") + b";tag=2")
    return copy


IDENTITY = Identity(
    ["example.test", "second.test"],
    ["sip.example.test"],
    [Listen("udp", "127.0.0.1"), Listen("tcp", "192.0.2.5", 5070, "edge.test:5080")],
)
BOB = "sip:bob@example.test"
FAR = "<sip:far.test;lr>"


class RoutingCase(TableCase):
    """What is left of Request-URI and Route."""

    def preprocessed(self, uri: str, *routes: str) -> tuple[Request, Passage | None]:
        """Return a request when its own values are off, and what they admit."""
        copy = later(*(f"Route: {route}" for route in routes), uri=uri)
        return copy, preprocess(copy, IDENTITY, TOKENS)

    def check(self, uri: str, routes: list[str], left_uri: str, left: list[str]) -> Passage | None:
        copy, passage = self.preprocessed(uri, *routes)
        self.assertEqual(copy.raw_uri.decode(), left_uri)
        self.assertEqual([value.decode() for value in copy.values(b"route")], left)
        return passage


class RouteTest(RoutingCase):
    """Our own values are taken off the top of Route."""

    @rfc(3261, "16.4", "a first Route value that is ours is removed")
    @rows(
        {
            "domain": "<sip:example.test;lr>",
            "second domain": "<sip:second.test;lr>",
            "alias": '"us" <sip:sip.example.test:5060;lr>;x=1',
            "address": "<sip:127.0.0.1;lr>",
            "address and port": "<sip:127.0.0.1:5060;lr;transport=tcp>",
            "another listener": "<sip:192.0.2.5:5070;lr>",
            "advertised": "<sip:edge.test:5080;lr>",
            "another's case": "<SIP:EXAMPLE.test.;LR>",
            "without lr": "<sip:example.test>",
        }
    )
    def test_ours(self, route: str) -> None:
        self.assertIsNone(self.check(BOB, [route], BOB, []))
        self.assertIsNone(self.check(BOB, [f"{route}, {FAR}"], BOB, [FAR]))
        self.assertIsNone(self.check(BOB, [route, route, FAR, route], BOB, [FAR, route]))

    @rows(
        {
            "another host": FAR,
            "another port": "<sip:127.0.0.1:5061;lr>",
            "another port of ours": "<sip:example.test:9;lr>",
            "a subdomain": "<sip:x.example.test;lr>",
            "no SIP URI": "<tel:1;lr>",
        }
    )
    def test_not_ours(self, route: str) -> None:
        ours = "<sip:example.test;lr>"
        self.assertIsNone(self.check(BOB, [f"{route}, {ours}"], BOB, [route, ours]))

    def test_nothing_to_do(self) -> None:
        self.assertIsNone(self.check(BOB, [], BOB, []))

    @rows({"malformed": "<sip:x", "empty": ""})
    def test_malformed(self, route: str) -> None:
        self.refuses(400, self.preprocessed, BOB, route)


class TokenTest(RoutingCase):
    """What a token of ours admits, and what forged ones do not."""

    def test_admitted(self) -> None:
        passage = self.check(BOB, [f"<sip:{TOKEN}@127.0.0.1;lr>, {FAR}"], BOB, [FAR])
        assert passage is not None
        self.assertEqual((passage.own.name, passage.other.name), (b"up", b"down"))
        self.assertEqual((passage.own.is_proven, passage.other.is_proven), (True, False))

    def test_beside_a_route_without(self) -> None:
        """Where a request passes us twice, one token is enough."""
        ours = "<sip:127.0.0.1;lr>"
        token = f"<sip:{TOKEN}@127.0.0.1;lr>"
        for routes in ([ours, token], [token, ours]):
            self.assertIsNotNone(self.check(BOB, routes, BOB, []))

    @rfc(5626, "5.3", "a Route token of ours that does not fit is answered 403")
    @rows({"forged": FORGED, "of another dialog": ANOTHER, "a user": "bob", "cut": TOKEN[:-2]})
    def test_refused(self, user: str) -> None:
        self.refuses(403, self.preprocessed, BOB, f"<sip:{user}@127.0.0.1;lr>")

    def test_in_the_route_of_another(self) -> None:
        """A token says nothing where it does not lead to us."""
        route = f"<sip:{TOKEN}@far.test;lr>"
        self.assertIsNone(self.check(BOB, [route], BOB, [route]))

    def test_both_sides_may_use_it(self) -> None:
        back = request(f"Route: <sip:{TOKEN}@127.0.0.1;lr>")
        caller = back.value(b"from") or b""
        back.put(b"From", b"<sip:bob@example.test>;tag=2")
        back.put(b"To", caller)
        passage = preprocess(back, IDENTITY, TOKENS)
        assert passage is not None
        self.assertEqual((passage.own.name, passage.other.name), (b"down", b"up"))

    @rfc(3261, "16.6 step 4", "our Record-Route value leads back to us, in its own dialog alone")
    @rows(
        {
            "call": (b"Call-ID", b"2"),
            "sender": (b"From", b"<sip:carol@example.test>;tag=1"),
            "sender's tag": (b"From", b"<sip:alice@example.test>;tag=another"),
            "receiver": (b"To", b"<sip:carol@example.test>;tag=2"),
            "no dialog": (b"To", b"<sip:bob@example.test>"),
        }
    )
    def test_nobody_else(self, name: bytes, value: bytes) -> None:
        other = later(f"Route: <sip:{TOKEN}@127.0.0.1;lr>")
        other.put(name, value)
        self.refuses(403, preprocess, other, IDENTITY, TOKENS)


@rfc(3261, "16.4", "our Record-Route value as Request-URI makes way for the last Route value")
class StrictTest(RoutingCase):
    """§16.4: what a strict router did to a request is undone."""

    def test_repaired(self) -> None:
        ours = f"sip:{TOKEN}@127.0.0.1:5060;lr"
        passage = self.check(ours, [FAR, f"<{BOB}>;x=1"], BOB, [FAR])
        self.assertIsNotNone(passage)
        self.assertIsNotNone(self.check(ours, [f"<{BOB}>"], BOB, []))

    @rows(
        {
            "no Route": (f"sip:{TOKEN}@127.0.0.1:5060;lr", []),
            "no lr": (f"sip:{TOKEN}@127.0.0.1:5060", [FAR]),
            "not our token": (f"sip:{FORGED}@127.0.0.1:5060;lr", [FAR]),
            "another's": (f"sip:{TOKEN}@far.test;lr", [FAR]),
            "no user": ("sip:127.0.0.1;lr", [FAR]),
        }
    )
    def test_left_alone(self, uri: str, routes: list[str]) -> None:
        self.assertIsNone(self.check(uri, routes, uri, routes))


@rfc(3261, "16.4", "a maddr of ours is taken off, with port and transport")
class MaddrTest(RoutingCase):
    """§16.4: a maddr of ours is taken off, with port and transport."""

    @rows(
        {
            "address": (f"{BOB};maddr=127.0.0.1", BOB),
            "domain": (f"{BOB};maddr=example.test;transport=tcp;x=1", f"{BOB};x=1"),
            "port": (f"{BOB}:5070;maddr=192.0.2.5", BOB),
            "another host": ("sip:bob@b.test;maddr=127.0.0.1", "sip:bob@b.test"),
            "no user": ("sip:example.test;maddr=127.0.0.1", "sip:example.test"),
            "user with semicolon": (
                "sip:b;x=1@example.test;maddr=127.0.0.1",
                "sip:b;x=1@example.test",
            ),
        }
    )
    def test_stripped(self, uri: str, left: str) -> None:
        self.check(uri, [], left, [])

    @rows(
        {
            "another's": f"{BOB};maddr=192.0.2.77",
            "another port": f"{BOB}:9;maddr=127.0.0.1",
            "empty": f"{BOB};maddr=",
            "no value": f"{BOB};maddr",
        }
    )
    def test_left_alone(self, uri: str) -> None:
        self.check(uri, [], uri, [])


class PassageTest(TableCase):
    """When a flow takes the place of credentials."""

    @rows(
        {
            "its own connection": (UP, b"up", True, b"MESSAGE", True),
            "its own address": (UP, b"up", False, b"NOTIFY", True),
            "an address proves no MESSAGE": (UP, b"up", False, b"MESSAGE", False),
            "another flow": (UP, b"elsewhere", True, b"NOTIFY", False),
            "nobody was authenticated": (DOWN, b"down", True, b"NOTIFY", False),
        }
    )
    def test_proves(
        self, own: Side, arrived: bytes, reliable: bool, method: bytes, proven: bool
    ) -> None:
        passage = Passage(own, UP)
        self.assertIs(passage.proves(arrived, reliable, method), proven)

    def test_parts_do_not_run_together(self) -> None:
        """What one part gives up another cannot take: each has its length."""
        one = request()
        one.put(b"From", b"<sip:a%00b@c.test>;tag=1")
        one.put(b"To", b"<sip:d@e.test>")
        two = request()
        two.put(b"From", b"<sip:a@c.test>;tag=1")
        two.put(b"To", b"<sip:b%00d@e.test>")
        names = [dialog_name(r.call_id, r.from_, r.to) for r in (one, two)]
        self.assertNotEqual(*names)


class WritingTest(TableCase):
    """Route lines as we write them."""

    def test_in_their_place(self) -> None:
        copy = request("Route: <sip:a.test;lr>", "X: 1", "Route: <sip:b.test;lr>")
        put_routes(copy, [b"<sip:c.test;lr>", b"<sip:d.test;lr>"])
        self.assertEqual(copy.lines[-2:], [b"Route: <sip:c.test;lr>, <sip:d.test;lr>", b"X: 1"])
        put_routes(copy, [])
        self.assertNotIn(b"route", copy.names)
        self.assertIsNone(next_route(copy))

    def test_new(self) -> None:
        copy = request()
        put_routes(copy, [b"<sip:c.test;lr>"])
        route = next_route(copy)
        assert route is not None
        self.assertEqual(route.raw_uri, b"sip:c.test;lr")
