"""What Hypothesis draws: URIs, messages, mutations of them, and streams cut anywhere."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.sip.samples import octets


def examples(count: int) -> settings:
    """Return settings that draw the same examples each time, without a deadline or a database."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    )


def text(alphabet: bytes, least: int = 1, most: int = 12) -> st.SearchStrategy[bytes]:
    """Draw octets of an alphabet."""
    size = len(alphabet)
    return st.binary(min_size=least, max_size=most).map(
        lambda drawn: bytes(alphabet[octet % size] for octet in drawn)
    )


ALPHANUM = b"abcXYZ019"
TOKEN = ALPHANUM + b"-.!%*_+`'~"
USER = ALPHANUM + b"-_.!~*'()&=+$,;?/"

_escapes = st.integers(0, 255).map(lambda octet: b"%%%02X" % octet)
_users = st.lists(text(USER) | _escapes, min_size=1, max_size=4).map(b"".join)
_passwords = st.none() | text(ALPHANUM + b"&=+$,-_.!~*'()", least=0)
_hosts = st.sampled_from(
    [b"atlanta.com", b"AtLanTa.CoM", b"a", b"192.0.2.4", b"[2001:db8::1]", b"[::]", b"x-y.z."]
)
_names = text(ALPHANUM + b"-_.!~*'()[]/:&+$")
_params = st.dictionaries(_names.map(bytes.lower), st.none() | _names, max_size=4)
_headers = st.dictionaries(text(ALPHANUM), text(ALPHANUM + b"%20:/", least=0), max_size=2)


@st.composite
def uris(draw: st.DrawFn) -> bytes:
    """Draw a SIP URI of the grammar of RFC 3261 §25.1."""
    uri = draw(st.sampled_from([b"sip:", b"SIPS:", b"im:"]))
    user, password = draw(st.none() | _users), draw(_passwords)
    if user is not None:
        uri += user + (b"" if password is None else b":" + password) + b"@"
    port = draw(st.none() | st.integers(0, 65535))
    uri += draw(_hosts) + (b"" if port is None else b":%d" % port)
    for name, value in draw(_params).items():
        uri += b";" + name + (b"" if value is None else b"=" + value)
    headers = b"&".join(name + b"=" + value for name, value in draw(_headers).items())
    return uri + (b"?" + headers if headers else b"")


_fold = st.sampled_from([b" ", b"  ", b"\t", b"\r\n ", b" \r\n\t"])
_words = text(TOKEN + b'<>@;=:/"\\,\xc3\xa9', least=0, most=10)


@st.composite
def extra_lines(draw: st.DrawFn) -> bytes:
    """Draw a header line, perhaps folded, that no check looks into."""
    name = draw(st.sampled_from([b"Contact", b"m", b"X-Odd", b"ROUTE", b"Subject ", b"s\t", b"a"]))
    words = draw(st.lists(st.tuples(_fold, _words), max_size=4))
    return name + b":" + b"".join(fold + word for fold, word in words)


@st.composite
def messages(draw: st.DrawFn, with_length: bool = False) -> bytes:
    """Draw a valid request or response, in forms as odd as they may be."""
    method = draw(st.sampled_from([b"MESSAGE", b"INVITE", b"ACK", b"FOO", b"foo"]))
    uri = draw(uris().filter(lambda uri: b"?" not in uri.rpartition(b"@")[2]))
    request = method + b" " + uri + b" SIP/2.0"
    start = draw(st.just(request) | st.just(b"SIP/2.0 404 Not Here \xff"))
    body = draw(st.binary(max_size=40))
    lines = draw(st.lists(extra_lines(), max_size=4))
    if with_length or draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), b"l:%s%d" % (draw(_fold), len(body)))
    address = b'"%s"%s<%s>' % (draw(text(ALPHANUM + b" ,;<>")), draw(_fold), draw(uris()))
    return octets(*lines, start=start, body=body, CSeq=b"1 " + method, From=address)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a valid message and spoil it in a few places."""
    data = draw(messages())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 30)))
        piece = draw(
            st.binary(max_size=4)
            | st.sampled_from(
                [b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b'"', b"<", b";", b",", b":", b"\r\n "]
                + [b"Via: SIP/2.0/UDP x\r\n", b"CSeq: 1 FOO\r\n", b"l: 99\r\n", data[start:end] * 2]
            )
        )
        data = data[:start] + piece + data[end:]
    return data


_noise = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"l: 3", b"l:0", b"Via: x", b"abc", b"S SIP/2.0"]),
    max_size=12,
).map(b"".join)


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Draw a stream of messages, pings and noise, and the same cut into chunks."""
    parts = draw(st.lists(messages(with_length=True) | _noise, max_size=4))
    stream = b"".join(parts)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    return stream, [stream[a:b] for a, b in zip(edges, edges[1:], strict=False)]
