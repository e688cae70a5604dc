"""The state that is kept of a presentity is never another than what would be composed now."""

from __future__ import annotations

from sipproxy.presence.times import write_time
from sipproxy.sip.message import Request
from tests.documents import assert_valid, canonical
from tests.events.fakes import Phone
from tests.presence.rulesets import WHOLE, presence, rule, ruleset
from tests.presence.test_live import ALICE, FILTER, NOTED, OPEN, PUBLISH, Watched
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

    def publish_by_the_device(self) -> None:
        """Let alice's device register and publish by one connection, and so be shown once."""
        self.register()
        self.publish_by_tcp()

    def refresh(self) -> None:
        """Let her refresh it by another connection, so that it may be of another device."""
        tag = (self.device.received[-1].value(b"sip-etag") or b"").decode()
        text = PUBLISH.format(cseq=91, length=0, body="").strip() + "\n\n"
        text = text.replace("Content-Type: application/pidf+xml", f"SIP-If-Match: {tag}")
        other = self.server.client("192.0.2.10", 5060, "tcp")
        other.send(text.replace("/UDP 192.0.2.1", "/TCP 192.0.2.10"))
        self.assertEqual(other.received[-1].status, 200)

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
            "a publisher who comes by another connection": ("publish_by_the_device", "refresh"),
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

    def block_politely(self) -> None:
        self.server.node.documents.put(ALICE, "pres-rules", "index", POLITE)

    @rows(
        {
            "of which the tick has not come": (0.01, 0.0),
            "that the wall clock is set to": (0.0, 30.0),
        }
    )
    def test_a_time(self, passes: float, step: float) -> None:
        """Appointments are a tick late, and by another clock: what a time changes is not kept."""
        wall = self.server.wall
        self.publish(TIMED.format(write_time(wall() + passes + step)))
        self.watch(7200)
        self.server.clock.advance(0)
        self.assertEqual(len(self.server.node.notifier.states), 0)
        first = self.seen("carol")
        self.server.clock.rightNow += passes
        package = self.server.node.notifier.packages.find(b"presence")
        self.patch(package, "_wall", lambda: wall() + step)
        self.assertNotEqual(self.seen("dave"), first)

    @rows({"who may see it": ("allow",), "who is blocked politely": ("polite-block",)})
    def test_filters(self, handling: str) -> None:
        """What was made for filters goes with its turn: there may be any number of them."""
        self.publish()
        self.rule(handling)
        self.watch(7200)
        self.server.clock.advance(0)
        phone = Phone(self.server, "mallory", "192.0.2.7")
        asked = {"Event": "presence", "Content_Type": "application/simple-filter+xml"}
        sizes = []
        for number in range(3):
            body = FILTER.format(f"//pidf:tuple[@id='{number}']")
            self.assertEqual(phone.subscribe(0, "alice", body=body, **asked).status, 200)
            self.server.clock.advance(0)
            (resource,) = self.server.node.notifier._resources.values()
            state = resource.state
            showings = [*state._showings.values(), state._unavailable]
            sizes.append(sum(len(one._excerpts) for one in showings if one is not None))
        self.assertEqual(sizes, [1, 1, 1])
