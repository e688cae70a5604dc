"""The node: what it gives to components, and requests of our own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sipproxy import interfaces
from sipproxy.config import ConfigError, parse
from sipproxy.node import FLOW_KEY, GRUU_KEY, Node
from sipproxy.registrar.binding import Binding
from sipproxy.sip.errors import SipError
from sipproxy.sip.headers import parse_name_addr
from sipproxy.sip.message import Request, Response
from sipproxy.sip.uri import parse_uri
from sipproxy.store.accounts import Accounts, Everybody
from sipproxy.testing import CONFIG, FakeServer
from sipproxy.transport.entropy import Entropy
from sipproxy.transport.resolver import Unreachable
from sipproxy.transport.ticker import TICK
from tests.installed import install_also
from tests.rfc import rfc
from tests.test_plugins import Factory

OPEN = CONFIG + "[auth]\nrequired = false\n"
REGISTER = """
    REGISTER sip:example.test SIP/2.0
    Via: SIP/2.0/UDP {host};rport;branch=z9hG4bK{host}
    Max-Forwards: 70
    From: <sip:bob@example.test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: {host}
    CSeq: 1 REGISTER
    Contact: <sip:bob@{host}>
    Content-Length: 0
    """


def message(to: str, *headers: tuple[bytes, bytes]) -> Request:
    """Return a request of our own."""
    return Request.build(
        b"MESSAGE",
        b"sip:" + to.encode(),
        [
            (b"From", b"<sip:news@example.test>;tag=n"),
            (b"To", b"<sip:" + to.encode() + b">"),
            (b"Call-ID", b"n"),
            (b"CSeq", b"1 MESSAGE"),
            (b"Content-Type", b"text/plain"),
            *headers,
        ],
        b"news",
    )


class Listener:
    """Hears what becomes of a request of ours."""

    def __init__(self) -> None:
        self.heard: list[int | str] = []

    def answered(self, response: Response, transaction: Any) -> None:
        """Note the status."""
        self.heard.append(response.status)

    def timed_out(self, transaction: Any) -> None:
        """Note it."""
        self.heard.append("timed out")

    def failed(self, transaction: Any) -> None:
        """Note it."""
        self.heard.append("failed")


class Sleeper:
    """Notes when it is woken."""

    due = booked = 0

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.woken_at: list[float] = []

    def woken(self) -> None:
        """Note the time."""
        self.woken_at.append(round(self.clock.seconds(), 6))


class RandomOctets(SynchronousTestCase):
    """`Entropy`."""

    def test_length(self) -> None:
        entropy = Entropy(block=16)
        for length in (0, 1, 15, 16, 3, 16, 17, 1000):
            self.assertEqual(len(entropy(length)), length)

    def test_no_octet_is_given_twice(self) -> None:
        blocks = iter([bytes(range(16)), bytes(range(16, 32)), b"x" * 20])
        self.patch(os, "urandom", lambda length: next(blocks))
        entropy = Entropy(block=16)
        self.assertEqual(entropy(10), bytes(range(10)))
        self.assertEqual(entropy(10), bytes(range(16, 26)))  # the rest of a block is left
        self.assertEqual(entropy(6), bytes(range(26, 32)))
        self.assertEqual(entropy(20), b"x" * 20)


class Host(SynchronousTestCase):
    """What a component may use."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN)
        self.host = self.server.node

    def test_it_is_a_host(self) -> None:
        verifyObject(interfaces.IHost, self.host)
        verifyObject(interfaces.ILocation, self.host.location)
        verifyObject(interfaces.IStore, self.host.store)
        verifyObject(interfaces.ICredentialStore, self.host.credentials)

    def test_settings_and_identity(self) -> None:
        self.assertIs(self.host.settings, self.server.config.settings)
        self.assertEqual(self.host.identity.domain, b"example.test")

    def test_time(self) -> None:
        self.assertEqual(self.host.now(), self.server.clock.seconds())
        self.server.clock.advance(1.5)
        self.assertEqual(self.host.now(), 1.5)

    def test_random(self) -> None:
        self.assertEqual(len({self.host.random(16) for _ in range(1000)}), 1000)
        self.assertEqual(len(self.host.random(5000)), 5000)

    def test_wake(self) -> None:
        sleeper = Sleeper(self.server.clock)
        self.host.wake(sleeper, 2.0)
        self.server.advance(5)
        (at,) = sleeper.woken_at
        self.assertTrue(2.0 <= at <= 2.0 + 2 * TICK, at)

    def test_forget(self) -> None:
        sleeper = Sleeper(self.server.clock)
        held = len(self.host.wheel)
        self.host.wake(sleeper, 2.0)
        self.host.forget(sleeper)
        self.assertEqual(len(self.host.wheel), held)
        self.server.advance(5)
        self.assertEqual(sleeper.woken_at, [])

    def test_a_sleeper_that_raises_wakes_nobody_else(self) -> None:
        class Bad(Sleeper):
            def woken(self) -> None:
                raise ZeroDivisionError

        self.host.wake(Bad(self.server.clock), 1.0)
        good = Sleeper(self.server.clock)
        self.host.wake(good, 1.0)
        self.server.advance(2)
        self.assertEqual(len(good.woken_at), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_who_is_asked_for_credentials(self) -> None:
        self.assertIsInstance(self.host.credentials, Everybody)
        self.assertIsInstance(FakeServer(self.mktemp()).node.credentials, Accounts)

    def test_tags_differ_by_server_and_request(self) -> None:
        request = message("bob@example.test", (b"Via", b"SIP/2.0/UDP a;branch=z9hG4bK1"))
        other = message("bob@example.test", (b"Via", b"SIP/2.0/UDP a;branch=z9hG4bK2"))
        tag = self.host.layer.tag
        self.assertEqual(tag(request), tag(request))
        self.assertNotEqual(tag(request), tag(other))
        self.assertNotEqual(tag(request), FakeServer(self.mktemp()).node.layer.tag(request))

    def test_a_node_starts_nothing(self) -> None:
        clock = Clock()
        config = parse(Path(self.mktemp(), "s.toml"), CONFIG)
        Node(config, [], clock)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_the_key_of_gruus_is_kept(self) -> None:
        """RFC 5627: what was given before a restart is ours after it."""
        config = parse(Path(self.mktemp(), "s.toml"), CONFIG)
        first, second = (Node(config, [], Clock()) for _ in "ab")
        key = config.data / GRUU_KEY
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        instance = first.core.gruus.begin(b"urn:x:1", 0, b"1", [], 60.0)
        contact = parse_name_addr(b"<sip:a@h.test>")
        binding = Binding(contact, b"", 1.0, 1.0, b"1", 1, (), None, instance)
        uri = parse_uri(first.core.gruus.temporary(b"sip", b"alice@example.test", binding))
        self.assertEqual(second.identity.canonical(uri), b"alice@example.test")
        key.write_bytes(b"short")
        error = self.assertRaises(ConfigError, Node, config, [], Clock())
        self.assertEqual(error.key, "data")
        self.assertIn("gruu.key is damaged: remove it", str(error))

    @rfc(5626, "5.3", "a token of before a restart is ours after it")
    def test_the_key_of_tokens_is_kept(self) -> None:
        config = parse(Path(self.mktemp(), "s.toml"), CONFIG)
        first, second = (Node(config, [], Clock()).core.tokens for _ in "ab")
        key = config.data / FLOW_KEY
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.assertEqual(second.read(first.make(b"up", b"down", b"1"), b"1"), (b"up", b"down"))
        key.write_bytes(b"")
        error = self.assertRaises(ConfigError, Node, config, [], Clock())
        self.assertEqual(error.key, "data")
        self.assertIn("flow.key is damaged: remove it", str(error))
        self.assertNotIn("\n", str(error))

    def test_respond(self) -> None:
        phone = self.server.client("192.0.2.1")
        handler = Answering(self.host)
        self.patch(self.host.front, "_handlers", {b"REGISTER": [handler]})
        phone.send(REGISTER.format(host="192.0.2.1"))
        (answer,) = phone.received
        self.assertEqual(answer.start, b"SIP/2.0 299 Well Done")
        self.assertEqual(answer.value(b"x-more"), b"1")


class Answering:
    """A handler that answers by its host."""

    def __init__(self, host: Node) -> None:
        self.host = host

    def claims(self, request: Request) -> bool:
        """Claim everything."""
        return True

    def handle(self, request: Request, transaction: Any, sender: Any) -> None:
        """Answer it."""
        self.host.respond(request, transaction, 299, "Well Done", [(b"X-More", b"1")])


@implementer(interfaces.IRouter)
class Router:
    """A router whose answer is the test's."""

    answer: Any = None

    def __init__(self, name: str) -> None:
        self.seen: list[interfaces.Sender] = []

    def targets(self, request: Request, sender: interfaces.Sender) -> Any:
        """Return the test's answer, or raise it."""
        self.seen.append(sender)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Sending(SynchronousTestCase):
    """`IHost.send`: it goes wherever any request goes."""

    def setUp(self) -> None:
        factory = Factory("tests-own", interfaces.IRouter, Router)
        install_also(self, [factory])
        routers = '[proxy]\nrouters = ["tests-own", "location", "domains", "dns"]'
        accounts = {"bob@example.test": "x", "carol@example.test": "x"}
        text = CONFIG + "[federation]\n" + routers
        self.server = FakeServer(self.mktemp(), text, accounts)
        self.router = self.server.node._components._built["tests-own"]
        self.user = Listener()

    def register(self, host: str) -> Any:
        """Have bob registered at a host; return what answers there."""
        self.patch(self.server.node.front._senders, "_authenticator", None)
        phone = self.server.client(host)
        phone.send(REGISTER.format(host=host))
        phone.clear()
        return phone

    def send(self, to: str = "bob@example.test") -> None:
        """Send a request of ours."""
        self.server.node.send(message(to), self.user)

    def test_to_a_user_who_is_there(self) -> None:
        phone = self.register("192.0.2.1")
        self.send()
        (request,) = phone.received
        self.assertEqual(request.start, b"MESSAGE sip:bob@192.0.2.1 SIP/2.0")
        self.assertEqual(request.value(b"max-forwards"), b"70")
        self.assertEqual(request.value(b"content-length"), b"4")
        self.assertEqual(request.via.host, b"127.0.0.1")
        self.assertEqual(request.body, b"news")
        phone.answer(200)
        self.assertEqual(self.user.heard, [200])

    def test_content_length_is_added_where_it_is_missing(self) -> None:
        phone = self.register("192.0.2.1")
        request = message("bob@example.test")
        request.remove(b"content-length")
        self.server.node.send(request)
        self.assertEqual(phone.received[0].value(b"content-length"), b"4")

    def test_nobody_has_to_listen(self) -> None:
        phone = self.register("192.0.2.1")
        self.server.node.send(message("bob@example.test"))
        phone.answer(404)
        self.server.node.send(message("nobody@example.test"))
        self.server.node.send(message("bob@192.0.2.77"))

    def test_to_every_binding(self) -> None:
        phones = [self.register("192.0.2.1"), self.register("192.0.2.2")]
        self.send()
        branches = {phone.received[0].via.branch for phone in phones}
        self.assertEqual(len(branches), 2)
        for phone, status in zip(phones, (486, 200), strict=True):
            phone.answer(status)
        self.assertEqual(self.user.heard, [486, 200])

    def test_to_a_user_who_is_not_there(self) -> None:
        self.send("carol@example.test")
        self.assertEqual(self.user.heard, [480])

    def test_to_nobody(self) -> None:
        self.send("nobody@example.test")
        self.assertEqual(self.user.heard, [404])

    def test_abroad(self) -> None:
        peer = self.server.client("192.0.2.9", 5070)
        self.send("dora@192.0.2.9:5070")
        self.assertEqual(peer.received[0].start, b"MESSAGE sip:dora@192.0.2.9:5070 SIP/2.0")

    def test_abroad_where_nobody_is(self) -> None:
        self.send("dora@192.0.2.9:5070")
        self.assertEqual(self.user.heard, [503])

    def test_silence(self) -> None:
        self.register("192.0.2.1")
        self.send()
        self.server.advance(40)
        self.assertEqual(self.user.heard, ["timed out"])

    def test_a_connection_that_comes_later(self) -> None:
        key = ("udp", "192.0.2.9", 5060)
        peer = self.server.client("192.0.2.9")
        waiting = self.server.network.pending[key] = Deferred()
        self.send("dora@192.0.2.9")
        self.assertEqual(peer.received, [])
        waiting.callback(peer.flow)
        self.assertEqual(len(peer.received), 1)

    def test_a_connection_that_never_comes(self) -> None:
        waiting = self.server.network.pending[("udp", "192.0.2.9", 5060)] = Deferred()
        self.send("dora@192.0.2.9")
        waiting.errback(Unreachable("nobody there"))
        self.assertEqual(self.user.heard, [503])

    def test_routers_are_told_who_sends(self) -> None:
        self.send("nobody@example.test")
        (sender,) = self.router.seen
        self.assertEqual((sender.aor, sender.is_user), (b"news@example.test", True))

    def test_a_router_may_answer_later(self) -> None:
        peer = self.server.client("192.0.2.9")
        for found in ([interfaces.Target(b"sip:x@192.0.2.9")], None, [], SipError(603)):
            self.router.answer = waiting = Deferred()
            self.send("carol@example.test")
            waiting.errback(found) if isinstance(found, SipError) else waiting.callback(found)
        self.assertEqual(peer.received[0].start, b"MESSAGE sip:x@192.0.2.9 SIP/2.0")
        self.assertEqual(self.user.heard, [480, 480, 603])

    def test_a_router_may_refuse(self) -> None:
        self.router.answer = SipError(603)
        self.send()
        self.assertEqual(self.user.heard, [603])

    def test_a_bug_of_a_router_is_logged(self) -> None:
        self.router.answer = waiting = Deferred()
        self.send()
        waiting.errback(ZeroDivisionError())
        self.assertEqual(self.user.heard, [500])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
