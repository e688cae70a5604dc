"""The table has a row for every message there is, and no other."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.shared import needs_shared
from tests.torture.messages import FOLDER, listed
from tests.torture.table import ROWS


@needs_shared("torture", "manifest.json")
class TableTests(SynchronousTestCase):
    """`table`, the manifest and the files beside it."""

    def test_names_what_the_manifest_names(self) -> None:
        self.assertEqual(sorted(f"{name}.dat" for name in ROWS), sorted(listed()))

    def test_names_what_is_there(self) -> None:
        found = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("rfc*/*"))
        self.assertEqual(sorted(f"{name}.dat" for name in ROWS), found)
