"""``python -m benchmarks.load``: our server and Kamailio in turn, and one table."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.load import generator, kamailio
from benchmarks.load.cases import OPERATIONS, Case, Figure, Operation, Size
from benchmarks.load.kamailio import Qm, Tlsf
from benchmarks.load.latency import Latency, LatencyBeside
from benchmarks.load.memory import KEPT, Idle
from benchmarks.load.ours import Ours, Pure
from benchmarks.load.servers import NotServing, Server, running
from benchmarks.load.table import Result, rendered
from sipproxy.transport.sockets import room

SERVERS: dict[str, type[Server]] = {"ours": Ours, "pure": Pure, "tlsf": Tlsf, "qm": Qm}
CASES: Sequence[Case] = [
    *OPERATIONS,
    *(Latency(), LatencyBeside()),
    *KEPT,
    *(Idle("tcp"), Idle("tls")),
]
ONCE = "memory-"  # cases that one round is enough for
DESCRIPTORS = 4096


def lacks(name: str, case: Case) -> str:
    """Return why a server is left out of a case, in one line; empty where it is not."""
    if name == "ours":
        return Ours.lacks()
    if name == "pure":
        return ""
    return kamailio.lacks(case.setting(Size.LEAST).needs)


def measured(name: str, case: Case, size: Size, settles: bool) -> Figure:
    """Start a server, measure a case, and end it."""
    try:
        with running(SERVERS[name], case.setting(size)) as server:
            return case.measure(server, size, settles)
    except (NotServing, OSError, AssertionError, subprocess.SubprocessError) as error:
        last = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        return Figure(None, None, last[-1][:200], False)


def measure(
    results: Sequence[Result], servers: Sequence[str], size: Size, rounds: int
) -> list[Result]:
    """Measure all cases in all rounds, the servers in turn in each."""
    for number in range(rounds):
        for result in results:
            case = result.case
            if number and case.name.startswith(ONCE):
                continue
            for name in servers:
                if lacks(name, case):
                    continue
                figure = measured(name, case, size, settles=not number and size == Size.FULL)
                result.add(name, figure)
                _tell(number, case, name, figure)
    return list(results)


def _tell(number: int, case: Case, name: str, figure: Figure) -> None:
    """Say what was found, for whoever waits."""
    value = "" if figure.value is None else f"{figure.value:.2f} {case.unit}"
    after = f", then {figure.after:.2f}" if figure.after is not None else ""
    fault = f", failed: {figure.fault}" if figure.fault else ""
    print(f"{number + 1}: {case.name}, {name}: {value}{after}{fault}", file=sys.stderr, flush=True)


def about() -> dict[str, Any]:
    """Return what the figures are of."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    commit = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    models = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return {
        "commit": commit.stdout.strip() or "unknown",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{model}, {os.cpu_count()} processors",
        "kamailio": kamailio.version(),
        "date": time.strftime("%Y-%m-%d"),
        "load before": round(os.getloadavg()[0], 1),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def chosen(only: Sequence[str], warm: bool = False) -> list[Result]:
    """Return the cases that are called so, or whose names begin so; all where none is given."""
    for name in only:
        if not any(f"{case.name}-".startswith(f"{name}-") for case in CASES):
            names = ", ".join(case.name for case in CASES)
            raise click.ClickException(f"no case is called {name}; there are: {names}")
    beginnings = tuple(f"{name}-" for name in only) or ("",)
    cases = [case for case in CASES if f"{case.name}-".startswith(beginnings)]
    return [
        Result(dataclasses.replace(case, is_warm=warm) if isinstance(case, Operation) else case)
        for case in cases
    ]


@click.command()
@click.option("--only", multiple=True, metavar="CASE", help="A case, or how several begin.")
@click.option("--rounds", type=click.IntRange(1, 99), help="Three, or one with --quick.")
@click.option("--quick", is_flag=True, help="Small counts and one round: a first look.")
@click.option("--warm", is_flag=True, help="Each server has had each load before: takes long.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all rounds there.")
@click.option("--list", "lists", is_flag=True, help="Print the names of all cases.")
def main(
    only: tuple[str, ...],
    rounds: int | None,
    quick: bool,
    warm: bool,
    file: Path | None,
    lists: bool,
) -> None:
    """Measure our server and, where installed, Kamailio: CPU time, latency, memory."""
    if lists:
        print("\n".join(f"{case.name:22} {case.title}" for case in CASES))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    results = chosen(only, warm)
    room(DESCRIPTORS)
    try:
        generator.build()
    except generator.NotBuilt as error:
        raise click.ClickException(str(error)) from None
    for line in dict.fromkeys(lacks(name, r.case) for name in SERVERS for r in results):
        if line:
            print(line)
    size = Size.QUICK if quick else Size.FULL
    facts = {**about(), "counts": size.name.lower(), "servers": "warm" if warm else "fresh"}
    measure(results, list(SERVERS), size, rounds or (1 if quick else 3))
    _report(results, facts, file)


def _report(results: Sequence[Result], facts: dict[str, Any], file: Path | None) -> None:
    print("; ".join(f"{name}: {value}" for name, value in facts.items()))
    print(rendered(results))
    for heading, lines in (("Failed:", Result.faults), ("Rounds differ:", Result.spreads)):
        found = [f"- {line}" for result in results for line in lines(result)]
        if found:
            print("\n".join(["", heading, *found]))
    if file is not None:
        told = {"about": facts, "cases": [result.plain() for result in results]}
        file.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
