"""The HTTP port of a server while it runs: opened at its start, moved by a reload, closed."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import maybeDeferred

from sipproxy.config import Config
from sipproxy.ctl.http import site
from sipproxy.node import Node
from sipproxy.transport.sockets import bound_socket


def bind_http(config: Config) -> socket.socket | None:
    """Return the socket of metrics and health, if they are served; raises `ConfigError`."""
    address, port = config.settings.http.address, config.settings.http.port
    if not port:
        return None
    try:
        return bound_socket(address, port, stream=True)
    except OSError as error:
        problem = f"{address}:{port}: {error.strerror}; stop what uses it, or choose another"
        raise config.error("http.port", problem) from None


class Web:
    """Where metrics and health are served, if anywhere: on a socket that is bound."""

    def __init__(self, node: Node, reactor: Any, bound: socket.socket | None) -> None:
        self._node = node
        self._reactor = reactor
        self._bound = bound
        self._port: Any = None

    def start(self) -> None:
        """Serve."""
        bound, self._bound = self._bound, None
        if bound is not None:
            adopt = self._reactor.adoptStreamPort
            self._port = adopt(bound.fileno(), bound.family, site(self._node))
            bound.close()

    def move(self, bound: socket.socket | None) -> None:
        """Serve on another socket, or no longer."""
        self.stop()
        self._bound = bound
        self.start()

    def stop(self) -> Any:
        """Close the port; returns a Deferred where that takes a turn of the reactor."""
        port, self._port = self._port, None
        return None if port is None else maybeDeferred(port.stopListening)
