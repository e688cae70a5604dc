"""Finding, checking and building components, ours and everybody's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.plugin import getPlugins
from zope.interface import Interface

from sipproxy.changes import differ
from sipproxy.config import Config, Mistake, convert
from sipproxy.interfaces import IComponentFactory, IHost
from sipproxy.interfaces.reload import IReconfigurable

_WHO_WE_ARE = ("aliases", "domains", "listen")


class Components:
    """Every installed factory by name, and what they build for one configuration.

    ``before`` is what there is of the configuration before: what can go on is not built again
    (`sipproxy.interfaces.reload`); ``switches`` are to be called where it does. Raises
    `ConfigError` for a ``[plugin.NAME]`` table that belongs to no factory.
    """

    def __init__(self, config: Config, before: Components | None = None) -> None:
        self._config = config
        self._factories: dict[str, Any] = {}
        self._built: dict[str, Any] = {}
        self._options: dict[str, Any] = {}
        self._watching: dict[str, list[tuple[list[Any], list[Any]]]] = {}
        self._before = before
        self.switches: dict[str, Callable[[], None]] = {}
        for factory in getPlugins(IComponentFactory):
            known = self._factories.setdefault(factory.name, factory)
            if known is not factory:
                places = ", ".join(sorted(type(one).__module__ for one in (known, factory)))
                raise config.error(
                    f"plugin.{factory.name}",
                    f"two installed components have this name: uninstall one of {places}",
                )
        for name in config.settings.plugin:
            if name not in self._factories:
                raise config.error(f"plugin.{name}", self._unknown(name))

    def options(self, name: str, key: str, *wanted: type[Interface]) -> Any:
        """Return the checked options of a component that provides one of the ``wanted``.

        Raises `ConfigError` naming ``key``.
        """
        factory = self._factories.get(name)
        if factory is None:
            raise self._config.error(key, self._unknown(name))
        if not any(factory.provides.isOrExtends(one) for one in wanted):
            needed = " or ".join(one.__name__ for one in wanted)
            problem = f"{name!r} provides {factory.provides.__name__}; this needs {needed}"
            raise self._config.error(key, problem)
        try:
            return convert(
                self._config.settings.plugin.get(name, {}), factory.options, f"plugin.{name}"
            )
        except Mistake as mistake:
            raise self._config.error(mistake.key, mistake.problem) from None

    def build(
        self,
        host: IHost,
        name: str,
        key: str,
        *wanted: type[Interface],
        is_standing: bool = False,
    ) -> Any:
        """Build a component, once whatever number of lists it stands in.

        One that ``is_standing`` is never built again: others hold on to it.
        """
        options = self.options(name, key, *wanted)
        if name not in self._built:
            try:
                known = self._kept(host, name, options, is_standing)
                self._built[name] = self._new(host, name, options) if known is None else known
            except ValueError as error:
                raise self._config.error(f"plugin.{name}", str(error)) from None
            self._options[name] = options
        built = self._built[name]
        if not any(one.providedBy(built) for one in wanted):
            promised = self._factories[name].provides.__name__
            problem = f"what {name!r} builds does not provide {promised}: report it to its author"
            raise self._config.error(key, problem)
        return built

    def _kept(self, host: IHost, name: str, options: Any, is_standing: bool) -> Any:
        """Return the component of before, if it goes on with these options; raises ValueError."""
        before = self._before
        if before is None or name not in before._built:
            return None
        known = before._built[name]
        if IReconfigurable.providedBy(known):
            self.switches[name] = known.reconfigured(options, host)
        elif is_standing:
            if options != before._options[name]:
                raise ValueError("other options need a restart")
        elif options != before._options[name] or self._is_rebuilt(name, before):
            return None
        self._watching[name] = before._watching[name]
        return known

    def _is_rebuilt(self, name: str, before: Components) -> bool:
        """Tell whether a component may hold what is another now, though its options are not."""
        is_stateless = getattr(self._factories[name], "is_stateless", False)
        return is_stateless or differ(before._config.settings, self._config.settings, _WHO_WE_ARE)

    def _new(self, host: IHost, name: str, options: Any) -> Any:
        """Build a component, and note which audiences it has joined; raises ValueError."""
        audiences: list[list[Any]] = getattr(host, "audiences", [])
        marks = [len(audience) for audience in audiences]
        try:
            return self._factories[name].build(options, host)
        finally:
            every = zip(audiences, marks, strict=True)
            self._watching[name] = [(audience, audience[mark:]) for audience, mark in every]

    def replace(self, other: Components) -> None:
        """Have what another one has built watch no more, unless it goes on here."""
        for name, watching in other._watching.items():
            if self._watching.get(name) is not watching:
                for audience, members in watching:
                    audience[:] = [one for one in audience if one not in members]
        self._before = None

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self._factories))
        return f"no component {name!r} is installed; there are: {known}"
