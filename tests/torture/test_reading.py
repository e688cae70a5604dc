"""What authentication reads is what routing reads, and what is forwarded, however it is read."""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.internet.defer import Deferred

from sipproxy.sip.digest import credentials
from sipproxy.sip.headers import parse_authorization
from sipproxy.sip.message import Response
from sipproxy.sip.uri import Uri
from sipproxy.transport.resolver import Means, Resolver, Unreachable
from tests.torture.bad import CASES, GOOD, instead, with_line
from tests.torture.connection import Connection
from tests.torture.messages import Parts, name_of, parts
from tests.torture.table import FORWARD
from tests.torture.test_bad import Bad
from tests.torture.worlds import World, register

PASSWORD = "secret"
# Whoever ends lines by another rule.
READERS: tuple[Callable[[bytes], list[bytes]], ...] = (
    lambda head: head.split(b"\r\n"),
    lambda head: head.split(b"\n"),
    lambda head: head.split(b"\r"),
    bytes.splitlines,
    re.compile(rb"[\r\n\v\f\x1c-\x1e\x85]+").split,
)
SINGLE = (b"from", b"f", b"to", b"t", b"call-id", b"i", b"cseq", b"max-forwards", b"route")


def read(reader: Callable[[bytes], list[bytes]], data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields that matter as a reader finds them, names and values."""
    lines = reader(data.partition(b"\r\n\r\n")[0])
    pairs = [(name_of(line.lstrip(b"\n")), line.partition(b":")[2].strip()) for line in lines]
    return [pair for pair in pairs if pair[0] in SINGLE]


class ReadingTests(Bad):
    """Tables, read as others would."""

    def test_all_readers_agree_on_what_is_forwarded(self) -> None:
        for name, cases in CASES.items():
            for case, data, allowed in cases():
                if FORWARD not in allowed.split("|") or b"\r\n " in data:
                    continue
                world = self.world()
                world.sender.send(data)
                for copy in world.forwarded:
                    wanted = read(READERS[0], copy)
                    for reader in READERS[1:]:
                        self.assertEqual(read(reader, copy), wanted, f"{name}: {case}")

    def test_one_of_each(self) -> None:
        """Nothing that is forwarded has two of what may be there once."""
        for name, cases in CASES.items():
            for case, data, _ in cases():
                world = self.world()
                world.sender.send(data)
                for copy in map(parts, world.forwarded):
                    for header in (b"from", b"to", b"call-id", b"cseq", b"max-forwards"):
                        self.assertEqual(len(copy.named(header)), 1, f"{name}: {case}")

    def test_lengths_are_true(self) -> None:
        """What goes on says how long it is, by datagram or by stream."""
        for name, cases in CASES.items():
            for case, data, _ in cases():
                worlds = [self.world(), self.world()]
                worlds[0].sender.send(data)
                Connection(worlds[1].server).write(data)
                for copy in (copy for world in worlds for copy in world.forwarded):
                    lengths = parts(copy).named(b"content-length")
                    body = copy.partition(b"\r\n\r\n")[2]
                    for line in lengths:
                        self.assertEqual(int(line.partition(b":")[2]), len(body), f"{name}: {case}")


class ProvenTests(Bad):
    """With authentication: who has proven to be alice is who the receiver sees."""

    def secured(self) -> World:
        """Return a world with accounts, where bob is there."""
        world = self.world(required=True)
        self.assertTrue(world.server.node.accounts.known(b"alice@example.test"))
        return world

    def setUp(self) -> None:
        Bad.setUp(self)
        accounts = {f"{user}@example.test": PASSWORD for user in ("alice", "mallory")}
        self.accounts = World(self.directory, ["example.test"], True, accounts)

    def signed(self, data: bytes, user: bytes = b"alice", uri: bytes = b"") -> bytes:
        """Return a request with the credentials that the server asks ``user`` for."""
        asking = self.secured()
        self.asked = asking
        asking.sender.send(GOOD)
        challenge = asking.sender.received[0]
        assert isinstance(challenge, Response)
        params = parse_authorization(challenge.raw_values(b"proxy-authenticate")[0]).params
        method, target = data.split(b" ")[:2]
        secret = PASSWORD.encode()
        value = credentials(params, user, secret, method, uri or target, b"0a4f113b")
        again = data.replace(b"z9hG4bKbad", b"z9hG4bKagain")
        return with_line(b"Proxy-Authorization: " + value, again)

    def sent(self, data: bytes) -> str:
        """Send to the server that asked, and return what becomes of it."""
        self.asked.sender.clear()
        self.asked.sender.send(data)
        return self.asked.outcome()

    def copy(self) -> Parts:
        return parts(self.asked.forwarded[0])

    def test_forwarded(self) -> None:
        self.assertEqual(self.sent(self.signed(GOOD)), FORWARD)
        self.assertEqual(self.copy().named(b"proxy-authorization"), [])

    def test_spellings_of_from(self) -> None:
        """However it is written, what is forwarded names alice, and her alone."""
        for value in (
            b'"bob, <sip:mallory@example.test>" <sip:alice@example.test>;tag=1',
            b'"\\"<sip:mallory@example.test>" <sip:alice@example.test>;tag=1',
            b"<sip:%61lice@EXAMPLE.TEST>;tag=1",
            b"sip:alice@example.test;tag=1;x=mallory",
            b"<sip:alice@example.test;user=mallory>;tag=1",
            b"\r\n <sip:alice@example.test>;tag=1",
            b"<sip:alice:mallory@example.test>;tag=1",
        ):
            self.assertEqual(self.sent(self.signed(instead(b"From", value))), FORWARD, value)
            self.assertEqual(self.copy().value(b"from"), value.strip(), value)

    def test_two_names(self) -> None:
        """Alice's credentials carry nobody else, and nobody beside her."""
        other = b"<sip:mallory@example.test>;tag=m"
        for data, allowed in (
            (instead(b"From", other), "403"),
            (with_line(b"From: " + other), "400"),
            (with_line(b"f: " + other), "400"),
            (GOOD.replace(b"From:", b"From: " + other + b"\r\nFrom:"), "400"),
            (instead(b"From", b"<sip:alice@example.test>, " + other), "400"),
            (instead(b"From", b"<sip:alice@example.test>;tag=1\nFrom: " + other), "400"),
            (instead(b"From", b"<sip:alice@example.test>;tag=1\rFrom: " + other), "400"),
            (instead(b"From", b"<sip:alice@example.test\0>;tag=1"), "400"),
            (instead(b"From", b"<sip:alice@mallory@example.test>"), "400"),
        ):
            self.assertEqual(self.sent(self.signed(data)), allowed, data)

    def test_another_resource(self) -> None:
        """Credentials are for the Request-URI that they name."""
        data = self.signed(GOOD, uri=b"sip:carol@example.test")
        self.assertEqual(self.sent(data), "403")

    def test_credentials_of_two(self) -> None:
        """Those that are proven count, and are taken off; others go on as they are."""
        data = self.signed(GOOD)
        foreign = b'Proxy-Authorization: Digest username="x", realm="far.test", nonce="n"'
        self.assertEqual(self.sent(with_line(foreign, data)), FORWARD)
        self.assertEqual(self.copy().named(b"proxy-authorization"), [foreign])
        self.assertEqual(self.sent(self.signed(GOOD, user=b"mallory")), "403")

    def test_route_needs_credentials(self) -> None:
        """A Route that goes on from us is followed for our user, and for nobody else."""
        data = with_line(b"Route: <sip:127.0.0.1:5060;lr>, <sip:next.test;lr>")
        world = self.secured()
        peer = world.server.client("next.test")
        for sender in (b"<sip:alice@example.test>;tag=1", b"<sip:eve@evil.test>;tag=1"):
            world.sender.send(instead(b"From", sender, data.replace(b"Kbad", b"K" + sender[5:8])))
        self.assertEqual(world.outcome(), "407 403")
        signed = self.signed(data)
        peer = self.asked.server.client("next.test")
        self.sent(signed)
        self.assertEqual(parts(peer.flow.sent[0]).value(b"route"), b"<sip:next.test;lr>")


class OwnAddressTests(Bad):
    """RFC 3261 §16.4: a maddr that is ours is taken off, whoever it stands for."""

    def test_maddr(self) -> None:
        options = GOOD.replace(b"MESSAGE", b"OPTIONS")
        for uri, allowed in (
            (b"sip:example.test;maddr=127.0.0.1", "200"),
            (b"sip:example.test:5060;transport=udp;maddr=127.0.0.1", "200"),
            (b"sip:127.0.0.1:5060;maddr=127.0.0.1;x=y", "200"),
            (b"sip:bob@example.test;%6daddr=127.0.0.1", FORWARD),
        ):
            world = self.world()
            world.sender.send(options.replace(b"sip:bob@example.test SIP", uri + b" SIP"))
            self.assertEqual(world.outcome(), allowed, uri)

    def test_maddr_of_others(self) -> None:
        """Taken off, it leads to the host that is left."""
        for name in (b"maddr", b"%6Daddr", b"MADDR"):
            world = self.world()
            peer = world.server.client("far.test")
            uri = b"sip:carol@far.test;%s=127.0.0.1;transport=tcp;x=y" % name
            world.sender.send(GOOD.replace(b"sip:bob@example.test SIP", uri + b" SIP"))
            start = parts(peer.flow.sent[0]).start
            self.assertEqual(start, b"MESSAGE sip:carol@far.test;x=y SIP/2.0")

    def test_contact_that_is_not_text(self) -> None:
        """What cannot be reached is a 500 (§16.9), and no bug."""
        for contact in (b"<sip:\xff@far.test>", b"<sip:b@far.test;transport=\xff>"):
            world = self.world()
            register(world.server, b"bob@example.test", contact)
            world.sender.send(GOOD)
            self.assertEqual(world.outcome(), "500", contact)

    def test_names_that_no_resolver_takes(self) -> None:
        """Neither looked up nor waited for."""
        for host in ("", "a..test", "a" * 64 + ".test", "a\0.test", "\ufffd" * 60):
            found = Resolver(None).hops(Uri(b"", b"sip", host=host.encode()), Means(("udp",)))
            assert isinstance(found, Deferred)
            self.failureResultOf(found, Unreachable)
