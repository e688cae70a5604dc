"""What differs between two configurations: named, in order, and without secrets."""

from __future__ import annotations

from pathlib import Path

from sipproxy.changes import HIDDEN, Change, changes, refuse_what_stays
from sipproxy.config import ConfigError, parse
from sipproxy.testing import CONFIG
from tests.sip.tables import TableCase, rows

FILE = Path("here", "s.toml")
LISTEN = '[[listen]]\ntransport = "udp"\naddress = "127.0.0.1"\nport = 5070\n'
ROUTE = '[[route]]\ndomain = "b.test"\nto = "sip:192.0.2.7"\n'
PLUGIN = '[plugin.ldap]\nhost = "{}"\npassword = "{}"\nurl = "ldap://me:{}@far.test/"\n'


def lines(old: str, new: str) -> list[str]:
    """Return what an operator reads."""
    return [str(one) for one in changes(parse(FILE, old).settings, parse(FILE, new).settings)]


class Lines(TableCase):
    """A change is a line."""

    @rows(
        {
            "nothing": (CONFIG, CONFIG + "[auth]\nrequired = true\n", []),
            "a domain": (
                CONFIG,
                CONFIG.replace('"example.test"', '"example.test", "b.test"'),
                ['domains: ["example.test"] -> ["example.test", "b.test"]'],
            ),
            "a number": (
                CONFIG,
                CONFIG + "[limits]\nidle = 60.0\n",
                ["limits.idle: 600.0 -> 60.0"],
            ),
            "a new listener": (
                CONFIG,
                CONFIG + LISTEN + 'advertise = "sip.example.test"\n',
                [
                    'listen: ["udp 127.0.0.1:5060", "tcp 127.0.0.1:5060"] ->'
                    ' ["udp 127.0.0.1:5060", "tcp 127.0.0.1:5060", "udp 127.0.0.1:5070"]',
                    'listen[udp 127.0.0.1:5070].advertise: none -> "sip.example.test"',
                ],
            ),
            "another name of one": (
                CONFIG + LISTEN,
                CONFIG + LISTEN + 'advertise = "sip.example.test"\n',
                ['listen[udp 127.0.0.1:5070].advertise: "" -> "sip.example.test"'],
            ),
            "the other order": (
                CONFIG + LISTEN + LISTEN.replace("5070", "5080"),
                CONFIG + LISTEN.replace("5070", "5080") + LISTEN,
                [
                    'listen: ["udp 127.0.0.1:5060", "tcp 127.0.0.1:5060", "udp 127.0.0.1:5070",'
                    ' "udp 127.0.0.1:5080"] -> ["udp 127.0.0.1:5060", "tcp 127.0.0.1:5060",'
                    ' "udp 127.0.0.1:5080", "udp 127.0.0.1:5070"]'
                ],
            ),
            "a new route": (
                CONFIG,
                CONFIG + ROUTE,
                ['route: [] -> ["b.test"]', 'route[b.test].to: none -> "sip:192.0.2.7"'],
            ),
            "a route that goes elsewhere": (
                CONFIG + ROUTE,
                CONFIG + ROUTE.replace(".7", ".8") + "trusted = true\n",
                [
                    'route[b.test].to: "sip:192.0.2.7" -> "sip:192.0.2.8"',
                    "route[b.test].trusted: false -> true",
                ],
            ),
            "a route that is gone": (
                CONFIG + ROUTE,
                CONFIG,
                ['route: ["b.test"] -> []', 'route[b.test].to: "sip:192.0.2.7" -> none'],
            ),
            "publishers": (
                CONFIG,
                CONFIG + '[events.publishers]\npresence = ["x@a.test"]\n',
                ['events.publishers.presence: none -> ["x@a.test"]'],
            ),
            "a plugin": (
                CONFIG + PLUGIN.format("a", "one", "two"),
                CONFIG + PLUGIN.format("b", "three", "four"),
                [
                    'plugin.ldap.host: "a" -> "b"',
                    f"plugin.ldap.password: {HIDDEN} -> {HIDDEN}",
                    'plugin.ldap.url: "ldap://me:(hidden)@far.test/"'
                    ' -> "ldap://me:(hidden)@far.test/"',
                ],
            ),
            "a plugin with tables in a list": (
                CONFIG,
                CONFIG + '[[plugin.x.servers]]\nname = "a"\napi_key = "secret"\n',
                ['plugin.x.servers: none -> [{"name": "a", "api_key": "(hidden)"}]'],
            ),
        }
    )
    def test_line(self, old: str, new: str, expected: list[str]) -> None:
        self.assertEqual(lines(old, new), expected)

    def test_as_sipctl_has_it(self) -> None:
        """It has come as JSON."""
        self.assertEqual(str(Change("a", HIDDEN, [1])), "a: (hidden) -> [1]")


class Restarts(TableCase):
    """What a running server keeps as it was."""

    @rows(
        {
            "data": (
                'data = "other"\n' + CONFIG,
                'data: "/.*/here/var" -> "/.*/here/other" needs a restart: restart, or put it back',
            ),
            "store": (
                CONFIG + "[store]\ndelay = 1.0\n",
                "store.delay: 0.05 -> 1.0 needs a restart",
            ),
            "a table": (
                CONFIG + '[components]\nlocation = "redis"\n',
                'components.location: "bindings" -> "redis" needs a restart',
            ),
        }
    )
    def test_refused(self, new: str, expected: str) -> None:
        error = self.assertRaises(
            ConfigError, refuse_what_stays, parse(FILE, CONFIG), parse(FILE, new)
        )
        self.assertRegex(str(error), f"^{FILE}: {expected}")

    def test_the_same_by_another_name(self) -> None:
        refuse_what_stays(parse(FILE, CONFIG), parse(FILE, 'data = "./var"\n' + CONFIG))
