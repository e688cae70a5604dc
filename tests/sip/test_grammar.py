"""The grammar that values share: quotes, escapes, lists, parameters (RFC 3261 §7.3.1, §25.1)."""

from __future__ import annotations

from sipproxy.sip.grammar import (
    is_host,
    is_token,
    parse_number,
    parse_params,
    quote,
    split_quoted,
    split_values,
    unescape,
    unfold,
    unquote,
)
from tests.sip.tables import TableCase, rows


class TokenTests(TableCase):
    """RFC 3261 §25.1: token and host."""

    @rows(
        {
            "every mark": (b"a-.!%*_+`'~Z9", True),
            "empty": (b"", False),
            "white space": (b"a b", False),
            "separator": (b"a/b", False),
            "final line feed": (b"a\n", False),
            "beyond ASCII": (b"\xe9", False),
        }
    )
    def test_token(self, text: bytes, expected: bool) -> None:
        self.assertIs(is_token(text), expected)

    @rows(
        {
            "name": (b"a.example", True),
            "digit first": (b"3com.example", True),
            "underscore as seen in the wild": (b"_sip.a", True),
            "one letter": (b"a", True),
            "IPv6 with a zone": (b"[fe80::1%eth0]", True),
            "hyphen last": (b"a-", False),
            "empty": (b"", False),
            "colon": (b"a:1", False),
            "IPv6 without brackets": (b"::1", False),
        }
    )
    def test_host(self, text: bytes, expected: bool) -> None:
        self.assertIs(is_host(text), expected)


class SplitTests(TableCase):
    """RFC 3261 §7.3.1: several values on a line."""

    @rows(
        {
            "one": (b" a ", [b"a"]),
            "two": (b"a , b", [b"a", b"b"]),
            "comma in quotes": (b'"a, b" <sip:c>, d', [b'"a, b" <sip:c>', b"d"]),
            "comma behind an escaped quote": (b'"a\\", b", c', [b'"a\\", b"', b"c"]),
            "comma behind an escaped backslash": (b'"a\\\\", b', [b'"a\\\\"', b"b"]),
            "comma in angle brackets": (b"<sip:a,b@c>, d", [b"<sip:a,b@c>", b"d"]),
            "quote in angle brackets": (b'<sip:a">, <b">', [b'<sip:a">', b'<b">']),
            "angle bracket in quotes": (b'"<", a', [b'"<"', b"a"]),
            "quote never closed": (b'a, "b, c', [b"a", b'"b, c']),
            "bracket never closed": (b"a, <b, c", [b"a", b"<b, c"]),
            "backslash at the end": (b'a, "b\\', [b"a", b'"b\\']),
            "empty ones": (b",a,", [b"", b"a", b""]),
        }
    )
    def test_values(self, value: bytes, parts: list[bytes]) -> None:
        self.assertEqual(split_values(value), parts)

    @rows(
        {
            "plain": (b"a, <b, c>", b",", [b"a", b"<b", b"c>"]),
            "quoted comma": (b'a="x,y", b', b",", [b'a="x,y"', b"b"]),
            "quoted semicolon": (b'a;b="x;y";c', b";", [b"a", b'b="x;y"', b"c"]),
            "quote never closed": (b'a,"b,c', b",", [b"a", b'"b,c']),
        }
    )
    def test_quoted(self, value: bytes, separator: bytes, parts: list[bytes]) -> None:
        self.assertEqual(split_quoted(value, separator), parts)

    @rows(
        {
            "space": (b"a\r\n b", b"a b"),
            "tab and spaces on both sides": (b"a \t\r\n\t  b", b"a b"),
            "twice": (b"a\r\n b\r\n\tc", b"a b c"),
            "nothing folded": (b"a  b", b"a  b"),
        }
    )
    def test_unfold(self, value: bytes, line: bytes) -> None:
        """§7.3.1: a line break with what surrounds it stands for a single space."""
        self.assertEqual(unfold(value), line)


class QuoteTests(TableCase):
    """RFC 3261 §25.1: quoted-string and escaped."""

    @rows(
        {
            "plain": (b'"a b"', b"a b"),
            "empty": (b'""', b""),
            "escaped quote": (b'"a\\"b"', b'a"b'),
            "escaped backslash": (b'"a\\\\"', b"a\\"),
            "escaped line feed": (b'"a\\\nb"', b"a\nb"),
            "token": (b"abc", b"abc"),
            "lone quote": (b'"', b'"'),
            "quote at one end": (b'"a', b'"a'),
        }
    )
    def test_unquote(self, text: bytes, plain: bytes) -> None:
        self.assertEqual(unquote(text), plain)

    def test_quote_escapes_quote_and_backslash(self) -> None:
        self.assertEqual(quote(b'a"b\\'), b'"a\\"b\\\\"')

    @rows(
        {
            "lower and upper case": (b"%6a%6A", b"jj"),
            "once": (b"%2541", b"%41"),
            "nothing": (b"abc", b"abc"),
            "no digits": (b"%zz%4", b"%zz%4"),
            "beyond ASCII": (b"%C3%A9", b"\xc3\xa9"),
        }
    )
    def test_unescape(self, text: bytes, plain: bytes) -> None:
        self.assertEqual(unescape(text), plain)


class ParamsTests(TableCase):
    """RFC 3261 §25.1: generic-param."""

    @rows(
        {
            "none": (b"", {}),
            "flag": (b";lr", {b"lr": None}),
            "name in lower case, value as written": (b";Tag=AbC", {b"tag": b"AbC"}),
            "white space": (b" ; a = b ; c ", {b"a": b"b", b"c": None}),
            "quoted": (b';a="x;y=\\"z";b', {b"a": b'"x;y=\\"z"', b"b": None}),
            "IPv6 reference": (b";received=[::1]", {b"received": b"[::1]"}),
            "bare IPv6 address of RFC 5118 4.5": (
                b";received=2001:db8::1",
                {b"received": b"2001:db8::1"},
            ),
            "equals sign in a value": (b";a=b=c", {b"a": b"b=c"}),
        }
    )
    def test_read(self, text: bytes, params: dict[bytes, bytes | None]) -> None:
        self.assertEqual(parse_params(text), params)

    @rows(
        {
            "repeated": b";a=1;A=2",
            "repeated beside a quoted one": b';a="x";a',
            "empty name": b";=1",
            "empty piece": b";a;;b",
            "semicolon at the end": b";a;",
            "no semicolon first": b"a=1",
            "empty value": b";a=",
            "comma": b";a=1,2",
            "quote not closed": b';a="b',
            "angle bracket": b";a=<b>",
            "white space in a value": b";a=b c",
        }
    )
    def test_refused(self, text: bytes) -> None:
        """§7.3.1: any given parameter-name MUST NOT appear more than once."""
        self.refuses(400, parse_params, text)


class NumberTests(TableCase):
    """Numbers have a limit."""

    @rows({"zero": (b"0", 0), "leading zeros": (b"007", 7), "limit": (b"255", 255)})
    def test_read(self, text: bytes, number: int) -> None:
        self.assertEqual(parse_number(text, 255, "number"), number)

    @rows(
        {
            "beyond the limit": b"256",
            "negative": b"-1",
            "sign": b"+1",
            "empty": b"",
            "letters": b"1a",
            "white space": b" 1",
            "underscore": b"1_0",
            "many digits": b"0" * 21,
        }
    )
    def test_refused(self, text: bytes) -> None:
        error = self.refuses(400, parse_number, text, 255, "number")
        self.assertEqual(error.reason, "Bad number")
