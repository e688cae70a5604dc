"""Servers of ours with certificates of their domains, each direction, and refusals (RFC 5922)."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from sipproxy.ctl.client import unverified
from sipproxy.ctl.socket import ask
from tests.authority import Authority, dns
from tests.interop.federation import registered, route, server, tls_listen
from tests.interop.processes import Server, directory, free_port, sipctl
from tests.interop.users import User

NOWHERE = 'from = ["192.0.2.1"]\n'  # so that a certificate alone speaks for a domain


class PairTests(TestCase):
    """a.test and b.test reach each other by TLS, and show their certificates."""

    timeout = 120

    def setUp(self) -> None:
        """Start both servers."""
        self.authority, self.place = Authority(), directory(self)
        self.ports = {"a.test": free_port(), "b.test": free_port()}
        self.a = self.start("a.test", "b.test", ("alice",))
        self.b = self.start("b.test", "a.test", ("bob",))
        self.alice = registered(self, "alice@a.test", self.ports["a.test"], "tls")
        self.bob = registered(self, "bob@b.test", self.ports["b.test"], "tls")

    def start(
        self, domain: str, other: str, users: tuple[str, ...], certified: str | None = None
    ) -> Server:
        """Start the server of a domain."""
        listen = tls_listen(self.place, certified or domain, self.ports[domain], self.authority)
        trust = f'[tls]\nca = "{self.place / "ca.pem"}"\nverify_clients = "request"\n'
        hop = route(other, self.ports[other], "tls") + NOWHERE
        return server(self, domain, listen, trust, hop, users=users).ready()

    def test_both_directions(self) -> None:
        """By sip, over TLS; the certificate is who speaks."""
        for sender, receiver in ((self.alice, self.bob), (self.bob, self.alice)):
            arrived = sender.deliver(receiver, f"Grüße ✓ von {sender.aor}")
            transports = [value.partition(b" ")[0] for value in arrived.values(b"via")]
            self.assertEqual(transports, [b"SIP/2.0/TLS"] * 3)

    def test_one_connection(self) -> None:
        """What comes back takes the connection that is there already (RFC 5923)."""
        for sender, receiver in ((self.alice, self.bob), (self.bob, self.alice)):
            sender.deliver(receiver, "hello")
        counts = [ask(one.place / "var", "status")["connections"] for one in (self.a, self.b)]
        self.assertEqual(counts, [2, 2])  # the user's, and the one between the servers

    def test_sips(self) -> None:
        """sips reaches a sips contact of the other domain, and nobody else."""
        uri = b"sips:bob@b.test"
        self.assertEqual(self.alice.authenticated(b"MESSAGE", uri, "bob@b.test", []).status, 480)
        contact = (b"Contact", b"<sips:bob@%s>;expires=60" % self.bob.address)
        done = self.bob.authenticated(b"REGISTER", b"sips:b.test", self.bob.aor, [contact])
        self.assertEqual(done.status, 200)
        branch = self.alice.message("bob@b.test", b"psst", challenged=True, scheme=b"sips")
        arrived = self.bob.request()
        self.assertEqual(arrived.raw_uri, b"sips:bob@%s" % self.bob.address)
        self.assertEqual(self.alice.final(branch).status, 200)

    def stranger(self, aor: str, certified: str | None) -> User:
        """Return somebody who connects to b.test, with the certificate of a domain or none."""
        context = unverified()
        if certified is not None:
            files = self.authority.write(self.place, f"{certified}-too", *dns(certified))
            context.load_cert_chain(*(self.place / file for file in files))
        return User(self, aor, self.ports["b.test"], "tls", context)

    def test_who_speaks_for_whom(self) -> None:
        """The domain of From has to be in the certificate; without one the address has to be."""
        for aor, certified, status in (
            ("mallory@a.test", "evil.test", 403),
            ("mallory@evil.test", "evil.test", 403),
            ("mallory@a.test", None, 403),
            ("mallory@a.test", "*.test", 403),
            ("nobody@a.test", "a.test", 200),
        ):
            sender = self.stranger(aor, certified)
            branch = sender.message("bob@b.test", b"psst", challenged=False)
            if status == 200:
                self.bob.request()
            self.assertEqual(sender.final(branch).status, status, (aor, certified))

    def test_a_wrong_certificate_over_there(self) -> None:
        """What is certified for another domain is not b.test: nothing is sent there."""
        self.b.stop()
        self.b = self.start("b.test", "a.test", ("bob",), certified="c.test")
        self.assertEqual(self.alice.status("bob@b.test"), 500)
        self.assertIn("its certificate is for c.test, not for b.test", self.a.output)

    def test_reload(self) -> None:
        """New certificates are shown to whoever comes then; those who are here stay."""
        self.alice.deliver(self.bob, "one")
        self.authority.write(self.place, "b.test", *dns("c.test"))
        done = sipctl(self.b.place, "reload-certificates")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("c.test", done.stdout)
        self.alice.deliver(self.bob, "two")
        self.restart_a()
        self.assertEqual(self.alice.status("bob@b.test"), 500)

    def restart_a(self) -> None:
        """Have a.test connect anew."""
        self.a.stop()
        self.a = self.start("a.test", "b.test", ("alice",))
        self.alice = registered(self, "alice@a.test", self.ports["a.test"], "tls")

    def test_try(self) -> None:
        """``sipctl try`` and ``check`` know TLS."""
        done = sipctl(self.a.place, "try")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"tls 127.0.0.1:{self.ports['a.test']}: a MESSAGE from", done.stdout)
        self.assertIn("listen[2].certificate: for a.test", sipctl(self.a.place, "check").stdout)
