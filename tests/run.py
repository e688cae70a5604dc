"""Runs trial under coverage, prints what is covered, and closes with one line of counts."""

from __future__ import annotations

import re
import subprocess
import sys

PURE = "sipproxy/sip/*,sipproxy/transaction/*"
FLOOR = 95  # per cent of branches of the pure core


def main() -> int:
    """Run everything; 0 when all tests pass and the pure core is covered."""
    trial = [
        sys.executable,
        "-m",
        "coverage",
        "run",
        "-m",
        "twisted.trial",
        *(sys.argv[1:] or ["tests"]),
    ]
    counts = {"successes": 0, "failures": 0, "errors": 0, "skips": 0}
    with subprocess.Popen(
        trial, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        for line in run.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.startswith(("PASSED", "FAILED")):
                found = re.findall(r"(\w+)=(\d+)", line)
                counts.update((name, int(number)) for name, number in found)
    report = [sys.executable, "-m", "coverage", "report"]
    subprocess.run([*report, f"--omit={PURE}", "--skip-covered"], check=False)
    print("\nThe pure core, by branch:", flush=True)
    covered = subprocess.run([*report, f"--include={PURE}", f"--fail-under={FLOOR}"], check=False)
    failed = counts["failures"] + counts["errors"]
    failed += run.returncode != 0 and not failed
    failed += covered.returncode != 0
    print(f"\n{counts['successes']} passed, {failed} failed, {counts['skips']} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
