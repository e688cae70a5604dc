"""Matching requests and responses to transactions (RFC 3261 §17.1.3, §17.2.3, §9.2, §8.2.2.2)."""

from __future__ import annotations

from tests.sip.tables import rows
from tests.transaction.fakes import TIMERS, RecordingFlow, RecordingPath, answer
from tests.transaction.layers import LayerCase

VIA = b"SIP/2.0/UDP host.atlanta.com;branch=z9hG4bK776asdhds"
VIA_2543 = b"SIP/2.0/UDP host.atlanta.com;branch=1"

BRANCHES_2543 = {
    "other branch": VIA_2543,
    "no branch": b"SIP/2.0/UDP host.atlanta.com",
    "magic cookie alone": b"SIP/2.0/UDP host.atlanta.com;branch=z9hG4bK",
    "magic cookie in another case": b"SIP/2.0/UDP host.atlanta.com;branch=Z9HG4BK1",
}


class ServerMatchingTests(LayerCase):
    """§17.2.3: branch, sent-by and method."""

    def test_new_request_goes_to_the_user_stamped(self) -> None:
        """§18.2.1: received is there before anybody sees the request."""
        self.arrive(b"MESSAGE")
        self.assertEqual(self.events(), ["received MESSAGE"])
        (request,) = self.user.requests
        self.assertEqual(request.values(b"via"), [VIA + b";received=192.0.2.7"])
        self.assertEqual(len(self.layer), 1)

    @rows(
        {
            "same in all": {},
            "host in another case": {"Via": VIA.replace(b"atlanta", b"ATLANTA")},
            "default port written": {"Via": VIA.replace(b".com", b".com:5060")},
            "other parameters": {"Via": VIA + b";rport;x=y"},
            "other fields": {"From": b"<sip:x@y>;tag=9", "Call_ID": b"other", "To": b"<sip:z>"},
        }
    )
    def test_repeated_request_is_absorbed(self, headers: dict[str, bytes]) -> None:
        self.arrive(b"MESSAGE")
        self.arrive(b"MESSAGE", **headers)
        self.assertEqual(self.events(), ["received MESSAGE"])
        self.respond(200)
        self.arrive(b"MESSAGE", **headers)
        self.assertEqual(self.events(), ["sent 200", "sent 200"])
        self.assertEqual(self.flow.sent[0], self.flow.sent[1])
        self.finish()

    @rows(
        {
            "branch": (b"MESSAGE", {"Via": VIA + b"x"}),
            "branch in another case": (b"MESSAGE", {"Via": VIA.replace(b"asd", b"ASD")}),
            "host of sent-by": (b"MESSAGE", {"Via": VIA.replace(b"host", b"ghost")}),
            "port of sent-by": (b"MESSAGE", {"Via": VIA.replace(b".com", b".com:5070")}),
            "method": (b"OPTIONS", {}),
            "CANCEL is a transaction of its own": (b"CANCEL", {}),
            "INVITE": (b"INVITE", {}),
        }
    )
    def test_other_request_is_new(self, method: bytes, headers: dict[str, bytes]) -> None:
        self.arrive(b"MESSAGE")
        self.arrive(method, **headers)
        self.assertEqual(len(self.user.transactions), 2)
        self.assertEqual(len(self.layer), 2)

    def test_over_a_stream_too(self) -> None:
        self.flow = RecordingFlow(self.bench, reliable=True)
        data = b"OPTIONS sip:a@b SIP/2.0\r\nVia: %s\r\n" % VIA
        data += b"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"
        self.layer.framed(data, self.flow)
        self.respond(200)
        self.assertEqual(self.events(), ["received OPTIONS", "sent 200"])
        self.assertEqual(len(self.layer), 0)

    def test_responses_take_the_reply_path(self) -> None:
        """§18.2.2, RFC 3581 §4: the flow knows where the topmost Via leads."""
        self.flow.reply = RecordingPath(self.bench, name="replied")
        self.arrive(b"INVITE")
        self.respond(404)
        self.assertEqual(self.events(), ["received INVITE", "replied 404"])

    def test_response_has_the_tag_of_the_layer(self) -> None:
        self.arrive(b"MESSAGE")
        request = self.user.requests[-1]
        headers = ((b"Min-Expires", b"60"),)
        answer(self.layer, self.user.transactions[-1], request, 423, "Too Short", headers)
        data = self.last_sent()
        self.assertTrue(data.startswith(b"SIP/2.0 423 Too Short\r\n"))
        self.assertIn(b";tag=" + self.layer.tag(request) + b"\r\n", data)
        self.assertIn(b"\r\nMin-Expires: 60\r\n", data)

    def test_nobody_to_take_it(self) -> None:
        self.layer.user = None
        self.arrive(b"MESSAGE")
        self.arrive(b"ACK")
        self.assertEqual((self.events(), len(self.layer)), ([], 0))


class AckTests(LayerCase):
    """§17.2.3: an ACK matches the INVITE; RFC 6026 §7.1: in Accepted it is the user's."""

    def test_absorbed_after_a_failure(self) -> None:
        self.arrive(b"INVITE")
        self.respond(404)
        self.arrive(b"ACK")
        self.arrive(b"ACK")
        self.assertEqual(self.events(), ["received INVITE", "sent 404"])
        self.bench.until(TIMERS.t4 + 1)
        self.assertEqual((self.events(), len(self.layer)), ([], 0))

    def test_passed_on_after_a_2xx(self) -> None:
        self.arrive(b"INVITE")
        self.respond(200)
        self.events()
        self.arrive(b"ACK")
        self.arrive(b"ACK", Via=VIA + b"another")
        self.assertEqual(self.events(), ["acknowledged", "acknowledged"])
        self.finish()

    def test_that_matches_nothing_is_the_users(self) -> None:
        self.arrive(b"ACK")
        self.assertEqual((self.events(), len(self.layer)), (["acknowledged"], 0))

    def test_before_an_answer_is_dropped(self) -> None:
        self.arrive(b"INVITE")
        self.arrive(b"ACK")
        self.assertEqual(self.events(), ["received INVITE"])

    def test_does_not_match_another_method(self) -> None:
        self.arrive(b"MESSAGE")
        self.events()
        self.arrive(b"ACK")
        self.assertEqual(self.events(), ["acknowledged"])


class CancelTests(LayerCase):
    """§9.2: a CANCEL means the INVITE with its branch and sent-by."""

    def test_whatever_the_method(self) -> None:
        """§9.2: a CANCEL matches any transaction but those of CANCEL and ACK."""
        self.arrive(b"MESSAGE", Via=VIA)
        self.arrive(b"CANCEL", Via=VIA)
        message = self.user.transactions[0]
        self.assertIs(self.layer.cancelled(self.user.requests[-1]), message)

    @rows({"branch of RFC 3261": VIA, "branch of RFC 2543": VIA_2543, "no branch": VIA[:28]})
    def test_found(self, via: bytes) -> None:
        self.arrive(b"INVITE", Via=via)
        self.arrive(b"CANCEL", Via=via)
        invite, _ = self.user.transactions
        cancel = self.user.requests[-1]
        self.assertEqual(cancel.method, b"CANCEL")
        self.assertIs(self.layer.cancelled(cancel), invite)

    @rows(
        {
            "another branch": (b"INVITE", VIA + b"x"),
            "another sent-by": (b"INVITE", VIA.replace(b"host", b"ghost")),
            "a method of nobody's": (b"FETCH", VIA),
        }
    )
    def test_not_found(self, method: bytes, via: bytes) -> None:
        self.arrive(method, Via=via)
        self.arrive(b"CANCEL")
        self.assertIsNone(self.layer.cancelled(self.user.requests[-1]))


class Rfc2543Tests(LayerCase):
    """§17.2.3: a branch without the magic cookie says nothing; the whole request is compared."""

    @rows(BRANCHES_2543)
    def test_repeated(self, via: bytes) -> None:
        self.arrive(b"MESSAGE", Via=via)
        self.respond(200)
        self.arrive(b"MESSAGE", Via=via)
        self.assertEqual(self.events(), ["received MESSAGE", "sent 200", "sent 200"])
        self.finish()

    @rows(BRANCHES_2543)
    def test_branch_alone_does_not_match(self, via: bytes) -> None:
        self.arrive(b"MESSAGE", Via=via)
        self.arrive(b"MESSAGE", Via=via, Call_ID=b"other")
        self.assertEqual(len(self.user.transactions), 2)

    @rows(
        {
            "Call-ID": (b"MESSAGE", {"Call_ID": b"other"}),
            "CSeq": (b"MESSAGE", {"CSeq": b"2 MESSAGE"}),
            "method": (b"OPTIONS", {}),
            "From tag": (b"MESSAGE", {"From": b"Alice <sip:alice@atlanta.com>;tag=other"}),
            "no From tag": (b"MESSAGE", {"From": b"Alice <sip:alice@atlanta.com>"}),
            "sent-by": (b"MESSAGE", {"Via": b"SIP/2.0/UDP other.atlanta.com;branch=1"}),
            "branch": (b"MESSAGE", {"Via": b"SIP/2.0/UDP host.atlanta.com;branch=2"}),
            "Request-URI": (b"MESSAGE", {"uri": b"sip:carol@biloxi.com"}),
        }
    )
    def test_new(self, method: bytes, headers: dict[str, bytes]) -> None:
        self.arrive(b"MESSAGE", Via=VIA_2543)
        self.arrive(method, **{"Via": VIA_2543, **headers})
        self.assertEqual(len(self.user.transactions), 2)

    def test_ack_matches_by_all_but_the_to_tag(self) -> None:
        self.arrive(b"INVITE", Via=VIA_2543)
        self.respond(404)
        self.events()
        self.arrive(b"ACK", Via=VIA_2543, To=b"<sip:bob@biloxi.com>;tag=x")
        self.assertEqual(self.events(), [])
        self.bench.until(TIMERS.t4 + 1)
        self.assertEqual(len(self.layer), 0)


class ClientMatchingTests(LayerCase):
    """§17.1.3: the branch of the topmost Via, and the method of CSeq."""

    def test_response_reaches_its_user(self) -> None:
        client = self.send(b"MESSAGE")
        self.assertEqual(client.key, (b"z9hG4bKus", b"MESSAGE"))
        self.answer(200)
        self.assertEqual(self.events(), ["sent MESSAGE", "answered 200"])
        self.finish()

    @rows(
        {
            "another branch": {"via": b"SIP/2.0/UDP us.example;branch=z9hG4bKother"},
            "another method": {"cseq": b"314159 OPTIONS"},
            "no branch": {"via": b"SIP/2.0/UDP us.example"},
        }
    )
    def test_that_matches_nothing_is_dropped(self, changed: dict[str, bytes]) -> None:
        """RFC 6026 §8.3, RFC 4320 §4.2: stray responses are not forwarded."""
        self.send(b"MESSAGE")
        self.answer(200, **changed)
        self.assertEqual(self.events(), ["sent MESSAGE"])

    @rows(
        {
            "host": {"via": b"SIP/2.0/UDP them.example;branch=z9hG4bKus"},
            "port": {"via": b"SIP/2.0/UDP us.example:5070;branch=z9hG4bKus"},
            "default port of TLS": {"via": b"SIP/2.0/TLS us.example;branch=z9hG4bKus"},
        }
    )
    def test_sent_by_is_not_ours(self, changed: dict[str, bytes]) -> None:
        """§18.1.2: the response MUST be discarded."""
        self.send(b"MESSAGE")
        self.answer(200, **changed)
        self.assertEqual(self.events(), ["sent MESSAGE"])

    def test_our_port_may_be_written(self) -> None:
        self.send(b"MESSAGE")
        self.answer(200, via=b"SIP/2.0/UDP US.example:5060;branch=z9hG4bKus;received=192.0.2.1")
        self.assertEqual(self.events(), ["sent MESSAGE", "answered 200"])

    def test_cancel_beside_its_invite(self) -> None:
        """§9.1: a CANCEL has the branch of its INVITE, and CSeq tells their responses apart."""
        self.send(b"INVITE")
        self.answer(180)
        self.send(b"CANCEL")
        self.assertEqual(len(self.layer), 2)
        self.answer(200)
        self.answer(487, cseq=b"314159 INVITE")
        self.assertEqual(
            self.events(),
            [
                *["sent INVITE", "answered 180", "sent CANCEL", "answered 200"],
                *["sent ACK", "answered 487"],
            ],
        )
        self.finish()

    def test_late_2xx_is_dropped(self) -> None:
        """RFC 6026 §7.2: after Timer M nothing is left to match."""
        self.send(b"INVITE")
        self.answer(200)
        self.finish()
        self.events()
        self.answer(200)
        self.assertEqual(self.events(), [])

    @rows({"INVITE": b"INVITE", "other": b"MESSAGE"})
    def test_unanswered_is_forgotten(self, method: bytes) -> None:
        self.send(method)
        self.finish()
        self.assertEqual(self.events()[-1], "timed out")


class MergedTests(LayerCase):
    """§8.2.2.2: one request that came on two paths is served once."""

    def claim(self, **headers: bytes) -> bool:
        """Let a request arrive and claim it."""
        self.arrive(b"MESSAGE", **headers)
        return self.layer.claim(self.user.transactions[-1], self.user.requests[-1])

    def test_second_path(self) -> None:
        self.assertTrue(self.claim())
        self.assertFalse(self.claim(Via=VIA + b"other"))
        self.finish()

    def test_claimed_again_by_the_same(self) -> None:
        self.assertTrue(self.claim())
        self.assertTrue(self.layer.claim(self.user.transactions[0], self.user.requests[0]))

    @rows(
        {
            "From tag": {"From": b"<sip:alice@atlanta.com>;tag=other"},
            "user, of the same From tag": {"From": b"<sip:mallory@atlanta.com>;tag=1928301774"},
            "Call-ID": {"Call_ID": b"other"},
            "CSeq": {"CSeq": b"2 MESSAGE"},
            "tag in To": {"To": b"<sip:bob@biloxi.com>;tag=dialog"},
        }
    )
    def test_another_request(self, headers: dict[str, bytes]) -> None:
        self.assertTrue(self.claim())
        self.assertTrue(self.claim(Via=VIA + b"other", **headers))

    def test_after_the_first_is_forgotten(self) -> None:
        self.assertTrue(self.claim())
        self.respond(200)
        self.finish()
        self.assertTrue(self.claim(Via=VIA + b"other"))
        self.finish()

    def test_claimed_too_late_leaves_nothing(self) -> None:
        """A user may take longer to decide than the transaction lasts."""
        self.arrive(b"MESSAGE")
        self.finish()
        self.assertTrue(self.layer.claim(self.user.transactions[0], self.user.requests[0]))
        self.assertTrue(self.claim(Via=VIA + b"other"))
        self.finish()

    def test_unreadable_to(self) -> None:
        self.arrive(b"MESSAGE", To=b"<")
        self.refuses(400, self.layer.claim, self.user.transactions[0], self.user.requests[0])
