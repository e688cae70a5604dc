"""The filter in a whole server: who is refused, and who passes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.config import ConfigError
from sipproxy.testing import FakeServer

CONFIG = """
domains = ["example.test"]
aliases = ["sip.example.test"]
[[listen]]
transport = "udp"
address = "127.0.0.1"
[auth]
required = false
[federation]
inbound = "open"
[proxy]
filters = ["blocklist"]
[plugin.blocklist]
"""
MESSAGE = """
    MESSAGE sip:bob@example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
    Max-Forwards: 70
    From: <{sender}>;tag=1
    To: <sip:bob@example.test>
    Call-ID: 1
    CSeq: 1 MESSAGE
    Content-Type: text/plain
    Content-Length: 2

    hi"""


class WhoIsRefused(SynchronousTestCase):
    """Nobody is registered: who passes is told 480."""

    def status(self, sender: str, options: str) -> tuple[int, bytes]:
        """Send a MESSAGE from ``sender`` to a server with ``options``, and return the answer."""
        phone = FakeServer(self.mktemp(), CONFIG + options).client("192.0.2.1")
        phone.send(MESSAGE.format(sender=sender))
        (answer,) = phone.received
        return answer.status, answer.reason

    def test_a_blocked_domain(self) -> None:
        refused = self.status("sip:eve@SPAM.test", 'domains = ["spam.test"]')
        self.assertEqual(refused, (403, b"Sender Is Blocked"))

    def test_a_blocked_user(self) -> None:
        options = 'users = ["mallory@b.test"]\nreason = "Go Away"'
        self.assertEqual(self.status("sip:m%61llory@b.test", options), (403, b"Go Away"))

    def test_a_user_of_ours_by_any_name_of_ours(self) -> None:
        options = 'users = ["eve@sip.example.test"]'
        self.assertEqual(self.status("sip:eve@127.0.0.1", options)[0], 403)

    def test_others_pass(self) -> None:
        options = 'domains = ["spam.test"]\nusers = ["mallory@b.test"]'
        for sender in ("sip:alice@example.test", "sip:alice@b.test", "sip:eve@not.spam.test"):
            self.assertEqual(self.status(sender, options)[0], 480, sender)

    def test_register_is_refused_too(self) -> None:
        server = FakeServer(self.mktemp(), CONFIG + 'users = ["eve@example.test"]')
        phone = server.client("192.0.2.1")
        text = MESSAGE.replace("MESSAGE sip:bob@", "REGISTER sip:").replace(
            "1 MESSAGE", "1 REGISTER"
        )
        phone.send(text.format(sender="sip:eve@example.test"))
        self.assertEqual(phone.received[-1].status, 403)


class Options(SynchronousTestCase):
    """A mistake in the options is one line."""

    def test_each_mistake(self) -> None:
        for options, line in (
            ('domains = ["a@b.test"]', "plugin.blocklist: domains: 'a@b.test' is no domain"),
            ('users = ["b.test"]', "plugin.blocklist: users: 'b.test' is no user@domain"),
            ('users = ["a b@b.test"]', "plugin.blocklist: users: 'a b@b.test' is no user@domain"),
            (r'reason = "a\r\nb"', "plugin.blocklist: reason has to be one printable line"),
            (
                "user = []",
                "plugin.blocklist.user: unknown key; remove it, or use: domains, reason, users",
            ),
        ):
            error = self.assertRaises(ConfigError, FakeServer, self.mktemp(), CONFIG + options)
            self.assertEqual(f"{error.key}: {error.problem}", line)
