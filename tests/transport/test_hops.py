"""The rules of RFC 3263 and 2782, in tables."""

from __future__ import annotations

from collections import Counter
from random import Random

from sipproxy.sip.uri import parse_uri
from sipproxy.transport.hops import (
    Naptr,
    Service,
    Srv,
    Unreachable,
    aim,
    in_order,
    is_name,
    is_nobody,
    is_private,
    services,
)
from tests.sip.tables import TableCase, rows

ALL = ("udp", "tcp", "tls")


class AimTest(TableCase):
    """§4.1, and the port of §4.2: what the URI says by itself."""

    @rows(
        {
            "name": ("sip:b.test", ("", "udp", "b.test", None)),
            "numeric": ("sip:192.0.2.1", ("", "udp", "192.0.2.1", None)),
            "IPv6": ("sip:[2001:db8::1]:5070", ("", "udp", "2001:db8::1", 5070)),
            "port": ("sip:b.test:5060", ("", "udp", "b.test", 5060)),
            "transport": ("sip:b.test;transport=TCP", ("tcp", "tcp", "b.test", None)),
            "TLS": ("sip:b.test;transport=tls", ("tls", "tls", "b.test", None)),
            "maddr": ("sip:b.test:5070;maddr=C.test", ("", "udp", "c.test", 5070)),
            "sips": ("sips:b.test", ("", "tls", "b.test", None)),
            "sips over tcp": ("sips:b.test;transport=tcp", ("tls", "tls", "b.test", None)),
            "im": ("im:bob@b.test", ("", "udp", "b.test", None)),
        }
    )
    def test_aim(self, uri: str, wanted: tuple[str, str, str, int | None]) -> None:
        found = aim(parse_uri(uri.encode()), ALL)
        self.assertEqual((found.transport, found.default, found.host, found.port), wanted)

    @rows(
        {
            "unknown": ("sip:b.test;transport=sctp", ALL),
            "none of ours": ("sip:b.test;transport=tls", ("udp", "tcp")),
            "sips without TLS": ("sips:b.test", ("udp", "tcp")),
            "sips over UDP": ("sips:b.test;transport=udp", ALL),
            "scope": ("sip:b.test;maddr=[fe80::1%25eth0]", ALL),
        }
    )
    def test_no_way(self, uri: str, transports: tuple[str, ...]) -> None:
        self.assertRaises(Unreachable, aim, parse_uri(uri.encode()), transports)

    def test_a_server_without_udp_goes_by_tcp(self) -> None:
        self.assertEqual(aim(parse_uri(b"sip:b.test"), ("tcp",)).default, "tcp")

    @rows(
        {
            "sip": (b"sip:b.test", ALL, ["_sip._udp.b.test", "_sip._tcp.b.test"]),
            "without UDP": (b"sip:b.test", ("tcp",), ["_sip._tcp.b.test", "_sip._udp.b.test"]),
            "sips": (b"sips:b.test", ALL, ["_sips._tcp.b.test"]),
        }
    )
    def test_services_without_naptr(
        self, uri: bytes, transports: tuple[str, ...], names: list[str]
    ) -> None:
        """§4.1: an SRV query for each transport."""
        found = aim(parse_uri(uri), transports).services
        self.assertEqual([service.name for service in found], names)


def naptr(order: int, preference: int, service: str, name: str, flags: str = "s") -> Naptr:
    return Naptr(order, preference, flags.encode(), service.encode(), b"", name)


UDP = naptr(100, 50, "SIP+D2U", "_sip._udp.b.test")
TCP = naptr(90, 50, "SIP+D2T", "_sip._tcp.b.test")
TLS = naptr(50, 50, "SIPS+D2T", "_sips._tcp.b.test")


class ServicesTest(TableCase):
    """§4.1: which NAPTR records count, and in which order."""

    @rows(
        {
            "the RFC's example": ("sip", ("udp", "tcp"), [UDP, TCP, TLS], ["tcp", "udp"]),
            "with TLS": ("sip", ALL, [UDP, TCP, TLS], ["tls", "tcp", "udp"]),
            "sips": ("sips", ALL, [UDP, TCP, TLS], ["tls"]),
            "sips, none": ("sips", ALL, [UDP, TCP], []),
            "preference": (
                "sip",
                ALL,
                [naptr(1, 20, "SIP+D2T", "t"), naptr(1, 10, "SIP+D2U", "u")],
                ["udp", "tcp"],
            ),
            "case": ("sip", ALL, [naptr(1, 1, "sip+d2t", "t", "S")], ["tcp"]),
            "other services": (
                "sip",
                ALL,
                [naptr(1, 1, "E2U+sip", "t"), naptr(1, 1, "SIP+D2S", "s"), UDP],
                ["udp"],
            ),
            "other flags": ("sip", ALL, [naptr(1, 1, "SIP+D2T", "t", "a")], []),
            "TLS over UDP": ("sip", ALL, [naptr(1, 1, "SIPS+D2U", "t")], []),
            "twice": ("sip", ALL, [UDP, UDP], ["udp"]),
            "regexp": ("sip", ALL, [Naptr(1, 1, b"s", b"SIP+D2U", b"!.*!x!", "t")], []),
            "no replacement": ("sip", ALL, [naptr(1, 1, "SIP+D2U", "")], []),
        }
    )
    def test_services(
        self, scheme: str, ours: tuple[str, ...], records: list[Naptr], transports: list[str]
    ) -> None:
        aimed = aim(parse_uri(f"{scheme}:b.test".encode()), ALL)
        found = services(records, aimed, ours)
        self.assertEqual([service.transport for service in found], transports)

    def test_another_domain(self) -> None:
        """§4.1: the replacement need not be of the domain."""
        aimed = aim(parse_uri(b"sip:b.test"), ALL)
        found = services([naptr(1, 1, "SIP+D2T", "_sip._tcp.School.test")], aimed, ALL)
        self.assertEqual(found, [Service("tcp", "_sip._tcp.school.test")])


def srv(priority: int, weight: int, target: str = "x") -> Srv:
    return Srv(priority, weight, 5060, target)


class OrderTest(TableCase):
    """RFC 2782: priority, then chance by weight."""

    def drawn(self, records: list[Srv], count: int = 4000) -> Counter[str]:
        """Return how often each target was the first."""
        random = Random(3263)
        return Counter(next(in_order(records, random.randbytes)).target for _ in range(count))

    def test_priority(self) -> None:
        records = [srv(2, 9, "c"), srv(1, 0, "b"), srv(0, 1, "a")]
        found = in_order(records, Random(1).randbytes)
        self.assertEqual([one.target for one in found], ["a", "b", "c"])

    def test_weight(self) -> None:
        found = self.drawn([srv(0, 100, "a"), srv(0, 300, "b")])
        self.assertTrue(0.7 < found["b"] / 4000 < 0.8, found)

    def test_weight_0_is_rare_but_there(self) -> None:
        found = self.drawn([srv(0, 50, "a"), srv(0, 0, "b")])
        self.assertTrue(0 < found["b"] < 300, found)

    def test_all_0(self) -> None:
        """Nothing is said of load: the first will do."""
        self.assertEqual(self.drawn([srv(0, 0, "a"), srv(0, 0, "b")], 10), {"a": 10})

    def test_each_once(self) -> None:
        records = [srv(n % 3, n * n, str(n)) for n in range(40)]
        for seed in range(20):
            found = list(in_order(records, Random(seed).randbytes))
            self.assertEqual(sorted(found), sorted(records))
            self.assertEqual([one.priority for one in found], sorted(one.priority for one in found))

    def test_the_same_chance_the_same_order(self) -> None:
        records = [srv(0, n, str(n)) for n in range(20)]
        first, second = (list(in_order(records, Random(7).randbytes)) for _ in "ab")
        self.assertEqual(first, second)


class AddressTest(TableCase):
    """What a stranger's name may not stand for."""

    @rows(
        {
            "public": ("8.8.8.8", False, False),
            "documentation": ("198.51.100.7", False, False),
            "10": ("10.1.2.3", True, False),
            "172.16": ("172.31.255.255", True, False),
            "172.32": ("172.32.0.0", False, False),
            "192.168": ("192.168.1.1", True, False),
            "loopback": ("127.0.0.1", True, False),
            "link": ("169.254.169.254", True, False),
            "shared": ("100.64.0.1", True, False),
            "unspecified": ("0.0.0.0", False, True),
            "multicast": ("224.0.1.75", False, True),
            "broadcast": ("255.255.255.255", False, True),
            "IPv6": ("2001:db8::1", False, False),
            "IPv6 loopback": ("::1", True, False),
            "IPv6 link": ("fe80::1", True, False),
            "IPv6 site": ("fd00::1", True, False),
            "IPv6 multicast": ("ff02::1", False, True),
            "IPv6 unspecified": ("::", False, True),
            "mapped": ("::ffff:127.0.0.1", True, False),
            "compatible": ("::127.0.0.1", False, True),
            "6to4": ("2002:7f00:1::", True, False),
            "NAT64": ("64:ff9b::10.0.0.1", True, False),
            "NAT64 of a public one": ("64:ff9b::8.8.8.8", False, False),
        }
    )
    def test_kind(self, address: str, private: bool, nobody: bool) -> None:
        self.assertEqual((is_private(address), is_nobody(address)), (private, nobody))

    @rows(
        {
            "name": ("b.test", True),
            "one label": ("localhost", True),
            "service": ("_sip._udp.b.test", True),
            "empty": ("", False),
            "empty label": ("a..test", False),
            "long label": ("a" * 64 + ".test", False),
            "long": ("a." * 130 + "test", False),
            "nul": ("a\0.test", False),
            "space": ("a b.test", False),
            "not ASCII": ("b\u00fccher.test", False),
        }
    )
    def test_name(self, host: str, good: bool) -> None:
        self.assertIs(is_name(host), good)
