"""SIPp sends many MESSAGEs and calls to itself through the server, and counts (RFC 3261 §17).

Many of it watch many users, too; ``SIPPROXY_WATCHERS`` is how many instead (20000 are the full
number), with a twentieth of it to be watched.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.interop.processes import (
    HOST,
    LINGER,
    Process,
    Server,
    free_port,
    has_udp,
    needs,
    wait_for,
)

SCENARIOS = Path(__file__).resolve().parent / "sipp"
MESSAGES, MESSAGE_RATE = 10_000, 800  # a second
CALLS, CALL_RATE = 300, 100
OUTSTANDING = 256
VARIABLE = "SIPPROXY_WATCHERS"
WATCHERS, WATCHER_RATE = int(os.environ.get(VARIABLE, "2000")), 400
WATCHED, PUBLISH_RATE = WATCHERS // 20, 25  # each has 20 watchers, who are told at once
PATIENCE = 90 + WATCHERS // 100  # seconds for all of it
# A machine that stands still for T1 (half a second) makes any client repeat what was not lost, so
# such a round is played again; a server that loses datagrams loses some in each.
ROUNDS = 3

REPEATED = "Retransmissions(C)"  # a column of SIPp's statistics
Table = dict[str, int]
# Who calls, and who is registered for the user that is called.
KINDS = {
    "answered": ("call", "callee"),
    "rejected": ("call_rejected", "callee_busy"),
    "cancelled": ("call_cancelled", "callee_cancelled"),
    "forked": ("call", "callee", "callee_cancelled", "callee_cancelled"),
}


def expected(calls: int, answering: int) -> list[Table]:
    """Return what has to stand at the end in SIPp's statistics of the caller and of the others."""
    clean = {"FailedCall(C)": 0, REPEATED: 0, "OutOfCallMsgs(C)": 0, "DeadCallMsgs(C)": 0}
    caller = {"SuccessfulCall(C)": calls, **clean}
    return [caller, *[{**caller, "TotalCallCreated": calls}] * answering]


class SippTests(TestCase):
    """Nothing is lost, repeated or refused."""

    timeout = 300 + ROUNDS * PATIENCE

    def serve(self, extra: str = "") -> None:
        """Start a server that asks nobody for credentials."""
        self.sipp = needs("sipp")
        self.server = Server(self, "a.test", extra=f"[auth]\nrequired = false\n{extra}").ready()

    def started(
        self, name: str, port: int, user: str, calls: int, rate: int, *more: str | Path
    ) -> Process:
        """Start SIPp with a scenario; of options that come twice the last counts."""
        # fmt: off
        arguments = [
            self.sipp, f"{HOST}:{self.server.port}", "-sf", SCENARIOS / f"{name}.xml",
            "-i", HOST, "-p", str(port), "-s", user, "-key", "domain", "a.test",
            "-m", str(calls), "-r", str(rate), "-l", str(OUTSTANDING), "-nostdin",
            "-timeout", str(PATIENCE), "-timeout_error",
            "-trace_stat", "-stf", f"{port}.csv", "-fd", "1", *more,
        ]
        # fmt: on
        return Process(self, f"{name} at {port}", arguments, self.server.place)

    def counted(self, port: int, columns: Table) -> Table:
        """Return columns of the last line of SIPp's statistics."""
        with self.server.place.joinpath(f"{port}.csv").open(newline="") as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        return {column: int(last[column]) for column in columns}

    def played(self, user: str, sides: dict[int, str], calls: int, rate: int) -> list[Table]:
        """Let the first port call and the others answer; return what each counted."""
        caller, *called = sides
        running = []
        for port in called:
            running.append(self.started(sides[port], port, user, calls, rate))
            running[-1].wait_for(lambda port=port: has_udp(port), "a SIPp that answers")
        running.append(self.started(sides[caller], caller, user, calls, rate))
        for one in running:
            self.assertEqual(one.wait(PATIENCE), 0, f"{one.name}: {one.output[-2000:]}")
        wanted = expected(calls, len(called))
        return [self.counted(port, table) for port, table in zip(sides, wanted, strict=True)]

    def play(self, user: str, scenarios: tuple[str, ...], calls: int, rate: int) -> None:
        """Have all sides count every call once, and in one round of some repeat nothing."""
        sides = {free_port(): scenario for scenario in scenarios}
        for port in list(sides)[1:]:
            self.assertEqual(self.started("register", port, user, 1, rate).wait(PATIENCE), 0)
        wanted = expected(calls, len(sides) - 1)
        for _ in range(ROUNDS):
            counted = self.played(user, sides, calls, rate)
            if counted == wanted:
                return
            self.assertEqual([{**table, REPEATED: 0} for table in counted], wanted)
        self.assertEqual(counted, wanted)

    def test_ten_thousand(self) -> None:
        """MESSAGEs from one port to another."""
        self.serve()
        self.play("receiver", ("message", "answer"), MESSAGES, MESSAGE_RATE)

    def test_calls(self) -> None:
        """Calls of each kind, of which nothing is left."""
        self.serve(LINGER)
        for kind, scenarios in KINDS.items():
            self.play(kind, scenarios, CALLS, CALL_RATE)
        self.server.forgets()

    def test_watchers(self) -> None:
        """Each hears of the first state, of one change, and of the end, each time once."""
        self.serve(
            f'{LINGER}[events]\npackages = ["presence"]\n'
            '[presence]\nunknown_watchers = "allow"\nnotify_interval = 0.0\n'
        )
        users = self.server.place / "users.csv"
        lines = ["SEQUENTIAL", *(f"user{number}" for number in range(WATCHED))]
        users.write_text("\n".join(lines) + "\n")
        for _ in range(ROUNDS):
            counted = self.watched(users)
            wanted = [expected(calls, 0)[0] for calls in (WATCHERS, WATCHED)]
            if counted == wanted:
                break
            self.assertEqual([{**table, REPEATED: 0} for table in counted], wanted)
        self.assertEqual(counted, wanted)
        self.assertEqual(self.server.watchers(), 0)
        self.server.forgets()

    def watched(self, users: Path) -> list[Table]:
        """Have all subscribe, then all users publish; return what both sides counted."""
        watching, publishing = free_port(), free_port()
        more = ("-inf", users, "-l", str(WATCHERS), "-buff_size", "8388608")
        watchers = self.started("watcher", watching, "", WATCHERS, WATCHER_RATE, *more)
        wait_for(lambda: self.server.watchers() == WATCHERS, "all subscriptions", PATIENCE)
        more = ("-inf", users)
        publishers = self.started("publisher", publishing, "", WATCHED, PUBLISH_RATE, *more)
        for one in (publishers, watchers):
            self.assertEqual(one.wait(PATIENCE), 0, f"{one.name}: {one.output[-2000:]}")
        wanted = [expected(calls, 0)[0] for calls in (WATCHERS, WATCHED)]
        ports = (watching, publishing)
        return [self.counted(port, table) for port, table in zip(ports, wanted, strict=True)]
