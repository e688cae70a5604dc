"""Plugins that are installed for as long as a test lasts."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import twisted.plugins
from sipproxy import plugins


def install(test: SynchronousTestCase, folder: Path) -> None:
    """Let Twisted find the plugins in ``folder``/twisted/plugins until the test has ended."""
    path = str(folder.resolve() / "twisted" / "plugins")
    twisted.plugins.__path__.append(path)
    test.addCleanup(_uninstall, path)


def _uninstall(path: str) -> None:
    twisted.plugins.__path__.remove(path)
    for file in Path(path).glob("*.py"):
        sys.modules.pop(f"twisted.plugins.{file.stem}", None)


def install_also(test: SynchronousTestCase, factories: Iterable[Any]) -> None:
    """Let the factories be found beside those that are installed until the test has ended."""
    known = plugins.getPlugins
    also = list(factories)
    test.patch(plugins, "getPlugins", lambda interface: [*known(interface), *also])
