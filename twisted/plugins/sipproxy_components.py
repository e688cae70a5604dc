"""The components that come with sipproxy; each imports what it builds when it builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from sipproxy import interfaces
from sipproxy.interfaces.events import IComposer, IEventPackage

if TYPE_CHECKING:
    from sipproxy.node import Node


class NoOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A component without options."""


@implementer(IPlugin, interfaces.IComponentFactory)
class RegistrarFactory:
    """Answers REGISTER."""

    name = "registrar"
    provides = interfaces.IRequestHandler

    @property
    def options(self) -> Any:
        """The class of its options."""
        from sipproxy.registrar.options import RegistrarOptions

        return RegistrarOptions

    def build(self, options: Any, host: Node) -> Any:
        """Build the registrar."""
        from sipproxy.registrar.registrar import Registrar

        return Registrar(options, host, host.core.gruus)


@implementer(IPlugin, interfaces.IComponentFactory)
class SubscribeFactory:
    """Answers SUBSCRIBE."""

    name = "subscribe"
    provides = interfaces.IRequestHandler
    options = NoOptions

    def build(self, options: NoOptions, host: Node) -> Any:
        """Build the handler."""
        from sipproxy.events.subscribe import Subscribe

        return Subscribe(host.core, host.notifier, host.settings.events)


@implementer(IPlugin, interfaces.IComponentFactory)
class PublishFactory:
    """Answers PUBLISH."""

    name = "publish"
    provides = interfaces.IRequestHandler
    options = NoOptions

    def build(self, options: NoOptions, host: Node) -> Any:
        """Build the handler."""
        from sipproxy.events.publish import EventStateCompositor

        return EventStateCompositor(host, host.publications, host.notifier.packages)


@implementer(IPlugin, interfaces.IComponentFactory)
class BindingsFactory:
    """The location table."""

    name = "bindings"
    provides = interfaces.ILocation
    options = NoOptions

    def build(self, options: NoOptions, host: Node) -> Any:
        """Build the table."""
        from sipproxy.registrar.location import LocationTable

        return LocationTable(host, host.network)


@implementer(IPlugin, interfaces.IComponentFactory)
class AccountsFactory:
    """The account table."""

    name = "accounts"
    provides = interfaces.ICredentialStore
    options = NoOptions

    def build(self, options: NoOptions, host: Node) -> Any:
        """Open the table in the data directory; ValueError where it cannot be used."""
        from sipproxy.store.accounts import Accounts, AccountTable

        try:
            return Accounts(AccountTable(host.config.data))
        except OSError as error:
            raise ValueError(
                f"the accounts in {host.config.data} cannot be used: {error}"
            ) from None


@implementer(IPlugin, interfaces.IComponentFactory)
class DocumentsFactory:
    """What users keep with us."""

    name = "documents"
    provides = interfaces.IDocuments

    @property
    def options(self) -> Any:
        """The class of its options."""
        from sipproxy.store.options import DocumentsOptions

        return DocumentsOptions

    def build(self, options: Any, host: Node) -> Any:
        """Open the table in the data directory; ValueError where it cannot be used."""
        from sipproxy.store.documents import Documents, DocumentTable

        try:
            presence = host.settings.presence
            return Documents(DocumentTable(host.config.data, options, presence))
        except OSError as error:
            raise ValueError(
                f"the documents in {host.config.data} cannot be used: {error}"
            ) from None


@implementer(IPlugin, interfaces.IComponentFactory)
class MemoryFactory:
    """The store that forgets."""

    name = "memory"
    provides = interfaces.IStore
    options = NoOptions

    def build(self, options: NoOptions, host: Node) -> Any:
        """Build the store."""
        from sipproxy.store.memory import MemoryStore

        return MemoryStore(host.wall() - host.now())


@implementer(IPlugin, interfaces.IComponentFactory)
class SqliteFactory:
    """The store that survives, as ``[store]`` says."""

    name = "sqlite"
    provides = interfaces.IStore
    options = NoOptions

    def build(self, options: NoOptions, host: Node) -> Any:
        """Open the file in the data directory; ValueError where it cannot be used."""
        from sipproxy.store.sqlite import SqliteStore

        return SqliteStore(host.config.data, host.settings.store, host.reactor, host.wall)


@implementer(IPlugin, interfaces.IComponentFactory)
class ProxyFactory:
    """The stateful proxy."""

    name = "proxy"
    provides = interfaces.IForwarder
    options = NoOptions
    is_stateless = True

    def build(self, options: NoOptions, host: Node) -> Any:
        """Build the forwarder."""
        from sipproxy.proxy.forwarder import Forwarder

        return Forwarder(host.core)


@implementer(IPlugin, interfaces.IComponentFactory)
class CompositionFactory:
    """How presence is composed."""

    name = "composition"
    provides = IComposer
    options = NoOptions

    def build(self, options: NoOptions, host: Node) -> Any:
        """Build the composer."""
        from sipproxy.presence.composition import Composer

        return Composer()


@implementer(IPlugin, interfaces.IComponentFactory)
class PresenceFactory:
    """The presence event package."""

    name = "presence"
    provides = IEventPackage
    options = NoOptions

    def build(self, options: NoOptions, host: Node) -> Any:
        """Build the package, with the key of before; ValueError where it cannot be used."""
        from sipproxy.presence.authorization import Authorization
        from sipproxy.presence.package import KEY, KEY_LENGTH, PresencePackage
        from sipproxy.presence.transformations import transformed
        from sipproxy.store.keys import kept_key

        try:
            key = kept_key(host.config.data / KEY, KEY_LENGTH, host.random)
        except OSError as error:
            raise ValueError(f"the key of presence cannot be used: {error}") from None
        judge = Authorization(host, host.settings.presence, host.wall)
        return PresencePackage(host, key, host.composer, judge, transformed, host.wall)


@implementer(IPlugin, interfaces.IComponentFactory)
class RouterFactory:
    """One of the built-in routers."""

    provides = interfaces.IRouter
    options = NoOptions
    is_stateless = True

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self._kind = kind

    def build(self, options: NoOptions, host: Node) -> Any:
        """Build the router."""
        from sipproxy.proxy import routers

        return getattr(routers, self._kind)(host.core)


@implementer(IPlugin, interfaces.IComponentFactory)
class RegFactory:
    """The registration package."""

    name = "reg"
    provides = IEventPackage

    @property
    def options(self) -> Any:
        """The class of its options."""
        from sipproxy.reg.options import RegOptions

        return RegOptions

    def build(self, options: Any, host: Node) -> Any:
        """Build the package; ValueError where the key of its ids cannot be used."""
        from sipproxy.reg.package import KEY_LENGTH, RegPackage
        from sipproxy.store.keys import kept_key

        try:
            key = kept_key(host.config.data / "reg.key", KEY_LENGTH, host.random)
        except OSError as error:
            raise ValueError(f"{error}; the key of its ids") from None
        return RegPackage(options, host, host.core.gruus, key)


registrar = RegistrarFactory()
publish = PublishFactory()
subscribe = SubscribeFactory()
bindings = BindingsFactory()
accounts = AccountsFactory()
documents = DocumentsFactory()
memory = MemoryFactory()
sqlite = SqliteFactory()
proxy = ProxyFactory()
composition = CompositionFactory()
presence = PresenceFactory()
location = RouterFactory("location", "LocationRouter")
domains = RouterFactory("domains", "DomainsRouter")
dns = RouterFactory("dns", "DnsRouter")
reg = RegFactory()
