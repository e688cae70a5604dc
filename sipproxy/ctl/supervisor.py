"""What systemd is told: that we serve, that we live, that we stop (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from twisted.logger import Logger


class Supervisor:
    """Tells who started us, where that wants to be told; elsewhere it does nothing.

    With a watchdog it hears of us twice in its time, as long as the reactor turns.
    """

    def __init__(self, reactor: Any, environment: Mapping[str, str] = os.environ) -> None:
        self._reactor = reactor
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._period = 0.0
        if environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            micros = environment.get("WATCHDOG_USEC", "")
            self._period = int(micros) / 2_000_000 if micros.isdigit() else 0.0
        self._call: Any = None
        self._log = Logger(namespace="sipproxy.supervisor")

    def ready(self) -> None:
        """We serve."""
        self._tell("READY=1")
        if self._address and self._period:
            self._live()

    def reloading(self) -> None:
        """We read the configuration again; until `reloaded` we may be slow to answer."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def reloaded(self, status: str) -> None:
        """We serve again, as ``status`` tells whoever asks systemd."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """We stop, which may take a while; the watchdog goes on."""
        self._tell("STOPPING=1")

    def stopped(self) -> None:
        """Nothing more is told."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _live(self) -> None:
        self._call = self._reactor.callLater(self._period, self._live)
        self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode(), address)
        except OSError as error:
            self._log.warn("systemd cannot be told {state}: {error}", state=state, error=error)
