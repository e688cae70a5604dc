"""Every torture message to a real server over loopback sockets, which then still serves."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.shared import needs_shared
from tests.torture.bad import CASES
from tests.torture.messages import octets
from tests.torture.running import DOMAIN, RunningServer, bound
from tests.torture.soak import still_serves
from tests.torture.table import ROWS

DOMAINS = (DOMAIN, "example.com", "example.net", "example.org", "company.com")
HOST = "127.77.0.2"
PATIENCE = 5.0


@needs_shared("torture", "manifest.json")
class SocketTests(SynchronousTestCase):
    """A server in a process of its own."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="torture-")
        self.addCleanup(directory.cleanup)
        self.server = RunningServer(Path(directory.name), DOMAINS)
        self.addCleanup(self.server.stop)

    def serves_on(self) -> None:
        """The server answers, and has nothing to complain of but what it was sent."""
        still_serves(self.server)
        self.assertEqual(self.server.faults, [])
        self.assertEqual(self.server.kept_in, [])

    def datagrams(self, messages: list[bytes]) -> None:
        with bound(HOST) as sock:
            for data in messages:
                sock.sendto(data, self.server.udp)

    def streams(self, messages: list[bytes]) -> None:
        """Write each to a connection of its own, and read until the server is done with it."""
        for data in messages:
            with socket.create_connection(self.server.tcp, PATIENCE) as connection:
                try:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65535):
                        pass
                except ConnectionError:
                    continue

    def test_torture_over_udp(self) -> None:
        self.datagrams([octets(name) for name in ROWS])
        self.serves_on()

    def test_torture_over_tcp(self) -> None:
        self.streams([octets(name) for name in ROWS])
        self.serves_on()

    def test_bad_input(self) -> None:
        """Whatever else is wrong; what would lead out goes nowhere, but might try to."""
        messages = [data for cases in CASES.values() for _, data, _ in cases()]
        self.datagrams(messages)
        self.streams(messages)
        still_serves(self.server)
        self.assertEqual(self.server.faults, [])
