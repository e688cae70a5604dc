"""CPU time of presence: a document checked, composed and rendered; and what refusing one costs.

Usage: ``python -m benchmarks.presence [COUNT]``
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from sipproxy.sip.errors import SipError
from tests.presence.fakes import Agent, person, pidf, service
from tests.presence.test_pidf import REFUSED

ROUNDS = 5
DEVICE = '<sip:alice@192.0.2.1>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"'
SMALL = (
    pidf(
        service("t4109", contact="sip:alice@example.test"),
        person("p4159", "<rpid:activities><rpid:{}/></rpid:activities>"),
    )
    .decode()
    .replace("    ", "")
)


def measured(name: str, call: Callable[[int], object], count: int) -> None:
    """Print the best of some rounds, for noise only ever adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for number in range(count):
            call(number)
        best = min(best, time.process_time() - began)
    print(f"{name}: {best / count * 1e6:.1f} us of CPU each")


def document(number: int) -> bytes:
    """Return a document that is not the one before."""
    return SMALL.format("away" if number % 2 else "busy").encode()


def published(agent: Agent, count: int, name: str) -> None:
    """Measure a change of what one publisher says: check, compose, render."""
    known = [agent.publish(document(1))]
    watcher = agent.watch()
    package = agent.package

    def change(number: int) -> None:
        known[0] = agent.publish(document(number), known[0])
        package.render(agent.state(), watcher, False)  # type: ignore[arg-type]

    measured(name, change, count)


def main() -> None:
    """Print what each step costs."""
    arguments = [argument for argument in sys.argv[1:] if argument.isdigit()]
    count = int(arguments[0]) if arguments else 5000
    published(Agent(), count, "a document published, composed and rendered")
    agent = Agent()
    agent.register(DEVICE)
    published(agent, count, "the same beside a registered device")
    agent.publish(document(1))
    published(agent, count, "the same beside another publication, too")
    alone = Agent()
    alone.register(DEVICE + ';audio;methods="INVITE,MESSAGE"')
    watcher = alone.watch()
    render = alone.package.render
    measured(
        "a registered device, composed and rendered",
        lambda number: render(alone.state(), watcher, False),  # type: ignore[arg-type]
        count,
    )
    for name, (data, status) in REFUSED.items():
        measured(f"refused with {status}: {name}", refused(alone, data), 20)


def refused(agent: Agent, data: bytes) -> Callable[[int], object]:
    """Return a call that has a document refused."""

    def call(number: int) -> None:
        try:
            agent.check(data)
        except SipError:
            return
        raise AssertionError("it was not refused")

    return call


if __name__ == "__main__":
    main()
