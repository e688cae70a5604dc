"""``sipctl rules``, as an operator types it."""

from __future__ import annotations

import json

from sipproxy.testing import CONFIG, FakeServer
from tests.ctl.test_main import ALICE, WithCommand
from tests.presence.rulesets import identity, rule, ruleset

ONE = ruleset(rule(), rule(name="b")).decode()
BAD = ruleset(rule(identity('<many><except id="bob"/></many>'))).decode()
REMEDY = "put some with `sipctl rules put user@domain FILE`"


class Rules(WithCommand):
    """Each command, with alice having an account."""

    def setUp(self) -> None:
        WithCommand.setUp(self)
        self.passes("user", "add", ALICE, "--password", "x")
        self.asked.clear()
        self.rules = self.home / "rules.xml"
        self.rules.write_text(ONE)

    def test_put_and_get(self) -> None:
        self.assertEqual(self.passes("rules", "put", ALICE, str(self.rules)), "")
        self.assertEqual(self.passes("rules", "get", ALICE), ONE)
        self.assertEqual(self.asked, [("reload-documents", {"aor": ALICE})])

    def test_put_from_standard_input(self) -> None:
        self.passes("rules", "put", "sip:alice@EXAMPLE.test", "-", typed=ONE)
        self.assertEqual(self.passes("rules", "get", ALICE), ONE)

    def test_put_under_another_name(self) -> None:
        self.passes("rules", "put", ALICE, str(self.rules), "--name", "friends")
        self.assertEqual(self.passes("rules", "get", ALICE, "--name", "friends"), ONE)
        line = self.fails("rules", "get", ALICE)
        self.assertEqual(
            line, f"sipctl: {ALICE} has no rules called index: see `sipctl rules list`"
        )

    def test_delete(self) -> None:
        self.passes("rules", "put", ALICE, str(self.rules))
        self.assertEqual(self.passes("rules", "del", ALICE), "")
        self.assertEqual([command for command, _ in self.asked], ["reload-documents"] * 2)
        line = self.fails("rules", "del", ALICE)
        self.assertEqual(
            line, f"sipctl: {ALICE} has no rules called index: see `sipctl rules list`"
        )

    def test_list(self) -> None:
        self.assertEqual(self.passes("rules", "list"), f"no rules; {REMEDY}\n")
        self.assertEqual(json.loads(self.passes("rules", "list", "--json")), [])
        self.passes("rules", "put", ALICE, str(self.rules))
        row = {"user": ALICE, "name": "index", "rules": 2, "bytes": len(ONE)}
        self.assertEqual(json.loads(self.passes("rules", "list", "--json")), [row])
        self.assertEqual(json.loads(self.passes("rules", "list", ALICE, "--json")), [row])
        self.assertEqual(self.passes("rules", "list", "bob@example.test"), f"no rules; {REMEDY}\n")
        self.assertEqual(
            self.passes("rules", "list").split()[:4], ["user", "name", "rules", "bytes"]
        )

    def test_a_running_server_knows_at_once(self) -> None:
        server = FakeServer(str(self.home), CONFIG)
        self.node = server.node
        heard: list[bytes] = []
        server.node.documents.watch(lambda aor, kind: heard.append(aor))
        self.passes("rules", "put", ALICE, str(self.rules))
        names = server.node.documents.names(ALICE.encode(), "pres-rules")
        self.assertEqual((names, heard), (("index",), [ALICE.encode()]))

    def test_what_is_refused(self) -> None:
        self.passes("rules", "put", ALICE, str(self.rules))
        bad = self.home / "bad.xml"
        bad.write_text(BAD)
        for words, expected in (
            (
                ("put", ALICE, str(bad)),
                f'{bad}: line 1: rule "a": <except id="bob"> is no URI: write sip:user@domain;'
                " nothing changed",
            ),
            (("put", ALICE, "nowhere.xml"), "nowhere.xml: No such file or directory"),
            (
                ("put", ALICE, str(self.rules), "--name", "a/b"),
                f"{self.rules}: 'a/b' is no name: write letters and digits, as in index;"
                " nothing changed",
            ),
            (
                ("put", "bob@example.test", str(self.rules)),
                "bob@example.test does not exist: use `sipctl user add`",
            ),
            (
                ("put", "bob@b.test", str(self.rules)),
                "bob@b.test is in none of our domains: example.test",
            ),
            (("get", "alice"), "'alice' is no address: write user@domain"),
        ):
            self.assertEqual(self.fails("rules", *words), f"sipctl: {expected}")
        self.assertEqual(self.passes("rules", "get", ALICE), ONE)

    def test_standard_input_that_is_refused(self) -> None:
        line = self.fails("rules", "put", ALICE, "-", typed="<ruleset>")
        self.assertTrue(line.startswith("sipctl: standard input: Malformed XML: "), line)

    def test_everybody_exists_where_nobody_is_challenged(self) -> None:
        self.file.write_text(CONFIG + "[auth]\nrequired = false")
        self.passes("rules", "put", "bob@example.test", str(self.rules))
        self.assertEqual(self.passes("rules", "get", "bob@example.test"), ONE)

    def test_the_options_of_the_component(self) -> None:
        self.file.write_text(CONFIG + "[plugin.documents]\nmax_size = 10")
        line = self.fails("rules", "put", ALICE, str(self.rules))
        self.assertIn("10 are allowed by [plugin.documents] max_size; nothing changed", line)
        self.file.write_text(CONFIG + "[plugin.documents]\nmax_size = 0")
        line = self.fails("rules", "list")
        self.assertIn("sipproxy.toml: plugin.documents: max_size has to be at least 1", line)

    def test_no_more_rules_than_presence_reads(self) -> None:
        self.file.write_text(CONFIG + "[presence]\nrules = 1")
        line = self.fails("rules", "put", ALICE, str(self.rules))
        told = "it has 2 rules, conditions and names in them, and 1 are allowed by [presence] rules"
        self.assertEqual(line, f"sipctl: {self.rules}: {told}; nothing changed")

    def test_documents_of_another_component(self) -> None:
        self.file.write_text(CONFIG + '[components]\ndocuments = "ldap"')
        line = self.fails("rules", "list")
        self.assertIn("components.documents: 'ldap' has documents of its own", line)
        self.passes("user", "del", ALICE)

    def test_a_server_that_refuses(self) -> None:
        self.refuses = "these documents are not kept by sipctl"
        line = self.fails("rules", "put", ALICE, str(self.rules))
        self.assertEqual(line, "sipctl: these documents are not kept by sipctl")

    def test_whoever_gets_an_old_address_begins_anew(self) -> None:
        self.passes("rules", "put", ALICE, str(self.rules))
        self.passes("user", "del", ALICE)
        self.passes("user", "add", ALICE, "--password", "y")
        self.assertEqual(self.passes("rules", "list"), f"no rules; {REMEDY}\n")
