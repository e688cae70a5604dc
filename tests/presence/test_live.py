"""Rules that change while others watch: every transition of RFC 5025 §3.2.1, on a whole server."""

from __future__ import annotations

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.message import Request
from sipproxy.testing import CONFIG, FakeServer
from tests.events.fakes import Listener, Phone
from tests.presence.rulesets import WHOLE, choose, one, presence, rule, ruleset
from tests.rfc import rfc

ALICE = b"alice@example.test"
SETTINGS = (
    CONFIG + '[auth]\nrequired = false\n[events]\npackages = ["presence"]\n'
    '[presence]\nnotify_interval = 0.0\nunknown_watchers = "{}"\n'
)
OPEN = presence('<tuple id="t1"><status><basic>open</basic></status></tuple>').decode()
NOTED = presence(
    '<tuple id="t1"><status><basic>open</basic></status><contact>sip:a@b.test</contact>'
    "<note>secret</note></tuple><note>secret, too</note>"
).decode()
FILTER = (
    '<filter-set xmlns="urn:ietf:params:xml:ns:simple-filter"><ns-bindings><ns-binding'
    ' prefix="pidf" urn="urn:ietf:params:xml:ns:pidf"/></ns-bindings><filter id="1"><what>'
    "<include>{}</include></what></filter></filter-set>"
)
PUBLISH = """
PUBLISH sip:alice@example.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-{cseq};rport
Max-Forwards: 70
From: <sip:alice@example.test>;tag=a
To: <sip:alice@example.test>
Call-ID: publish
CSeq: {cseq} PUBLISH
Event: presence
Expires: 3600
Content-Type: application/pidf+xml
Content-Length: {length}

{body}
"""

ACTIVE, PENDING, REJECTED = "active", "pending", "terminated;reason=rejected"
# What bob is told when the rules that held while he subscribed are changed.
TRANSITIONS: dict[tuple[str, str], list[tuple[str, bool]]] = {
    ("confirm", "block"): [(REJECTED, False)],
    ("confirm", "confirm"): [],
    ("confirm", "polite-block"): [(ACTIVE, True)],
    ("confirm", "allow"): [(ACTIVE, True)],
    ("polite-block", "block"): [(REJECTED, False)],
    ("polite-block", "confirm"): [(PENDING, False)],
    ("polite-block", "polite-block"): [],
    ("polite-block", "allow"): [(ACTIVE, True)],
    ("allow", "block"): [(REJECTED, False)],
    ("allow", "confirm"): [(PENDING, False)],
    ("allow", "polite-block"): [(ACTIVE, True)],
    ("allow", "allow"): [],
}


class Watched(SynchronousTestCase):
    """A server where bob watches alice."""

    def setUp(self) -> None:
        self.serve()

    def serve(self, unknown_watchers: str = "confirm") -> None:
        """Begin anew."""
        self.server = FakeServer(self.mktemp(), SETTINGS.format(unknown_watchers))
        self.bob = Phone(self.server, "bob", "192.0.2.2")
        self.alice = self.server.client("192.0.2.1")
        self.listener = Listener()
        self.server.node.notifier.listen(self.listener)

    def rule(self, action: str, granted: str = WHOLE) -> None:
        """Give alice one rule for everybody."""
        self.keep(rule("", granted, action))

    def keep(self, *rules: str) -> None:
        """Give alice rules."""
        self.server.node.documents.put(ALICE, "pres-rules", "index", ruleset(*rules))
        self.server.clock.advance(0)

    def watch(self, expires: int = 600) -> int:
        """Subscribe, answer the first NOTIFY, and return the answer to SUBSCRIBE."""
        status = self.bob.subscribe(expires, "alice", Event="presence").status
        self.bob.take()
        return status

    def publish(self, body: str = OPEN) -> None:
        """Let alice publish."""
        cseq = len(self.alice.received) + 1
        length = len(body.encode())
        self.alice.send(PUBLISH.format(cseq=cseq, length=length, body=body).strip())
        self.assertEqual(self.alice.received[-1].status, 200)
        self.server.clock.advance(0)

    def told(self) -> list[tuple[str, bool]]:
        """Return the state in each NOTIFY that came, and whether it had a document."""
        found = []
        for message in self.bob.received:
            state = (message.value(b"subscription-state") or b"").decode()
            found.append((state.partition(";expires")[0], bool(message.body)))
        self.bob.take()
        return found

    def moved(self) -> list[str]:
        """Return what listeners have heard since they were asked last."""
        heard, self.listener.heard = self.listener.heard, []
        return heard


@rfc(5025, "3.2.1", "confirm puts an active subscription back into pending, without document")
@rfc(5025, "3.2.1", "allow makes a pending subscription active, with a document")
@rfc(5025, "3.2.1", "block ends a subscription, rejected")
class Transitions(Watched):
    """From each value of sub-handling to each."""

    def test_table(self) -> None:
        for (before, after), expected in TRANSITIONS.items():
            self.serve()
            self.publish()
            self.rule(before)
            self.assertEqual(self.watch(), 200)
            self.rule(after)
            self.assertEqual(self.told(), expected, (before, after))
            self.publish(OPEN.replace("open", "closed"))
            is_shown = after == "allow"
            self.assertEqual(self.told(), [(ACTIVE, True)] if is_shown else [], (before, after))

    def test_to_and_from_no_rules(self) -> None:
        self.publish()
        self.assertEqual(self.watch(), 200)
        self.rule("allow")
        self.assertEqual(self.told(), [(ACTIVE, True)])
        self.server.node.documents.delete(ALICE, "pres-rules", "index")
        self.server.clock.advance(0)
        self.assertEqual(self.told(), [(PENDING, False)])

    @rfc(5025, "3.2.1", "a SUBSCRIBE of who is blocked is answered 403")
    def test_a_new_subscription(self) -> None:
        for action, expected in (("block", 403), ("confirm", 200), ("polite-block", 200)):
            self.rule(action)
            self.assertEqual(self.watch(), expected, action)

    def test_only_whom_it_concerns(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3")
        self.rule("allow")
        self.watch()
        carol.subscribe(600, "alice", Event="presence")
        carol.take()
        self.keep(rule(one("sip:carol@example.test"), WHOLE))
        self.assertEqual(self.told(), [(REJECTED, False)])
        self.assertEqual(carol.take(), [])


class Filtered(Watched):
    """What a watcher asks for takes nothing from what the presentity withholds."""

    @rfc(4745, "6", "what is delivered is granted and asked for, both")
    def test_both(self) -> None:
        self.keep(rule("", choose("services")))
        self.publish(NOTED)
        for include, expected in (
            ("//pidf:tuple", {"status", "contact", "timestamp"}),
            ("//pidf:note", set()),
            ("//pidf:tuple/pidf:status", {"status"}),
        ):
            self.bob.subscribe(600, "alice", Event="presence")
            self.bob.take()
            kind = "application/simple-filter+xml"
            self.bob.ask(600, FILTER.format(include), Event="presence", Content_Type=kind)
            (notify,) = [one for one in self.bob.received if isinstance(one, Request)]
            self.bob.take()
            found = etree.fromstring(notify.body).find("{*}tuple") if notify.body else None
            names = {etree.QName(child).localname for child in found or ()}
            self.assertEqual(names, expected, include)


class Waiting(Watched):
    """A watcher whose subscription has run out before anybody decided (RFC 3857 §4.7.1)."""

    def waiting(self) -> None:
        """Have bob wait for permission without a dialog."""
        self.serve()
        self.watch(60)
        self.server.advance(60.2)
        self.assertEqual(self.told(), [("terminated;reason=timeout", False)])
        self.assertEqual(self.moved()[-1], "bob@example.test waiting timeout")

    @rfc(5025, "3.2.1", "a waiting subscription is terminated once it is decided")
    def test_table(self) -> None:
        for action, expected in {
            "confirm": [],
            "block": ["bob@example.test terminated rejected"],
            "polite-block": ["bob@example.test terminated approved"],
            "allow": ["bob@example.test terminated approved"],
        }.items():
            self.waiting()
            self.rule(action)
            self.assertEqual((self.moved(), self.told()), (expected, []), action)
            left = self.server.node.notifier.subscriptions(b"presence", ALICE)
            self.assertEqual(len(left), 0 if expected else 1, action)


@rfc(5025, "3.2.1", "polite-block shows an unavailable presentity, whatever is known of it")
@rfc(3856, "6.6.2", "polite blocking cannot be told from an unavailable presentity")
class Polite(Watched):
    """Who is blocked politely cannot tell."""

    def notify(self) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Subscribe, and return the body of the NOTIFY and what its head says of it."""
        self.bob.subscribe(600, "alice", Event="presence")
        (notify,) = [one for one in self.bob.received if isinstance(one, Request)]
        self.bob.take()
        own = (b"via", b"call-id", b"from", b"to", b"cseq", b"contact")
        names = [name for name in notify.names if name not in own]
        return notify.body, [(name, notify.value(name) or b"") for name in names]

    def test_octet_by_octet(self) -> None:
        """A watcher who may see her services, while she is unavailable, and one who may not."""
        for granted in (WHOLE, choose("services"), choose("services") + choose("persons")):
            self.serve()
            self.rule("allow", granted)
            unavailable = self.notify()
            self.publish()
            self.assertNotEqual(self.notify(), unavailable)
            self.rule("polite-block", granted)
            self.bob.client.clear()
            self.assertEqual(self.notify(), unavailable)

    def test_policy_for_strangers(self) -> None:
        self.serve("allow")
        unavailable = self.notify()
        self.serve_again("polite-block")
        self.publish()
        self.assertEqual(self.notify(), unavailable)

    def serve_again(self, unknown_watchers: str) -> None:
        """Begin anew with the data of before, so that our documents have the same names."""
        directory = str(self.server.config.home)
        self.server = FakeServer(directory, SETTINGS.format(unknown_watchers))
        self.bob = Phone(self.server, "bob", "192.0.2.2")
        self.alice = self.server.client("192.0.2.1")

    def test_nothing_is_told_of_what_happens(self) -> None:
        self.rule("polite-block")
        self.watch()
        for _ in range(3):
            self.publish()
        self.assertEqual(self.told(), [])
