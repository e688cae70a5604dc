"""The state that is kept of a presentity is never another than what would be composed now."""

from __future__ import annotations

from sipproxy.presence.times import write_time
from sipproxy.sip.message import Request
from tests.documents import assert_valid, canonical
from tests.events.fakes import Phone
from tests.presence.rulesets import WHOLE, presence, rule, ruleset
from tests.presence.test_live import ALICE, NOTED, OPEN, PUBLISH, Watched
from tests.sip.tables import TableCase, rows

TIMED = presence(
    '<tuple id="t1"><status><basic>open</basic></status>'
    '<ts:timed-status xmlns:ts="urn:ietf:params:xml:ns:pidf:timed-status"'
    ' from="{}"><ts:basic>closed</ts:basic></ts:timed-status></tuple>'
).decode()
POLITE = ruleset(rule("", WHOLE, "polite-block"))
REGISTER = """
REGISTER sip:example.test SIP/2.0
Via: SIP/2.0/{transport} 192.0.2.9:5060;branch=z9hG4bK-r{cseq};rport
Max-Forwards: 70
From: <sip:alice@example.test>;tag=r
To: <sip:alice@example.test>
Call-ID: register
CSeq: {cseq} REGISTER
Contact: <sip:alice@192.0.2.9>;expires={expires}
Content-Length: 0
"""


class KeptTest(Watched, TableCase):
    """Bob watches alice; then something happens, and others ask."""

    def serve(self, unknown_watchers: str = "allow") -> None:
        Watched.serve(self, unknown_watchers)
        self.device = self.server.client("192.0.2.9", 5060, "tcp")

    def seen(self, name: str) -> str:
        """Return what somebody is told who asks now."""
        phone = Phone(self.server, name, "192.0.2.7")
        self.assertEqual(phone.subscribe(0, "alice", Event="presence").status, 200)
        (notify,) = (message for message in phone.received if isinstance(message, Request))
        return canonical(assert_valid(notify.body)).decode()

    def register(self, expires: int = 600, transport: str = "TCP") -> None:
        cseq = len(self.device.received) + 1
        text = REGISTER.format(cseq=cseq, expires=expires, transport=transport)
        self.device.send(text.strip())
        self.assertEqual(self.device.received[-1].status, 200)

    def publish_by_tcp(self) -> None:
        """Let alice publish by a connection that may close."""
        text = PUBLISH.format(cseq=90, length=len(OPEN), body=OPEN).strip()
        self.device.send(text.replace("/UDP 192.0.2.1", "/TCP 192.0.2.9"))
        self.assertEqual(self.device.received[-1].status, 200)

    def expire(self) -> None:
        """Let the hour of a publication pass, and somebody keep watching."""
        self.bob.ask(7200)
        self.bob.take()
        self.server.advance(3601)

    @rows(
        {
            "a publication": ("nothing", "publish"),
            "another one": ("publish", "publish_another"),
            "one that expires": ("publish", "expire"),
            "a device": ("nothing", "register"),
            "a device that goes": ("register", "unregister"),
            "a device that expires": ("register", "expire"),
            "a device whose connection ends": ("register", "close"),
            "a publisher whose connection ends": ("publish_by_tcp", "close"),
            "a time that passes": ("publish_timed", "expire_a_minute"),
            "rules": ("publish", "block_politely"),
        }
    )
    def test_kept(self, before: str, then: str) -> None:
        getattr(self, before)()
        self.server.clock.advance(0)
        self.watch(7200)
        self.server.clock.advance(0)
        first = self.seen("carol")
        self.assertEqual(len(self.server.node.notifier.states), 1)
        getattr(self, then)()
        self.server.clock.advance(0)
        second = self.seen("dave")
        self.assertNotEqual(first, second)
        for resource in self.server.node.notifier._resources.values():
            resource.drop()
        self.assertEqual(self.seen("erin"), second)

    def nothing(self) -> None:
        """Nobody has said anything."""

    def publish_another(self) -> None:
        self.publish(NOTED)

    def unregister(self) -> None:
        self.register(0)

    def close(self) -> None:
        self.device.flow.close()

    def publish_timed(self) -> None:
        self.publish(TIMED.format(write_time(self.server.wall() + 30)))

    def expire_a_minute(self) -> None:
        self.server.advance(60)

    def block_politely(self) -> None:
        self.server.node.documents.put(ALICE, "pres-rules", "index", POLITE)
