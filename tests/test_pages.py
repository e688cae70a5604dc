"""What the pages say of commands, options and configuration is so; interop.test_pages types it."""

from __future__ import annotations

import re
import shlex
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import click
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.config import parse
from sipproxy.ctl.main import main
from sipproxy.testing import CONFIG, FakeServer
from tests.authority import Authority, dns
from tests.pages import LANGUAGES, PAGES, ROOT, Block, blocks, inline

OPERATOR = ROOT / "docs" / "operator.md"
_indented = re.compile(r"\n\n    (?! )\S")
_program = re.compile(r"(?:\S*/)?(sipctl|twistd|trial|make|python3?|pip|systemctl|docker|curl) ")


class Blocks(SynchronousTestCase):
    """Fenced blocks."""

    def each(self) -> list[tuple[str, Block]]:
        """Return every block with the name of its page."""
        return [(page.name, block) for page in PAGES for block in blocks(page)]

    def test_each_says_what_it_is(self) -> None:
        strange = [(page, b.language) for page, b in self.each() if b.language not in LANGUAGES]
        self.assertEqual(strange, [], "commands are `sh`, what they print has no language")

    def test_what_is_typed_says_so(self) -> None:
        hidden = [
            (page, line)
            for page, block in self.each()
            if block.language == ""
            for line in block.text.splitlines()
            if _program.match(line)
        ]
        self.assertEqual(hidden, [], "commands nobody runs: make the block `sh`")

    def test_nothing_is_indented(self) -> None:
        found = []
        for page in PAGES:
            text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
            found += [page.name] * bool(_indented.search(text))
        self.assertEqual(found, [], "code is fenced, so that it says what it is")

    def test_configurations(self) -> None:
        """Each is one, or a part of one, and a server is built of it."""
        count = 0
        for _, block in self.each():
            if block.language == "toml" and block.name in ("", "sipproxy.toml"):
                self.built(block.text if block.is_whole else CONFIG + block.text)
                count += 1
        self.assertGreater(count, 6)

    def test_other_configurations(self) -> None:
        """They can be read; the jail's filter is the one that we ship."""
        found = [block.text for _, block in self.each() if block.language == "ini"]
        sections: dict[str, Any] = {}
        for text in found:
            parser = RawConfigParser()
            parser.read_string(text)
            sections |= {name: parser[name] for name in parser.sections()}
        jail = sections["sipproxy"]
        self.assertTrue((ROOT / "contrib" / f"fail2ban-{jail['filter']}.conf").exists())

    def built(self, text: str) -> None:
        """Build a server of a configuration, with the certificates that it names."""
        home = Path(self.mktemp())
        home.mkdir()
        text = text.replace("/var/lib/sipproxy", "var")
        files = Authority().write(home, "example", *dns("example.test"))
        self.assertEqual(files, ("example.pem", "example.key"))
        (home / "our-authorities.pem").write_bytes((home / "ca.pem").read_bytes())
        parse(home / "sipproxy.toml", text)
        if re.search(r'"(brevity|mood)"', text) is None:  # the plugins of the guide
            FakeServer(str(home), text).stop()


def options(command: click.Command) -> set[str]:
    """Return every way to write an option of a command."""
    return {name for param in command.params for name in param.opts} | {"--help"}


class Sipctl(SynchronousTestCase):
    """``sipctl`` in the text of the pages."""

    def command(self, words: list[str]) -> tuple[click.Command, list[str]]:
        """Return the command that words name, and those after its name."""
        command: click.Command = main
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command, words = command.commands[words[0]], words[1:]
        return command, words

    def known(self, text: str) -> None:
        """Check a command, and the options that it has."""
        words = shlex.split(text.replace("[", " ").replace("]", " "))
        while words and words[0] in ("--config",):
            words = words[2:]
        if words == ["COMMAND"]:
            return
        command, rest = self.command(words)
        self.assertTrue(command is not main or words == ["--version"], text)
        if isinstance(command, click.Group) and command is not main:
            self.assertEqual(rest, [], text)
        for word in rest:
            if word.startswith("--"):
                self.assertIn(word.partition("=")[0], options(command), text)

    def test_wherever_it_stands(self) -> None:
        found = [code for page in PAGES for code in inline(page) if code.startswith("sipctl ")]
        self.assertGreater(len(found), 10)
        for code in found:
            self.known(code.removeprefix("sipctl ").partition(" |")[0])

    def table(self) -> list[tuple[list[str], list[str]]]:
        """Return the commands, and the options, of each row of the guide's table."""
        _, _, rest = OPERATOR.read_text("utf-8").partition("| command | does |\n| --- | --- |\n")
        rows = rest.partition("\n\n")[0].splitlines()
        pieces = [row.strip("|").split(" | ", 1) for row in rows]
        return [
            (re.findall(r"`([^`]+)`", first), re.findall(r"`(--[\w-]+)", second))
            for first, second in pieces
        ]

    def test_the_table(self) -> None:
        """Every row is a command that there is, and so is every option that it speaks of."""
        for commands, named in self.table():
            found = set()
            for text in commands:
                self.known(text)
                command, _ = self.command(shlex.split(text.replace("[", " ")))
                found |= options(command)
            self.assertEqual([name for name in named if name not in found], [], commands)

    def test_the_table_has_all(self) -> None:
        told = {" ".join(self.words(text)) for commands, _ in self.table() for text in commands}
        self.assertEqual(told, set(leaves(main)) | {"user list"})

    def words(self, text: str) -> list[str]:
        """Return the name of a command as it is written in the table."""
        return [word for word in text.split() if word.islower() and word[0] not in "-[~"]


def leaves(command: Any, name: str = "") -> list[str]:
    """Return the name of every command."""
    if not isinstance(command, click.Group):
        return [name]
    return [
        leaf
        for word, below in command.commands.items()
        for leaf in leaves(below, f"{name} {word}".strip())
    ]


class Security(SynchronousTestCase):
    """What the page on security says of other pages, and of the sources."""

    def setUp(self) -> None:
        self.text = (ROOT / "docs" / "security.md").read_text("utf-8")

    def test_limits(self) -> None:
        """Each limit is a key of the configuration."""
        _, _, rest = self.text.partition("| against | there is |")
        table = rest.partition("\n\n")[0]
        named = {name.split(".")[-1] for name in re.findall(r"`([a-z_.]+)`", table)}
        self.assertGreater(len(named), 25)
        reference = (ROOT / "docs" / "configuration.md").read_text("utf-8")
        known = set(re.findall(r"^\| `(\w+)` \|", reference, re.M))
        self.assertEqual(named - known, set())

    def test_defaults(self) -> None:
        """Whatever it calls the default is one."""
        settings = parse(Path("x"), CONFIG).settings
        self.assertEqual(settings.federation.inbound, "listed")
        self.assertEqual(settings.presence.unknown_watchers, "confirm")
        self.assertEqual(settings.tls.verify_clients, "none")
        self.assertEqual(settings.http.address, "127.0.0.1")
        self.assertEqual(settings.auth.algorithms, ("SHA-256", "MD5"))
        self.assertTrue(settings.auth.required)
        for words in ("`listed`, the default", 'verify_clients = "none"`, the default'):
            self.assertIn(words, self.text)

    def test_links(self) -> None:
        """Links between the pages lead somewhere."""
        for page in PAGES:
            for name, _ in re.findall(r"\]\(([\w/.-]+\.md)(#[\w-]+)?\)", page.read_text("utf-8")):
                self.assertTrue((page.parent / name).exists(), f"{page.name}: {name}")


class Make(SynchronousTestCase):
    """``make`` in the text of the pages."""

    def test_targets(self) -> None:
        makefile = (ROOT / "Makefile").read_text("utf-8")
        targets = set(re.findall(r"^(\w+):", makefile, re.M))
        named = {
            code.split()[1]
            for page in PAGES
            for code in [*inline(page), *(c for b in blocks(page) for c in b.commands)]
            if re.fullmatch(r"make \w+", code)
        }
        self.assertIn("run", named)
        self.assertEqual(named - targets, set())


class Plugins(SynchronousTestCase):
    """Every block of Python in the plugin guide is run: a file by its tests, the rest as it is."""

    def test_each_chapter_is_followed(self) -> None:
        text = (ROOT / "tests" / "test_docs.py").read_text("utf-8")
        chapters = {
            b.chapter for b in blocks(ROOT / "docs" / "plugins.md") if b.language == "python"
        }
        self.assertEqual([chapter for chapter in chapters if f'"{chapter}"' not in text], [])

    def test_python_stands_nowhere_else(self) -> None:
        pages = {page.name for page in PAGES for b in blocks(page) if b.language == "python"}
        self.assertEqual(pages, {"plugins.md"})
