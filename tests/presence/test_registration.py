"""What registrations show: a service for each device, and never where it is."""

from __future__ import annotations

from lxml import etree

from tests.presence.fakes import ALICE, BOB, Agent, Gone, P, basics, outline, pidf, service
from tests.registrar.fakes import Flow
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

PHONE = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"
TABLET = "urn:uuid:00000000-0000-1000-8000-000a95a0e129"
AOR = "sip:alice@example.test"


def contact(urn: str = PHONE, host: str = "192.0.2.1", more: str = "") -> str:
    """Return a Contact of a device."""
    return f'<sip:alice@{host}>;+sip.instance="<{urn}>"{more}'


class RegistrationTest(TableCase):
    """What watchers are shown of alice's registrations."""

    def setUp(self) -> None:
        self.agent = Agent()

    def contacts(self) -> list[tuple[str | None, str | None, str | None]]:
        """Return contact, priority and time of each open tuple."""
        return [
            (
                element.findtext(P + "contact"),
                element.find(P + "contact").get("priority"),  # type: ignore[union-attr]
                element.findtext(P + "timestamp"),
            )
            for element in self.agent.shown().iter(P + "tuple")
            if element.findtext(f"{P}status/{P}basic") == "open"
        ]

    def uris(self) -> list[str | None]:
        """Return the contact of each open tuple."""
        return [found[0] for found in self.contacts()]

    @rfc(3856, "7.2", "a registered device is a tuple, whose contact is a GRUU and no address")
    def test_a_device(self) -> None:
        self.agent.register(contact(more=";q=0.25"))
        stamp = "2001-09-09T01:46:40.000Z"
        self.assertEqual(self.contacts(), [(f"{AOR};gr={PHONE}", "0.25", stamp)])
        self.assertNotIn(b"192.0.2.1", self.agent.render().data)

    def test_a_contact_without_an_instance(self) -> None:
        self.agent.register("<sip:alice@192.0.2.1>", "<tel:+12125551212>;q=0")
        found = [(uri, priority) for uri, priority, _ in self.contacts()]
        self.assertEqual(found, [(AOR, "1"), (AOR, "0")])
        data = self.agent.render().data
        self.assertNotIn(b"192.0.2.1", data)
        self.assertNotIn(b"+1212", data)

    def test_two_flows_are_one_device(self) -> None:
        """RFC 5626 §3.1; whichever is refreshed, the document stays as it is."""
        self.agent.register(contact(more=";reg-id=1;q=0.5;audio"), Supported="outbound")
        self.agent.register(contact(more=";reg-id=2;q=0.7;video"), Supported="outbound")
        before = self.agent.render().data
        self.assertEqual([one[:2] for one in self.contacts()], [(f"{AOR};gr={PHONE}", "0.7")])
        self.agent.host.advance(5)
        for reg_id, feature, q in (2, "video", "0.7"), (1, "audio", "0.5"):
            more = f";reg-id={reg_id};q={q};{feature}"
            self.agent.register(contact(more=more), Supported="outbound")
            self.assertEqual(self.agent.render().data, before)

    def test_several_devices(self) -> None:
        self.agent.register(contact(), contact(TABLET, "192.0.2.2"))
        self.assertEqual(set(self.uris()), {f"{AOR};gr={PHONE}", f"{AOR};gr={TABLET}"})
        names = list(basics(self.agent.shown()))
        self.assertEqual(len(set(names)), 2)

    def test_names(self) -> None:
        """They outlive a restart with the key, and differ from user to user."""
        self.agent.register(contact())
        other = Agent()
        other.register(contact())
        self.assertEqual(basics(self.agent.shown()), basics(other.shown()))
        services = self.agent.package._services
        names = {services.name(*who) for who in ((ALICE,), (BOB,), (ALICE, b"x"), (ALICE + b"x",))}
        self.assertEqual(len(names), 4)

    @rfc(3863, "4.1.7", "the time of a registered device is that of its last change")
    def test_since_when(self) -> None:
        """A refresh is no change; other features are, and so is another q."""
        asked = ";audio", ";audio", ";audio;video", ";audio;video;q=0.5"
        stamps = []
        for more in asked:
            self.agent.register(contact(more=more), Expires="600")
            stamps.append(self.contacts()[0][2])
            self.agent.host.advance(1)
        seconds = [(stamp or "")[17:19] for stamp in stamps]
        self.assertEqual(seconds, ["40", "40", "42", "43"])

    def test_it_comes_back(self) -> None:
        self.agent.register(contact())
        before = self.agent.render().data
        self.agent.host.advance(60)
        self.agent.register(contact(more=";expires=0"))
        self.agent.register(contact())
        self.assertEqual(self.contacts()[0][2], "2001-09-09T01:47:40.000Z")
        self.assertNotEqual(self.agent.render().data, before)

    def test_news_at_once(self) -> None:
        """A binding that comes, goes, expires, or whose connection ends."""
        told = self.agent.notifier.told
        flow = Flow(reliable=True)
        self.agent.register(contact(), flow=flow, Via="SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1")
        self.assertEqual(told, [("changed", ALICE)])
        flow.close()
        self.assertEqual((len(told), self.uris()), (2, []))
        self.agent.register(contact(), Expires="60")
        self.agent.host.advance(61)
        self.assertEqual((len(told), self.uris()), (4, []))
        self.assertEqual(self.agent.package._services._known, {})

    def test_not_wanted(self) -> None:
        agent = Agent(registrations=False)
        agent.register(contact())
        self.assertEqual(list(basics(agent.shown()).values()), ["closed"])


# The contacts of what alice publishes, and whether it speaks of the phone that registered.
SAME = {
    "its GRUU": (f"{AOR};gr={PHONE}", True),
    "its GRUU in capitals": (f"{AOR};gr={PHONE.upper()}", True),
    "its GRUU, as pres": (f"pres:alice@example.test;gr={PHONE}", True),
    "its address": ("sip:alice@192.0.2.1", True),
    "its address with a port": ("sip:alice@192.0.2.1:5060", False),
    "another's GRUU": (f"{AOR};gr={TABLET}", False),
    "another user's GRUU": (f"sip:bob@example.test;gr={PHONE}", False),
    "the address-of-record": (AOR, False),
    "none": ("", False),
    "another scheme": ("mailto:alice@example.test", False),
    "no URI at all": ("sip:", False),
}
BY_ONE_CONNECTION = {
    "the address-of-record": (AOR, True),
    "none": ("", True),
    "another's GRUU": (f"{AOR};gr={TABLET}", False),
    "another scheme": ("mailto:alice@example.test", False),
}


class PublishedTest(TableCase):
    """A device that has registered and publishes is not shown twice."""

    def setUp(self) -> None:
        self.agent = Agent()

    def shown(self) -> list[str]:
        """Return the names of the tuples that are published, and "phone" for a registered one."""
        names = basics(self.agent.shown())
        return ["phone" if name.startswith("s") else name for name in names]

    @rows(SAME)
    def test_same_by_contact(self, uri: str, is_same: bool) -> None:
        self.agent.register(contact())
        self.agent.publish(pidf(service("t", contact=uri)))
        self.assertEqual(self.shown(), ["t"] if is_same else ["t", "phone"])

    @rows(BY_ONE_CONNECTION)
    def test_same_by_connection(self, uri: str, is_same: bool) -> None:
        flow = Flow()
        self.agent.register(contact(), flow=flow)
        self.agent.publish(pidf(service("t", contact=uri)), flow=flow)
        self.assertEqual(self.shown(), ["t"] if is_same else ["t", "phone"])

    @rows(
        {"the address-of-record": (AOR,), "nothing": ("", False), "its own": ("sip:a@192.0.2.1",)}
    )
    def test_without_an_instance(self, uri: str, is_same: bool = True) -> None:
        """The address-of-record is all that there is to say of it, and has been said."""
        self.agent.register("<sip:a@192.0.2.1>")
        self.agent.publish(pidf(service("t", contact=uri)))
        self.assertEqual(self.shown(), ["t"] if is_same else ["t", "phone"])

    def test_who_appears_offline(self) -> None:
        """What the person publishes counts, not what the device does."""
        self.agent.register(contact())
        self.agent.publish(pidf(service("t", "closed", f"{AOR};gr={PHONE}")))
        self.assertEqual(basics(self.agent.shown()), {"t": "closed"})

    def test_a_publisher_that_is_gone_says_nothing_of_it(self) -> None:
        self.agent.register(contact())
        flow = Gone()
        self.agent.publish(pidf(service("t", contact=f"{AOR};gr={PHONE}")), flow=flow)
        flow.is_open = False
        self.assertEqual(self.shown(), ["t", "phone"])

    def test_its_name(self) -> None:
        """Somebody publishes the very tuple that he has been shown."""
        self.agent.register(contact())
        (name,) = basics(self.agent.shown())
        self.agent.publish(pidf(service(name, "closed", "sip:alice@home.test")))
        self.assertEqual(basics(self.agent.shown()), {name: "closed"})

    def test_beside_what_is_published(self) -> None:
        self.agent.publish(pidf(service("t"), "<note>n</note>"))
        before = outline(self.agent.shown())
        self.agent.register(contact())
        after = self.agent.shown()
        self.assertEqual([etree.QName(e).localname for e in after], ["tuple", "tuple", "note"])
        self.agent.register(contact(more=";expires=0"))
        self.assertEqual(outline(self.agent.shown()), before)
