"""``sipctl user import``: tables of Kamailio and OpenSIPS, good and broken."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl.imports import Import
from sipproxy.sip.digest import ha1
from sipproxy.store.accounts import AccountError, Accounts, AccountTable

HASH = ha1("MD5", b"bob", b"example.test", b"geheim").decode()
KAMAILIO = """
CREATE TABLE subscriber (
    id INTEGER PRIMARY KEY NOT NULL, username VARCHAR(64) DEFAULT '' NOT NULL,
    domain VARCHAR(64) DEFAULT '' NOT NULL, password VARCHAR(64) DEFAULT '' NOT NULL,
    ha1 VARCHAR(128) DEFAULT '' NOT NULL, ha1b VARCHAR(128) DEFAULT '' NOT NULL
)
"""

# A row of CSV, and what is said of it; nothing of one that is taken.
ROWS = {
    "a password": ("a,example.test,secret,", ""),
    "an MD5 hash": (f"a,example.test,,{HASH}", ""),
    "an MD5 hash in capitals": (f"a,example.test,,{HASH.upper()}", ""),
    "both": (f"a,example.test,secret,{HASH}", ""),
    "an alias of letters": ("a,EXAMPLE.test,secret,", ""),
    "quotes": ('"a","example.test","se,cret",', ""),
    "more columns than there are": ("a,example.test,secret,,x,y", ""),
    "no user": (",example.test,secret,", "it has no username, or no domain"),
    "no domain": ("a,,secret,", "it has no username, or no domain"),
    "a foreign domain": ("a,other.test,secret,", "other.test is none of our domains"),
    "neither": ("a,example.test,,", "a@example.test has neither a password nor an MD5 hash in ha1"),
    "no hash": ("a,example.test,,zz", "a@example.test has neither a password nor an MD5 hash in"),
    "a space": ("a b,example.test,x,", "'a b' and 'example.test' make no address"),
    "cut off": ("a", "it has no username, or no domain"),
}


class ImportCase(SynchronousTestCase):
    """An account table, and files to import."""

    def setUp(self) -> None:
        self.table = AccountTable(Path(self.mktemp()))
        self.file = Path(self.mktemp())

    def csv(self, *rows: str, head: str = "username,domain,password,ha1") -> Path:
        """Write a file."""
        self.file.write_text("\n".join([head, *rows]) + "\n")
        return self.file

    def run_import(self, strict: bool = False, replace: bool = False) -> Import:
        """Import the file."""
        run = Import(["example.test"], self.file, strict, replace)
        run.run(self.table)
        return run

    def secret(self, aor: bytes, algorithm: str) -> bytes | None:
        """Return what is in the table."""
        return Accounts(self.table).secret(aor, algorithm)


class RowTests(ImportCase):
    """Each row is taken, or told with its line."""

    def test_each(self) -> None:
        for name, (row, fault) in ROWS.items():
            self.csv(row)
            run = self.run_import(replace=True)
            expected = [f"line 2: {fault}"] if fault else []
            found = [told[: len(expected[0])] for told in run.faults] if expected else run.faults
            self.assertEqual(found, expected, name)

    def test_the_rest_is_taken(self) -> None:
        self.csv("a,example.test,1,", "broken", "b,example.test,2,")
        run = self.run_import()
        self.assertEqual(len(run.faults), 1)
        self.assertEqual(run.report[-1], "2 accounts imported")
        self.assertTrue(Accounts(self.table).known(b"b@example.test"))

    def test_none_is_taken_where_it_is_strict(self) -> None:
        self.csv("a,example.test,1,", "broken")
        error = self.assertRaises(AccountError, self.run_import, strict=True)
        self.assertIn("nothing is taken, for 1 rows cannot be: line 3:", str(error))
        self.assertEqual(len(Accounts(self.table)), 0)

    def test_an_account_twice(self) -> None:
        self.csv("a,example.test,1,", "a,Example.Test,2,")
        self.assertEqual(self.run_import().faults, ["line 3: its account was in line 2 already"])
        expected = ha1("MD5", b"a", b"example.test", b"1")
        self.assertEqual(self.secret(b"a@example.test", "MD5"), expected)

    def test_many_faults_are_not_all_listed(self) -> None:
        self.csv(*["broken"] * 100)
        report = self.run_import().report
        self.assertEqual(len(report), 22)
        self.assertIn("and 80 more like these", report[-2])


class SecretTests(ImportCase):
    """What is kept of a password."""

    def test_of_a_password_a_secret_for_each_algorithm(self) -> None:
        self.csv("a,example.test,se cret ,")
        self.run_import()
        for algorithm in ("MD5", "SHA-256", "SHA-512-256"):
            expected = ha1(algorithm, b"a", b"example.test", b"se cret ")
            self.assertEqual(self.secret(b"a@example.test", algorithm), expected)

    def test_of_a_hash_that_alone(self) -> None:
        self.csv(f"bob,example.test,,{HASH}")
        report = self.run_import().report
        self.assertEqual(self.secret(b"bob@example.test", "MD5"), HASH.encode())
        self.assertIsNone(self.secret(b"bob@example.test", "SHA-256"))
        self.assertIn("of 1 there is an MD5 hash alone: they can log in where [auth]", report[0])

    def test_who_exists_is_left_alone(self) -> None:
        self.table.put("a@example.test", "old", replace=False)
        self.csv("a,example.test,new,")
        report = self.run_import().report
        self.assertEqual(report[-1], "0 accounts imported")
        old = ha1("MD5", b"a", b"example.test", b"old")
        self.assertEqual(self.secret(b"a@example.test", "MD5"), old)

    def test_unless_it_is_to_be_replaced(self) -> None:
        self.table.put("a@example.test", "old", replace=False)
        self.csv("a,example.test,new,")
        self.run_import(replace=True)
        new = ha1("MD5", b"a", b"example.test", b"new")
        self.assertEqual(self.secret(b"a@example.test", "MD5"), new)


class FileTests(ImportCase):
    """Files of every kind."""

    def test_the_table_of_a_kamailio(self) -> None:
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute(KAMAILIO)
            rows = [
                ("a", "example.test", "1", ""),
                ("b", "", "", ""),
                ("bob", "example.test", "", HASH),
            ]
            statement = (
                "INSERT INTO subscriber (username, domain, password, ha1) VALUES (?, ?, ?, ?)"
            )
            database.executemany(statement, rows)
        run = self.run_import()
        self.assertEqual(run.faults, ["line 2: it has no username, or no domain"])
        self.assertEqual(run.report[-1], "2 accounts imported")

    def test_semicolons_and_other_columns(self) -> None:
        self.csv("7;a;example.test;1", head="\ufeffid;Username;Domain;PASSWORD")
        self.assertEqual(self.run_import().report, ["1 accounts imported"])

    def test_files_that_are_none(self) -> None:
        for data in (b"", b"hello\n", b"\0\xff\n\0\n", b"user,host\na,b\n"):
            self.file.write_bytes(data)
            error = self.assertRaises(AccountError, self.run_import)
            self.assertIn("its first line has to name its columns: username,domain", str(error))

    def test_octets_that_are_no_text(self) -> None:
        self.file.write_bytes(
            b"username,domain,password\n\xff,example.test,1\na,example.test,\xfe\n"
        )
        self.assertEqual(len(self.run_import().faults), 2)

    def test_a_database_without_subscribers(self) -> None:
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute("CREATE TABLE other (a)")
        error = self.assertRaises(AccountError, self.run_import)
        self.assertIn("no subscriber table can be read from it", str(error))

    def test_no_file(self) -> None:
        error = self.assertRaises(AccountError, self.run_import)
        self.assertIn("cannot be read: No such file", str(error))
