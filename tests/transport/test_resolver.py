"""From a URI to hops, whatever the DNS says (RFC 3263, RFC 3861)."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from sipproxy.sip.uri import parse_uri
from sipproxy.transport.hops import Unreachable
from sipproxy.transport.names import AAAA, A, Hosts
from sipproxy.transport.resolver import Means, Resolver
from sipproxy.transport.settings import Dns
from tests.sip.tables import TableCase, rows
from tests.transport.zones import FakeDns, zone

ALL = Means(("udp", "tcp", "tls"))
OURS = Means(("udp", "tcp"))
ZONE = """
    full.test             NAPTR  50 50 s SIPS+D2T _sips._tcp.full.test
    full.test             NAPTR  90 50 s SIP+D2T _sip._tcp.full.test
    full.test             NAPTR  99 50 s SIP+D2U _sip._udp.elsewhere.test
    _sips._tcp.full.test  SRV    0 0 5081 one.test
    _sip._tcp.full.test   SRV    0 0 5080 one.test
    _sip._udp.elsewhere.test  SRV  0 0 5082 two.test
    full.test             A      198.51.100.99

    srv.test              A      198.51.100.99
    _sip._udp.srv.test    SRV    2 0 5072 two.test
    _sip._udp.srv.test    SRV    1 0 5071 one.test
    _sip._tcp.srv.test    SRV    1 0 5073 one.test
    _sips._tcp.srv.test   SRV    1 0 5074 one.test

    bare.test             A      198.51.100.3
    bare.test             AAAA   2001:db8::3
    alias.test            CNAME  bare.test
    im.test               A      198.51.100.99
    _im._sip.im.test      SRV    0 0 5090 one.test
    gone.test             A      198.51.100.99
    _sip._udp.gone.test   SRV    0 0 0 .
    half.test             A      198.51.100.99
    _sip._udp.half.test   SRV    0 0 5060 nowhere.test
    _sip._udp.half.test   SRV    1 0 5060 two.test
    empty.test            NAPTR  1 1 s SIP+D2T _sip._tcp.nobody.test
    empty.test            A      198.51.100.4
    enum.test             NAPTR  1 1 u E2U+sip _sip._tcp.nobody.test
    enum.test             A      198.51.100.5

    one.test              A      198.51.100.1
    two.test              A      198.51.100.2
    two.test              A      198.51.100.22
    in.test               A      10.0.0.1
    mixed.test            A      127.0.0.1
    mixed.test            A      198.51.100.6
    _sip._udp.trap.test   SRV    0 0 22 in.test
    many.test             A      224.0.1.75
"""
HOSTS = "::1 dual.test\n127.0.0.1 localhost box.test dual.test\n"


class ResolverCase(TableCase):
    """A resolver on a clock, with a DNS of the test's."""

    def setUp(self) -> None:
        self.dns = FakeDns(ZONE)
        self.clock = Clock()
        self.hosts = self.mktemp()
        with open(self.hosts, "w") as file:
            file.write(HOSTS)
        self.resolver = self.made()

    def made(self, own: tuple[str, ...] = (), **settings: Any) -> Resolver:
        hosts = Hosts(self.clock, self.hosts)
        random = Random(1).randbytes
        return Resolver(self.clock, Dns(**settings), random, own, self.dns, hosts)

    def ask(self, uri: str, means: Means = OURS) -> Any:
        return self.resolver.hops(parse_uri(uri.encode()), means)

    def hops(self, uri: str, means: Means = OURS) -> list[str]:
        found = self.ask(uri, means)
        found = self.successResultOf(found) if isinstance(found, Deferred) else found
        return [str(hop) for hop in found]

    def problem(self, uri: str, means: Means = OURS) -> str:
        return str(self.failureResultOf(self.ask(uri, means), Unreachable).value)


class HopsTest(ResolverCase):
    """§4.1 and §4.2."""

    @rows(
        {
            "numeric": ("sip:192.0.2.1", ["udp 192.0.2.1:5060"]),
            "numeric, port": ("sip:192.0.2.1:5070", ["udp 192.0.2.1:5070"]),
            "numeric, transport": ("sip:192.0.2.1;transport=tcp", ["tcp 192.0.2.1:5060"]),
            "numeric, IPv6": ("sip:[2001:DB8:0::1]", ["udp [2001:db8::1]:5060"]),
            "numeric, TLS": ("sip:192.0.2.1;transport=tls", ["tls 192.0.2.1:5061"]),
            "numeric, sips": ("sips:192.0.2.1", ["tls 192.0.2.1:5061"]),
            "numeric maddr": ("sip:x.test:5070;maddr=192.0.2.9", ["udp 192.0.2.9:5070"]),
            "/etc/hosts": ("sip:localhost:5070", ["udp 127.0.0.1:5070"]),
            "/etc/hosts, no port": ("sip:box.test", ["udp 127.0.0.1:5060"]),
        }
    )
    def test_nobody_is_asked(self, uri: str, wanted: list[str]) -> None:
        self.assertEqual(self.hops(uri, ALL), wanted)
        self.assertEqual(self.dns.asked, [])

    @rows(
        {
            "NAPTR": (
                "sip:full.test",
                ["tcp 198.51.100.1:5080", "udp 198.51.100.2:5082", "udp 198.51.100.22:5082"],
            ),
            "SRV of all transports": (
                "sip:srv.test",
                [
                    "udp 198.51.100.1:5071",
                    "udp 198.51.100.2:5072",
                    "udp 198.51.100.22:5072",
                    "tcp 198.51.100.1:5073",
                ],
            ),
            "transport": ("sip:srv.test;transport=tcp", ["tcp 198.51.100.1:5073"]),
            "transport without SRV": (
                "sip:bare.test;transport=tcp",
                ["tcp [2001:db8::3]:5060", "tcp 198.51.100.3:5060"],
            ),
            "port": ("sip:srv.test:5060", ["udp 198.51.100.99:5060"]),
            "port and transport": (
                "sip:srv.test:5060;transport=tcp",
                ["tcp 198.51.100.99:5060"],
            ),
            "nothing": ("sip:bare.test", ["udp [2001:db8::3]:5060", "udp 198.51.100.3:5060"]),
            "alias": ("sip:alias.test", ["udp [2001:db8::3]:5060", "udp 198.51.100.3:5060"]),
            "maddr": (
                "sip:bob@x.test;maddr=bare.test",
                ["udp [2001:db8::3]:5060", "udp 198.51.100.3:5060"],
            ),
            "one server without address": (
                "sip:half.test",
                ["udp 198.51.100.2:5060", "udp 198.51.100.22:5060"],
            ),
            "NAPTR without SRV": ("sip:empty.test", ["tcp 198.51.100.4:5060"]),
            "NAPTR of others": ("sip:enum.test", ["udp 198.51.100.5:5060"]),
            "case": ("sip:Bare.TEST", ["udp [2001:db8::3]:5060", "udp 198.51.100.3:5060"]),
            "some private": ("sip:mixed.test", ["udp 198.51.100.6:5060"]),
        }
    )
    def test_hops(self, uri: str, wanted: list[str]) -> None:
        self.assertEqual(self.hops(uri), wanted)

    @rows(
        {
            "sip, NAPTR": ("sip:full.test", "tls 198.51.100.1:5081"),
            "sips, NAPTR": ("sips:full.test", "tls 198.51.100.1:5081"),
            "sips, SRV": ("sips:srv.test", "tls 198.51.100.1:5074"),
            "sips over tcp": ("sips:srv.test;transport=tcp", "tls 198.51.100.1:5074"),
            "TLS": ("sip:srv.test;transport=tls", "tls 198.51.100.1:5074"),
            "sips, nothing": ("sips:enum.test", "tls 198.51.100.5:5061"),
            "sips, port": ("sips:enum.test:5090", "tls 198.51.100.5:5090"),
        }
    )
    def test_tls(self, uri: str, first: str) -> None:
        found = self.hops(uri, ALL)
        self.assertEqual(found[0], first)
        if uri.startswith("sips"):
            self.assertEqual({hop.split()[0] for hop in found}, {"tls"})

    def test_the_name_of_a_certificate_is_that_of_the_uri(self) -> None:
        """RFC 5922 §4: what the DNS says of other names is not to be relied on."""
        for hop in self.successResultOf(self.ask("sips:full.test", ALL)):
            self.assertEqual(hop.name, "full.test")

    def test_families(self) -> None:
        """Addresses that we cannot send to are not asked for."""
        self.assertEqual(
            self.hops("sip:bare.test:1", Means(("udp",), (A,))), ["udp 198.51.100.3:1"]
        )
        self.assertEqual(self.dns.asked, ["bare.test A"])
        found = self.hops("sip:bare.test:1", Means(("udp",), (AAAA,)))
        self.assertEqual(found, ["udp [2001:db8::3]:1"])

    @rows(
        {
            "IPv4": ((A,), ["udp 127.0.0.1:5060"]),
            "IPv6": ((AAAA,), ["udp [::1]:5060"]),
            "both": ((AAAA, A), ["udp [::1]:5060", "udp 127.0.0.1:5060"]),
        }
    )
    def test_families_of_hosts(self, kinds: tuple[int, ...], wanted: list[str]) -> None:
        self.assertEqual(self.hops("sip:dual.test", Means(("udp",), kinds)), wanted)

    def test_sources(self) -> None:
        """Every address that a peer may have, whatever goes there."""
        found = self.resolver.sources(parse_uri(b"sip:srv.test"))
        addresses = {"198.51.100.1", "198.51.100.2", "198.51.100.22"}
        self.assertEqual(set(self.successResultOf(found)), addresses)
        self.assertEqual(self.resolver.sources(parse_uri(b"sip:192.0.2.1")), ["192.0.2.1"])


class AbstractTest(ResolverCase):
    """RFC 3861: im and pres."""

    def test_srv(self) -> None:
        """§4: where there are SRV records nothing else is used."""
        self.assertEqual(self.hops("im:bob@im.test"), ["udp 198.51.100.1:5090"])
        self.assertEqual(self.dns.asked[0], "_im._sip.im.test SRV")

    def test_without_srv_it_goes_as_sip(self) -> None:
        self.assertEqual(self.hops("pres:bob@im.test"), ["udp 198.51.100.99:5060"])
        self.assertEqual(self.dns.asked[0], "_pres._sip.im.test SRV")
        self.assertEqual(self.hops("im:bob@full.test")[0], "tcp 198.51.100.1:5080")


class LieTest(ResolverCase):
    """Answers that lie become one clear reason, and cost little."""

    @rows(
        {
            "nothing": ("sip:none.test", "none.test has no address"),
            "nobody serves it": ("sip:gone.test", "gone.test: the DNS says that nobody serves it"),
            "private": (
                "sip:in.test",
                "in.test: the DNS gives 10.0.0.1, where no foreign name may be",
            ),
            "private, by SRV": (
                "sip:trap.test",
                "in.test: the DNS gives 10.0.0.1, where no foreign name may be",
            ),
            "no name": ("sip:" + "a" * 64 + ".test", f"'{'a' * 64}.test' is no host name"),
        }
    )
    def test_problem(self, uri: str, problem: str) -> None:
        self.assertEqual(self.problem(uri), problem)

    def test_private_addresses_of_the_operators_names(self) -> None:
        for resolver in (self.made(("in.test",)), self.made(private=True)):
            self.resolver = resolver
            self.assertEqual(self.hops("sip:in.test"), ["udp 10.0.0.1:5060"])

    def test_nobody_may_have_us_send_to_many(self) -> None:
        self.resolver = self.made(("many.test",), private=True)
        self.assertIn("224.0.1.75", self.problem("sip:many.test"))

    def test_srv_to_the_operators_hosts_file(self) -> None:
        """What it says of localhost is for those who write localhost, not for strangers' zones."""
        self.dns.zone = zone("_sip._udp.x.test SRV 0 0 22 localhost")
        self.assertEqual(self.problem("sip:x.test"), "localhost has no address")

    def test_a_thousand_servers(self) -> None:
        lines = [f"_sip._udp.x.test SRV 0 {n} 5060 h{n}.test" for n in range(1000)]
        lines += [f"h{n}.test A 198.51.100.{n % 250}" for n in range(1000)]
        self.dns.zone = zone("\n".join(lines))
        self.assertEqual(len(self.hops("sip:x.test")), 8)
        self.assertLess(len(self.dns.asked), 30)

    def test_a_thousand_addresses(self) -> None:
        self.dns.zone = zone(
            "\n".join(f"x.test A 198.51.{n // 250}.{n % 250}" for n in range(1000))
        )
        self.assertEqual(len(self.hops("sip:x.test")), 8)

    def test_the_limit_is_the_operators(self) -> None:
        self.resolver = self.made(hops=2)
        self.assertEqual(len(self.hops("sip:srv.test")), 2)

    def test_the_same_hop_twice(self) -> None:
        self.dns.zone = zone("""
            _sip._udp.x.test SRV 0 0 5060 one.test
            _sip._udp.x.test SRV 1 0 5060 One.test
            one.test A 198.51.100.1""")
        self.assertEqual(self.hops("sip:x.test"), ["udp 198.51.100.1:5060"])

    def test_failure(self) -> None:
        """What cannot be asked is not taken for what is not there."""
        self.dns.fault = Unreachable("the DNS server answers with code 2")
        self.assertEqual(self.problem("sip:srv.test"), "the DNS server answers with code 2")

    def test_failure_of_one_family(self) -> None:
        ask = self.dns.__class__.__call__

        def lookup(name: str, kind: int) -> Any:
            self.dns.fault = Unreachable("broken") if kind == AAAA else None
            return ask(self.dns, name, kind)

        self.resolver.names._lookup = lookup
        self.assertEqual(self.hops("sip:bare.test"), ["udp 198.51.100.3:5060"])
        self.assertEqual(self.problem("sip:none.test:5060"), "broken")

    def test_patience(self) -> None:
        """All queries of one request together have so long, and then nothing is left of them."""
        self.dns.waits = True
        found = self.ask("sip:full.test")
        self.clock.advance(6)
        self.dns.answer()
        self.assertNoResult(found)
        self.clock.advance(4)
        problem = self.failureResultOf(found, Unreachable).value
        self.assertEqual(str(problem), "full.test: nothing from the DNS within 10 s")
        self.dns.answer()
        self.clock.advance(10)
        self.assertEqual(self.resolver.names._asking, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
