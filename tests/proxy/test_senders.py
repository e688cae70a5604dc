"""Who may send what: sender, Route, Request-URI and method against what becomes of the request."""

from __future__ import annotations

from sipproxy.proxy.passage import Side, dialog_name
from sipproxy.sip.message import Request
from sipproxy.sip.parser import parse_datagram
from sipproxy.testing import CONFIG, FakeClient, FakeServer, authorized, octets
from tests.rfc import rfc
from tests.scenarios.script import flipped
from tests.sip.tables import TableCase, rows

EXTRA = """
[[route]]
domain = "b.test"
to = "sip:198.51.100.7"
"""
CALL_ID = "dialog"
URIS = {
    "bob": "sip:bob@example.test",
    "carol": "sip:carol@b.test",
    "x": "sip:x@203.0.113.99",
    "us": "sip:example.test",
    "nobody": "sip:nobody@example.test",
}
# Who sends it (alice: with her credentials; forger: as alice, without; proven: by the flow that the
# token knows to be hers), its Route (token: of a dialog with bob), its Request-URI; then what
# becomes of a MESSAGE, a NOTIFY and a REGISTER: a status of ours, or who gets it.
TABLE = """
    sender    route    to      MESSAGE NOTIFY    REGISTER

    alice     -        bob     bob     bob       200
    alice     -        carol   b       b         b
    alice     -        x       x       x         x
    alice     -        us      404     404       200
    alice     -        nobody  404     404       200
    alice     us       bob     bob     bob       200
    alice     us       carol   b       b         b
    alice     b        bob     b       b         200
    alice     b        x       b       b         b
    alice     us+b     x       b       b         b
    alice     forged   bob     403     403       403

    forger    -        bob     407     407       401
    forger    -        carol   407     407       407
    forger    -        us      407     407       401
    forger    us       bob     407     407       401
    forger    us       x       407     407       407
    forger    b        x       407     407       407
    forger    token    bob     407     407       401
    forger    token    carol   407     407       407
    forger    token+b  x       407     407       407
    forger    forged   bob     403     403       403
    forger    forged   x       403     403       403
    forger    theirs   bob     403     403       403
    forger    notag    bob     403     403       403

    alice     token    bob     bob     bob       200
    alice     token+b  x       b       b         b

    proven    token    bob     407     bob       401
    proven    token    carol   407     bob       407
    proven    token+b  x       407     b         407
    proven    forged   bob     403     403       403

    peer      -        bob     bob     bob       401
    peer      -        nobody  404     404       401
    peer      -        us      404     404       401
    peer      -        carol   403     403       403
    peer      -        x       403     403       403
    peer      us       bob     bob     bob       401
    peer      b        bob     403     403       401
    peer      us+b     bob     403     403       401
    peer      us       x       403     403       403
    peer      token    bob     bob     bob       401
    peer      token    carol   bob     bob       bob
    peer      token    x       bob     bob       bob
    peer      token+b  x       403     403       403
    peer      token+b  bob     403     403       401
    peer      forged   bob     403     403       403

    stranger  -        bob     403     403       401
    stranger  -        carol   403     403       403
    stranger  -        us      403     403       401
    stranger  us       bob     403     403       401
    stranger  token    bob     bob     bob       401
    stranger  token    x       bob     bob       bob
    stranger  notag    bob     403     403       403
    stranger  forged   bob     403     403       403
"""


def _rows() -> dict[str, tuple[str, str, str, str, str]]:
    head, *lines = (line.split() for line in TABLE.splitlines() if line.strip())
    table = {}
    for sender, route, to, *outcomes in lines:
        for method, outcome in zip(head[3:], outcomes, strict=True):
            row = (sender, route, to, method, outcome)
            table[f"{method} {sender} by {route} to {to}"] = row
    return table


class SendersCase(TableCase):
    """A server with a peer, where bob has a phone."""

    def setUp(self) -> None:
        accounts = {"alice@example.test": "secret", "bob@example.test": "other"}
        self.server = FakeServer(self.mktemp(), CONFIG + EXTRA, accounts)
        self.receivers = {
            "bob": self.server.client("192.0.2.2"),
            "b": self.server.client("198.51.100.7"),
            "x": self.server.client("203.0.113.99"),
        }
        phone, stranger = self.server.client("192.0.2.1"), self.server.client("203.0.113.9")
        self.senders: dict[str, tuple[FakeClient, str]] = {
            "alice": (phone, "alice@example.test"),
            "forger": (phone, "alice@example.test"),
            "proven": (phone, "alice@example.test"),
            "peer": (self.receivers["b"], "carol@b.test"),
            "stranger": (stranger, "mallory@evil.test"),
        }
        self.bind_bob()

    def bind_bob(self) -> None:
        """Give bob a phone."""
        client = self.receivers["bob"]
        text = self.text("REGISTER", "sip:example.test", "bob@example.test", "-", "Call-ID: bob")
        text += "\nContact: <sip:bob@192.0.2.2>"
        client.send(text)
        client.send(self.with_credentials(text, client, "bob", "other"))
        self.assertEqual([message.status for message in client.received], [401, 200])
        client.clear()

    def route(self, name: str, request: str, is_proven: bool) -> str:
        """Return the Route value of a name in the table for a request."""
        parsed = parse_datagram(octets(request))
        assert isinstance(parsed, Request)
        network, tokens = self.server.network, self.server.node.core.tokens
        own = network.name(self.senders["alice"][0].flow)
        up = Side(own, is_by_flow=True, is_proven=is_proven).encode()
        down = Side(network.name(self.receivers["bob"].flow), True, True).encode()
        call_id, caller, callee = parsed.call_id, parsed.from_, parsed.to
        token = tokens.make(up, down, dialog_name(call_id, caller, callee)).decode()
        theirs = tokens.make(up, down, dialog_name(b"another", caller, callee)).decode()
        b = "<sip:198.51.100.7;lr>"
        values = {
            "us": "<sip:127.0.0.1:5060;lr>",
            "b": b,
            "us+b": f"<sip:example.test;lr>, {b}",
            "token": f"<sip:{token}@127.0.0.1:5060;lr>",
            "notag": f"<sip:{token}@127.0.0.1:5060;lr>",
            "token+b": f"<sip:{token}@127.0.0.1;lr>, {b}",
            "forged": f"<sip:{flipped(token)}@127.0.0.1;lr>",
            "theirs": f"<sip:{theirs}@127.0.0.1;lr>",
        }
        return values[name]

    def text(
        self,
        method: str,
        uri: str,
        aor: str,
        route: str,
        call_id: str,
        is_proven: bool = False,
    ) -> str:
        tag = ";tag=2" if route in ("token", "token+b", "forged", "theirs") else ""
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {aor.partition('@')[0]}.test;branch=z9hG4bK-1",
            f"From: <sip:{aor}>;tag=1",
            f"To: <sip:{aor if method == 'REGISTER' else uri[4:]}>{tag}",
            call_id,
            f"CSeq: 1 {method}",
        ]
        if route != "-":
            lines.append(f"Route: {self.route(route, chr(10).join(lines), is_proven)}")
        return "\n".join(lines)

    def with_credentials(self, text: str, client: FakeClient, user: str, password: str) -> str:
        challenge = client.received[-1]
        return authorized(text, challenge, user, password).replace("bK-1", "bK-2")


class DecisionTest(SendersCase):
    """Who may pass, row by row."""

    @rfc(3261, "16.3 step 6", "where credentials are required a request without is answered 407")
    @rfc(3261, "26.3.2.2", "nothing is relayed between third parties")
    @rows(_rows())
    def test_outcome(self, sender: str, route: str, to: str, method: str, outcome: str) -> None:
        client, aor = self.senders[sender]
        call_id = f"Call-ID: {CALL_ID}"
        text = self.text(method, URIS[to], aor, route, call_id, sender == "proven")
        client.send(text)
        if sender == "alice" and client.received and client.received[-1].status in (401, 407):
            text = self.with_credentials(text, client, "alice", "secret")
            client.clear()
            client.send(text)
        found = [
            (name, message.method.decode())
            for name, receiver in self.receivers.items()
            for message in map(parse_datagram, receiver.flow.sent)
            if isinstance(message, Request)
        ]
        found += [
            (str(message.status), method)
            for message in client.received
            if not isinstance(message, Request)
        ]
        self.assertEqual(found, [(outcome, method)])


class ExceptionsTest(SendersCase):
    """What is decided before anybody is asked who it is."""

    @rows(
        {
            "INVITE of ours": ("alice", "INVITE", "bob", "-", [407]),
            "INVITE of a stranger": ("stranger", "INVITE", "bob", "-", [403]),
            "OPTIONS to us": ("stranger", "OPTIONS", "us", "-", [200]),
            "OPTIONS to a user": ("stranger", "OPTIONS", "bob", "-", [403]),
            "OPTIONS to us by another": ("stranger", "OPTIONS", "us", "b", [403]),
            "CANCEL of nothing": ("stranger", "CANCEL", "bob", "-", [481]),
            "ACK": ("stranger", "ACK", "bob", "-", []),
            "unknown method": ("stranger", "FOO", "bob", "-", [403]),
            "unknown method of ours": ("forger", "FOO", "bob", "-", [407]),
        }
    )
    def test_status(
        self, sender: str, method: str, to: str, route: str, statuses: list[int]
    ) -> None:
        client, aor = self.senders[sender]
        text = self.text(method, URIS[to], aor, route, "Call-ID: 1")
        client.send(octets(text))
        self.assertEqual([message.status for message in client.received], statuses)
