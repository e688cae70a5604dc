"""Caller preferences in the location router (RFC 3841 §7, RFC 5627 §6.1)."""

from __future__ import annotations

from typing import Any

from sipproxy.interfaces import Sender
from sipproxy.proxy.routers import LocationRouter
from sipproxy.registrar.binding import Binding
from sipproxy.registrar.gruu import Instance
from sipproxy.sip.headers import parse_name_addr
from sipproxy.testing import FakeServer
from tests.proxy.fakes import OPEN, request
from tests.sip.tables import TableCase, rows

ALICE = Sender(b"alice@example.test", is_user=True)
EXAMPLE = (
    'Reject-Contact: *;actor="msg-taker";video',
    "Accept-Contact: *;audio;require",
    "Accept-Contact: *;video;explicit",
    'Accept-Contact: *;methods="BYE";class="business";q=1.0',
)


def binding(name: str, params: str, q: float = 1.0, made: int = 0, urn: bytes = b"") -> Binding:
    """Return a binding with feature parameters, and of an instance where ``made`` is given."""
    contact = parse_name_addr(f"<sip:{name}@h.test>{params}".encode())
    instance = Instance(urn or b"urn:x:1", made, made, 0, False) if made else None
    return Binding(contact, params.encode(), q, 1000.0, b"1", 1, (), None, instance)


class CallerCase(TableCase):
    """The location router, with bindings of bob's."""

    def setUp(self) -> None:
        self.core = FakeServer(self.mktemp(), OPEN).node.core

    def bind(self, *bindings: Binding) -> None:
        self.core.location.commit(b"bob@example.test", bindings)

    def users(self, *lines: str, **changed: Any) -> str:
        """Return the users of the targets of a request, in order."""
        found = LocationRouter(self.core).targets(request(*lines, **changed), ALICE)
        return " ".join(target.uri.decode()[4:].partition("@")[0] for target in found)


class PreferenceTest(CallerCase):
    """Who is left, and in what order."""

    def test_the_example(self) -> None:
        """§7.2.5."""
        self.bind(
            binding("u1", ';audio;video;methods="INVITE,BYE"', 0.2),
            binding("u2", ';audio="FALSE";methods="INVITE";actor="msg-taker"', 0.2),
            binding("u3", ';audio;actor="msg-taker";methods="INVITE";video', 0.3),
            binding("u4", ';audio;methods="INVITE,OPTIONS"', 0.2),
            binding("u5", "", 0.5),
        )
        self.assertEqual(self.users(*EXAMPLE), "u5 u1 u4")
        self.assertEqual(self.users(*EXAMPLE, "Request-Disposition: no-fork"), "u5")

    def test_the_callees_order_comes_first(self) -> None:
        self.bind(binding("low", ";audio", 0.1), binding("high", ";video", 0.9))
        self.assertEqual(self.users("Accept-Contact: *;audio"), "high low")

    def test_nobody_is_left(self) -> None:
        """The front door answers 480, as for anybody without targets."""
        self.bind(binding("a", ";audio"))
        self.assertEqual(self.users("Reject-Contact: *;audio"), "")

    def test_malformed(self) -> None:
        self.bind(binding("a", ";audio"))
        self.refuses(400, self.users, "Accept-Contact: audio")
        self.refuses(400, self.users, "Request-Disposition: fork, no-fork")

    def test_a_gruu(self) -> None:
        """RFC 5627 §6.1: they hold for the contacts of a GRUU, too."""
        self.bind(binding("a", ";audio", made=1), binding("b", ";video", made=2, urn=b"urn:x:2"))
        uri = "sip:bob@example.test;gr=urn:x:1"
        self.assertEqual(self.users("Accept-Contact: *;video;require;explicit", uri=uri), "")
        self.assertEqual(self.users("Accept-Contact: *;audio;require", uri=uri), "a")

    def test_the_flows_of_an_instance_stay_together(self) -> None:
        self.bind(
            binding("old", ";audio", 1.0, made=1),
            binding("other", ";video", 0.9),
            binding("new", ";video", 0.8, made=2),
        )
        self.assertEqual(self.users("Accept-Contact: *;video"), "new old other")
        self.assertEqual(self.users("Request-Disposition: no-fork"), "new old")


class ImplicitTest(CallerCase):
    """§7.2.2: where nobody asks, the method does."""

    @rows(
        {
            "one knows it": ((';methods="INVITE"', ';methods="INVITE,MESSAGE"'), "1"),
            "one does not say": ((';methods="INVITE"', ""), "1"),
            "nobody says": ((";audio", ";video"), "0 1"),
            "nobody knows it (§7.2.4)": ((';methods="INVITE"', ';methods="BYE"'), "0 1"),
            "who says it comes first": ((";audio", ';methods="MESSAGE"'), "1 0"),
        }
    )
    def test_method(self, params: tuple[str, ...], expected: str) -> None:
        self.bind(*(binding(str(number), text) for number, text in enumerate(params)))
        self.assertEqual(self.users(), expected)
        self.assertEqual(self.users("Request-Disposition: fork"), expected)

    def test_not_beside_explicit_ones(self) -> None:
        self.bind(binding("a", ';methods="INVITE"'), binding("b", ';methods="MESSAGE"'))
        self.assertEqual(self.users("Accept-Contact: *;audio"), "a b")

    def test_event_package(self) -> None:
        self.bind(binding("a", ';events="dialog"'), binding("b", ';events="presence"'))
        self.assertEqual(self.users("Event: presence", method="SUBSCRIBE"), "b")
