"""Baresips call each other through our servers (RFC 3261 §13 to §16, RFC 3665 §3, §4)."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.authority import Authority
from tests.interop.federation import Kamailio, kamailio_port, route, server, tls_listen
from tests.interop.processes import LINGER, Server, directory, free_port, needs
from tests.interop.softphone import MD5_ONLY, Softphone

ALICE, BOB = "alice@a.test", "bob@a.test"
BRIEF = MD5_ONLY + LINGER


def phone(
    case: TestCase,
    aor: str,
    peer: str,
    port: int,
    transport: str = "udp",
    ca: Path | None = None,
) -> Softphone:
    """Return a registered softphone."""
    made = Softphone(case, aor, peer, port, transport, ca)
    made.registered()
    return made


def talk(one: Softphone, other: Softphone) -> None:
    """Have each call the other, and in turn the caller and the callee hang up; then none answer."""
    for caller, callee, ends in ((one, other, one), (other, one, one), (one, other, other)):
        caller.call(callee)
        callee.accept(caller)
        ends.hang_up(other if ends is one else one)
    for caller, callee in ((one, other), (other, one)):
        caller.call(callee)
        caller.cancel(callee)
        caller.call(callee)
        callee.reject()
        caller.shows("session closed: 486")


class CallTests(TestCase):
    """Calls between users of one server."""

    timeout = 120

    def setUp(self) -> None:
        """Start a server."""
        needs("baresip")
        place, self.tls = directory(self), free_port()
        listen = tls_listen(place, "a.test", self.tls, Authority())
        self.ca = place / "ca.pem"
        self.server = Server(self, "a.test", ("alice", "bob"), BRIEF + listen).ready()

    def port(self, transport: str) -> int:
        """Return the port of a transport."""
        return self.tls if transport == "tls" else self.server.port

    def talk(self, alices: str, bobs: str) -> None:
        """Have two users talk who are registered by these transports."""
        alice = phone(self, ALICE, BOB, self.port(alices), alices, self.ca)
        talk(alice, phone(self, BOB, ALICE, self.port(bobs), bobs, self.ca))
        self.server.forgets()

    def test_udp(self) -> None:
        """Answered, cancelled and rejected, by UDP."""
        self.talk("udp", "udp")

    def test_tcp(self) -> None:
        """The same by TCP."""
        self.talk("tcp", "tcp")

    def test_tls(self) -> None:
        """The same by TLS."""
        self.talk("tls", "tls")

    def test_udp_and_tcp(self) -> None:
        """The same where the sides differ in transport (RFC 5658)."""
        self.talk("udp", "tcp")

    def fork(self, transport: str) -> None:
        """Call a user whose three phones ring: one answers, then the caller gives up."""
        to = self.port(transport), transport, self.ca
        alice = phone(self, ALICE, BOB, *to)
        bobs = [phone(self, BOB, ALICE, *to) for _ in range(3)]
        for number, one in enumerate(bobs):
            others = bobs[:number] + bobs[number + 1 :]
            alice.call(*bobs)
            one.accept(alice)
            for other in others:
                other.stops_ringing()
            one.hang_up(alice)
        alice.call(*bobs)
        alice.cancel(*bobs)
        alice.call(*bobs)
        for one in bobs:
            one.reject()
        alice.shows("session closed: 486")
        self.server.forgets()

    def test_fork_udp(self) -> None:
        """Three phones by UDP."""
        self.fork("udp")

    def test_fork_tcp(self) -> None:
        """Three phones by TCP."""
        self.fork("tcp")

    def test_fork_tls(self) -> None:
        """Three phones by TLS."""
        self.fork("tls")


class DomainTests(TestCase):
    """Calls between users of two servers; a.test reaches b.test by TCP, b.test a.test by UDP."""

    timeout = 120

    def test_pair(self) -> None:
        """Answered, cancelled and rejected, from both sides."""
        needs("baresip")
        a, b = free_port(), free_port()
        to_a, to_b = route("a.test", a), route("b.test", b, "tcp")
        ours = server(self, "a.test", BRIEF, to_b, users=("alice",), port=a)
        theirs = server(self, "b.test", BRIEF, to_a, users=("bob",), port=b)
        for one in (ours, theirs):
            one.ready()
        alice = phone(self, ALICE, "bob@b.test", a)
        talk(alice, phone(self, "bob@b.test", ALICE, b))
        for one in (ours, theirs):
            one.forgets()

    def test_kamailio(self) -> None:
        """The same with a Kamailio in the place of one server."""
        needs("baresip")
        k, a = kamailio_port(self), free_port()
        ours = server(self, "a.test", BRIEF, route("k.test", k), users=("alice",), port=a)
        kamailio = Kamailio(self, k, a, a)
        for one in (ours, kamailio):
            one.ready()
        alice = phone(self, ALICE, "carol@k.test", a)
        talk(alice, phone(self, "carol@k.test", ALICE, k))
        ours.forgets()
