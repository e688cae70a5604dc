"""The REGISTERs that RFC 5626 §9 and RFC 5627 §9 print, answered as they print it."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.message import Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.testing import CONFIG, FakeServer
from tests.shared import SHARED, needs_shared

FOLDER = SHARED / "sipmsgs"
EXAMPLE = 'aliases = ["ep1.example.com", "ep2.example.com"]\n' + CONFIG.replace(
    "example.test", "example.com"
)


@needs_shared("sipmsgs")
class RfcRegistersTest(SynchronousTestCase):
    """Two edge proxies in one server, which is the registrar too."""

    def setUp(self) -> None:
        text = EXAMPLE + "[auth]\nrequired = false\n"
        self.server = FakeServer(self.mktemp(), text)

    def send(self, name: str, host: str, port: int, transport: str) -> Response:
        """Send a message of the RFCs, and return what came back."""
        client = self.server.client(host, port, transport)
        client.send((FOLDER / name).read_bytes())
        (response,) = client.received
        assert isinstance(response, Response)
        self.assertEqual(response.status, 200)
        return response

    def printed(self, name: str) -> Response:
        """Return a response as the RFC has it."""
        response = parse_datagram((FOLDER / name).read_bytes())
        assert isinstance(response, Response)
        return response

    def facts(self, response: Response, *names: str) -> list[list[str]]:
        """Return parameters of each Contact, sorted, case aside, as they were written."""
        values = [value.decode().lower() for value in response.values(b"contact")]
        patterns = [rf';\s*({re.escape(name)}=(?:"[^"]*"|[^;\s]*))' for name in names]
        return sorted([re.findall(pattern, value) for pattern in patterns] for value in values)

    def test_two_flows(self) -> None:
        """RFC 5626 §9.2."""
        first = self.send("rfc5626/003.sip", "192.0.2.2", 1001, "tcp")
        second = self.send("rfc5626/005.sip", "192.0.2.2", 1002, "tcp")
        printed = self.printed("rfc5626/006.sip")
        names = ("reg-id", "+sip.instance", "expires")
        self.assertEqual(self.facts(second, *names), self.facts(printed, *names))
        for response in (first, second):
            self.assertEqual(response.value(b"require"), printed.value(b"require"))

    def test_a_phone_that_was_restarted(self) -> None:
        """RFC 5627 §9: two contacts of one instance, and the public GRUU of both."""
        before = (FOLDER / "rfc5627/005.sip").read_bytes()
        before = before.replace(b"192.0.2.2", b"192.0.2.1").replace(b"hf8asx", b"1j9Fp")
        client = self.server.client("192.0.2.1", 5060)
        client.send(before)
        response = self.send("rfc5627/005.sip", "192.0.2.2", 5060, "udp")
        printed = self.printed("rfc5627/006.sip")
        for name in ("pub-gruu", "+sip.instance"):
            self.assertEqual(self.facts(response, name), self.facts(printed, name))
        first, second = self.facts(response, "temp-gruu")
        self.assertEqual(first, second)
        self.assertRegex(first[0][0], r'^temp-gruu="sip:tgruu\.[\w-]+@example\.com;gr"$')
