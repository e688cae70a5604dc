"""The page of every key (``tests/reference.py``): it is current, and nothing is unsaid."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.config import Settings
from tests.reference import PAGE, page, tables


class ReferenceTests(SynchronousTestCase):
    """What is in the page."""

    def test_it_is_up_to_date(self) -> None:
        self.assertEqual(PAGE.read_text("utf-8"), page(), "type: make reference")

    def test_every_key_says_what_it_is(self) -> None:
        silent = [
            f"{table} {key.name}" for table, _, keys in tables() for key in keys if not key.text
        ]
        self.assertEqual(silent, [])

    def test_every_table_is_there(self) -> None:
        known = {name.strip("[]") for name, _, _ in tables()}
        wanted = {field.encode_name for field in msgspec.structs.fields(Settings)}
        keys = {key.name for name, _, keys in tables() if not name for key in keys}
        self.assertEqual(wanted - known - keys - {"plugin"}, set())
