"""Header values other than Via (RFC 3261 §20, 6665 §8.2.1, 7616 §3.3)."""

from __future__ import annotations

from sipproxy.sip.headers import (
    parse_authorization,
    parse_cseq,
    parse_event,
    parse_expires,
    parse_name_addr,
    parse_qvalue,
)
from tests.sip.tables import TableCase, rows


class NameAddrTests(TableCase):
    """RFC 3261 §20.10, §20.20, §20.39."""

    @rows(
        {
            "From of 20.20": (
                b'"A. G. Bell" <sip:agb@bell-telephone.com> ;tag=a48s',
                *(b'"A. G. Bell"', b"sip:agb@bell-telephone.com", {b"tag": b"a48s"}),
            ),
            "addr-spec of 20.20": (
                b"sip:+12125551212@server.phone2net.com;tag=887s",
                *(b"", b"sip:+12125551212@server.phone2net.com", {b"tag": b"887s"}),
            ),
            "tokens of 20.20": (
                b"Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8",
                *(b"Anonymous", b"sip:c8oqz84zk7z@privacy.org", {b"tag": b"hyh8"}),
            ),
            "To of 20.39": (
                b'"The Operator" <sip:operator@cs.columbia.edu>;tag=287447',
                *(b'"The Operator"', b"sip:operator@cs.columbia.edu", {b"tag": b"287447"}),
            ),
            "Contact of 20.10": (
                b'"Mr. Watson" <sip:watson@worcester.bell-telephone.com>;q=0.7; expires=3600',
                b'"Mr. Watson"',
                b"sip:watson@worcester.bell-telephone.com",
                {b"q": b"0.7", b"expires": b"3600"},
            ),
            "other scheme": (b"<mailto:a@b?c=d>;q=0.1", b"", b"mailto:a@b?c=d", {b"q": b"0.1"}),
            "several words": (b"T. A. Watson <sip:a@b>", b"T. A. Watson", b"sip:a@b", {}),
            "no space before the bracket": (b'"x"<sip:a@b>', b'"x"', b"sip:a@b", {}),
            "bracket in the display name": (b'"<x>" <sip:a@b>', b'"<x>"', b"sip:a@b", {}),
            "escaped quote in the display name": (
                b'"\\"x\\\\" <sip:a@b>;tag=1',
                *(b'"\\"x\\\\"', b"sip:a@b", {b"tag": b"1"}),
            ),
            "parameters of the URI stay in the brackets": (
                b"<sip:a@b;transport=tcp>;tag=1",
                *(b"", b"sip:a@b;transport=tcp", {b"tag": b"1"}),
            ),
            "parameters of an addr-spec are the header's": (
                b"sip:a@b;transport=tcp",
                *(b"", b"sip:a@b", {b"transport": b"tcp"}),
            ),
            "addr-spec with white space": (b" sip:a@b ; tag=1", b"", b"sip:a@b", {b"tag": b"1"}),
            "octets beyond ASCII in the display name": (
                b"Andr\xc3\xa9 <sip:a@b>",
                *(b"Andr\xc3\xa9", b"sip:a@b", {}),
            ),
        }
    )
    def test_read(
        self, value: bytes, display: bytes, uri: bytes, params: dict[bytes, bytes | None]
    ) -> None:
        address = parse_name_addr(value)
        self.assertEqual((address.display, address.raw_uri), (display, uri))
        self.assertEqual(address.params, params)
        self.assertEqual(address.tag, params.get(b"tag"))
        self.assertEqual(address.uri.raw, uri)
        self.assertIs(address.uri, address.uri)

    @rows(
        {
            "nothing": b"",
            "semicolon alone": b";tag=1",
            "bracket not closed": b"<sip:a@b",
            "bracket not opened": b'"x" sip:a@b>',
            "two addresses": b"<sip:a@b>, <sip:c@d>",
            "two brackets": b"<sip:a@b><sip:c@d>",
            "quote not closed": b'"x <sip:a@b>',
            "quote inside tokens": b'x "y" <sip:a@b>',
            "separator in an unquoted display name": b"Bell, Alexander <sip:a@b>",
            "text behind the bracket": b"<sip:a@b> x",
            "comma in an addr-spec": b"sip:a,b@c",
            "question mark in an addr-spec": b"sip:a@b?c=d",
            "quote in an addr-spec": b'"x" sip:a@b',
            "bad parameter": b"<sip:a@b>;=1",
            "bad parameter of an addr-spec": b"sip:a@b;;x",
        }
    )
    def test_refused(self, value: bytes) -> None:
        """§20.10: comma, semicolon or question mark in the URI ask for angle brackets."""
        self.refuses(400, parse_name_addr, value)

    def test_repeated_parameter_is_refused_when_asked_for(self) -> None:
        """§7.3.1: any given parameter-name MUST NOT appear more than once."""
        address = parse_name_addr(b"<sip:a@b>;tag=1;TAG=2")
        self.refuses(400, lambda: address.tag)

    def test_bad_uri_is_refused_when_asked_for(self) -> None:
        address = parse_name_addr(b"<sip:a b@c>")
        self.refuses(400, lambda: address.uri)


class CSeqTests(TableCase):
    """RFC 3261 §8.1.1.5, §20.16."""

    @rows(
        {
            "example": (b"4711 INVITE", 4711, b"INVITE"),
            "leading zeros": (b"0009 INVITE", 9, b"INVITE"),
            "largest": (b"2147483647 BYE", 2**31 - 1, b"BYE"),
            "white space": (b"1 \t FOO", 1, b"FOO"),
            "method keeps its case": (b"1 invite", 1, b"invite"),
        }
    )
    def test_read(self, value: bytes, number: int, method: bytes) -> None:
        cseq = parse_cseq(value)
        self.assertEqual((cseq.number, cseq.method), (number, method))

    @rows(
        {
            "2**31": b"2147483648 BYE",
            "beyond 32 bits": b"36893488147419103232 BYE",
            "negative": b"-1 BYE",
            "no number": b"BYE",
            "no method": b"1",
            "no white space": b"1BYE",
            "method is no token": b"1 B/E",
            "two methods": b"1 BYE BYE",
        }
    )
    def test_refused(self, value: bytes) -> None:
        """§8.1.1.5: the sequence number MUST be less than 2**31."""
        self.refuses(400, parse_cseq, value)


class NumbersTests(TableCase):
    """RFC 3261 §20.10 and §20.19."""

    @rows(
        {
            "seconds": (b"5", 5),
            "zero": (b"0", 0),
            "absent": (None, 3600),
            "empty": (b"", 3600),
            "malformed": (b"soon", 3600),
            "negative": (b"-1", 3600),
            "largest": (b"4294967295", 2**32 - 1),
            "overlarge": (b"4294967296", 2**32 - 1),
            "far overlarge": (b"9" * 5000, 2**32 - 1),
        }
    )
    def test_expires(self, value: bytes | None, seconds: int) -> None:
        """§20.19: a malformed value is 3600, and 2**32-1 is the most."""
        self.assertEqual(parse_expires(value), seconds)

    @rows(
        {
            "absent": (None, 1.0),
            "most": (b"1.000", 1.0),
            "one": (b"1", 1.0),
            "least": (b"0", 0.0),
            "dot without digits": (b"0.", 0.0),
            "three digits": (b"0.125", 0.125),
        }
    )
    def test_qvalue(self, value: bytes | None, q: float) -> None:
        self.assertEqual(parse_qvalue(value), q)

    @rows(
        {
            "above one": b"1.001",
            "four digits": b"0.1234",
            "no digit before the dot": b".5",
            "two": b"2",
            "negative": b"-0.5",
            "not a number": b"nan",
            "exponent": b"1e0",
            "empty": b"",
        }
    )
    def test_qvalue_refused(self, value: bytes) -> None:
        """§25.1: qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )."""
        self.refuses(400, parse_qvalue, value)


class EventTests(TableCase):
    """RFC 6665 §8.2.1: Event."""

    @rows(
        {
            "package": (b"presence", b"presence", {}),
            "template": (b"presence.winfo", b"presence.winfo", {}),
            "id": (b"refer;id=93809824", b"refer", {b"id": b"93809824"}),
            "white space": (b"reg ; ID = A", b"reg", {b"id": b"A"}),
        }
    )
    def test_read(self, value: bytes, package: bytes, params: dict[bytes, bytes | None]) -> None:
        event = parse_event(value)
        self.assertEqual((event.package, event.params), (package, params))

    @rows(
        {
            "nothing": b"",
            "two": b"presence, dialog",
            "no token": b"pre/sence",
            "parameter alone": b";id=1",
            "repeated parameter": b"presence;id=1;id=2",
        }
    )
    def test_refused(self, value: bytes) -> None:
        self.refuses(400, parse_event, value)


class AuthorizationTests(TableCase):
    """RFC 3261 §20.7, §20.44 and §25.1: credentials and challenges."""

    @rows(
        {
            "example of 20.7": (
                b'Digest username="Alice", realm="atlanta.com", '
                b'nonce="84a4cc6f3082121f32b42a2187831a9e", '
                b'response="7587245234b3434cc3412213e5f113a5432"',
                {
                    b"username": b"Alice",
                    b"realm": b"atlanta.com",
                    b"nonce": b"84a4cc6f3082121f32b42a2187831a9e",
                    b"response": b"7587245234b3434cc3412213e5f113a5432",
                },
            ),
            "challenge of 20.44": (
                b'Digest realm="atlanta.com", domain="sip:boxesbybob.com", qop="auth", '
                b'nonce="f84f1cec41e6cbe5aea9c8e88d359", opaque="", stale=FALSE, algorithm=MD5',
                {
                    b"realm": b"atlanta.com",
                    b"domain": b"sip:boxesbybob.com",
                    b"qop": b"auth",
                    b"nonce": b"f84f1cec41e6cbe5aea9c8e88d359",
                    b"opaque": b"",
                    b"stale": b"FALSE",
                    b"algorithm": b"MD5",
                },
            ),
            "comma and escaped quote in quotes": (
                b'Digest realm="a, \\"b\\"",qop="auth,auth-int"',
                {b"realm": b'a, "b"', b"qop": b"auth,auth-int"},
            ),
            "case, tabs and spaces": (b"DIGEST\tNonce = x ,\tNC=1", {b"nonce": b"x", b"nc": b"1"}),
            "equals sign in a value": (b"Digest opaque=ab==", {b"opaque": b"ab=="}),
        }
    )
    def test_digest(self, value: bytes, params: dict[bytes, bytes]) -> None:
        read = parse_authorization(value)
        self.assertEqual((read.scheme, read.params), (b"digest", params))

    @rows(
        {
            "basic": (b"Basic QWxhZGRpbg==", b"basic"),
            "bearer": (b"Bearer abc, def", b"bearer"),
            "scheme alone": (b"NTLM", b"ntlm"),
            "nothing": (b"", b""),
        }
    )
    def test_other_scheme_keeps_no_parameters(self, value: bytes, scheme: bytes) -> None:
        read = parse_authorization(value)
        self.assertEqual((read.scheme, read.params), (scheme, {}))

    @rows(
        {
            "repeated": b"Digest realm=a, Realm=b",
            "nothing behind the scheme": b"Digest",
            "no equals sign": b"Digest realm",
            "name is no token": b'Digest "realm"=a',
            "comma at the end": b"Digest realm=a,",
        }
    )
    def test_refused(self, value: bytes) -> None:
        self.refuses(400, parse_authorization, value)
