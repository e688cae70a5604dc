"""``sipctl reload``: what it prints, what it refuses, and what the server does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher

from sipproxy.config import ConfigError, parse
from sipproxy.ctl import reload
from sipproxy.ctl.http import site
from sipproxy.ctl.reload import Reloader
from sipproxy.ctl.server import _Mistake
from sipproxy.ctl.socket import NotRunning, Refused
from sipproxy.ctl.web import Web
from sipproxy.testing import CONFIG, FakeServer
from sipproxy.transport.settings import Listen
from sipproxy.transport.sockets import bind_all, close_all
from tests.authority import Authority, dns
from tests.ctl.test_certificates import LISTEN
from tests.ctl.test_main import WithCommand
from tests.sip.tables import TableCase, rows
from tests.test_reload import REQUEST

AUTHORITY = Authority()
TEXT = CONFIG + '[auth]\nrequired = false\n[components]\nstore = "memory"\n'
TWO = TEXT.replace('"example.test"', '"example.test", "b.test"')
ROUTE = '[[route]]\ndomain = "far.test"\nto = "sip:192.0.2.9"\n'


class WithReload(WithCommand):
    """A test that reloads the configuration of a running server."""

    text = TEXT

    def setUp(self) -> None:
        WithCommand.setUp(self)
        self.patch(reload, "ask", self.ask)
        AUTHORITY.write(self.home, "a", *dns("sip.example.test"))
        self.file.write_text(self.text)
        self.server = FakeServer(str(self.home), self.text)
        self.node = self.server.node
        self.logged: list[str] = []
        self.listen(lambda event: self.logged.append(str(formatEvent(event))))

    def ask(self, directory: Path, command: str, **arguments: Any) -> Any:
        """Stand in for the control socket."""
        try:
            return WithCommand.ask(self, directory, command, **arguments)
        except _Mistake as error:
            raise Refused(error) from None

    def listen(self, observer: Any) -> None:
        """Have an observer see what is logged."""
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def write(self, text: str) -> None:
        """Write another configuration."""
        self.file.write_text(text)


class Printing(WithReload):
    """What an operator reads."""

    def test_nothing(self) -> None:
        self.assertEqual(self.passes("reload"), "nothing changed\n")
        self.assertEqual(self.passes("reload", "--json"), "[]\n")
        self.assertEqual(self.logged[0], "the configuration was read again: no changes")

    def test_changes(self) -> None:
        self.write(TEXT + "[limits]\nidle = 60.0\n[transactions]\nlinger = 4.0\n")
        expected = ["transactions.linger: 32.0 -> 4.0", "limits.idle: 600.0 -> 60.0"]
        for option in ("--dry-run", "--check"):
            self.assertEqual(self.passes("reload", option).splitlines(), expected)
        self.assertEqual((self.node.settings.limits.idle, self.logged), (600.0, []))
        self.assertEqual(self.passes("reload").splitlines(), expected)
        self.assertEqual(self.node.network.limits.idle, 60.0)
        self.assertEqual(
            self.logged[-3:], [*expected, "the configuration was read again: 2 changes"]
        )

    def test_json(self) -> None:
        self.write(TEXT + ROUTE)
        self.assertEqual(
            json.loads(self.passes("reload", "--json")),
            [
                {"key": "route", "old": [], "new": ["far.test"]},
                {"key": "route[far.test].to", "old": None, "new": "sip:192.0.2.9"},
            ],
        )


class Refusing(TableCase, WithReload):
    """A mistake is one line, and nothing changes."""

    @rows(
        {
            "no TOML": ("domains = [", "is no TOML"),
            "an unknown key": (TEXT + "[auth2]\n", "auth2: unknown key; remove it, or use"),
            "a wrong type": (TEXT + "[dns]\nhops = 'x'\n", "dns.hops: needs a whole number"),
            "a number": (TEXT + "[dns]\nhops = 0\n", "dns.hops: has to be more than 0"),
            "a plugin": (TEXT + "[plugin.x]\n", "plugin.x: no component 'x' is installed"),
            "its options": (
                TEXT + "[plugin.registrar]\nmax_bindings = 0\n",
                "plugin.registrar: max_bindings has to be at least 1",
            ),
            "a certificate": (
                TEXT + LISTEN.replace("a.pem", "none.pem"),
                "listen[2].certificate: ",
            ),
            "what needs a restart": (TEXT + "[store]\ndurable = true\n", "store.durable: false"),
        }
    )
    def test_one_line(self, text: str, expected: str) -> None:
        before = vars(self.node).copy()
        self.write(text)
        line = self.fails("reload")
        self.assertIn(f"{self.file}: {expected}", line)
        self.assertEqual(vars(self.node), before)
        self.logged.clear()
        self.assertRaises(ConfigError, Reloader(self.node).reload)
        self.assertIn(f"sipproxy.toml: {expected}", self.logged[0])
        self.assertTrue(self.logged[0].endswith("; nothing changed"), self.logged)

    def test_no_file(self) -> None:
        self.file.unlink()
        self.assertIn("sipproxy.toml: no such file", self.fails("reload"))

    def test_another_directory(self) -> None:
        self.write('data = "elsewhere"\n' + TEXT)
        self.patch(reload, "ask", self.nobody)
        self.assertIn("if `data` is another now, put it back: it needs", self.fails("reload"))
        error = self.assertRaises(ConfigError, Reloader(self.node).reload)
        self.assertIn("sipproxy.toml: data: ", str(error))

    def nobody(self, directory: Path, command: str, **arguments: Any) -> Any:
        """Nobody answers in a directory where no server runs."""
        raise NotRunning("no server answers")

    def test_another_file(self) -> None:
        """Whose data are the same; its changes would not be what is printed."""
        other = self.home / "other.toml"
        other.write_text(TEXT)
        self.file, known = other, self.file.resolve()
        line = self.fails("reload")
        self.assertIn(f"other.toml: the server runs with {known}: name that with --config", line)

    def test_while_the_server_stops(self) -> None:
        self.node.front.is_draining = True
        self.assertIn("sipproxy.toml: the server is stopping; nothing", self.fails("reload"))

    def test_a_bug(self) -> None:
        self.write(TEXT + ROUTE)

        def broken(*arguments: Any) -> None:
            raise ZeroDivisionError

        self.patch(self.node, "_furnish", broken)
        self.assertRaises(ZeroDivisionError, Reloader(self.node).reload)
        self.assertEqual(self.node.settings.route, ())

    def test_a_component_that_fails(self) -> None:
        """It is said that the rest has taken effect, as often as somebody asks."""
        self.node.unswitched = ["bot"]
        expected = "plugin.bot: has failed to take its options (see the log), all else has; restart"
        for _ in range(2):
            self.assertTrue(self.fails("reload").endswith(f"sipproxy.toml: {expected}"))
        self.assertTrue(self.logged[-1].endswith(f"sipproxy.toml: {expected}"))

    def test_after_a_mistake(self) -> None:
        """And twice at once is one after the other."""
        self.write("domains = 1")
        self.fails("reload")
        self.write(TEXT + ROUTE)
        self.assertEqual(len(self.passes("reload").splitlines()), 2)
        self.assertEqual(self.passes("reload"), "nothing changed\n")


class Certificates(WithReload):
    """They are read again, whether their names have changed or not."""

    text = TEXT + LISTEN

    def test_renewed(self) -> None:
        self.assertEqual(self.passes("reload"), "nothing changed\n")
        AUTHORITY.write(self.home, "a", *dns("b.test"))
        for option in ("--dry-run", "--json"):
            self.passes("reload", option)
        pairs = self.node.network.contexts.pairs
        self.assertEqual(pairs[0].domains, ["b.test"])

    def test_its_line(self) -> None:
        AUTHORITY.write(self.home, "a", *dns("b.test"))
        (line,) = self.passes("reload", "--dry-run").splitlines()
        self.assertRegex(
            line, r'^listen\[2\].certificate \(/.*/a.pem\): "for sip.*" -> "for b.test; expires'
        )
        self.assertEqual(self.node.network.contexts.pairs[0].domains, ["sip.example.test"])

    def test_broken(self) -> None:
        self.home.joinpath("a.pem").write_text("nothing")
        self.assertIn("listen[2].certificate: ", self.fails("reload"))
        self.assertEqual(self.node.network.contexts.pairs[0].domains, ["sip.example.test"])


class Strangers(WithReload):
    """What a domain had that is ours no longer ends."""

    text = TWO

    def setUp(self) -> None:
        WithReload.setUp(self)
        self.bob = self.server.client("192.0.2.2")
        self.send("REGISTER", "bob@b.test")
        self.send("SUBSCRIBE", "bob@b.test", "\n    Event: presence\n    Expires: 600")
        self.bob.answer(200)
        document = (
            '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@b.test">'
            '<tuple id="a"><status><basic>open</basic></status></tuple></presence>'
        )
        body = f"\n    Event: presence\n    Content-Type: application/pidf+xml\n\n{document}"
        self.send("PUBLISH", "bob@b.test", body)
        self.assertEqual(len(self.node.publications), 1)
        self.server.advance(6)
        self.bob.answer(200)
        self.bob.clear()

    def send(self, method: str, aor: str, more: str = "") -> None:
        """Send a request of bob's."""
        facts = {"method": method, "to": aor, "sender": aor, "host": "192.0.2.2"}
        self.bob.send(REQUEST.format(number=method, **facts).rstrip() + more)

    def test_all_ends(self) -> None:
        self.write(TEXT)
        self.passes("reload")
        self.assertEqual(list(self.node.location.aors()), [])
        states = [notify.value(b"subscription-state") for notify in self.bob.received]
        self.assertEqual(states, [b"terminated;reason=noresource"])
        self.assertEqual(len(self.node.publications), 0)

    def test_nothing_ends(self) -> None:
        self.write(TWO + ROUTE)
        self.passes("reload")
        self.assertEqual(list(self.node.location.aors()), [b"bob@b.test"])
        self.assertEqual((len(self.node.notifier), self.bob.received), (1, []))

    def test_users_that_are_none(self) -> None:
        """Where nobody was challenged, everybody was one."""
        self.write(TWO.replace("required = false", "required = true"))
        self.passes("reload")
        self.assertEqual(list(self.node.location.aors()), [])


class Port:
    """A port of a reactor."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log = log
        self._name = name

    def stopListening(self) -> None:
        """Note it."""
        self._log.append(f"{self._name} stops")


class Ports(WithReload):
    """Where metrics are served."""

    def setUp(self) -> None:
        WithReload.setUp(self)
        self.log: list[str] = []
        self.web = Web(self.node, self, None)
        self.web.start()
        self.reloader = Reloader(self.node, self.web)
        free = bind_all([Listen("tcp", "127.0.0.1", 0)])
        self.port = free[0].listen.port
        close_all(free)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Port:  # noqa: N802
        """Be the reactor."""
        self.assertIsInstance(factory, type(site(self.node)))
        self.log.append("listens")
        return Port(self.log, str(len(self.log)))

    def move(self, text: str) -> list[str]:
        """Reload, and return what becomes of the port."""
        self.write(TEXT + text)
        self.log.clear()
        self.reloader.reload()
        return list(self.log)

    def test_opened_moved_and_closed(self) -> None:
        self.assertEqual(self.move(f"[http]\nport = {self.port}\n"), ["listens"])
        self.assertEqual(self.move(f"[http]\nport = {self.port}\n" + ROUTE), [])
        self.assertEqual(self.move(""), ["1 stops"])

    def test_taken(self) -> None:
        taken = bind_all([Listen("tcp", "127.0.0.1", self.port)])
        self.addCleanup(close_all, taken)
        self.write(TEXT + ROUTE + f"[http]\nport = {self.port}\n")
        error = self.assertRaises(ConfigError, self.reloader.reload)
        self.assertIn("http.port: 127.0.0.1", str(error))
        self.assertEqual((self.node.settings.route, self.log), ((), []))

    def test_another_address_with_the_same_port(self) -> None:
        """Our own port is in the way."""
        before = bind_all([Listen("tcp", "127.0.0.1", self.port)])
        self.addCleanup(close_all, before)
        self.node.settings = parse(self.file, TEXT + f"[http]\nport = {self.port}\n").settings
        self.node.config.settings = self.node.settings
        self.write(TEXT + f'[http]\naddress = "0.0.0.0"\nport = {self.port}\n')
        error = self.assertRaises(ConfigError, self.reloader.reload)
        expected = "0.0.0.0: 127.0.0.1 has the port until it is closed: that needs a restart"
        self.assertEqual(error.key, "http.address")
        self.assertIn(expected, error.problem)

    def test_not_opened_where_something_else_is_wrong(self) -> None:
        self.write(TEXT + f"[plugin.x]\n[http]\nport = {self.port}\n")
        self.assertRaises(ConfigError, self.reloader.reload)
        close_all(bind_all([Listen("tcp", "127.0.0.1", self.port)]))

    def test_not_opened_by_a_trial(self) -> None:
        self.write(TEXT + f"[http]\nport = {self.port}\n")
        self.assertEqual(len(self.reloader.reload(is_trial=True)), 1)
        close_all(bind_all([Listen("tcp", "127.0.0.1", self.port)]))
        self.assertEqual(self.log, [])
