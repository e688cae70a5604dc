"""The branch of an ACK that is forwarded without a transaction (RFC 3261 §16.11)."""

from __future__ import annotations

from sipproxy.proxy.forwarder import _likeness
from sipproxy.sip.message import Request
from sipproxy.sip.parser import parse_datagram
from sipproxy.testing import octets
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

ACK = """
    ACK sip:bob@192.0.2.2 SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-1
    Route: <sip:127.0.0.1;lr>
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=1
    To: <sip:bob@example.test>;tag=2
    Call-ID: 3
    CSeq: 4 ACK
"""


def ack(old: str = "", new: str = "") -> Request:
    """Return the ACK with a piece of it replaced."""
    assert old in ACK
    parsed = parse_datagram(octets(ACK.replace(old, new, 1) if old else ACK))
    assert isinstance(parsed, Request)
    return parsed


@rfc(
    3261,
    "16.11",
    "what is forwarded statelessly has the same branch each time, and goes to the same place",
)
class LikenessTest(TableCase):
    """The same for the same ACK, and for no other."""

    @rows(
        {
            "branch": ("bK-1", "bK-2"),
            "no branch": (";branch=z9hG4bK-1", ""),
            "another of the forked": ("tag=2", "tag=3"),
            "no tag": (";tag=2", ""),
            "caller": ("tag=1", "tag=3"),
            "call": ("Call-ID: 3", "Call-ID: 4"),
            "number": ("CSeq: 4", "CSeq: 5"),
            "Request-URI": ("192.0.2.2", "192.0.2.3"),
            "parameter of the Request-URI": ("192.0.2.2", "192.0.2.2;x=1"),
        }
    )
    def test_depends_on(self, old: str, new: str) -> None:
        self.assertNotEqual(_likeness(ack(old, new)), _likeness(ack()))

    def test_pieces_do_not_run_into_each_other(self) -> None:
        one, other = ack("Call-ID: 3", "Call-ID: 33"), ack("tag=2", "tag=23")
        self.assertNotEqual(_likeness(one), _likeness(other))

    @rows(
        {
            "nothing": ("", ""),
            "hops that are left": ("Forwards: 70", "Forwards: 69"),
            "who else is on its way": ("<sip:127.0.0.1;lr>", "<sip:127.0.0.1;lr>, <sip:b.test>"),
            "what its way has noted": (";branch", ";received=192.0.2.9;branch"),
            "display name": ("From: <", "From: Alice <"),
        }
    )
    def test_does_not_depend_on(self, old: str, new: str) -> None:
        self.assertEqual(_likeness(ack(old, new)), _likeness(ack()))
