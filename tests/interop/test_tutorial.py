"""The tutorial, typed from top to bottom, with every output as it is printed there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.interop.installation import installed
from tests.interop.processes import directory, free_port, is_running, wait_for

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
NAMED = re.compile(r"(?:# |<!-- )(\S+\.\w+)")
# `installed` has typed what README.md has in their place.
INSTALLS = ("python3 -m venv venv", "venv/bin/pip install --quiet ../sipproxy")


class TutorialTests(TestCase):
    """A stranger in an empty directory."""

    timeout = 240

    def setUp(self) -> None:
        """Make the directory, with an environment in which the server was installed."""
        self.place = directory(self)
        (self.place / "venv").symlink_to(installed())
        self.addCleanup(self.end)
        self.ports = {b"5060": free_port(), b"9060": free_port()}

    def end(self) -> None:
        """End the server, should it run."""
        file = self.place / "sipproxy.pid"
        if file.exists() and is_running(pid := int(file.read_text())):
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda: not is_running(pid), "the end of the server")

    def here(self, text: str) -> str:
        """Return a text with ports that are free on this machine."""
        for known, free in self.ports.items():
            text = text.replace(known.decode(), str(free))
        return text

    def type(self, command: str) -> str:
        """Type a command, which has to end well; return what it prints."""
        ran = subprocess.run(
            ["bash", "-c", self.here(command)],
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        self.assertEqual(ran.returncode, 0, f"{command}\n{ran.stdout}")
        return ran.stdout

    def test_from_top_to_bottom(self) -> None:
        """Each block in its turn."""
        printed = ""
        for language, text in BLOCK.findall(PAGE.read_text("utf-8")):
            named = NAMED.match(text)
            if language in ("toml", "xml"):
                assert named is not None, text
                (self.place / named[1]).write_text(self.here(text))
            elif language == "sh":
                commands = [one for one in text.splitlines() if one not in INSTALLS]
                printed = "".join(map(self.type, commands))
                self.assertNotIn("FAIL", printed)
            elif not text.startswith("<sip:"):
                self.assertIn(text.strip(), printed)
        wait_for(lambda: not (self.place / "sipproxy.pid").exists(), "the end of the server")
        self.assertTrue((self.place / "trace.pcapng").exists())
