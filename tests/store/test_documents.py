"""What users keep with us: what is kept, what is refused, and who is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipproxy.interfaces import IDocuments
from sipproxy.store.documents import DocumentError, Documents, DocumentTable
from sipproxy.store.options import DocumentsOptions
from sipproxy.store.schema import DatabaseError, transaction
from tests.presence.rulesets import rule, ruleset

ALICE, BOB, RULES = b"alice@example.test", b"bob@example.test", "pres-rules"
ONE, OTHER = ruleset(rule()), ruleset(rule(name="b"))


class DocumentCase(SynchronousTestCase):
    """A table, and documents of it that say what changes."""

    options = DocumentsOptions(max_size=1000, max_documents=2)

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.table = DocumentTable(self.directory, self.options)
        self.documents = Documents(self.table)
        self.heard: list[tuple[bytes, str]] = []
        self.documents.watch(lambda aor, kind: self.heard.append((aor, kind)))

    def kept(self) -> list[tuple[bytes, str, bytes]]:
        """Return what is on disk."""
        return [(aor, name, data) for aor, _, name, data in self.table.rows()]


class Keeping(DocumentCase):
    """What is put is there, in memory and on disk."""

    def test_they_are_documents(self) -> None:
        verifyObject(IDocuments, self.documents)

    def test_nothing_at_first(self) -> None:
        self.assertIsNone(self.documents.get(ALICE, RULES, "index"))
        self.assertEqual(self.documents.names(ALICE, RULES), ())
        self.assertFalse(self.documents.delete(ALICE, RULES, "index"))
        self.assertEqual((len(self.documents), self.heard), (0, []))

    def test_put(self) -> None:
        self.documents.put(ALICE, RULES, "index", ONE)
        self.assertEqual(self.documents.get(ALICE, RULES, "index"), ONE)
        self.assertEqual(self.kept(), [(ALICE, "index", ONE)])
        self.assertEqual(self.heard, [(ALICE, RULES)])
        self.assertIsNone(self.documents.get(BOB, RULES, "index"))
        self.assertIsNone(self.documents.get(ALICE, "resource-lists", "index"))

    def test_put_another_in_its_place(self) -> None:
        for data in (ONE, OTHER):
            self.documents.put(ALICE, RULES, "index", data)
        self.assertEqual(self.kept(), [(ALICE, "index", OTHER)])
        self.assertEqual(self.heard, [(ALICE, RULES)] * 2)

    def test_the_same_again_is_no_change(self) -> None:
        for _ in range(2):
            self.documents.put(ALICE, RULES, "index", ONE)
        self.assertEqual(self.heard, [(ALICE, RULES)])

    def test_several(self) -> None:
        for name in ("b", "a"):
            self.documents.put(ALICE, RULES, name, ONE)
        self.assertEqual(self.documents.names(ALICE, RULES), ("a", "b"))
        self.assertEqual(len(self.documents), 2)

    def test_delete(self) -> None:
        self.documents.put(ALICE, RULES, "index", ONE)
        self.assertTrue(self.documents.delete(ALICE, RULES, "index"))
        self.assertEqual((self.documents.names(ALICE, RULES), self.kept()), ((), []))
        self.assertEqual(self.heard, [(ALICE, RULES)] * 2)

    def test_forget(self) -> None:
        for aor in (ALICE, BOB):
            self.documents.put(aor, RULES, "index", ONE)
        self.table.forget(ALICE)
        self.assertEqual(self.kept(), [(BOB, "index", ONE)])

    def test_they_survive(self) -> None:
        self.documents.put(ALICE, RULES, "index", ONE)
        again = Documents(DocumentTable(self.directory, self.options))
        self.assertEqual(again.get(ALICE, RULES, "index"), ONE)


class Reloading(DocumentCase):
    """What another process has written."""

    def test_of_one_user(self) -> None:
        for aor in (ALICE, BOB):
            self.table.put(aor, RULES, "index", ONE)
        self.assertIsNone(self.documents.get(ALICE, RULES, "index"))
        self.documents.reload(ALICE)
        self.assertEqual(self.documents.get(ALICE, RULES, "index"), ONE)
        self.assertIsNone(self.documents.get(BOB, RULES, "index"))
        self.assertEqual(self.heard, [(ALICE, RULES)])

    def test_while_another_process_writes(self) -> None:
        """Nobody who reads waits: here the reactor would."""
        self.table.put(ALICE, RULES, "index", ONE)
        with transaction(self.table.path) as database:
            database.execute("DELETE FROM documents")
            self.documents.reload(ALICE)
        self.assertEqual(self.documents.get(ALICE, RULES, "index"), ONE)
        self.documents.reload(ALICE)
        self.assertIsNone(self.documents.get(ALICE, RULES, "index"))

    def test_of_all(self) -> None:
        self.documents.put(ALICE, RULES, "index", ONE)
        self.documents.put(BOB, RULES, "index", ONE)
        self.table.delete(ALICE, RULES, "index")
        self.table.put(b"carol@example.test", RULES, "index", ONE)
        self.heard.clear()
        self.documents.reload()
        self.assertEqual(sorted(self.heard), [(ALICE, RULES), (b"carol@example.test", RULES)])
        self.documents.reload()
        self.assertEqual(len(self.heard), 2)


class Refusing(DocumentCase):
    """What is not kept, and leaves what there was."""

    def refused(self, kind: str, name: str, data: bytes) -> str:
        """Return why a document is refused."""
        return str(self.assertRaises(DocumentError, self.documents.put, ALICE, kind, name, data))

    def test_table(self) -> None:
        self.documents.put(ALICE, RULES, "index", ONE)
        large = ONE + b" " * 1000
        word = "is no name: write letters and digits, as in index"
        for kind, name, data, expected in (
            (RULES, "index", b"<ruleset>", "Malformed XML: "),
            (RULES, "index", b"<presence/>", "line 1: Element 'presence'"),
            (RULES, "index", large, f"it has {len(large)} bytes, and 1000 are allowed by"),
            ("buddies", "index", ONE, "'buddies' is no kind of document: there are pres-rules"),
            (RULES, "", ONE, f"'' {word}"),
            (RULES, "..", ONE, f"'..' {word}"),
            (RULES, "a/b", ONE, f"'a/b' {word}"),
            (RULES, "a\n", ONE, f"'a\\n' {word}"),
            (RULES, "a" * 101, ONE, f"'{'a' * 100}' {word}"),
        ):
            error = self.refused(kind, name, data)
            self.assertTrue(error.startswith(expected), error)
        self.assertEqual(self.kept(), [(ALICE, "index", ONE)])
        self.assertEqual(self.documents.get(ALICE, RULES, "index"), ONE)
        self.assertEqual(self.heard, [(ALICE, RULES)])

    def test_too_many(self) -> None:
        for name in ("a", "b"):
            self.documents.put(ALICE, RULES, name, ONE)
        expected = "there are 2 pres-rules documents already: delete one"
        self.assertEqual(self.refused(RULES, "c", ONE), expected)
        self.documents.put(ALICE, RULES, "b", OTHER)
        self.documents.put(BOB, RULES, "c", ONE)
        self.assertEqual([name for _, name, _ in self.kept()], ["a", "b", "c"])

    def test_a_disk_that_fails(self) -> None:
        with closing(sqlite3.connect(self.table.path)) as database, database:
            database.execute("DROP TABLE documents")
        self.assertRaises(DatabaseError, self.documents.put, ALICE, RULES, "index", ONE)
        self.assertIsNone(self.documents.get(ALICE, RULES, "index"))
        self.assertEqual(self.heard, [])

    def test_options(self) -> None:
        for name in ("max_size", "max_documents"):
            error = self.assertRaises(ValueError, DocumentsOptions, **{name: 0})
            self.assertEqual(str(error), f"{name} has to be at least 1")
