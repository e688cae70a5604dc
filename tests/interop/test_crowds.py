"""Crowds: a fleet that dies at once, and slow peers beside good ones.

``SIPPROXY_CROWD`` says how many slow peers there are: 1,000 unless told, 5,000 to be thorough.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from sipproxy.ctl.socket import ask
from sipproxy.transport.sockets import room
from tests.authority import Authority
from tests.interop.federation import tls_listen
from tests.interop.processes import (
    HOST,
    Process,
    Server,
    directory,
    free_port,
    sipctl,
    wait_for,
)
from tests.interop.users import User

FLEET = 2000
WITH_TWO = 50  # of the fleet, who have another device
GONE = 1.0  # seconds until a dead client's bindings are
SLOW = int(os.environ.get("SIPPROXY_CROWD", "1000"))
GOOD = 100
SECONDS = 3.0  # that a measurement takes
NOISE = 0.005  # seconds that a median may grow beside its double
MORE = 1  # measurements where one fails: the machine is shared
KEPT = 1  # KiB that a further crowd may leave for each of its connections, which take several
OPEN = "[auth]\nrequired = false\n[transactions]\nlinger = 1\n"


class Crowd(Process):
    """A process of clients (`crowd.py`)."""

    def __init__(self, case: TestCase, kind: str, port: int, count: int) -> None:
        script = Path(__file__).with_name("crowd.py")
        command = [sys.executable, script, kind, HOST, str(port), str(count)]
        super().__init__(case, kind, command, directory(case))

    def ready(self) -> Crowd:
        """Wait until it is there."""
        self.wait_for(lambda: "ready\n" in self.output, "the crowd")
        return self

    def measure(self, seconds: float) -> dict[str, Any]:
        """Let its clients talk for so long, and return what they found."""
        before = self.output.count("\n")
        self.say(str(seconds))
        lines = self.wait_for(lambda: self.output.split("\n")[before:-1], "the figures")
        figures: dict[str, Any] = json.loads(lines[0])
        return figures


class CrowdCase(TestCase):
    """A server that asks for no passwords."""

    timeout = 120
    more = ""

    def setUp(self) -> None:
        """Start it, with as many descriptors as may be had for it and its clients."""
        self.most = room(max(FLEET, SLOW + GOOD))
        self.server = Server(self, "a.test", (), OPEN + self.more).ready()

    def ask(self, command: str) -> Any:
        """Ask as sipctl does."""
        return ask(self.server.place / "var", command)

    def crowd(self, kind: str, count: int) -> Crowd:
        """Start a crowd."""
        return Crowd(self, kind, self.server.port, count).ready()


class FleetTests(CrowdCase):
    """Two thousand users of one process, which is killed."""

    def bound_by_tcp(self) -> list[str]:
        """Return who is bound by a connection."""
        return [row["aor"] for row in self.ask("bindings") if row["flow"].startswith("TCP")]

    def test_killed(self) -> None:
        """Its bindings go with its connections; who has another device is reached there."""
        count = min(FLEET, self.most)
        fleet = self.crowd("fleet", count)
        self.crowd("udp", WITH_TWO)
        self.assertEqual(len(self.bound_by_tcp()), count)
        fleet.kill()
        began = time.monotonic()
        wait_for(lambda: not self.bound_by_tcp(), "the end of the fleet", GONE)
        took = time.monotonic() - began
        self.assertLess(took, GONE)
        listed = json.loads(sipctl(self.server.place, "bindings", "--json").stdout)
        expected = sorted(f"user{number}@a.test" for number in range(WITH_TWO))
        self.assertEqual(sorted(row["aor"] for row in listed), expected)
        self.assertEqual({row["flow"][:3] for row in listed}, {"UDP"})
        sender = User(self, "eve@a.test", self.server.port)
        for number, status in ((0, 200), (WITH_TWO - 1, 200), (WITH_TWO, 480), (count - 1, 480)):
            self.assertEqual(sender.status(f"user{number}@a.test"), status, number)
        self.assertEqual(self.ask("status")["connections"], 0)


class SlowTests(CrowdCase):
    """Connections that write an octet a second."""

    kind = "slow"
    crowds = 2  # the last of them finds what the one before it has left

    @property
    def port(self) -> int:
        """Where they connect to."""
        return self.server.port

    def resident(self) -> int:
        """Return the memory of the server, in KiB."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1))

    def test_good_ones_beside_them(self) -> None:
        """They are served as ever, and nothing is lost; nothing is left of the slow ones."""
        good = self.crowd("pairs", GOOD)
        seen, memory = [], []
        good.measure(SECONDS)
        for _ in range(self.crowds + MORE):
            before, during = self.compared(good)
            memory.append(self.resident())
            seen.append((before["median"], during["median"]))
            if during["median"] <= 2 * before["median"] + NOISE and len(seen) >= self.crowds:
                break
        else:
            self.fail(f"medians of seconds before and during: {seen}")
        self.assertLessEqual(memory[-1], memory[self.crowds - 2] + KEPT * SLOW, memory)

    def is_over(self) -> bool:
        """Tell whether the slow ones have gone, and nothing lingers."""
        status = self.ask("status")
        return bool(status["connections"] == GOOD // 2 and not status["transactions"])

    def compared(self, good: Crowd) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the good ones find without slow ones, and beside them."""
        before = good.measure(SECONDS)
        slow = Crowd(self, self.kind, self.port, min(SLOW, self.most - GOOD)).ready()
        during = good.measure(SECONDS)
        there = self.ask("status")["connections"]
        self.assertEqual(there, min(SLOW, self.most - GOOD) + GOOD // 2)
        slow.kill()
        for figures in (before, during):
            self.assertEqual(figures["answered"], figures["sent"])
            self.assertGreater(figures["sent"], GOOD)
        wait_for(self.is_over, "the end of the slow")
        return before, during


class HandshakeTests(SlowTests):
    """Handshakes that are half open, and go on by an octet a second."""

    kind = "hello"
    crowds = 4  # the first ones spread over what the allocator has got for one
    port = 0

    def setUp(self) -> None:
        """Let the server listen for TLS, too."""
        self.port = free_port()
        self.more = tls_listen(directory(self), "a.test", self.port, Authority())
        SlowTests.setUp(self)


class IdlersTests(TestCase):
    """Connections that are of no use are closed in time, and others are let in meanwhile."""

    timeout = 120

    def test_closed(self) -> None:
        """Slow ones and silent ones, as many as there may be; each is told by its end."""
        limits = "[limits]\npartial = 3\nconnections_per_address = 300\n"
        server = Server(self, "a.test", (), OPEN + limits).ready()
        crowd = Crowd(self, "slow", server.port, 400).ready()
        data = server.place / "var"
        self.assertLessEqual(ask(data, "status")["connections"], 300)
        wait_for(lambda: ask(data, "status")["connections"] == 0, "their end", 10)
        self.assertEqual((crowd.wait(10), crowd.output), (0, "ready\nclosed\n"))
        user = User(self, "alice@a.test", server.port, "tcp")
        self.assertEqual(user.register(60).status, 200)
