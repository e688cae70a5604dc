"""One server for one database file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.store.accounts import AccountTable
from sipproxy.store.lock import hold
from sipproxy.store.schema import FILE

HOLD = """
import pathlib, sys
from sipproxy.store.lock import hold
lock = hold(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


class LockTests(SynchronousTestCase):
    """Two servers."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())

    def refused(self, directory: Path) -> None:
        """Try to be another server."""
        self.assertRaises(BlockingIOError, hold, directory)

    def test_two_with_one_directory(self) -> None:
        with hold(self.directory):
            self.refused(self.directory)
        hold(self.directory).close()

    def test_a_directory_that_has_two_names(self) -> None:
        other = Path(self.mktemp())
        with hold(self.directory):
            other.symlink_to(self.directory.resolve())
            self.refused(other)

    def test_two_directories_that_share_the_file(self) -> None:
        AccountTable(self.directory)
        other = Path(self.mktemp())
        other.mkdir()
        (other / FILE).symlink_to((self.directory / FILE).resolve())
        with hold(self.directory):
            self.refused(other)

    def test_two_directories(self) -> None:
        with hold(self.directory):
            hold(Path(self.mktemp())).close()

    def test_a_server_that_was_killed_holds_nothing(self) -> None:
        command = [sys.executable, "-c", HOLD, str(self.directory)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            self.assertEqual(other.stdout.readline(), "held\n")
            self.refused(self.directory)
            other.kill()
            other.wait()
        hold(self.directory).close()

    def test_sipctl_may_write_meanwhile(self) -> None:
        with hold(self.directory):
            AccountTable(self.directory).put("alice@example.test", "secret", replace=False)
