"""What a log may show of a message."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.shown import shown

HEAD = b"MESSAGE sip:b@example.test SIP/2.0\r\nFrom: <sip:a@example.test>;tag=1\r\n"


class ShownTests(SynchronousTestCase):
    """`shown` of a message."""

    def test_a_head_without_its_body(self) -> None:
        text = shown(HEAD + b"Content-Length: 6\r\n\r\nsecret")
        self.assertTrue(text.startswith("MESSAGE sip:b@example.test SIP/2.0 | From: <sip:a@"))
        self.assertNotIn("secret", text)

    def test_no_credentials(self) -> None:
        for name in (b"Authorization", b"proxy-authorization ", b"PROXY-AUTHORIZATION"):
            line = name + b': Digest username="a",\r\n response="secret"\r\nSubject: x'
            text = shown(HEAD + line + b"\r\n\r\n")
            self.assertNotIn("secret", text)
            self.assertIn("... | Subject: x", text)

    def test_octets_that_are_no_message(self) -> None:
        self.assertEqual(shown(b"\xff\x00"), "\\xff\x00")
        self.assertEqual(shown(b""), "")
        self.assertEqual(len(shown(b"a" * 100_000)), 4096)
