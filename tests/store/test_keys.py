"""Keys that outlive the process."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.store.keys import kept_key


class KeyTest(SynchronousTestCase):
    """A key in a directory that is not there yet."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "data" / "some.key"

    def made(self, length: int) -> bytes:
        """Return what chance gives, which is never the same."""
        self.asked = getattr(self, "asked", 0) + 1
        return bytes((self.asked,)) * length

    def test_made_once(self) -> None:
        first = kept_key(self.path, 32, self.made)
        self.assertEqual(first, b"\1" * 32)
        self.assertEqual(kept_key(self.path, 32, self.made), first)

    def test_for_its_owner_alone(self) -> None:
        kept_key(self.path, 32, self.made)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual([entry.name for entry in self.path.parent.iterdir()], ["some.key"])

    def test_another_was_first(self) -> None:
        """Between our look and our writing another process has made it."""

        def late(length: int) -> bytes:
            kept_key(self.path, length, lambda n: b"o" * n)
            return b"l" * length

        self.assertEqual(kept_key(self.path, 32, late), b"o" * 32)

    def test_damaged(self) -> None:
        kept_key(self.path, 32, self.made)
        self.path.write_bytes(b"short")
        error = self.assertRaises(ValueError, kept_key, self.path, 32, self.made)
        self.assertIn("some.key is damaged: remove it", str(error))

    def test_no_directory_to_be_had(self) -> None:
        self.path.parent.parent.mkdir()
        self.path.parent.write_text("a file")
        self.assertRaises(OSError, kept_key, self.path, 32, self.made)
