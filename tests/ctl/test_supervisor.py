"""What systemd is told, and when."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl.supervisor import Supervisor

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"


class SupervisorTests(SynchronousTestCase):
    """A supervisor's socket."""

    def setUp(self) -> None:
        self.clock = Clock()
        home = tempfile.mkdtemp()  # a socket's name has to be short
        self.addCleanup(shutil.rmtree, home)
        self.address = f"{home}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(self.address)
        self.socket.setblocking(False)

    def supervisor(self, **environment: str) -> Supervisor:
        """Return what tells a supervisor of ours."""
        return Supervisor(self.clock, {"NOTIFY_SOCKET": self.address, **environment})

    def told(self) -> list[bytes]:
        """Return what came since the last time."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(100))
            except BlockingIOError:
                return found

    def test_ready_and_stopping(self) -> None:
        ours = self.supervisor()
        ours.ready()
        ours.stopping()
        ours.stopped()
        self.assertEqual(self.told(), [b"READY=1", b"STOPPING=1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_watchdog_hears_of_us_twice_in_its_time(self) -> None:
        ours = self.supervisor(WATCHDOG_USEC="10000000")
        ours.ready()
        self.clock.pump([5.0, 5.0])
        self.assertEqual(self.told(), [b"READY=1", *[b"WATCHDOG=1"] * 3])
        ours.stopping()
        self.clock.advance(5.0)
        self.assertEqual(self.told(), [b"STOPPING=1", b"WATCHDOG=1"])
        ours.stopped()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_reload(self) -> None:
        """systemd waits for READY=1 that comes after RELOADING=1 (Type=notify-reload)."""
        ours = self.supervisor()
        ours.ready()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        ours.reloading()
        ours.reloaded("all is new")
        _, reloading, ready = self.told()
        text, stamp = reloading.split(b"\nMONOTONIC_USEC=")
        self.assertEqual((text, ready), (b"RELOADING=1", b"READY=1\nSTATUS=all is new"))
        self.assertGreaterEqual(int(stamp), before)

    def test_a_watchdog_of_another_process(self) -> None:
        self.supervisor(WATCHDOG_USEC="10000000", WATCHDOG_PID=str(os.getpid() + 1)).ready()
        self.assertEqual(self.told(), [b"READY=1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_wants_to_be_told(self) -> None:
        ours = Supervisor(self.clock, {"WATCHDOG_USEC": "10000000"})
        ours.ready()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_listens(self) -> None:
        ours = Supervisor(self.clock, {"NOTIFY_SOCKET": "/nowhere/at/all"})
        ours.ready()
        ours.stopping()


class UnitTests(SynchronousTestCase):
    """The unit that is shipped."""

    def test_systemd_takes_it(self) -> None:
        if shutil.which("systemd-analyze") is None:
            self.skipTest("needs systemd-analyze")
        home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, home)
        text = (CONTRIB / "sipproxy.service").read_text()
        unit = home / "sipproxy.service"
        unit.write_text(re.sub("/opt/sipproxy/bin/(twistd|sipctl)", "/bin/true", text))
        command = ["systemd-analyze", "verify", "--man=no", str(unit)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
