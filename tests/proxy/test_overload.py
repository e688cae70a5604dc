"""A whole server that has too much to do: who is served, who is told to come again."""

from __future__ import annotations

from sipproxy.ctl.server import Commands
from sipproxy.sip.message import Response
from sipproxy.testing import FakeClient, FakeServer
from tests.proxy.fakes import OPEN
from tests.sip.tables import TableCase, rows

LIMITS = '[limits]\nsource_rate = 5\nrefusals = 3\nunlimited = ["192.0.2.9"]\n'
PEER = '[[route]]\ndomain = "b.test"\nto = "sip:198.51.100.7"\n'
OPTIONS = """
    {method} sip:example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-{number}
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=1
    To: <sip:example.test>{tag}
    Call-ID: {number}
    CSeq: 1 {method}
    Content-Length: 0
    """


class OverloadTest(TableCase):
    """Five requests a second, three refusals."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN + LIMITS + PEER)
        self.sent = 0

    def statuses(self, client: FakeClient, count: int, method: str, tag: str = "") -> list[int]:
        """Send so many requests, and return the statuses of the answers."""
        client.clear()
        for _ in range(count):
            self.sent += 1
            client.send(OPTIONS.format(number=self.sent, method=method, tag=tag))
        return [each.status for each in client.received if isinstance(each, Response)]

    def fall_behind(self) -> None:
        """Let ticks be late."""
        for _ in range(3):
            self.server.clock.advance(1)

    def refused(self) -> tuple[bool, dict[str, int]]:
        """Return what ``sipctl status`` says of it."""
        status = Commands(self.server.node).run({"command": "status"})
        return status["is_behind"], {name: n for name, n in status["refused"].items() if n}

    def test_too_fast(self) -> None:
        """The rest of a second is silence; what was refused is kept nowhere."""
        fast = self.server.client("192.0.2.1")
        self.assertEqual(self.statuses(fast, 20, "OPTIONS"), [200] * 5 + [503] * 3)
        self.assertEqual(len(self.server.node.layer), 5)
        self.assertEqual(self.refused(), (False, {"rate": 3, "silently": 12}))
        self.server.advance(1)
        self.assertEqual(self.statuses(fast, 1, "OPTIONS"), [200])

    @rows({"in unlimited": "192.0.2.9", "of a [[route]]": "198.51.100.7"})
    def test_never_too_fast(self, host: str) -> None:
        client = self.server.client(host)
        self.assertEqual(self.statuses(client, 50, "OPTIONS"), [200] * 50)

    def test_behind(self) -> None:
        """A request in a dialog and CANCEL are served, here to hear that they match nothing."""
        self.fall_behind()
        client = self.server.client("192.0.2.9")
        self.assertEqual(self.statuses(client, 1, "OPTIONS"), [503])
        self.assertEqual(self.refused(), (True, {"behind": 1}))
        (answer,) = client.received
        self.assertIn(int(answer.value(b"retry-after") or b"0"), range(2, 11))
        self.assertEqual(self.statuses(client, 1, "OPTIONS", ";tag=2"), [200])
        self.assertEqual(self.statuses(client, 1, "CANCEL"), [481])

    def test_no_longer_behind(self) -> None:
        self.fall_behind()
        self.server.advance(1)
        client = self.server.client("192.0.2.9")
        self.assertEqual(self.statuses(client, 1, "OPTIONS"), [200])
        self.assertEqual(self.refused(), (False, {}))
