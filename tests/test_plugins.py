"""Components: found, checked, and built once, in the order of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin, getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer

from sipproxy import interfaces
from sipproxy.config import ConfigError, parse
from sipproxy.plugins import Components
from sipproxy.testing import CONFIG, FakeServer
from tests.installed import install, install_also

BUILT_IN = (
    "accounts, bindings, composition, dns, documents, domains, location, memory, presence, "
    "proxy, publish, reg, registrar, sqlite, subscribe"
)
MODULE = '''
"""A plugin of a test."""

from twisted.plugin import IPlugin
from zope.interface import implementer

from sipproxy import interfaces


@implementer(IPlugin, interfaces.IComponentFactory)
class Factory:
    """A factory of a test."""

    name = "{name}"
    provides = interfaces.IRouter
    options = None


one = Factory()
'''
OPTIONS = """
    OPTIONS sip:bob@example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: 1
    CSeq: 1 OPTIONS
    Content-Length: 0
    """


class IBoth(interfaces.IRequestHandler, interfaces.IRequestFilter):
    """What may stand in two lists."""


class Size(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The options of the test's components."""

    size: int = 1
    colour: str = "red"

    def __post_init__(self) -> None:
        if self.size > 9:
            raise ValueError("size has to be at most 9")


@implementer(IPlugin, interfaces.IComponentFactory)
class Factory:
    """Builds a component of a kind, and remembers what with."""

    options = Size

    def __init__(self, name: str, provides: type[Interface], kind: Any) -> None:
        self.name = name
        self.provides = provides
        self.kind = kind
        self.built: list[tuple[Size, Any]] = []

    def build(self, options: Size, host: Any) -> Any:
        """Build one."""
        self.built.append((options, host))
        return self.kind(self.name)


class Part:
    """A component that tells `log` what it is asked."""

    log: ClassVar[list[str]] = []
    methods = frozenset((b"OPTIONS",))

    def __init__(self, name: str) -> None:
        self.name = name

    def request(self, request: Any, sender: Any) -> None:
        """Filter a request."""
        self.log.append(f"{self.name} filters")

    def response(self, response: Any, request: Any) -> None:
        """Filter a response."""
        self.log.append(f"{self.name} sees {response.status}")

    def claims(self, request: Any) -> bool:
        """Claim nothing."""
        self.log.append(f"{self.name} passes")
        return False

    def targets(self, request: Any, sender: Any) -> None:
        """Route nothing."""
        self.log.append(f"{self.name} routes not")


@implementer(interfaces.IRequestFilter)
class Filter(Part):
    """Looks at requests."""


@implementer(interfaces.IRequestFilter, interfaces.IResponseFilter)
class Watcher(Part):
    """Looks at requests and responses."""


@implementer(interfaces.IRequestHandler)
class Handler(Part):
    """Passes everything on."""


@implementer(interfaces.IRouter)
class Router(Part):
    """Passes everything on."""


@implementer(IBoth)
class Both(Part):
    """A filter and a handler."""


@implementer(interfaces.IRequestFilter)
class Serving(Part, Service):  # type: ignore[misc]
    """A filter that is a service."""

    def startService(self) -> None:
        """Note it."""
        self.log.append(f"{self.name} starts")

    def stopService(self) -> None:
        """Note it."""
        self.log.append(f"{self.name} stops")


class WithFactories(SynchronousTestCase):
    """A test that has components of its own."""

    def setUp(self) -> None:
        self.log: list[str] = []
        self.patch(Part, "log", self.log)

    def install(self, *factories: Factory) -> None:
        """Have the factories found."""
        install_also(self, factories)

    def server(self, text: str) -> FakeServer:
        """Return a server with more configuration."""
        return FakeServer(self.mktemp(), CONFIG + "[auth]\nrequired = false\n" + text)

    def refused(self, text: str) -> str:
        """Return key and problem of what a configuration is refused for."""
        error = self.assertRaises(ConfigError, self.server, text)
        self.assertTrue(error.file.endswith("sipproxy.toml"))
        return f"{error.key}: {error.problem}"


class Discovery(SynchronousTestCase):
    """Twisted finds the factories."""

    def write(self, name: str, component: str) -> Path:
        """Write a plugin module into a folder of its own."""
        folder = Path(self.mktemp())
        plugins = folder / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / f"{name}.py").write_text(MODULE.format(name=component))
        return folder

    def names(self) -> list[str]:
        """Return the names of all factories that are found."""
        return sorted(factory.name for factory in getPlugins(interfaces.IComponentFactory))

    def test_what_we_ship(self) -> None:
        self.assertEqual(", ".join(self.names()), BUILT_IN)

    def test_what_we_ship_is_documented_and_keeps_its_promise(self) -> None:
        server = FakeServer(self.mktemp())
        for factory in getPlugins(interfaces.IComponentFactory):
            self.assertTrue(type(factory).__doc__, factory.name)
            built = factory.build(factory.options(), server.node)
            self.assertTrue(factory.provides.providedBy(built), factory.name)

    def test_a_new_one_is_found_while_it_is_installed(self) -> None:
        install(self, self.write("test_discovery_one", "found"))
        self.assertIn("found", self.names())
        self.doCleanups()
        self.assertNotIn("found", self.names())

    def test_two_of_one_name(self) -> None:
        install(self, self.write("test_discovery_two", "memory"))
        config = parse(Path("s.toml"), CONFIG)
        error = self.assertRaises(ConfigError, Components, config)
        places = "twisted.plugins.sipproxy_components, twisted.plugins.test_discovery_two"
        expected = f"two installed components have this name: uninstall one of {places}"
        self.assertEqual(str(error), f"s.toml: plugin.memory: {expected}")


class Mistakes(WithFactories):
    """What an operator can get wrong."""

    def setUp(self) -> None:
        WithFactories.setUp(self)
        self.install(Factory("sieve", interfaces.IRequestFilter, Filter))
        self.known = ", ".join(sorted([*BUILT_IN.split(", "), "sieve"]))

    def test_each_is_one_line(self) -> None:
        nobody = f"no component 'nobody' is installed; there are: {self.known}"
        unfit = "this needs IRequestFilter or IResponseFilter"
        sieve = '[proxy]\nfilters = ["sieve"]\n[plugin.sieve]\n'
        for text, expected in (
            ('[proxy]\nfilters = ["sieve", "nobody"]', f"proxy.filters[1]: {nobody}"),
            ('[proxy]\nrouters = ["nobody"]', f"proxy.routers[0]: {nobody}"),
            ('[components]\nstore = "nobody"', f"components.store: {nobody}"),
            ("[plugin.nobody]", f"plugin.nobody: {nobody}"),
            (
                '[proxy]\nfilters = ["registrar"]',
                f"proxy.filters[0]: 'registrar' provides IRequestHandler; {unfit}",
            ),
            (
                '[components]\nlocation = "memory"',
                "components.location: 'memory' provides IStore; this needs ILocation",
            ),
            (
                sieve + "size = 'x'",
                "plugin.sieve.size: needs a whole number, not a string in quotes",
            ),
            (
                sieve + "sise = 1",
                "plugin.sieve.sise: unknown key; remove it, or use: colour, size",
            ),
            (sieve + "size = 10", "plugin.sieve: size has to be at most 9"),
        ):
            self.assertEqual(self.refused(text), expected)

    def test_what_build_refuses(self) -> None:
        def picky(name: str) -> None:
            raise ValueError("there is no sieve so fine")

        self.install(Factory("fine", interfaces.IRequestFilter, picky))
        text = '[proxy]\nfilters = ["fine"]'
        self.assertEqual(self.refused(text), "plugin.fine: there is no sieve so fine")

    def test_a_promise_that_is_not_kept(self) -> None:
        self.install(Factory("liar", interfaces.IRequestFilter, Part))
        problem = "what 'liar' builds does not provide IRequestFilter: report it to its author"
        text = '[proxy]\nfilters = ["liar"]'
        self.assertEqual(self.refused(text), f"proxy.filters[0]: {problem}")

    def test_options_of_a_component_that_is_not_used(self) -> None:
        self.server("[plugin.sieve]\nsize = 1")


class Building(WithFactories):
    """What is named is built, with its options, once."""

    def test_options_and_host(self) -> None:
        factory = Factory("sieve", interfaces.IRequestFilter, Filter)
        self.install(factory)
        server = self.server('[proxy]\nfilters = ["sieve"]\n[plugin.sieve]\nsize = 3')
        ((options, host),) = factory.built
        self.assertEqual(options, Size(size=3, colour="red"))
        self.assertIs(host, server.node)
        self.assertTrue(interfaces.IHost.providedBy(host))

    def test_what_is_not_named_is_not_built(self) -> None:
        factory = Factory("sieve", interfaces.IRequestFilter, Filter)
        self.install(factory)
        self.server("")
        self.assertEqual(factory.built, [])

    def test_one_that_stands_in_several_lists_is_built_once(self) -> None:
        factory = Factory("both", IBoth, Both)
        self.install(factory)
        text = '[proxy]\nfilters = ["both", "both"]\nhandlers = ["both"]\nrouters = []'
        self.server(text).client("192.0.2.1").send(OPTIONS)
        self.assertEqual(len(factory.built), 1)
        self.assertEqual(self.log, ["both passes", "both filters", "both filters"])

    def test_order_is_the_order_of_the_lists(self) -> None:
        names = ["a", "b", "c"]
        self.install(
            *(Factory(f"f{name}", interfaces.IRequestFilter, Watcher) for name in names),
            *(Factory(f"h{name}", interfaces.IRequestHandler, Handler) for name in names),
            *(Factory(f"r{name}", interfaces.IRouter, Router) for name in names),
        )
        lists = 'filters = ["fc", "fa", "fb"]\nhandlers = ["hb", "hc", "ha"]\n'
        server = self.server(f'[proxy]\n{lists}routers = ["rb", "ra", "rc"]')
        server.client("192.0.2.1").send(OPTIONS)
        expected = [
            *("hb passes", "hc passes", "ha passes"),
            *("fc filters", "fa filters", "fb filters"),
            *("rb routes not", "ra routes not", "rc routes not"),
            *("fc sees 404", "fa sees 404", "fb sees 404"),
        ]
        self.assertEqual(self.log, expected)

    def test_a_response_filter_that_raises_lets_nothing_through(self) -> None:
        class Bad(Watcher):
            def response(self, response: Any, request: Any) -> None:
                raise ZeroDivisionError

        self.install(
            Factory("bad", interfaces.IRequestFilter, Bad),
            Factory("good", interfaces.IRequestFilter, Watcher),
        )
        phone = self.server('[proxy]\nfilters = ["bad", "good"]').client("192.0.2.1")
        phone.send(OPTIONS)
        self.assertEqual(phone.received[0].start, b"SIP/2.0 500 Server Internal Error")
        self.assertEqual(self.log, ["bad filters", "good filters"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_filter_may_take_its_time(self) -> None:
        waiting: Deferred[None] = Deferred()

        class Slow(Filter):
            def request(self, request: Any, sender: Any) -> Any:
                return waiting

        self.install(
            Factory("slow", interfaces.IRequestFilter, Slow),
            Factory("next", interfaces.IRequestFilter, Filter),
        )
        phone = self.server('[proxy]\nfilters = ["slow", "next"]').client("192.0.2.1")
        phone.send(OPTIONS)
        self.assertEqual((self.log, phone.received), ([], []))
        waiting.callback(None)
        self.assertEqual((self.log, len(phone.received)), (["next filters"], 1))


class Services(WithFactories):
    """A component that is an `IService` lives with the server."""

    def test_started_in_order_and_stopped_in_reverse(self) -> None:
        self.install(*(Factory(name, interfaces.IRequestFilter, Serving) for name in "ab"))
        server = self.server('[proxy]\nfilters = ["b", "a", "b"]')
        self.assertEqual(self.log, ["b starts", "a starts"])
        server.stop()
        self.assertEqual(self.log[2:], ["a stops", "b stops"])

    def test_one_that_is_no_service_is_left_alone(self) -> None:
        self.install(Factory("sieve", interfaces.IRequestFilter, Filter))
        services = self.server('[proxy]\nfilters = ["sieve"]').node.services
        self.assertFalse(any(isinstance(part, Filter) for part in services))
