"""What is no valid message, what the network returns, and what ends (RFC 3261 §8.2.7, §18.4)."""

from __future__ import annotations

from sipproxy.sip.errors import SipError
from sipproxy.sip.framing import Framer
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import BadMessage, parse_datagram
from sipproxy.transaction.layer import TransactionLayer
from tests.rfc import rfc
from tests.sip.samples import OK, octets
from tests.sip.samples import request as request_octets
from tests.sip.tables import rows
from tests.transaction.fakes import TIMERS, RecordingPath, response
from tests.transaction.layers import LayerCase, is_ours, tag

RPORT = b"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;rport"


@rfc(3261, "8.2.7", "what is refused statelessly has the same tag each time, and leaves nothing")
class RefusedTests(LayerCase):
    """§8.2.7: a stateless answer keeps nothing and is the same each time."""

    @rows(
        {
            "no From": (400, octets(without=(b"From",))),
            "two CSeqs": (400, octets(b"CSeq: 314159 MESSAGE")),
            "bare LF": (400, octets(b"Subject: a\nb")),
            "Request-URI in brackets": (400, request_octets(b"INVITE", uri=b"<sip:a@b>")),
            "version 7": (505, octets(start=b"MESSAGE sip:a@b SIP/7.0")),
            "unreadable Via": (400, octets(Via=b"nonsense")),
            "repeated From tag of an RFC 2543 client": (
                400,
                octets(Via=b"SIP/2.0/UDP a", From=b"<sip:a@b>;tag=1;tag=2"),
            ),
        }
    )
    def test_answered_and_forgotten(self, status: int, data: bytes) -> None:
        for _ in range(2):
            self.layer.datagram(data, self.flow)
            self.assertEqual(self.events(), [f"sent {status}"])
        self.assertEqual((len(self.layer), len(self.bench.wheel)), (0, 0))
        self.assertEqual(self.flow.sent[0], self.flow.sent[1])

    def test_answer_is_stamped_and_tagged(self) -> None:
        """§18.2.1, RFC 3581 §4, §8.2.6.2: as any other response."""
        self.layer.datagram(octets(b"nonsense", Via=RPORT), self.flow)
        response = parse_datagram(self.last_sent())
        assert isinstance(response, Response)
        stamped = b"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;rport=5060;received=192.0.2.7"
        self.assertEqual(response.values(b"via"), [stamped])
        self.assertIsNotNone(response.to.tag)
        self.assertEqual(response.value(b"cseq"), b"314159 MESSAGE")
        self.assertEqual(response.reason, b"Bad header line")

    def test_tag_depends_on_the_request(self) -> None:
        tags = set()
        for call_id in (b"1", b"2"):
            self.layer.datagram(octets(b"nonsense", Call_ID=call_id), self.flow)
            tags.add(parse_datagram(self.flow.sent[-1]).to.tag)
        self.assertEqual(len(tags), 2)

    def test_takes_the_reply_path(self) -> None:
        self.flow.reply = RecordingPath(self.bench, name="replied")
        self.layer.datagram(octets(b"nonsense"), self.flow)
        self.assertEqual(self.events(), ["replied 400"])

    def test_goes_back_on_the_flow_where_via_leads_nowhere(self) -> None:
        self.flow.reply = RecordingPath(self.bench, name="replied")
        self.layer.datagram(octets(Via=b"nonsense"), self.flow)
        self.assertEqual(self.events(), ["sent 400"])

    @rfc(3261, "8.2.7", "an ACK is never answered")
    @rows(
        {
            "garbage": b"\0\1\2",
            "nothing": b"",
            "keep-alive": b"\r\n\r\n",
            "no Via": octets(without=(b"Via",)),
            "ACK": request_octets(b"ACK", b"nonsense"),
            "ACK with a repeated From tag": request_octets(
                b"ACK", Via=b"SIP/2.0/UDP a", From=b"<sip:a@b>;tag=1;tag=2"
            ),
            "response": octets(b"nonsense", start=OK),
            "response to nothing": octets(start=OK),
            "response of a strange status": octets(start=b"SIP/2.0 999 SIP/2.0"),
        }
    )
    def test_never_answered(self, data: bytes) -> None:
        """§17.1.1.3, §18.1.2: no answer to an ACK, to a response, to what is not SIP."""
        self.layer.datagram(data, self.flow)
        self.layer.framed(data, self.flow)
        self.assertEqual((self.events(), len(self.layer)), ([], 0))

    def test_fault_of_a_stream(self) -> None:
        """What framing refuses is answered alike."""
        (error,) = Framer(1000, 10).feed(octets(b"l: 11"))
        assert isinstance(error, BadMessage)
        self.layer.refused(error, self.flow)
        self.layer.framed(octets(b"nonsense"), self.flow)
        self.assertEqual(self.events(), ["sent 413", "sent 400"])

    def test_headers_of_the_error(self) -> None:
        request = parse_datagram(octets())
        assert isinstance(request, Request)
        error = SipError(413, headers=[(b"Retry-After", b"9")])
        self.layer.refused(BadMessage(error, request), self.flow)
        self.assertIn(b"\r\nRetry-After: 9\r\n", self.last_sent())


@rfc(3261, "18.4", "what the network returns has failed at once")
@rfc(3261, "17.1.4", "a transport error ends the transaction, and its user is told")
class UndeliverableTests(LayerCase):
    """§18.4, §17.1.4: the network says that a datagram of ours did not arrive."""

    @rows({"MESSAGE": b"MESSAGE", "INVITE": b"INVITE"})
    def test_whole_datagram(self, method: bytes) -> None:
        self.send(method)
        self.layer.undeliverable(self.flow.sent[0])
        self.assertEqual(self.events(), [f"sent {method.decode()}", "failed"])
        self.finish()

    def test_every_beginning_that_holds_the_via(self) -> None:
        """RFC 792: the network may return no more than the beginning."""
        whole = request_octets(b"MESSAGE", Via=b"SIP/2.0/UDP us.example;branch=z9hG4bKus")
        for length in range(whole.index(b"\r\nMax-Forwards"), len(whole)):
            self.send(b"MESSAGE")
            self.layer.undeliverable(whole[:length])
            self.assertEqual(self.events(), ["sent MESSAGE", "failed"], f"{length} octets")

    def test_only_one_of_several(self) -> None:
        self.send(b"MESSAGE", b"z9hG4bK1")
        self.send(b"MESSAGE", b"z9hG4bK2")
        self.layer.undeliverable(self.flow.sent[0])
        self.assertEqual(len(self.layer), 1)
        self.assertEqual(self.events(), ["sent MESSAGE", "sent MESSAGE", "failed"])

    def test_answered_meanwhile(self) -> None:
        self.send(b"MESSAGE")
        self.answer(200)
        self.layer.undeliverable(self.flow.sent[0])
        self.assertEqual(self.events(), ["sent MESSAGE", "answered 200"])

    @rows(
        {
            "nothing": b"",
            "garbage": b"\0\1",
            "response": octets(start=OK, Via=b"SIP/2.0/UDP us.example;branch=z9hG4bKus"),
            "another branch": octets(Via=b"SIP/2.0/UDP us.example;branch=z9hG4bKother"),
            "another method": request_octets(
                b"ACK", Via=b"SIP/2.0/UDP us.example;branch=z9hG4bKus"
            ),
            "cut in the branch": octets(Via=b"SIP/2.0/UDP us.example;branch=z9hG4bKus")[:78],
        }
    )
    def test_that_matches_nothing(self, data: bytes) -> None:
        self.send(b"MESSAGE")
        self.layer.undeliverable(data)
        self.assertEqual(self.events(), ["sent MESSAGE"])


class LimitTests(LayerCase):
    """Beyond the limit of transactions a new request is 503, and nothing is kept."""

    def test_limit(self) -> None:
        self.layer = TransactionLayer(self.bench.wheel, TIMERS, tag, is_ours, limit=1)
        self.layer.user = self.user
        self.arrive(b"MESSAGE", Via=b"SIP/2.0/UDP host;branch=z9hG4bK1")
        self.arrive(b"MESSAGE", Via=b"SIP/2.0/UDP host;branch=z9hG4bK2")
        self.assertEqual((len(self.layer), len(self.user.requests)), (1, 1))
        answer = parse_datagram(self.flow.sent[-1])
        assert isinstance(answer, Response)
        self.assertEqual((answer.status, answer.value(b"retry-after")), (503, b"30"))
        self.assertEqual(self.layer.turned_away, 1)

    @rows(
        {
            "it may": (0, ["received MESSAGE"]),
            "later": (7, ["sent 503"]),
            "not at all": (-1, []),
        }
    )
    def test_who_says_whether_it_may(self, after: int, events: list[str]) -> None:
        self.layer.admit = lambda request, flow: after
        self.arrive(b"MESSAGE")
        self.assertEqual(self.events(), events)
        self.assertEqual(len(self.layer), int(after == 0))
        if after > 0:
            self.assertIn(b"\r\nRetry-After: 7\r\n", self.flow.sent[-1])

    def test_who_is_not_asked(self) -> None:
        """A retransmission, an ACK and a response begin nothing."""
        self.arrive(b"MESSAGE")
        self.respond(200)
        self.send(b"MESSAGE")
        self.events()
        self.layer.admit = lambda request, flow: 7
        self.arrive(b"MESSAGE")
        self.arrive(b"ACK")
        self.answer(200)
        self.assertEqual(self.events(), ["sent 200", "acknowledged", "answered 200"])


class EndsTests(LayerCase):
    """Everything is forgotten at the end."""

    def test_connection_closed(self) -> None:
        self.flow.reliable = True
        for number in range(3):
            self.send(b"MESSAGE", b"z9hG4bK%d" % number)
        self.flow.close()
        self.assertEqual(len(self.layer), 0)
        self.assertEqual(self.events()[3:], ["failed"] * 3)
        self.finish()

    def test_a_flow_that_raises(self) -> None:
        """An INVITE whose refusal cannot be sent ends as if it had been."""
        self.arrive(b"INVITE")
        self.flow.fault = ZeroDivisionError()
        refusal = response(self.user.requests[-1], 404)
        self.assertRaises(ZeroDivisionError, self.user.transactions[-1].refuse, refusal)
        self.flow.fault = None
        self.finish()

    def test_unanswered(self) -> None:
        """What is still owed an answer, as a server that stops wants to know."""
        for number in range(3):
            self.arrive(b"MESSAGE", Via=b"SIP/2.0/UDP h;branch=z9hG4bK%d" % number)
        self.respond(200)
        self.send(b"MESSAGE")
        self.assertEqual((self.layer.unanswered, len(self.layer)), (2, 4))
        self.finish()
        self.assertEqual(self.layer.unanswered, 0)

    def test_many_of_each_kind(self) -> None:
        for number in range(5):
            via = b"SIP/2.0/UDP h;branch=z9hG4bK%d" % number
            self.arrive(b"MESSAGE", Via=via, Call_ID=via)
            self.layer.claim(self.user.transactions[-1], self.user.requests[-1])
            self.arrive(b"INVITE", Via=via)
            self.respond((200, 302, 404, 500, 600)[number])
            self.send(b"INVITE", b"z9hG4bK%d" % number)
            self.send(b"MESSAGE", b"z9hG4bK%d" % number)
        self.assertEqual(len(self.layer), 20)
        self.finish()
