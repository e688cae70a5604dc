"""How long MESSAGEs take at a steady rate: alone, and beside PUBLISHes that many watch."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.load import generator
from benchmarks.load.cases import PAUSES, Figure, Size
from benchmarks.load.generator import LONGEST, Run
from benchmarks.load.servers import Server, Setting

SECONDS = {Size.FULL: 4.0, Size.QUICK: 1.5, Size.LEAST: 0.2}
MARGIN = 2.0  # seconds that the PUBLISHes go on for at most, beyond what the MESSAGEs take


def messages(server: Server, rate: int, size: Size, prefix: str) -> Run:
    """Send MESSAGEs at a rate."""
    return generator.run(
        *(server, "message"),
        users=16 if size == Size.LEAST else 100,
        user_prefix=prefix,
        count=int(rate * SECONDS[size]),
        rate=rate,
        window=1000,
        pause=PAUSES[size],
        settle=0.1,
    )


@dataclass(frozen=True)
class Latency:
    """What 99 of 100 MESSAGEs take at most."""

    name: str = field(default="latency", init=False)
    title: str = field(default="MESSAGE at 2,000 a second, 99th percentile", init=False)
    unit: str = field(default="ms", init=False)

    def setting(self, size: Size) -> Setting:
        """Return what it needs of a server."""
        return Setting()

    def measure(self, server: Server, size: Size, settles: bool) -> Figure:
        """Send, and look at the slow ones."""
        run = messages(server, 2000, size, "late")
        return Figure(run.p99 if run.is_complete else None, None, run.fault, run.is_complete)


@dataclass(frozen=True)
class LatencyBeside:
    """The same while presentities with a thousand watchers change: does a fan-out delay others?"""

    name: str = field(default="latency-beside", init=False)
    title: str = field(
        default="MESSAGE beside 20 PUBLISHes a second for 1,000 watchers, the same", init=False
    )
    unit: str = field(default="ms", init=False)

    def setting(self, size: Size) -> Setting:
        """Return what it needs of a server."""
        return Setting(frozenset(["presence"]))

    def measure(self, server: Server, size: Size, settles: bool) -> Figure:
        """Start the PUBLISHes, and once they are under way, the MESSAGEs."""
        with generator.beside(self._publishing(server, size)) as publisher:
            assert publisher.stdout is not None
            publisher.stdout.readline()  # it begins to count
            run = messages(server, 500, size, "side")
            is_over = publisher.poll() is not None
            publishing = generator.told_by(*publisher.communicate(timeout=2 * LONGEST))
        if not (run.is_complete and publishing.is_complete):
            return Figure(None, None, run.fault or f"PUBLISH: {publishing.fault}", False)
        faults = [run.fault, publishing.fault and f"PUBLISH: {publishing.fault}"]
        faults += ["the PUBLISHes were over before the MESSAGEs"] if is_over else []
        return Figure(run.p99, None, ", ".join(filter(None, faults)))

    @staticmethod
    def _publishing(server: Server, size: Size) -> list[str]:
        return generator.command(
            *(server, "publish"),
            presentities=2,
            pres_prefix="besd",
            watchers=8 if size == Size.LEAST else 1000,
            rate=20,
            window=2,
            count=int(20 * (SECONDS[size] + MARGIN)),
            pause=0.05,
            settle=0.1,
        )
