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

# Columns of SIPp's statistics, and what has to stand there at the end.
CALLER = {
    "SuccessfulCall(C)": MESSAGES,
    "FailedCall(C)": 0,
    "Retransmissions(C)": 0,
    "OutOfCallMsgs(C)": 0,
    "DeadCallMsgs(C)": 0,
}
CALLED = {**CALLER, "TotalCallCreated": MESSAGES}


class SippTests(TestCase):
    """Nothing is lost, repeated or refused."""

    timeout = 150

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

    def test_ten_thousand(self) -> None:
        """Both sides count every MESSAGE once."""
        called, caller = free_port(), free_port()
        self.assertEqual(self.started("register", called, 1).wait(PATIENCE), 0)
        answering = self.started("answer", called, MESSAGES)
        answering.wait_for(lambda: has_udp(called), "the answering SIPp")
        sending = self.started("message", caller, MESSAGES)
        codes = sending.wait(PATIENCE), answering.wait(PATIENCE)
        for name, expected in (("message", CALLER), ("answer", CALLED)):
            counted = self.counted(name)
            found = {column: int(counted[column]) for column in expected}
            self.assertEqual(found, expected, name)
        self.assertEqual(codes, (0, 0))
