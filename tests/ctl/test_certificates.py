"""Certificates as an operator sees them: ``check``, ``reload-certificates``, and SIGHUP."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from twisted.internet.testing import StringTransport

from sipproxy.ctl import check
from sipproxy.ctl.server import Commands
from sipproxy.testing import CONFIG, FakeServer
from tests.authority import DAY, Authority, dns
from tests.ctl.test_main import WithCommand
from tests.sip.tables import TableCase, rows
from tests.test_service import WithLife

AUTHORITY = Authority()
LISTEN = """
[[listen]]
transport = "tls"
address = "127.0.0.1"
advertise = "sip.example.test"
certificate = "a.pem"
private_key = "a.key"
"""
TLS = CONFIG + LISTEN + '[auth]\nrequired = false\n[tls]\nca = "ca.pem"\n'


class Checking(WithCommand):
    """``sipctl check``."""

    def setUp(self) -> None:
        WithCommand.setUp(self)
        self.patch(check, "bind_all", lambda listens: [])
        self.patch(check, "close_all", lambda bound: None)
        self.file.write_text(TLS)

    def test_all_is_well(self) -> None:
        AUTHORITY.write(self.home, "a", *dns("sip.example.test", "example.test"), ends=30.5 * DAY)
        note, last = self.passes("check").splitlines()
        start = "listen[2].certificate: for example.test, sip.example.test; expires on "
        self.assertTrue(note.startswith(start), note)
        self.assertTrue(note.endswith(", in 30 days"), note)
        self.assertEqual(last, f"{self.file}: all is well")

    def test_expired(self) -> None:
        AUTHORITY.write(self.home, "a", *dns("sip.example.test"), begins=-9 * DAY, ends=-2 * DAY)
        line = self.fails("check")
        self.assertIn(f"{self.file}: listen[2].certificate: ", line)
        self.assertIn("a.pem: has expired on ", line)

    def test_what_record_route_says(self) -> None:
        """RFC 5922 §7.5: peers connect to the name in it."""
        AUTHORITY.write(self.home, "a", *dns("example.test"))
        self.assertIn(
            "listen[2].advertise: peers see sip.example.test in Record-Route, for which the"
            " certificate is not: they cannot connect to it by TLS",
            self.passes("check").splitlines(),
        )

    def test_a_client_certificate(self) -> None:
        AUTHORITY.write(self.home, "a", *dns("sip.example.test"))
        AUTHORITY.write(self.home, "c", *dns("example.test"))
        keys = 'client_certificate = "c.pem"\nclient_private_key = "c.key"\n'
        self.file.write_text(TLS + keys)
        self.assertIn("tls.client_certificate: for example.test; expires", self.passes("check"))


class Files(TableCase):
    """Files that stop a server from starting."""

    @rows(
        {
            "certificate": ("a.pem", None, "listen[2].certificate: ", "cannot be read: No such"),
            "key": ("a.key", None, "listen[2].private_key: ", "cannot be read: No such file"),
            "key of another": ("a.key", "b.key", "listen[2].private_key: ", "is not the key of"),
            "authorities": ("ca.pem", None, "tls.ca: ", "cannot be read: No such file"),
            "authorities, none": ("ca.pem", "b.key", "tls.ca: ", "holds no certificates in PEM"),
        }
    )
    def test_one_line(self, name: str, source: str | None, key: str, problem: str) -> None:
        place = Path(self.mktemp())
        place.mkdir()
        for each in "ab":
            AUTHORITY.write(place, each, *dns("sip.example.test"))
        place.joinpath(name).unlink()
        if source is not None:
            place.joinpath(source).rename(place / name)
        with self.assertRaises(Exception) as caught:
            FakeServer(str(place), TLS)
        line = str(caught.exception)
        self.assertTrue(line.startswith(f"{place / 'sipproxy.toml'}: {key}"), line)
        self.assertIn(problem, line)
        self.assertNotIn("\n", line)


class Reloading(WithCommand):
    """``sipctl reload-certificates``."""

    def setUp(self) -> None:
        WithCommand.setUp(self)
        AUTHORITY.write(self.home, "a", *dns("a.test"))
        self.node = FakeServer(str(self.home), TLS).node

    def rows(self) -> list[dict[str, Any]]:
        """Return what the command prints."""
        rows: list[dict[str, Any]] = json.loads(self.passes("reload-certificates", "--json"))
        return rows

    def test_reload(self) -> None:
        AUTHORITY.write(self.home, "a", *dns("b.test"))
        (row,) = self.rows()
        self.assertEqual((row["key"], row["domains"]), ("listen[2].certificate", ["b.test"]))
        self.assertEqual(self.node.network.contexts.pairs[0].domains, ["b.test"])

    def test_what_cannot_be_used(self) -> None:
        self.home.joinpath("a.key").write_text("nothing")
        protocol, wire = Commands(self.node).buildProtocol(None), StringTransport()
        protocol.makeConnection(wire)
        protocol.lineReceived(b'{"command": "reload-certificates"}')
        error = json.loads(wire.value())["error"]
        self.assertIn("listen[2].private_key: ", error)
        self.assertTrue(error.endswith("; nothing changed"), error)
        self.assertEqual(self.node.network.contexts.pairs[0].domains, ["a.test"])

    def test_none(self) -> None:
        self.node = FakeServer(str(self.home), CONFIG).node
        printed = self.passes("reload-certificates")
        self.assertEqual(printed, "no certificates: no listener has TLS\n")


class HangingUp(WithLife):
    """SIGHUP does the same, in the reactor's time."""

    def setUp(self) -> None:
        WithLife.setUp(self)
        AUTHORITY.write(self.home, "a", *dns("a.test"))
        self.reactor.callFromThread = self.reactor.callWhenRunning
        self.before = signal.getsignal(signal.SIGHUP)
        self.addCleanup(signal.signal, signal.SIGHUP, self.before)
        self.made = self.make(TLS)
        self.made.startService()

    def domains(self) -> list[str]:
        """Return whose certificate new handshakes show."""
        return self.made.node.network.contexts.pairs[0].domains

    def hang_up(self) -> None:
        """Send the signal, and let the reactor take it."""
        os.kill(os.getpid(), signal.SIGHUP)
        for call, arguments, keywords in self.reactor.whenRunningHooks:
            call(*arguments, **keywords)

    def test_reload(self) -> None:
        AUTHORITY.write(self.home, "a", *dns("b.test"))
        self.hang_up()
        self.assertEqual(self.domains(), ["b.test"])

    def test_what_cannot_be_used(self) -> None:
        self.home.joinpath("a.pem").write_text("nothing")
        self.hang_up()
        self.assertEqual(self.domains(), ["a.test"])

    def test_the_whole_configuration(self) -> None:
        self.file.write_text(TLS + "[limits]\nidle = 60.0\n")
        self.hang_up()
        self.assertEqual(self.made.node.network.limits.idle, 60.0)

    def test_a_bug(self) -> None:
        """It is logged, and the server goes on as it was."""
        self.patch(self.made.node, "_furnish", lambda components: 1 / 0)
        self.file.write_text(TLS + "[limits]\nidle = 60.0\n")
        self.hang_up()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.made.node.settings.limits.idle, 600.0)

    def test_while_it_stops(self) -> None:
        """A signal that came before the end changes nothing."""
        self.file.write_text(TLS + "[limits]\nidle = 60.0\n")
        self.made.node.front.is_draining = True
        self.hang_up()
        self.assertEqual(self.made.node.settings.limits.idle, 600.0)

    def test_stop(self) -> None:
        """Whoever had the signal before has it again."""
        self.made.stopService()
        self.reactor.advance(1)
        self.assertIs(signal.getsignal(signal.SIGHUP), self.before)
