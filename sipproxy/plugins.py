"""Finding, checking and building components, ours and everybody's."""

from __future__ import annotations

from typing import Any

from twisted.plugin import getPlugins
from zope.interface import Interface

from sipproxy.config import Config, Mistake, convert
from sipproxy.interfaces import IComponentFactory, IHost


class Components:
    """Every installed factory by name, and what they build for one configuration.

    Raises `ConfigError` for a ``[plugin.NAME]`` table that belongs to no factory.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._factories: dict[str, Any] = {}
        self._built: dict[str, Any] = {}
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

    def build(self, host: IHost, name: str, key: str, *wanted: type[Interface]) -> Any:
        """Build a component, once whatever number of lists it stands in."""
        options = self.options(name, key, *wanted)
        if name not in self._built:
            try:
                self._built[name] = self._factories[name].build(options, host)
            except ValueError as error:
                raise self._config.error(f"plugin.{name}", str(error)) from None
        built = self._built[name]
        if not any(one.providedBy(built) for one in wanted):
            promised = self._factories[name].provides.__name__
            problem = f"what {name!r} builds does not provide {promised}: report it to its author"
            raise self._config.error(key, problem)
        return built

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self._factories))
        return f"no component {name!r} is installed; there are: {known}"
