"""Where NOTIFYs go, and how much one who subscribes can have sent to somebody else.

RFC 6665 §6.3: one SUBSCRIBE causes several NOTIFYs, each larger, and each sent again until it is
answered. ``python -m twisted.trial tests.torture.test_amplifying`` prints the figures.
"""

from __future__ import annotations

from sipproxy.sip.message import Request, Response
from sipproxy.testing import CONFIG, FakeClient, FakeFlow, FakeServer, authorized
from tests.rfc import rfc
from tests.torture.agents import ALICE, FOREVER, SOURCE, Agent
from tests.torture.bodies import document
from tests.torture.test_bodies import Bodies

VICTIM = "198.51.100.7"
# Octets that reach a victim by UDP, by those that were sent for it: Timer E fires ten times, and
# no NOTIFY to one who has not answered is larger than a datagram of RFC 3261 §18.1.1.
MOST = 11 * 1300 / 300
NO_RPORT = f"SIP/2.0/UDP {SOURCE}:5060;branch=z9hG4bK-{{}}"
# How an attacker may name the victim; a source that is forged is the victim's own.
NAMED: dict[str, dict[str, str]] = {
    "a forged source": {},
    "a forged source, once": {"Expires": "0"},
    "a Contact": {"Via": NO_RPORT, "Contact": f"<sip:x@{VICTIM}>"},
    "a Contact, once": {"Via": NO_RPORT, "Contact": f"<sip:x@{VICTIM}>", "Expires": "0"},
    "a Record-Route, once": {"Record-Route": f"<sip:{VICTIM};lr>", "Expires": "0"},
    "a Contact by UDP, once": {
        "Via": NO_RPORT,
        "Contact": f"<sip:x@{VICTIM};transport=udp>",
        "Expires": "0",
    },
    "a Record-Route": {"Record-Route": f"<sip:{VICTIM};lr>"},
    "a contact by TCP": {"Via": NO_RPORT, "Contact": f"<sip:x@{VICTIM};transport=tcp>"},
    "watchers": {"Event": "presence.winfo", "From": "<sip:alice@example.test>;tag=a"},
    "registrations": {"Event": "reg", "From": "<sip:alice@example.test>;tag=a"},
}
SIZES = {"no document": 0, "1300 octets": 480, "2 KB": 800, "64 KB": 60_000}


class Amplifying(Bodies):
    """A server, whoever attacks from `SOURCE`, and a victim."""

    def setUp(self) -> None:
        Bodies.setUp(self)
        self.sends = 0

    def reached(self, agent: Agent, host: str, transport: str = "udp") -> FakeFlow:
        """Have somebody be at an address, who never answers."""
        return agent.server.client(host, 5060, transport).flow

    def request(self, agent: Agent, headers: dict[str, str]) -> bytes:
        """Return a SUBSCRIBE."""
        self.sends += 1
        return agent.request("SUBSCRIBE", **{n: v.format(self.sends) for n, v in renamed(headers)})


def renamed(headers: dict[str, str]) -> list[tuple[str, str]]:
    """Return headers as `Agent.request` has them."""
    return [(name.replace("-", "_"), value) for name, value in headers.items()]


class FactorTests(Amplifying):
    """Octets out by octets in, while nobody answers."""

    def factor(self, size: int, headers: dict[str, str]) -> tuple[int, int, int]:
        """Return octets that were sent for the attack, and what reached the victim by UDP."""
        agent = Agent(self.mktemp())
        victims = {VICTIM: self.reached(agent, VICTIM)}
        self.reached(agent, VICTIM, "tcp")
        if size:
            self.assertEqual(agent.publish(document(f"<note>{'x' * size}</note>")), 200)
        agent.client.clear()
        data = self.request(agent, headers)
        agent.client.send(data)
        agent.server.advance(FOREVER)
        self.assertEqual(agent.kept.keys() & {"dialogs", "resources", "census"}, set())
        forged = not any(VICTIM in value for value in headers.values())
        sent = agent.client.flow.sent if forged else victims[VICTIM].sent
        return len(data), len(sent), sum(map(len, sent))

    @rfc(6665, "6.3", "what one datagram causes to be sent is bounded, whatever is known")
    def test_factors(self) -> None:
        print()
        for name, headers in NAMED.items():
            for kind, size in SIZES.items():
                octets, times, received = self.factor(size, headers)
                print(f"{name:24} {kind:12} {octets:5} -> {times:3} x, {received:6} octets: "
                      f"{received / octets:5.1f}")  # fmt: skip
                self.assertLess(received / octets, MOST, (name, kind))
                self.assertLessEqual(times, 12, (name, kind))


class ForgedTests(Amplifying):
    """A user who knows a password, and forges the source of a datagram."""

    def setUp(self) -> None:
        settings = '[events]\npackages = ["presence"]\n[presence]\nunknown_watchers = "allow"\n'
        accounts = {"alice@example.test": "a secret"}
        self.server = FakeServer(self.mktemp(), CONFIG + settings, accounts)
        self.here = self.server.client(SOURCE)
        self.victim = self.server.client(VICTIM)
        self.agent = Agent(self.mktemp())  # makes requests, and is not used else

    def signed(self, data: bytes, again: str) -> str:
        """Return a request with the credentials that its sender is asked for."""
        self.here.clear()
        self.here.send(data)
        (challenge,) = self.here.received
        assert isinstance(challenge, Response) and challenge.status == 401
        text = data.decode().replace("\r\n", "\n")
        signed = authorized(text, challenge, "alice", "a secret")
        return signed.replace(";branch=z9hG4bK", f";branch=z9hG4bK{again}")

    def subscribed(self, sender: FakeClient) -> list[int]:
        """Publish much, subscribe from somewhere; return how large the NOTIFYs there are."""
        own = {"From": "<sip:alice@example.test>;tag=a"}
        body = document(f"<note>{'x' * 60_000}</note>")
        self.here.send(self.signed(self.agent.request("PUBLISH", body, **own), "1"))
        self.assertEqual(self.here.flow.sent[-1][:11], b"SIP/2.0 200")
        data = self.signed(self.agent.request("SUBSCRIBE", **own), "2")
        self.here.clear()
        sender.send(data)
        return [len(one.body) // 10_000 for one in sender.received if isinstance(one, Request)]

    def test_whoever_was_challenged_there_is_there(self) -> None:
        self.assertEqual(self.subscribed(self.here), [6])

    @rfc(6665, "6.3", "a password is no proof that a subscriber is where a datagram comes from")
    def test_a_challenge_that_was_sent_elsewhere_shows_nothing(self) -> None:
        self.assertEqual(self.subscribed(self.victim), [0])


class WithheldTests(Amplifying):
    """A document that is too large for a stranger follows the answer."""

    def setUp(self) -> None:
        Amplifying.setUp(self)
        self.large = document(f"<note>{'x' * 5000}</note>")
        self.agent.publish(self.large)

    def bodies(self) -> list[int]:
        """Return how large the bodies were of the NOTIFYs that came."""
        return [len(one.body) // 1000 for one in self.agent.notifies]

    def test_it_follows_the_answer(self) -> None:
        self.agent.subscribe()
        self.assertEqual(self.bodies(), [0])
        self.assertEqual(self.agent.notifies[0].value(b"subscription-state"), b"active;expires=600")
        self.agent.answer()
        self.assertEqual(self.bodies(), [0, 5])

    def test_whoever_has_answered_is_known(self) -> None:
        """It goes at once, in the dialog, until the subscriber is elsewhere."""
        self.agent.subscribe()
        self.agent.answer()
        self.agent.answer()
        notify = self.agent.notifies[0]
        known = {
            "To": (notify.value(b"from") or b"").decode(),
            "From": (notify.value(b"to") or b"").decode(),
            "Call_ID": (notify.value(b"call-id") or b"").decode(),
            "uri": (notify.value(b"contact") or b"").decode().strip("<>"),
        }
        self.agent.subscribe(**known)
        self.assertEqual(self.bodies(), [5])
        self.agent.answer()
        self.agent.client = self.agent.server.client("192.0.2.67")
        self.agent.subscribe(**known, Contact="<sip:bob@192.0.2.67>")
        self.assertEqual(self.bodies(), [0])

    def test_a_refusal_is_an_answer_too(self) -> None:
        """Who refuses is there; it is asked no more than once."""
        self.agent.subscribe()
        self.agent.answer(500)
        self.assertEqual(self.bodies(), [0, 5])
        self.agent.answer(500)
        self.assertEqual(self.bodies(), [0, 5])

    def test_over_a_connection(self) -> None:
        """Whoever has connected is there."""
        self.agent.client = self.agent.server.client(SOURCE, transport="tcp")
        via = f"SIP/2.0/TCP {SOURCE}:5060;branch=z9hG4bK-tcp"
        self.agent.subscribe(Via=via, Contact=f"<sip:bob@{SOURCE};transport=tcp>")
        self.assertEqual(self.bodies(), [5])

    def test_what_is_small_is_told_at_once(self) -> None:
        self.agent.server.advance(601)
        self.agent.publish(document("<note>hello</note>"))
        self.agent.subscribe()
        self.assertEqual(len(self.agent.notifies), 1)
        self.assertIn(b"hello", self.agent.notifies[0].body)

    def test_once(self) -> None:
        """RFC 3261 §18.1.1: who wants it once gets it by TCP."""
        connection = self.agent.server.client(SOURCE, transport="tcp")
        self.agent.subscribe(Expires="0")
        self.assertEqual(self.bodies(), [])
        (notify,) = connection.received
        self.assertEqual(len(notify.body) // 1000, 5)


class WhereTests(Amplifying):
    """Contacts of anybody's."""

    def refused(self, contact: str) -> list[FakeFlow]:
        """Subscribe with a Contact; return who was sent anything but the answer."""
        self.sends += 1
        via = NO_RPORT.format(self.sends)
        self.agent.client.send(self.agent.request("SUBSCRIBE", Via=via, Contact=contact))
        self.agent.server.advance(FOREVER)
        self.assertEqual(self.agent.lingers, {}, contact)
        return [
            flow for flow in self.agent.flows if flow is not self.agent.client.flow and flow.sent
        ]

    def test_ourselves(self) -> None:
        """Nobody is told through a loop."""
        for contact in ("<sip:127.0.0.1>", "<sip:alice@example.test>", "<sip:x@127.0.0.1:5060>",
                        "<sip:example.test>", "<sip:s-00@127.0.0.1;gr>",
                        "<sip:alice@example.test;gr=urn:uuid:1>"):  # fmt: skip
            self.assertEqual(self.refused(contact), [], contact)
            self.assertEqual(self.agent.notifies, [], contact)

    def test_nowhere(self) -> None:
        for contact in ("<sip:x@nobody.test>", "<sip:x@a..b>", "<sip:x@[::1>", "<sip:x@256.1.1.1>",
                        "<sip:x@host:0>", "<sip:x@host:65536>", "<sip:x@\udcff>"):  # fmt: skip
            self.assertEqual(self.refused(contact.encode("utf-8", "replace").decode()), [], contact)

    def test_many(self) -> None:
        """10,000 Contacts by one watcher: as many subscriptions as one may have, no more."""
        limit = self.agent.node.settings.events.per_watcher
        for number in range(10_000):
            contact = f"<sip:x@victim{number}.test>"
            flow = self.reached(self.agent, f"victim{number}.test")
            via = NO_RPORT.format(number)
            status = self.agent.subscribe(Via=via, Contact=contact)
            self.assertEqual((status, len(flow.sent)), (200, 1) if number < limit else (403, 0))
        self.agent.server.advance(FOREVER)
        self.assertEqual(self.agent.lingers, {})

    def test_one_at_a_time(self) -> None:
        """While a NOTIFY is unanswered there is no other one, whatever happens."""
        self.agent.subscribe()
        for number in range(50):
            tag = self.agent.node.publications.of(b"presence", ALICE)
            known = {"SIP_If_Match": tag[0].tag.decode()} if tag else {}
            data = self.agent.request("PUBLISH", document(f"<note>{number}</note>"), **known)
            self.agent.client.send(data)
        self.assertEqual(len(self.agent.notifies), 1)
        self.agent.answer()
        self.assertEqual(len(self.agent.notifies), 2)
        self.assertIn(b"<note>49</note>", self.agent.notifies[1].body)
