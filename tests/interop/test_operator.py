"""What an operator does with ``twistd`` and ``sipctl``, rightly and wrongly."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.authority import Authority, dns
from tests.interop.processes import (
    DEADLINE,
    HOST,
    Process,
    Server,
    configuration,
    directory,
    free_port,
    is_free,
    is_running,
    program,
    sipctl,
    wait_for,
)
from tests.interop.users import User

DOMAIN = "example.test"
ALICE = f"alice@{DOMAIN}"


class MistakeTests(TestCase):
    """A mistake is one line that names the file, the key and the remedy; nothing is served."""

    timeout = 120

    def setUp(self) -> None:
        """Choose a place."""
        self.place = directory(self)
        self.file = self.place / "sipproxy.toml"
        self.port = free_port()

    def refused(self, text: str, *wanted: str) -> None:
        """Start a server, in the foreground and as a daemon, which must not start."""
        self.file.write_text(text)
        for mode in (["-n"], ["--logfile", "log"]):
            arguments = [str(program("twistd")), *mode, "--pidfile", "pid", "sipproxy"]
            done = subprocess.run(
                arguments, cwd=self.place, capture_output=True, text=True, timeout=DEADLINE
            )
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            for part in ("sipproxy.toml: ", *wanted):
                self.assertIn(part, done.stderr)
            self.assertNotIn("Traceback", done.stdout)
            left = {path.name for path in self.place.rglob("*")} - {"log", "var"}
            self.assertEqual(left, {"sipproxy.toml"})

    def test_wrong_key(self) -> None:
        """The keys that there are stand in the line."""
        text = configuration(DOMAIN, self.port, "[proxy]\npatiense = 1.0\n")
        self.refused(text, "proxy.patiense: ", "unknown key", "remove it", "patience")
        self.assertTrue(is_free(self.port))

    def test_wrong_type(self) -> None:
        """What is needed stands in the line."""
        text = configuration(DOMAIN, self.port).replace(f"{self.port}", f'"{self.port}"', 1)
        self.refused(text, "listen[0].port: ", "needs a whole number, not a string")
        self.assertTrue(is_free(self.port))

    def test_port_taken(self) -> None:
        """Neither listener is served where one of them cannot be."""
        for key, kind in (("listen[0]", socket.SOCK_DGRAM), ("listen[1]", socket.SOCK_STREAM)):
            with socket.socket(socket.AF_INET, kind) as other:
                other.bind((HOST, self.port))
                if kind == socket.SOCK_STREAM:
                    other.listen()
                text = configuration(DOMAIN, self.port)
                self.refused(text, f"{key}: ", f"{HOST}:{self.port}", "another address or port")
            self.assertTrue(is_free(self.port))

    def test_no_file(self) -> None:
        """A file that is not there is named."""
        arguments = [str(program("twistd")), "-n", "--pidfile=", "sipproxy", "--config", "no.toml"]
        done = subprocess.run(
            arguments, cwd=self.place, capture_output=True, text=True, timeout=DEADLINE
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("no.toml: no such file", done.stderr)


class DaemonTests(TestCase):
    """``twistd sipproxy`` in the background, twice."""

    timeout = 120

    def setUp(self) -> None:
        """Write a configuration."""
        self.place = directory(self)
        self.port = free_port()
        self.place.joinpath("sipproxy.toml").write_text(configuration(DOMAIN, self.port))
        self.pid_file = self.place / "server.pid"
        self.control = self.place / "var" / "control.sock"

    def start(self) -> int:
        """Start the daemon, and return its process id once it serves."""
        arguments = ["--logfile", "server.log", "--pidfile", "server.pid", "sipproxy"]
        command = [str(program("twistd")), *arguments, "--config", "sipproxy.toml"]
        done = subprocess.run(
            command, cwd=self.place, capture_output=True, text=True, timeout=DEADLINE
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        wait_for(lambda: self.pid_file.exists() and self.pid_file.read_text(), "the pid file")
        pid = int(self.pid_file.read_text())
        self.addCleanup(self.kill, pid)
        wait_for(lambda: sipctl(self.place, "status").returncode == 0, "the control socket")
        return pid

    def kill(self, pid: int) -> None:
        """End what a failed test has left."""
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)

    def stop(self, pid: int) -> None:
        """End the daemon as an operator does, and look for what it leaves."""
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not is_running(pid), "the end of the daemon")
        self.assertFalse(self.pid_file.exists())
        self.assertFalse(self.control.exists())
        self.assertTrue(is_free(self.port))
        self.assertNotIn("Traceback", self.place.joinpath("server.log").read_text())

    def pinged(self) -> None:
        """Send OPTIONS to the server, by both transports (RFC 3261 §11)."""
        for transport in ("udp", "tcp"):
            probe = User(self, ALICE, self.port, transport)
            response = probe.authenticated(b"OPTIONS", f"sip:{DOMAIN}".encode(), ALICE, [])
            self.assertEqual(response.status, 200)
            self.assertIn(b"MESSAGE", response.value(b"allow") or b"")

    def test_what_a_daemon_keeps(self) -> None:
        """It is there after a crash, though ``sipctl`` has written to the file meanwhile."""
        pid = self.start()
        for name in ("alice", "bob", "carol"):
            aor = f"{name}@{DOMAIN}"
            user = User(self, aor, self.port)
            added = sipctl(self.place, "user", "add", aor, "--password", user.password)
            self.assertEqual(added.returncode, 0, added.stderr)
            self.assertEqual(user.register(600).status, 200)
        wait_for(lambda: self.kept() == 3, "the bindings on disk")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_running(pid), "the end of the daemon")
        self.pid_file.unlink()  # for twistd a dead child of nobody still runs
        pid = self.start()
        rows = json.loads(sipctl(self.place, "bindings", "--json").stdout)
        names = [row["aor"].partition("@")[0] for row in rows]
        self.assertEqual(names, ["alice", "bob", "carol"])
        self.stop(pid)

    def kept(self) -> int:
        """Return how many users have bindings on disk."""
        with closing(sqlite3.connect(self.place / "var" / "sipproxy.sqlite")) as database:
            rows = database.execute("SELECT count(*) FROM state WHERE kind = 'bindings'")
            count: int = rows.fetchone()[0]
        return count

    def test_twice(self) -> None:
        """It starts, answers, passes its trial, stops, and starts again."""
        for _ in range(2):
            pid = self.start()
            self.assertEqual(stat.S_IMODE(self.control.stat().st_mode), 0o600)
            self.pinged()
            self.assertEqual(json.loads(sipctl(self.place, "status", "--json").stdout)["pid"], pid)
            tried = sipctl(self.place, "try")
            steps = tried.stdout.splitlines()
            self.assertEqual(tried.returncode, 0, tried.stdout + tried.stderr)
            self.assertGreater(len(steps), 10)
            self.assertEqual([step for step in steps if not step.startswith("pass")], [])
            self.stop(pid)


class CommandTests(TestCase):
    """``sipctl``, with the server running and not."""

    timeout = 120

    def run_command(self, place: Path, *arguments: str, given: str = "") -> str:
        """Run a command that has to succeed, and return what it printed."""
        done = sipctl(place, *arguments, given=given)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def refused(self, place: Path, wanted: str, *arguments: str, given: str = "") -> None:
        """Run a command that has to fail, with one line."""
        done = sipctl(place, *arguments, given=given)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(wanted, done.stderr)

    def accounts(self, place: Path) -> list[str]:
        """Return the accounts that are listed."""
        rows = json.loads(self.run_command(place, "user", "list", "--json"))
        return [row["account"] for row in rows]

    def test_without_server(self) -> None:
        """Accounts are kept; what only a server knows is refused."""
        place = directory(self)
        place.joinpath("sipproxy.toml").write_text(configuration(DOMAIN, free_port()))
        add = ("user", "add", ALICE, "--password-stdin")
        self.run_command(place, *add, given="first\n")
        self.refused(place, "exists", *add, given="first\n")
        self.refused(place, "none of our domains", "user", "add", "a@b.test", "--password", "x")
        self.run_command(place, "user", "passwd", ALICE, "--password", "second")
        self.assertEqual(self.accounts(place), [ALICE])
        self.assertIn(ALICE, self.run_command(place, "user", "list"))
        self.assertIn("all is well", self.run_command(place, "check"))
        for command in ("status", "bindings"):
            self.refused(place, "no server answers", command)
            self.refused(place, "no server answers", command, "--json")
        self.run_command(place, "user", "del", ALICE)
        self.assertEqual(self.accounts(place), [])
        self.refused(place, "does not exist", "user", "del", ALICE)

    def test_check_finds_mistakes(self) -> None:
        """What would stop a server from starting is found beforehand."""
        place, port = directory(self), free_port()
        file = place / "sipproxy.toml"
        file.write_text(configuration(DOMAIN, port, "[proxy]\nrouters = ['nowhere']\n"))
        self.refused(place, "proxy.routers[0]", "check")
        file.write_text(configuration(DOMAIN, port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, port))
            self.refused(place, "listen[0]", "check")

    def test_with_server(self) -> None:
        """What is changed holds at once, and what is going on is shown."""
        server = Server(self, DOMAIN).ready()
        place = server.place
        alice = User(self, ALICE, server.port)
        self.assertEqual(alice.register(60).status, 401)
        add = ("user", "add", ALICE, "--password-stdin")
        self.run_command(place, *add, given=f"{alice.password}\n")
        self.assertEqual(alice.register(60).status, 200)
        self.run_command(place, "user", "passwd", ALICE, "--password-stdin", given="new\n")
        self.assertEqual(alice.register(60).status, 401)
        alice.password = "new"
        self.assertEqual(alice.register(60).status, 200)
        self.assertEqual(self.accounts(place), [ALICE])
        self.shown(server)
        self.run_command(place, "user", "del", ALICE)
        self.assertEqual(alice.register(60).status, 401)
        self.assertIn(server.stop(), (0, -signal.SIGTERM))
        self.refused(place, "no server answers", "status")

    def shown(self, server: Server) -> None:
        """Look at a server where alice is registered."""
        place = server.place
        self.assertIn("all is well", self.run_command(place, "check"))
        status = json.loads(self.run_command(place, "status", "--json"))
        self.assertEqual((status["users_registered"], status["bindings"]), (1, 1))
        self.assertIn(f"udp {HOST}:{server.port}", self.run_command(place, "status"))
        self.assertIn(ALICE, self.run_command(place, "bindings"))
        for arguments in ((), (ALICE,)):
            rows = json.loads(self.run_command(place, "bindings", *arguments, "--json"))
            self.assertEqual([row["aor"] for row in rows], [ALICE])
            self.assertIn(f"sip:alice@{HOST}:", rows[0]["contact"])
        rows = json.loads(self.run_command(place, "bindings", f"bob@{DOMAIN}", "--json"))
        self.assertEqual(rows, [])


class FollowTests(TestCase):
    """``sipctl ... --follow``, beside a server that somebody uses."""

    timeout = 120

    def follow(self, place: Path, *words: str) -> Process:
        """Begin to follow."""
        command = [program("sipctl"), *words, "--follow", "--json"]
        return Process(self, " ".join(words), command, place)

    def test_what_comes_and_goes(self) -> None:
        """Each change is a line; Ctrl-C is a good end, and that of the server is told."""
        server = Server(self, DOMAIN, ["alice"]).ready()
        tables = [self.follow(server.place, name) for name in ("flows", "bindings")]
        probe = User(self, ALICE, server.port, "tcp")
        for following in tables:
            # It may not follow yet: somebody comes and goes until it does.
            def told(following: Process = following) -> bool:
                self.assertEqual(probe.register(60).status, 200)
                self.assertEqual(probe.register(0).status, 200)
                other = User(self, ALICE, server.port, "tcp")
                other.close()
                return '"new"' in following.output and '"gone"' in following.output

            following.wait_for(told, "a line about what comes, and goes")
        flows, bindings = tables
        first = json.loads(flows.output.splitlines()[0])
        self.assertEqual((first["transport"], first["local"]), ("TCP", f"{HOST}:{server.port}"))
        os.kill(flows.pid, signal.SIGINT)
        self.assertEqual(flows.wait(DEADLINE), 0)
        self.assertNotIn("Traceback", flows.output)
        server.stop()
        self.assertEqual(bindings.wait(DEADLINE), 1)
        self.assertTrue(bindings.output.endswith("sipctl: the server has ended\n"))

    def test_a_connection_with_tls(self) -> None:
        """What it is encrypted with, and who its peer has proven to be."""
        place, port = directory(self), free_port()
        certificate, key = Authority().write(place, "our", *dns(DOMAIN))
        names = f'certificate = "{place / certificate}"\nprivate_key = "{place / key}"\n'
        tls = f'[[listen]]\ntransport = "tls"\naddress = "{HOST}"\nport = {port}\n{names}'
        server = Server(self, DOMAIN, ["alice"], tls).ready()
        probe = User(self, ALICE, port, "tls")
        self.assertEqual(probe.register(60).status, 200)
        listed = sipctl(server.place, "flows", ALICE, "--json")
        (row,) = json.loads(listed.stdout)
        self.assertEqual((row["transport"], row["users"]), ("TLS", [ALICE]))
        self.assertEqual((row["tls"], row["holds"]), ("TLSv1.3", {"bindings": 1}))
