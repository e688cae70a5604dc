"""Runs Python with our extensions in C built by gcc's sanitizers: whatever they find ends the run.

``python -m tests.torture.sanitized [COUNT]`` runs the tests of what is in C, and `fuzz` with so
many messages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("sipproxy/sip/_scan.c", "sipproxy/transport/_batch.c")
TESTED = (
    *("tests.sip.test_scanner", "tests.sip.test_properties", "tests.sip.test_parser"),
    "tests.sip.test_framing",
    *("tests.sip.test_rfc_messages", "tests.sip.test_message", "tests.sip.test_uri"),
    *("tests.transport.test_datagrams", "tests.transport.test_udp", "tests.torture.test_datagrams"),
    "tests.torture.test_reading",
)
COUNT = 10_000_000
_CHECKED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def missing() -> str | None:
    """Return what is not there that this needs, or None."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        return "needs gcc, on Linux"
    if not Path(_runtime()).is_absolute():
        return "needs gcc's libasan"
    return None


def _runtime() -> str:
    """Return the path of the runtime; its bare name where gcc has none."""
    run = ["gcc", "-print-file-name=libasan.so"]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


def build(folder: Path) -> None:
    """Build every extension with the sanitizers, named as it is imported."""
    include = sysconfig.get_path("include")
    for source in SOURCES:
        target = folder / (name_of(source) + ".so")
        options = [*_CHECKED, "-g", "-O1", "-fno-omit-frame-pointer", "-shared", "-fPIC"]
        run = ["gcc", *options, f"-I{include}", str(ROOT / source), "-o", str(target)]
        subprocess.run(run, check=True)


def name_of(source: str) -> str:
    """Return what the extension of a source is imported as."""
    return source[:-2].replace("/", ".")


def run(folder: Path, arguments: Sequence[str], is_quiet: bool = False) -> int:
    """Run Python with what was built; each of its objects has guarded memory of its own."""
    environment = {
        **os.environ,
        "SIPPROXY_SANITIZED": str(folder),
        "LD_PRELOAD": _runtime(),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter itself lets go of little at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    run = [sys.executable, *arguments]
    return subprocess.run(run, env=environment, capture_output=is_quiet, check=False).returncode


def main() -> int:
    """Run everything; 0 where nothing was found."""
    count = sys.argv[1] if len(sys.argv) > 1 else str(COUNT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        failed = run(folder, ["-m", "twisted.trial", *TESTED])
        return failed or run(folder, ["-m", "tests.torture.fuzz", count])


if __name__ == "__main__":
    sys.exit(missing() or main())
