"""A running server that reads its configuration again: what stays, what comes, and what goes."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from contextlib import ExitStack

from twisted.trial.unittest import TestCase

from tests.authority import Authority, dns
from tests.interop.processes import HOST, Server, configuration, free_port, sipctl, wait_for
from tests.interop.users import User

DOMAIN, OTHER = "example.test", "other.test"
ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
AUTHORITY = Authority()
MANY = 1000  # connections


class ReloadTests(TestCase):
    """``sipctl reload`` and SIGHUP."""

    timeout = 120

    def setUp(self) -> None:
        """Start a server of two domains."""
        self.port = free_port()
        self.server = Server(self, DOMAIN, ("alice", "bob"), port=self.port)
        self.file = self.server.place / "sipproxy.toml"
        self.text = self.file.read_text()
        self.server.ready()
        self.write(self.text.replace(f'["{DOMAIN}"]', f'["{DOMAIN}", "{OTHER}"]'))
        self.reload()

    def write(self, text: str) -> None:
        """Write another configuration."""
        self.file.write_text(text)

    def reload(self, *options: str) -> list[str]:
        """Reload; return what is printed."""
        done = sipctl(self.server.place, "reload", *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.splitlines()

    def refused(self, text: str, wanted: str) -> None:
        """Reload what cannot be, which is one line; the server goes on as it was."""
        self.write(text)
        before = self.server._status()
        done = sipctl(self.server.place, "reload")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        (line,) = done.stderr.splitlines()
        self.assertIn("sipproxy.toml: ", line)
        self.assertIn(wanted, line)
        after = self.server._status()
        for key in ("domains", "listen", "pid"):
            self.assertEqual(after[key], before[key])

    def test_what_stays_comes_and_goes(self) -> None:
        """A connection goes on, a new listener answers, a domain is a foreign one."""
        alice = User(self, ALICE, self.port, "tcp")
        bob = User(self, BOB, self.port)
        for user in (alice, bob):
            self.assertEqual(user.register(600).status, 200)
        stranger = User(self, f"x@{OTHER}", self.port)
        self.assertEqual(stranger.unproven(BOB).status, 407)
        new = free_port()
        self.write(configuration(DOMAIN, self.port) + configuration(DOMAIN, new).partition("\n")[2])
        printed = self.reload()
        self.assertEqual(printed[0], f'domains: ["{DOMAIN}", "{OTHER}"] -> ["{DOMAIN}"]')
        self.assertIn(f'"udp {HOST}:{new}"', printed[1])
        bob.deliver(alice, "by the connection of before")
        alice.deliver(bob, "and from it")
        probe = User(self, ALICE, new)
        self.assertEqual(probe.register(600).status, 200)
        foreign = User(self, "x@foreign.test", self.port).unproven(BOB).status
        self.assertEqual((stranger.unproven(BOB).status, foreign), (403, 403))
        self.write(configuration(DOMAIN, self.port))
        self.reload()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, (HOST, new))
        self.assertEqual(self.reload(), ["nothing changed"])

    def test_mistakes(self) -> None:
        """Nothing changes, not even what is right."""
        text = configuration(DOMAIN, self.port)
        self.refused("domains = [", "is no TOML")
        self.refused(text + "[proxy]\npatiense = 1.0\n", "proxy.patiense: unknown key")
        self.refused(text + "[store]\ndurable = true\n", "store.durable: false -> true needs a")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((HOST, 0))
            port = taken.getsockname()[1]
            listen = f'[[listen]]\ntransport = "udp"\naddress = "{HOST}"\nport = {port}\n'
            self.refused(text + listen, f"listen[2]: udp {HOST}:{port}: Address already in use")
        wide = text.replace(f'"{HOST}"', '"0.0.0.0"\nadvertise = "h"')
        self.refused(wide, "a listener of ours has it: that needs a restart, or another port")
        self.write('data = "elsewhere"\n' + text)
        done = sipctl(self.server.place, "reload")
        self.assertIn("if `data` is another now, put it back", done.stderr)
        self.file.unlink()
        self.assertIn("no such file", sipctl(self.server.place, "reload").stderr)
        self.assertEqual(User(self, ALICE, self.port).register(600).status, 200)

    def test_hang_up(self) -> None:
        """SIGHUP does the same, and the log says how it went."""
        self.write('data = "elsewhere"\n' + self.text)
        os.kill(self.server.pid, signal.SIGHUP)
        self.server.wait_for(lambda: "needs a restart" in self.server.output, "the refusal")
        self.assertIn("sipproxy.toml: data: ", self.server.output)
        self.assertIn("nothing changed", self.server.output)
        self.write(self.text)
        os.kill(self.server.pid, signal.SIGHUP)
        self.server.wait_for(lambda: self.server._status()["domains"] == [DOMAIN], "the reload")
        self.assertIn("the configuration was read again: 1 change", self.server.output)
        self.assertNotIn("Traceback", self.server.output)

    def test_with_many_connections(self) -> None:
        """All stay."""
        with ExitStack() as stack:
            connections = [
                stack.enter_context(socket.create_connection((HOST, self.port)))
                for _ in range(MANY)
            ]
            wait_for(lambda: self.server._status()["connections"] == MANY, "the connections")
            self.write(self.text + "[limits]\nidle = 500.0\n")
            self.reload()
            self.assertEqual(self.server._status()["connections"], MANY)
            for one in connections:
                one.settimeout(10)
                one.sendall(b"\r\n\r\n")
                self.assertEqual(one.recv(2), b"\r\n")

    def test_certificates(self) -> None:
        """A listener for TLS stays, and shows another certificate to whoever comes."""
        port, place = free_port(), self.server.place
        for name in "ab":
            AUTHORITY.write(place, name, *dns(DOMAIN))
        tls = f'[[listen]]\ntransport = "tls"\naddress = "{HOST}"\nport = {port}\n'
        files = 'certificate = "{0}.pem"\nprivate_key = "{0}.key"\n'
        shown = []
        for name in "ab":
            self.write(self.text + tls + files.format(name))
            self.reload()
            shown.append(ssl.get_server_certificate((HOST, port)))
            self.assertEqual(shown[-1].strip() in place.joinpath(f"{name}.pem").read_text(), True)
        alice = User(self, ALICE, port, "tls")
        self.assertEqual(alice.register(600).status, 200)
        AUTHORITY.write(place, "b", *dns(DOMAIN))
        self.assertIn("listen[2].certificate (", self.reload()[0])
        self.assertNotIn(ssl.get_server_certificate((HOST, port)), shown)
        self.assertEqual(alice.register(600).status, 200)

    def test_while_people_talk(self) -> None:
        """No message is lost, nor refused."""
        alice, bob = User(self, ALICE, self.port), User(self, BOB, self.port, "tcp")
        for user in (alice, bob):
            self.assertEqual(user.register(600).status, 200)
        for number in range(20):
            self.write(self.text + f"[proxy]\nmax_forwards = {20 + number}\n")
            os.kill(self.server.pid, signal.SIGHUP)
            for part in range(5):
                alice.deliver(bob, f"{number}.{part}")
                bob.deliver(alice, f"{number}.{part}")
        self.assertNotIn("Traceback", self.server.output)
