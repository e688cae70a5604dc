"""PUBLIC: fakes for tests, ours and those of plugin authors: a server without sockets or clock.

::

    server = FakeServer(self.mktemp(), accounts={"alice@example.test": "secret"})
    phone = server.client("192.0.2.1", 5060)
    phone.send("OPTIONS sip:example.test SIP/2.0 ...")
    assert phone.received[-1].status == 200
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from sipproxy import config
from sipproxy.changes import refuse_what_stays
from sipproxy.node import Node
from sipproxy.sip.digest import credentials, named_algorithm
from sipproxy.sip.headers import Via, parse_authorization
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from sipproxy.sip.uri import Uri
from sipproxy.store.accounts import AccountTable
from sipproxy.store.sqlite import SqliteStore
from sipproxy.transport.identity import SentBy, sent_by
from sipproxy.transport.network import Network
from sipproxy.transport.resolver import Hop, Means, Unreachable
from sipproxy.transport.sockets import Bound
from sipproxy.transport.ticker import TICK

CONFIG = """
domains = ["example.test"]
[[listen]]
transport = "udp"
address = "127.0.0.1"
[[listen]]
transport = "tcp"
address = "127.0.0.1"
"""
STARTED = 1_800_000_000.0  # by the wall clock of `FakeServer`


class FakeFlow:
    """A flow that records what is sent by it; what a client of `FakeServer` is reached by."""

    def __init__(self, host: str, port: int, transport: str = "udp") -> None:
        self.host = host.encode()
        self.port = port
        self.via_transport = transport.upper().encode()
        self.reliable = transport != "udp"
        self.is_open = True
        self.proven_domains: frozenset[bytes] = frozenset()  # of the certificate, with TLS
        self.heard_at = self.since = 0.0
        self.version = self.cipher = ""  # of TLS
        self.name = b"%d" % id(self)
        self.sent_by = SentBy(self.via_transport, b"127.0.0.1", 5060)
        self.sent: list[bytes] = []
        self._watchers: dict[Callable[[], None], None] = {}

    def __repr__(self) -> str:
        return f"<FakeFlow {self.via_transport.decode()} {self.host.decode()}:{self.port}>"

    def send(self, data: bytes) -> None:
        """Record a message."""
        self.sent.append(data)

    def reply_path(self, via: Via) -> FakeFlow:
        """Return this flow: tests that need RFC 3261 §18.2.2 have the transports themselves."""
        return self

    def watch(self, closed: Callable[[], None]) -> None:
        """Call ``closed`` when the test closes the flow; now, if it has."""
        if self.is_open:
            self._watchers[closed] = None
        else:
            closed()

    def unwatch(self, closed: Callable[[], None]) -> None:
        """Undo `watch`."""
        self._watchers.pop(closed, None)

    @property
    def watchers(self) -> int:
        """How many rely on this flow."""
        return len(self._watchers)

    @property
    def holders(self) -> list[Any]:
        """Who relies on this flow."""
        return [getattr(closed, "__self__", None) for closed in self._watchers]

    @property
    def local(self) -> tuple[str, int]:
        """Our own address and port."""
        return self.sent_by.host.decode(), self.sent_by.port

    def close(self) -> None:
        """End a connection."""
        self.is_open = False
        watchers, self._watchers = self._watchers, {}
        for closed in watchers:
            closed()


class FakeNetwork(Network):
    """Reaches whom the test has put there, by (transport, host, port).

    Names are hosts like others, unless ``is_resolving``: then ``resolver`` says what they are.
    """

    def __init__(self, *arguments: Any) -> None:
        Network.__init__(self, *arguments)
        self.peers: dict[tuple[str, str, int], FakeFlow] = {}
        self.pending: dict[tuple[str, str, int], Deferred[Any]] = {}
        self.is_resolving = False

    def adopt(self, bound: Iterable[Bound]) -> None:
        """Have what a network with listeners has."""
        Network.adopt(self, bound)
        self.means = Means(("udp", "tcp", "tls"))

    @property
    def flows(self) -> list[Any]:
        """Every connection of the test's clients."""
        return [flow for flow in self.peers.values() if flow.reliable and flow.is_open]

    def hops(self, uri: Uri) -> Any:
        """Return the host as written, whatever it is; else the DNS of the test is asked."""
        if self.is_resolving:
            return Network.hops(self, uri)
        asked = (uri.params.get(b"transport") or b"udp").decode("ascii", "replace").lower()
        if uri.scheme == b"sips":
            asked = "tls"
        return [Hop(asked, uri.address, uri.effective_port, uri.address)]

    def sources(self, uri: Uri) -> Any:
        """Return the host as written, or what the DNS of the test says."""
        return Network.sources(self, uri) if self.is_resolving else [uri.address]

    def reach(self, hop: Hop, size: int, near: Any = None) -> Any:
        """Return the flow of a peer, a Deferred from ``pending``, or raise `Unreachable`."""
        large = hop.transport == "udp" and size > self.limits.datagram
        for transport in ("tcp", "udp") if large else (hop.transport,):
            key = (transport, hop.address, hop.port)
            if key in self.pending:
                return self.pending[key]
            if key in self.peers:
                return self.peers[key]
        raise Unreachable(f"nobody at {hop}")

    def name(self, flow: Any) -> bytes:
        """Return what `find` knows a flow by again."""
        return b"%s %s %d" % (flow.via_transport, flow.host, flow.port)

    def lasting_name(self, flow: Any) -> bytes:
        """Return what `find_again` knows a flow by after a restart; a connection ends with us."""
        return b"" if flow.reliable else self.name(flow)

    def find_again(self, name: bytes) -> Any:
        """Return the flow of a lasting name, or None."""
        return self.find(name)

    def start(self) -> None:
        """There is nobody to listen to but the test's clients."""

    def find(self, name: bytes) -> Any:
        """Return the open flow of a name, or None."""
        for flow in self.peers.values():
            if flow.is_open and self.name(flow) == name:
                return flow
        return None


class FakeClient:
    """A peer of a `FakeServer`: sends text, and reads what came for it."""

    def __init__(self, server: FakeServer, flow: FakeFlow) -> None:
        self.server = server
        self.flow = flow

    @property
    def received(self) -> list[Request | Response]:
        """Every message that came, parsed."""
        return [parse_datagram(data) for data in self.flow.sent]

    def clear(self) -> None:
        """Forget what came."""
        self.flow.sent.clear()

    def send(self, message: str | bytes | Request | Response) -> None:
        """Send a message; a text is stripped and gets CRLF line ends, and an empty line if none."""
        self.server.deliver(octets(message), self.flow)

    def answer(self, status: int, **headers: str) -> None:
        """Answer the request that came last."""
        request = [message for message in self.received if isinstance(message, Request)][-1]
        pairs = [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()]
        self.send(make_response(request, status, b"tag-of-%d" % self.flow.port, headers=pairs))


class AtOnce:
    """What the store writes with where there are no threads."""

    def __call__(self, function: Callable[..., None], *arguments: Any) -> Deferred[None]:
        """Call a function now."""
        return maybeDeferred(function, *arguments)

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """There is nothing to stop."""


class FakeServer:
    """A whole server of a test: the real node, on a `Clock`, without sockets and threads.

    ``directory`` holds its data; ``text`` is its configuration; ``accounts`` maps addresses to
    passwords. Nothing outlives it, unless the text has ``[components] store = "sqlite"``: then
    `restarted` returns the server that comes after it. ``before`` is the one that it comes after.
    """

    def __init__(
        self,
        directory: str,
        text: str = CONFIG,
        accounts: Mapping[str, str] | None = None,
        before: FakeServer | None = None,
    ) -> None:
        home = Path(directory)
        home.mkdir(parents=True, exist_ok=True)
        self.config = _forgetful(config.parse(home / "sipproxy.toml", text), text)
        table = AccountTable(self.config.data)
        for aor, password in (accounts or {}).items():
            table.put(aor, password, replace=False)
        self._text = text
        self.clock: Clock = Clock() if before is None else before.clock
        self.stepped: float = (
            0.0 if before is None else before.stepped
        )  # the wall clock, in seconds
        self.node = Node(self.config, [], self.clock, FakeNetwork, self.wall)
        self.network: FakeNetwork = self.node.network  # type: ignore[assignment]
        self._known = {} if before is None else before._still_there()
        self.network.peers |= self._known
        if isinstance(self.node.store, SqliteStore):
            self.node.store.worker = AtOnce()
        for part in self.node.services:
            part.startService()
        self.node.start()

    def wall(self) -> float:
        """Return the time in seconds since 1970: it is 2027-01-15T08:00:00Z at first."""
        return STARTED + self.stepped + self.clock.rightNow

    def stop(self) -> None:
        """Stop as a server does, but for what is under way: nothing waits for it."""
        for part in reversed(self.node.services):
            part.stopService()
        self.node.stop()

    def crash(self) -> None:
        """End at once, as by ``kill -9``: what is not on disk is lost."""
        self.node.stop()
        if isinstance(self.node.store, SqliteStore):
            self.node.store.close()
        for call in self.clock.getDelayedCalls():
            call.cancel()

    def reload(self, text: str) -> None:
        """Have the server go on under another configuration, as ``sipctl reload`` does.

        Raises `ConfigError`; then it goes on as before.
        """
        changed = self._parsed(text)
        refuse_what_stays(self.config, changed)
        self.node.reconfigure(changed, [])
        self.config, self._text = changed, text
        for flow in self.network.peers.values():
            self._name(flow)
        if not self.node.notifier.is_idle:
            self.clock.advance(0)

    def _parsed(self, text: str) -> config.Config:
        return _forgetful(config.parse(self.config.file, text), text)

    def restarted(self, crashed: bool = False, seconds: float = 0.0) -> FakeServer:
        """Stop, or crash, and return the server that is started in so many seconds.

        Clients keep their addresses, and lose their connections.
        """
        if crashed:
            self.crash()
        else:
            self.stop()
        self.clock.rightNow += seconds
        return FakeServer(str(self.config.home), self._text, before=self)

    def client(self, host: str, port: int = 5060, transport: str = "udp") -> FakeClient:
        """Return a peer at an address, which the server reaches there, too."""
        flow = self._known.pop((transport, host, port), None) or FakeFlow(host, port, transport)
        self._name(flow)
        self.network.peers[(transport, host, port)] = flow
        return FakeClient(self, flow)

    def _name(self, flow: FakeFlow) -> None:
        """Have a flow go by the name of the first listener of its transport."""
        for listen in self.node.listens:
            if listen.transport.upper().encode() == flow.via_transport:
                flow.sent_by = sent_by(listen)
                break

    def _still_there(self) -> dict[tuple[str, str, int], FakeFlow]:
        """Return the flows that outlive a server: those without a connection."""
        kept = {place: FakeFlow(*place[1:]) for place in self.network.peers if place[0] == "udp"}
        for flow in kept.values():
            flow.heard_at = self.clock.rightNow
        return kept

    def deliver(self, data: bytes, flow: FakeFlow) -> None:
        """Let octets arrive, as one datagram or as one message of a stream, and what they cause."""
        flow.heard_at = self.clock.rightNow
        self.node.layer.datagram(data, flow)
        if not self.node.notifier.is_idle:
            self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass, a tick at a time."""
        for _ in range(round(seconds / TICK)):
            self.clock.advance(TICK)


def _forgetful(parsed: config.Config, text: str) -> config.Config:
    """Have a server without a store on disk, unless its configuration names one."""
    if "store" in tomllib.loads(text).get("components", {}):
        return parsed
    components = msgspec.structs.replace(parsed.settings.components, store="memory")
    settings = msgspec.structs.replace(parsed.settings, components=components)
    return config.Config(parsed.file, settings)


def octets(message: str | bytes | Request | Response) -> bytes:
    """Return a message as it goes over the wire."""
    if isinstance(message, bytes):
        return message
    if isinstance(message, str):
        lines = [line.strip() for line in message.strip().splitlines()]
        head, blank, body = "\r\n".join(lines).partition("\r\n\r\n")
        return f"{head}\r\n\r\n{body if blank else ''}".encode()
    return message.encode()


def authorized(request: str, challenge: Response, user: str, password: str) -> str:
    """Return the text of a request with the credentials that a challenge asks for.

    The CSeq and the branch are for the test to change.
    """
    asked = "www-authenticate" if challenge.status == 401 else "proxy-authenticate"
    params = parse_authorization(challenge.raw_values(asked.encode())[0]).params
    assert named_algorithm(params) is not None
    parsed = parse_datagram(octets(request))
    assert isinstance(parsed, Request)
    value = credentials(
        params, user.encode(), password.encode(), parsed.method, parsed.raw_uri, b"0a4f113b"
    )
    name = "Authorization" if challenge.status == 401 else "Proxy-Authorization"
    head, blank, body = request.strip().partition("\n\n")
    return f"{head}\n{name}: {value.decode()}{blank}{body}"
