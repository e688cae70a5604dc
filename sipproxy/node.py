"""A whole server, built from a configuration and connected; it starts nothing."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import IService
from twisted.logger import Logger
from zope.interface import Interface, implementer

from sipproxy import interfaces
from sipproxy.auth.authenticator import Authenticator
from sipproxy.auth.peers import Peers
from sipproxy.config import Config
from sipproxy.events.contacts import Contacts
from sipproxy.events.departed import Departures
from sipproxy.events.notifier import Notifier
from sipproxy.events.packages import Packages
from sipproxy.events.publications import PublicationTable
from sipproxy.events.way import Post
from sipproxy.events.winfo import WatcherInformation
from sipproxy.interfaces import events
from sipproxy.plugins import Components
from sipproxy.proxy.core import Core
from sipproxy.proxy.front import Front
from sipproxy.proxy.origin import Origin
from sipproxy.proxy.senders import Senders
from sipproxy.registrar.gruu import KEY_LENGTH, Gruus
from sipproxy.sip.message import Request
from sipproxy.sip.uri import parse_uri
from sipproxy.store.accounts import Everybody
from sipproxy.store.keys import kept_key
from sipproxy.transaction.layer import TransactionLayer
from sipproxy.transaction.parties import ClientUser
from sipproxy.transaction.server import ServerTransaction
from sipproxy.transaction.timers import timers
from sipproxy.transaction.wheel import Sleeper, Wheel
from sipproxy.transport import hep
from sipproxy.transport.certificates import CertificateError
from sipproxy.transport.identity import Identity
from sipproxy.transport.inside import Inside
from sipproxy.transport.lookup import parse_server
from sipproxy.transport.network import Network
from sipproxy.transport.pressure import Pressure
from sipproxy.transport.resolver import Resolver
from sipproxy.transport.sockets import Bound
from sipproxy.transport.tape import Tape
from sipproxy.transport.ticker import TICK, Ticker
from sipproxy.transport.tls import Contexts
from sipproxy.transport.tokens import KEY_LENGTH as TOKEN_KEY_LENGTH
from sipproxy.transport.tokens import FlowTokens

GRUU_KEY, FLOW_KEY = "gruu.key", "flow.key"  # in the data directory


class Entropy:
    """Random octets, taken from the kernel by the block."""

    def __init__(self, block: int = 4096) -> None:
        self._block = block
        self._octets = b""
        self._used = 0

    def __call__(self, length: int) -> bytes:
        """Return ``length`` random octets."""
        if length > self._block:
            return os.urandom(length)
        if self._used + length > len(self._octets):
            self._octets = os.urandom(self._block)
            self._used = 0
        self._used += length
        return self._octets[self._used - length : self._used]


@implementer(events.IEventHost)
class Node:
    """The parts of one server. Raises `ConfigError` where the configuration does not fit them.

    ``bound`` are the sockets of its listeners; a node without any is what ``check`` builds.
    ``network`` is the class that reaches peers: tests have one without sockets. ``wall`` is the
    wall clock, in seconds.
    """

    def __init__(
        self,
        config: Config,
        bound: Iterable[Bound],
        reactor: Any,
        network: type[Network] = Network,
        wall: Callable[[], float] = time.time,
    ) -> None:
        bound = list(bound)
        self.wall = wall
        self.config = config
        self.settings = settings = config.settings
        self.log = Logger(namespace="sipproxy")
        self.random = Entropy()
        self.reactor = reactor
        self._tags = hashlib.blake2b(key=self.random(32), digest_size=8)
        self.listens = [one.listen for one in bound] or list(settings.listen)
        self.identity = Identity(settings.domains, settings.aliases, self.listens)
        self.wheel = Wheel(self._raised)
        self.ticker = Ticker(reactor, self.wheel)
        durations, most = timers(TICK, settings.transactions.linger), settings.limits.transactions
        own = self.identity.sent
        self.layer = TransactionLayer(self.wheel, durations, self._tag, own, most)
        self.network = self._connected(network, bound)
        self.core = self._shared()
        self.pressure = self._guarded()
        self.tape = self._taped()
        self._furnish(Components(config))

    # Building

    def _shared(self) -> Core:
        """Return what the parts of the proxy share."""
        settings = self.settings
        return Core(
            settings.proxy,
            self.identity,
            self.layer,
            self.network,
            self.wheel,
            FlowTokens(self._key(FLOW_KEY, TOKEN_KEY_LENGTH, "the key of Record-Route tokens")),
            Peers(settings.federation, settings.route, self.network.sources),
            self.random,
            self.ticker.ticks,
        )

    def _guarded(self) -> Pressure:
        """Have new requests, ticks and next hops pass by what looks after them."""
        named = self.core.peers.hops
        self.network.refuse = Inside(self.listens, named, self.reactor.seconds).refuse
        pressure = Pressure(self.settings.limits, self.random, self.core.peers.is_listed)
        self.layer.admit = pressure.admit
        self.ticker.ticked = lambda late: pressure.ticked(late, self.network.fullness)
        return pressure

    def _taped(self) -> Tape | None:
        """Have the last messages on a tape, and a collector told of all."""
        settings, collector = self.settings.hep, None
        if settings.collector:
            address, port = parse_server(settings.collector, hep.PORT)
            collector = hep.Collector(address, port, settings.agent)
        if collector is None and not self.settings.limits.tape:
            return None
        passed = None if collector is None else collector.passed
        tape = Tape(self.settings.limits.tape, time.time, passed)
        self.network.record(tape)
        return tape

    def _furnish(self, components: Components) -> None:
        """Build the components that the configuration names, in its order."""
        settings, names = self.settings, self.settings.components
        self._components = components

        def single(key: str, name: str, interface: type[Interface]) -> Any:
            return components.build(self, name, f"components.{key}", interface)

        self.store = single("store", names.store, interfaces.IStore)
        self.core.gruus = self._gruus()
        self.identity.unveil = self.core.gruus.user
        self.accounts = single("credentials", names.credentials, interfaces.ICredentialStore)
        self.credentials = self.accounts if settings.auth.required else Everybody()
        self.location = single("location", names.location, interfaces.ILocation)
        self.core.location = self.location
        self.core.credentials = self.credentials
        self.documents = single("documents", names.documents, interfaces.IDocuments)
        forwarder = single("forwarder", names.forwarder, interfaces.IForwarder)
        self.composer = single("composer", names.composer, events.IComposer)
        packages = self._notified()
        handlers = self._listed("handlers", interfaces.IRequestHandler)
        routers = self._listed("routers", interfaces.IRouter)
        filters = self._listed("filters", interfaces.IRequestFilter, interfaces.IResponseFilter)
        request_filters = [f for f in filters if interfaces.IRequestFilter.providedBy(f)]
        self.core.response_filters += [
            f for f in filters if interfaces.IResponseFilter.providedBy(f)
        ]
        self._origin.routers = routers
        self.departures = Departures(self, self.notifier, self.publications)
        senders = Senders(self.core, self._authenticator())
        self.front = Front(self.core, senders, request_filters, handlers, routers, forwarder)
        contacts = Contacts(self.notifier)
        self.core.astray, self.front.is_own = contacts.refusal, contacts.has
        self.front.allow_events = self.notifier.packages.allow_events
        self.layer.user = self.front
        self._set_up([forwarder, *packages], [*filters, *handlers, *routers])

    def _set_up(self, first: list[Any], last: list[Any]) -> None:
        """Put what is started and stopped into its order: what others stand on comes first."""
        tables = (self.store, self.accounts, self.documents, self.location, self.composer)
        parts = [*tables, *first, self.publications, self.notifier, *last]
        unique = {id(part): part for part in parts}.values()
        self.services: list[Any] = [part for part in unique if IService.providedBy(part)]

    def _notified(self) -> list[Any]:
        """Build the notifier, then the packages that it tells watchers of."""
        settings = self.settings.events
        self._origin = Origin(self.core)
        post = Post(self.core, self._origin, self.now)
        templates = {b"winfo": lambda base: WatcherInformation(base, self)}
        self.notifier = Notifier(
            self, settings, Packages(templates), post, self._soon, self.network
        )
        packages = self.notifier.packages
        self.publications = PublicationTable(self, self.notifier.changed, packages, self.network)
        self.notifier.published = self.publications.of
        built = []
        for index, name in enumerate(settings.packages):
            key = f"events.packages[{index}]"
            package = self._components.build(self, name, key, events.IEventPackage)
            built.append(package)
            try:
                self.notifier.packages.add(package)
            except ValueError as error:
                raise self.config.error(key, str(error)) from None
        return built

    def _soon(self, call: Callable[[], None]) -> None:
        """Call a function in the next turn of the reactor."""
        self.reactor.callLater(0, call)

    def _listed(self, key: str, *kinds: type[Interface]) -> list[Any]:
        names = getattr(self.settings.proxy, key)
        return [
            self._components.build(self, name, f"proxy.{key}[{index}]", *kinds)
            for index, name in enumerate(names)
        ]

    def _authenticator(self) -> Authenticator | None:
        if not self.settings.auth.required:
            return None
        return Authenticator(
            self.settings.auth, self.credentials, self.identity.canonical, self.now, self.random
        )

    def _gruus(self) -> Gruus:
        """Return what makes GRUUs, with the key that they have outlived restarts by."""
        key = self._key(GRUU_KEY, KEY_LENGTH, "the key of temporary GRUUs")
        return Gruus(key, self.store.date(self.now()), self.now)

    def _key(self, name: str, length: int, what: str) -> bytes:
        """Return a key that has outlived restarts; the first start makes it."""
        try:
            return kept_key(self.config.data / name, length, self.random)
        except (OSError, ValueError) as error:
            raise self.config.error("data", f"{error}; {what}") from None

    def _connected(self, network: type[Network], bound: Iterable[Bound]) -> Network:
        """Return the network around the layer, with the listeners' sockets."""
        around = (self.layer, self.ticker, self.random, self._resolver())
        found = network(self.reactor, self.settings.limits, *around)
        found.contexts = _contexts(self.config)
        found.adopt(bound)
        return found

    def _resolver(self, *dns: Any) -> Resolver:
        """Return what knows names; those in ``[[route]]`` are the operator's own."""
        own = [parse_uri(route.to.encode()).address for route in self.settings.route]
        return Resolver(self.reactor, self.settings.dns, self.random, own, *dns)

    def _tag(self, request: Request) -> bytes:
        """Return the To tag of our responses to a request (RFC 3261 §8.2.7, §19.3)."""
        via = request.value(b"via") or b""
        digest = self._tags.copy()
        digest.update(via + b"\0" + (request.value(b"call-id") or b""))
        return digest.hexdigest().encode()

    def _raised(self, sleeper: Sleeper) -> None:
        self.log.failure("an appointment of {sleeper!r}", sleeper=sleeper)

    # Life

    def start(self) -> None:
        """Begin to serve."""
        self.ticker.start()
        self.network.start()
        if hasattr(self.accounts, "reload"):  # one was deleted, perhaps, while nobody served
            self.departures.look()

    def stop(self) -> None:
        """Stop serving, and close everything."""
        self.network.stop()
        self.ticker.stop()

    # IHost

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        seconds: float = self.reactor.seconds()
        return seconds

    def wake(self, sleeper: Sleeper, seconds: float) -> None:
        """Call ``sleeper.woken`` in so many seconds, to the tick."""
        self.ticker.wake(sleeper, seconds)

    def forget(self, sleeper: Sleeper) -> None:
        """Drop a sleeper and its appointment."""
        self.ticker.forget(sleeper)

    def respond(
        self,
        request: Request,
        transaction: ServerTransaction,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Answer a request, through the response filters."""
        self.core.respond(request, transaction, status, reason, headers)

    def send(self, request: Request, user: ClientUser | None = None) -> None:
        """Send a request of ours wherever any request to its Request-URI goes."""
        self._origin.send(request, user)


def _contexts(config: Config) -> Contexts:
    """Return what handshakes are made with; raises `ConfigError`."""
    try:
        return Contexts(config.settings.listen, config.settings.tls, config.home)
    except CertificateError as error:
        raise config.error(error.key, error.problem) from None
