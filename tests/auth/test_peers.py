"""The federation policy: who may send to our users, and from where."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from sipproxy.auth.peers import Peers
from sipproxy.auth.settings import Federation, Route
from sipproxy.transport.resolver import Unreachable
from tests.sip.tables import TableCase, rows

ROUTES = (
    Route("b.test", "sip:198.51.100.7:5070"),
    Route("six.test", "sip:[2001:DB8:0::7]"),
    Route("C.test.", "sip:hop.c.test", from_=("203.0.113.0/24", "2001:db8:1::/48", "192.0.2.1")),
    Route("named.test", "sip:hop.named.test"),
    Route("bücher.test", "sip:198.51.100.9"),
)


class PeersCase(TableCase):
    """Peers whose names are resolved as the test says."""

    def setUp(self) -> None:
        self.names: dict[str, Any] = {
            "198.51.100.7": ["198.51.100.7"],
            "2001:db8::7": ["2001:db8::7"],
        }

    def peers(self, inbound: Any = "listed") -> Peers:
        return Peers(Federation(inbound), ROUTES, lambda uri: self.names[uri.address])


class ListedTest(PeersCase):
    """``inbound = "listed"``: the domain of From and the source address, both."""

    @rows(
        {
            "address of to": (b"b.test", b"198.51.100.7", True),
            "another address": (b"b.test", b"198.51.100.8", False),
            "address of another peer": (b"c.test", b"198.51.100.7", False),
            "not listed": (b"evil.test", b"198.51.100.7", False),
            "subdomain of one listed": (b"x.b.test", b"198.51.100.7", False),
            "IPv6, shortest form": (b"six.test", b"2001:db8::7", True),
            "from, IPv4 network": (b"c.test", b"203.0.113.255", True),
            "from, outside of it": (b"c.test", b"203.0.114.0", False),
            "from, IPv6 network": (b"c.test", b"2001:db8:1:2::3", True),
            "from, one address": (b"c.test", b"192.0.2.1", True),
            "from, the one beside it": (b"c.test", b"192.0.2.2", False),
            "from, scoped": (b"c.test", b"2001:db8:1::1%eth0", True),
            "IDNA": (b"xn--bcher-kva.test", b"198.51.100.7", False),
        }
    )
    def test_may_send(self, domain: bytes, source: bytes, may: bool) -> None:
        self.names["198.51.100.9"] = ["198.51.100.9"]
        self.assertIs(self.peers().may_send(domain, source), may)

    def test_from_stands_in_the_place_of_to(self) -> None:
        """Where sources are named, no name is asked for."""
        self.assertNotIn("hop.c.test", self.names)
        self.assertIs(self.peers().may_send(b"c.test", b"198.51.100.77"), False)


class NamedTest(PeersCase):
    """A next hop that is a name is resolved, now or later."""

    def test_at_once(self) -> None:
        self.names["hop.named.test"] = ["198.51.100.1", "198.51.100.2"]
        self.assertIs(self.peers().may_send(b"named.test", b"198.51.100.2"), True)

    @rows({"its address": (b"198.51.100.2", True), "another": (b"198.51.100.3", False)})
    def test_later(self, source: bytes, may: bool) -> None:
        waiting = self.names["hop.named.test"] = Deferred()
        found = self.peers().may_send(b"named.test", source)
        self.assertNoResult(found)
        waiting.callback(["198.51.100.1", "198.51.100.2"])
        self.assertIs(self.successResultOf(found), may)

    def test_is_listed(self) -> None:
        """An address that may speak for some domain, whichever that is."""
        self.names["198.51.100.9"] = ["198.51.100.9"]
        self.names["hop.named.test"] = ["198.51.100.77"]
        peers = self.peers()
        for source in (b"198.51.100.7", b"203.0.113.9", b"2001:db8::7", b"198.51.100.77"):
            self.assertIs(peers.is_listed(source), True, source)
        self.assertIs(peers.is_listed(b"198.51.100.8"), False)

    @rows({"its own": ("198.51.100.8", True), "another": ("198.51.100.1", False)})
    def test_is_listed_by_name(self, address: str, expected: bool) -> None:
        self.names["198.51.100.9"] = ["198.51.100.9"]
        self.names["hop.named.test"] = resolving = Deferred()
        peers = self.peers()
        self.assertIs(peers.is_listed(b"198.51.100.7"), True)
        found = peers.is_listed(b"198.51.100.8")
        resolving.callback([address])
        self.assertIs(self.successResultOf(found), expected)

    def test_each_time_anew(self) -> None:
        """What a name stood for yesterday may be somebody else's today."""
        peers = self.peers()
        self.names["hop.named.test"] = succeed(["198.51.100.1"])
        found = peers.may_send(b"named.test", b"198.51.100.1")
        self.assertIs(self.successResultOf(found), True)
        self.names["hop.named.test"] = succeed(["198.51.100.2"])
        found = peers.may_send(b"named.test", b"198.51.100.1")
        self.assertIs(self.successResultOf(found), False)

    def test_a_name_without_addresses_speaks_from_nowhere(self) -> None:
        self.names["hop.named.test"] = fail(Unreachable("no address"))
        found = self.peers().may_send(b"named.test", b"198.51.100.1")
        self.assertIs(self.successResultOf(found), False)


class CertificateTest(PeersCase):
    """A certificate takes the place of the address, for the domains in it (RFC 5922 §7.4)."""

    HERE, ELSEWHERE = b"198.51.100.7", b"203.0.113.9"

    @rows(
        {
            "its domain, from elsewhere": (b"b.test", ELSEWHERE, {b"b.test"}, True),
            "one of its domains": (b"b.test", ELSEWHERE, {b"c.test", b"b.test"}, True),
            "another, at its address": (b"b.test", HERE, {b"c.test"}, False),
            "the domain above": (b"b.test", HERE, {b"x.b.test"}, False),
            "not listed": (b"evil.test", ELSEWHERE, {b"evil.test"}, False),
            "none, at its address": (b"b.test", HERE, set(), True),
            "none, from elsewhere": (b"b.test", ELSEWHERE, set(), False),
        }
    )
    def test_listed(self, domain: bytes, source: bytes, proven: set[bytes], may: bool) -> None:
        self.assertIs(self.peers().may_send(domain, source, frozenset(proven)), may)

    @rows({"its domain": (b"evil.test", True), "another": (b"b.test", False)})
    def test_open(self, domain: bytes, may: bool) -> None:
        """Even where everybody may send."""
        found = self.peers("open").may_send(domain, self.HERE, frozenset({b"evil.test"}))
        self.assertIs(found, may)

    def test_closed(self) -> None:
        found = self.peers("closed").may_send(b"b.test", self.HERE, frozenset({b"b.test"}))
        self.assertIs(found, False)


class OthersTest(PeersCase):
    """``open`` and ``closed`` ask for nothing."""

    @rows({"open": ("open", True), "closed": ("closed", False)})
    def test_policy(self, inbound: str, may: bool) -> None:
        for domain in (b"b.test", b"evil.test", b""):
            self.assertIs(self.peers(inbound).may_send(domain, b"198.51.100.7"), may)


class VouchingTest(PeersCase):
    """Who may send anyway, and is who it says."""

    HERE, ELSEWHERE = b"198.51.100.7", b"198.51.100.8"

    @rows(
        {
            "at its address": (b"b.test", HERE, set(), True),
            "from elsewhere": (b"b.test", ELSEWHERE, set(), False),
            "not listed": (b"evil.test", HERE, set(), False),
            "by its certificate": (b"b.test", ELSEWHERE, {b"b.test"}, True),
            "not listed, by its certificate": (b"evil.test", ELSEWHERE, {b"evil.test"}, True),
        }
    )
    def test_an_open_door(
        self, domain: bytes, source: bytes, proven: set[bytes], is_proven: bool
    ) -> None:
        self.assertIs(self.peers("open").vouches(domain, source, frozenset(proven)), is_proven)

    def test_where_only_those_may_send_who_are(self) -> None:
        self.assertIs(self.peers("listed").vouches(b"b.test", self.HERE), True)

    def test_later(self) -> None:
        waiting = self.names["hop.named.test"] = Deferred()
        found = self.peers("open").vouches(b"named.test", b"198.51.100.2")
        waiting.callback(["198.51.100.2"])
        self.assertIs(self.successResultOf(found), True)


class HopTest(PeersCase):
    """The next hop of a domain is what its entry says."""

    @rows(
        {
            "listed": (b"b.test", b"sip:198.51.100.7:5070"),
            "written otherwise": (b"c.test", b"sip:hop.c.test"),
            "IDNA": (b"xn--bcher-kva.test", b"sip:198.51.100.9"),
            "not listed": (b"evil.test", None),
            "subdomain": (b"x.b.test", None),
        }
    )
    def test_hop(self, domain: bytes, raw: bytes | None) -> None:
        hop = self.peers().hop(domain)
        self.assertEqual(None if hop is None else hop.raw, raw)
