"""Every command of every page, typed in its turn by somebody who has installed the server."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import SkipTest

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from sipproxy.config import ConfigError, parse
from sipproxy.ctl.client import Client
from sipproxy.ctl.socket import FILE
from sipproxy.service import build
from tests.authority import Authority, dns
from tests.interop.installation import installed, installing
from tests.interop.processes import DEADLINE, HOST, Process, free_port, is_running, wait_for
from tests.pages import PAGES, ROOT, Block, blocks
from tests.presence.rulesets import one, rule, ruleset

SOURCES = (
    *(
        "Makefile",
        "README.md",
        "LICENSE",
        "constraints.txt",
        "contrib",
        "examples",
        "pyproject.toml",
    ),
    *("setup.cfg", "setup.py", "sipproxy", "twisted"),
)
BASE = """
domains = ["example.test"]
[[listen]]
transport = "udp"
address = "127.0.0.1"
port = 5060
"""
ANOTHER = BASE.replace("]", ', "b.test"]', 1) + "[limits]\nidle = 60\n"
FOREGROUND = ("make run", "twistd -n")  # they serve until they are ended
PLACES = {"/var/lib/sipproxy": "lib", "/var/log/": "", "/run/": "", "/etc/": ""}
PASSWORD = "wonderland"
_varies = re.compile(r"\b[0-9a-f]{15}\b|\b\d+ s\b")  # of what is printed


class Elsewhere(NamedTuple):
    """A command that cannot be typed in a test: why, and what can be said of it all the same."""

    why: str
    check: Callable[[Any], None]


class Pages(TestCase):
    """One test for each page; see below."""

    timeout = 240

    def setUp(self) -> None:
        """Make a place with the sources in it."""
        self.place = Path(tempfile.mkdtemp(prefix="pages-"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.ports = {port: str(free_port()) for port in ("5060", "5061")}
        self.serving: Process | None = None
        self.printed = ""
        self.addCleanup(self.end)

    # Surroundings

    def prepare(self, page: Path) -> None:
        """Have what the commands of a page take for granted."""
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "_trial_temp*", "*.egg-info")
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.place / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, self.place)
        for name in ("systemd/system", "fail2ban/filter.d"):
            (self.place / name).mkdir(parents=True)
        (self.place / ".venv").mkdir()
        (self.place / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
        (self.place / ".venv" / "ready").touch()
        Authority().write(self.place, "example", *dns("example.test"))
        (self.place / "venv").symlink_to(installed())
        self.configure(page)

    def configure(self, page: Path) -> None:
        """Have the configuration that a page shows, or another where it shows none."""
        whole = [block.text for block in blocks(page) if block.is_whole and not block.name]
        self.write("sipproxy.toml", whole[0] if whole else BASE)
        if page.name == "README.md":  # `make run` writes what there is none of
            self.write("sipproxy.toml", (ROOT / "sipproxy" / "demo.toml").read_text("utf-8"))

    def here(self, text: str) -> str:
        """Return a text with places and ports of ours, on the loopback address alone."""
        for known, free in self.ports.items():
            text = re.sub(rf"\b{known}\b", free, text)
        for known, name in PLACES.items():
            text = text.replace(known, f"{self.place}/{name}")
        return text.replace("0.0.0.0", HOST)

    def write(self, name: str, text: str) -> None:
        """Write a file that a page shows."""
        self.assertTrue((self.cwd / name).parent.is_dir(), name)
        (self.cwd / name).write_text(self.here(text))

    @property
    def cwd(self) -> Path:
        """Where commands are typed."""
        return getattr(self, "_cwd", self.place)

    # Typing

    def follow(self, page: Path) -> None:
        """Type and write what a page says, and compare what is printed."""
        self.prepare(page)
        chapter = ""
        for block in blocks(page):
            if block.chapter != chapter:
                self.end()
                chapter, self._cwd = block.chapter, self.place
                self.configure(page)
            if block.language == "sh":
                self.printed = "".join(map(self.type, block.commands))
                self.assertNotIn("FAIL", self.printed)
            elif block.language == "":
                self.compare(page, block)
            elif block.name:
                self.write(block.name, block.text)
        self.end()

    def compare(self, page: Path, block: Block) -> None:
        """Compare what a page says is printed with what was, or with what can be known of it."""
        for begin, check in PRINTED.items():
            if block.text.startswith(begin):
                check(self, block.text)
                return
        wanted, found = (_varies.sub("?", text) for text in (block.text, self.printed))
        self.assertTrue(wanted.strip() in found, f"{page.name}: {wanted!r} is not in {found!r}")

    def type(self, command: str) -> str:
        """Type a command, which has to end well, or to serve; return what it prints."""
        for begin, elsewhere in ELSEWHERE.items():
            if command.startswith(begin):
                elsewhere.check(self)
                return ""
        for begin, stage in STAGES.items():
            if command.startswith(begin):
                stage(self)
        if command.startswith("cd "):
            self._cwd = self.cwd / command.split()[1]
            return ""
        if command in installing():  # it has been typed
            return self.shell("venv/bin/sipctl --version")
        if command.startswith(FOREGROUND):
            self.serve(command)
            return ""
        return self.daemon(command) if command.startswith("twistd") else self.shell(command)

    def daemon(self, command: str) -> str:
        """Start a daemon in the place of what serves."""
        self.end()
        printed = self.shell(command)
        wait_for(self.control.exists, "the daemon's control socket")
        return printed

    def shell(self, command: str) -> str:
        """Have a shell run a command."""
        if command.startswith("systemd-analyze") and not shutil.which("systemd-analyze"):
            raise SkipTest("systemd-analyze is not installed: .ci/run installs it")
        ran = subprocess.run(
            ["bash", "-c", self.here(command)],
            cwd=self.cwd,
            env=self.environment(),
            input=f"{PASSWORD}\n{PASSWORD}\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            start_new_session=True,  # who asks for a password asks us
        )
        self.assertEqual(ran.returncode, 0, f"{command}\n{ran.stdout}")
        return ran.stdout

    def environment(self) -> dict[str, str]:
        """Return variables with which that environment is active."""
        found = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        return {**found, "PATH": f"{installed()}/bin:{found.get('PATH', '')}"}

    def serve(self, command: str) -> None:
        """Run what serves until it is ended."""
        self.end()
        words = ["bash", "-c", f"export PATH={installed()}/bin:$PATH; exec {self.here(command)}"]
        self.serving = Process(self, "a server", words, self.cwd)
        self.serving.wait_for(self.control.exists, "the control socket")

    @property
    def control(self) -> Path:
        """The control socket of the configuration that there is."""
        for name in ("lib", "var"):
            file = self.cwd / name / FILE
            if name == "lib" and f'"{self.place}/lib"' in (self.cwd / "sipproxy.toml").read_text():
                return file
        return file

    def end(self) -> None:
        """End what serves, in whatever way."""
        serving, self.serving = self.serving, None
        if serving is not None:
            for child in children(serving.pid):
                os.kill(child, signal.SIGTERM)
            serving.stop()
        for file in self.place.rglob("*.pid"):
            pid = int(file.read_text())
            if is_running(pid):
                os.kill(pid, signal.SIGTERM)
                wait_for(lambda pid=pid: not is_running(pid), "the end of a daemon")

    # Stages

    def alice(self) -> None:
        """Serve, with an account."""
        self.serve("twistd -n --pidfile= sipproxy")
        self.shell(f"sipctl user add alice@example.test --password {PASSWORD}")
        self.files((ROOT / "docs" / "security.md").read_text("utf-8"))

    def files(self, page: str) -> None:
        """Each file of the data directory is on the page, and the server's user's alone."""
        found = list((self.cwd / "var").iterdir())
        self.assertGreater(len(found), 5)
        for file in found:
            self.assertEqual(stat.S_IMODE(file.lstat().st_mode), 0o600, file)
            name, base = file.name, "sipproxy.sqlite"
            suffix = name.removeprefix(base) if name.startswith(base) else ""
            self.assertIn(f"`{suffix or name}`", page)

    def alice_and_bob(self) -> None:
        """Let alice be registered, and bob wait for her permission."""
        self.serve("twistd -n --pidfile= sipproxy")
        people = []
        for name in ("alice", "bob"):
            aor = f"{name}@example.test"
            self.shell(f"sipctl user add {aor} --password {PASSWORD}")
            people.append(Client("udp", (HOST, int(self.ports["5060"])), aor, PASSWORD))
            self.addCleanup(people[-1].close)
        alice, bob = people
        self.assertEqual(alice.register(600).status, 200)
        waits = rule(one("sip:bob@example.test"), action="confirm", name="ask-me")
        (self.cwd / "rules.xml").write_bytes(ruleset(waits))
        self.shell("sipctl rules put alice@example.test rules.xml")
        uri, contact = b"sip:alice@example.test", b"<%s>" % bob.contact
        headers = [(b"Contact", contact), (b"Event", b"presence"), (b"Expires", b"540")]
        answer = bob.authenticated(b"SUBSCRIBE", uri, alice.aor, headers)
        self.assertEqual(answer.status, 200)
        bob.request()

    def another_configuration(self) -> None:
        """Serve, and have another configuration then."""
        self.write("sipproxy.toml", BASE)
        self.serve("twistd -n --pidfile= sipproxy")
        self.write("sipproxy.toml", ANOTHER)

    # What cannot be typed, or is printed elsewhere

    def verify_unit(self) -> None:
        """The unit is one, and what it starts has these options."""
        text = (ROOT / "contrib" / "sipproxy.service").read_text("utf-8")
        unit = self.place / "sipproxy.service"
        program = shutil.which("true") or ""
        unit.write_text(re.sub(r"/opt/sipproxy/bin/\w+", program, text))
        if shutil.which("systemd-analyze"):
            self.shell(f"systemd-analyze verify {unit}")
        self.verify_options(re.findall(r"^ExecStart=\S+ (.*)$", text, re.M)[0])

    def verify_image(self) -> None:
        """The image is made of what there is, and its server has these options."""
        text = (ROOT / "contrib" / "Dockerfile").read_text("utf-8")
        self.assertTrue((ROOT / "constraints.txt").exists())
        words = re.findall(r'"([^"]*)"', re.findall(r"^ENTRYPOINT (.*)$", text, re.M)[0])
        self.assertEqual(words[0], "twistd")
        self.verify_options(shlex.join(words[1:]))

    def verify_options(self, words: str) -> None:
        """``twistd`` takes these options; it is not to start what it cannot."""
        text = words.replace("/etc/sipproxy/sipproxy.toml", "none.toml")
        command = [f"{installed()}/bin/twistd", *shlex.split(text)]
        ran = subprocess.run(
            command, cwd=self.cwd, capture_output=True, text=True, timeout=DEADLINE
        )
        self.assertIn("none.toml: no such file", ran.stderr)

    def verify_filter(self) -> None:
        """The filter is where the page has put it, and has expressions that can be read."""
        text = (self.place / "fail2ban/filter.d/sipproxy.conf").read_text("utf-8")
        found = re.findall(r"^(?:failregex =|  +)\s*(\^.*)$", text, re.M)
        self.assertEqual(len(found), 2)
        for expression in found:
            re.compile(expression.replace("<ADDR>", r"(\S+)"))

    def verify_mistakes(self, text: str) -> None:
        """The lines of mistakes are those that are printed."""
        self.end()
        unknown, taken = text.splitlines()
        self.mistake(unknown, BASE + "[auth]\nrequird = true\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, int(self.ports["5060"])))
            self.mistake(taken, BASE)

    def mistake(self, line: str, text: str) -> None:
        """A configuration leads to a line."""
        with self.assertRaises(ConfigError) as caught:
            build(parse(self.place / "sipproxy.toml", self.here(text)), Clock())
        told = str(caught.exception).replace(f"{self.place}/", "")
        self.assertEqual(f"sipproxy: {told}", self.here(line))

    def verify_refusals(self, text: str) -> None:
        """The lines with which a reload is refused are those that are printed."""
        taken, durable = text.splitlines()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, int(self.ports["5061"])))
            listen = BASE[BASE.index("[[listen]]") :]
            self.refusal(taken, ANOTHER + listen.replace("5060", "5061"))
        self.refusal(durable, ANOTHER + "[store]\ndurable = true\n")

    def refusal(self, line: str, text: str) -> None:
        """A configuration cannot be taken."""
        self.write("sipproxy.toml", text)
        ran = self.shell("sipctl --config $PWD/sipproxy.toml reload || true")
        self.assertEqual(ran.strip(), self.here(line))

    def verify_log(self, text: str) -> None:
        """A line of the log is made as it stands there; tests.transport.test_tls has it printed."""
        source = (ROOT / "sipproxy" / "transport" / "tls.py").read_text("utf-8")
        self.assertIn('"its certificate is for {}, not for {}"', source)
        self.assertIn("its certificate is for other.test, not for b.test", text)


STAGES: dict[str, Callable[[Pages], None]] = {
    "stat --format": Pages.alice,
    "sipctl reload --dry-run": Pages.another_configuration,
    "sipctl explain": Pages.alice_and_bob,
}
ELSEWHERE = {
    "systemctl": Elsewhere("needs systemd, and root", Pages.verify_unit),
    "docker": Elsewhere("needs Docker, and an image of Python", Pages.verify_image),
    "fail2ban-client": Elsewhere("needs fail2ban, and root", Pages.verify_filter),
}
PRINTED: dict[str, Callable[[Pages, str], None]] = {
    "sipproxy: sipproxy.toml:": Pages.verify_mistakes,
    "sipctl: /etc/": Pages.verify_refusals,
    "not sent: TLS": Pages.verify_log,
}


def children(pid: int) -> list[int]:
    """Return the processes that one of ours has started, and those of these."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    found = [int(word) for word in text.split()]
    return [*(below for one in found for below in children(one)), *found]


def _test(page: Path) -> Callable[[Pages], None]:
    def test(self: Pages) -> None:
        self.follow(page)

    test.__doc__ = f"{page.relative_to(ROOT)}, from top to bottom."
    return test


for _page in PAGES:
    if _page.stem != "tutorial" and any(block.language == "sh" for block in blocks(_page)):
        setattr(Pages, f"test_{_page.stem.lower()}", _test(_page))


class Tables(TestCase):
    """The tables above."""

    def test_nothing_is_excused_that_is_not_there(self) -> None:
        """Each entry is met on a page."""
        every = [block for page in PAGES for block in blocks(page)]
        commands = [c for block in every if block.language == "sh" for c in block.commands]
        for begin in (*ELSEWHERE, *STAGES):
            self.assertTrue(any(one.startswith(begin) for one in commands), begin)
        for begin in PRINTED:
            self.assertTrue(any(block.text.startswith(begin) for block in every), begin)

    def test_the_reasons_stand_there(self) -> None:
        self.assertTrue(all(one.why.startswith("needs ") for one in ELSEWHERE.values()))
