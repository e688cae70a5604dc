"""SIPp sends many MESSAGEs to itself through the server, and counts (RFC 3261 §17, 3428)."""

from __future__ import annotations

import csv
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.interop.processes import HOST, Process, Server, free_port, has_udp, needs

SCENARIOS = Path(__file__).resolve().parent / "sipp"
MESSAGES = 10_000
RATE = 800  # a second
OUTSTANDING = 256
PATIENCE = 90  # seconds for all of it
# A machine that stands still for T1 (half a second) makes any client repeat what was not lost, so
# such a round is played again; a server that loses datagrams loses some in each.
ROUNDS = 3

# Columns of SIPp's statistics, and what has to stand there at the end.
REPEATED = "Retransmissions(C)"
CALLER = {
    "SuccessfulCall(C)": MESSAGES,
    "FailedCall(C)": 0,
    REPEATED: 0,
    "OutOfCallMsgs(C)": 0,
    "DeadCallMsgs(C)": 0,
}
EXPECTED = {"message": CALLER, "answer": {**CALLER, "TotalCallCreated": MESSAGES}}


class SippTests(TestCase):
    """Nothing is lost, repeated or refused."""

    timeout = 300

    def setUp(self) -> None:
        """Start a server that asks nobody for credentials."""
        self.sipp = needs("sipp")
        self.server = Server(self, "a.test", extra="[auth]\nrequired = false\n").ready()

    def started(self, name: str, port: int, calls: int, *more: str) -> Process:
        """Start SIPp with a scenario."""
        # fmt: off
        arguments = [
            self.sipp, f"{HOST}:{self.server.port}", "-sf", SCENARIOS / f"{name}.xml",
            "-i", HOST, "-p", str(port), "-s", "receiver", "-key", "domain", "a.test",
            "-m", str(calls), "-r", str(RATE), "-l", str(OUTSTANDING), "-nostdin",
            "-timeout", str(PATIENCE), "-timeout_error",
            "-trace_stat", "-stf", f"{name}.csv", "-fd", "1", *more,
        ]
        # fmt: on
        return Process(self, name, arguments, self.server.place)

    def counted(self, name: str) -> dict[str, str]:
        """Return the last line of SIPp's statistics."""
        with self.server.place.joinpath(f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file, delimiter=";"))[-1]

    def played(self, called: int, caller: int) -> dict[str, dict[str, int]]:
        """Let one port send and the other answer; return what each counted."""
        self.assertEqual(self.started("register", called, 1).wait(PATIENCE), 0)
        answering = self.started("answer", called, MESSAGES)
        answering.wait_for(lambda: has_udp(called), "the answering SIPp")
        sending = self.started("message", caller, MESSAGES)
        self.assertEqual((sending.wait(PATIENCE), answering.wait(PATIENCE)), (0, 0))
        tables = {name: (self.counted(name), EXPECTED[name]) for name in EXPECTED}
        return {
            name: {column: int(counted[column]) for column in expected}
            for name, (counted, expected) in tables.items()
        }

    def test_ten_thousand(self) -> None:
        """Both sides count every MESSAGE once, and in one round of some none is repeated."""
        called, caller = free_port(), free_port()
        for _ in range(ROUNDS):
            counted = self.played(called, caller)
            if counted == EXPECTED:
                return
            repeated = {name: {**table, REPEATED: 0} for name, table in counted.items()}
            self.assertEqual(repeated, EXPECTED)
        self.assertEqual(counted, EXPECTED)
