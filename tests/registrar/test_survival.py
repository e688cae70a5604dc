"""Bindings outlive the server that made them: stopped, or killed."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.interfaces import Ending
from sipproxy.registrar.binding import Binding
from sipproxy.registrar.records import KIND
from sipproxy.sip.message import Response
from sipproxy.store.sqlite import SqliteStore
from sipproxy.testing import CONFIG, FakeClient, FakeServer
from tests.rfc import rfc

OPEN = CONFIG + "[auth]\nrequired = false\n"
KEPT = OPEN + '[components]\nstore = "sqlite"\n'
BOB = b"bob@example.test"
PHONE = ';+sip.instance="<urn:x:1>"'
MESSAGE = """
    MESSAGE {uri} SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK{number};rport
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: m{number}
    CSeq: 1 MESSAGE
    Content-Type: text/plain
    Content-Length: 2

    hi"""


def register(
    client: FakeClient, contact: str, cseq: int = 1, user: str = "bob", **headers: str
) -> Response:
    """Register a contact, and return the answer."""
    host, transport = client.flow.host.decode(), client.flow.via_transport.decode()
    more = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
    client.clear()
    client.send(
        f"""REGISTER sip:example.test SIP/2.0
        Via: SIP/2.0/{transport} {host};branch=z9hG4bK-{host}-{user}-{cseq};rport
        Max-Forwards: 70
        From: <sip:{user}@example.test>;tag=1
        To: <sip:{user}@example.test>
        Call-ID: {host}
        CSeq: {cseq} REGISTER
        Contact: {contact}
        {more}Content-Length: 0"""
    )
    response = client.received[-1]
    assert isinstance(response, Response)
    return response


class SurvivalCase(SynchronousTestCase):
    """A server that is started again and again with the same data."""

    text = KEPT

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), self.text)
        self.ended: list[tuple[str, str]] = []
        self.changed: list[bytes] = []

    def restart(self, seconds: float = 0.0, crashed: bool = False) -> None:
        """Start another one, and hear what becomes of bindings."""
        self.server = self.server.restarted(crashed, seconds)
        self.ended.clear()
        self.changed.clear()
        self.server.node.location.listen(self.hear)
        self.server.node.location.watch(self.changed.append)

    def hear(self, aor: bytes, binding: Binding, ending: Ending) -> None:
        """Note an end."""
        self.ended.append((binding.contact.raw_uri.decode(), ending.event.decode()))

    def contacts(self, aor: bytes = BOB) -> dict[str, int]:
        """Return the contacts and how long they last."""
        now, bindings = self.server.node.now(), self.server.node.location.bindings(aor)
        return {b.contact.raw_uri.decode(): round(b.expires_at - now) for b in bindings}

    def sent_to(self, client: FakeClient, uri: str = "sip:bob@example.test") -> list[str]:
        """Send a message to a URI; return the Request-URIs that reach a client."""
        alice = self.server.client("192.0.2.99")
        client.clear()
        self.number = getattr(self, "number", 0) + 1
        alice.send(MESSAGE.format(uri=uri, number=self.number))
        return [m.raw_uri.decode() for m in client.received if not isinstance(m, Response)]


class SurvivalTests(SurvivalCase):
    """What is there after a restart."""

    def test_a_phone_is_reached_by_the_flow_that_it_came_by(self) -> None:
        """Its Contact is an address behind a NAT; its flow is the way (RFC 3261 §18.2.2, 3581)."""
        register(self.server.client("192.0.2.1", 40000), "<sip:bob@10.0.0.1:5060>")
        for crashed in (False, True):
            self.server.advance(1)
            self.restart(crashed=crashed)
            phone = self.server.client("192.0.2.1", 40000)
            self.assertEqual(self.sent_to(phone), ["sip:bob@10.0.0.1:5060"])
        self.assertEqual(self.ended, [])

    def test_what_is_left_of_an_hour(self) -> None:
        register(self.server.client("192.0.2.1"), "<sip:bob@192.0.2.1>;expires=3600")
        self.server.advance(600)
        self.restart(seconds=600)
        self.assertEqual(self.contacts(), {"sip:bob@192.0.2.1": 2400})

    def test_a_clock_that_steps(self) -> None:
        register(self.server.client("192.0.2.1"), "<sip:bob@192.0.2.1>;expires=3600")
        for step in (3600, -7200):
            self.server.advance(1)
            self.server.stepped += step
            self.restart()
        self.assertEqual(self.contacts(), {"sip:bob@192.0.2.1": 3598})

    def test_a_refresh_after_it_is_a_refresh(self) -> None:
        """The life goes on, and a CSeq that was used is not taken again (§10.3 step 7)."""
        register(self.server.client("192.0.2.1"), "<sip:bob@192.0.2.1>", 5)
        self.restart(seconds=60)
        phone = self.server.client("192.0.2.1")
        self.assertEqual(register(phone, "<sip:bob@192.0.2.1>", 4).status, 500)
        self.assertEqual(register(phone, "<sip:bob@192.0.2.1>", 6).status, 200)
        (binding,) = self.server.node.location.bindings(BOB)
        self.assertEqual(
            (binding.event, self.server.node.now() - binding.life.since), (b"refreshed", 60)
        )

    def test_who_has_gone_is_gone(self) -> None:
        phone = self.server.client("192.0.2.1")
        register(phone, "<sip:bob@192.0.2.1>", 1)
        register(phone, "<sip:bob@192.0.2.1>;expires=0", 2)
        self.server.advance(1)
        self.restart(crashed=True)
        self.assertEqual(self.contacts(), {})
        self.assertEqual(list(self.server.node.location.aors()), [])

    def test_a_crash_costs_the_last_50_ms(self) -> None:
        register(self.server.client("192.0.2.1"), "<sip:bob@192.0.2.1>")
        self.server.clock.advance(0.05)
        register(self.server.client("192.0.2.2"), "<sip:bob@192.0.2.2>")
        self.restart(crashed=True)
        self.assertEqual(list(self.contacts()), ["sip:bob@192.0.2.1"])

    def test_a_stop_costs_nothing(self) -> None:
        register(self.server.client("192.0.2.1"), "<sip:bob@192.0.2.1>")
        self.restart()
        self.assertEqual(list(self.contacts()), ["sip:bob@192.0.2.1"])

    def test_the_memory_store_forgets(self) -> None:
        server = FakeServer(self.mktemp(), OPEN)
        register(server.client("192.0.2.1"), "<sip:bob@192.0.2.1>")
        self.assertEqual(server.restarted().node.location.bindings(BOB), ())


class EndTests(SurvivalCase):
    """What has not outlived it: it has ended from the start, and who listens is told once."""

    def test_a_connection(self) -> None:
        register(self.server.client("192.0.2.1", 5060, "tcp"), "<sip:bob@192.0.2.1;transport=tcp>")
        for crashed in (False, True):
            self.restart(crashed=crashed, seconds=1)
            self.assertEqual(self.contacts(), {})
            if not crashed:
                self.server.advance(1)
                uri = "sip:bob@192.0.2.1;transport=tcp"
                self.assertEqual((self.ended, self.changed), ([(uri, "deactivated")], [BOB]))
                self.assertEqual(list(self.server.node.location.aors()), [])
        self.server.advance(1)
        self.assertEqual(self.ended, [])

    def test_one_that_has_expired_meanwhile(self) -> None:
        register(self.server.client("192.0.2.1"), "<sip:bob@192.0.2.1>;expires=60")
        register(self.server.client("192.0.2.2"), "<sip:bob@192.0.2.2>;expires=600")
        self.restart(seconds=120)
        self.assertEqual(self.contacts(), {"sip:bob@192.0.2.2": 480})
        self.server.advance(1)
        self.assertEqual(self.ended, [("sip:bob@192.0.2.1", "expired")])
        self.restart()
        self.server.advance(1)
        self.assertEqual((self.ended, self.contacts()), ([], {"sip:bob@192.0.2.2": 478}))

    def test_a_phone_that_comes_back_before_anybody_is_told(self) -> None:
        """Its contact has ended with its connection, and is registered anew (RFC 3680 §4.7.1)."""
        uri = "sip:bob@192.0.2.1;transport=tcp"
        register(self.server.client("192.0.2.1", 5060, "tcp"), f"<{uri}>")
        self.restart()
        register(self.server.client("192.0.2.1", 5060, "tcp"), f"<{uri}>", 2)
        self.assertEqual(self.ended, [(uri, "deactivated")])
        self.server.advance(1)
        self.assertEqual((self.ended, len(self.changed)), ([(uri, "deactivated")], 1))
        (binding,) = self.server.node.location.bindings(BOB)
        self.assertEqual(binding.event, b"registered")

    @rfc(5626, "5.4", "a flow over UDP that is silent after a restart is dead in its time")
    def test_a_flow_that_stays_silent(self) -> None:
        contact = f"<sip:bob@192.0.2.1>;reg-id=1{PHONE}"
        register(self.server.client("192.0.2.1"), contact, Supported="outbound, path")
        self.restart(seconds=1000)
        self.server.advance(149)
        self.assertEqual((len(self.contacts()), self.ended), (1, []))
        self.server.advance(2)
        self.assertEqual(self.ended, [("sip:bob@192.0.2.1", "deactivated")])

    def test_many_are_told_slice_by_slice(self) -> None:
        phone = self.server.client("192.0.2.1", 5060, "tcp")
        for number in range(250):
            uri = f"<sip:u{number}@192.0.2.1;transport=tcp>"
            register(phone, uri, user=f"u{number}")
            self.server.advance(0.1)
        self.restart()
        told = []
        for _ in range(5):
            self.server.clock.advance(0.1)
            told.append(len(self.changed))
        self.assertEqual(told[-1], 250)
        self.assertLess(max(b - a for a, b in zip([0, *told], told, strict=False)), 102)

    def test_a_record_that_cannot_be_read(self) -> None:
        """It is left out, and the others are there."""
        register(self.server.client("192.0.2.1"), "<sip:bob@192.0.2.1>")
        self.server.node.store.put(KIND, b"carol@example.test", "no bindings")
        self.restart()
        self.assertEqual(list(self.contacts()), ["sip:bob@192.0.2.1"])
        self.restart()
        store = self.server.node.store
        assert isinstance(store, SqliteStore)
        self.assertEqual([key for key, _ in store.load(KIND)], [BOB])


class GruuTests(SurvivalCase):
    """GRUUs of before a restart (RFC 5627 §5.1)."""

    def gruus(self, response: Response) -> list[str]:
        """Return the public and the temporary GRUU of an answer."""
        (contact,) = response.addresses(b"contact")
        return [
            (contact.params[name] or b"").decode().strip('"')
            for name in (b"pub-gruu", b"temp-gruu")
        ]

    def obtain(self, client: FakeClient, cseq: int = 1, contact: str = "") -> list[str]:
        """Register a device, and return its GRUUs."""
        contact = contact or f"<sip:bob@192.0.2.1>{PHONE}"
        return self.gruus(register(client, contact, cseq, Supported="gruu"))

    @rfc(5627, "5.1", "a temporary GRUU is valid as long as its registration, through a restart")
    def test_they_lead_to_the_device(self) -> None:
        every = self.obtain(self.server.client("192.0.2.1"))
        for number in range(2, 4):
            self.restart(seconds=60)
            phone = self.server.client("192.0.2.1")
            for gruu in every:
                self.assertEqual(self.sent_to(phone, gruu), ["sip:bob@192.0.2.1"], gruu)
            every += self.obtain(phone, number)[1:]

    def test_those_that_had_ended_stay_so(self) -> None:
        """Another Call-ID has ended them, before the restart (§5.1)."""
        _, ended = self.obtain(self.server.client("192.0.2.1"))
        self.obtain(self.server.client("192.0.2.2"))
        self.restart()
        self.assertEqual(self.sent_to(self.server.client("192.0.2.2"), ended), [])

    def test_of_a_device_that_has_to_connect_again(self) -> None:
        """Its binding is lost with us, and so is not its wish that they end."""
        contact = f"<sip:bob@192.0.2.1;transport=tcp>{PHONE}"
        _, first = self.obtain(self.server.client("192.0.2.1", 5060, "tcp"), 1, contact)
        self.restart(seconds=5)
        phone = self.server.client("192.0.2.1", 5060, "tcp")
        self.obtain(phone, 2, contact)
        self.assertEqual(len(self.sent_to(phone, first)), 1)

    def test_none_is_made_twice(self) -> None:
        """A stamp is later than all before, though the wall clock went back."""
        first = self.obtain(self.server.client("192.0.2.1"))
        self.server.stepped -= 3600
        self.restart()
        (binding,) = self.server.node.location.bindings(BOB)
        self.assertNotIn(self.obtain(self.server.client("192.0.2.1"), 2)[1], first)
        (refreshed,) = self.server.node.location.bindings(BOB)
        self.assertGreater(_made(refreshed), _made(binding))


def _made(binding: Any) -> int:
    return int(binding.instance.made)
