"""``python -m benchmarks.load.profile CASE``: where our server's time goes, as a flame graph.

py-spy samples the process from outside while the operations are counted, not while they are set up.
"""

from __future__ import annotations

import dataclasses
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
from lxml import etree

from benchmarks.load import generator
from benchmarks.load.cases import OPERATIONS, Operation, Size
from benchmarks.load.ours import Ours, Pure
from benchmarks.load.servers import Server, running
from sipproxy.transport.sockets import room

BUILD = generator.PROGRAM.parent
LONGER = 6  # times as many operations as are measured
RATE = 400  # samples a second
SHOWN = 15
FLAME = "{http://github.com/jonhoo/inferno}"
REFUSED = "py-spy may not look into another process here: be root, or set kernel.yama.ptrace_scope=0"


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
    sampling = ["py-spy", "record", "--pid", str(server.pid), "--rate", str(RATE), "--nonblocking"]
    sampling += ["--duration", "unlimited", "--output", str(graph)]
    if native:
        sampling.remove("--nonblocking")  # the stack of C cannot be read otherwise
        sampling.append("--native")
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        begun = load.stdout.readline()
        with subprocess.Popen(sampling, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as spy:
            told = load.communicate(timeout=5 * generator.LONGEST)[0]
            spy.send_signal(signal.SIGINT)
            said = spy.communicate(timeout=60)[1].decode("utf-8", "replace")
    run = generator.told_by(begun + told, "")
    if run.fault:
        return f"the run does not count: {run.fault}"
    return "" if spy.returncode == 0 and graph.exists() else f"{REFUSED} ({said.strip()[-200:]})"


def frames(graph: Path) -> Iterator[Frame]:
    """Read the boxes of a flame graph as py-spy writes it."""
    for group in etree.parse(graph).iter("{*}g"):
        title, box = group.find("{*}title"), group.find("{*}rect")
        if title is None or box is None or title.text is None:
            continue
        start, samples = int(box.get(f"{FLAME}x", "0")), int(box.get(f"{FLAME}w", "0"))
        yield Frame(title.text.rpartition(" (")[0], float(box.get("y", "0")), start, samples)


def own(boxes: list[Frame]) -> Counter[str]:
    """Return the samples of each function that are in none of its callees."""
    depths = sorted({box.depth for box in boxes})
    below = dict(zip(depths, depths[1:], strict=False))
    parents = {(box.depth, box.start + n): box for box in boxes for n in range(box.samples)}
    counts: Counter[str] = Counter()
    for box in boxes:
        counts[box.name] += box.samples
        above = parents.get((_above(below, box.depth), box.start))
        if above is not None:
            counts[above.name] -= box.samples
    return counts
