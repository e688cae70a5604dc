"""The event package, by itself and in a whole server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Message, Request, Response
from sipproxy.testing import FakeClient, FakeServer
from sipproxy_mwi.summary import MOST, NOTHING, Summary, read_summary, total, write_summary

CONFIG = """
domains = ["example.test"]
[[listen]]
transport = "udp"
address = "127.0.0.1"
[[listen]]
transport = "tcp"
address = "127.0.0.1"
[auth]
required = false
[proxy]
handlers = ["registrar", "publish", "subscribe"]
[events]
packages = ["message-summary"]
[events.publishers]
message-summary = ["voicemail@example.test"]
"""
REQUEST = """
    {method} sip:{to}@example.test SIP/2.0
    Via: SIP/2.0/{transport} {host}:5060;branch=z9hG4bK-{number};rport
    Max-Forwards: 70
    From: <sip:{sender}@example.test>;tag={sender}
    To: <sip:{to}@example.test>
    Call-ID: {number}
    CSeq: 1 {method}
    Contact: <sip:{sender}@{host}:5060>
    Event: message-summary
    {extra}
    Content-Length: {length}

    """
EXAMPLE = b"""Messages-Waiting: yes
Message-Account: sip:alice@vmail.example.com
Voice-Message: 4/8 (1/2)
"""
HEADERS = b"""
To: <alice@atlanta.example.com>
From: <bob@biloxi.example.com>
Subject: carpool
 tomorrow?
Message-ID: 13784434989@vmail.example.com

To: <alice@example.com>
Priority: urgent
"""
VOICE = ((b"Voice-Message", (4, 8, 1, 2)),)


class SummaryTest(SynchronousTestCase):
    """Bodies (RFC 3842 §5.2)."""

    def test_example(self) -> None:
        """§4.1, with the line ends of a file and of a message."""
        expected = Summary(True, b"sip:alice@vmail.example.com", VOICE)
        for data in (EXAMPLE, EXAMPLE.replace(b"\n", b"\r\n"), EXAMPLE + HEADERS):
            self.assertEqual(read_summary(data), expected)
        self.assertEqual(write_summary(expected), EXAMPLE.replace(b"\n", b"\r\n"))

    def test_the_least(self) -> None:
        self.assertEqual(read_summary(b"messages-waiting:NO"), NOTHING)
        self.assertEqual(write_summary(NOTHING), b"Messages-Waiting: no\r\n")

    def test_no_urgent_ones(self) -> None:
        summary = read_summary(b"Messages-Waiting: yes\nFAX-message : 1 / 0\nNone: 0/0 ( 0 / 0 )")
        self.assertEqual(summary.counts, ((b"Fax-Message", (1, 0, 0, 0)), (b"None", (0, 0, 0, 0))))
        self.assertIn(b"Fax-Message: 1/0\r\nNone: 0/0\r\n", write_summary(summary))

    def test_bad(self) -> None:
        for data in (
            b"",
            b"\r\n",
            b"Voice-Message: 1/0",
            b"Messages-Waiting: maybe",
            b"Messages-Waiting: yes\nMessages-Waiting: yes",
            b"Messages-Waiting: yes\nMessage-Account: nowhere",
            b"Messages-Waiting: yes\nVoice-Message: 1/0\nMessage-Account: sip:alice@b.test",
            b"Messages-Waiting: yes\nVoice-Message: 1",
            b"Messages-Waiting: yes\nVoice-Message: -1/0",
            b"Messages-Waiting: yes\nVoice-Message: 1/0 (1)",
            b"Messages-Waiting: yes\nVoice-Message: 12345678901/0",
            b"Messages-Waiting: yes\nVoice-Message: 1/0\nVoice-message: 1/0",
            b"Messages-Waiting: yes\nSmoke-Signal: 1/0",
            b"Messages-Waiting: yes\n\nno header",
            b"Messages-Waiting: yes\n\nX: \xff\n\x00",
        ):
            error = self.assertRaises(SipError, read_summary, data)
            self.assertEqual(error.status, 400, data)

    def test_total(self) -> None:
        voice = Summary(True, b"", VOICE)
        fax = Summary(False, b"sip:fax@b.test", ((b"Fax-Message", (0, 7, 0, 0)), VOICE[0]))
        self.assertEqual(total([]), NOTHING)
        self.assertEqual(
            total([voice, fax]),
            Summary(
                True,
                b"sip:fax@b.test",
                ((b"Voice-Message", (8, 16, 2, 4)), (b"Fax-Message", (0, 7, 0, 0))),
            ),
        )

    def test_no_total_is_too_large_to_be_read(self) -> None:
        largest = read_summary(b"Messages-Waiting: yes\nVoice-Message: 9999999999/4294967295")
        ((_, counts),) = total([largest, largest]).counts
        self.assertEqual(counts, (MOST, MOST, 0, 0))


class PackageTest(SynchronousTestCase):
    """Alice's phone, which has a lamp, and a voicemail system."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), CONFIG)
        self.phone = self.server.client("192.0.2.1")
        self.voicemail = self.server.client("192.0.2.2", 5060, "tcp")
        self.number = 0

    def send(
        self,
        client: FakeClient,
        method: str,
        to: str = "alice",
        sender: str = "alice",
        body: bytes = b"",
        extra: str = "Expires: 3600",
    ) -> Message:
        """Send a request and return what comes of it first."""
        client.clear()
        self.number += 1
        head = REQUEST.format(
            method=method,
            to=to,
            sender=sender,
            host=client.flow.host.decode(),
            transport=client.flow.via_transport.decode(),
            number=self.number,
            extra=extra,
            length=len(body.strip().replace(b"\n", b"\r\n")),
        )
        client.send(head + body.strip().decode())
        answer = client.received[0]
        assert isinstance(answer, Response)
        return answer

    def subscribe(self, sender: str = "alice", client: FakeClient | None = None) -> Message:
        """Subscribe to Alice's mailbox."""
        return self.send(client or self.phone, "SUBSCRIBE", sender=sender)

    def publish(self, body: bytes = EXAMPLE, sender: str = "voicemail", **headers: str) -> Message:
        """Publish what is in Alice's mailbox."""
        pairs = {"Expires": "3600", "Content_Type": "application/simple-message-summary"} | headers
        if not body:
            del pairs["Content_Type"]
        extra = "\n".join(f"{name.replace('_', '-')}: {value}" for name, value in pairs.items())
        return self.send(self.voicemail, "PUBLISH", sender=sender, body=body, extra=extra)

    def told(self) -> bytes:
        """Return the body of the NOTIFY that came last, answer it, and let a second pass.

        Before that nothing else is told (RFC 3842 §3.11).
        """
        notify = self.phone.received[-1]
        assert isinstance(notify, Request) and notify.method == b"NOTIFY"
        self.phone.answer(200)
        self.phone.clear()
        self.server.advance(1.1)
        return notify.body

    def test_nothing_waits(self) -> None:
        self.assertEqual(self.subscribe().start, b"SIP/2.0 200 OK")
        self.assertEqual(self.told(), b"Messages-Waiting: no\r\n")

    def test_a_message_comes_and_is_heard(self) -> None:
        self.subscribe()
        self.told()
        published = self.publish()
        self.assertEqual(self.told(), EXAMPLE.replace(b"\n", b"\r\n"))
        tag = (published.value(b"sip-etag") or b"").decode()
        self.publish(b"Messages-Waiting: no\nVoice-Message: 0/9", SIP_If_Match=tag)
        self.assertEqual(self.told(), b"Messages-Waiting: no\r\nVoice-Message: 0/9\r\n")

    def test_two_systems(self) -> None:
        self.publish()
        self.publish(b"Messages-Waiting: no\nFax-Message: 0/1", sender="alice")
        self.subscribe()
        lines = (b"Messages-Waiting: yes", b"Message-Account: sip:alice@vmail.example.com")
        counts = (b"Voice-Message: 4/8 (1/2)", b"Fax-Message: 0/1")
        self.assertEqual(self.told().splitlines(), [*lines, *counts])

    def test_no_news_are_not_told(self) -> None:
        self.subscribe()
        self.told()
        tag = (self.publish().value(b"sip-etag") or b"").decode()
        self.told()
        self.publish(SIP_If_Match=tag)
        self.server.advance(2)
        self.assertEqual(self.phone.received, [])

    def test_a_system_that_closes_its_connection_has_lost_nothing(self) -> None:
        self.publish()
        self.voicemail.flow.close()
        self.subscribe()
        self.assertIn(b"Messages-Waiting: yes", self.told())

    def test_a_system_that_is_not_heard_any_more(self) -> None:
        self.publish(Expires="60")
        self.subscribe()
        self.told()
        self.server.advance(61)
        self.assertEqual(self.told(), b"Messages-Waiting: no\r\n")

    def test_it_is_nobody_elses_business(self) -> None:
        bob = self.server.client("192.0.2.3")
        self.assertEqual(self.subscribe("bob", bob).start, b"SIP/2.0 403 Forbidden")
        answer = self.publish(sender="bob")
        self.assertEqual(answer.start.split()[1], b"403")

    def test_what_is_no_summary(self) -> None:
        self.assertEqual(self.publish(b"4 messages").start.split()[1], b"400")
        answer = self.publish(Content_Type="text/plain")
        self.assertEqual(answer.start.split()[1], b"415")
        self.assertEqual(answer.value(b"accept"), b"application/simple-message-summary")
