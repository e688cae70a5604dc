"""The example plugins: their own tests, and that a package made of each is found by Twisted."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.installed import install

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NAMES = sorted(folder.name for folder in EXAMPLES.glob("sipproxy-*"))
LIST = """
from twisted.plugin import getPlugins
from sipproxy.interfaces import IComponentFactory
for one in getPlugins(IComponentFactory):
    print(one.name, one.provides.__name__, one.options.__name__)
"""


def _tests_of(name: str) -> dict[str, type[unittest.TestCase]]:
    """Return the test cases of an example, each with the example installed while it runs."""
    folder, package = EXAMPLES / name, name.replace("-", "_")
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(f"{package}.test_{package.partition('_')[2]}")
    finally:
        sys.path.remove(str(folder))
    cases = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, unittest.TestCase)
        if value.__module__ == module.__name__
    ]
    return {f"{package}_{case.__name__}": _installed(case, folder) for case in cases}


def _installed(case: Any, folder: Path) -> type[unittest.TestCase]:
    class Installed(case):  # type: ignore[misc]
        __doc__ = case.__doc__

        def setUp(self) -> None:
            install(self, folder)
            super().setUp()

    Installed.__name__ = Installed.__qualname__ = case.__name__
    return Installed


for _name in NAMES:
    vars().update(_tests_of(_name))


class Packages(SynchronousTestCase):
    """What `pip install` would copy is all that Twisted needs."""

    def test_there_are_some(self) -> None:
        self.assertEqual(NAMES, ["sipproxy-blocklist", "sipproxy-echo", "sipproxy-mwi"])

    def test_no_package_takes_twisteds_place(self) -> None:
        for name in NAMES:
            for parent in ("twisted", "twisted/plugins"):
                self.assertFalse((EXAMPLES / name / parent / "__init__.py").exists())

    def test_built_packages_are_found(self) -> None:
        target = Path(self.mktemp()).resolve()
        for name in NAMES:
            self._build(name, target)
        listed = self._python("-c", LIST, PYTHONPATH=os.pathsep.join([str(target), _root()]))
        lines = listed.splitlines()
        self.assertIn("blocklist IRequestFilter BlocklistOptions", lines)
        self.assertIn("echo IRequestHandler EchoOptions", lines)
        self.assertIn("message-summary IEventPackage NoOptions", lines)
        self.assertIn("registrar IRequestHandler RegistrarOptions", lines)

    def _build(self, name: str, target: Path) -> None:
        """Copy to ``target`` what setup.cfg lists, as an installation does."""
        source = Path(self.mktemp()).resolve()
        ignored = shutil.ignore_patterns("_trial_temp*", "build", "*.egg-info", "__pycache__")
        shutil.copytree(EXAMPLES / name, source, ignore=ignored)
        build = "from setuptools import setup; setup()"
        self._python("-c", build, "-q", "build_py", "--build-lib", str(target), cwd=source)

    def _python(self, *arguments: str, cwd: Path | None = None, **environment: str) -> str:
        run = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or Path(self.mktemp()).parent,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout


def _root() -> str:
    return str(EXAMPLES.parent)
