"""``python -m benchmarks.load.profile CASE``: where our server's time goes, as a flame graph.

py-spy samples the process from outside while the operations are counted, not while they are set up.
"""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from lxml import etree

from benchmarks.load import generator
from benchmarks.load.cases import OPERATIONS, Operation, Size
from benchmarks.load.ours import Ours, Pure
from benchmarks.load.servers import Server, running
from sipproxy.transport.sockets import room

SPY = str(Path(sys.executable).with_name("py-spy"))
BUILD = generator.PROGRAM.parent
LONGER = 4  # times as many operations as are measured
RATE = 400  # samples a second
SHOWN = 15
ROW = 16.0  # how far below its caller a box stands
FLAME = "{http://github.com/jonhoo/inferno}"
REFUSED = (
    "py-spy may not look into another process here: be root, or set kernel.yama.ptrace_scope=0"
)


class Frame(NamedTuple):
    """A box of the flame graph."""

    name: str
    depth: float
    start: int  # in samples from the left
    samples: int  # its callees' with it


def record(server: Server, case: Operation, native: bool, graph: Path) -> str:
    """Sample a server under a case, write the graph, and return why that failed, or nothing."""
    given = {**case.options(Size.FULL), "settle": 0}
    line = generator.command(server, case.op, **given)
    sampling = [SPY, "record", "--pid", str(server.pid), "--rate", str(RATE), "--function"]
    sampling += ["--duration", "unlimited", "--output", str(graph), *["--native"] * native]
    graph.unlink(missing_ok=True)
    with generator.beside(line) as load:
        assert load.stdout is not None
        load.stdout.readline()  # it begins to count
        with generator.beside(sampling) as spy:
            run = generator.told_by(*load.communicate(timeout=5 * generator.LONGEST))
            spy.send_signal(signal.SIGINT)
            said = " ".join(spy.communicate(timeout=60)[1].split())
    if not run.is_complete:
        return f"the run does not count: {run.fault}"
    return "" if graph.exists() else f"{REFUSED} ({said[-200:]})"


def frames(graph: Path) -> Iterator[Frame]:
    """Read the boxes of a flame graph as py-spy writes it."""
    for group in etree.parse(graph).iter("{*}g"):
        title, box = group.find("{*}title"), group.find("{*}rect")
        if title is None or box is None or title.text is None:
            continue
        start, samples = int(box.get(f"{FLAME}x", "0")), int(box.get(f"{FLAME}w", "0"))
        yield Frame(title.text.rpartition(" (")[0], float(box.get("y", "0")), start, samples)


def own(boxes: Sequence[Frame]) -> Counter[str]:
    """Return the samples of each function that are in none of its callees."""
    covered = {(box.depth, box.start + n): box for box in boxes for n in range(box.samples)}
    counts: Counter[str] = Counter()
    for box in boxes:
        counts[box.name] += box.samples
        caller = covered.get((box.depth - ROW, box.start))
        if caller is not None:
            counts[caller.name] -= box.samples
    return counts


def top(graph: Path) -> str:
    """Return the functions with the most time of their own, one a line, and that of all below."""
    boxes = list(frames(graph))
    total = max((box.samples for box in boxes), default=1)
    below: Counter[str] = Counter()
    for box in boxes:
        below[box.name] += box.samples
    lines = ["   own  in all"]
    for name, count in own(boxes).most_common(SHOWN):
        lines.append(f"{count / total:6.1%}  {below[name] / total:6.1%}  {name}")
    return "\n".join(lines)


@click.command()
@click.argument("case", default="message-udp-64")
@click.option("--pure", is_flag=True, help="In Python alone, without what is in C.")
@click.option("--native", is_flag=True, help="With the functions of C (needs their symbols).")
def main(case: str, pure: bool, native: bool) -> None:
    """Profile our server under a case: a flame graph in build/, and the top of it as text."""
    found = [one for one in OPERATIONS if one.name == case]
    if not found:
        names = ", ".join(one.name for one in OPERATIONS)
        raise click.ClickException(f"no case is called {case}; there are: {names}")
    counts = tuple(count * LONGER for count in found[0].counts)
    longer = dataclasses.replace(found[0], counts=(counts[0], counts[1], counts[2]))
    room(4096)
    graph = BUILD / f"profile-{case}{'-pure' * pure}.svg"
    try:
        generator.build()
        with running(Pure if pure else Ours, longer.setting(Size.FULL)) as server:
            problem = record(server, longer, native, graph)
    except generator.NotBuilt as error:
        raise click.ClickException(str(error)) from None
    if problem:
        raise click.ClickException(problem)
    print(top(graph))
    print(f"the flame graph: {graph}")


if __name__ == "__main__":
    main()
