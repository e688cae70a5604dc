"""Via values, and what a server adds to the topmost one (RFC 3261 §18.2.1, §20.42, RFC 3581)."""

from __future__ import annotations

import re

from sipproxy.sip.headers import parse_via, stamp_via
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows


class ParseTests(TableCase):
    """RFC 3261 §20.42 and the grammar of §25.1."""

    @rows(
        {
            "first example of 20.42": (
                b"SIP/2.0/UDP erlang.bell-telephone.com:5060;branch=z9hG4bK87asdks7",
                *(b"UDP", b"erlang.bell-telephone.com", 5060, b"z9hG4bK87asdks7"),
            ),
            "second example of 20.42": (
                b"SIP/2.0/UDP 192.0.2.1:5060 ;received=192.0.2.207 ;branch=z9hG4bK77asjd",
                *(b"UDP", b"192.0.2.1", 5060, b"z9hG4bK77asjd"),
            ),
            "third example of 20.42": (
                b"SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 "
                b";branch=z9hG4bKa7c6a8dlze.1",
                *(b"UDP", b"first.example.com", 4000, b"z9hG4bKa7c6a8dlze.1"),
            ),
            "white space around the colon": (b"SIP/2.0/TCP a : 1", b"TCP", b"a", 1, b""),
            "tab": (b"SIP/2.0/UDP\ta\t;branch=b", b"UDP", b"a", None, b"b"),
            "case": (b"sip/2.0/tcp A.Example", b"TCP", b"a.example", None, b""),
            "no branch of an RFC 2543 client": (b"SIP/2.0/UDP a", b"UDP", b"a", None, b""),
            "branch without a value": (b"SIP/2.0/UDP a;branch", b"UDP", b"a", None, b""),
            "IPv6 of RFC 5118 4.2": (
                b"SIP/2.0/UDP [2001:DB8::9:1];branch=z9hG4bKas3-111",
                *(b"UDP", b"[2001:db8::9:1]", None, b"z9hG4bKas3-111"),
            ),
            "other transport": (b"SIP/2.0/TLS-SCTP a:1", b"TLS-SCTP", b"a", 1, b""),
        }
    )
    def test_read(
        self, value: bytes, transport: bytes, host: bytes, port: int | None, branch: bytes
    ) -> None:
        via = parse_via(value)
        self.assertEqual((via.transport, via.host, via.port), (transport, host, port))
        self.assertEqual(via.branch, branch)

    @rows(
        {
            "nothing": b"",
            "no sent-by": b"SIP/2.0/UDP",
            "no transport": b"SIP/2.0 a",
            "port of letters": b"SIP/2.0/UDP a:b",
            "empty port": b"SIP/2.0/UDP a:",
            "port beyond 65535": b"SIP/2.0/UDP a:65536",
            "user part": b"SIP/2.0/UDP p1@a",
            "IPv6 without brackets": b"SIP/2.0/UDP 2001:db8::1",
            "IPv6 not closed": b"SIP/2.0/UDP [::1",
            "two hosts": b"SIP/2.0/UDP a b",
            "two values": b"SIP/2.0/UDP a, SIP/2.0/UDP b",
            "two branches": b"SIP/2.0/UDP a;branch=1;branch=2",
            "semicolon at the end": b"SIP/2.0/UDP a;branch=1;",
            "quote not closed": b'SIP/2.0/UDP a;x="',
        }
    )
    def test_refused(self, value: bytes) -> None:
        self.refuses(400, parse_via, value)

    @rows(
        {
            "UDP": (b"SIP/2.0/UDP a", 5060),
            "TCP": (b"SIP/2.0/TCP a", 5060),
            "TLS": (b"SIP/2.0/TLS a", 5061),
            "tls": (b"SIP/2.0/tls a", 5061),
            "written": (b"SIP/2.0/TLS a:9", 9),
        }
    )
    def test_sent_by_has_the_default_port(self, value: bytes, port: int) -> None:
        """§18.2.2: if the port is absent, the default of the transport counts."""
        via = parse_via(value)
        self.assertEqual((via.effective_port, via.sent_by), (port, (b"a", port)))


class StampTests(TableCase):
    """The topmost Via of a request that came from 192.0.2.7, port 1234."""

    @rows(
        {
            "address and no rport": b"SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1",
            "written with white space": b"SIP / 2.0 / UDP 192.0.2.7 ; x = y",
        }
    )
    def test_same_address_leaves_it_as_it_is(self, value: bytes) -> None:
        """RFC 3261 §18.2.1: received MAY be left out where it would say the same."""
        self.assertIs(stamp_via(value, parse_via(value), b"192.0.2.7", 1234), value)

    @rfc(3261, "18.2.1", "received is added where the sent-by is a name or another address")
    @rfc(3581, "4", "an rport without a value is given the source port, and received with it")
    @rows(
        {
            "name": (
                b"SIP/2.0/UDP bobspc.biloxi.com:5060",
                b"SIP/2.0/UDP bobspc.biloxi.com:5060;received=192.0.2.7",
            ),
            "other address": (
                b"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1",
                b"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=192.0.2.7",
            ),
            "rport of RFC 3581 6": (
                b"SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff",
                b"SIP/2.0/UDP 10.1.1.1:4540;branch=z9hG4bKkjshdyff;rport=1234;received=192.0.2.7",
            ),
            "rport from the same address": (
                b"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1;rport",
                b"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1;rport=1234;received=192.0.2.7",
            ),
            "rport in another case with white space": (
                b"SIP/2.0/UDP 192.0.2.7 ; RPort ;branch=b",
                b"SIP/2.0/UDP 192.0.2.7;branch=b;rport=1234;received=192.0.2.7",
            ),
            "rport claimed": (
                b"SIP/2.0/UDP 10.0.0.1;rport=99;branch=b",
                b"SIP/2.0/UDP 10.0.0.1;branch=b;rport=1234;received=192.0.2.7",
            ),
            "received claimed": (
                b"SIP/2.0/UDP a;received=198.51.100.9;branch=b",
                b"SIP/2.0/UDP a;branch=b;received=192.0.2.7",
            ),
            "received claimed from the same address": (
                b"SIP/2.0/UDP 192.0.2.7 ;received = 198.51.100.9",
                b"SIP/2.0/UDP 192.0.2.7;received=192.0.2.7",
            ),
            "quoted look-alike": (
                b'SIP/2.0/UDP a;received=b;x=";received=";y=";rport"',
                b'SIP/2.0/UDP a;x=";received=";y=";rport";received=192.0.2.7',
            ),
            "rport beside a quoted look-alike": (
                b'SIP/2.0/UDP a;x="y;rport;z";rport',
                b'SIP/2.0/UDP a;x="y;rport;z";rport=1234;received=192.0.2.7',
            ),
            "names that only begin alike": (
                b"SIP/2.0/UDP a;rport;rportx=1;received-by=2",
                b"SIP/2.0/UDP a;rportx=1;received-by=2;rport=1234;received=192.0.2.7",
            ),
        }
    )
    def test_what_is_added(self, value: bytes, stamped: bytes) -> None:
        """RFC 3261 §18.2.1: received MUST be there where sent-by is another; RFC 3581 §4: rport
        is given the source port, and received stands beside it even where it is the same."""
        found = stamp_via(value, parse_via(value), b"192.0.2.7", 1234)
        self.assertEqual(re.sub(rb"\s*;\s*", b";", found), stamped)
        self.assertEqual(parse_via(found).params, parse_via(stamped).params)

    @rfc(5118, "4.5", "received holds an IPv6 address without brackets")
    @rows(
        {
            "same in another form": (b"SIP/2.0/UDP [2001:DB8:0::1]", b""),
            "another": (b"SIP/2.0/UDP [2001:db8::2]", b";received=2001:db8::1"),
        }
    )
    def test_ipv6(self, value: bytes, added: bytes) -> None:
        """RFC 5118 §4.5: received holds an IPv6 address without brackets."""
        self.assertEqual(stamp_via(value, parse_via(value), b"2001:db8::1", 5060), value + added)
