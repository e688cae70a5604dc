"""From octets to a checked message: each fault and its answer (RFC 3261 §7, §8.1.1, §18.3)."""

from __future__ import annotations

from sipproxy.sip.message import Message, Request, Response
from sipproxy.sip.parser import BadMessage, parse_datagram, parse_framed
from tests.sip.samples import HEAD, OK, START, octets, request
from tests.sip.tables import TableCase, rows

_LENGTH_5 = b"Content-Length: 5"
_SINGLE = (
    *(b"From", b"To", b"Call-ID", b"CSeq", b"Max-Forwards", b"Max-Breadth", b"Content-Length"),
    *(b"Content-Type", b"Expires", b"Min-Expires", b"Event", b"Subscription-State"),
    b"SIP-If-Match",
)


class AcceptedTests(TableCase):
    """What is odd, and lawful or harmless."""

    @rows(
        {
            "usual": octets(),
            "body without Content-Length": octets(body=b"to the end of the datagram"),
            "body with Content-Length": octets(_LENGTH_5, body=b"12345"),
            "no Max-Forwards of RFC 2543": octets(without=(b"Max-Forwards",)),
            "Max-Forwards 0": octets(Max_Forwards=b"0"),
            "Max-Forwards 255": octets(Max_Forwards=b"255"),
            "compact forms": octets(
                b"v: SIP/2.0/UDP b", b"k: a", b"l: 0", without=(b"Via",), start=START
            ),
            "several Vias": octets(b"Via: SIP/2.0/TCP b, SIP/2.0/UDP c", b"v:SIP/2.0/UDP d"),
            "folded": octets(From=b"Alice\r\n <sip:alice@atlanta.com>\r\n\t;tag=1"),
            "unknown lines twice": octets(b"X: 1", b"X: 2", b"Subject:"),
            "unknown method": request(b"NEWMETHOD"),
            "method that only looks like another": request(b"invite"),
            "other scheme": request(b"INVITE", uri=b"soap.beep://192.0.2.103:3002"),
            "NUL behind a backslash": octets(b'Subject: "\\\0"'),
            "NUL in the body": octets(body=b"\0\r\n\r\n\0"),
            "bare line ends in the body": octets(body=b"a\rb\nc"),
            "unreadable Contact": octets(b"Contact: <<<"),
            "unreadable To": octets(To=b'"unclosed <sip:a@b>'),
            "response": octets(start=OK),
            "response with an unreadable From": octets(start=OK, From=b"<"),
            "response with a Max-Forwards of nonsense": octets(start=OK, Max_Forwards=b"x"),
        }
    )
    def test_octets_come_out_as_they_went_in(self, data: bytes) -> None:
        self.assertEqual(parse_datagram(data).encode(), data)
        self.assertEqual(parse_framed(data).encode(), data)

    @rows(
        {
            "line ends first": (b"\r\n\r\n\r\n", b""),
            "octets beyond Content-Length": (b"", b"garbage"),
        }
    )
    def test_what_a_datagram_has_around_it(self, before: bytes, after: bytes) -> None:
        """§7.5: CRLFs before the start line are ignored; §18.3: octets beyond are discarded."""
        data = octets(_LENGTH_5, body=b"12345")
        message = parse_datagram(before + data + after)
        self.assertEqual(message.encode(), data)

    def test_kinds(self) -> None:
        self.assertIsInstance(parse_datagram(octets()), Request)
        self.assertIsInstance(parse_datagram(octets(start=OK)), Response)

    def test_start_line_in_another_case(self) -> None:
        """§7.1: the version is case-insensitive, but MUST be sent in upper case."""
        for start in (START, OK):
            written = start.replace(b"SIP/2.0", b"sip/2.0")
            self.assertEqual(parse_datagram(octets(start=written)).start, start)


class RequestFaultTests(TableCase):
    """A faulty request is answered with its status where it may be answered at all."""

    @rows(
        {
            "two spaces in the request line": (400, octets(start=START.replace(b" ", b"  "))),
            "Request-URI in brackets": (400, request(b"INVITE", uri=b"<sip:a@b>")),
            "Request-URI without a scheme": (400, request(b"INVITE", uri=b"a@b")),
            "headers in the Request-URI": (400, request(b"INVITE", uri=b"sip:a@b?Route=x")),
            "empty headers in the Request-URI": (400, request(b"INVITE", uri=b"sip:a@b?")),
            "version 7": (505, octets(start=START.replace(b"2.0", b"7.0"))),
            "version 7 and no From": (
                505,
                octets(start=START.replace(b"2.0", b"7.0"), without=(b"From",)),
            ),
            "no From": (400, octets(without=(b"From",))),
            "no To": (400, octets(without=(b"To",))),
            "no Call-ID": (400, octets(without=(b"Call-ID",))),
            "no CSeq": (400, octets(without=(b"CSeq",))),
            "empty Call-ID": (400, octets(Call_ID=b"")),
            "CSeq of another method": (400, octets(CSeq=b"1 INVITE")),
            "CSeq of a method in another case": (400, octets(CSeq=b"1 message")),
            "CSeq beyond 2**31": (400, octets(CSeq=b"2147483648 MESSAGE")),
            "CSeq without a method": (400, octets(CSeq=b"1")),
            "unreadable From": (400, octets(From=b"<sip:a@b>;tag")[:-4] + b"=\r\n\r\n"),
            "From with two addresses": (400, octets(From=b"<sip:a@b>, <sip:c@d>")),
            "unreadable Via": (400, octets(Via=b"SIP/2.0/UDP ;branch=x")),
            "Max-Forwards of letters": (400, octets(Max_Forwards=b"many")),
            "Max-Forwards beyond 255": (400, octets(Max_Forwards=b"256")),
            "negative Max-Forwards": (400, octets(Max_Forwards=b"-1")),
            "line without a colon": (400, octets(b"nonsense")),
            "name that is no token": (400, octets(b"Some Header: x")),
            "NUL": (400, octets(b"Subject: a\0b")),
            "NUL behind a backslash, not quoted": (400, octets(b"Subject: a\\\0b")),
            "bare CR": (400, octets(b"Subject: a\rb")),
            "bare LF": (400, octets(b"Subject: a\nInjected: b")),
            "CR CR LF": (400, octets(b"Subject: a\r")),
            "as many bare CR as bare LF": (400, octets(b"Subject: \n\r")),
            "short body": (400, octets(_LENGTH_5, body=b"1234")),
            "negative Content-Length": (400, octets(b"Content-Length: -1")),
            "Content-Length of letters": (400, octets(b"Content-Length: five")),
            "Content-Length beyond all": (400, octets(b"Content-Length: " + b"9" * 19)),
            "no end of head": (400, octets().removesuffix(b"\r\n")),
            "end of head cut off": (400, octets().removesuffix(b"\r\n\r\n")),
            "cut off in a name": (400, octets()[:-4] + b"\r\nSubj"),
        }
    )
    def test_answered(self, status: int, data: bytes) -> None:
        error = self.assertRaises(BadMessage, parse_datagram, data)
        self.assertEqual(error.status, status, error.reason)
        assert error.salvage is not None
        self.assertEqual(error.salvage.value(b"via"), _value_of(data, b"Via"))

    @rows({name.decode(): name for name in _SINGLE})
    def test_two_of_a_single_field(self, name: bytes) -> None:
        """§7.3.1: several lines only of what is a comma-separated list."""
        value = HEAD.get(name, b"0")
        error = self.assertRaises(BadMessage, parse_datagram, octets(*[name + b": " + value] * 2))
        self.assertEqual((error.status, error.salvage is None), (400, False))
        self.assertIn(name.lower().decode(), error.reason.lower())

    @rows(
        {
            "no Via": octets(without=(b"Via",)),
            "ACK": request(b"ACK", b"nonsense"),
            "ACK with another CSeq": request(b"ACK", CSeq=b"1 INVITE"),
            "ACK with two spaces": octets(start=b"ACK  sip:a SIP/2.0"),
            "ACK with a tab": octets(start=b"ACK\tsip:a\tSIP/2.0"),
            "ACK of another version": octets(start=b"ACK sip:a SIP/3.0"),
            "another protocol": octets(start=b"GET / HTTP/1.1"),
            "nothing": b"",
            "line ends": b"\r\n\r\n\r\n",
            "octets of another protocol": bytes(range(256)),
            "STUN": b"\0\1\0\0\x21\x12\xa4\x42abcdefghijkl",
            "start line alone": START,
            "response without a Via": octets(start=OK, without=(b"Via",)),
            "response without a CSeq": octets(start=OK, without=(b"CSeq",)),
            "response with an unreadable Via": octets(start=OK, Via=b"x"),
            "response with an unreadable CSeq": octets(start=OK, CSeq=b"x"),
            "response with a short body": octets(_LENGTH_5, start=OK),
            "response with a strange status": octets(start=b"SIP/2.0 4294967301 better SIP/2.0"),
            "response in lower case": octets(start=b"sip/2.0 0 is no SIP/2.0"),
        }
    )
    def test_never_answered(self, data: bytes) -> None:
        """§17.1.1.3: nothing answers an ACK; nor a response, nor what has nowhere to go."""
        error = self.assertRaises(BadMessage, parse_datagram, data)
        self.assertIn(error.status, (400, 505))
        self.assertIsNone(error.salvage)

    def test_framed_faults(self) -> None:
        """What framing has cut out is checked like a datagram, but for its length."""
        error = self.assertRaises(BadMessage, parse_framed, octets(without=(b"From",)))
        self.assertEqual((error.status, error.salvage is None), (400, False))
        self.assertEqual(parse_framed(octets(_LENGTH_5)).body, b"")


class SalvageTests(TableCase):
    """RFC 3261 §8.2.6.2: what a stateless answer copies from a request that cannot be read."""

    def salvaged(self, data: bytes) -> Message:
        error = self.assertRaises(BadMessage, parse_datagram, data)
        assert error.salvage is not None
        return error.salvage

    def test_method_and_the_copied_lines_alone(self) -> None:
        message = self.salvaged(octets(b"v: SIP/2.0/UDP b", b"Subject: x", b"nonsense"))
        names = [b"via", b"from", b"to", b"call-id", b"cseq", b"via"]
        self.assertEqual(message.names, names)
        self.assertEqual(message.lines[-1], b"v: SIP/2.0/UDP b")

    @rows(
        {
            "second From": octets(b"From: <sip:c@d>"),
            "bare LF in a copied line": octets(b"Via: x\nInjected: y"),
            "bare CR in a copied line": octets(b"Via: x\rInjected: y"),
            "LF CR in a copied line": octets(b"Via: x\n\r y"),
        }
    )
    def test_what_is_left_out(self, data: bytes) -> None:
        message = self.salvaged(data)
        self.assertEqual(message.names, [b"via", b"from", b"to", b"call-id", b"cseq"])
        self.assertEqual(message.value(b"from"), HEAD[b"From"])

    def test_folding_is_kept(self) -> None:
        message = self.salvaged(octets(b"nonsense", To=b"Bob\r\n <sip:b@c>"))
        self.assertIn(b"To: Bob\r\n <sip:b@c>", message.lines)

    def test_nul_is_left_out(self) -> None:
        message = self.salvaged(octets(Call_ID=b"a\0b"))
        self.assertEqual(message.value(b"call-id"), b"ab")


class CutTests(TableCase):
    """RFC 3261 §18.3: a datagram may be cut anywhere."""

    def test_cut_at_every_octet(self) -> None:
        whole = octets(_LENGTH_5, body=b"12345")
        for length in range(len(whole)):
            with self.assertRaises(BadMessage, msg=f"{length} octets"):
                parse_datagram(whole[:length])


def _value_of(data: bytes, name: bytes) -> bytes | None:
    for line in data.split(b"\r\n"):
        if line.startswith(name + b": "):
            return line.partition(b": ")[2]
    return None
