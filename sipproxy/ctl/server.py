"""The server's side of the control socket."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from sipproxy import __version__
from sipproxy.config import ConfigError
from sipproxy.ctl import trace
from sipproxy.ctl.feed import TABLES, Feed, Followers
from sipproxy.ctl.http import problems
from sipproxy.ctl.metrics import bindings_of, waiting_of
from sipproxy.ctl.reload import NotTaken, Reloader
from sipproxy.ctl.tables import wanted_aor
from sipproxy.ctl.unbinding import unbind
from sipproxy.interfaces import then
from sipproxy.interfaces.turns import Turns
from sipproxy.node import Node
from sipproxy.sip.errors import SipError
from sipproxy.sip.scanner import IS_BUILT
from sipproxy.transport.batches import IS_USED
from sipproxy.transport.certificates import CertificateError

WAITING = 100  # lines that wait while a table is written


class _Mistake(Exception):
    """The command is none; the text says why."""


class ControlProtocol(LineOnlyReceiver):
    """One operator's connection: a JSON object a line, answered by one, or by a table (`Feed`).

    What comes while a table is written waits until it is.
    """

    delimiter = b"\n"
    MAX_LENGTH = 65536

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._turns = Turns()

    def lineReceived(self, line: bytes) -> None:
        """Answer a command, which may take its time: the next one waits for it."""
        try:
            self._turns.take(b"", lambda: self._answer(line), WAITING)
        except SipError:
            self._wire.loseConnection()

    def _answer(self, line: bytes) -> Any:
        result = maybeDeferred(self._done, line)
        return result.addErrback(self._failed, line).addCallback(self._write)

    def _done(self, line: bytes) -> Any:
        """Return what a command is answered with, or a Deferred of it; None after a table."""
        request = json.loads(line)
        if isinstance(request, dict) and request.get("command") in tuple(TABLES):
            return self._feed(request)
        return then(self._commands.run(request), lambda result: {"ok": True, "result": result})

    def _failed(self, failure: Failure, line: bytes) -> dict[str, Any]:
        error = failure.value
        if isinstance(error, _Mistake | ValueError):
            return {"ok": False, "error": str(error)}
        self._commands.node.log.failure("control command {line!r}", failure, line=line)
        return {"ok": False, "error": f"{type(error).__name__}: see the server's log"}

    def _write(self, answer: dict[str, Any] | None) -> None:
        if answer is not None:
            self._wire.write(json.dumps(answer).encode() + b"\n")

    def _feed(self, request: dict[str, Any]) -> Deferred[None]:
        """Write a table; return when it is over."""
        name, follows = request["command"], bool(request.get("follow"))
        node, followers = self._commands.node, self._commands.followers
        ended: Deferred[None] = Deferred()

        def over() -> None:
            followers.remove(name, feed)
            ended.callback(None)

        def soon(call: Callable[[], None]) -> None:
            node.reactor.callLater(0, call)

        feed = Feed(TABLES[name](node, request), self._wire, soon, over, follows)
        if follows:
            followers.add(name, feed)
        feed.start()
        return ended

    @property
    def _wire(self) -> Any:
        return self.transport


class Commands(Factory):
    """What a running server can be asked."""

    noisy = False

    def __init__(self, node: Node, reloader: Reloader | None = None) -> None:
        self.node = node
        self._reloader = reloader or Reloader(node)
        self.followers = Followers(node)
        self._began = node.now()
        self._known: dict[str, Callable[[dict[str, Any]], Any]] = {
            "status": self._status,
            "unbind": self._unbind,
            "reload": self._reload,
            "reload-accounts": self._reload_accounts,
            "reload-certificates": self._reload_certificates,
            "trace": self._trace,
            "reload-documents": self._reload_documents,
            "explain": self._explain,
        }

    @property
    def names(self) -> list[str]:
        """Every command."""
        return [*self._known, *TABLES]

    def buildProtocol(self, addr: Any) -> ControlProtocol:
        """Return the protocol of a new connection."""
        return ControlProtocol(self)

    def run(self, request: Any) -> Any:
        """Run a command, which may return a Deferred; raises ValueError for one that is none."""
        if not isinstance(request, dict):
            raise _Mistake("a command is a JSON object")
        command = self._known.get(str(request.get("command")))
        if command is None:
            raise _Mistake("unknown command; there are: " + ", ".join(sorted(self.names)))
        return command(request)

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        node = self.node
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": round(node.now() - self._began, 1),
            "domains": list(node.settings.domains),
            "listen": [
                {"transport": one.transport, "address": one.address, "port": one.port}
                for one in node.listens
            ],
            "users_registered": sum(1 for _ in node.location.aors()),
            "bindings": bindings_of(node),
            "subscriptions": len(node.notifier),
            "publications": len(node.publications),
            "transactions": len(node.layer),
            "connections": node.network.connections,
            "datagrams_dropped": node.network.dropped,
            "is_behind": node.pressure.is_behind,
            "refused": {**node.pressure.refused, "transactions": node.layer.turned_away},
            "scanner": "C" if IS_BUILT else "Python",
            "datagrams": "batched" if IS_USED else "single",
            "store_waiting": waiting_of(node),
            "problems": problems(node),
        }

    def _unbind(self, request: dict[str, Any]) -> Any:
        """End bindings of a user, or have them end soon."""
        aor, contact = wanted_aor(request, "aor"), request.get("contact")
        if aor is None:
            raise _Mistake("whose bindings?")
        named = None if contact is None else str(contact)
        event, seconds = str(request.get("event")), int(request.get("seconds") or 0)
        return unbind(self.node, aor, named, event, seconds)

    def _trace(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the messages since a number that are wanted, and the number after them."""
        tape = self.node.tape
        if tape is None:
            raise _Mistake("nothing is taped: set limits.tape to some bytes, such as 4194304")
        words = {name: request.get(name) for name in ("user", "call_id", "peer")}
        test = trace.wanted(**{name: word and str(word) for name, word in words.items()})
        found = [record for record in tape.since(int(request.get("since") or 0)) if test(record)]
        after = found[trace.MOST].number if len(found) > trace.MOST else tape.count
        return {"after": after, "messages": [trace.describe(one) for one in found[: trace.MOST]]}

    def _explain(self, request: dict[str, Any]) -> dict[str, Any]:
        from sipproxy.ctl.explanation import explain  # a server without presence needs none of it

        watcher, presentity = (wanted_aor(request, name) for name in ("watcher", "presentity"))
        if watcher is None or presentity is None:
            raise _Mistake("explain needs a watcher and a presentity")
        return explain(self.node, watcher, presentity)

    def _reload(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Follow the configuration file as it is now, or say what that would change."""
        is_trial, file = bool(request.get("is_trial")), str(request.get("file") or "")
        try:
            found = self._reloader.reload(is_trial, file)
        except NotTaken as error:
            raise _Mistake(str(error)) from None
        except ConfigError as error:
            raise _Mistake(f"{error}; nothing changed") from None
        return [change._asdict() for change in found]

    def _reload_accounts(self, request: dict[str, Any]) -> None:
        reload = getattr(self.node.accounts, "reload", None)
        if reload is None:
            raise _Mistake("these accounts are not kept by sipctl: see components.credentials")
        if reload() is not False:  # to look at everybody takes 3 us for each
            self.node.departures.look()

    def _reload_documents(self, request: dict[str, Any]) -> None:
        """Read one user's documents again, or all; who watches the user is judged anew at once."""
        reload = getattr(self.node.documents, "reload", None)
        if reload is None:
            raise _Mistake("these documents are not kept by sipctl: see components.documents")
        reload(wanted_aor(request, "aor"))

    def _reload_certificates(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        contexts = self.node.network.contexts
        try:
            contexts.reload()
        except CertificateError as error:
            raise _Mistake(f"{self.node.config.error(error.key, error.problem)}; nothing changed")
        self.node.log.info("certificates are read anew")
        return [pair.describe() for pair in contexts.pairs]
