"""The server's side of the control socket."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from sipproxy import __version__
from sipproxy.config import ConfigError
from sipproxy.ctl import trace
from sipproxy.ctl.reload import NotTaken, Reloader
from sipproxy.ctl.unbinding import reject_strangers, unbind
from sipproxy.ctl.watching import publications, watchers
from sipproxy.node import Node
from sipproxy.sip.scanner import IS_BUILT
from sipproxy.store.accounts import split_aor
from sipproxy.transport.batches import IS_USED
from sipproxy.transport.certificates import CertificateError


class _Mistake(Exception):
    """The command is none; the text says why."""


class ControlProtocol(LineOnlyReceiver):
    """One operator's connection: a JSON object a line, answered by one."""

    delimiter = b"\n"
    MAX_LENGTH = 65536

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def lineReceived(self, line: bytes) -> None:
        """Answer a command."""
        try:
            answer = {"ok": True, "result": self._commands.run(json.loads(line))}
        except (_Mistake, ValueError) as error:
            answer = {"ok": False, "error": str(error)}
        except Exception as error:
            self._commands.node.log.failure("control command {line!r}", line=line)
            answer = {"ok": False, "error": f"{type(error).__name__}: see the server's log"}
        self._wire.write(json.dumps(answer).encode() + b"\n")

    @property
    def _wire(self) -> Any:
        return self.transport


class Commands(Factory):
    """What a running server can be asked."""

    noisy = False

    def __init__(self, node: Node, reloader: Reloader | None = None) -> None:
        self.node = node
        self._reloader = reloader or Reloader(node)
        self._began = node.now()
        self._known: dict[str, Callable[[dict[str, Any]], Any]] = {
            "status": self._status,
            "bindings": self._bindings,
            "unbind": self._unbind,
            "reload": self._reload,
            "reload-accounts": self._reload_accounts,
            "reload-certificates": self._reload_certificates,
            "trace": self._trace,
            "reload-documents": self._reload_documents,
            "watchers": self._watchers,
            "publications": self._publications,
            "explain": self._explain,
        }

    def buildProtocol(self, addr: Any) -> ControlProtocol:
        """Return the protocol of a new connection."""
        return ControlProtocol(self)

    def run(self, request: Any) -> Any:
        """Run a command; raises ValueError for one that is none."""
        if not isinstance(request, dict):
            raise _Mistake("a command is a JSON object")
        command = self._known.get(str(request.get("command")))
        if command is None:
            raise _Mistake("unknown command; there are: " + ", ".join(sorted(self._known)))
        return command(request)

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        node = self.node
        aors = list(node.location.aors())
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": round(node.now() - self._began, 1),
            "domains": list(node.settings.domains),
            "listen": [
                {"transport": one.transport, "address": one.address, "port": one.port}
                for one in node.listens
            ],
            "users_registered": len(aors),
            "bindings": sum(len(node.location.bindings(aor)) for aor in aors),
            "subscriptions": len(node.notifier),
            "publications": len(node.publications),
            "transactions": len(node.layer),
            "connections": node.network.connections,
            "datagrams_dropped": node.network.dropped,
            "is_behind": node.pressure.is_behind,
            "refused": {**node.pressure.refused, "transactions": node.layer.turned_away},
            "scanner": "C" if IS_BUILT else "Python",
            "datagrams": "batched" if IS_USED else "single",
        }

    def _bindings(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        node, wanted = self.node, _aor(request.get("aor"))
        now = node.now()
        aors = sorted(node.location.aors()) if wanted is None else [wanted]
        return [
            {"aor": aor.decode("utf-8", "replace"), **binding.describe(now)}
            for aor in aors
            for binding in node.location.bindings(aor)
        ]

    def _unbind(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """End bindings of a user, or have them end soon."""
        aor, contact = _aor(request.get("aor")), request.get("contact")
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

    def _watchers(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return watchers(self.node, _aor(request.get("aor")))

    def _publications(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return publications(self.node, _aor(request.get("aor")))

    def _explain(self, request: dict[str, Any]) -> dict[str, Any]:
        from sipproxy.ctl.explanation import explain  # a server without presence needs none of it

        watcher, presentity = _aor(request.get("watcher")), _aor(request.get("presentity"))
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
        reload()
        reject_strangers(self.node)

    def _reload_documents(self, request: dict[str, Any]) -> None:
        """Read one user's documents again, or all; who watches the user is judged anew at once."""
        reload = getattr(self.node.documents, "reload", None)
        if reload is None:
            raise _Mistake("these documents are not kept by sipctl: see components.documents")
        reload(_aor(request.get("aor")))

    def _reload_certificates(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        contexts = self.node.network.contexts
        try:
            contexts.reload()
        except CertificateError as error:
            raise _Mistake(f"{self.node.config.error(error.key, error.problem)}; nothing changed")
        self.node.log.info("certificates are read anew")
        return [pair.describe() for pair in contexts.pairs]


def _aor(written: object) -> bytes | None:
    """Return an address in its canonical form, None for none; raises ValueError."""
    return None if written is None else b"@".join(split_aor(str(written)))
