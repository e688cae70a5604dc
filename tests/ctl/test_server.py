"""The server's side of the control socket: a line in, a line out, whatever comes."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipproxy import __version__
from sipproxy.ctl import server as module
from sipproxy.sip.scanner import IS_BUILT
from sipproxy.store.accounts import AccountTable
from sipproxy.store.documents import DocumentTable
from sipproxy.store.options import DocumentsOptions
from sipproxy.testing import CONFIG, FakeServer
from sipproxy.transport.batches import IS_USED
from tests.ctl.reading import Reader
from tests.presence.rulesets import ruleset

REGISTER = """
    REGISTER sip:example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK{user}
    Max-Forwards: 70
    From: <sip:{user}@example.test>;tag=1
    To: <sip:{user}@example.test>
    Call-ID: {user}
    CSeq: 1 REGISTER
    Path: <sip:edge.test;lr>
    Contact: <sip:{user}@192.0.2.1>;q=0.5;expires=600
    Content-Length: 0
    """
KNOWN = (
    "unknown command; there are: bindings, explain, flows, publications, reload, reload-accounts, "
    "reload-certificates, reload-documents, status, trace, unbind, watchers"
)


class WithConnection(SynchronousTestCase):
    """A test with an operator's connection to a server."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), CONFIG + "[auth]\nrequired = false")
        self.connect(self.server)

    def connect(self, server: FakeServer) -> None:
        """Open a connection."""
        self.reader = Reader(server.node)
        self.wire, self.protocol = self.reader.wire, self.reader.protocol

    def register(self, user: str) -> None:
        """Register a user."""
        self.server.client("192.0.2.1").send(REGISTER.format(user=user))

    def answers(self, data: bytes) -> list[Any]:
        """Send octets, and return what is answered."""
        self.wire.clear()
        self.protocol.dataReceived(data)
        return self.reader.lines()

    def ask(self, command: str, **arguments: Any) -> Any:
        """Return the result of a command, or the rows of a table."""
        line = json.dumps({"command": command, **arguments}).encode() + b"\n"
        *some, last = self.answers(line)
        self.assertTrue(last["ok"], last)
        return last.get("result", [row for answer in some for row in answer["rows"]])


class Lines(WithConnection):
    """What comes in lines, and what does not."""

    def errors(self, data: bytes) -> list[str]:
        """Return the errors that are answered; the connection stays."""
        answers = self.answers(data)
        self.assertFalse(any(answer["ok"] for answer in answers))
        self.assertFalse(self.wire.disconnecting)
        return [answer["error"] for answer in answers]

    def test_garbage(self) -> None:
        for data in (b"\n", b"status\n", b"\xff\xfe\x00\n", b'{"command"\n'):
            self.assertEqual(len(self.errors(data)), 1, data)

    def test_no_object(self) -> None:
        for data in (b"[]\n", b'"status"\n', b"1\n", b"null\n"):
            self.assertEqual(self.errors(data), ["a command is a JSON object"])

    def test_unknown_commands(self) -> None:
        for data in (b"{}\n", b'{"command": "stop"}\n', b'{"command": ["status"]}\n'):
            self.assertEqual(self.errors(data), [KNOWN])

    def test_a_trace_where_nothing_is_taped(self) -> None:
        self.server.node.tape = None
        (error,) = self.errors(b'{"command": "trace"}\n')
        self.assertIn("set limits.tape to some bytes", error)

    def test_several_lines_and_pieces(self) -> None:
        self.assertEqual(self.answers(b'{"com'), [])
        self.assertEqual(len(self.answers(b'mand": "bindings"}\n{}\n{"command": "status"}\n')), 3)

    def test_answers_come_in_order(self) -> None:
        """Also where a command has to wait."""
        waiting: Deferred[list[str]] = Deferred()
        self.patch(self.protocol._commands, "_known", {"wait": lambda _: waiting, "go": str})
        self.assertEqual(self.answers(b'{"command": "wait"}\n{"command": "go"}\n'), [])
        waiting.callback(["done"])
        results = [json.loads(line)["result"] for line in self.wire.value().splitlines()]
        self.assertEqual(results, [["done"], "{'command': 'go'}"])

    def test_too_much_at_once(self) -> None:
        """Whoever asks on and on while a table is written loses the connection."""
        self.patch(module, "WAITING", 3)
        self.protocol.dataReceived(b'{"command": "bindings"}\n' + b"{}\n" * 3)
        self.assertFalse(self.wire.disconnecting)
        self.protocol.dataReceived(b"{}\n")
        self.assertTrue(self.wire.disconnecting)

    def test_a_bug_in_a_table_is_logged_and_answered(self) -> None:
        self.register("alice")
        self.patch(self.server.node.location, "bindings", None)
        (answer,) = self.answers(b'{"command": "bindings"}\n')
        self.assertEqual(answer, {"ok": False, "error": "TypeError: see the log"})
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(self.answers(b"{}\n")[0]["error"], KNOWN)

    def test_an_oversized_line_ends_the_connection(self) -> None:
        self.assertEqual(self.answers(b"x" * 70000), [])
        self.assertTrue(self.wire.disconnecting)

    def test_a_bug_is_logged_and_answered(self) -> None:
        self.patch(self.server.node, "location", None)
        (answer,) = self.answers(b'{"command": "status"}\n')
        self.assertEqual(answer, {"ok": False, "error": "AttributeError: see the server's log"})
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_a_deep_line_is_a_bug_of_nobody(self) -> None:
        (error,) = self.errors(b"[" * 60000 + b"\n")
        self.assertTrue(error)
        self.flushLoggedErrors(RecursionError)


class Results(WithConnection):
    """What each command tells."""

    def test_status(self) -> None:
        self.server.clock.advance(12.34)
        self.register("alice")
        status = self.ask("status")
        self.assertIsInstance(status.pop("pid"), int)
        listen = [
            {"transport": "udp", "address": "127.0.0.1", "port": 5060},
            {"transport": "tcp", "address": "127.0.0.1", "port": 5060},
        ]
        expected = {
            "version": __version__,
            "uptime": 12.3,
            "domains": ["example.test"],
            "listen": listen,
            "users_registered": 1,
            "bindings": 1,
            "subscriptions": 0,
            "publications": 0,
            "transactions": 1,
            "datagrams_dropped": {"in": 0, "out": 0},
            "is_behind": False,
            "refused": {"rate": 0, "silently": 0, "behind": 0, "transactions": 0},
            "connections": 0,
            "scanner": "C" if IS_BUILT else "Python",
            "datagrams": "batched" if IS_USED else "single",
            "store_waiting": 0,
            "problems": [],
        }
        self.assertEqual(status, expected)

    def test_bindings(self) -> None:
        self.assertEqual(self.ask("bindings"), [])
        self.register("bob")
        self.register("alice")
        alice, bob = self.ask("bindings")
        expected = {
            "aor": "alice@example.test",
            "contact": "sip:alice@192.0.2.1",
            "expires": 600,
            "q": 0.5,
            "path": ["<sip:edge.test;lr>"],
            "instance": None,
            "reg_id": None,
            "flow": "UDP 192.0.2.1:5060",
        }
        self.assertEqual(alice, expected)
        self.assertEqual(bob["aor"], "bob@example.test")

    def test_bindings_of_one(self) -> None:
        self.register("alice")
        for aor in ("alice@example.test", "sip:alice@EXAMPLE.test", "%61lice@example.test"):
            self.assertEqual(len(self.ask("bindings", aor=aor)), 1, aor)
        self.assertEqual(self.ask("bindings", aor="bob@example.test"), [])

    def test_bindings_of_what_is_no_address(self) -> None:
        (answer,) = self.answers(b'{"command": "bindings", "aor": "alice"}\n')
        self.assertEqual(answer["error"], "'alice' is no address: write user@domain")


class Reloading(WithConnection):
    """Accounts that were written while the server runs."""

    def test_reload(self) -> None:
        self.server = FakeServer(self.mktemp())
        self.connect(self.server)
        AccountTable(self.server.config.data).put("alice@example.test", "a", replace=False)
        self.assertFalse(self.server.node.credentials.known(b"alice@example.test"))
        self.assertIsNone(self.ask("reload-accounts"))
        self.assertTrue(self.server.node.credentials.known(b"alice@example.test"))

    def test_documents(self) -> None:
        self.server = FakeServer(self.mktemp())
        self.connect(self.server)
        heard: list[tuple[bytes, str]] = []
        documents = self.server.node.documents
        documents.watch(lambda aor, kind: heard.append((aor, kind)))
        table = DocumentTable(self.server.config.data, DocumentsOptions())
        users = [b"alice@example.test", b"bob@example.test"]
        for user in users:
            table.put(user, "pres-rules", "index", ruleset())
        self.assertIsNone(self.ask("reload-documents", aor="sip:alice@EXAMPLE.test"))
        self.assertEqual(heard, [(users[0], "pres-rules")])
        self.assertIsNone(self.ask("reload-documents"))
        self.assertEqual(heard, [(user, "pres-rules") for user in users])
        self.assertEqual(documents.get(users[1], "pres-rules", "index"), ruleset())

    def test_documents_that_are_kept_elsewhere(self) -> None:
        self.patch(self.server.node, "documents", object())
        (answer,) = self.answers(b'{"command": "reload-documents"}\n')
        why = "these documents are not kept by sipctl: see components.documents"
        self.assertEqual(answer, {"ok": False, "error": why})

    def test_accounts_that_are_kept_elsewhere(self) -> None:
        self.patch(self.server.node, "accounts", object())
        (answer,) = self.answers(b'{"command": "reload-accounts"}\n')
        why = "these accounts are not kept by sipctl: see components.credentials"
        self.assertEqual(answer, {"ok": False, "error": why})
