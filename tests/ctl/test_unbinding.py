"""``sipctl unbind``: bindings end as the operator says, and who watches is told why."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, fail

from sipproxy.ctl.server import Commands
from sipproxy.interfaces import Ending
from sipproxy.registrar.binding import Binding
from sipproxy.sip.errors import SipError
from sipproxy.store.accounts import AccountTable
from sipproxy.testing import CONFIG, FakeServer
from tests.ctl.test_main import WithCommand
from tests.ctl.test_server import REGISTER
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

ALICE = b"alice@example.test"


class UnbindingTest(TableCase):
    """What the server does, and what is heard of it."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), CONFIG + "[auth]\nrequired = false")
        self.location = self.server.node.location
        self.ended: list[tuple[str, str, int]] = []
        self.location.listen(self.hear)
        phone = self.server.client("192.0.2.1")
        phone.send(REGISTER.format(user="alice"))
        again = REGISTER.format(user="alice").replace("CSeq: 1", "CSeq: 2")
        phone.send(again.replace("alice@192.0.2.1", "desk@192.0.2.1").replace("z9hG4bK", "&2"))

    def hear(self, aor: bytes, binding: Binding, ending: Ending) -> None:
        """Note the end of a contact."""
        contact = binding.contact.raw_uri.decode()
        self.ended.append((contact, ending.event.decode(), ending.retry_after))

    def unbind(self, event: str, aor: str = "alice@example.test", **asked: Any) -> list[str]:
        """Return the contacts that a command is about."""
        request = {"command": "unbind", "aor": aor, "event": event, **asked}
        return [row["contact"] for row in Commands(self.server.node).run(request)]

    @rfc(3680, "4.7.1", "an administrator ends a contact: deactivated, by probation, or rejected")
    @rows(
        {
            "deactivated": ("deactivated", 0, 0),
            "rejected": ("rejected", 0, 0),
            "probation": ("probation", 30, 30),
        }
    )
    def test_end(self, event: str, seconds: int, retry_after: int) -> None:
        contacts = ["sip:alice@192.0.2.1", "sip:desk@192.0.2.1"]
        self.assertEqual(self.unbind(event, seconds=seconds), contacts)
        self.assertEqual(self.ended, [(contact, event, retry_after) for contact in contacts])
        self.assertEqual(list(self.location.bindings(ALICE)), [])

    def test_one_contact(self) -> None:
        contact = "sip:desk@192.0.2.1"
        self.assertEqual(self.unbind("rejected", contact=contact), [contact])
        (left,) = self.location.bindings(ALICE)
        self.assertEqual(left.contact.raw_uri, b"sip:alice@192.0.2.1")

    @rfc(3680, "3.1", "an administrator shortens a registration, so that the client proves itself")
    def test_shortened(self) -> None:
        self.assertEqual(len(self.unbind("shortened", seconds=60)), 2)
        self.assertEqual(self.unbind("shortened", seconds=60), [], "they are as short already")
        self.assertEqual([b.event for b in self.location.bindings(ALICE)], [b"shortened"] * 2)
        self.server.advance(61)
        self.assertEqual([event for _, event, _ in self.ended], ["expired"] * 2)

    def test_while_a_register_is_written(self) -> None:
        """That comes first: what it binds stays, where another contact is ended."""
        writing: Deferred[None] = Deferred()
        self.location.turns.take(ALICE, lambda: writing)
        asked = {"aor": ALICE.decode(), "event": "rejected", "contact": "sip:desk@192.0.2.1"}
        result = Commands(self.server.node).run({"command": "unbind", **asked})
        self.assertNoResult(result)
        self.assertEqual(self.ended, [])
        writing.callback(None)
        self.assertEqual(len(self.successResultOf(result)), 1)
        self.assertEqual(len(self.ended), 1)

    def test_a_disk_that_is_full(self) -> None:
        def failing(*_: object) -> Any:
            return fail(SipError(500))

        self.patch(self.location, "commit", failing)
        result = Commands(self.server.node).run(
            {"command": "unbind", "aor": ALICE.decode(), "event": "rejected"}
        )
        error = self.failureResultOf(result, ValueError)
        self.assertIn("the bindings stay: the store cannot be written", str(error.value))

    def test_nobody_there(self) -> None:
        self.assertEqual(self.unbind("rejected", aor="bob@example.test"), [])
        self.assertEqual(self.unbind("rejected", contact="sip:nobody@192.0.2.1"), [])
        self.assertEqual(self.ended, [])

    @rows(
        {
            "another event": {"event": "refreshed"},
            "the past": {"event": "probation", "seconds": -1},
            "no address": {"event": "rejected", "aor": "alice"},
        }
    )
    def test_refused(self, asked: dict[str, Any]) -> None:
        self.assertRaises(ValueError, self.unbind, **asked)
        self.assertEqual(self.ended, [])

    def test_whoever_is_no_user_any_more(self) -> None:
        node = self.server.node
        Commands(node).run({"command": "reload-accounts"})
        self.assertEqual(self.ended, [], "in a laboratory everybody is a user")
        table = AccountTable(self.server.config.data)
        for aor in (ALICE.decode(), "bob@example.test"):
            table.put(aor, "secret", replace=False)
        node.credentials = node.accounts
        node.location.commit(b"bob@example.test", node.location.bindings(ALICE)[:1])
        with patch.object(node.departures, "look") as look:
            Commands(node).run({"command": "reload-accounts"})
        look.assert_not_called()  # nobody is gone, and there may be a million to be looked at
        table.delete(ALICE.decode())
        Commands(node).run({"command": "reload-accounts"})
        self.assertEqual([event for _, event, _ in self.ended], ["rejected"] * 2)
        self.assertEqual(list(node.location.aors()), [b"bob@example.test"])


class CommandTest(WithCommand):
    """What is typed."""

    def test_events(self) -> None:
        self.serve()
        asked = {
            (): ("deactivated", 0),
            ("--reject",): ("rejected", 0),
            ("--retry-after", "30"): ("probation", 30),
            ("--within", "60"): ("shortened", 60),
        }
        for words in asked:
            self.passes("unbind", "alice@example.test", *words)
        found = [(arguments["event"], arguments["seconds"]) for _, arguments in self.asked]
        self.assertEqual(found, list(asked.values()))

    def test_what_is_told(self) -> None:
        self.serve()
        rows = json.loads(self.passes("unbind", "alice@example.test", "--json"))
        self.assertEqual([row["contact"] for row in rows], ["sip:alice@192.0.2.1"])
        self.assertEqual(self.passes("unbind", "alice@example.test"), "no bindings\n")

    def test_one_thing_at_a_time(self) -> None:
        result = self.type("unbind", "alice@example.test", "--reject", "--within", "5")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("exclude each other", result.stderr)

    def test_no_server(self) -> None:
        self.assertIn("no server answers", self.fails("unbind", "alice@example.test"))
