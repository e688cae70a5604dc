"""The plugin guide: what it tells a stranger to type and to write works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.verify import verifyObject

from sipproxy import interfaces, testing
from sipproxy.interfaces.reload import IReconfigurable

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "plugins.md"
BLOCK = re.compile(r"(?:^`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)
ELSEWHERE = ("pip install", "twistd", "sipctl")  # they need a network, or open sockets
SERVE = """
from pathlib import Path
from sipproxy.testing import FakeServer
FakeServer("fake", Path("sipproxy.toml").read_text())
"""


class Guide(SynchronousTestCase):
    """docs/plugins.md."""

    def setUp(self) -> None:
        self.text = GUIDE.read_text("utf-8")
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.names: dict[str, Any] = {"__name__": "guide"}

    def test_ten_minutes(self) -> None:
        self.follow(self.chapter("Ten minutes"))
        self.assertEqual(self.folder.name, "sipproxy-brevity")
        self.python("-c", SERVE)

    def test_an_event_package_in_ten_minutes(self) -> None:
        self.follow(self.chapter("An event package in ten minutes"))
        self.assertEqual(self.folder.name, "sipproxy-mood")
        self.python("-c", SERVE)

    def test_what_is_to_be_looked_up(self) -> None:
        for title in ("The interfaces", "What a component may use", "Testing"):
            self.follow(self.chapter(title))

    def test_a_component_that_goes_on(self) -> None:
        self.follow(self.chapter("When the configuration is read again"))
        options = SimpleNamespace(table="a")
        counter = self.names["Counter"](options, None)
        verifyObject(interfaces.IRequestHandler, counter)
        verifyObject(IReconfigurable, counter)
        counter.reconfigured(options, None)()
        self.assertRaises(ValueError, counter.reconfigured, SimpleNamespace(table="b"), None)

    def chapter(self, title: str) -> str:
        """Return what stands below a heading."""
        _, found, rest = self.text.partition(f"\n## {title}\n")
        self.assertTrue(found, title)
        return rest.partition("\n## ")[0]

    def follow(self, chapter: str) -> None:
        """Write and type what a chapter says."""
        for name, language, block in BLOCK.findall(chapter):
            if name:
                self.write(name, block)
            elif language == "sh":
                self.type(block)
            else:
                self.assertEqual(language, "python")
                exec(compile(block, str(GUIDE), "exec"), self.names)

    def test_the_greeting_is_sent(self) -> None:
        for name, language, block in BLOCK.findall(self.text):
            if language == "python" and not name:
                exec(compile(block, str(GUIDE), "exec"), self.names)
        server = testing.FakeServer(self.mktemp())
        phone = server.client("192.0.2.1")
        greeting = self.names["greeting"](server.node, b"alice@192.0.2.1")
        server.node.send(greeting, self.names["Greeter"]())
        phone.answer(200)
        (request,) = phone.received
        self.assertEqual(request.body, b"Welcome!")

    def write(self, name: str, text: str) -> None:
        """Write a file where the guide has one."""
        self.assertTrue((self.folder / name).parent.is_dir(), name)
        (self.folder / name).write_text(text)

    def type(self, commands: str) -> None:
        """Do what the guide has one type."""
        for command in commands.splitlines():
            first, *words = command.split()
            if command.startswith(ELSEWHERE):
                continue
            if first == "cd":
                self.folder = self.folder / words[0]
            elif first == "python":
                self.assertIn("OK", self.python(*words))
            else:
                subprocess.run([first, *words], cwd=self.folder, check=True)

    def python(self, *words: str) -> str:
        """Run this Python in the stranger's folder; return what it says."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def test_the_package_is_built_as_the_guide_says(self) -> None:
        for title, name in (
            ("Ten minutes", "brevity"),
            ("An event package in ten minutes", "mood"),
        ):
            self.folder = Path(self.mktemp()).resolve()
            self.build(self.chapter(title), f"sipproxy_{name}_plugin.py")

    def build(self, chapter: str, plugin: str) -> None:
        """Build the package of a chapter."""
        for name, _, block in BLOCK.findall(chapter):
            if name:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                self.write(name, block)
        setup = "from setuptools import setup; setup()"
        self.python("-c", setup, "-q", "build_py", "--build-lib", "built")
        self.assertTrue((self.folder / "built/twisted/plugins" / plugin).exists())

    def test_every_interface_is_in_the_table_with_its_methods(self) -> None:
        rows = dict(re.findall(r"^\| `(I\w+)` \| (.*?) \|", self.text, re.M))
        kinds = {
            name: kind
            for name, kind in vars(interfaces).items()
            if isinstance(kind, type(Interface)) and kind is not Interface
        }
        self.assertEqual(set(rows), set(kinds) - {"IHost", "IComponentFactory"})
        for name, methods in rows.items():
            self.assertEqual(set(re.findall(r"`(\w+)", methods)), set(kinds[name]), name)

    def test_what_the_host_offers_is_in_the_table(self) -> None:
        _, _, section = self.text.partition("| of the host |")
        table = section.partition("\n\n")[0]
        rows = "".join(line.split("|")[1] for line in table.splitlines()[2:])
        self.assertEqual(set(re.findall(r"`(\w+)", rows)), set(interfaces.IHost))

    def test_what_testing_offers_exists(self) -> None:
        _, _, section = self.text.partition("| in `sipproxy.testing` |")
        for name in re.findall(r"^\| `(\w+)\(", section, re.M):
            self.assertTrue(hasattr(testing, name), name)
        for name in re.findall(r"`server\.(\w+)\(", section):
            self.assertTrue(hasattr(testing.FakeServer, name), name)
        for name in re.findall(r"`client\.(\w+)", section):
            self.assertTrue(hasattr(testing.FakeClient, name) or name == "flow", name)
