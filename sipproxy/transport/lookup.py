"""Questions to DNS servers over UDP, and over TCP where an answer is truncated (RFC 1035 §4.2)."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import CannotListenError, ConnectError, ConnectionRefusedError
from twisted.names import dns
from twisted.names.error import DNSQueryTimeoutError

from sipproxy.transport.hops import Unreachable
from sipproxy.transport.settings import Dns

RESOLV_CONF = "/etc/resolv.conf"
_REREAD = 30.0  # seconds between looks at a file of the operator's

Server = tuple[str, int]


def parse_server(text: str, usual: int = 53) -> Server:
    """Read ``address``, ``address:port`` or ``[address]:port``; raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or text[-1] == "]" or (":" in host and host[0] != "["):
        host, port = text, str(usual)
    number = int(port)
    if not 0 < number < 65536:
        raise ValueError(f"{number} is no port")
    return str(ip_address(host.strip("[]"))), number


class WatchedFile:
    """A text file of the operator's, read again when it has changed."""

    def __init__(self, path: str, reactor: Any) -> None:
        self._path = path
        self._reactor = reactor
        self._looked: float | None = None
        self._changed = 0
        self.lines: list[list[str]] = []

    def is_new(self) -> bool:
        """Tell whether the file has changed since it was last read; a look now and then does."""
        now = self._reactor.seconds()
        if self._looked is not None and now - self._looked < _REREAD:
            return False
        self._looked = now
        try:
            changed = os.stat(self._path).st_mtime_ns
            if changed == self._changed:
                return False
            text = Path(self._path).read_text("utf-8", "replace")
        except OSError:
            changed, text = 0, ""
        self._changed = changed
        self.lines = [line.partition("#")[0].split() for line in text.splitlines()]
        return True


class _Datagrams(dns.DNSDatagramProtocol):
    """Asks one server; one that is not there is told of at once.

    The reactor drops a socket that reports an error: then, too, nothing more will come.
    """

    def connectionRefused(self) -> None:
        """There is nobody at the server's port."""
        waiting, self.liveMessages = self.liveMessages, {}
        for found, timer in waiting.values():
            if timer.active():
                timer.cancel()
            if not found.called:
                found.errback(ConnectionRefusedError())

    def stopProtocol(self) -> None:
        """The socket is closed."""
        self.connectionRefused()
        dns.DNSDatagramProtocol.stopProtocol(self)


class Lookup:
    """Asks the configured servers, or those of resolv.conf, round by round."""

    def __init__(self, reactor: Any, settings: Dns, resolv_conf: str = RESOLV_CONF) -> None:
        self._reactor = reactor
        self._rounds = settings.timeouts
        self._servers = [parse_server(text) for text in settings.servers]
        self._file = None if settings.servers else WatchedFile(resolv_conf, reactor)

    @property
    def servers(self) -> list[Server]:
        """The servers, in the order to ask them."""
        if self._file is not None and self._file.is_new():
            self._servers = list(_nameservers(self._file.lines))
        return self._servers

    async def __call__(self, name: str, kind: int) -> Any:
        """Return a server's answer: a `twisted.names.dns.Message` of code 0 or 3 (NXDOMAIN).

        A server that is silent, fails or refuses is passed over. Raises `Unreachable`.
        """
        query = dns.Query(name, kind, dns.IN)
        servers = list(self.servers)
        problem = "no DNS server is known"
        for seconds in self._rounds:
            for server in list(servers):
                try:
                    message = await self._asked(server, query, seconds)
                except (DNSQueryTimeoutError, ConnectError, CannotListenError, OSError) as error:
                    problem = "no DNS server answers"
                    if not isinstance(error, DNSQueryTimeoutError):
                        servers.remove(server)
                    continue
                if message.rCode in (dns.OK, dns.ENAME):
                    return message
                problem = f"the DNS server answers with code {message.rCode}"
                servers.remove(server)
        raise Unreachable(f"{name}: {problem}")

    async def _asked(self, server: Server, query: dns.Query, seconds: float) -> dns.Message:
        message = await self._by_udp(server, query, seconds)
        if message.trunc:
            message = await self._by_tcp(server, query, seconds)
        asked = [one.name.name.lower() for one in message.queries]
        if message.trunc or (asked and asked != [query.name.name.lower()]):
            raise OSError("an answer to something else")
        return message

    def _by_udp(self, server: Server, query: dns.Query, seconds: float) -> Deferred[dns.Message]:
        """Ask from a port of its own, which the kernel draws: forgers have to guess it."""
        asker: Any = _Datagrams(self, self._reactor)  # type: ignore[no-untyped-call]
        self._reactor.listenUDP(0, asker, interface="::" if ":" in server[0] else "")
        wire: Any = asker.transport
        wire.connect(*server)
        answered: Deferred[dns.Message] = asker.query(server, [query], seconds)

        def close(result: Any) -> Any:
            wire.stopListening()
            return result

        return answered.addBoth(close)

    async def _by_tcp(self, server: Server, query: dns.Query, seconds: float) -> dns.Message:
        kind = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
        endpoint = kind(self._reactor, *server, timeout=seconds)
        asker: Any = await connectProtocol(endpoint, dns.DNSProtocol(self, self._reactor))
        try:
            message: dns.Message = await asker.query([query], seconds)
            return message
        finally:
            asker.transport.abortConnection()

    # What twisted.names tells who asks

    def connectionMade(self, protocol: Any) -> None:
        """A connection stands: `_by_tcp` knows."""

    def connectionLost(self, protocol: Any) -> None:
        """A connection has ended: the question is not answered in time."""

    def messageReceived(self, message: Any, protocol: Any, address: Any = None) -> None:
        """An answer came that nobody asked for."""


def _nameservers(lines: list[list[str]]) -> list[Server]:
    """Return the servers of a resolv.conf; one with a scope is none that we can ask."""
    found = []
    for words in lines:
        if len(words) > 1 and words[0] == "nameserver":
            try:
                found.append(parse_server(words[1]))
            except ValueError:
                continue
    return found
