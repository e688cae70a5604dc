"""The server's side of the control socket."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from sipproxy import __version__
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

    def __init__(self, node: Node) -> None:
        self.node = node
        self._began = node.now()
        self._known: dict[str, Callable[[dict[str, Any]], Any]] = {
            "status": self._status,
            "bindings": self._bindings,
            "reload-accounts": self._reload_accounts,
            "reload-certificates": self._reload_certificates,
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
            "transactions": len(node.layer),
            "connections": node.network.connections,
            "datagrams_dropped": node.network.dropped,
            "is_behind": node.pressure.is_behind,
            "refused": {**node.pressure.refused, "transactions": node.layer.turned_away},
            "scanner": "C" if IS_BUILT else "Python",
            "datagrams": "batched" if IS_USED else "single",
        }

    def _bindings(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        node, wanted = self.node, request.get("aor")
        now = node.now()
        every = wanted is None
        aors = sorted(node.location.aors()) if every else [b"@".join(split_aor(str(wanted)))]
        return [
            {"aor": aor.decode("utf-8", "replace"), **binding.describe(now)}
            for aor in aors
            for binding in node.location.bindings(aor)
        ]

    def _reload_accounts(self, request: dict[str, Any]) -> None:
        reload = getattr(self.node.accounts, "reload", None)
        if reload is None:
            raise _Mistake("these accounts are not kept by sipctl: see components.credentials")
        reload()

    def _reload_certificates(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        contexts = self.node.network.contexts
        try:
            contexts.reload()
        except CertificateError as error:
            raise _Mistake(f"{self.node.config.error(error.key, error.problem)}; nothing changed")
        self.node.log.info("certificates are read anew")
        return [pair.describe() for pair in contexts.pairs]
