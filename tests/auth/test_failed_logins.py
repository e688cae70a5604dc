"""A wrong password leaves a line that an operator, and fail2ban, can act on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl.logs import json_line, text_line
from sipproxy.sip.message import Response
from sipproxy.testing import FakeServer, authorized

FILTER = Path(__file__).resolve().parents[2] / "contrib" / "fail2ban-sipproxy.conf"
MESSAGE = """
    MESSAGE sip:bob@example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK{number}
    Max-Forwards: 70
    From: <sip:{user}@example.test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: call-{number}
    CSeq: {number} MESSAGE
    Content-Length: 0
    """


class FailedLogins(SynchronousTestCase):
    """A server, and what it logs."""

    def setUp(self) -> None:
        accounts = {"alice@example.test": "right", "bob@example.test": "other"}
        self.server = FakeServer(self.mktemp(), accounts=accounts)
        self.number = 1
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def log_in(self, password: str, name: str = "alice", host: str = "192.0.2.1") -> None:
        """Send a MESSAGE, and again with credentials."""
        phone, first = self.server.client(host), self.number
        self.number += 2
        phone.send(MESSAGE.format(number=first, user="alice"))
        challenge = phone.received[-1]
        assert isinstance(challenge, Response)
        again = MESSAGE.format(number=first + 1, user="alice")
        phone.send(authorized(again, challenge, name, password))

    def failures(self) -> list[Any]:
        """Return the events of failed logins."""
        return [e for e in self.events if e.get("log_namespace") == "sipproxy.auth"]

    def test_a_right_password_leaves_nothing(self) -> None:
        self.log_in("right")
        self.assertEqual(self.failures(), [])

    def test_a_wrong_one_is_told_with_its_source(self) -> None:
        self.log_in("wrong")
        (event,) = self.failures()
        self.assertEqual(event["address"], "192.0.2.1")
        self.assertEqual((event["user"], event["call_id"]), ("alice@example.test", b"call-2"))
        self.assertNotIn("wrong", text_line(event) + json_line(event))

    def test_one_that_does_not_exist_is_told_alike(self) -> None:
        self.log_in("wrong", "mallory")
        (event,) = self.failures()
        expected = "failed login from 192.0.2.1 as 'mallory@example.test'"
        self.assertTrue(text_line(event).endswith(expected))

    def test_no_credentials_are_no_failed_login(self) -> None:
        self.server.client("192.0.2.1").send(MESSAGE.format(number=1, user="alice"))
        self.assertEqual(self.failures(), [])

    def test_fail2ban_finds_the_address(self) -> None:
        self.log_in("wrong")
        self.log_in("wrong", "it's", "2001:db8::1")
        self.log_in("wrong", "from 1.2.3.4 as 'x", "192.0.2.9")
        for line in (text_line, json_line):
            found = [self.banned(line(event)) for event in self.failures()]
            self.assertEqual(found, ["192.0.2.1", "2001:db8::1", "192.0.2.9"])

    def test_fail2ban_finds_nothing_else(self) -> None:
        lines = (
            "2026-01-01 info sipproxy.proxy: failed login from 192.0.2.1 as 'a'",
            '{"address":"192.0.2.1","text":"another thing"}',
        )
        self.assertEqual([self.banned(line) for line in lines], [None, None])

    def banned(self, line: str) -> str | None:
        """Return the address that the filter finds in a line."""
        text = FILTER.read_text().partition("failregex = ")[2]
        for rule in text.splitlines():
            match = re.search(rule.strip().replace("<ADDR>", r"(?P<ip>[0-9a-fA-F.:]+)"), line)
            if match is not None:
                return match["ip"]
        return None
