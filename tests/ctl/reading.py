"""An operator's connection to a server without sockets, read as fast as the test says."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.testing import StringTransport

from sipproxy.ctl.server import Commands, ControlProtocol


class Reader:
    """A connection whose octets are taken when the test takes them."""

    def __init__(self, node: Any, commands: Commands | None = None) -> None:
        self._clock = node.reactor
        self.wire = StringTransport()
        protocol = (commands or Commands(node)).buildProtocol(None)
        assert isinstance(protocol, ControlProtocol)
        protocol.makeConnection(self.wire)
        self.protocol = protocol

    def send(self, command: str, **arguments: Any) -> None:
        """Send a command."""
        line = json.dumps({"command": command, **arguments}).encode() + b"\n"
        self.protocol.dataReceived(line)

    def take(self) -> list[Any]:
        """Take what was written once, and let the server write as much as it does then."""
        lines = self.wire.value().splitlines()
        self.wire.clear()
        if self.wire.producer is not None:
            self.wire.producer.resumeProducing()
        self._clock.advance(0)
        return [json.loads(line) for line in lines]

    def lines(self) -> list[Any]:
        """Take all that there is to be had."""
        found = self.take()
        while taken := self.take() or self.take():
            found += taken
        return found

    def leave(self) -> None:
        """End the connection, as a transport tells of it."""
        if self.wire.producer is not None:
            self.wire.producer.stopProducing()
        self.protocol.connectionLost()
