"""The built-in routers: bindings, configured domains, the DNS (RFC 3261 §16.5)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from sipproxy.interfaces import Sender, Target
from sipproxy.proxy.routers import DnsRouter, DomainsRouter, LocationRouter
from sipproxy.registrar.binding import Binding
from sipproxy.sip.errors import SipError
from sipproxy.sip.headers import parse_name_addr
from sipproxy.sip.message import Request
from sipproxy.testing import FakeFlow, FakeServer
from tests.proxy.fakes import OPEN, request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

EXTRA = '[[route]]\ndomain = "b.test"\nto = "sip:198.51.100.7;transport=tcp"\n'
ALICE = Sender(b"alice@example.test", is_user=True)


class RouterCase(TableCase):
    """Routers on a server whose bindings the test makes."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN + EXTRA)
        self.core = self.server.node.core
        self.router = LocationRouter(self.core)

    def bind(self, user: str, *contacts: str, **changed: Any) -> list[Binding]:
        """Give a user bindings, best first."""
        facts = {"params": b"", "expires_at": 1000.0, "call_id": b"1", "cseq": 1}
        bindings = [
            Binding(
                contact=parse_name_addr(f"<{uri}>".encode()),
                q=1.0 - number / 10,
                **(facts | {"path": (), "flow": None} | changed),
            )
            for number, uri in enumerate(contacts)
        ]
        self.core.location.commit(f"{user}@example.test".encode(), bindings)
        return bindings

    def targets(self, uri: str = "sip:bob@example.test") -> Any:
        return self.router.targets(request(uri=uri), ALICE)

    def found(self) -> list[str]:
        """Return the URIs of bob's targets."""
        return [target.uri.decode() for target in self.targets()]


class LocationTest(RouterCase):
    """Requests for our users."""

    @rfc(3261, "16.6", "targets of one q are tried at once, those of a lower one after them")
    def test_best_first(self) -> None:
        self.bind("bob", "sip:b@1.test", "sip:b@2.test", "sip:b@3.test")
        self.assertEqual(self.found(), ["sip:b@1.test", "sip:b@2.test", "sip:b@3.test"])

    def test_what_a_binding_says(self) -> None:
        flow = FakeFlow("192.0.2.2", 5060)
        self.bind("bob", "sip:b@1.test", path=(b"<sip:p.test;lr>",), flow=flow)
        (target,) = self.targets()
        self.assertEqual(target.routes, (b"<sip:p.test;lr>",))
        self.assertIs(target.flow, flow)
        self.assertTrue(target.is_user)

    @rfc(3261, "16.5", "a URI is in the target set once, by the equality of URIs")
    @rows(
        {
            "the same": ("sip:b@1.test", "sip:b@1.test", 1),
            "the same by §19.1.4": ("sip:b@1.test", "sip:%62@1.TEST;x=1", 1),
            "another": ("sip:b@1.test", "sip:b@1.test:5060", 2),
        }
    )
    def test_no_duplicates(self, first: str, second: str, count: int) -> None:
        self.bind("bob", first, second)
        self.assertEqual(len(self.found()), count)

    @rfc(3261, "16.6 step 2", "the Request-URI is the target's, without what may not be in one")
    def test_request_form(self) -> None:
        """§16.6 step 2: without what a Request-URI must not have (§19.1.1)."""
        self.bind("bob", "sip:b@1.test;method=INVITE;x=1?Subject=hi")
        self.assertEqual(self.found(), ["sip:b@1.test;x=1"])

    def test_passed_over(self) -> None:
        """What is no SIP URI."""
        self.bind("bob", "tel:+358555", "sip:b@1.test")
        self.assertEqual(self.found(), ["sip:b@1.test"])

    def test_sips_contact_for_sip(self) -> None:
        """RFC 5630 §5.3: the scheme is sip, the way TLS."""
        self.bind("bob", "sips:b@1.test:5081;x=1", "sip:b@2.test")
        first, second = self.targets()
        expected = (b"sip:b@1.test:5081;x=1", b"sips:b@1.test:5081;x=1")
        self.assertEqual((first.uri, first.hop.raw), expected)
        self.assertEqual((second.uri, second.hop), (b"sip:b@2.test", None))

    def test_sips_contact_at_a_configured_hop(self) -> None:
        """It is made sips, too; the certificate may be for its domain."""
        self.bind("bob", "sips:b@b.test")
        (target,) = self.targets()
        self.assertEqual(target.hop.raw, b"sips:198.51.100.7;transport=tcp")
        self.assertEqual(target.hop.domain, b"b.test")

    def test_the_same_contact_by_both_schemes(self) -> None:
        """It is one phone."""
        self.bind("bob", "sips:b@1.test", "sip:b@1.test")
        self.assertEqual(self.found(), ["sip:b@1.test"])

    def test_sips(self) -> None:
        """RFC 5630 §5.3: sips contacts alone, through other users of ours, too."""
        self.bind("bob", "sip:b@1.test", "sips:b@2.test", "sips:carol@example.test")
        self.bind("carol", "sip:c@3.test", "sips:c@4.test")
        found = [target.uri for target in self.targets("sips:bob@example.test")]
        self.assertEqual(found, [b"sips:b@2.test", b"sips:c@4.test"])

    def test_no_sips_contact(self) -> None:
        self.bind("bob", "sip:b@1.test")
        self.refuses(480, self.targets, "sips:bob@example.test")

    def test_closed_flow(self) -> None:
        flow = FakeFlow("192.0.2.2", 5060, "tcp")
        self.bind("bob", "sip:b@1.test", flow=flow)
        flow.is_open = False
        self.refuses(480, self.targets)

    def test_another_user_of_ours(self) -> None:
        """A contact that is one of our addresses-of-record stands for its bindings."""
        self.bind("bob", "sip:carol@example.test", "sip:b@1.test")
        self.bind("carol", "sip:c@2.test", "sip:dora@127.0.0.1")
        self.bind("dora", "sip:d@3.test", "sip:b@1.test")
        self.assertEqual(self.found(), ["sip:c@2.test", "sip:d@3.test", "sip:b@1.test"])

    def test_in_a_circle(self) -> None:
        self.bind("bob", "sip:carol@example.test", "sip:b@1.test")
        self.bind("carol", "sip:bob@example.test")
        self.assertEqual(self.found(), ["sip:b@1.test"])
        self.bind("bob", "sip:carol@example.test")
        self.refuses(480, self.targets)

    @rfc(3261, "16.5", "a Request-URI of a domain that is not ours is the only target")
    def test_foreign(self) -> None:
        """§16.5: a Request-URI whose domain is not ours is never retargeted."""
        self.bind("bob", "sip:b@1.test")
        self.assertIsNone(self.targets("sip:bob@b.test"))

    @rfc(3261, "16.5", "a user that does not exist is answered 404")
    @rfc(3261, "16.5", "an empty target set is answered 480")
    @rows({"known": (True, 480), "unknown": (False, 404)})
    def test_absent(self, known: bool, status: int) -> None:
        self.core.credentials = Users(known)
        self.refuses(status, self.targets)
        waiting = self.core.credentials.answer = Deferred()
        found = self.targets()
        waiting.callback(known)
        self.assertEqual(self.failureResultOf(found, SipError).value.status, status)


class Users:
    """A credential store where everybody exists, or nobody, now or later."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def known(self, aor: bytes) -> Any:
        """Tell whether there is such a user."""
        return self.answer


class ForeignTest(RouterCase):
    """Requests for other domains."""

    def asked(self, uri: str, *lines: str) -> tuple[Any, Any]:
        """Return what the two routers say."""
        copy: Request = request(*lines, uri=uri)
        return DomainsRouter(self.core).targets(copy, ALICE), DnsRouter(self.core).targets(
            copy, ALICE
        )

    def test_configured(self) -> None:
        by_domain, _ = self.asked("sip:carol@B.test;x=1")
        (target,) = by_domain
        assert isinstance(target, Target)
        self.assertEqual(target.uri, b"sip:carol@B.test;x=1")
        self.assertEqual(target.hop.raw, b"sip:198.51.100.7;transport=tcp")
        self.assertFalse(target.is_user)

    @rfc(3261, "16.5", "a Request-URI of a domain that is not ours is the only target")
    def test_others(self) -> None:
        by_domain, by_dns = self.asked("sip:carol@c.test")
        self.assertIsNone(by_domain)
        self.assertEqual([(t.uri, t.hop) for t in by_dns], [(b"sip:carol@c.test", None)])

    def test_ours(self) -> None:
        self.assertEqual(self.asked("sip:bob@example.test"), (None, None))

    @rfc(3261, "16.5", "a Request-URI with a maddr that is not ours is the only target")
    def test_maddr(self) -> None:
        """§16.5: one that is not ours makes the Request-URI the only target."""
        self.bind("bob", "sip:b@1.test")
        uri = "sip:bob@example.test;maddr=198.51.100.9"
        self.assertIsNone(self.targets(uri))
        by_domain, by_dns = self.asked(uri)
        self.assertIsNone(by_domain)
        self.assertEqual([(t.uri, t.hop) for t in by_dns], [(uri.encode(), None)])

    def test_abstract(self) -> None:
        """RFC 3861: where they are is for the DNS to say."""
        for uri in (b"im:carol@c.test", b"pres:carol@c.test"):
            _, by_dns = self.asked(uri.decode())
            self.assertEqual([(t.uri, t.hop) for t in by_dns], [(uri, None)])

    @rfc(3261, "16.3 step 2", "a URI scheme that is not understood is answered 416")
    def test_no_host_to_go_to(self) -> None:
        """§16.3 step 2: nobody has said where other schemes lead, but for a Route."""
        self.refuses(416, self.asked, "tel:+358")
        _, by_dns = self.asked("tel:+358", "Route: <sip:198.51.100.7;lr>")
        self.assertEqual(len(by_dns), 1)
