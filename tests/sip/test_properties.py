"""Round trips, and readers that refuse in one way only (properties over drawn octets)."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from sipproxy.sip import headers
from sipproxy.sip.errors import SipError
from sipproxy.sip.framing import PING, Framer
from sipproxy.sip.grammar import parse_params, quote, split_values, unescape, unquote
from sipproxy.sip.message import Message, Request
from sipproxy.sip.parser import BadMessage, parse_datagram, parse_framed
from sipproxy.sip.response import make_response
from sipproxy.sip.uri import address_of_record, aor_uri, equivalent, parse_uri, request_form
from tests.sip.strategies import chunked, examples, extra_lines, messages, mutated, text, uris
from tests.sip.tables import TableCase

_NASTY = b'abc019 \t\r\n"\\<>@;:=,?%&/[]().-\xc3\xa9\0'
_READERS: tuple[Callable[[bytes], object], ...] = (
    parse_uri,
    headers.parse_via,
    headers.parse_cseq,
    headers.parse_qvalue,
    headers.parse_event,
    headers.parse_authorization,
    headers.parse_expires,
    parse_params,
    lambda value: headers.parse_name_addr(value).tag,
    lambda value: headers.parse_name_addr(value).uri,
)


def outcome(frame: bytes | BadMessage) -> object:
    """Return what tells two frames apart."""
    if isinstance(frame, bytes):
        return frame
    return frame.status, frame.reason, frame.salvage and frame.salvage.lines


class UriTests(TableCase):
    """RFC 3261 §19.1."""

    @examples(200)
    @given(uris())
    def test_equal_to_itself(self, raw: bytes) -> None:
        """§19.1.4, in any case of the scheme."""
        uri = parse_uri(raw)
        self.assertTrue(equivalent(uri, parse_uri(raw)))
        scheme, _, rest = raw.partition(b":")
        self.assertTrue(equivalent(uri, parse_uri(scheme.swapcase() + b":" + rest)))
        self.assertTrue(equivalent(parse_uri(scheme.swapcase() + b":" + rest), uri))

    @examples(100)
    @given(text(b"abcXYZ019-_.!~*'()"))
    def test_escaped_user_is_the_same(self, user: bytes) -> None:
        """§19.1.4: characters other than reserved ones are equivalent to their escapes."""
        escaped = b"".join(b"%%%02x" % octet for octet in user)
        self.assertTrue(
            equivalent(parse_uri(b"sip:" + user + b"@h"), parse_uri(b"sip:" + escaped + b"@h"))
        )

    @examples(200)
    @given(uris())
    def test_request_form_is_a_request_uri(self, raw: bytes) -> None:
        """§19.1.1: what is left is the same URI without headers and method."""
        uri = parse_uri(raw)
        form = parse_uri(request_form(uri))
        self.assertEqual((form.headers, b"method" in form.params), (b"", False))
        self.assertEqual((form.user, form.host, form.port), (uri.user, uri.host, uri.port))
        self.assertEqual(form.params, {k: v for k, v in uri.params.items() if k != b"method"})
        self.assertEqual(request_form(form), form.raw)

    @examples(200)
    @given(st.binary(max_size=12), st.sampled_from([b"a.example", b"[2001:db8::1]"]))
    def test_address_of_record_round_trip(self, user: bytes, host: bytes) -> None:
        """§10.3 step 5: escaping what has to be, and undoing it, changes nothing."""
        aor = user + b"@" + host
        self.assertEqual(address_of_record(parse_uri(aor_uri(aor))), aor)


class GrammarTests(TableCase):
    """RFC 3261 §25.1."""

    @examples(200)
    @given(st.binary(max_size=20))
    def test_quoting_round_trip(self, plain: bytes) -> None:
        self.assertEqual(unquote(quote(plain)), plain)
        self.assertEqual(split_values(quote(plain) + b", x"), [quote(plain), b"x"])

    @examples(200)
    @given(st.binary(max_size=20))
    def test_escaping_round_trip(self, plain: bytes) -> None:
        self.assertEqual(unescape(b"".join(b"%%%02x" % octet for octet in plain)), plain)

    @examples(400)
    @given(text(_NASTY, least=0, most=30), st.sampled_from(_READERS))
    def test_readers_raise_nothing_but_a_400(
        self, value: bytes, reader: Callable[[bytes], object]
    ) -> None:
        try:
            reader(value)
        except SipError as error:
            self.assertEqual(error.status, 400)


class MessageTests(TableCase):
    """RFC 3261 §7: octets in, the same octets out."""

    @examples(100)
    @given(messages())
    def test_round_trip(self, data: bytes) -> None:
        message = parse_datagram(data)
        self.assertEqual(message.encode(), data)
        self.assertEqual(parse_framed(data).encode(), data)

    @examples(50)
    @given(messages(), extra_lines())
    def test_push_and_pop_is_nothing(self, data: bytes, line: bytes) -> None:
        """§16.6 step 8, §16.7 step 3: a proxy's Via comes and goes without a trace."""
        message = parse_datagram(data)
        message.push(b"Via", b"SIP/2.0/UDP us;branch=z9hG4bKus")
        message.pop_value(b"via")
        self.assertEqual(message.encode(), data)

    @examples(50)
    @given(messages())
    def test_response_can_be_read(self, data: bytes) -> None:
        """§8.2.6.2: what copies from a valid request is valid."""
        request = parse_datagram(data)
        if isinstance(request, Request):
            response = parse_datagram(make_response(request, 404, b"t").encode())
            self.assertEqual(response.values(b"via"), request.values(b"via"))
            self.assertEqual(response.to.tag, b"t")

    @examples(300)
    @given(mutated() | st.binary(max_size=80) | text(_NASTY, least=0, most=80))
    def test_nothing_but_bad_message_is_raised(self, data: bytes) -> None:
        for parse in (parse_datagram, parse_framed):
            try:
                self.look_around(parse(data))
            except BadMessage as error:
                self.assertIn(error.status, (400, 505))
                if error.salvage is not None:
                    self.check_answer(error.salvage)

    def look_around(self, message: Message) -> None:
        """Ask a message for everything; only a 400 may come of it."""
        for name in set(message.names):
            message.values(name)
            try:
                message.addresses(name)
                _ = message.to.tag, message.from_.tag, message.to.uri
            except SipError as error:
                self.assertEqual(error.status, 400)
        self.assertEqual(len(message.names), len(message.lines))

    def check_answer(self, request: Request) -> None:
        """An answer holds no line that the faulty request has smuggled in."""
        answer = make_response(request, 400, b"t").encode()
        self.assertNotIn(b"\0", answer)
        self.assertEqual(answer.count(b"\n"), answer.count(b"\r\n"))
        self.assertEqual(answer.count(b"\r"), answer.count(b"\r\n"))
        self.assertEqual(answer.count(b"\r\n\r\n"), 1)


class FramingTests(TableCase):
    """RFC 3261 §18.3: where a stream is cut into segments makes no difference."""

    @examples(200)
    @given(chunked())
    def test_chunks_make_no_difference(self, drawn: tuple[bytes, list[bytes]]) -> None:
        stream, chunks = drawn
        framer = Framer(400, 60)
        in_chunks = [outcome(frame) for chunk in chunks for frame in framer.feed(chunk)]
        self.assertEqual(in_chunks, [outcome(frame) for frame in Framer(400, 60).feed(stream)])

    @examples(50)
    @given(st.lists(messages(with_length=True) | st.just(PING), max_size=5), st.integers(1, 50))
    def test_all_messages_come_out(self, parts: list[bytes], step: int) -> None:
        stream = b"".join(parts)
        framer = Framer(4096, 4096)
        frames = []
        for start in range(0, len(stream), step):
            frames += framer.feed(stream[start : start + step])
        self.assertEqual((frames, framer.pending), (parts, 0))
