"""The ``sipctl`` command, as an operator types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from sipproxy import __version__
from sipproxy.ctl import check, command, listings, main, trace
from sipproxy.ctl.following import _line
from sipproxy.ctl.server import Commands
from sipproxy.ctl.socket import NotRunning, Refused
from sipproxy.store.accounts import Accounts, AccountTable
from sipproxy.store.schema import DatabaseError
from sipproxy.testing import CONFIG, FakeFlow, FakeServer
from sipproxy.transport.settings import Listen
from sipproxy.transport.sockets import BindError
from tests.ctl.reading import Reader
from tests.ctl.test_server import REGISTER

ALICE = "alice@example.test"


class WithCommand(SynchronousTestCase):
    """A test that types commands; no server runs unless it says so."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        self.home.mkdir()
        self.file = self.home / "sipproxy.toml"
        self.file.write_text(CONFIG)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.node: Any = None
        self.refuses: str | None = None
        self.patch(command, "ask", self.ask)
        self.patch(command, "answers", self.answers)
        self.patch(check, "ask", self.ask)

    def ask(self, directory: Path, command: str, **arguments: Any) -> Any:
        """Stand in for the control socket."""
        self.note(directory, command, arguments)
        try:
            return Commands(self.node).run({"command": command, **arguments})
        except ValueError as error:
            raise Refused(error) from None

    def answers(self, directory: Path, command: str, **arguments: Any) -> Iterator[Any]:
        """Stand in for the control socket where the answer is long."""
        self.note(directory, command, arguments)
        reader = Reader(self.node)
        reader.send(command, **arguments)
        while True:
            for answer in reader.lines():
                if not answer.get("ok", True):
                    raise Refused(answer["error"])
                yield answer
                if "ok" in answer and not arguments.get("follow"):
                    return
            if not self.step():
                return

    def step(self) -> bool:
        """Let the next thing happen to who follows; False where the server ends."""
        raise KeyboardInterrupt

    def note(self, directory: Path, command: str, arguments: dict[str, Any]) -> None:
        """Note what was asked; where no server runs, or it refuses, that is all."""
        self.asked.append((command, arguments))
        self.assertEqual(directory, self.home.resolve() / "var")
        if self.refuses is not None:
            raise Refused(self.refuses)
        if self.node is None:
            raise NotRunning(f"no server answers in {directory.name}: it is not there")

    def type(self, *words: str, typed: str = "") -> Result:
        """Run a command."""
        words = ("--config", str(self.file), *words)
        return CliRunner().invoke(main.main, words, input=typed)

    def passes(self, *words: str, typed: str = "") -> str:
        """Return what a command prints that ends well."""
        result = self.type(*words, typed=typed)
        self.assertEqual((result.exit_code, result.stderr), (0, ""), result.output)
        return result.stdout

    def fails(self, *words: str, typed: str = "") -> str:
        """Return the one line of a command that fails."""
        result = self.type(*words, typed=typed)
        self.assertEqual((result.exit_code, result.stdout), (1, ""), result.output)
        (line,) = result.stderr.splitlines()
        return line

    def accounts(self) -> Accounts:
        """Return the accounts that are on disk."""
        return Accounts(AccountTable(self.home / "var"))

    def serve(self, written: str = "") -> None:
        """Let a server run, with alice registered; her phone may have written more."""
        text = CONFIG + "[auth]\nrequired = false"
        server = FakeServer(str(self.home), text)
        register = REGISTER.format(user="alice")
        if written:
            register = register.replace("@192.0.2.1>", f"@192.0.2.1;x={written}>")
        server.client("192.0.2.1").send(register)
        self.node = server.node


class Users(WithCommand):
    """``sipctl user``."""

    def test_add_with_the_server_not_running(self) -> None:
        self.assertEqual(self.passes("user", "add", ALICE, "--password", "x"), "")
        self.assertTrue(self.accounts().known(ALICE.encode()))
        self.assertEqual(self.asked, [("reload-accounts", {})])

    def test_add_tells_a_running_server(self) -> None:
        server = FakeServer(str(self.home), CONFIG)
        self.node = server.node
        self.passes("user", "add", ALICE, "--password", "x")
        self.assertTrue(server.node.credentials.known(ALICE.encode()))

    def test_each_way_to_give_the_password(self) -> None:
        self.passes("user", "add", "a@example.test", "--password", "pä ss")
        self.passes("user", "add", "b@example.test", "--password-stdin", typed="pä ss\nmore\n")
        self.type("user", "add", "c@example.test", typed="pä ss\npä ss\n")
        for user in "abc":
            self.passes("user", "passwd", f"{user}@example.test", "--password", "x")
        self.assertEqual(len(self.accounts()), 3)

    def test_the_same_secret_by_every_way(self) -> None:
        self.passes("user", "add", ALICE, "--password", "pä ss")
        secret = self.accounts().secret(ALICE.encode(), "MD5")
        self.passes("user", "passwd", ALICE, "--password-stdin", typed="pä ss\n")
        self.assertEqual(self.accounts().secret(ALICE.encode(), "MD5"), secret)

    def test_what_is_refused(self) -> None:
        self.passes("user", "add", ALICE, "--password", "x")
        for words, expected in (
            (
                ("add", ALICE, "--password", "y"),
                f"{ALICE} exists: use `sipctl user passwd` to change its password",
            ),
            (
                ("add", "alice@b.test", "--password", "x"),
                "alice@b.test is in none of our domains: example.test",
            ),
            (("add", "alice", "--password", "x"), "'alice' is no address: write user@domain"),
            (
                ("add", "bob@example.test", "--password-stdin"),
                "an empty password protects nothing: give one",
            ),
            (
                ("passwd", "bob@example.test", "--password", "x"),
                "bob@example.test does not exist: use `sipctl user add`",
            ),
            (
                ("del", "bob@example.test"),
                "bob@example.test does not exist: see `sipctl user list`",
            ),
            (("del", "a@b..c"), "'a@b..c' is no address: 'b..c' is no domain"),
        ):
            self.assertEqual(self.fails("user", *words), f"sipctl: {expected}")
        self.assertEqual(len(self.accounts()), 1)

    def test_domains_are_compared_in_canonical_form(self) -> None:
        domains = 'domains = ["Example.test", "xn--bcher-kva.test"]'
        self.file.write_text(CONFIG.replace('domains = ["example.test"]', domains))
        for aor in ("sip:a@EXAMPLE.test", "b@bücher.test", "c@xn--bcher-kva.test"):
            self.passes("user", "add", aor, "--password", "x")
        self.assertEqual(len(self.accounts()), 3)

    def test_del(self) -> None:
        self.passes("user", "add", ALICE, "--password", "x")
        self.passes("user", "del", ALICE)
        self.assertEqual(len(self.accounts()), 0)

    def test_list(self) -> None:
        none = "no accounts; add one with `sipctl user add user@domain`\n"
        self.assertEqual(self.passes("user", "list"), none)
        self.assertEqual(json.loads(self.passes("user", "list", "--json")), [])
        for user in ("bob", "alice"):
            self.passes("user", "add", f"{user}@example.test", "--password", "x")
        for words in (("user", "list"), ("accounts",)):
            head, alice, bob = self.passes(*words).splitlines()
            self.assertEqual(head.split(), ["account", "realm", "algorithms"])
            known = "example.test", "MD5,SHA-256,SHA-512-256"
            self.assertEqual(alice.split(), [ALICE, *known])
            self.assertEqual(bob.split(), ["bob@example.test", *known])

    def test_one_of_the_list(self) -> None:
        for user in ("bob", "alice"):
            self.passes("user", "add", f"{user}@example.test", "--password", "x")
        (row,) = json.loads(self.passes("accounts", "sip:alice@EXAMPLE.test", "--json"))
        every = ["MD5", "SHA-256", "SHA-512-256"]
        self.assertEqual(row, {"account": ALICE, "realm": "example.test", "algorithms": every})
        text = self.passes("accounts", "carol@example.test")
        self.assertEqual(text, "carol@example.test does not exist\n")
        line = self.fails("accounts", "alice@b.test")
        self.assertEqual(line, "sipctl: alice@b.test is in none of our domains: example.test")

    def test_what_an_import_has_brought(self) -> None:
        file = self.home / "subscribers.csv"
        secret = "0123456789abcdef0123456789abcdef"
        file.write_text(f"username,domain,ha1\ncarol,example.test,{secret}\n")
        self.passes("user", "import", str(file))
        text = self.passes("accounts", "--json")
        self.assertEqual(json.loads(text)[0]["algorithms"], ["MD5"])
        self.assertNotIn(secret, text)

    def test_a_server_that_keeps_its_accounts_elsewhere(self) -> None:
        self.refuses = "elsewhere"
        line = self.fails("user", "add", ALICE, "--password", "x")
        self.assertEqual(line, "sipctl: elsewhere")

    def test_import(self) -> None:
        file = self.home / "subscribers.csv"
        file.write_text("username,domain,password\ncarol,example.test,x\nbroken\n")
        result = self.type("user", "import", str(file))
        self.assertEqual(result.exit_code, 1)
        self.assertIn("line 3: it has no username, or no domain", result.output)
        self.assertTrue(self.accounts().known(b"carol@example.test"))
        self.assertEqual(self.asked, [("reload-accounts", {})])

    def test_a_database_that_is_none(self) -> None:
        (self.home / "var").mkdir()
        (self.home / "var" / "sipproxy.sqlite").write_text("no database, by far not one")
        file = self.home.resolve() / "var" / "sipproxy.sqlite"
        remedy = "restore a copy, or move it away and begin anew"
        for words in (("list",), ("del", ALICE), ("add", ALICE, "--password", "x")):
            line = self.fails("user", *words)
            expected = f"{file} is damaged (file is not a database): {remedy}"
            self.assertEqual(line, f"sipctl: {expected}")

    def test_a_database_that_is_busy(self) -> None:
        def busy(directory: Path) -> AccountTable:
            raise DatabaseError("it is locked by another process")

        self.patch(main, "AccountTable", busy)
        self.patch(listings, "AccountTable", busy)
        for words in (("list",), ("del", ALICE)):
            line = self.fails("user", *words)
            self.assertEqual(line, "sipctl: it is locked by another process")

    def test_a_data_directory_that_is_none(self) -> None:
        (self.home / "var").write_text("a file")
        for words in (("list",), ("del", ALICE)):
            self.assertIn(str(self.home.resolve() / "var"), self.fails("user", *words))


class Looking(WithCommand):
    """``sipctl status`` and ``sipctl bindings``."""

    def test_no_server(self) -> None:
        for word in ("status", "bindings"):
            line = self.fails(word)
            self.assertEqual(line, "sipctl: no server answers in var: it is not there")

    def test_trace(self) -> None:
        self.serve()
        text = self.passes("trace", "--user", "alice")
        self.assertIn("UDP <- 192.0.2.1:5060\nREGISTER sip:example.test SIP/2.0", text)
        self.assertEqual(self.passes("trace", "--user", "bob"), "no such message is on the tape\n")

    def test_trace_as_json(self) -> None:
        self.serve()
        (line,) = self.passes("trace", "--json").splitlines()
        self.assertTrue(json.loads(line)["data"].startswith("REGISTER "))

    def test_trace_to_a_file(self) -> None:
        self.serve()
        path = self.home / "trace.pcapng"
        text = self.passes("trace", "--pcap", str(path))
        self.assertEqual(text, f"1 messages written to {path}\n")
        self.assertIn(b"REGISTER sip:example.test", path.read_bytes())

    def test_trace_of_more_than_one_answer(self) -> None:
        self.serve()
        self.patch(trace, "MOST", 2)
        assert self.node is not None and self.node.tape is not None
        for number in range(5):
            self.node.tape.sent(b"%d" % number, FakeFlow("192.0.2.1", 5060))
        lines = self.passes("trace", "--json").splitlines()
        self.assertEqual([json.loads(line)["number"] for line in lines], list(range(6)))

    def test_status(self) -> None:
        self.serve()
        lines = dict(line.split(": ", 1) for line in self.passes("status").splitlines())
        self.assertEqual(lines["version"], __version__)
        self.assertEqual(lines["domains"], "example.test")
        self.assertEqual(lines["listen"], "udp 127.0.0.1:5060,tcp 127.0.0.1:5060")
        self.assertEqual(lines["users registered"], "1")

    def test_status_as_json(self) -> None:
        self.serve()
        status = json.loads(self.passes("status", "--json"))
        self.assertEqual(status["listen"][0]["port"], 5060)
        self.assertEqual(status["bindings"], 1)

    def test_bindings(self) -> None:
        self.serve()
        head, row = self.passes("bindings").splitlines()
        self.assertEqual(
            head.split(),
            [*("aor", "contact", "expires", "q", "path", "instance", "reg_id", "flow")],
        )
        self.assertEqual(row.split()[:3], [ALICE, "sip:alice@192.0.2.1", "600"])
        self.assertEqual(self.passes("bindings", "bob@example.test"), "no bindings\n")

    def test_what_a_peer_has_written_does_not_command_the_terminal(self) -> None:
        """ECMA-48 §5: control functions begin with ESC, or are one of the second set themselves."""
        self.serve("\x1b]0;title\x07\u009b2J")
        row = self.passes("bindings").splitlines()[1]
        self.assertTrue(row.isprintable(), row)
        self.assertIn("192.0.2.1;x=\\x1b]0;title\\x07\\x9b2J", row)
        (told,) = json.loads(self.passes("bindings", "--json"))
        self.assertTrue(_line("new", told, wants_json=False).isprintable())

    def test_bindings_as_json(self) -> None:
        self.serve()
        (row,) = json.loads(self.passes("bindings", ALICE, "--json"))
        self.assertEqual(row["aor"], ALICE)
        self.assertEqual(self.asked, [("bindings", {"aor": ALICE})])
        self.assertEqual(json.loads(self.passes("bindings", "b@example.test", "--json")), [])

    def test_version(self) -> None:
        self.assertIn(__version__, self.passes("--version"))


class Checking(WithCommand):
    """``sipctl check``."""

    def setUp(self) -> None:
        WithCommand.setUp(self)
        self.bound: list[Any] = []
        self.patch(check, "bind_all", lambda listens: self.bound.append(list(listens)) or ["x"])
        self.patch(check, "close_all", self.bound.append)

    def test_all_is_well(self) -> None:
        self.assertEqual(self.passes("check"), f"{self.file}: all is well\n")
        (listens, closed) = self.bound
        self.assertEqual([one.transport for one in listens], ["udp", "tcp"])
        self.assertEqual(closed, ["x"])

    def test_with_the_server_running(self) -> None:
        self.serve()
        self.file.write_text(CONFIG)
        note, last = self.passes("check").splitlines()
        self.assertEqual(note, "a server runs with this configuration's data: its ports are in use")
        self.assertEqual(last, f"{self.file}: all is well")
        self.assertEqual(self.bound, [])

    def test_a_port_that_is_taken(self) -> None:
        def taken(listens: Any) -> Any:
            raise BindError(1, Listen("tcp", "127.0.0.1"), OSError(98, "Address already in use"))

        self.patch(check, "bind_all", taken)
        remedy = "stop what uses it, or choose another address or port"
        problem = f"tcp 127.0.0.1:5060: Address already in use; {remedy}"
        self.assertEqual(self.fails("check"), f"sipctl: {self.file}: listen[1]: {problem}")

    def test_a_fault_of_the_file(self) -> None:
        self.file.write_text(CONFIG + "[auth]\nrealm = 1")
        self.assertIn(f"{self.file}: auth.realm: unknown key", self.fails("check"))

    def test_a_fault_of_a_component(self) -> None:
        self.file.write_text(CONFIG + "[plugin.registrar]\nmin_expires = 9000")
        needs = "needs 0 < min_expires <= default_expires <= max_expires"
        self.assertEqual(self.fails("check"), f"sipctl: {self.file}: plugin.registrar: {needs}")

    def test_no_file(self) -> None:
        self.file.unlink()
        remedy = "no such file; write one, or name another with --config"
        for words in (("check",), ("status",), ("user", "list"), ("try",)):
            self.assertEqual(self.fails(*words), f"sipctl: {self.file}: {remedy}")


class Demonstrating(WithCommand):
    """``sipctl demo``."""

    def setUp(self) -> None:
        WithCommand.setUp(self)
        self.file.unlink()

    def test_it_writes_what_can_be_served(self) -> None:
        lines = self.passes("demo").splitlines()
        self.assertEqual(lines[0], f"configuration: {self.file}, data: var/")
        self.assertEqual(lines[1], f"account: {ALICE}, password: alice-demo")
        self.assertTrue(lines[-1].startswith("server: udp 127.0.0.1:5060, tcp 127.0.0.1:5060;"))
        self.assertEqual(len(self.accounts()), 2)
        FakeServer(str(self.home), self.file.read_text())

    def test_again_changes_nothing(self) -> None:
        first = self.passes("demo")
        self.passes("user", "passwd", ALICE, "--password", "mine")
        secret = self.accounts().secret(ALICE.encode(), "MD5")
        text = self.file.read_text() + "# mine\n"
        self.file.write_text(text)
        self.assertEqual(self.passes("demo"), first)
        self.assertEqual(self.file.read_text(), text)
        self.assertEqual(self.accounts().secret(ALICE.encode(), "MD5"), secret)

    def test_a_configuration_of_somebodys_own(self) -> None:
        self.file.write_text(CONFIG.replace("example.test", "b.test"))
        line = f"{self.file} is a configuration of your own: used as it is\n"
        self.assertEqual(self.passes("demo"), line)
        self.assertFalse((self.home / "var").exists())

    def test_a_configuration_with_a_fault(self) -> None:
        self.file.write_text("domains = 1")
        self.assertIn(f"sipctl: {self.file}: domains: needs an array", self.fails("demo"))
