"""Calls that are under way while the server is killed and started again (RFC 5626 §5.3)."""

from __future__ import annotations

import os

from twisted.trial.unittest import TestCase

from sipproxy.sip.message import Request
from tests.interop.processes import Server
from tests.interop.users import Roamer
from tests.rfc import rfc


class Phone(Roamer):
    """A phone behind a NAT: a request reaches it by its flow alone."""

    def call(self, callee: Phone) -> Request:
        """Call another phone, which answers; return the INVITE as it came there."""
        uri = b"sip:" + callee.aor.encode()
        headers = [(b"Contact", b"<%b>" % self.contact)]
        challenge = self.final(self.send(b"INVITE", uri, callee.aor, headers))
        headers.append(self._authorized(challenge, b"INVITE", uri))
        branch = self.send(b"INVITE", uri, callee.aor, headers)
        invite = callee.request()
        assert self.final(branch).status == 200
        return invite

    def hang_up(self, other: Phone, ends: tuple[bytes, bytes], invite: Request) -> int:
        """Send BYE as one end of a call to its other end, which answers; return what was."""
        branch = b"z9hG4bK" + os.urandom(8).hex().encode()
        self._last = Request.build(
            b"BYE",
            other.contact,
            [
                (b"Via", b"SIP/2.0/UDP %b;rport;branch=%b" % (self.address, branch)),
                (b"Max-Forwards", b"70"),
                (b"Route", invite.raw_values(b"record-route")[0]),
                (b"From", ends[0]),
                (b"To", ends[1]),
                (b"Call-ID", invite.value(b"call-id") or b""),
                (b"CSeq", b"77 BYE"),
            ],
        ).encode()
        self._socket.send(self._last)
        assert other.request().method == b"BYE"
        return self.final(branch).status


class RestartTests(TestCase):
    """Two phones by UDP; nobody registers anew, and neither knows that anything has happened."""

    timeout = 120

    @rfc(5626, "5.3", "a token leads to the flow that it names, also after a restart of the proxy")
    def test_killed_in_a_call(self) -> None:
        """Whoever hangs up, the BYE arrives and is answered."""
        durable = "[store]\ndurable = true\n"
        server = Server(self, "a.test", ["alice", "bob"], durable).ready()
        alice, bob = (Phone(self, f"{user}@a.test", server.port) for user in ("alice", "bob"))
        for phone in (alice, bob):
            self.assertEqual(phone.register(600).status, 200)
        for one, other, is_caller in ((alice, bob, True), (bob, alice, False)):
            invite = alice.call(bob)
            caller, callee = invite.value(b"from") or b"", b"<sip:bob@a.test>;tag=try"
            server.crash()
            ends = (caller, callee) if is_caller else (callee, caller)
            self.assertEqual(one.hang_up(other, ends, invite), 200)
