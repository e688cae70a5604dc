"""Each case of `make bench` works against our server: as little as shows it, and no time is judged.

Kamailio is not needed.
"""

from __future__ import annotations

import dataclasses
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from benchmarks.load import generator
from benchmarks.load.cases import OPERATIONS, Size
from benchmarks.load.main import CASES
from benchmarks.load.ours import Ours, Pure
from benchmarks.load.servers import Server, Setting, running
from sipproxy.ctl.socket import ask
from sipproxy.sip import scanner

CHALLENGED = [case for case in OPERATIONS if case.setting(Size.LEAST).accounts]
ACCOUNTS = [user for case in CHALLENGED for user in case.setting(Size.LEAST).accounts]


class LoadTests(TestCase):
    """Two servers with what is in C, two in Python alone."""

    timeout = 180

    def setUp(self) -> None:
        """Build the generator."""
        try:
            generator.build()
        except generator.NotBuilt as error:
            raise SkipTest(f"{error} (.ci/run installs both)") from None

    def completes(self, start: type[Server], reader: str, *, challenged: bool) -> None:
        """Run the cases that challenge, or all others, against one server."""
        needs = frozenset(["tcp", "tls", "presence"])
        setting = Setting(accounts=ACCOUNTS) if challenged else Setting(needs)
        with running(start, setting) as server:
            self.assertEqual(ask(server.home / "var", "status")["scanner"], reader)
            for case in CASES:
                if (case in CHALLENGED) == challenged:
                    figure = case.measure(server, Size.LEAST, settles=False)
                    self.assertTrue(figure.is_complete, f"{case.name}: {figure.fault}")
                    if case.unit != "KiB":
                        self.assertGreater(figure.value or 0.0, 0.0, case.name)

    def test_with_the_scanner(self) -> None:
        """All cases."""
        if not scanner.IS_BUILT:
            raise SkipTest("the scanner in C is not built")
        self.completes(Ours, "C", challenged=False)
        self.completes(Ours, "C", challenged=True)

    def test_warm(self) -> None:
        """A server that has had the load before, with a password."""
        case = dataclasses.replace(CHALLENGED[0], is_warm=True)
        with running(Pure, case.setting(Size.LEAST)) as server:
            figure = case.measure(server, Size.LEAST, settles=False)
        self.assertTrue(figure.is_complete, figure.fault)

    def test_in_python(self) -> None:
        """All cases, as where there is no compiler."""
        self.completes(Pure, "Python", challenged=False)
        self.completes(Pure, "Python", challenged=True)
