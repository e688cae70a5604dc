"""A whole server, built from a configuration and connected; it starts nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from zope.interface import Interface, implementer

from sipproxy import interfaces
from sipproxy.auth.authenticator import Authenticator
from sipproxy.auth.peers import Peers
from sipproxy.changes import differ
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
from sipproxy.sip.nonces import Nonces
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
from sipproxy.transport.entropy import Entropy
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

_SHOWN = ("domains", "aliases", "events", "presence", "components", "plugin")  # to watchers
GRUU_KEY, FLOW_KEY = "gruu.key", "flow.key"  # in the data directory


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
        self.wall = wall
        self.log = Logger(namespace="sipproxy")
        self.random = Entropy()
        self.reactor = reactor
        self._tags = hashlib.blake2b(key=self.random(32), digest_size=8)
        self._nonces = Nonces(self.random(32), config.settings.auth.nonce_lifetime)
        self._components: Components
        self._collector: hep.Collector | None = None
        self.tape: Tape | None = None
        self.unswitched: list[str] = []  # components that are not as they are configured
        self.wheel = Wheel(self._raised)
        self.ticker = Ticker(reactor, self.wheel)
        self._take(config, list(bound))
        settings = config.settings
        durations = timers(TICK, settings.transactions.linger)
        self.layer = TransactionLayer(self.wheel, durations, self._tag, self.identity.sent)
        around = (self.layer, self.ticker, self.random, self._resolver())
        self.network = network(reactor, settings.limits, *around)
        self.network.contexts = contexts_of(config)
        self.network.adopt(self.bound)
        components = Components(config)
        self._stand(components)
        self._furnish(components)
        self._connect()

    def _take(
        self, config: Config, bound: list[Bound], former: Iterable[tuple[bytes, int]] = ()
    ) -> None:
        """Be the server of a configuration, which has written ``former`` into Via before."""
        self.config = config
        self.settings = settings = config.settings
        self.bound = bound
        self.listens = [one.listen for one in bound] or list(settings.listen)
        self.identity = Identity(settings.domains, settings.aliases, self.listens, former)

    def _stand(self, components: Components) -> None:
        """Build what stands as long as the process does: what keeps anything of anybody's."""
        self.store = self._single(components, "store", interfaces.IStore, is_standing=True)
        self._tokens = FlowTokens(self._key(FLOW_KEY, TOKEN_KEY_LENGTH, "the key of tokens"))
        self.gruus = self._gruus()
        self._tables(components)
        templates = {b"winfo": lambda base: WatcherInformation(base, self)}
        packages, post = Packages(templates), Post(self.now)
        around = (packages, post, self._soon, self.network)
        self.notifier = Notifier(self, self.settings.events, *around)
        self.publications = PublicationTable(self, self.notifier.changed, packages, self.network)
        self.notifier.published = self.publications.of
        self.departures = Departures(self, self.notifier, self.publications)
        self._contacts = Contacts(self.notifier)

    # Another configuration

    def reconfigure(self, config: Config, bound: list[Bound], is_trial: bool = False) -> None:
        """Go on under another configuration, at once and whole, with all that is kept.

        ``bound`` are the sockets of its listeners, with those that stay. Raises `ConfigError`, or
        whatever else a part raises; nothing has changed then, nor where it ``is_trial``.
        """
        before, services = vars(self).copy(), self.services
        started: list[Any] = []
        try:
            contexts = contexts_of(config)
            self._take(config, bound, self.identity.written)
            self._furnish(Components(config, self._components))
            for part in () if is_trial else self.services:
                if part not in services:
                    started.append(part)
                    part.startService()
            if not is_trial:
                self.network.adopt(bound)
        except BaseException:
            self._put_back(before, started)
            raise
        if is_trial:
            self._put_back(before, started)
            return
        self.network.contexts = contexts
        self.front.is_draining = before["front"].is_draining
        self.core.answers, self.core.limited = before["core"].answers, before["core"].limited
        self.pressure.refused = before["pressure"].refused
        self._components.replace(before["_components"])
        self._connect()
        if differ(before["settings"], config.settings, _SHOWN):
            self.notifier.refresh()
        self._end(part for part in services if part not in self.services)

    def _put_back(self, before: dict[str, Any], started: list[Any]) -> None:
        failed, self._components = self._components, before["_components"]
        vars(self).update(before)
        if failed is not self._components:
            self._components.replace(failed)
        self._end(started)

    def _end(self, parts: Iterable[Any]) -> None:
        """Stop what is ours no longer; one that fails to is logged."""
        for part in parts:
            stopped = maybeDeferred(part.stopService)
            stopped.addErrback(lambda why, one: self.log.failure("{one}", why, one=one), part)

    def _connect(self) -> None:
        """Have what stands follow what was built: here nothing can fail."""
        settings, network, layer = self.settings, self.network, self.layer
        pressure = self.pressure
        if network.limits != settings.limits:
            network.limit(settings.limits)
        network.resolver.follow(settings.dns, self._own_names())
        network.refuse = Inside(self.listens, self.core.peers.hops, self.now).refuse
        self.ticker.ticked = lambda late: pressure.ticked(late, network.fullness)
        self._record()
        self._switch()
        self._nonces.last(settings.auth.nonce_lifetime, self.now())
        self.notifier.post.follow(self.core, self._origin)
        self.notifier.follow(settings.events, self._packages)
        self.publications.follow()
        layer.timers = timers(TICK, settings.transactions.linger)
        layer.limit = settings.limits.transactions
        layer.is_ours = self.identity.sent
        layer.admit = pressure.admit
        layer.user = self.front

    def _switch(self) -> None:
        """Have components go on with other options; who fails to is one that needs a restart."""
        self.unswitched = []
        for name, switch in self._components.switches.items():
            try:
                switch()
            except Exception:
                self.log.failure("{name} fails to take its options", name=name)
                self.unswitched.append(name)

    def _record(self) -> None:
        """Have the last messages on a tape, and a collector told of all."""
        settings, limit = self.settings.hep, self.settings.limits.tape
        if self._collector is not None:
            self._collector.close()
            self._collector = None
        if settings.collector:
            address, port = parse_server(settings.collector, hep.PORT)
            self._collector = hep.Collector(address, port, settings.agent)
        passed = None if self._collector is None else self._collector.passed
        tape = self.tape or Tape(limit, time.time)
        tape.follow(limit, passed)
        self.tape = tape if limit or passed else None
        self.network.record(self.tape)

    # Building

    def _furnish(self, components: Components) -> None:
        """Build what the configuration names, in its order, around what stands."""
        settings, single = self.settings, partial(self._single, components)
        self._components = components
        peers = Peers(settings.federation, settings.route, self.network.sources)
        parts = (self.identity, self.layer, self.network, self.wheel, self._tokens, peers)
        self.core = core = Core(settings.proxy, *parts, self.random, self.ticker.ticks)
        self.pressure = Pressure(settings.limits, self.random, peers.is_listed)
        self.identity.unveil = self.gruus.user
        core.gruus = self.gruus
        self.store = single("store", interfaces.IStore, is_standing=True)
        self.accounts = single("credentials", interfaces.ICredentialStore)
        self.credentials = self.accounts if settings.auth.required else Everybody()
        core.credentials = self.credentials
        self._tables(components)
        core.location = self.location
        forwarder = single("forwarder", interfaces.IForwarder)
        self.composer = single("composer", events.IComposer)
        packages = self._notified()
        handlers = self._listed("handlers", interfaces.IRequestHandler)
        routers = self._listed("routers", interfaces.IRouter)
        filters = self._listed("filters", interfaces.IRequestFilter, interfaces.IResponseFilter)
        request_filters = [f for f in filters if interfaces.IRequestFilter.providedBy(f)]
        core.response_filters += [f for f in filters if interfaces.IResponseFilter.providedBy(f)]
        self._origin = Origin(core, routers)
        senders = Senders(core, self._authenticator())
        self.front = Front(core, senders, request_filters, handlers, routers, forwarder)
        core.astray, self.front.is_own = self._contacts.refusal, self._contacts.has
        self.front.allow_events = self._packages.allow_events
        self._set_up([forwarder, *packages], [*filters, *handlers, *routers])

    def _single(
        self, components: Components, key: str, kind: type[Interface], is_standing: bool = False
    ) -> Any:
        name = getattr(self.settings.components, key)
        return components.build(self, name, f"components.{key}", kind, is_standing=is_standing)

    def _tables(self, components: Components) -> None:
        """Build the tables, or ask them whether they go on."""
        single = partial(self._single, components, is_standing=True)
        self.location = single("location", interfaces.ILocation)
        self.documents = single("documents", interfaces.IDocuments)

    def _set_up(self, first: list[Any], last: list[Any]) -> None:
        """Put what is started and stopped into its order: what others stand on comes first."""
        tables = (self.store, self.accounts, self.documents, self.location, self.composer)
        parts = [*tables, *first, self.publications, self.notifier, *last]
        unique = {id(part): part for part in parts}.values()
        self.services: list[Any] = [part for part in unique if IService.providedBy(part)]

    def _notified(self) -> list[Any]:
        """Build the event packages."""
        self._packages, built = Packages({}), []
        for index, name in enumerate(self.settings.events.packages):
            key = f"events.packages[{index}]"
            package = self._components.build(self, name, key, events.IEventPackage)
            built.append(package)
            try:
                self._packages.add(package)
            except ValueError as error:
                raise self.config.error(key, str(error)) from None
        return built

    @property
    def audiences(self) -> list[list[Any]]:
        """Those who are told of something by a table, in the order that they came."""
        tables = [getattr(self, name, None) for name in ("location", "documents", "notifier")]
        return [one for table in tables for one in getattr(table, "audiences", ())]

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
        asked = (self.settings.auth, self.credentials, self.identity.canonical)
        return Authenticator(*asked, self.now, self.random, self._nonces)

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

    def _resolver(self, *dns: Any) -> Resolver:
        """Return what knows names."""
        return Resolver(self.reactor, self.settings.dns, self.random, self._own_names(), *dns)

    def _own_names(self) -> list[str]:
        """Return the names of next hops: the operator's own."""
        return [parse_uri(route.to.encode()).address for route in self.settings.route]

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


def contexts_of(config: Config) -> Contexts:
    """Return what handshakes are made with; raises `ConfigError`."""
    try:
        return Contexts(config.settings.listen, config.settings.tls, config.home)
    except CertificateError as error:
        raise config.error(error.key, error.problem) from None
