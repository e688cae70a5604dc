"""The service: an operator's mistake is one line and leaves nothing open; it stops in order."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import twisted.internet
from twisted.application.service import IServiceMaker, Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sipproxy import interfaces, service
from sipproxy.ctl.server import Commands
from sipproxy.ctl.socket import FILE
from sipproxy.node import Node
from sipproxy.sip.message import Request
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from sipproxy.store.lock import hold
from sipproxy.testing import CONFIG, AtOnce, FakeFlow, FakeNetwork, octets
from sipproxy.transport.settings import Listen
from sipproxy.transport.sockets import BindError
from tests.installed import install_also
from tests.rfc import rfc
from tests.test_plugins import OPTIONS, Factory

OPEN = CONFIG + "[auth]\nrequired = false\n"
REGISTER = (
    OPTIONS.replace("OPTIONS sip:bob@", "REGISTER sip:")
    .replace("OPTIONS", "REGISTER")
    .replace("sip:alice@", "sip:bob@")
    .replace("Call-ID: 1", "Call-ID: 2\n    Contact: <sip:bob@192.0.2.1>;expires=60")
    .replace("z9hG4bK1", "z9hG4bK2;rport")
)


class Reactor(MemoryReactorClock):
    """A reactor that adopts the control socket, too."""

    def __init__(self, log: list[str]) -> None:
        MemoryReactorClock.__init__(self)
        self.log = log

    def adoptStreamPort(self, fileno: int, addressFamily: int, factory: Any) -> Any:
        """Note it; the port notes when it is stopped."""
        self.adoptedPorts.append((fileno, addressFamily, factory))
        return self

    def stopListening(self) -> None:
        """Be the port."""
        self.log.append("control stops")


class Socket:
    """A listener's socket that notes when it is closed."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.socket = self

    def close(self) -> None:
        """Note it."""
        self.log.append("closed")


class WithService(SynchronousTestCase):
    """A test that builds the service, without sockets but for the control socket."""

    def setUp(self) -> None:
        self.log: list[str] = []
        self.home = Path(tempfile.mkdtemp())  # a socket's name has to be short
        self.addCleanup(shutil.rmtree, self.home)
        self.file = self.home / "s.toml"
        self.reactor = Reactor(self.log)
        self.patch(service, "bind_all", lambda listens: [Socket(self.log) for _ in listens])
        self.patch(service, "Node", self.node)
        self.seconds = self.reactor.seconds
        self.patch(service, "time", SimpleNamespace(monotonic=self.seconds))
        self.patch(service, "_spare_the_collector", lambda: None)
        self.addCleanup(self.put_reactor, vars(twisted.internet).get("reactor"))
        self.put_reactor(self.reactor)

    def put_reactor(self, reactor: Any) -> None:
        """Let ``from twisted.internet import reactor`` give this one; None for none yet."""
        if reactor is None:
            del vars(twisted.internet)["reactor"]
        else:
            vars(twisted.internet)["reactor"] = reactor

    def node(self, config: Any, bound: Any, reactor: Any) -> Node:
        """Build a node that has no sockets."""
        node = Node(config, [], reactor, FakeNetwork)
        node.store.worker = AtOnce()
        return node

    def make(self, text: str) -> service.SipService:
        """Do what twistd does with a configuration."""
        self.file.write_text(text)
        options = service.Options()
        options.parseOptions(["--config", str(self.file)])
        return service.makeService(options)

    @property
    def control(self) -> Path:
        """Where the control socket is."""
        return self.home / "var" / FILE


class Mistakes(WithService):
    """What `makeService` does with an operator's mistake."""

    def line(self, text: str) -> str:
        """Return the line that the process ends with, without the name of the file."""
        error = self.assertRaises(SystemExit, self.make, text)
        line = str(error.code)
        self.assertNotIn("\n", line)
        self.assertFalse(self.control.exists())
        start = f"sipproxy: {self.file}: "
        self.assertTrue(line.startswith(start), line)
        return line[len(start) :]

    def test_no_file(self) -> None:
        options = service.Options()
        options.parseOptions(["-c", "no/such.toml"])
        error = self.assertRaises(SystemExit, service.makeService, options)
        remedy = "no such file; write one, or name another with --config"
        self.assertEqual(error.code, f"sipproxy: no/such.toml: {remedy}")

    def test_the_default_file(self) -> None:
        self.assertEqual(service.Options()["config"], "sipproxy.toml")

    def test_a_fault_of_the_file(self) -> None:
        self.assertEqual(
            self.line("domains = 1"), "domains: needs an array [...], not a whole number"
        )
        self.assertEqual(self.log, [])

    def test_a_port_in_use(self) -> None:
        def taken(listens: Any) -> Any:
            raise BindError(1, Listen("tcp", "127.0.0.1"), OSError(98, "Address already in use"))

        self.patch(service, "bind_all", taken)
        remedy = "stop what uses it, or choose another address or port"
        expected = f"listen[1]: tcp 127.0.0.1:5060: Address already in use; {remedy}"
        self.assertEqual(self.line(CONFIG), expected)

    def test_an_http_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            line = self.line(CONFIG + f"[http]\nport = {port}\n")
        self.assertIn(f"http.port: 127.0.0.1:{port}: Address already in use; stop what", line)

    def test_another_server_with_the_same_data(self) -> None:
        def alive(directory: Path) -> Any:
            raise FileExistsError(f"another server runs with {directory.name}")

        self.patch(service.control, "bind_control", alive)
        remedy = "stop it, or name another directory"
        self.assertEqual(self.line(CONFIG), f"data: another server runs with var; {remedy}")
        self.assertEqual(self.log, ["closed", "closed"])

    def test_another_server_with_the_same_database(self) -> None:
        """Its data directory has another name, and the control socket is not ours."""
        (self.home / "var").mkdir()
        other = self.home / "other"
        other.mkdir()
        (other / "sipproxy.sqlite").symlink_to(self.home / "var" / "sipproxy.sqlite")
        with hold(other):
            line = self.line(CONFIG)
        self.assertIn("data: another server uses the database in ", line)
        self.assertIn("stop it, or name another directory", line)
        self.assertEqual(self.log, ["closed", "closed"])

    def test_data_that_cannot_be_a_directory(self) -> None:
        (self.home / "taken").write_text("")
        self.assertIn("data: ", self.line('data = "taken"\n' + CONFIG))
        self.assertEqual(self.log, ["closed", "closed"])

    def test_an_unknown_component(self) -> None:
        line = self.line(CONFIG + '[proxy]\nfilters = ["nobody"]')
        self.assertIn("proxy.filters[0]: no component 'nobody' is installed; there are: ", line)
        self.assertEqual(self.log, ["closed", "closed"])

    def test_accounts_that_cannot_be_read(self) -> None:
        (self.home / "var").mkdir()
        (self.home / "var" / "sipproxy.sqlite").write_text("no database, by far not one")
        file = self.home.resolve() / "var" / "sipproxy.sqlite"
        problem = f"{file} is damaged (file is not a database): restore a copy, or move it away"
        self.assertEqual(self.line(CONFIG), f"plugin.sqlite: {problem} and begin anew")
        self.assertEqual(self.log, ["closed", "closed"])

    def test_a_bug_leaves_nothing_open_either(self) -> None:
        def broken(*arguments: Any) -> Any:
            raise ZeroDivisionError

        self.patch(service, "Node", broken)
        self.assertRaises(ZeroDivisionError, self.make, CONFIG)
        self.assertFalse(self.control.exists())
        self.assertEqual(self.log, ["closed", "closed"])

    def test_what_was_left_can_be_bound_again(self) -> None:
        self.line(CONFIG + "[plugin.nobody]")
        made = self.make(CONFIG)
        self.assertTrue(self.control.exists())
        made.stopService()
        self.assertFalse(self.control.exists())


@implementer(interfaces.IRequestFilter)
class Part(Service):  # type: ignore[misc]
    """A component that is a service."""

    log: ClassVar[list[str]] = []
    slow: Deferred[None] | None = None

    def __init__(self, name: str) -> None:
        self.name = name

    def request(self, request: Any, sender: Any) -> None:
        """Let everything pass."""

    def startService(self) -> None:
        """Note it."""
        self.log.append(f"{self.name} starts")

    def stopService(self) -> Any:
        """Note it."""
        self.log.append(f"{self.name} stops")
        if self.name == "bad":
            raise ZeroDivisionError
        return self.slow


class WithLife(WithService):
    """A test that starts the service."""

    def setUp(self) -> None:
        WithService.setUp(self)
        self.patch(Part, "log", self.log)
        names = ("a", "bad", "b")
        install_also(self, [Factory(name, interfaces.IRequestFilter, Part) for name in names])
        self.flow = FakeFlow("192.0.2.1", 5060)

    def start(self, *filters: str) -> None:
        """Start a service with these filters."""
        named = ", ".join(f'"{name}"' for name in filters)
        self.served = self.make(OPEN + f"[proxy]\nfilters = [{named}]")
        node = self.served.node
        node.network.peers[("udp", "192.0.2.1", 5060)] = self.flow
        self.patch(node, "stop", lambda: self.log.append("node stops"))
        close = node.store.close
        self.patch(node.store, "close", lambda: (self.log.append("store closes"), close()))
        self.served.startService()

    def deliver(self, text: str) -> list[bytes]:
        """Let a request arrive; return the start lines of what is sent."""
        self.flow.sent.clear()
        self.served.node.layer.datagram(octets(text), self.flow)
        return [data.partition(b"\r\n")[0] for data in self.flow.sent]


class Life(WithLife):
    """Start and stop."""

    def test_the_maker_is_found(self) -> None:
        (maker,) = [one for one in getPlugins(IServiceMaker) if one.tapname == "sipproxy"]
        self.assertEqual(maker.module, "sipproxy.service")

    def test_time_is_monotonic(self) -> None:
        self.make(CONFIG)
        self.assertIn("seconds", vars(self.reactor))  # its own, the wall clock, stands behind
        self.assertEqual(self.reactor.seconds, self.seconds)

    def test_nothing_runs_before_the_start(self) -> None:
        self.make(OPEN + '[proxy]\nfilters = ["a"]')
        self.assertEqual((self.log, self.reactor.getDelayedCalls()), ([], []))
        self.assertEqual(self.reactor.adoptedPorts, [])

    def test_start(self) -> None:
        self.start("b", "a")
        self.assertEqual(self.log, ["b starts", "a starts"])
        ((_, family, factory),) = self.reactor.adoptedPorts
        self.assertEqual(family, socket.AF_UNIX)
        self.assertIsInstance(factory, Commands)
        self.assertEqual(self.deliver(REGISTER), [b"SIP/2.0 200 OK"])

    def test_stop_goes_in_order(self) -> None:
        self.start("b", "a")
        del self.log[:]
        self.successResultOf(self.served.stopService())
        expected = ["a stops", "b stops", "store closes", "node stops", "control stops"]
        self.assertEqual(self.log, expected)
        self.assertFalse(self.control.exists())

    def test_each_part_is_waited_for(self) -> None:
        self.start("b", "a")
        waiting: Deferred[None] = Deferred()
        self.patch(Part, "slow", waiting)
        del self.log[:]
        stopping = self.served.stopService()
        self.assertNoResult(stopping)
        self.assertEqual(self.log, ["a stops"])
        waiting.callback(None)
        self.successResultOf(stopping)

    def test_one_that_cannot_stop_keeps_nobody_from_it(self) -> None:
        self.start("b", "bad")
        del self.log[:]
        self.successResultOf(self.served.stopService())
        self.assertEqual(self.log[:3], ["bad stops", "b stops", "store closes"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(self.control.exists())


class Draining(WithLife):
    """What is under way when the server stops."""

    def setUp(self) -> None:
        WithLife.setUp(self)
        self.start("a")
        self.deliver(REGISTER)
        self.assertEqual(self.deliver(OPTIONS), [b"OPTIONS sip:bob@192.0.2.1 SIP/2.0"])
        self.forwarded = self.flow.sent[0]
        del self.log[:]
        self.stopping = self.served.stopService()

    def answer(self) -> None:
        """Answer the request that is under way."""
        answer = self.forwarded.replace(b"OPTIONS sip:bob@192.0.2.1 SIP/2.0", b"SIP/2.0 200 OK")
        self.served.node.layer.datagram(answer, self.flow)

    def test_new_work_is_refused(self) -> None:
        again = OPTIONS.replace("z9hG4bK1", "z9hG4bK3")
        self.assertEqual(self.deliver(again), [b"SIP/2.0 503 Service Unavailable"])
        self.assertIn(b"\r\nRetry-After: 10\r\n", self.flow.sent[0])
        self.assertEqual(self.log, [])

    def test_it_waits_for_the_answer(self) -> None:
        self.reactor.pump([0.05] * 20)
        self.assertNoResult(self.stopping)
        self.flow.sent.clear()
        self.answer()
        self.assertTrue(self.flow.sent[0].startswith(b"SIP/2.0 200 OK\r\n"))
        self.reactor.advance(0.05)
        self.successResultOf(self.stopping)
        self.assertEqual(self.log[:2], ["a stops", "store closes"])

    def test_it_waits_no_longer_than_that(self) -> None:
        self.patch(self.served.node.front._core.layer, "_servers", {1: Endless()})
        self.reactor.pump([0.05] * 199)
        self.assertNoResult(self.stopping)
        self.reactor.pump([0.05] * 2)
        self.successResultOf(self.stopping)


class DrainingCalls(WithLife):
    """A call to two phones that is under way when the server stops."""

    def setUp(self) -> None:
        WithLife.setUp(self)
        self.start("a")
        self.phones = [FakeFlow(f"192.0.2.{number}", 5060) for number in (2, 3)]
        for number, phone in enumerate(self.phones, 2):
            host = phone.host.decode()
            text = REGISTER.replace("192.0.2.1", host).replace("z9hG4bK2", f"z9hG4bK-{number}")
            self.served.node.network.peers["udp", host, 5060] = phone  # type: ignore[attr-defined]
            self.served.node.layer.datagram(octets(text.replace("ID: 2", f"ID: {host}")), phone)
            phone.sent.clear()
        self.call = OPTIONS.replace("OPTIONS", "INVITE")
        self.deliver(self.call)
        self.invites = [parse_datagram(phone.sent[0]) for phone in self.phones]

    def answer(self, number: int, status: int) -> None:
        """Let a phone answer the call."""
        invite = self.invites[number]
        assert isinstance(invite, Request)
        response = make_response(invite, status, b"tag")
        self.served.node.layer.datagram(response.encode(), self.phones[number])

    def stop_and_cancel(self) -> Deferred[None]:
        """Begin to stop; then the caller gives up."""
        stopping: Deferred[None] = self.served.stopService()
        self.reactor.pump([0.05] * 4)
        self.assertNoResult(stopping)
        cancel = self.call.replace("INVITE", "CANCEL")
        self.assertEqual(self.deliver(cancel), [b"SIP/2.0 200 OK"])
        return stopping

    def last(self) -> list[bytes]:
        """Return the method that each phone was sent last."""
        return [phone.sent[-1].split()[0] for phone in self.phones]

    @rfc(3261, "16.10", "a CANCEL is answered 200 at once, and goes to every pending branch")
    def test_it_can_still_be_cancelled(self) -> None:
        """That is no new work: the stop is over the sooner."""
        self.answer(0, 180)
        self.answer(1, 180)
        stopping = self.stop_and_cancel()
        self.assertEqual(self.last(), [b"CANCEL", b"CANCEL"])
        self.answer(0, 487)
        self.reactor.pump([0.05] * 4)
        self.assertNoResult(stopping)
        self.flow.sent.clear()
        self.answer(1, 487)
        self.assertTrue(self.flow.sent[-1].startswith(b"SIP/2.0 487 "))
        self.reactor.pump([0.05] * 2)
        self.successResultOf(stopping)

    @rfc(3261, "9.1", "a CANCEL waits for a provisional response")
    def test_a_phone_that_has_not_said_anything(self) -> None:
        """It is told to stop as soon as it rings, though the server stops."""
        self.answer(0, 180)
        self.stop_and_cancel()
        self.assertEqual(self.last(), [b"CANCEL", b"INVITE"])
        self.answer(1, 180)
        self.assertEqual(self.last(), [b"CANCEL", b"CANCEL"])


class Endless:
    """A transaction that nobody answers."""

    is_answered = False
