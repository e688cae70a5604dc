"""What ``twistd sipproxy`` runs: options, and a service that starts and stops in order."""

from __future__ import annotations

import gc
import signal
import socket
import time
from io import FileIO
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet import defer, task
from twisted.python import usage
from twisted.python.failure import Failure

from sipproxy.config import DEFAULT_FILE, Config, ConfigError, load
from sipproxy.ctl import socket as control
from sipproxy.ctl.reload import Reloader
from sipproxy.ctl.server import Commands
from sipproxy.ctl.supervisor import Supervisor
from sipproxy.ctl.web import Web, bind_http
from sipproxy.node import Node
from sipproxy.store.lock import hold
from sipproxy.transport.sockets import BindError, bind_all, close_all

DRAIN = 10.0  # seconds that open transactions have to finish in when the server stops


class Options(usage.Options):
    """``twistd sipproxy``'s own options."""

    optParameters = [["config", "c", DEFAULT_FILE, "The configuration file."]]
    longdesc = "Serves SIP as the configuration file says; see the operator's guide."


class SipService(Service):
    """A node, its control socket, and the socket of its metrics, if there is one."""

    def __init__(
        self,
        node: Node,
        control_socket: socket.socket,
        reactor: Any,
        http_socket: socket.socket | None = None,
        lock: FileIO | None = None,
    ) -> None:
        self.node = node
        self._lock = lock
        self._control = control_socket
        self._web = Web(node, reactor, http_socket)
        self._reactor = reactor
        self._supervisor = Supervisor(reactor)
        self._reloader = Reloader(node, self._web, self._supervisor)
        self._port: Any = None
        self._hangup: Any = None

    def startService(self) -> None:
        """Serve."""
        Service.startService(self)
        gc.disable()  # all that is taken up lives long: looking for garbage in it doubles the time
        try:
            for part in self.node.services:
                part.startService()
        finally:
            gc.enable()
        self.node.start()
        _spare_the_collector()
        commands = Commands(self.node, self._reloader)
        self._port = self._reactor.adoptStreamPort(self._control.fileno(), socket.AF_UNIX, commands)
        Path(self._control.getsockname()).chmod(0o600)  # the reactor opens what it adopts to all
        self._web.start()
        listening = ", ".join(f"{x.transport} {x.address}:{x.port}" for x in self.node.listens)
        self._hangup = signal.signal(signal.SIGHUP, self._hung_up)
        self._supervisor.ready()
        self.node.log.info("serving {domains} on {on}", domains=self._domains(), on=listening)

    def _hung_up(self, *_: object) -> None:
        """SIGHUP: the configuration is read again, in the reactor's own time."""
        self._reactor.callFromThread(self.reload)

    def reload(self) -> None:
        """Follow the configuration file as it is now; what is wrong with it goes to the log."""
        try:
            self._reloader.reload()
        except ConfigError:
            return  # it is logged
        except Exception:
            self.node.log.failure("while the configuration is read again; nothing changed")

    def _domains(self) -> str:
        return ", ".join(self.node.settings.domains)

    @defer.inlineCallbacks
    def stopService(self) -> Any:
        """Refuse new work, let open transactions finish, then close everything, in this order."""
        Service.stopService(self)
        signal.signal(signal.SIGHUP, self._hangup or signal.SIG_DFL)
        self._supervisor.stopping()
        self.node.front.is_draining = True
        deadline = self._reactor.seconds() + DRAIN
        while self.node.layer.unanswered and self._reactor.seconds() < deadline:
            yield task.deferLater(self._reactor, 0.05)
        for part in reversed(self.node.services):
            yield defer.maybeDeferred(part.stopService).addErrback(self._not_stopped, part)
        if not IService.providedBy(
            self.node.store
        ):  # else it was the last of them, being the first
            yield defer.maybeDeferred(self.node.store.commit).addErrback(self._not_stopped, "store")
        self.node.stop()
        if self._port is not None:
            yield defer.maybeDeferred(self._port.stopListening)
        yield defer.maybeDeferred(self._web.stop)
        self._control.close()
        self._supervisor.stopped()
        Path(self.node.config.data, control.FILE).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def _not_stopped(self, failure: Failure, part: Any) -> None:
        """One that fails to stop must not keep the others from it."""
        self.node.log.failure("while stopping {part}", failure, part=part)


def _spare_the_collector() -> None:
    """Keep the cycle collector off what lives long: requests make no cycles for it to find.

    It costs a MESSAGE relayed 2 us so, and 6 with thresholds of 5,000, 5 and 5. Looking more rarely
    still lets the cycles of connections that could not be made pile up (tests/torture/soak.py).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 5)


def build(config: Config, reactor: Any) -> SipService:
    """Bind everything and build the server; raises `ConfigError`, and leaves nothing open then."""
    try:
        bound = bind_all(config.settings.listen)
    except BindError as error:
        key = f"listen[{error.index}]"
        remedy = "stop what uses it, or choose another address or port"
        raise config.error(key, f"{error}; {remedy}") from None
    try:
        listening = control.bind_control(config.data)
    except OSError as error:
        close_all(bound)
        raise config.error("data", f"{error}; stop it, or name another directory") from None
    web = lock = None
    try:
        lock = _hold(config)
        web = bind_http(config)
        return SipService(Node(config, bound, reactor), listening, reactor, web, lock)
    except BaseException:
        close_all(bound)
        listening.close()
        for opened in (web, lock):
            if opened is not None:
                opened.close()
        Path(config.data, control.FILE).unlink(missing_ok=True)
        raise


def _hold(config: Config) -> FileIO:
    """Lock the database for this server; raises `ConfigError`."""
    try:
        return hold(config.data)
    except BlockingIOError:
        problem = f"another server uses the database in {config.data}; stop it, or name another"
        raise config.error("data", f"{problem} directory") from None
    except OSError as error:
        raise config.error("data", f"{error}; make it a directory of ours") from None


def makeService(options: Options) -> SipService:
    """Return the service; an operator's mistake ends the process with one line."""
    from twisted.internet import reactor

    vars(reactor)["seconds"] = time.monotonic  # the wall clock, its own, may step
    try:
        return build(load(options["config"]), reactor)
    except ConfigError as error:
        raise SystemExit(f"sipproxy: {error}") from None
