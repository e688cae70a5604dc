"""The account table: what is written, what is refused, and who may read it."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipproxy.interfaces import ICredentialStore
from sipproxy.sip.digest import ha1
from sipproxy.store.accounts import (
    AccountError,
    Accounts,
    AccountTable,
    Everybody,
    split_aor,
)
from sipproxy.store.schema import FILE, DatabaseError, transaction

ALICE = "alice@example.test"
ADDRESSES = {
    "alice@example.test": (b"alice", b"example.test"),
    "sip:alice@example.test": (b"alice", b"example.test"),
    "Alice@EXAMPLE.Test.": (b"Alice", b"example.test"),
    "%61lice@example.test": (b"alice", b"example.test"),
    "a%40b@example.test": (b"a@b", b"example.test"),
    "bücher@bücher.test": ("bücher".encode(), b"xn--bcher-kva.test"),
    "a@xn--bcher-kva.test": (b"a", b"xn--bcher-kva.test"),
}
NO_ADDRESSES = {
    "nothing": "",
    "no domain": "alice",
    "an empty domain": "alice@",
    "no user": "@example.test",
    "no user but a scheme": "sip:@example.test",
    "white space": "al ice@example.test",
    "a quote": 'al"ice@example.test',
}
NO_DOMAINS = {
    "an empty label": "alice@a..b",
    "a long label": "alice@" + 70 * "a" + ".test",
    "octets that are no text": "al\udcffice@example.test",
}


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(os.stat(path).st_mode)


class Addresses(SynchronousTestCase):
    """`split_aor` knows one form of each."""

    def test_each(self) -> None:
        for text, expected in ADDRESSES.items():
            self.assertEqual(split_aor(text), expected, text)

    def test_what_is_none(self) -> None:
        for name, text in NO_ADDRESSES.items():
            error = self.assertRaises(AccountError, split_aor, text)
            self.assertEqual(str(error), f"{text!r} is no address: write user@domain", name)

    def test_what_has_no_domain(self) -> None:
        for name, text in NO_DOMAINS.items():
            error = self.assertRaises(AccountError, split_aor, text)
            self.assertIn(" is no domain", str(error), name)


class WithTable(SynchronousTestCase):
    """A test with a table of its own."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.table = AccountTable(self.directory)

    def refused(self, change: object, *arguments: object) -> str:
        """Return why a change is refused."""
        return str(self.assertRaises(AccountError, change, *arguments))


class Table(WithTable):
    """The table on disk."""

    def test_it_is_empty_at_first(self) -> None:
        self.assertEqual(list(self.table.rows()), [])

    def test_the_secrets_alone_are_kept(self) -> None:
        self.table.put(ALICE, "wonderland", replace=False)
        ((aor, secrets),) = self.table.rows()
        self.assertEqual(aor, ALICE.encode())
        names = ("MD5", "SHA-256", "SHA-512-256")
        expected = [ha1(name, b"alice", b"example.test", b"wonderland") for name in names]
        self.assertEqual(list(secrets), expected)
        for file in self.directory.iterdir():
            self.assertNotIn(b"wonderland", file.read_bytes(), file)

    def test_the_secret_is_of_the_canonical_address(self) -> None:
        self.table.put("sip:alice@EXAMPLE.test", "ü", replace=False)
        ((_, secrets),) = self.table.rows()
        self.assertEqual(secrets[0], ha1("MD5", b"alice", b"example.test", "ü".encode()))

    def test_it_survives(self) -> None:
        self.table.put(ALICE, "a", replace=False)
        rows = list(AccountTable(self.directory).rows())
        self.assertEqual([aor for aor, _ in rows], [ALICE.encode()])

    def test_order_is_by_domain_and_user(self) -> None:
        for aor in ("b@b.test", "a@b.test", "c@a.test", "A@b.test"):
            self.table.put(aor, "x", replace=False)
        expected = [b"c@a.test", b"A@b.test", b"a@b.test", b"b@b.test"]
        self.assertEqual([aor for aor, _ in self.table.rows()], expected)

    def test_the_files_are_the_owners_alone(self) -> None:
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        directory = Path(self.mktemp(), "deep")
        table = AccountTable(directory)
        table.put(ALICE, "a", replace=False)
        self.assertEqual(mode(directory), 0o700)
        self.assertEqual({mode(file) for file in directory.iterdir()}, {0o600})
        reader = sqlite3.connect(table.path)  # a reader brings the write-ahead log with it
        self.addCleanup(reader.close)
        reader.execute("SELECT count(*) FROM accounts").fetchone()
        table.put("bob@example.test", "b", replace=False)
        self.assertEqual({mode(file) for file in directory.iterdir()}, {0o600})

    def test_a_file_that_is_no_database(self) -> None:
        (self.directory / FILE).write_text("not a database, by far not one")
        self.assertRaises(DatabaseError, AccountTable, self.directory)

    def test_a_directory_that_cannot_be(self) -> None:
        (self.directory / "file").write_text("")
        self.assertRaises(OSError, AccountTable, self.directory / "file" / "data")


class Changes(WithTable):
    """Add, change, delete: each knows what must be there."""

    def test_add_twice(self) -> None:
        self.table.put(ALICE, "a", replace=False)
        for aor in (ALICE, "sip:alice@example.TEST"):
            why = self.refused(self.table.put, aor, "b", False)
            remedy = "use `sipctl user passwd` to change its password"
            self.assertEqual(why, f"{aor} exists: {remedy}")

    def test_users_differ_by_case(self) -> None:
        self.table.put(ALICE, "a", replace=False)
        self.table.put("Alice@example.test", "a", replace=False)
        self.assertEqual(len(list(self.table.rows())), 2)

    def test_change(self) -> None:
        self.table.put(ALICE, "a", replace=False)
        before = list(self.table.rows())
        self.table.put(ALICE, "b", replace=True)
        after = list(self.table.rows())
        self.assertEqual([aor for aor, _ in after], [ALICE.encode()])
        self.assertNotEqual(after, before)

    def test_change_nobody(self) -> None:
        why = self.refused(self.table.put, ALICE, "b", True)
        self.assertEqual(why, f"{ALICE} does not exist: use `sipctl user add`")
        self.assertEqual(list(self.table.rows()), [])

    def test_an_empty_password(self) -> None:
        why = self.refused(self.table.put, ALICE, "", False)
        self.assertEqual(why, "an empty password protects nothing: give one")

    def test_delete(self) -> None:
        self.table.put(ALICE, "a", replace=False)
        self.table.delete("sip:alice@EXAMPLE.test")
        self.assertEqual(list(self.table.rows()), [])
        why = self.refused(self.table.delete, ALICE)
        self.assertEqual(why, f"{ALICE} does not exist: see `sipctl user list`")

    def test_what_is_no_address_changes_nothing(self) -> None:
        self.refused(self.table.put, "alice", "a", False)
        self.refused(self.table.delete, "alice")
        self.assertEqual(list(self.table.rows()), [])


class InMemory(WithTable):
    """What a running server knows of the table."""

    def test_they_are_credential_stores(self) -> None:
        verifyObject(ICredentialStore, Accounts(self.table))
        verifyObject(ICredentialStore, Everybody())

    def test_known_and_secret(self) -> None:
        self.table.put(ALICE, "a", replace=False)
        accounts = Accounts(self.table)
        self.assertTrue(accounts.known(b"alice@example.test"))
        self.assertFalse(accounts.known(b"bob@example.test"))
        for algorithm in ("MD5", "SHA-256", "SHA-512-256"):
            expected = ha1(algorithm, b"alice", b"example.test", b"a")
            self.assertEqual(accounts.secret(b"alice@example.test", algorithm), expected)
            self.assertIsNone(accounts.secret(b"bob@example.test", algorithm))

    def test_a_change_counts_after_reload(self) -> None:
        accounts = Accounts(self.table)
        self.table.put(ALICE, "a", replace=False)
        self.assertEqual((len(accounts), accounts.known(ALICE.encode())), (0, False))
        self.assertFalse(accounts.reload(), "nobody is gone")
        self.assertEqual((len(accounts), accounts.known(ALICE.encode())), (1, True))
        self.table.delete(ALICE)
        self.assertTrue(accounts.reload())
        self.assertFalse(accounts.known(ALICE.encode()))

    def test_reading_waits_for_nobody_who_writes(self) -> None:
        self.table.put("alice@example.test", "secret", replace=False)
        with transaction(self.table.path) as database:
            database.execute("DELETE FROM accounts")
            self.assertTrue(Accounts(self.table).known(b"alice@example.test"))

    def test_everybody(self) -> None:
        self.assertTrue(Everybody().known(b"whoever@example.test"))
        self.assertIsNone(Everybody().secret(b"whoever@example.test", "MD5"))
