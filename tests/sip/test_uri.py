"""URIs: grammar, equality and the canonical address-of-record (RFC 3261 §10.3, §19.1, 5118)."""

from __future__ import annotations

from sipproxy.sip.uri import (
    Uri,
    address_of_record,
    aor_uri,
    canonical_host,
    equivalent,
    normal_form,
    parse_uri,
    request_form,
)
from tests.sip.tables import TableCase, rows


def parts(uri: Uri) -> tuple[object, ...]:
    """Return what a SIP URI is made of."""
    return uri.scheme, uri.user, uri.password, uri.host, uri.port, uri.params, uri.headers


class ParseTests(TableCase):
    """RFC 3261 §19.1.1: the components of a SIP URI."""

    @rows(
        {
            # §19.1.3, every example
            "user": (b"sip:alice@atlanta.com", b"alice", None, b"atlanta.com", None, {}, b""),
            "password and transport": (
                b"sip:alice:secretword@atlanta.com;transport=tcp",
                *(b"alice", b"secretword", b"atlanta.com", None, {b"transport": b"tcp"}, b""),
            ),
            "headers": (
                b"sips:alice@atlanta.com?subject=project%20x&priority=urgent",
                *(b"alice", None, b"atlanta.com", None, {}),
                b"?subject=project%20x&priority=urgent",
            ),
            "telephone subscriber": (
                b"sip:+1-212-555-1212:1234@gateway.com;user=phone",
                *(b"+1-212-555-1212", b"1234", b"gateway.com", None, {b"user": b"phone"}, b""),
            ),
            "sips and digits": (
                b"sips:1212@gateway.com",
                *(b"1212", None, b"gateway.com", None, {}, b""),
            ),
            "IPv4 address": (
                b"sip:alice@192.0.2.4",
                *(b"alice", None, b"192.0.2.4", None, {}, b""),
            ),
            "method parameter and header without a user": (
                b"sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
                *(None, None, b"atlanta.com", None, {b"method": b"REGISTER"}),
                b"?to=alice%40atlanta.com",
            ),
            "semicolon in the user part": (
                b"sip:alice;day=tuesday@atlanta.com",
                *(b"alice;day=tuesday", None, b"atlanta.com", None, {}, b""),
            ),
            # the rest of §25.1
            "port": (b"sip:a@b.example:5070", b"a", None, b"b.example", 5070, {}, b""),
            "empty password": (b"sip:a:@b", b"a", b"", b"b", None, {}, b""),
            "flag and empty parameter": (
                b"sip:h;lr;x=",
                *(None, None, b"h", None, {b"lr": None, b"x": b""}, b""),
            ),
            "question mark in the user part": (
                b"sip:a?b@h",
                *(b"a?b", None, b"h", None, {}, b""),
            ),
            "escaped parameter": (
                b"sip:h;%6Cr=a%3Bb",
                *(None, None, b"h", None, {b"lr": b"a;b"}, b""),
            ),
            "final dot of the root": (b"sip:h.example.", None, None, b"h.example", None, {}, b""),
            # RFC 5118 §4.1, §4.2, §4.3
            "IPv6 reference": (
                b"sip:[2001:DB8::10]",
                *(None, None, b"[2001:db8::10]", None, {}, b""),
            ),
            "port behind the IPv6 reference": (
                b"sip:[2001:db8::10]:5070",
                *(None, None, b"[2001:db8::10]", 5070, {}, b""),
            ),
            "port taken into the IPv6 reference": (
                b"sip:user@[2001:db8::10:5070]",
                *(b"user", None, b"[2001:db8::10:5070]", None, {}, b""),
            ),
        }
    )
    def test_components(self, raw: bytes, *expected: object) -> None:
        uri = parse_uri(raw)
        self.assertEqual(parts(uri)[1:], expected)
        self.assertEqual(uri.raw, raw)

    @rows(
        {
            "no scheme": b"alice@example.com",
            "nothing": b"",
            "scheme alone": b"sip:",
            "scheme that starts with a digit": b"1sip:a@b",
            "angle brackets": b"<sip:a@b>",
            "empty user": b"sip:@b",
            "empty user with a password": b"sip::secret@b",
            "no host": b"sip:a@",
            "two at signs": b"sip:a@b@c",
            "white space in the user": b"sip:a b@c",
            "white space at the end": b"sip:a@b ",
            "control character": b"sip:a\x00b@c",
            "quote": b'sip:"a"@b',
            "empty port": b"sip:a@b:",
            "port with letters": b"sip:a@b:5o60",
            "port beyond 65535": b"sip:a@b:65536",
            "host starting with a hyphen": b"sip:a@-b",
            "host of other octets": b"sip:a@b\xc3\xa9",
            "IPv6 without brackets": b"sip:a@2001:db8::1",
            "IPv6 reference not closed": b"sip:a@[2001:db8::1",
            "IPv6 reference of letters": b"sip:a@[xyz]",
            "empty IPv6 reference": b"sip:a@[]",
            "parameter without a name": b"sip:a@b;=x",
            "two semicolons": b"sip:a@b;;lr",
            "repeated parameter": b"sip:a@b;lr;lr",
            "parameter repeated in another case and escaped": b"sip:a@b;x=1;%58=2",
            "other scheme with nothing": b"tel:",
            "other scheme with white space": b"tel:+1 2",
            "other scheme in brackets": b"tel:<1>",
        }
    )
    def test_grammar_broken(self, raw: bytes) -> None:
        """§21.4.1: malformed syntax is a 400."""
        self.refuses(400, parse_uri, raw)

    @rows(
        {
            "tel": (b"tel:+1-201-555-0123", b"tel"),
            "isbn": (b"ISBN:2983792873", b"isbn"),
            "service": (b"urn:service:sos", b"urn"),
        }
    )
    def test_other_scheme_is_kept_whole(self, raw: bytes, scheme: bytes) -> None:
        """§19.1.1: what other schemes mean is not ours to read."""
        uri = parse_uri(raw)
        self.assertEqual((uri.scheme, uri.is_sip, uri.host, uri.raw), (scheme, False, b"", raw))

    @rows(
        {
            "sip": (b"sip:h", 5060),
            "sips": (b"sips:h", 5061),
            "transport=tls": (b"sip:h;transport=TLS", 5061),
            "im": (b"im:a@h", 5060),
            "tel": (b"tel:1", 5060),
            "written": (b"sips:h:7", 7),
            "written zero": (b"sip:h:0", 0),
        }
    )
    def test_effective_port(self, raw: bytes, port: int) -> None:
        """§19.1.2: the default port depends on the scheme."""
        self.assertEqual(parse_uri(raw).effective_port, port)

    @rows(
        {
            "flag": (b"sip:h;lr", True),
            "with a value": (b"sip:h;lr=on", True),
            "upper case": (b"sip:h;LR", True),
            "in the user part": (b"sip:a;lr@h", False),
            "none": (b"sip:h", False),
        }
    )
    def test_loose_router(self, raw: bytes, loose: bool) -> None:
        """§19.1.1: the lr parameter, names of parameters being case-insensitive."""
        self.assertIs(parse_uri(raw).is_loose_router, loose)

    @rows(
        {
            "name": (b"sip:a@Host.Example", "host.example"),
            "IPv6": (b"sip:a@[2001:DB8:0:0::1]", "2001:db8::1"),
        }
    )
    def test_address(self, raw: bytes, address: str) -> None:
        self.assertEqual(parse_uri(raw).address, address)

    def test_repr_shows_what_was_written(self) -> None:
        self.assertEqual(repr(parse_uri(b"sip:A@b")), "<Uri b'sip:A@b'>")


class CanonicalHostTests(TableCase):
    """Hosts that are one have one form."""

    @rows(
        {
            "case": (b"AtLanTa.CoM", b"atlanta.com"),
            "final dot": (b"atlanta.com.", b"atlanta.com"),
            "IPv4": (b"192.0.2.4", b"192.0.2.4"),
            "IPv6 zeros": (b"[2001:0DB8:0000:0000::0001]", b"[2001:db8::1]"),
            "three colons of RFC 5118 4.10": (b"[2001:db8:::192.0.2.1]", b"[2001:db8::c000:201]"),
            "two colons of RFC 5118 4.10": (b"[2001:db8::192.0.2.1]", b"[2001:db8::c000:201]"),
            "no address after all": (b"[1:2:G]", b"[1:2:g]"),
        }
    )
    def test_form(self, written: bytes, form: bytes) -> None:
        self.assertEqual(canonical_host(written), form)


class EqualityTests(TableCase):
    """RFC 3261 §19.1.4: each example pair, and each rule beside them."""

    @rows(
        {
            "escaped user and case": (
                b"sip:%61lice@atlanta.com;transport=TCP",
                b"sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            "unknown parameter in one": (
                b"sip:carol@chicago.com",
                b"sip:carol@chicago.com;newparam=5",
            ),
            "security in one": (b"sip:carol@chicago.com", b"sip:carol@chicago.com;security=on"),
            "different unknown parameters": (
                b"sip:carol@chicago.com;newparam=5",
                b"sip:carol@chicago.com;security=on",
            ),
            "order of parameters": (
                b"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                b"sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            "order of headers": (
                b"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                b"sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            "case of the scheme": (b"SIP:a@h", b"sip:a@h"),
            "case of header names": (b"sip:a@h?Subject=x", b"sip:a@h?subject=x"),
            "escapes in another case": (b"sip:a%3b@h", b"sip:a%3B@h"),
            "forms of an IPv6 address": (b"sip:a@[2001:db8::1]", b"sip:a@[2001:DB8:0::1]"),
            "other scheme as written": (b"tel:+12", b"tel:+12"),
        }
    )
    def test_equivalent(self, a: bytes, b: bytes) -> None:
        self.assertTrue(equivalent(parse_uri(a), parse_uri(b)))
        self.assertTrue(equivalent(parse_uri(b), parse_uri(a)))
        is_known = not any(name in a + b for name in (b"newparam", b"security"))
        self.assertEqual(normal_form(parse_uri(a)) == normal_form(parse_uri(b)), is_known)

    @rows(
        {
            "different usernames": (
                b"SIP:ALICE@AtLanTa.CoM;Transport=udp",
                b"sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            "can resolve to different ports": (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com:5060"),
            "can resolve to different transports": (
                b"sip:bob@biloxi.com",
                b"sip:bob@biloxi.com;transport=udp",
            ),
            "different port and transport": (
                b"sip:bob@biloxi.com",
                b"sip:bob@biloxi.com:6000;transport=tcp",
            ),
            "different header component": (
                b"sip:carol@chicago.com",
                b"sip:carol@chicago.com?Subject=next%20meeting",
            ),
            "name and the address it resolves to": (
                b"sip:bob@phone21.boxesbybob.com",
                b"sip:bob@192.0.2.4",
            ),
            "equality is not transitive": (
                b"sip:carol@chicago.com;security=on",
                b"sip:carol@chicago.com;security=off",
            ),
            "scheme": (b"sip:a@h", b"sips:a@h"),
            "user in one": (b"sip:a@h", b"sip:h"),
            "password in one": (b"sip:a:b@h", b"sip:a@h"),
            "case of the password": (b"sip:a:b@h", b"sip:a:B@h"),
            "reserved character and its escape": (b"sip:a;b@h", b"sip:a%3Bb@h"),
            "escaped per cent sign": (b"sip:%253B@h", b"sip:%3B@h"),
            "user parameter in one": (b"sip:1@h", b"sip:1@h;user=phone"),
            "ttl in one": (b"sip:h", b"sip:h;ttl=1"),
            "method in one": (b"sip:h", b"sip:h;method=INVITE"),
            "maddr in one": (b"sip:h", b"sip:h;maddr=192.0.2.1"),
            "header values": (b"sip:h?subject=a", b"sip:h?subject=A"),
            "other scheme in another case": (b"tel:+12;x=a", b"tel:+12;x=A"),
            "sip and tel": (b"sip:+12@h", b"tel:+12"),
        }
    )
    def test_different(self, a: bytes, b: bytes) -> None:
        self.assertFalse(equivalent(parse_uri(a), parse_uri(b)))
        self.assertFalse(equivalent(parse_uri(b), parse_uri(a)))
        self.assertNotEqual(normal_form(parse_uri(a)), normal_form(parse_uri(b)))


class AddressOfRecordTests(TableCase):
    """RFC 3261 §10.3 step 5: the index of the location table."""

    @rows(
        {
            "parameters removed": (b"sip:alice@a.example;user=phone;x=1", b"alice@a.example"),
            "escapes undone": (b"sip:%61l%69ce@a.example", b"alice@a.example"),
            "reserved escapes undone": (b"sip:a%40b@h", b"a@b@h"),
            "escapes undone once": (b"sip:%2541@h", b"%41@h"),
            "per cent sign that escapes nothing": (b"sip:%4g@h", b"%4g@h"),
            "password and port removed": (b"sip:alice:pw@A.Example:5062", b"alice@a.example"),
            "user keeps its case": (b"sip:Alice@A.EXAMPLE", b"Alice@a.example"),
            "headers removed": (b"sip:alice@a.example?subject=x", b"alice@a.example"),
            "no user": (b"sip:a.example", b"@a.example"),
            "sips": (b"sips:alice@a.example", b"alice@a.example"),
            "IPv6": (b"sip:alice@[2001:DB8::0:1]", b"alice@[2001:db8::1]"),
        }
    )
    def test_canonical_form(self, raw: bytes, aor: bytes) -> None:
        self.assertEqual(address_of_record(parse_uri(raw)), aor)

    @rows(
        {
            "plain": (b"alice@a.example", b"sip:alice@a.example"),
            "no user": (b"@a.example", b"sip:a.example"),
            "at sign": (b"a@b@h", b"sip:a%40b@h"),
            "per cent sign": (b"%41@h", b"sip:%2541@h"),
            "colon would begin a password": (b"a:b@h", b"sip:a%3Ab@h"),
            "user-unreserved stays": (b"a&=+$,;?/b@h", b"sip:a&=+$,;?/b@h"),
            "octets beyond ASCII": (b"\xc3\xa9@h", b"sip:%C3%A9@h"),
        }
    )
    def test_uri_of_it(self, aor: bytes, raw: bytes) -> None:
        """§25.1: what the user part cannot hold is escaped."""
        self.assertEqual(aor_uri(aor), raw)
        self.assertEqual(address_of_record(parse_uri(raw)), aor)


class RequestFormTests(TableCase):
    """RFC 3261 §19.1.1, the table: no headers and no method in a Request-URI."""

    @rows(
        {
            "nothing to take out": (b"sip:a@h;x=1", b"sip:a@h;x=1"),
            "method": (b"sip:a@h;method=INVITE;x=1", b"sip:a@h;x=1"),
            "method last, in another case": (b"sip:a@h;x=1;Method=INVITE", b"sip:a@h;x=1"),
            "method escaped": (b"sip:a@h;%6Dethod=INVITE", b"sip:a@h"),
            "headers": (b"sip:a@h;x=1?subject=y", b"sip:a@h;x=1"),
            "both": (b"sip:a@h:5070;method=BYE;lr?x=y", b"sip:a@h:5070;lr"),
            "no user": (b"sip:h;method=REGISTER?to=sip:bob%40biloxi.com", b"sip:h"),
            "method in the user part": (b"sip:a;method=b@h?x=y", b"sip:a;method=b@h"),
            "other parameters as written": (b"sip:a@h;X=%41?y=z", b"sip:a@h;X=%41"),
            "other scheme": (b"tel:1;method=x", b"tel:1;method=x"),
        }
    )
    def test_form(self, raw: bytes, form: bytes) -> None:
        self.assertEqual(request_form(parse_uri(raw)), form)
