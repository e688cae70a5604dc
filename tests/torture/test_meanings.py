"""What a torture message means, and what the answer to it has to say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.message import Request
from sipproxy.sip.uri import parse_uri
from tests.shared import needs_shared
from tests.torture.messages import Parts, as_message, differences, octets, parts
from tests.torture.table import CALL, FORWARD, ROWS
from tests.torture.worlds import PHONE, SOURCE, World, foreign, ours, outbound, register

PHONE_CONTACT = b"<sip:phone@%s>" % PHONE.encode()


class Meaning(SynchronousTestCase):
    """Sends one message, and reads the answer."""

    def setUp(self) -> None:
        self.directory = self.mktemp()

    def answered(self, name: str, required: bool = False) -> Parts:
        """Return the last answer to a message to us."""
        world = ours(self.directory, octets(name), required)
        world.sender.send(octets(name))
        return parts(world.sender.flow.sent[-1])

    def bound(self, name: str) -> list[tuple[bytes, bytes]]:
        """Return every binding after a REGISTER."""
        world = ours(self.directory, b"")
        world.sender.send(octets(name))
        self.assertEqual(world.outcome(), "200", name)
        return world.state()


@needs_shared("torture", "manifest.json")
class AnswerTests(Meaning):
    """Headers of answers."""

    def test_answers_copy_what_they_have_to(self) -> None:
        """RFC 3261 §8.2.6.2: of a long request every octet, too."""
        for name in ("rfc4475/longreq", "rfc5118/ipv4-mapped-ipv6", "rfc4475/zeromf"):
            request, answer = parts(octets(name)), self.answered(name)
            for header in (b"call-id", b"cseq", b"from"):
                copied = request.named(header) or request.named(header[:1])
                self.assertIn(copied[0], answer.lines, name)
            self.assertEqual(answer.named(b"via")[1:], request.named(b"via")[1:], name)
            self.assertEqual(len(answer.named(b"via")), len(request.named(b"via")), name)

    def test_420_names_what_a_proxy_lacks(self) -> None:
        """RFC 3261 §16.3 step 5: nothing of Require, which is the user's."""
        unsupported = self.answered("rfc4475/bext01").value(b"unsupported")
        self.assertEqual(unsupported, b"noProxiesSupportThis, norDoAnyProxiesSupportThis")

    def test_401_has_a_scheme_that_is_known(self) -> None:
        answer = self.answered("rfc4475/regaut01", required=True)
        self.assertEqual(answer.value(b"www-authenticate")[:7], b"Digest ")

    def test_505_is_of_our_version(self) -> None:
        answer = self.answered("rfc4475/badvers")
        self.assertEqual(answer.start, b"SIP/2.0 505 Version Not Supported")

    def test_400_has_one_value_of_each_field(self) -> None:
        answer = self.answered("rfc4475/multi01")
        for header in (b"via", b"from", b"to", b"call-id", b"cseq"):
            self.assertEqual(len(answer.named(header)), 1, header)

    def test_400_copies_what_is_there(self) -> None:
        answer = self.answered("rfc4475/insuf")
        self.assertEqual(len(answer.named(b"via")), 1)
        self.assertEqual(answer.value(b"cseq"), b"193942 INVITE")

    def test_relaying_is_denied(self) -> None:
        world = foreign(self.directory, b"")
        world.sender.send(octets("rfc4475/lwsdisp"))
        self.assertEqual(parts(world.sender.flow.sent[0]).start, b"SIP/2.0 403 Relaying Denied")


@needs_shared("torture", "manifest.json")
class BindingTests(Meaning):
    """What a REGISTER binds."""

    def test_escaped_nuls(self) -> None:
        """§3.1.1.4: the user is not cut at the NUL, and the contacts are two."""
        aor = b"null-\0-null@example.com"
        contacts = [b"sip:%00%00@host5.example.com", b"sip:%00@host5.example.com"]
        self.assertEqual(self.bound("rfc4475/escnull"), [(aor, contact) for contact in contacts])

    def test_contact_parameters(self) -> None:
        """§3.3.12 and §3.3.13: of the header without brackets, of the URI within."""
        uri = b"sip:+19725552222@gw1.example.net"
        aor = b"watson@example.com"
        self.assertEqual(self.bound("rfc4475/cparam01"), [(aor, uri)])
        self.assertEqual(self.bound("rfc4475/cparam02"), [(aor, uri + b";unknownparam")])
        for name, contact in (
            ("rfc4475/cparam01", b"<%s>;unknownparam;expires=3600" % uri),
            ("rfc4475/cparam02", b"<%s;unknownparam>;expires=3600" % uri),
        ):
            self.assertEqual(self.answered(name).value(b"contact"), contact)

    def test_escaped_headers(self) -> None:
        """§3.3.14: they stay in the contact; a request to it goes without them."""
        contact = b"sip:user@example.com?Route=%3Csip:sip.example.com%3E"
        self.assertEqual(self.bound("rfc4475/regescrt"), [(b"user@example.com", contact)])

    def test_port_within_brackets(self) -> None:
        """RFC 5118 §4.3 and §4.4."""
        host = parse_uri(b"sip:[2001:db8::10:5070]")
        self.assertEqual((host.host, host.port), (b"[2001:db8::10:5070]", None))
        port = parse_uri(b"sip:[2001:db8::10]:5070")
        self.assertEqual((port.host, port.port), (b"[2001:db8::10]", 5070))


@needs_shared("torture", "manifest.json")
class TargetTests(Meaning):
    """Whom a Request-URI means, and where a request goes."""

    def reaches(self, data: bytes, aor: bytes) -> bytes:
        """Return what the phone of a user gets of a message, and nobody else does."""
        world = ours(self.directory, b"")
        register(world.server, aor, PHONE_CONTACT)
        world.sender.send(data)
        self.assertEqual(world.outcome(), FORWARD, aor)
        return world.forwarded[0]

    def test_users(self) -> None:
        """What is escaped is the same as what is not; and it is undone once."""
        for name, aor in (
            ("rfc4475/esc01", b"sips:user@example.com@example.net"),
            ("rfc4475/semiuri", b"user;par=u@example.net@example.com"),
            ("rfc4475/intmeth", b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com"),
            # An address of ours stands for the first domain.
            ("rfc5118/ipv6-bug-abnf-3-colons", b"user@example.com"),
            ("rfc5118/ipv6-correct-abnf-2-colons", b"user@example.com"),
        ):
            data = octets(name)
            if ROWS[name].ours == CALL:
                data = as_message(data)
            target = parts(self.reaches(data, aor)).start.split(b" ")[1]
            self.assertEqual(target, PHONE_CONTACT[1:-1], name)

    def test_strict_router(self) -> None:
        """§3.1.1.11, RFC 3261 §16.6 step 6: it wants itself in the Request-URI."""
        data = octets("rfc4475/mpart01")
        world = outbound(self.directory, data)
        world.sender.send(data)
        copy = parts(world.forwarded[0])
        self.assertEqual(copy.start, b"MESSAGE sip:127.0.0.1:5080 SIP/2.0")
        self.assertEqual(copy.named(b"route"), [b"Route: <sip:kumiko@example.org>"])

    def test_our_own_route(self) -> None:
        """§3.1.1.11, RFC 3261 §16.4: if it is us, it is taken off."""
        data = octets("rfc4475/mpart01").replace(b"<sip:127.0.0.1:5080>", b"<sip:127.0.0.1:5060>")
        copy = parts(self.reaches(data, b"kumiko@example.org"))
        self.assertEqual(copy.named(b"route"), [])
        self.assertEqual(copy.body, parts(data).body)

    def test_without_branch(self) -> None:
        """§3.2.1: two of a kind are two transactions."""
        data = octets("rfc4475/badbranch")
        world = ours(self.directory, data)
        world.sender.send(data)
        world.sender.send(data.replace(b"badbranch.", b"another."))
        self.assertEqual(world.outcome(), f"{FORWARD} {FORWARD}")

    def test_credentials_of_others_pass(self) -> None:
        """§3.3.7: as a proxy, Authorization is none of our business (RFC 3261 §22.3)."""
        data = octets("rfc4475/regaut01").replace(b" sip:example.com", b" sip:example.net", 1)
        world = outbound(self.directory, data)
        world.sender.send(data)
        self.assertEqual(world.outcome(), FORWARD)
        self.assertEqual(differences(data, world.forwarded[0], SOURCE.encode()), [])


@needs_shared("torture", "manifest.json")
class ResponseTests(Meaning):
    """The responses, with a branch of ours in place of one that is nobody's."""

    def relayed(self, name: str, second: bytes = b"") -> tuple[World, bytes]:
        """Return the world where a response answers a pending request, and that response."""
        request = octets("rfc4475/lwsdisp")
        world = ours(self.directory, request)
        world.sender.send(request)
        pending = world.phones[0].received[0]
        assert isinstance(pending, Request)
        answer = parts(octets(name))
        vias = [b"Via: " + value for value in pending.values(b"via")]
        if second:
            vias[1] = second
        method = answer.value(b"cseq").split(b" ")[1]
        lines = [line for line in answer.lines if not line.lower().startswith(b"via")]
        lines = [line.replace(method, b"OPTIONS") for line in [*vias, *lines]]
        data = b"\r\n".join([answer.start, *lines, b"", answer.body])
        world.phones[0].send(data)
        return world, data

    def test_reason_phrase(self) -> None:
        """§3.1.1.12: UTF-8 stays UTF-8."""
        world, data = self.relayed("rfc4475/unreason")
        relayed = parts(world.sender.flow.sent[0])
        self.assertEqual(relayed.start, parts(data).start)
        self.assertEqual(relayed.body, parts(data).body)
        self.assertEqual(relayed.lines, parts(data).lines[1:])

    def test_no_reason_phrase(self) -> None:
        """§3.1.1.13: it is read; a proxy keeps the 100 to itself (RFC 4320 §4.1)."""
        for line in (b"SIP/2.0 100 ", b"SIP/2.0 100"):
            world, data = self.relayed("rfc4475/noreason")
            self.assertEqual(world.sender.flow.sent, [])
            world.phones[0].send(data.replace(b"SIP/2.0 100 ", line).replace(b" 100", b" 200", 1))
            self.assertEqual(world.outcome(), f"200 {FORWARD}")

    def test_overlarge_numbers(self) -> None:
        """§3.1.2.5 and §3.1.2.19: dropped, and the request goes on waiting."""
        for name in ("rfc4475/scalarlg", "rfc4475/bigcode"):
            world, data = self.relayed(name)
            self.assertEqual(world.sender.flow.sent, [], name)
            world.phones[0].answer(200)
            self.assertEqual(world.outcome(), f"200 {FORWARD}", name)

    def test_broadcast(self) -> None:
        """§3.3.10: a response goes where its request came from, whatever the next Via says."""
        second = b"Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23"
        world, _ = self.relayed("rfc4475/bcast", second)
        broadcast = world.server.client("255.255.255.255")
        self.assertEqual(world.outcome(), f"200 {FORWARD}")
        self.assertEqual(broadcast.flow.sent, [])
