"""``sipctl try`` against a server in this process: what it does, and how it tells of a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.config import parse
from sipproxy.ctl import client, command, main, trial
from sipproxy.ctl.server import Commands
from sipproxy.ctl.socket import NotRunning
from sipproxy.store.accounts import AccountTable
from sipproxy.testing import CONFIG, FakeClient, FakeServer


class Wire:
    """A socket that is none: what is sent arrives at once, and so does the answer."""

    def __init__(self, phone: FakeClient) -> None:
        self.phone = phone
        self.closed = False

    def settimeout(self, seconds: float) -> None:
        """Never wait."""

    def send(self, data: bytes) -> None:
        """Send to the server."""
        self.phone.send(data)

    def recv(self, size: int) -> bytes:
        """Return the next message, or time out at once."""
        if not self.phone.flow.sent:
            raise TimeoutError
        return self.phone.flow.sent.pop(0)

    def getsockname(self) -> tuple[str, int]:
        """Return our own address."""
        return self.phone.flow.host.decode(), self.phone.flow.port

    def close(self) -> None:
        """Note it."""
        self.closed = True


class Trying(SynchronousTestCase):
    """The whole trial."""

    def setUp(self) -> None:
        self.start(CONFIG)
        self.patch(trial, "ask", self.ask)
        self.patch(client, "PATIENCE", 0.05)
        self.patch(client.socket, "socket", self.socket)
        self.steps: list[str] = []
        self.faults: list[str] = []

    def start(self, text: str) -> None:
        """Have another server."""
        self.server = FakeServer(self.mktemp(), text, {"alice@example.test": "x"})
        self.wires: list[Wire] = []

    def ask(self, directory: Path, command: str, **arguments: Any) -> Any:
        """Stand in for the control socket."""
        return Commands(self.server.node).run({"command": command, **arguments})

    def socket(self, family: int, kind: int) -> Any:
        """Return a wire to the server instead of a socket."""
        transport = "udp" if kind == client.socket.SOCK_DGRAM else "tcp"
        wire = Wire(self.server.client("192.0.2.1", 6000 + len(self.wires), transport))
        wire.connect = self.connected  # type: ignore[attr-defined]
        self.wires.append(wire)
        return wire

    def connected(self, address: tuple[str, int]) -> None:
        """Take the address that a client connects to."""
        self.assertEqual(address, ("127.0.0.1", 5060))

    def report(self, step: str, problem: str | None) -> None:
        """Take the outcome of a step."""
        self.steps.append(step)
        if problem is not None:
            self.faults.append(f"{step}: {problem}")

    def run_trial(self) -> bool:
        """Run it, and see that nothing of it is left."""
        passed = trial.Trial(self.server.config, self.report).run()
        self.assertTrue(all(wire.closed for wire in self.wires))
        aors = [aor for aor, _ in AccountTable(self.server.config.data).rows()]
        self.assertEqual(aors, [b"alice@example.test"])
        return passed

    def test_all_passes(self) -> None:
        self.assertTrue(self.run_trial(), self.faults)
        self.assertEqual(self.faults, [])
        self.assertEqual(len(self.steps), 3 + 2 * 11)
        self.assertEqual(len(self.server.node.publications), 0)
        self.assertEqual(len(self.server.node.notifier), 0)
        self.assertEqual(list(self.server.node.location.aors()), [])
        self.assertTrue(any(step.startswith("tcp 127.0.0.1:5060: ") for step in self.steps))

    def test_a_wildcard_is_tried_on_the_loopback(self) -> None:
        advertised = 'address = "0.0.0.0"\nadvertise = "sip.example.test"'
        self.start(CONFIG.replace('address = "127.0.0.1"', advertised))
        self.assertTrue(self.run_trial(), self.faults)

    def test_a_laboratory_asks_nobody(self) -> None:
        self.start(CONFIG + "[auth]\nrequired = false")
        self.assertTrue(self.run_trial(), self.faults)
        self.assertFalse(any("password" in step for step in self.steps))

    def test_no_server(self) -> None:
        def nobody(directory: Path, command: str) -> Any:
            raise NotRunning("no server answers in var")

        self.patch(trial, "ask", nobody)
        self.assertFalse(self.run_trial())
        step = "the server answers on its control socket"
        self.assertEqual(self.faults, [f"{step}: no server answers in var"])

    def test_one_that_registers_nobody(self) -> None:
        self.start(CONFIG + "[proxy]\nhandlers = []")
        self.assertFalse(self.run_trial())
        self.assertEqual(len(self.faults), 2)  # the second listener is tried all the same
        self.assertTrue(self.faults[0].endswith(" registers: answered 404, not 200"), self.faults)

    def test_one_that_does_not_challenge(self) -> None:
        self.start(CONFIG + "[auth]\nrequired = false")
        text = CONFIG + "[auth]\nrequired = true"
        self.patch(self.server, "config", parse(self.server.config.file, text))
        self.assertFalse(self.run_trial())
        self.assertTrue(self.faults[0].endswith(" refused: answered 200, not 401"), self.faults)

    def test_one_that_is_deaf(self) -> None:
        self.patch(self.server, "deliver", lambda data, flow: None)
        self.assertFalse(self.run_trial())
        expected = "udp 127.0.0.1:5060: OPTIONS is answered: waited for an answer"
        self.assertEqual(self.faults[0], expected)

    def test_a_port_that_nobody_listens_on(self) -> None:
        def refused(address: Any) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

        self.patch(self, "connected", refused)
        self.assertFalse(self.run_trial())
        fault = "a client has a socket: [Errno 111] Connection refused"
        self.assertEqual(self.faults[0], f"udp 127.0.0.1:5060: {fault}")

    def test_what_the_operator_sees(self) -> None:
        self.patch(command, "load", lambda path: self.server.config)
        result = CliRunner().invoke(main.main, ["try"])
        self.assertEqual(result.exit_code, 0, result.output)
        first = "pass  the server answers on its control socket"
        self.assertEqual(result.stdout.splitlines()[0], first)
        self.patch(self.server, "deliver", lambda data, flow: None)
        result = CliRunner().invoke(main.main, ["try"])
        self.assertEqual(result.exit_code, 1)
        fault = "FAIL  udp 127.0.0.1:5060: OPTIONS is answered: waited for an answer"
        self.assertIn(fault, result.stdout)
