"""The database file: its versions, and what a damaged one is met with."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.store.accounts import AccountTable
from sipproxy.store.schema import STEPS, DatabaseError, check, connect, create, transaction
from sipproxy.store.settings import StoreSettings
from sipproxy.store.sqlite import SqliteStore

PAGE = 4096


class SchemaCase(SynchronousTestCase):
    """A directory with a database."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.path = create(self.directory)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Do something to the file that the server would not."""
        with closing(sqlite3.connect(self.path)) as database, database:
            return list(database.execute(statement))


class VersionTests(SchemaCase):
    """Files of every version."""

    def test_a_new_file_is_of_the_newest_version(self) -> None:
        connect(self.path).close()
        self.assertEqual(self.execute("PRAGMA user_version"), [(len(STEPS),)])

    def test_accounts_of_before_versions_are_kept(self) -> None:
        self.execute(STEPS[0])
        self.execute("INSERT INTO accounts VALUES ('alice', 'example.test', x'01', x'02', x'03')")
        self.assertEqual([aor for aor, _ in self.rows()], [b"alice@example.test"])
        self.assertEqual(self.execute("PRAGMA user_version"), [(len(STEPS),)])

    def rows(self) -> list[tuple[bytes, object]]:
        """Return the accounts as the server reads them."""
        self.execute("UPDATE accounts SET user = CAST(user AS BLOB), domain = CAST(domain AS BLOB)")
        return list(AccountTable(self.directory).rows())

    def test_every_version_comes_to_the_same(self) -> None:
        connect(self.path).close()
        newest = self.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
        for version in range(len(STEPS)):
            self.path.unlink()
            for step in STEPS[:version]:
                self.execute(step)
            self.execute(f"PRAGMA user_version = {version}")
            connect(self.path).close()
            found = self.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
            self.assertEqual(found, newest, version)

    def test_a_newer_version_is_left_alone(self) -> None:
        self.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
        error = self.assertRaises(DatabaseError, connect, self.path)
        self.assertIn("which a newer sipproxy has made", str(error))
        self.assertEqual(self.execute("PRAGMA user_version"), [(len(STEPS) + 1,)])

    def test_a_migration_that_fails_changes_nothing(self) -> None:
        self.execute("CREATE TABLE state (something_else)")
        self.assertRaises(DatabaseError, connect, self.path)
        self.assertEqual(self.execute("PRAGMA user_version"), [(0,)])
        self.assertEqual(self.execute("SELECT name FROM sqlite_schema"), [("state",)])

    def test_a_transaction_that_fails_changes_nothing(self) -> None:
        def fail() -> None:
            with transaction(self.path) as database:
                database.execute("INSERT INTO state VALUES ('k', x'00', x'00')")
                raise KeyError

        self.assertRaises(KeyError, fail)
        self.assertEqual(self.execute("SELECT * FROM state"), [])

    def test_one_that_another_process_writes_to(self) -> None:
        connect(self.path).close()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            database = connect(self.path)
            database.execute("PRAGMA busy_timeout = 1")
            self.assertRaises(sqlite3.OperationalError, database.execute, "BEGIN IMMEDIATE")
            database.close()


class OtherProcessTests(SchemaCase):
    """``sipctl`` writes to the file while the server has it open."""

    def write_elsewhere(self, key: str) -> None:
        """Write a value, and close the file, in a process of its own."""
        text = (
            "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]);"
            "database.execute('INSERT INTO state VALUES (?, ?, ?)', ('k', sys.argv[2], b''));"
            "database.commit(); database.close()"
        )
        subprocess.run([sys.executable, "-c", text, str(self.path), key], check=True)

    def test_what_is_written_after_it_is_kept(self) -> None:
        """Nothing that opens the file beside the server's connection takes its locks away."""
        with closing(connect(self.path)) as database:
            database.execute("INSERT INTO state VALUES ('k', 'a', x'')")
            AccountTable(self.directory)
            self.write_elsewhere("b")
            database.execute("INSERT INTO state VALUES ('k', 'c', x'')")
            self.write_elsewhere("d")
            found = [key for (key,) in self.execute("SELECT key FROM state ORDER BY key")]
        self.assertEqual(found, ["a", "b", "c", "d"])


class DamageTests(SchemaCase):
    """A file cut or overwritten anywhere is told from a good one in one line, or read whole."""

    def setUp(self) -> None:
        SchemaCase.setUp(self)
        with transaction(self.path) as database:
            rows = [("k", b"%06d" % number, bytes(300)) for number in range(200)]
            database.executemany("INSERT INTO state VALUES (?, ?, ?)", rows)
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.good = self.path.read_bytes()
        self.pages = len(self.good) // PAGE

    def verdict(self, data: bytes) -> str:
        """Return what is said of a file, empty for a good one; anything else is raised."""
        self.path.write_bytes(data)
        try:
            with closing(connect(self.path)) as database:
                check(database, self.path)
                rows = database.execute("SELECT count(*) FROM state").fetchone()[0]
        except DatabaseError as error:
            return str(error)
        self.assertIn(rows, (0, 200))
        return "" if rows else "empty"

    def test_the_good_one(self) -> None:
        self.assertGreater(self.pages, 10)
        self.assertEqual(self.verdict(self.good), "")

    def test_cut_at_every_page(self) -> None:
        for page in range(1, self.pages):
            self.assertIn("is damaged", self.verdict(self.good[: page * PAGE]), page)

    def test_cut_within_a_page(self) -> None:
        for page in range(1, self.pages):
            cut = self.good[: page * PAGE + 1000]
            self.assertIn("is damaged", self.verdict(cut), page)

    def test_nothing_left_is_a_new_file(self) -> None:
        self.path.write_bytes(b"")
        with closing(connect(self.path)) as database:
            check(database, self.path)

    def test_every_page_overwritten(self) -> None:
        for page in range(self.pages):
            start = page * PAGE
            torn = self.good[:start] + b"\xa5" * PAGE + self.good[start + PAGE :]
            self.assertIn("is damaged", self.verdict(torn), page)

    def test_no_database(self) -> None:
        self.assertIn("is damaged", self.verdict(b"no database, by far not one" * 40))

    def test_the_remedy_is_named(self) -> None:
        self.assertIn("restore a copy, or move it away and begin anew", self.verdict(b"x" * 5000))

    def test_the_store_refuses_it(self) -> None:
        self.path.write_bytes(self.good[: 5 * PAGE])
        error = self.assertRaises(
            DatabaseError, SqliteStore, self.directory, StoreSettings(), Clock()
        )
        self.assertIn("is damaged", str(error))

    def test_a_directory_that_is_a_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text("a file")
        error = self.assertRaises(DatabaseError, SqliteStore, path, StoreSettings(), Clock())
        self.assertIn("cannot be used", str(error))
