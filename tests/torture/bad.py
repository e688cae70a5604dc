"""Requests that are wrong in one thing each, and what they have to meet with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.torture.table import DROP, FORWARD

GOOD = b"""\
MESSAGE sip:bob@example.test SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bKbad\r
Max-Forwards: 70\r
From: "Alice" <sip:alice@example.test>;tag=a1\r
To: <sip:bob@example.test>\r
Call-ID: bad@192.0.2.66\r
CSeq: 1 MESSAGE\r
Content-Type: text/plain\r
Content-Length: 5\r
\r
hello"""
REGISTER = b"""\
REGISTER sip:example.test SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bKbad\r
Max-Forwards: 70\r
From: <sip:alice@example.test>;tag=a1\r
To: <sip:alice@example.test>\r
Call-ID: bad@192.0.2.66\r
CSeq: 1 REGISTER\r
Contact: <sip:alice@192.0.2.66>\r
Content-Length: 0\r
\r
"""

Case = tuple[str, bytes, str]  # name, octets, allowed outcomes with a bar between them


def with_line(line: bytes, data: bytes = GOOD) -> bytes:
    """Return a request with one more line, before its body."""
    return data.replace(b"\r\nContent-Length", b"\r\n" + line + b"\r\nContent-Length", 1)


def without(name: bytes, data: bytes = GOOD) -> bytes:
    """Return a request without a header."""
    head, blank, body = data.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.startswith(name + b":")]
    return b"\r\n".join(kept) + blank + body


def instead(name: bytes, value: bytes, data: bytes = GOOD) -> bytes:
    """Return a request with another value of a header."""
    head, blank, body = data.partition(b"\r\n\r\n")
    lines = [
        name + b": " + value if line.startswith(name + b":") else line
        for line in head.split(b"\r\n")
    ]
    return b"\r\n".join(lines) + blank + body


def started(line: bytes) -> bytes:
    """Return a request with another start line."""
    return line + GOOD[GOOD.index(b"\r\n") :]


def _each(name: str, make: Callable[[bytes], bytes], outcomes: dict[bytes, str]) -> Iterator[Case]:
    for value, allowed in outcomes.items():
        yield f"{name} {value[:40]!r}", make(value), allowed


def _values(name: bytes, outcomes: dict[bytes, str], data: bytes = GOOD) -> Iterator[Case]:
    return _each(name.decode(), lambda value: instead(name, value, data), outcomes)


def _lines(outcomes: dict[bytes, str], data: bytes = GOOD) -> Iterator[Case]:
    return _each("", lambda line: with_line(line, data), outcomes)


def duplicates() -> Iterator[Case]:
    """§7.3.1: a field that is no list stands once; which of two counts is anybody's guess."""
    yield from _lines(
        dict.fromkeys(
            (
                b"From: <sip:mallory@evil.test>;tag=m", b"f: <sip:mallory@evil.test>;tag=m",
                b"FROM : <sip:mallory@evil.test>;tag=m",
                b'From: "Alice" <sip:alice@example.test>;tag=a1',
                b"To: <sip:carol@example.test>", b"t: <sip:carol@example.test>",
                b"Call-ID: other", b"i: other", b"CSeq: 2 MESSAGE", b"CSeq: 1 MESSAGE",
                b"Max-Forwards: 70", b"max-forwards: 3", b"Max-Breadth: 1\r\nMax-Breadth: 60",
                b"Content-Length: 5", b"l: 5", b"Content-Length: 0", b"CONTENT-LENGTH : 500",
                b"c: text/html", b"Content-Type: text/plain",
                b"Expires: 1\r\nExpires: 2", b"Min-Expires: 1\r\nMin-Expires: 1",
                b"Event: presence\r\no: reg", b"SIP-If-Match: a\r\nSIP-If-Match: b",
                b"Subscription-State: active\r\nSubscription-State: terminated",
            ),
            "400",
        )
    )  # fmt: skip
    lists = b"Via: SIP/2.0/TCP h.test;branch=z9hG4bK2\r\nSubject: a\r\nSubject: b"
    lists += b"\r\nAccept: a/b\r\nAccept: c/d"
    yield "two of what may be two", with_line(lists), FORWARD


def missing() -> Iterator[Case]:
    """§8.1.1: the six of every request; a proxy bears a lack of Max-Forwards (§16.3)."""
    yield "no Via", without(b"Via"), DROP
    for name in (b"From", b"To", b"Call-ID", b"CSeq"):
        yield f"no {name.decode()}", without(name), "400"
        yield (
            f"empty {name.decode()}",
            instead(name, b""),
            "400" if name != b"To" else "400|forward",
        )
    yield "no Max-Forwards", without(b"Max-Forwards"), FORWARD
    yield "no Content-Length", without(b"Content-Length"), FORWARD
    yield "nothing but a start line", b"MESSAGE sip:bob@example.test SIP/2.0\r\n\r\n", DROP
    yield "no end of head", GOOD.partition(b"\r\n\r\n")[0], "400"
    yield "no octets", b"", DROP
    yield "line ends", b"\r\n\r\n", DROP
    yield "a NUL", b"\0", DROP


def numbers() -> Iterator[Case]:
    """§18.3, §20.14, §20.16, §20.22: numbers out of their range, or none."""
    good = {b"5": FORWARD, b"0005": FORWARD, b"0": FORWARD, b"4": FORWARD, b"6": "400"}
    none = (b'-1 -5 +5 abc 5.0 0x5 1e1 5,5 5;5 "5" \xd9\xa5 99999999999999999999999').split(b" ")
    yield from _values(b"Content-Length", good | dict.fromkeys((*none, b"", b"5 5"), "400"))
    good = {b"0": "483", b"00": "483", b"1": FORWARD, b"0070": FORWARD, b"255": FORWARD}
    none = b"256 300 -1 abc 7.0 70,70 70;x 36893488147419103232 \xb2".split(b" ")
    yield from _values(b"Max-Forwards", good | dict.fromkeys((*none, b"", b"7 0"), "400"))
    good = {b"0 MESSAGE": FORWARD, b"2147483647 MESSAGE": FORWARD, b"1\tMESSAGE": FORWARD}
    none = (
        b"2147483648 MESSAGE", b"4294967296 MESSAGE", b"18446744073709551617 MESSAGE", b"1",
        b"MESSAGE", b"-1 MESSAGE", b"1 INVITE", b"1 message", b"1MESSAGE", b"1 MESSAGE x",
        b"1 MESSAGE, 2 MESSAGE", b"x MESSAGE", b"1 MESSAGE;x", b"1.0 MESSAGE",
    )  # fmt: skip
    yield from _values(b"CSeq", good | dict.fromkeys(none, "400"))
    none = (b"x", b"-1", b"", b"1,1", b"99999999999999999999999")
    yield from _lines({b"Max-Breadth: " + value: "400" for value in none})
    yield from _lines({b"Max-Breadth: 0": "440", b"Max-Breadth: 1": FORWARD})


def line_ends() -> Iterator[Case]:
    """§7, §25.1: CRLF ends a line, and nothing else may look as if it did."""
    smuggled = (b"Route: <sip:evil.test;lr>", b"From: <sip:mallory@evil.test>;tag=m", b"X: y")
    for end in (b"\n", b"\r", b"\n\r", b"\r\r\n", b"\n\n", b"\r\n\r", b"\n ", b"\r "):
        for line in smuggled:
            allowed = "400" if end != b"\r\n\r" else "400|drop"
            yield f"{end!r} before {line[:5]!r}", with_line(b"Subject: a" + end + line), allowed
    for at in (b"Via: ", b'"Alice', b"<sip:alice", b"Call-ID: bad", b"CSeq: 1", b"Content-Length"):
        for octet in (b"\0", b"\n", b"\r"):
            yield f"{octet!r} behind {at!r}", GOOD.replace(at, at + octet, 1), "400|drop"
    yield "no CR", GOOD.replace(b"\r\n", b"\n"), DROP
    yield "no LF", GOOD.replace(b"\r\n", b"\r"), DROP
    yield "CR before a name", with_line(b"\rRoute: <sip:evil.test;lr>"), "400"
    yield "a NUL in a body", instead(b"Content-Length", b"9") + b"\0\r\n\0", FORWARD
    yield "a quoted NUL", instead(b"From", b'"a\\\0b" <sip:alice@example.test>;tag=a1'), FORWARD
    yield "a name of none", with_line(b": x"), "400"
    yield "no colon", with_line(b"Subject"), "400"
    yield "a blank in a name", with_line(b"Sub ject: a"), "400"
    yield (
        "a fold behind the start line",
        started(b"MESSAGE sip:bob@example.test SIP/2.0\r\n x"),
        "400",
    )
    yield "a folded name", with_line(b"Subject\r\n : a"), "400"
    yield "a fold", with_line(b"Subject: a\r\n From: <sip:mallory@evil.test>"), FORWARD
    yield "line ends before all", b"\r\n\r\n\n" + GOOD, FORWARD


def addresses() -> Iterator[Case]:
    """§20.10, §25.1: From is one address; To is nobody's business on the way."""
    none = (
        b"<sip:alice@example.test>, <sip:mallory@evil.test>;tag=m",
        b"<sip:alice@example.test>;tag=a,<sip:mallory@evil.test>",
        b"sip:alice@example.test,sip:mallory@evil.test", b"sip:alice@example.test;tag=a,b",
        b"<sip:alice@example.test><sip:mallory@evil.test>", b"<sip:alice@example.test", b"<>",
        b"sip:alice@example.test <sip:mallory@evil.test>", b"sip:alice@example.test>", b",",
        b'"Alice <sip:alice@example.test>;tag=a1', b'"Alice" "Bob" <sip:alice@example.test>',
        b"<sip:alice@example.test>;tag=\"a", b"<sip:alice@example.test>tag=a", b"<sip:al ice@x>",
        b"<sip:alice@example.test>;", b"<sip:alice@example.test>;;tag=a", b"<alice@example.test>",
        b"<sip:alice@>", b"<sip:@example.test>", b"<sip:alice@example.test:>", b"alice", b"*",
        b"<sip:alice@example.test:70000>", b"<sip:alice@[::1>", b"<sip:alice@[]>", b"<sip:>",
        b"<sip:alice@exa\"mple.test>", b"sip:alice@example.test?a=b", b"\"\\\"<sip:a@example.test>",
    )  # fmt: skip
    yield from _values(b"From", dict.fromkeys(none, "400"))
    yield from _values(
        b"From",
        {
            b'"Alice, <sip:mallory@evil.test>" <sip:alice@example.test>;tag=a1': FORWARD,
            b"sip:alice@example.test;tag=a1": FORWARD,
            b"<sip:alice@example.test>": FORWARD,
            b"Alice\xc3\xa9 <SIP:%61lice@EXAMPLE.test.>;tag=a": FORWARD,
            b"<sip:alice@example.test>;tag=a;tag=b": "400|forward",
            b"<tel:+15551234>;tag=a": "403",  # of nobody's domain
        },
    )


def start_lines() -> Iterator[Case]:
    """§7.1, §16.3 steps 1 and 2."""
    line = b"MESSAGE %s SIP/2.0"
    bad = (
        b"sip:", b"sip:@example.test", b"sip:bob@", b"sip:bob@example.test:99999", b"bob",
        b"sip:bob@example.test:", b"sip:bob@example.test;a=1;a=2", b"sip:bob@example.test?a=b",
        b"sip:bob@example.test;;a", b"sip:bob@exa<mple", b"<sip:bob@example.test>", b"sip:bob@[::1",
        b"sip:bob@example.test#a", b"sip:b\"ob@example.test", b"sip:bob@@example.test", b"",
        b"sip:bob @example.test", b"://", b"sip:bob@example.test;",
    )  # fmt: skip
    yield from _each("to", lambda uri: started(line % uri), dict.fromkeys(bad, "400"))
    other = {
        b"sips:bob@example.test": "416", b"tel:+15551234": "416", b"http://example.test/": "416",
        b"sip:nobody@example.test": "480", b"sip:\xff\xfe@example.test": "400|480",
        b"sip:%00%0d%0aRoute:x@example.test": "480", b"sip:bob:secret@example.test": FORWARD,
        b"sip:bob@EXAMPLE.test.;transport=tcp": FORWARD, b"sip:%62ob@example.test:5060": FORWARD,
        b"sip:bob@example.test;maddr=127.0.0.1": FORWARD, b"sip:bob@evil.test": "500",
        b"sip:bob@example.test;maddr=192.0.2.99": "500", b"im:bob@example.test": FORWARD,
    }  # fmt: skip
    yield from _each("to", lambda uri: started(line % uri), other)
    lines = {
        b"MESSAGE sip:bob@example.test SIP/3.0": "505",
        b"MESSAGE sip:bob@example.test SIP/2.1": "505",
        b"MESSAGE sip:bob@example.test sip/2.0": FORWARD,
        b"MESSAGE sip:bob@example.test SIP/2": "400",
        b"MESSAGE sip:bob@example.test SIP/": "400",
        b"MESSAGE sip:bob@example.test HTTP/1.1": DROP,
        b"MESSAGE sip:bob@example.test": DROP,
        b"SIP/2.0 MESSAGE sip:bob@example.test": DROP,
        b" MESSAGE sip:bob@example.test SIP/2.0": "400",
        b"MES(SAGE sip:bob@example.test SIP/2.0": "400",
        b"GET / HTTP/1.1": DROP,
        b"\x00\x01\x00\x00\x21\x12\xa4\x42": DROP,  # STUN
        b"\x16\x03\x01\x02\x00\x01\x00": DROP,  # TLS
        b"x" * 60000: DROP,
    }
    yield from _each("start", started, lines)


def vias() -> Iterator[Case]:
    """§18.2.1, §20.42: who can be answered is, if by the way that the request came."""
    top = b"SIP/2.0/UDP 192.0.2.66"
    bad = (
        b"", b",", b"garbage", b"SIP/2.0/UDP", b"SIP/2.0 192.0.2.66", b"SIP/2.0/UDP 192.0.2.66:x",
        top + b":65536;branch=z9hG4bKx", top + b";branch=z9hG4bKx;branch=z9hG4bKy", top + b";;",
        top + b";branch=\"z9hG4bKx", b"SIP/2.0/UDP [::1;branch=z9hG4bKx", b"SIP/2.0/UDP user@host",
        b"SIP/2.0/UDP a b;branch=z9hG4bKx", top + b";branch", b"SIP/2.0/UDP <192.0.2.66>",
    )  # fmt: skip
    yield from _values(b"Via", dict.fromkeys(bad, "400") | {top + b";branch": FORWARD})
    good = (
        top + b";branch=z9hG4bK", top, top + b" ; branch = z9hG4bKx", top + b":0;branch=z9hG4bKx",
        b"SIP/3.0/SCTP host.test;branch=z9hG4bKx", top + b";received=10.0.0.1;branch=z9hG4bKx",
        top + b";rport=1;rport2;branch=z9hG4bKx", top + b";branch=z9hG4bKx, garbage",
        top + b";maddr=192.0.2.66;branch=z9hG4bKx", top + b";maddr=255.255.255.255;branch=z9hG4bKx",
        b"SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx",  # our own: a loop is no matter of a name
    )  # fmt: skip
    yield from _values(b"Via", dict.fromkeys(good, FORWARD))
    many = b", ".join(top + b";branch=z9hG4bK%d" % number for number in range(100))
    yield "100 Vias on a line", instead(b"Via", many), FORWARD
    yield "100 Vias", instead(b"Via", many.replace(b", ", b"\r\nVia: ")), FORWARD


def routes() -> Iterator[Case]:
    """§16.4, §16.12, and a token that is none of ours."""
    bad = (
        b"", b",", b"garbage", b"<sip:", b"<>", b"*", b"<sip:a.test;lr> <sip:b.test>", b"sip",
        b"<sip:a.test:70000;lr>", b'"<sip:a.test;lr>', b"<sip:127.0.0.1:5060;lr>, garbage",
        b"<sip:[::1;lr>", b"<sip:a.test;lr>;x=\"",
    )  # fmt: skip
    yield from _lines({b"Route: " + value: "400" for value in bad})
    forged = (b"Zm9vYmFyYmF6cXV4Zm9vYmFy", b"a", b"====", b"\xff", b"-_-_", b"A" * 9000)
    own = b"Route: <sip:%s@127.0.0.1:5060;lr>"
    yield from _lines({own % token: "403" for token in forged})
    yield from _lines(
        {b"Route: <sip:127.0.0.1:5060;lr>": FORWARD, b"Route: <sip:example.test>": FORWARD}
    )
    # The next hop is nobody that could be reached (§16.9: as if it had answered 503).
    nowhere = (b"<sip:nobody.test;lr>", b"<sips:nobody.test;lr>", b"<tel:+1>", b"<x:y>, <sip:b>")
    yield from _lines({b"Route: " + value: "400|500" for value in nowhere})


def registrations() -> Iterator[Case]:
    """§10.3, RFC 3327: all of it or nothing."""
    contacts = {
        b"*": "400", b"<*>": "400", b"*, *": "400", b"*, <sip:alice@192.0.2.66>": "400",
        b"*;expires=0": "400", b"": "400", b"garbage": "400", b"<sip:>": "400", b",": "400",
        b"<sip:a@b.test>;q=2": "400", b"<sip:a@b.test>;q=x": "400", b"<sip:a@b.test>;q": "400|200",
        b"<sip:a@b.test>, garbage": "400", b'"<sip:a@b.test>': "400", b"<sip:a@b.test>;a;a": "400",
        b"sip:a@b.test?x=y": "400", b"<sip:a@b.test>;expires=1": "423",
        b", ".join(b"<sip:a%d@b.test>" % number for number in range(11)): "403",
    }  # fmt: skip
    yield from _values(b"Contact", contacts, REGISTER)
    star = instead(b"Contact", b"*", REGISTER)
    yield from _lines({b"Expires: 5": "400", b"Expires: x": "400", b"Expires: ": "400"}, star)
    paths = dict.fromkeys(
        (b"garbage", b"<sip:p.test>", b"<tel:+1;lr>", b"", b"<sip:p.test;lr>,"), "400"
    )
    paths[b", ".join([b"<sip:p.test;lr>"] * 11)] = "400"
    yield from _lines({b"Path: " + path: allowed for path, allowed in paths.items()}, REGISTER)
    whom = {
        b"<sip:bob@example.test>": "403", b"<sip:alice@evil.test>": "404", b"garbage": "400",
        b"<sip:example.test>": "404", b"<tel:+1>": "400", b'"<sip:alice@example.test>': "400",
        b"<sip:alice@example.test>, <sip:bob@example.test>": "400", b"": "400",
    }  # fmt: skip
    yield from _values(b"To", whom, REGISTER)
    yield from _lines({b"Require: x": "420", b"Require: ,": "400|420"}, REGISTER)


def out_of_nowhere() -> Iterator[Case]:
    """§9.2, §17.1.3, §17.1.1.3: what belongs to nothing."""
    response = GOOD.replace(b"MESSAGE sip:bob@example.test SIP/2.0", b"SIP/2.0 200 OK")
    yield "a response", response, DROP
    yield "a response of ours", response.replace(b"192.0.2.66;", b"127.0.0.1:5060;"), DROP
    for line in (
        b"SIP/2.0 99 x",
        b"SIP/2.0 700 x",
        b"SIP/2.0 2OO OK",
        b"SIP/2.0",
        b"SIP/2.0 200OK",
    ):
        yield repr(line), response.replace(b"SIP/2.0 200 OK", line), DROP
    yield "ACK", GOOD.replace(b"MESSAGE", b"ACK"), DROP
    yield "a bad ACK", GOOD.replace(b"MESSAGE", b"ACK").replace(b"From", b"X"), DROP
    yield "CANCEL", GOOD.replace(b"MESSAGE", b"CANCEL"), "481"
    yield "a bad CANCEL", GOOD.replace(b"MESSAGE", b"CANCEL").replace(b"From", b"X"), "400"
    yield (
        "CANCEL to elsewhere",
        GOOD.replace(b"MESSAGE", b"CANCEL").replace(b"bob@", b"bob@x."),
        "481",
    )


def extensions() -> Iterator[Case]:
    """§16.3 step 5."""
    yield from _lines(
        {
            b"Proxy-Require: x": "420", b"Proxy-Require: path, x": "420",
            b"Proxy-Require: PATH": FORWARD,
            b"Require: x": FORWARD, b"Unknown: \xff\xfe;;,,": FORWARD,
        }
    )  # fmt: skip


CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "duplicates": duplicates, "missing": missing, "numbers": numbers, "line ends": line_ends,
    "addresses": addresses, "start lines": start_lines, "vias": vias, "routes": routes,
    "registrations": registrations, "out of nowhere": out_of_nowhere, "extensions": extensions,
}  # fmt: skip
