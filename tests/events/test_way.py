"""Where a NOTIFY goes: by flow, route set, our own location, or the DNS (RFC 3261 §12.2)."""

from __future__ import annotations

from typing import ClassVar
from unittest.mock import patch

from twisted.internet.defer import Deferred

from sipproxy.events.way import Post
from sipproxy.sip.message import Request, Response
from sipproxy.testing import FakeClient, FakeServer, authorized
from tests.events.fakes import NEWS, Phone
from tests.events.test_subscribe import BOB, SubscribeCase
from tests.events.test_telling import TellingCase
from tests.rfc import rfc
from tests.sip.tables import rows

INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"'
GRUU = "sip:alice@example.test;gr=urn:uuid:00000000-0000-1000-8000-000a95a0e128"


class WayCase(SubscribeCase):
    """A phone, and the ways to it."""

    def change(self, text: bytes) -> None:
        """Change the state, and let a turn pass."""
        self.news.texts[BOB] = text
        self.notifier.changed(b"news", BOB)
        self.server.clock.advance(0)

    def subscribe(self, **headers: str) -> None:
        """Subscribe, with a NOTIFY that goes elsewhere."""
        response = self.alice.subscribe(**headers)
        self.assertEqual(response.status, 200)

    def searches(self, text: bytes) -> int:
        """Change the state; return how often a way was looked for."""
        with patch.object(Post, "_send_elsewhere", autospec=True, side_effect=_ELSEWHERE) as asked:
            self.change(text)
        return asked.call_count


_ELSEWHERE = Post._send_elsewhere
VIA = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-without-rport"


def answer(client: FakeClient, status: int = 200, **headers: str) -> list[bytes]:
    """Answer the last NOTIFY; return the Request-URI of each that came."""
    uris = [m.raw_uri for m in client.received if isinstance(m, Request)]
    client.answer(status, **headers)
    client.clear()
    return uris


class ByFlow(WayCase):
    """The subscriber is adjacent."""

    @rows(
        {
            "its own address": "<sip:alice@192.0.2.1:5060>",
            "the inside of a NAT": "<sip:alice@10.0.0.7:5062>",
            "a name that is none": "<sip:alice@xyz.invalid>",
            "with parameters": "<sip:alice@10.0.0.7;ob>;expires=60",
        }
    )
    def test_it_goes_the_way_it_came(self, contact: str) -> None:
        self.subscribe(Contact=contact)
        self.assertEqual(len(self.alice.take()), 1)
        self.assertEqual(self.searches(b"one"), 0)
        self.assertEqual(len(self.alice.take()), 1)

    def test_what_a_request_uri_may_not_have_is_left_out(self) -> None:
        self.subscribe(Contact="<sip:alice@192.0.2.1:5060;method=NOTIFY?Subject=x>")
        notify = self.alice.received[-1]
        assert isinstance(notify, Request)
        self.assertEqual(notify.raw_uri, b"sip:alice@192.0.2.1:5060")

    def test_large_ones_too(self) -> None:
        """RFC 3261 §18.1.1 is for those whose way is looked for."""
        self.subscribe()
        self.alice.take()
        self.change(b"x" * 3000)
        self.assertEqual(len(self.alice.take()), 1)

    def test_a_connection_with_a_dialog_is_not_idle(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3", "tcp")
        carol.subscribe()
        carol.take()
        self.assertEqual(carol.client.flow.watchers, 1)
        carol.ask()
        carol.take()
        self.assertEqual(carol.client.flow.watchers, 1)
        carol.ask(0)
        carol.take()
        self.assertEqual(carol.client.flow.watchers, 0)

    def test_it_closes_while_a_notify_is_under_way(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3", "tcp")
        carol.subscribe()
        self.server.network.peers.clear()
        carol.client.flow.close()
        self.assertEqual(len(self.notifier), 0)
        self.assert_nothing_is_left()

    def test_it_closes_and_the_contact_can_be_connected_to(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3", "tcp")
        carol.subscribe()
        carol.take()
        carol.client.flow.close()
        again = self.server.client("192.0.2.3", 5060, "tcp")
        self.change(b"one")
        self.assertEqual(answer(again), [b"sip:carol@192.0.2.3:5060;transport=tcp"])
        self.assertEqual(len(self.notifier), 1)

    def test_it_closes_and_nobody_is_there(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3", "tcp")
        carol.subscribe()
        carol.take()
        self.server.network.peers.clear()
        carol.client.flow.close()
        self.assertEqual(len(self.notifier), 1)
        self.change(b"one")
        self.assert_nothing_is_left()

    def test_it_closes_and_comes_again_before_anything_changes(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3", "tcp")
        carol.subscribe(Contact="<sip:carol@10.0.0.7;transport=tcp>")
        carol.take()
        carol.client.flow.close()
        again = Phone(self.server, "carol", "192.0.2.3", "tcp")
        again.cseq, again.call, again.tag, again.contact = 5, 1, carol.tag, carol.contact
        again.ask(Contact="<sip:carol@10.0.0.7;transport=tcp>")
        self.assertEqual(len(again.take()), 1)
        self.change(b"one")
        self.assertEqual(len(again.take()), 1)


class ByTarget(WayCase):
    """The subscriber is somewhere else, or wants to be told there."""

    def setUp(self) -> None:
        WayCase.setUp(self)
        self.there = self.server.client("203.0.113.9")

    def test_the_hop_is_looked_for_once(self) -> None:
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9>")
        self.assertEqual(answer(self.there), [b"sip:alice@203.0.113.9"])
        self.assertEqual(self.searches(b"one"), 0)
        self.assertEqual(answer(self.there), [b"sip:alice@203.0.113.9"])

    def test_and_again_after_a_while(self) -> None:
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9>", Expires="3600")
        answer(self.there)
        self.server.advance(301)
        self.assertEqual(self.searches(b"one"), 1)
        answer(self.there)
        self.assertEqual(self.searches(b"two"), 0)

    def test_and_for_what_is_too_large(self) -> None:
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9>")
        answer(self.there)
        by_tcp = self.server.client("203.0.113.9", 5060, "tcp")
        self.assertEqual(self.searches(b"x" * 3000), 1)
        self.assertEqual(answer(by_tcp), [b"sip:alice@203.0.113.9"])

    def test_and_where_it_has_failed(self) -> None:
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9>")
        answer(self.there)
        self.change(b"one")
        answer(self.there, 503)
        self.assertEqual(self.searches(b"two"), 1)

    def test_and_for_another_target(self) -> None:
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9>")
        answer(self.there, Contact="<sip:other@203.0.113.9>")
        self.change(b"one")
        self.assertEqual(answer(self.there), [b"sip:other@203.0.113.9"])

    def test_nobody_there(self) -> None:
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.77>")
        self.assert_nothing_is_left()

    def test_a_connection_to_the_hop_is_used_again(self) -> None:
        by_tcp = self.server.client("203.0.113.9", 5060, "tcp")
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9;transport=tcp>")
        answer(by_tcp)
        self.assertEqual(self.searches(b"one"), 0)
        answer(by_tcp)
        by_tcp.flow.close()
        again = self.server.client("203.0.113.9", 5060, "tcp")
        self.assertEqual(self.searches(b"two"), 1)
        self.assertEqual(len(answer(again)), 1)

    def test_what_is_given_up_for_a_refresh(self) -> None:
        """A NOTIFY whose way is looked for is not sent any more once there is a newer one."""
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9>")
        self.assertEqual(len(self.there.received), 1)
        self.alice.ask()
        self.alice.take()
        self.there.clear()
        self.server.advance(40)
        self.assertEqual((self.there.received, len(self.notifier)), ([], 1))

    def test_our_own_address_is_no_target(self) -> None:
        self.subscribe(Via=VIA, Contact="<sip:alice@127.0.0.1:5060>")
        self.assert_nothing_is_left()

    @rfc(3261, "12.2.1.1", "a strict router gets the Request-URI, and the target goes last")
    def test_strict_router(self) -> None:
        self.subscribe(Record_Route="<sip:203.0.113.9>", Contact="<sip:alice@192.0.2.1>")
        for text in (b"one", b"two"):
            notify = self.there.received[-1]
            assert isinstance(notify, Request)
            self.assertEqual(notify.raw_uri, b"sip:203.0.113.9")
            self.assertEqual(notify.values(b"route"), [b"<sip:alice@192.0.2.1>"])
            answer(self.there)
            self.change(text)


class FromOutside(WayCase):
    """A Contact may name any host: a NOTIFY does not go from outside into the operator's site."""

    INSIDE = "10.0.0.5"

    def setUp(self) -> None:
        WayCase.setUp(self)
        self.inside = self.server.client(self.INSIDE)

    def configure(self, more: str) -> None:
        """Begin anew with another configuration."""
        self.server = FakeServer(self.mktemp(), NEWS + more)
        self.notifier = self.server.node.notifier
        self.alice = Phone(self.server)
        self.inside = self.server.client(self.INSIDE)

    @rfc(6665, "6.3", "a NOTIFY is not sent to hosts that have not asked for it")
    @rows(
        {
            "a private address": {"Contact": "<sip:alice@10.0.0.5>"},
            "another": {"Contact": "<sip:alice@[fd00::5]>"},
            "the machine itself": {"Contact": "<sip:alice@127.0.0.1:9>"},
            "an address in a parameter": {"Contact": "<sip:alice@203.0.113.9;maddr=10.0.0.5>"},
            "a name of /etc/hosts": {"Contact": "<sip:alice@localhost>"},
            "a route": {
                "Record_Route": "<sip:10.0.0.5;lr>",
                "Contact": "<sip:alice@203.0.113.9>",
            },
        }
    )
    def test_refused(self, headers: dict[str, str]) -> None:
        response = self.alice.subscribe(**{"Via": VIA, **headers})
        self.assertEqual(response.status, 403)
        self.assertEqual(self.inside.received, [])
        self.assert_nothing_is_left()

    def test_on_a_refresh(self) -> None:
        """The subscription stays as it was."""
        self.subscribe()
        self.alice.take()
        self.assertEqual(self.alice.ask(Via=VIA, Contact="<sip:alice@10.0.0.5>").status, 403)
        self.change(b"one")
        self.assertEqual(self.alice.take(), ["active;expires=600: one"])

    def test_in_an_answer(self) -> None:
        """A 2xx to NOTIFY may change the target, too: then it ends."""
        there = self.server.client("203.0.113.9")
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9>")
        answer(there, Contact="<sip:alice@10.0.0.5>")
        self.change(b"one")
        self.assertEqual((self.inside.received, there.received), ([], []))
        self.assert_nothing_is_left()

    def test_what_is_too_large_for_who_asks_once(self) -> None:
        """It goes by TCP to the Contact: behind a NAT that is somebody else's here."""
        by_tcp = self.server.client(self.INSIDE, 5060, "tcp")
        self.news.texts[BOB] = b"x" * 3000
        self.assertEqual(self.alice.subscribe(0, Contact="<sip:alice@10.0.0.5>").status, 200)
        self.assertEqual(by_tcp.received, [])
        self.assert_nothing_is_left()

    def test_who_is_inside(self) -> None:
        """Who comes from there is told there."""
        carol = Phone(self.server, "carol", "10.0.0.8")
        via = "SIP/2.0/UDP 10.0.0.8;branch=z9hG4bK-without-rport"
        self.assertEqual(carol.subscribe(Via=via, Contact="<sip:carol@10.0.0.5>").status, 200)
        self.assertEqual(answer(self.inside), [b"sip:carol@10.0.0.5"])

    def test_by_a_flow(self) -> None:
        """What a NAT hides does not matter where the flow is known."""
        self.subscribe(Contact="<sip:alice@10.0.0.5>")
        self.assertEqual(len(self.alice.take()), 1)
        self.assertEqual(self.inside.received, [])

    def test_the_listener_is_gone_that_it_came_by(self) -> None:
        """As after a reload. What a NAT hides leads to somebody else here."""
        self.subscribe(Contact="<sip:alice@10.0.0.5>")
        self.alice.take()
        self.alice.client.flow.is_open = False
        self.change(b"one")
        self.assertEqual(self.inside.received, [])
        self.assert_nothing_is_left()

    def test_the_connection_is_gone_before_it_is_known_what_to_tell(self) -> None:
        carol = Phone(self.server, "carol", "192.0.2.3", "tcp")
        by_tcp = self.server.client(self.INSIDE, 5060, "tcp")
        self.news.waiting = Deferred()
        carol.contact = "sip:bob@example.test"
        carol.client.send(carol.request(0, Contact="<sip:carol@10.0.0.5;transport=tcp>"))
        carol.client.flow.close()
        self.news.waiting.callback(True)
        self.assertEqual(by_tcp.received, [])
        self.assert_nothing_is_left()

    @rows(
        {
            "a route": '[[route]]\ndomain = "b.test"\nto = "sip:10.0.0.5"\n',
            "all of it": "[dns]\nprivate = true\n",
        }
    )
    def test_where_the_operator_says_so(self, more: str) -> None:
        self.configure(more)
        self.subscribe(Via=VIA, Contact="<sip:alice@10.0.0.5>")
        self.assertEqual(answer(self.inside), [b"sip:alice@10.0.0.5"])

    def test_after_a_restart(self) -> None:
        self.configure('[components]\nstore = "sqlite"\n')
        there = self.server.client("203.0.113.9")
        self.subscribe(Via=VIA, Contact="<sip:alice@203.0.113.9>")
        answer(there, Contact="<sip:alice@10.0.0.5>")
        self.server.advance(1)
        self.server = self.server.restarted(crashed=True)
        inside = self.server.client(self.INSIDE)
        self.server.advance(1)
        self.assertEqual(inside.received, [])
        self.assertEqual(len(self.server.node.notifier), 0)


class ByLocation(WayCase):
    """The subscriber's Contact is a user of ours, or a GRUU of one."""

    def register(self, phone: Phone, contact: str, expires: int = 3600) -> None:
        """Bind a contact of alice's."""
        phone.cseq += 1
        phone.client.send(f"""REGISTER sip:example.test SIP/2.0
            Via: SIP/2.0/UDP {phone.host};rport;branch=z9hG4bK-r{phone.cseq}
            From: <sip:alice@example.test>;tag=1
            To: <sip:alice@example.test>
            Call-ID: {phone.host}
            CSeq: {phone.cseq} REGISTER
            Contact: {contact}
            Expires: {expires}
            Content-Length: 0""")
        (response,) = phone.received
        assert isinstance(response, Response)
        self.assertEqual(response.status, 200)
        phone.client.clear()

    def test_the_binding_is_looked_for_once(self) -> None:
        self.register(self.alice, f"<sip:alice@192.0.2.1:5060>;{INSTANCE}")
        self.subscribe(Contact=f"<{GRUU}>")
        self.assertEqual(answer(self.alice.client), [b"sip:alice@192.0.2.1:5060"])
        self.assertEqual(self.searches(b"one"), 0)
        answer(self.alice.client)

    def test_and_again_when_it_has_changed(self) -> None:
        self.register(self.alice, f"<sip:alice@192.0.2.1:5060>;{INSTANCE}")
        self.subscribe(Contact=f"<{GRUU}>")
        answer(self.alice.client)
        moved = Phone(self.server, "alice", "192.0.2.7")
        self.register(self.alice, f"<sip:alice@192.0.2.1:5060>;{INSTANCE}", 0)
        self.register(moved, f"<sip:alice@192.0.2.7:5060>;{INSTANCE}")
        self.assertEqual(self.searches(b"one"), 1)
        self.assertEqual(answer(moved.client), [b"sip:alice@192.0.2.7:5060"])

    def test_nobody_is_there(self) -> None:
        self.subscribe(Contact=f"<{GRUU}>")
        self.assert_nothing_is_left()

    @rfc(5626, "7", "a NOTIFY to a GRUU goes by the next flow where one has failed")
    def test_several_flows_of_one_device(self) -> None:
        """Each NOTIFY looks for its way, so that none relies on a flow that may be dead."""
        other = Phone(self.server, "alice", "192.0.2.7")
        outbound = "expires=600;reg-id={};" + INSTANCE
        for phone, number in ((self.alice, 1), (other, 2)):
            self.register(phone, f"<sip:alice@{phone.host}:5060>;{outbound.format(number)}")
        self.subscribe(Contact=f"<{GRUU}>")
        answer(other.client, 430)
        self.assertEqual(answer(self.alice.client), [b"sip:alice@192.0.2.1:5060"])
        self.change(b"one")
        self.assertEqual(len(other.client.received), 1)
        self.server.advance(5.2)
        self.assertEqual(answer(self.alice.client), [b"sip:alice@192.0.2.1:5060"])
        self.assertEqual(len(self.notifier), 1)

    def test_several_devices(self) -> None:
        """One that accepts is enough; where all refuse, it is over."""
        other = Phone(self.server, "alice", "192.0.2.7")
        self.register(self.alice, "<sip:alice@192.0.2.1:5060>")
        self.register(other, "<sip:alice@192.0.2.7:5060>")
        self.subscribe(Contact="<sip:alice@example.test>")
        answer(other.client, 481)
        self.assertEqual(len(self.notifier), 1)
        answer(self.alice.client, 200)
        self.change(b"one")
        answer(other.client, 481)
        answer(self.alice.client, 481)
        self.assertEqual(len(self.notifier), 0)
        self.assert_only_bindings_are_left()

    def test_several_devices_and_silence(self) -> None:
        other = Phone(self.server, "alice", "192.0.2.7")
        self.register(self.alice, "<sip:alice@192.0.2.1:5060>")
        self.register(other, "<sip:alice@192.0.2.7:5060>")
        self.subscribe(Contact="<sip:alice@example.test>")
        answer(other.client, 481)
        self.server.advance(33)
        self.assertEqual(len(self.notifier), 0)
        self.assert_only_bindings_are_left()

    def assert_only_bindings_are_left(self) -> None:
        """Check that nothing is kept but the appointment of the user's bindings."""
        self.server.advance(40)
        self.assertEqual(self.held(), 1)


class Secure(WayCase):
    """sips (RFC 3261 §12.1.1)."""

    text = NEWS

    def setUp(self) -> None:
        WayCase.setUp(self)
        self.carol = Phone(self.server, "carol", "192.0.2.3", "tls")
        self.carol.client.flow.sent_by = self.alice.client.flow.sent_by

    @rfc(3261, "12.1.1", "Contact of the response is sips where the request asks for it")
    @rows(
        {
            "Request-URI": ({"to": "bob"}, "sips:bob@example.test"),
            "Contact": ({"Contact": "<sips:carol@192.0.2.3>"}, None),
            "Record-Route": ({"Record-Route": "<sips:192.0.2.3;lr>"}, None),
        }
    )
    def test_contact(self, headers: dict[str, str], uri: str | None) -> None:
        self.carol.contact = uri or "sip:bob@example.test"
        headers = {name: value for name, value in headers.items() if name != "to"}
        self.carol.ask(To="<sip:bob@example.test>", **headers)
        self.assertTrue(self.carol.contact.startswith("sips:s-"), self.carol.contact)
        self.assertEqual(self.carol.contact[-3:], ";gr")

    def test_neither(self) -> None:
        self.carol.subscribe(Contact="<sip:carol@192.0.2.3;transport=tls>")
        self.assertTrue(self.carol.contact.startswith("sip:s-"))
        self.assertIn(";transport=tls;gr", self.carol.contact)

    def test_a_refresh_without_tls(self) -> None:
        """The target stays sips, and is not told by less."""
        self.carol.subscribe(Contact="<sips:carol@192.0.2.3>")
        self.assertEqual(len(self.carol.take()), 1)
        by_udp = Phone(self.server, "carol", "192.0.2.3")
        by_udp.cseq, by_udp.call, by_udp.tag = 5, 1, self.carol.tag
        by_udp.contact = self.carol.contact.replace("sips:", "sip:")
        self.assertEqual(by_udp.ask(Contact="<sips:carol@192.0.2.3>").status, 200)
        self.assertEqual(by_udp.notified, [])


class Numbers(TellingCase):
    """What both ways have in common."""

    def test_cseq_goes_on(self) -> None:
        there = self.server.client("203.0.113.9")
        self.alice.ask(Via=VIA, Contact="<sip:alice@203.0.113.9>")
        numbers = [m.cseq.number for m in there.received]
        answer(there)
        self.change(b"one")
        numbers += [m.cseq.number for m in there.received]
        self.assertEqual(numbers, [2, 3])


class ByRoute(SubscribeCase):
    """A Record-Route, which anybody may write."""

    text = NEWS.replace("[auth]\nrequired = false\n", "")
    accounts: ClassVar[dict[str, str]] = dict.fromkeys(
        ("alice@example.test", "bob@example.test"), "secret"
    )

    def ask_with_password(self, request: str) -> Response:
        """Send a request, and again with the credentials that it is challenged for."""
        self.alice.client.send(request)
        challenge = self.alice.received[-1]
        assert isinstance(challenge, Response)
        self.alice.client.clear()
        again = authorized(request, challenge, "alice", "secret").replace("z9hG4bK", "z9hG4bKx")
        self.alice.client.send(again)
        response = self.alice.received[0]
        assert isinstance(response, Response)
        return response

    def test_a_password_says_nothing_of_where_it_leads(self) -> None:
        """RFC 6665 §6.3: no large body goes where nobody has been heard to be."""
        self.news.texts[BOB] = b"x" * 5000
        victim = self.server.client("203.0.113.9")
        self.alice.contact = "sip:example.test"
        register = self.alice.request(To="<sip:alice@example.test>", Event="")
        register = register.replace("SUBSCRIBE", "REGISTER").strip() + "\n\n"
        self.assertEqual(self.ask_with_password(register).status, 200)
        self.alice.contact = "sip:bob@example.test"
        headers = {"Record_Route": "<sip:203.0.113.9;lr>", "Contact": "<sip:alice@example.test>"}
        subscribe = self.alice.request(**headers).strip() + "\n\n"
        self.assertEqual(self.ask_with_password(subscribe).status, 200)
        self.assertEqual([len(message.body) for message in victim.received], [0])
