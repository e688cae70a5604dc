"""The event packages that we notify of, by name, and their templates (RFC 6665 §5.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sipproxy.interfaces.events import IEventPackage
from sipproxy.sip.headers import parse_event

MOST_TEMPLATES = 2  # foo.winfo.winfo, and nothing deeper (RFC 3857 §4.6)
Template = Callable[[IEventPackage], IEventPackage]


class Packages:
    """Finds packages: the configured ones, and templates of them as they are asked for.

    ``templates`` make a package of another one: that named ``winfo`` makes ``presence.winfo``.
    What they make can ``describe`` another package later.
    """

    def __init__(self, templates: Mapping[bytes, Template]) -> None:
        self._templates = templates
        self._packages: dict[bytes, IEventPackage] = {}
        self._names: list[bytes] = []

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._packages)

    def add(self, package: IEventPackage) -> None:
        """Add a package of the configuration; raises ValueError for a name that is taken."""
        if package.name in self._packages:
            raise ValueError(f"there are two packages {package.name.decode()!r}")
        self._packages[package.name] = package
        self._names.append(package.name)

    @property
    def allow_events(self) -> bytes:
        """The value of Allow-Events: every package, and no template of one (RFC 6665 §4.4.4)."""
        return b", ".join(self._names)

    def become(self, others: Packages) -> list[IEventPackage]:
        """Have the packages of another configuration; templates go on about those of their name.

        Returns the templates that are about nothing any more.
        """
        made: list[Any] = [p for name, p in self._packages.items() if name not in self._names]
        self._packages, self._names = dict(others._packages), others._names
        for template in made:
            base = self.find(template.name.rpartition(b".")[0])
            if base is not None:
                template.describe(base)
                self._packages[template.name] = template
        return [one for one in made if self._packages.get(one.name) is not one]

    def find(self, name: bytes) -> IEventPackage | None:
        """Return a package, or None."""
        known = self._packages.get(name)
        return self._made(name) if known is None else known

    def asked(self, event: bytes | None) -> IEventPackage | None:
        """Return the package that the value of Event names, or None; raises `SipError` 400."""
        if event is None:
            return None
        return self._packages.get(event) or self.find(parse_event(event).package)

    def _made(self, name: bytes) -> IEventPackage | None:
        inner, dot, last = name.rpartition(b".")
        template = self._templates.get(last)
        if not dot or template is None or name.count(b".") > MOST_TEMPLATES:
            return None
        base = self.find(inner)
        if base is None:
            return None
        made = self._packages[name] = template(base)
        return made
