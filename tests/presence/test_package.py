"""The presence package: who may see how much, and that the rest shows nothing."""

from __future__ import annotations

from typing import Any

from lxml import etree
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from sipproxy.interfaces.events import (
    ALLOW,
    CONFIRM,
    POLITE_BLOCK,
    IEventPackage,
    Verdict,
)
from sipproxy.sip.parser import parse_datagram
from sipproxy.testing import octets
from tests.presence.fakes import (
    ALICE,
    BOB,
    PIDF_XML,
    Agent,
    Gone,
    P,
    basics,
    person,
    pidf,
    service,
)
from tests.registrar.fakes import Flow
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

MALLORY = b"sip:mallory@example.test"
SPHERE = "<rpid:sphere><rpid:{}/></rpid:sphere>"


class WithPackage(TableCase):
    """Has an agent, whose rules let everybody see all."""

    def setUp(self) -> None:
        self.agent = Agent()
        self.package = self.agent.package


class PackageTest(WithPackage):
    """What the rest of the server asks of an event package."""

    @rfc(3856, "6.4", "a subscription lasts an hour where it does not say how long")
    @rfc(3856, "6.5", "application/pidf+xml is the format of notifications")
    def test_interface(self) -> None:
        verifyObject(IEventPackage, self.package)
        self.assertEqual((self.package.name, self.package.default_expires), (b"presence", 3600))
        self.assertEqual(self.package.body_types[0], PIDF_XML)
        self.assertEqual(self.package.publication_types[0], PIDF_XML)
        self.assertEqual(self.package.notify_interval, 5.0)
        self.assertEqual(Agent(notify_interval=0.5).package.notify_interval, 0.5)

    def test_exists(self) -> None:
        self.assertTrue(self.package.exists(ALICE))
        self.assertFalse(self.package.exists(b"nobody@example.test"))
        self.agent.host.users = Deferred()
        self.assertIs(self.package.exists(ALICE), self.agent.host.users)

    @rows({"nothing": ("", None), "a filter": ("<filter-set/>", 415)})
    def test_bodies_of_subscriptions(self, body: str, status: int | None) -> None:
        request: Any = parse_datagram(
            octets(f"""SUBSCRIBE sip:alice@example.test SIP/2.0
                Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
                From: <sip:bob@example.test>;tag=1
                To: <sip:alice@example.test>
                Call-ID: 1
                CSeq: 1 SUBSCRIBE
                Content-Length: {len(body)}

                {body}""")
        )
        if status is None:
            self.package.terms(request, ALICE, None)
        else:
            self.refuses(status, self.package.terms, request, ALICE, None)

    def test_the_body_is_shared(self) -> None:
        """It is rendered once for all who may see the same."""
        state = self.agent.state()
        first, second, other = (
            self.agent.watch(b"sip:%s@example.test" % n) for n in (b"b", b"c", b"d")
        )
        other.verdict = Verdict(ALLOW, other.verdict.view._replace(permissions="tuples"))
        bodies = [self.package.render(state, s, True) for s in (first, second, other)]  # type: ignore[arg-type]
        self.assertIs(bodies[0], bodies[1])
        self.assertIsNot(bodies[0], bodies[2])

    def test_what_did_not_change_is_the_same(self) -> None:
        self.agent.publish(pidf('<tuple id="t"><status><basic>open</basic></status></tuple>'))
        self.agent.register("<sip:alice@192.0.2.1>")
        first = self.agent.render()
        self.agent.host.advance(100)
        second = self.agent.render()
        self.assertEqual((first.data, first.tag), (second.data, second.tag))

    def test_what_changed_is_not(self) -> None:
        """Open, closed and open again: three documents with three entity-tags."""
        publication, bodies = None, []
        for basic in ("open", "closed", "open"):
            status = f"<status><basic>{basic}</basic></status>"
            publication = self.agent.publish(pidf(f'<tuple id="t">{status}</tuple>'), publication)
            bodies.append(self.agent.render())
            self.agent.host.advance(1)
        self.assertEqual(len({body.data for body in bodies}), 3)
        self.assertEqual(len({body.tag for body in bodies}), 3)

    def test_a_view(self) -> None:
        """Permissions decide what is in it, and its entity-tag is that of what is shown."""
        self.agent.rules.verdicts[b"sip:bob@example.test"] = lambda sphere: Verdict(ALLOW, "tuples")
        first = self.agent.publish(pidf(service("t"), person("p", "")))
        bob, carol = self.agent.watch(), self.agent.watch(b"sip:carol@example.test")
        before = self.agent.render(bob)
        self.assertNotIn(b"person", before.data)
        self.assertIn(b"person", self.agent.render(carol).data)
        self.agent.publish(pidf(service("t"), person("p", "<rpid:class>x</rpid:class>")), first)
        self.assertEqual(self.agent.render(bob).tag, before.tag)


class PoliteTest(WithPackage):
    """Whoever is blocked politely learns nothing, not even that (RFC 3856 §6.6.2)."""

    def setUp(self) -> None:
        super().setUp()
        self.agent.rules.verdicts[MALLORY] = lambda sphere: Verdict(POLITE_BLOCK)

    @rfc(3856, "6.6.2", "the document of polite blocking does not tell that it is that")
    def test_like_somebody_who_is_not_there(self) -> None:
        """Octet for octet, with its media type and its entity-tag."""
        allowed, blocked = self.agent.render(), self.agent.render(self.agent.watch(MALLORY))
        self.assertEqual(allowed.data, blocked.data)
        self.assertEqual((allowed.tag, allowed.media_type), (blocked.tag, blocked.media_type))
        self.assertEqual(list(basics(etree.fromstring(blocked.data)).values()), ["closed"])

    def test_whatever_alice_does(self) -> None:
        """Nothing in it moves, and it is the same after a restart."""
        mallory = self.agent.watch(MALLORY)
        seen = [self.agent.render(mallory)]
        publication = self.agent.publish(pidf(service("t"), person("p", SPHERE.format("home"))))
        seen.append(self.agent.render(mallory))
        self.agent.register("<sip:alice@192.0.2.1>", flow=Flow())
        seen.append(self.agent.render(mallory))
        self.agent.publish(pidf(service("t", "closed")), publication)
        self.agent.host.advance(100)
        seen.append(self.agent.render(mallory))
        again = Agent()
        again.rules = self.agent.rules
        seen.append(again.package.render(again.state(), mallory, True))  # type: ignore[arg-type]
        self.assertEqual(len({(body.data, body.tag) for body in seen}), 1)

    def test_of_another_user(self) -> None:
        """Each has a document of his own."""
        bodies = [self.package.compose(aor).unavailable() for aor in (ALICE, BOB)]
        self.assertEqual(len({body.tag for body in bodies}), 2)


class SphereTest(WithPackage):
    """Verdicts depend on the sphere; a document never goes by those of another one."""

    def setUp(self) -> None:
        super().setUp()
        self.agent.rules.verdicts[b"sip:bob@example.test"] = self.by_sphere

    def by_sphere(self, sphere: bytes | None) -> Verdict:
        """Let bob see all of whoever is at work, tuples at home, and nothing else."""
        views = {b"work": "all", b"home": "tuples"}
        return Verdict(ALLOW, views[sphere]) if sphere in views else Verdict(CONFIRM)

    def go(self, sphere: str, more: str = "") -> None:
        """Be in a sphere."""
        self.agent.notifier.published.clear()
        element = f"<rpid:sphere{more}><rpid:{sphere}/></rpid:sphere>"
        self.agent.publish(pidf(service("t"), person("p", element)))

    def test_it_changes(self) -> None:
        """What is shown is right at once, and the notifier is asked to judge again."""
        self.go("work")
        bob = self.agent.watch()
        self.assertIn(b"person", self.agent.render(bob).data)
        self.assertEqual(self.agent.notifier.told, [])
        self.go("home")
        self.assertNotIn(b"person", self.agent.render(bob).data)
        self.assertEqual(self.agent.notifier.told, [("judge", ALICE)])

    def test_one_was_judged_again_by_chance(self) -> None:
        """All others still have a verdict of another sphere, though the oldest one has not."""
        self.go("work")
        bob, _ = self.agent.watch(), self.agent.watch(b"sip:carol@example.test")
        self.go("home")
        bob.verdict = self.package.authorize(ALICE, bob.watcher)
        self.agent.state()
        self.assertEqual(self.agent.notifier.told, [("judge", ALICE)])

    def test_it_grants_nothing_any_more(self) -> None:
        self.go("work")
        bob: Any = self.agent.watch()
        self.agent.notifier.published.clear()
        state = self.agent.state()
        self.assertIsNone(self.package.render(state, bob, True))
        self.assertEqual(self.agent.notifier.told, [("judge", ALICE)])

    @rfc(5025, "3.1.2", "all publications that there are make the sphere, whoever is gone")
    def test_whose_connection_has_closed(self) -> None:
        """It is of the person, who stays; and nobody's subscription is to end with a connection."""
        flow = Gone()
        text = person("p", SPHERE.format("work"))
        self.agent.publish(pidf(text), flow=flow)
        flow.is_open = False
        self.assertTrue(self.agent.notifier.published[0].is_stale)
        self.assertEqual(self.package.sphere(ALICE), b"work")

    def test_it_ends(self) -> None:
        """A watcher is judged again by then, whether anybody composes or not."""
        self.go("work", ' until="2001-09-09T01:46:50Z"')
        bob = self.agent.watch()
        self.assertEqual((bob.verdict.handling, bob.verdict.until), (ALLOW, 10.0))
        self.agent.host.advance(10)
        watcher = self.package.authorize(ALICE, bob.watcher)
        self.assertEqual((watcher.handling, watcher.until), (CONFIRM, None))

    def test_it_ends_tomorrow(self) -> None:
        """The wall clock may be set meanwhile: an hour is the longest that is relied on it."""
        self.go("work", ' until="2001-09-10T01:46:40Z"')
        self.assertEqual(self.agent.watch().verdict.until, 3600.0)

    def test_rules_end_first(self) -> None:
        self.go("work", ' until="2001-09-09T01:46:50Z"')
        self.agent.rules.verdicts[b"sip:bob@example.test"] = lambda sphere: Verdict(
            ALLOW, "all", 3.0
        )
        self.assertEqual(self.agent.watch().verdict.until, 3.0)


class ClosedTest(WithPackage):
    """What is shown of somebody of whom nothing is known."""

    def test_closed(self) -> None:
        root = self.agent.shown()
        self.assertEqual([e.tag for e in root[0]], [P + "status", P + "contact"])

    def test_it_returns(self) -> None:
        """When the last phone has gone it is what it was, to all."""
        before = self.agent.render().data
        self.agent.register("<sip:alice@192.0.2.1>")
        self.assertNotEqual(self.agent.render().data, before)
        self.agent.register("<sip:alice@192.0.2.1>;expires=0")
        self.assertEqual(self.agent.render().data, before)
