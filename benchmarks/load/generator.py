"""The load generator: built once, run for each case, and the rule of what counts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.servers import Server

SOURCE = Path(__file__).with_name("sipload.c")
PROGRAM = Path(__file__).resolve().parents[2] / "build" / "sipload"
LIBRARIES = ("-lssl", "-lcrypto")
LONGEST = 60  # seconds of one phase of a run
_NEEDED = (
    "the load generator needs a C compiler and OpenSSL's headers: apt-get install gcc libssl-dev"
)


class NotBuilt(Exception):
    """There is no load generator; the text says what to do."""


def build() -> Path:
    """Compile the generator where it is older than its source; raises `NotBuilt`."""
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > SOURCE.stat().st_mtime:
        return PROGRAM
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NotBuilt(_NEEDED)
    PROGRAM.parent.mkdir(exist_ok=True)
    command = [compiler, "-O2", "-w", "-o", str(PROGRAM), str(SOURCE), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it does not compile"])[0]
        raise NotBuilt(f"{_NEEDED} ({last})")
    return PROGRAM


@dataclass(frozen=True)
class Run:
    """What the generator has told of one run."""

    told: dict[str, Any]

    @property
    def fault(self) -> str:
        """Why the run does not count; empty where every operation and message came once."""
        told = self.told
        if "error" in told:
            return str(told["error"])
        faults = [f"{told['done']} of {told['n']} done"] if told["done"] != told["n"] else []
        faults += [f"{told[name]} {what}" for name, what in _FAULTS.items() if told[name]]
        due = self._due()
        if due is not None and told[due[0]] != due[1]:
            faults.append(f"{told[due[0]]} of {due[1]} received")
        return ", ".join(faults)

    def _due(self) -> tuple[str, int] | None:
        """What has to be received, by the generator's name of it, and how often."""
        told = self.told
        return {
            "message": ("msgs_rx", told["n"]),
            "subscribe": ("notify", told["n"]),
            "publish": ("notify", told["n"] * told["watchers"]),
        }.get(told["op"])

    @property
    def is_complete(self) -> bool:
        """Tell whether every operation was answered 2xx, if not at once."""
        told = self.told
        return "error" not in told and bool(told["done"] == told["n"] and not told["fail"])

    @property
    def cpu(self) -> float:
        """CPU seconds of the server while the operations ran."""
        return float(self.told["cpu"]["run_s"])

    def cleaning(self, settle: float) -> float:
        """CPU seconds of the server in the seconds after, beyond what it takes when idle."""
        cpu = self.told["cpu"]
        return max(0.0, float(cpu["settled_s"] - cpu["run_s"] - cpu["idle"] * settle))

    @property
    def p99(self) -> float:
        """Milliseconds that 99 of 100 operations took at most."""
        return float(self.told["lat_ms"]["p99"])


_FAULTS = {
    "fail": "failed",
    "retrans": "sent again",
    "dup_req": "received twice",
    "send_drop": "not sent",
    "notify_stale": "NOTIFYs of an old state",
    "notify_nobody": "NOTIFYs without a state",
}


def command(server: Server, op: str, **options: object) -> list[str]:
    """Return the command line of a run; an option that is True has no value."""
    port = server.tls_port if options.get("transport") == "tls" else server.port
    fixed = {"op": op, "port": port, "pid": server.pid, "max_time": LONGEST}
    line = [str(build())]
    for name, value in {**fixed, **options}.items():
        line.append("--" + name.replace("_", "-"))
        if value is not True:
            line.append(str(value))
    return line


def run(server: Server, op: str, **options: object) -> Run:
    """Run the generator against a server to the end."""
    done = subprocess.run(
        command(server, op, **options),
        capture_output=True,
        text=True,
        timeout=5 * LONGEST,
        check=False,
    )
    return told_by(done.stdout, done.stderr)


@contextmanager
def beside(line: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside what the block does; it ends with the block at the latest."""
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told_by(output: str, errors: str) -> Run:
    """Read what a run has printed: its last line, or why there is none."""
    lines = output.strip().splitlines()
    try:
        return Run(json.loads(lines[-1]))
    except (IndexError, ValueError):
        return Run({"error": " ".join(errors.split())[:200] or "the generator told nothing"})
