"""The build: what is in C where there is a compiler, and a server in any case."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
EXTENSIONS = {"_scan", "_batch"}


class BuildTest(SynchronousTestCase):
    """``setup.py build_ext``, as pip has it run."""

    def built(self, **environment: str) -> set[str]:
        """Build, and return what came of it."""
        place = Path(self.mktemp()).absolute()
        command = [sys.executable, "setup.py", "build_ext", f"--build-lib={place}"]
        run = subprocess.run(
            [*command, f"--build-temp={place}"],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        return {path.name.partition(".")[0] for path in place.rglob("*.so")}

    def test_without_a_compiler(self) -> None:
        self.assertEqual(self.built(CC="/nowhere/cc", LDSHARED="/nowhere/cc"), set())

    def test_with_one(self) -> None:
        if not (ROOT / "sipproxy/sip/_scan.c").exists() or not sys.platform.startswith("linux"):
            raise SkipTest("the extensions are built on Linux")
        self.assertEqual(self.built(), EXTENSIONS)
