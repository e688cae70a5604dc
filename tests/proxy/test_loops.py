"""Loop detection and Max-Breadth (RFC 5393)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sipproxy.proxy.loops import breadth, new_branch, refuse_loop, second_part, shares
from sipproxy.sip.errors import SipError
from sipproxy.transport.identity import Identity
from sipproxy.transport.settings import Listen
from tests.proxy.fakes import request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

IDENTITY = Identity(["example.test"], [], [Listen("udp", "127.0.0.1")])
ROUTE = "Route: <sip:a.test;lr>"


@rfc(5393, "4.2.1", "a branch depends on all that decides where a request goes but the method")
class SecondPartTest(TableCase):
    """The second part of a branch (§4.2.1)."""

    @rows(
        {
            "Request-URI": request(uri="sip:carol@example.test"),
            "parameter of the Request-URI": request(uri="sip:bob@example.test;x=1"),
            "Route": request(ROUTE),
            "Route, order": request("Route: <sip:b.test;lr>, <sip:a.test;lr>"),
        }
    )
    def test_depends_on(self, other: object) -> None:
        known = request("Route: <sip:a.test;lr>, <sip:b.test;lr>")
        self.assertNotEqual(second_part(other), second_part(known))

    @rows(
        {
            "method": request(method="SUBSCRIBE"),
            "Via": request("Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-9"),
            "Max-Forwards": request("Max-Forwards: 3"),
            "Record-Route": request("Record-Route: <sip:a.test;lr>"),
            "unknown header": request("X-Unknown: 1"),
        }
    )
    def test_does_not_depend_on(self, other: object) -> None:
        self.assertEqual(second_part(other), second_part(request()))

    @rfc(5393, "4.2.4", "what differs between requests keeps their branches apart")
    def test_transactions_differ(self) -> None:
        """§4.2.4: what differs between requests keeps branches apart."""
        other = request()
        other.put(b"Call-ID", b"2")
        self.assertNotEqual(second_part(other), second_part(request()))

    def test_routes_on_one_line_or_two(self) -> None:
        one = request("Route: <sip:a.test;lr>, <sip:b.test;lr>")
        two = request("Route: <sip:a.test;lr>", "Route: <sip:b.test;lr>")
        self.assertEqual(second_part(one), second_part(two))


class LoopTest(TableCase):
    """The check of every Via (§4.2.2)."""

    @rfc(5393, "4.2.2", "a loop is answered 482, and a spiral goes on")
    @rfc(3261, "16.3 step 4", "a request that comes back as it was is answered 482")
    @rows(
        {
            "ours, equal": ("127.0.0.1:5060", "", "", True),
            "ours without its port, equal": ("127.0.0.1", "", "", True),
            "ours, other inputs": ("127.0.0.1:5060", "", "0", False),
            "ours, no second part": ("127.0.0.1:5060", None, "", False),
            "another's": ("192.0.2.77", "", "", False),
            "ours, another port": ("127.0.0.1:5061", "", "", False),
            "ours, deeper": ("127.0.0.1:5060", "", "", True),
        }
    )
    def test_loop(self, sent_by: str, second: str | None, tail: str, is_loop: bool) -> None:
        part = second_part(request())
        branch = new_branch(b"12345678", b"" if second is None else part).decode() + tail
        via = f"Via: SIP/2.0/TCP {sent_by};branch={branch}"
        again = request("Via: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK-8", via)
        if is_loop:
            self.refuses(482, refuse_loop, again, part, IDENTITY)
        else:
            refuse_loop(again, part, IDENTITY)

    @rfc(3261, "16.6 step 8", "our Via stands before all others, with a branch for each target")
    def test_branches_are_unique(self) -> None:
        """§4.2.1: the first part is, whatever the second is."""
        one, two = new_branch(b"1" * 8, b"x"), new_branch(b"2" * 8, b"x")
        self.assertNotEqual(one, two)
        for branch in (one, two, new_branch(b"3" * 8)):
            self.assertTrue(branch.startswith(b"z9hG4bK"))


@rfc(5393, "5.3.3", "branches together have no more Max-Breadth than came in")
class BreadthTest(TableCase):
    """§5.3.3: branches together never have more than came in."""

    @rows(
        {
            "none": ([], 60),
            "smaller": (["Max-Breadth: 5"], 5),
            "larger": (["Max-Breadth: 61"], 60),
            "largest": (["Max-Breadth: 2147483648"], 60),
            "zero": (["Max-Breadth: 0"], 0),
        }
    )
    def test_incoming(self, lines: list[str], incoming: int) -> None:
        self.assertEqual(breadth(request(*lines), 60), incoming)

    @rows({name: name for name in ("-1", "x", "1.5", "2147483649", "")})
    def test_malformed(self, value: str) -> None:
        self.refuses(400, breadth, request(f"Max-Breadth: {value}"), 60)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.integers(0, 100), st.integers(1, 30))
    def test_shares(self, incoming: int, branches: int) -> None:
        try:
            found = shares(incoming, branches)
        except SipError as error:
            self.assertEqual((error.status, branches > incoming), (440, True))
        else:
            self.assertEqual((len(found), sum(found)), (branches, incoming))
            self.assertTrue(max(found) - min(found) <= 1 <= min(found))
