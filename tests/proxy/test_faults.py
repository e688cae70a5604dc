"""Whatever comes is answered at most once, and is never a bug of ours."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.message import Response
from sipproxy.sip.parser import BadMessage, parse_datagram
from sipproxy.testing import FakeServer
from tests.proxy.fakes import OPEN

EXTRA = """
[federation]
inbound = "open"
[[route]]
domain = "b.test"
to = "sip:198.51.100.7"
"""
_methods = st.sampled_from(
    ["MESSAGE", "REGISTER", "OPTIONS", "SUBSCRIBE", "CANCEL", "ACK", "INVITE", "FOO"]
)
_uris = st.sampled_from(
    [
        "sip:bob@example.test",
        "sip:example.test",
        "sip:@example.test",
        "sip:bob@example.test:5060;maddr=127.0.0.1;transport=tcp",
        "sip:bob@example.test;maddr=[::1]",
        "sip:carol@b.test",
        "sip:carol@b.test;maddr=203.0.113.1",
        "sip:x@[2001:db8::1]",
        "sip:x@[:::1]",
        "sip:x@%00.test",
        "sip:b%20b@example.test",
        "sip:\xe9@example.test",
        "sip:x@b.test;lr?a=b",
        "sips:bob@example.test",
        "im:bob@example.test",
        "im:carol@c.test",
        "tel:+358",
        "tel:",
        "sip:",
        "*",
        "",
    ]
)
_addresses = st.builds(
    "{}{}{}".format,
    st.sampled_from(["<{}>", "{}", '"x <" <{}>', "<{}", "{}>", "<{}>;tag=1", "<{}>;expires=0"]),
    st.sampled_from(["", ";lr", ";q=0.5", ";q=x", ";expires=99999999999", ";tag=2;tag=3"]),
    st.sampled_from(["", ",", ", <sip:example.test;lr>", ", *"]),
).flatmap(lambda form: _uris.map(lambda uri: form.replace("{}", uri)))
_odd = st.sampled_from(
    ["", "0", "1", "-1", "70", "256", "4294967296", "x", "path", "foo, path", "*"]
)
_names = st.sampled_from(
    [
        "Max-Forwards",
        "Max-Breadth",
        "Expires",
        "Require",
        "Proxy-Require",
        "Content-Length",
        "Call-ID",
        "Subject",
    ]
)
_lines = st.one_of(
    st.tuples(st.sampled_from(["Route", "Record-Route", "Contact", "Path", "m"]), _addresses),
    st.tuples(_names, _odd),
    st.tuples(
        st.just("Proxy-Authorization"),
        st.sampled_from(['Digest realm="example.test"', "Digest", "Basic x", 'Digest a="']),
    ),
    st.tuples(
        st.sampled_from(["Via", "v"]),
        st.sampled_from(
            ["SIP/2.0/UDP h;branch=z9hG4bK1;maddr=[::]", "SIP/2.0/TCP [::1]:0", "x", "SIP/2.0/UDP"]
        ),
    ),
)


class FaultsTest(SynchronousTestCase):
    """Requests put together at random, of pieces that have broken servers before."""

    def setUp(self) -> None:
        self.count = 0

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(_methods, _uris, _addresses, _addresses, st.lists(_lines, max_size=4), st.booleans())
    def test_request(
        self,
        method: str,
        uri: str,
        sender: str,
        receiver: str,
        lines: list[tuple[str, str]],
        asks: bool,
    ) -> None:
        self.count += 1
        server = FakeServer(
            self.mktemp(), OPEN.replace("false", "true" if asks else "false") + EXTRA
        )
        client = server.client("192.0.2.1")
        peer = server.client("198.51.100.7")
        head = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{self.count};rport",
            f"From: {sender}",
            f"To: {receiver}",
            f"CSeq: 1 {method}",
            *(f"{name}: {value}" for name, value in lines),
        ]
        if all(name != "Call-ID" for name, _ in lines):
            head.append("Call-ID: 1")
        client.send("\r\n".join([*head, "", ""]).encode("latin-1"))
        if peer.flow.sent and method != "INVITE":
            peer.answer(200)
        server.advance(12)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertLessEqual(len(set(self.finals(client.flow.sent))), 1)

    def finals(self, sent: list[bytes]) -> list[bytes]:
        """Return the final responses among what was sent, as far as they can be read."""
        found = []
        for data in sent:
            try:
                message = parse_datagram(data)
            except BadMessage:
                found.append(data)
            else:
                if isinstance(message, Response) and message.status >= 200:
                    found.append(data)
        return found
