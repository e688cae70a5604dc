"""Runs trial under coverage, prints what is covered, and closes with one line of counts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PURE = "sipproxy/sip/*,sipproxy/transaction/*"
FLOOR = 95  # per cent of branches of the pure core
COVERAGE = (sys.executable, "-m", "coverage")
# What is run again without what is in C.
_TORTURE = ("bad", "datagrams", "meanings", "reading", "sockets", "streams")
THROUGH = [
    *("tests.transport", "tests.proxy", "tests.test_scenarios"),
    *(f"tests.torture.test_{name}" for name in _TORTURE),
]
_READERS = sorted(path.stem for path in Path(__file__).parent.glob("sip/test_*.py"))
READING = [
    *(f"tests.sip.{name}" for name in _READERS if name != "test_scanner"),
    *("tests.transaction", "tests.registrar"),
]
AGAIN = (*COVERAGE, "run", "--append", "-m", "twisted.trial")
BARE = (sys.executable, "-m", "twisted.trial")
PYTHON = {"SIPPROXY_SCANNER": "python"}  # as where there is no compiler
SINGLE = {"SIPPROXY_DATAGRAMS": "single"}  # as where there is no recvmmsg


def main() -> int:
    """Run everything; 0 when all tests pass and the pure core is covered."""
    counts = {"successes": 0, "failures": 0, "errors": 0, "skips": 0}
    failed = run_trial(
        [*COVERAGE, "run", "-m", "twisted.trial", *(sys.argv[1:] or ["tests"])], counts
    )
    if not sys.argv[1:]:
        print("\nOnce more, without what is in C:", flush=True)
        failed += run_trial([*AGAIN, *READING, *THROUGH], counts, **PYTHON, **SINGLE)
        print("\nWithout the scanner alone:", flush=True)
        failed += run_trial([*BARE, *THROUGH], counts, **PYTHON)
        print("\nWithout the batches of datagrams alone:", flush=True)
        failed += run_trial([*BARE, *THROUGH], counts, **SINGLE)
    subprocess.run([*COVERAGE, "report", f"--omit={PURE}", "--skip-covered"], check=False)
    print("\nThe pure core, by branch:", flush=True)
    report = [*COVERAGE, "report", f"--include={PURE}", f"--fail-under={FLOOR}"]
    failed += subprocess.run(report, check=False).returncode != 0
    failed += counts["failures"] + counts["errors"]
    print(f"\n{counts['successes']} passed, {failed} failed, {counts['skips']} skipped")
    return 1 if failed else 0


def run_trial(command: Sequence[str], counts: dict[str, int], **variables: str) -> int:
    """Run trial, pass on what it prints and count; 1 where it fails for no test that failed."""
    before = counts["failures"] + counts["errors"]
    environment = {**os.environ, **variables}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as run:
        for line in run.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.startswith(("PASSED", "FAILED")):
                found = re.findall(r"(\w+)=(\d+)", line)
                for name, number in found:
                    counts[name] = counts.get(name, 0) + int(number)
    return int(run.returncode != 0 and before == counts["failures"] + counts["errors"])


if __name__ == "__main__":
    sys.exit(main())
