"""Requests to our own Contacts that are no SUBSCRIBE (RFC 3261 §8.2.1, §12.2.2)."""

from __future__ import annotations

from sipproxy.sip.message import Response
from tests.events.test_subscribe import SubscribeCase
from tests.rfc import rfc
from tests.sip.tables import rows


class ContactTests(SubscribeCase):
    """Alice has a subscription, and sends something else where it is."""

    def setUp(self) -> None:
        super().setUp()
        self.alice.subscribe()
        self.alice.take()

    def answer(self, method: str, **headers: str) -> Response:
        """Send a request in the dialog, and return the answer."""
        self.alice.client.clear()
        request = self.alice.request(None, Event="", Contact="", **headers)
        self.alice.client.send(request.replace("SUBSCRIBE", method))
        (response,) = self.alice.received
        assert isinstance(response, Response)
        return response

    @rfc(3261, "8.2.1", "a method that is not supported is answered 405, with Allow")
    @rfc(3261, "21.5.2", "a method that is not known is answered 501")
    @rows(
        {
            "of another usage": ("BYE", 405),
            "that begins one": ("REFER", 405),
            "of text": ("MESSAGE", 405),
            "of somebody who notifies us": ("NOTIFY", 481),
            "unknown": ("DANCE", 501),
        }
    )
    def test_in_the_dialog(self, method: str, status: int) -> None:
        response = self.answer(method)
        self.assertEqual(response.status, status)
        if status != 481:
            self.assertEqual(response.value(b"allow"), b"OPTIONS, SUBSCRIBE")
        self.assertEqual(len(self.notifier), 1, "the subscription stays")

    @rfc(3261, "12.2.2", "a request of no dialog that there is gets 481")
    @rows(
        {
            "another tag": {"To": "<sip:bob@example.test>;tag=0123456789abcdef"},
            "another caller": {"From": "<sip:alice@example.test>;tag=other"},
            "another call": {"Call_ID": "other"},
        }
    )
    def test_of_another_dialog(self, headers: dict[str, str]) -> None:
        for method in ("BYE", "DANCE", "OPTIONS", "SUBSCRIBE"):
            expected = 489 if method == "SUBSCRIBE" else 481
            self.assertEqual(self.answer(method, **headers).status, expected, method)

    def test_of_a_dialog_that_is_over(self) -> None:
        self.alice.ask(0)
        self.alice.take()
        self.assertEqual(self.answer("BYE").status, 481)

    def test_out_of_dialogs(self) -> None:
        """The Contact is a GRUU, so it may be found outside, too, while there is one."""
        outside = {"To": "<sip:bob@example.test>"}
        self.assertEqual(self.answer("MESSAGE", **outside).status, 405)
        self.assertEqual(self.answer("NOTIFY", **outside).status, 481)
        self.alice.contact = "sip:s-0123456789abcdef@127.0.0.1:5060;gr"
        self.assertEqual(self.answer("MESSAGE", **outside).status, 404)

    @rfc(3261, "11", "every user agent answers OPTIONS")
    def test_options(self) -> None:
        response = self.answer("OPTIONS")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.value(b"allow-events"), b"news")

    def test_gruus_of_users(self) -> None:
        self.alice.contact = "sip:bob@example.test;gr=urn:uuid:x"
        self.assertEqual(self.answer("BYE").status, 480)
