"""A run counts if every operation got its 2xx, and every MESSAGE and NOTIFY arrived once."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.load.generator import Run, told_by

GOOD = {
    "op": "message",
    "n": 40,
    "done": 40,
    "fail": 0,
    "retrans": 0,
    "dup_req": 0,
    "send_drop": 0,
    "msgs_rx": 40,
    "notify": 0,
    "notify_stale": 0,
    "notify_nobody": 0,
    "watchers": 0,
    "cpu": {"run_s": 0.5, "settled_s": 0.8, "idle": 0.01},
}
# Name: what is different, why the run does not count, and whether all was answered.
FAULTS = {
    "not all done": ({"done": 39}, "39 of 40 done", False),
    "refused": ({"done": 38, "fail": 2}, "38 of 40 done, 2 failed", False),
    "sent again": ({"retrans": 1}, "1 sent again", True),
    "received twice": ({"dup_req": 1}, "1 received twice", True),
    "not sent": ({"send_drop": 1}, "1 not sent", True),
    "lost": ({"msgs_rx": 39}, "39 of 40 received", True),
    "a watcher missed one": (
        {"op": "publish", "watchers": 10, "notify": 399},
        "399 of 400 received",
        True,
    ),
    "an old state": ({"op": "subscribe", "notify": 40, "notify_stale": 1}, "1 NOTIFYs", True),
}


class Counts(SynchronousTestCase):
    """What counts."""

    def test_good(self) -> None:
        self.assertEqual(Run(GOOD).fault, "")
        self.assertEqual(Run({**GOOD, "op": "register", "msgs_rx": 0}).fault, "")

    def test_faults(self) -> None:
        for name, (difference, fault, complete) in FAULTS.items():
            run = Run({**GOOD, **difference})
            self.assertIn(fault, run.fault, name)
            self.assertIs(run.is_complete, complete, name)

    def test_cleaning_up_is_counted_without_what_an_idle_server_takes(self) -> None:
        self.assertAlmostEqual(Run(GOOD).cleaning(10.0), 0.2)
        self.assertEqual(Run(GOOD).cleaning(60.0), 0.0)


class Told(SynchronousTestCase):
    """What is read."""

    def test_the_last_line(self) -> None:
        self.assertEqual(told_by(f"counting\n{json.dumps(GOOD)}\n", "").told, GOOD)

    def test_why_there_is_none(self) -> None:
        run = told_by("", "connect: Connection refused\n")
        self.assertEqual(run.fault, "connect: Connection refused")
        self.assertFalse(run.is_complete)
        self.assertTrue(told_by("counting\n", "").fault)
