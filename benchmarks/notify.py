"""CPU time of SUBSCRIBE and NOTIFY, without sockets: dialogs, subscriptions, slices, transactions.

Usage: ``python -m benchmarks.notify [WATCHERS ...] [--profile]``
"""

from __future__ import annotations

import cProfile
import gc
import sys
import tempfile
import time

from sipproxy import plugins
from sipproxy.testing import FakeClient, FakeServer, octets
from tests.events.fakes import BOB, NEWS, NewsFactory

ROUNDS = 5
TEXT = b"<presence>" + b"x" * 500 + b"%d</presence>"
LIMITS = "per_watcher = 1000000\nper_source = 1000000\n"
NOT_A_SECOND = 0.0


def subscribe(number: int) -> bytes:
    """Return a SUBSCRIBE as ``sipload`` writes it."""
    user = f"user{number:06}"
    return octets(f"""SUBSCRIBE sip:bob@example.test SIP/2.0
        Via: SIP/2.0/UDP 127.0.0.1:40000;rport;branch=z9hG4bK12345678-S{number}x0
        Max-Forwards: 70
        From: "{user}" <sip:{user}@example.test>;tag=12345678S{number}
        To: <sip:bob@example.test>
        Call-ID: 12345678-S{number}@127.0.0.1
        CSeq: 1 SUBSCRIBE
        Contact: <sip:{user}@127.0.0.1:40000>
        Event: news
        Expires: 3600
        Accept: text/plain
        User-Agent: sipload/1.0 (bench)
        Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, NOTIFY
        Content-Length: 0
        """)


def answers(client: FakeClient) -> list[bytes]:
    """Return a 200 for each NOTIFY that came, and forget what came."""
    made = []
    for data in client.flow.sent:
        if data[:7] == b"NOTIFY ":
            head = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
            kept = [line for line in head if line.partition(b":")[0] in _COPIED]
            lines = (b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b"")
            made.append(b"\r\n".join(lines))
    client.clear()
    return made


_COPIED = frozenset((b"Via", b"From", b"To", b"Call-ID", b"CSeq"))


class Bench:
    """A server, one presentity, and watchers that are all one client."""

    def __init__(self, directory: str, factory: NewsFactory) -> None:
        self.server = FakeServer(directory, NEWS + LIMITS)
        self.news = factory.built
        self.client = self.server.client("127.0.0.1", 40000)
        self.turns: list[float] = []

    def begin(self, first: int, count: int) -> float:
        """Subscribe so many; return the server's CPU seconds, the client's left out."""
        deliver, now = self.server.node.layer.datagram, time.process_time
        requests = [subscribe(number) for number in range(first, first + count)]
        spent = NOT_A_SECOND
        for start in range(0, count, 64):
            began = now()
            for request in requests[start : start + 64]:
                deliver(request, self.client.flow)
            self.server.clock.advance(0)
            spent += now() - began
            spent += self.answer()
        return spent + self.settle()

    def answer(self) -> float:
        """Answer what came; return the server's CPU seconds."""
        deliver, now = self.server.node.layer.datagram, time.process_time
        made = answers(self.client)
        began = now()
        for data in made:
            deliver(data, self.client.flow)
        return now() - began

    def publish(self, number: int) -> float:
        """Change the state, tell everybody, and return the server's CPU seconds."""
        now = time.process_time
        self.news.texts[BOB] = TEXT % number
        self.news.log.clear()
        calls = self.server.clock.calls
        began = now()
        self.server.node.notifier.changed(b"news", BOB)
        spent = now() - began
        while any(call.getTime() <= self.server.clock.seconds() for call in calls):
            call = calls.pop(0)  # a turn at a time, and the answers to it
            call.called = 1
            began = now()
            call.func(*call.args, **call.kw)
            turn = now() - began
            self.turns.append(turn)
            spent += turn + self.answer()
        return spent + self.settle()

    def settle(self) -> float:
        """Let transactions end; return the server's CPU seconds."""
        began = time.process_time()
        self.server.advance(6)
        return time.process_time() - began


def measure(count: int, profiled: bool) -> None:
    """Print what so many watchers of one presentity cost."""
    factory = NewsFactory()
    known = plugins.getPlugins
    plugins.getPlugins = lambda interface: [*known(interface), factory]  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory, factory)
        plugins.getPlugins = known
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 5)  # as service.py has it
        began = bench.begin(0, count)
        profile = cProfile.Profile()
        if profiled:
            profile.enable()
        rounds = [bench.publish(number) for number in range(ROUNDS)]
        profile.disable()
        if profiled:
            profile.print_stats("tottime")
        told = bench.server.node.notifier
        assert len(told) == count, len(told)
        print(
            f"{count} watchers: SUBSCRIBE with its NOTIFY {began / count * 1e6:.1f} us of CPU, "
            f"NOTIFY sent and answered {min(rounds) / count * 1e6:.1f} us; "
            f"longest turn {max(bench.turns) * 1e3:.1f} ms"
        )


def main() -> None:
    """Measure, the best of some rounds, for noise only ever adds."""
    counts = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    for count in counts or (1000, 10000):
        measure(count, "--profile" in sys.argv)


if __name__ == "__main__":
    main()
