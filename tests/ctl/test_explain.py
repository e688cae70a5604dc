"""``sipctl explain``: each reason that something is sent, or nothing is."""

from __future__ import annotations

import json
from typing import Any

from sipproxy.testing import CONFIG, FakeServer
from tests.ctl.test_main import WithCommand
from tests.ctl.test_server import REGISTER
from tests.documents import assert_valid
from tests.events.fakes import Phone
from tests.presence.rulesets import WHOLE, choose, one, presence, provide, rule, ruleset
from tests.presence.test_live import PUBLISH

ALICE, BOB = "alice@example.test", "bob@example.test"
SETTINGS = '[auth]\nrequired = false\n[events]\npackages = ["presence"]\n[presence]\n'
AT_WORK = presence(
    '<tuple id="t1"><status><basic>open</basic></status><r:class>work</r:class></tuple>'
    '<tuple id="t2"><status><basic>closed</basic></status></tuple>'
    '<dm:person id="p1"><r:sphere><r:work/></r:sphere></dm:person>'
).decode()
FILTER = (
    '<filter-set xmlns="urn:ietf:params:xml:ns:simple-filter"><ns-bindings>'
    '<ns-binding prefix="dm" urn="urn:ietf:params:xml:ns:pidf:data-model"/></ns-bindings>'
    '<filter id="1"><what><include>//dm:device</include></what></filter></filter-set>'
)
SERVICES = choose("services") + provide("note", "class")


class Explaining(WithCommand):
    """A server where bob may watch alice."""

    settings = SETTINGS

    def setUp(self) -> None:
        WithCommand.setUp(self)
        self.serve_with(self.settings)

    def serve_with(self, settings: str) -> None:
        """Begin anew."""
        self.server = FakeServer(str(self.home), CONFIG + settings)
        self.node = self.server.node
        self.bob = Phone(self.server, "bob", "192.0.2.2")

    def explained(self, watcher: str = BOB, presentity: str = ALICE) -> Any:
        """Return what is said as JSON."""
        return json.loads(self.passes("explain", watcher, presentity, "--json"))

    def words(self, watcher: str = BOB, presentity: str = ALICE) -> list[str]:
        """Return what is said, line by line."""
        lines = self.passes("explain", watcher, presentity).splitlines()
        self.assertEqual(lines, self.explained(watcher, presentity)["words"])
        return lines

    def keep(self, *rules: str) -> None:
        """Give alice rules."""
        self.node.documents.put(ALICE.encode(), "pres-rules", "index", ruleset(*rules))
        self.server.clock.advance(0)

    def publish(self, transport: str = "udp", body: str = AT_WORK) -> Any:
        """Let alice publish, and return her client."""
        alice = self.server.client("192.0.2.1", 5060, transport)
        text = PUBLISH.format(cseq=1, length=len(body.encode()), body=body).strip()
        alice.send(text.replace("SIP/2.0/UDP", f"SIP/2.0/{transport.upper()}"))
        self.server.clock.advance(0)
        return alice

    def watch(self, expires: int = 600) -> None:
        """Let bob subscribe."""
        self.bob.subscribe(expires, "alice", Event="presence")
        self.bob.take()


class Reasons(Explaining):
    """What the first line says, and the one that gives the reason."""

    def test_pending(self) -> None:
        self.watch()
        self.assertEqual(
            self.words(),
            [
                "Nothing is sent: bob@example.test waits for alice@example.test's permission.",
                "Registered: no devices.",
                "Published: no documents.",
                "Sphere: undefined, for none is published, or several that differ.",
                'Policy: there are no rules, and [presence] unknown_watchers is "confirm".',
                f"Subscription {self.subscription()}: pending, for 600 s more; no document until it"
                " is allowed.",
            ],
        )

    def subscription(self) -> str:
        """Return how bob's subscription is called."""
        (found,) = self.node.notifier.subscriptions(b"presence", ALICE.encode())
        return str(found.id.decode())

    def test_allowed(self) -> None:
        self.keep(
            rule(one(f"sip:{BOB}"), SERVICES, name="friends"),
            rule('<sphere value="work"/>', choose("persons"), "confirm", name="at-work"),
            rule(one("sip:carol@example.test"), "", name="carol"),
        )
        self.publish()
        self.watch()
        self.server.advance(10)
        self.assertEqual(
            self.words(),
            [
                "bob@example.test sees 2 services (1 open), 1 person, no devices.",
                "Registered: no devices.",
                "Published: 1 document.",
                "Sphere: work.",
                "Policy: of the rules these match: index#friends, index#at-work; together they say"
                " allow.",
                "Granted: services: all; persons: all; devices: none; attributes: class, note.",
                f"Subscription {self.subscription()}: active, for 590 s more.",
            ],
        )

    def test_the_first_line(self) -> None:
        for action, expected in {
            "block": "Nothing is sent: bob@example.test is blocked; a SUBSCRIBE is answered 403.",
            "confirm": "Nothing is sent: bob@example.test has no subscription; one would be"
            " pending, without a document.",
            "polite-block": "Nothing is sent: bob@example.test has no subscription; one would be"
            " told this: 1 service (0 open), no persons, no devices.",
            "allow": "Nothing is sent: bob@example.test has no subscription; one would be told"
            " this: 2 services (1 open), no persons, no devices.",
        }.items():
            self.keep(rule("", SERVICES, action))
            self.publish()
            self.assertEqual(self.words()[0], expected)

    def test_politely_blocked(self) -> None:
        self.keep(rule("", SERVICES, "polite-block"))
        self.publish()
        self.watch()
        expected = (
            "bob@example.test sees 1 service (0 open), no persons, no devices, politely blocked:"
            " it is the same whatever happens."
        )
        self.assertEqual(self.words()[0], expected)

    def test_no_rule_matches(self) -> None:
        self.keep(rule(one("sip:carol@example.test")))
        self.assertIn("Policy: there are rules, none of which matches: block.", self.words())

    def test_rules_that_cannot_be_read(self) -> None:
        """As they may be once less is allowed, or where they were not put by us."""
        self.keep(rule(name="a"), rule(name="b"))
        self.serve_with(SETTINGS + "rules = 1\n")
        words = self.words()
        self.assertIn("bob@example.test is blocked", words[0])
        self.assertIn("Policy: there are rules, none of which matches: block.", words)
        problem = "it has 2 rules, conditions and names in them, and 1 are allowed by"
        line = f"The rules index cannot be read, and grant nothing: {problem} [presence] rules."
        self.assertIn(line, words)
        self.assertEqual(self.explained()["unreadable"], {"index": f"{problem} [presence] rules"})
        self.keep(rule(name="a"))
        self.assertEqual(self.explained()["unreadable"], {})
        self.assertNotIn(line, self.words())
        self.assertNotIn(line, self.words(ALICE))

    def test_the_owner(self) -> None:
        self.keep(rule(one("sip:carol@example.test")))
        lines = self.words(ALICE)
        self.assertIn("Policy: a user sees all that is known of it.", lines)
        granted = "Granted: services: all; persons: all; devices: all; attributes: all."
        self.assertIn(granted, lines)

    def test_a_stranger(self) -> None:
        self.keep(rule(one(f"sip:{BOB}")), rule("", "", "confirm", name="others"))
        self.assertEqual(self.explained()["rules"], ["index#a", "index#others"])
        found = self.explained("anonymous")
        self.assertEqual((found["identity"], found["rules"]), (None, ["index#others"]))

    def test_by_class_alone(self) -> None:
        self.keep(rule("", choose("services", **{"class": "work"})))
        self.publish()
        lines = self.words()
        self.assertIn("no services, no persons", lines[0])
        self.assertIn(
            "What is chosen by class is not shown, for provide-class is not granted (RFC 5025 §4).",
            lines,
        )

    def test_a_rule_that_begins(self) -> None:
        begins, ends = "2027-01-15T08:10:00Z", "2027-01-15T08:20:00Z"
        self.keep(rule(f"<validity><from>{begins}</from><until>{ends}</until></validity>"))
        at = "2027-01-15T08:10:00+00:00"
        expected = f"A rule begins or ends, or is looked at again, at {at}."
        self.assertEqual((self.words()[-1], self.explained()["changes"]), (expected, at))

    def test_a_publisher_who_is_gone(self) -> None:
        self.publish("tcp").flow.close()
        expected = "Published: 1 document, 1 of which by a connection that has closed."
        self.assertIn(expected, self.words())

    def test_registrations(self) -> None:
        self.server.client("192.0.2.1").send(REGISTER.format(user="alice"))
        self.assertIn("Registered: 1 device.", self.words())
        self.assertEqual(self.explained()["devices"], ["sip:alice@192.0.2.1"])
        self.serve_with(SETTINGS + "registrations = false\n")
        expected = "Registrations are not shown: [presence] registrations is false."
        self.assertIn(expected, self.words())


class Subscriptions(Explaining):
    """What keeps a subscription from being told."""

    def last(self) -> str:
        """Return what is said of bob's subscription, but for its name."""
        line = self.words()[-1]
        return line.partition(": ")[2]

    def test_an_answer_that_is_awaited(self) -> None:
        self.keep(rule("", SERVICES))
        self.bob.subscribe(600, "alice", Event="presence")
        expected = "; a NOTIFY is on its way, and the next one waits for its answer."
        self.assertEqual(self.last(), "active, for 600 s more" + expected)

    def test_the_interval(self) -> None:
        self.keep(rule("", SERVICES))
        self.watch()
        self.server.advance(2)
        self.publish()
        self.assertEqual(self.last(), "active, for 598 s more; a change is told in 3.0 s.")
        self.server.advance(4)
        self.bob.take()
        self.assertEqual(self.last(), "active, for 594 s more.")

    def test_what_was_refused(self) -> None:
        self.keep(rule())
        self.bob.subscribe(600, "alice", Event="presence")
        self.bob.take(500)
        refused = "it has refused what it was told last, and is told all with the next change."
        self.assertTrue(self.words()[-1].endswith(refused), self.words())
        self.bob.ask(Event="presence")
        self.bob.take()
        self.assertNotIn("refused", self.words()[-1])

    def test_what_is_known(self) -> None:
        self.keep(rule("", SERVICES))
        self.watch()
        self.bob.ask(Event="presence", Suppress_If_Match="*")
        self.publish()
        self.server.advance(6)
        self.assertEqual(self.bob.notified, [])
        known = "it is not told what it has said that it knows (Suppress-If-Match)."
        self.assertTrue(self.words()[-1].endswith(known), self.words())

    def test_a_filter_that_leaves_nothing(self) -> None:
        self.keep(rule("", SERVICES))
        self.publish()
        self.watch()
        self.bob.ask(600, FILTER, Event="presence", Content_Type="application/simple-filter+xml")
        self.bob.take()
        lines = self.words()
        self.assertEqual(
            lines[0],
            "Nothing is sent: the filter of bob@example.test leaves nothing of what it may see.",
        )
        self.assertEqual(self.last(), "active, for 600 s more; it has a filter.")

    def test_one_that_ran_out(self) -> None:
        self.watch(60)
        self.server.advance(60.2)
        self.assertEqual(self.last(), "waiting; it ran out before anybody decided.")


class Documents(Explaining):
    """``--document``, and what is printed as JSON."""

    def test_it_is_what_is_sent(self) -> None:
        self.keep(rule("", SERVICES))
        self.publish()
        self.bob.subscribe(600, "alice", Event="presence")
        (notify,) = self.bob.notified
        document = self.passes("explain", BOB, ALICE, "--document")
        self.assertEqual(notify.partition(": ")[2], document.rstrip("\n"))
        assert_valid(document.encode())

    def test_what_was_published_does_not_command_the_terminal(self) -> None:
        """XML may have the control functions of ECMA-48's second set (XML 1.0 §2.2)."""
        self.keep(rule("", WHOLE))
        sphere = "<r:sphere>\u009b2J</r:sphere></dm:person><note>\u009b2J</note>"
        self.publish(body=AT_WORK.replace("<r:sphere><r:work/></r:sphere></dm:person>", sphere))
        document = self.passes("explain", BOB, ALICE, "--document")
        self.assertIn("&#155;2J", document)
        self.assertNotIn("\u009b", document)
        self.assertIn("Sphere: \\x9b2J.", self.passes("explain", BOB, ALICE).splitlines())

    def test_looking_changes_nothing(self) -> None:
        self.keep(rule("", SERVICES))
        self.watch()
        for _ in range(3):
            self.explained()
        self.server.advance(30)
        self.assertEqual(self.bob.notified, [])

    def test_there_is_none(self) -> None:
        self.keep(rule("", SERVICES, "block"))
        line = self.fails("explain", BOB, ALICE, "--document")
        blocked = "Nothing is sent: bob@example.test is blocked; a SUBSCRIBE is answered 403."
        self.assertEqual(line, f"sipctl: {blocked}")

    def test_json(self) -> None:
        self.keep(rule("", SERVICES, name="friends"))
        self.publish()
        self.watch()
        found = self.explained()
        for key in ("document", "words", "publications", "subscriptions"):
            self.assertTrue(found.pop(key), key)
        expected = {
            "presentity": ALICE,
            "watcher": BOB,
            "identity": f"sip:{BOB}",
            "exists": True,
            "devices": [],
            "sphere": "work",
            "policy": "rules",
            "unreadable": {},
            "unknown_watchers": "confirm",
            "rules": ["index#friends"],
            "handling": "allow",
            "granted": {
                "services": "all",
                "persons": "none",
                "devices": "none",
                "attributes": "class, note",
            },
            "changes": None,
        }
        self.assertEqual(found, expected)

    def test_nobody_of_that_name(self) -> None:
        self.serve_with('[events]\npackages = ["presence"]\n')
        expected = f"Nothing is sent: there is no user {ALICE}; a SUBSCRIBE is answered 404."
        self.assertEqual(self.words()[0], expected)

    def test_a_server_without_presence(self) -> None:
        self.serve_with("[events]\npackages = []\n")
        line = self.fails("explain", BOB, ALICE)
        expected = "sipctl: nobody is told of presence: add it to [events] packages"
        self.assertEqual(line, expected)

    def test_what_is_no_address(self) -> None:
        line = self.fails("explain", "bob", ALICE)
        self.assertEqual(line, "sipctl: 'bob' is no address: write user@domain")
