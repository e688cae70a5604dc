"""A host for the registrar and the location table: a clock, known users, and what was answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from sipproxy.interfaces import Sender
from sipproxy.registrar.gruu import KEY_LENGTH, Gruus
from sipproxy.registrar.location import LocationTable
from sipproxy.registrar.options import RegistrarOptions
from sipproxy.registrar.registrar import Registrar
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from sipproxy.store.memory import MemoryStore
from sipproxy.transaction.wheel import Sleeper, Wheel
from sipproxy.transport.identity import Identity
from sipproxy.transport.settings import Listen
from sipproxy.transport.ticker import TICK, Ticker

ALICE = b"alice@example.test"
LONG_AGO = float("-inf")
STARTED = 1_000_000_000.0  # by the wall clock


class Flow:
    """A flow that a test closes."""

    host = b"192.0.2.1"
    port = 5060

    def __init__(self, reliable: bool = False) -> None:
        self.reliable = reliable
        self.via_transport = b"TCP" if reliable else b"UDP"
        self.is_open = True
        self.heard_at = 0.0
        self.watching: list[Callable[[], None]] = []

    def watch(self, closed: Callable[[], None]) -> None:
        """Note who wants to know of the end."""
        self.watching.append(closed)

    def unwatch(self, closed: Callable[[], None]) -> None:
        """Forget it; raises ValueError for one who does not watch."""
        if self.heard_at != LONG_AGO:
            self.watching.remove(closed)

    def close(self) -> None:
        """End; over UDP that is an ICMP error, and no flow is ever closed."""
        self.is_open = not self.reliable
        self.heard_at = LONG_AGO
        watching, self.watching = self.watching, []
        for closed in watching:
            closed()


class Transaction:
    """A server transaction, as far as a handler uses it."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.responses: list[Response] = []


class KeptStore(MemoryStore):
    """A store that keeps everything at once, for another server of the same test."""

    def later(self, kind: str, key: bytes, current: Callable[[bytes], Any]) -> None:
        """Keep what there is now."""
        value = current(key)
        if value is None:
            self.remove(kind, key)
        else:
            self.put(kind, key, value)


class SlowStore(KeptStore):
    """A store that promises, and keeps or breaks its promises when a test says so."""

    def __init__(self) -> None:
        KeptStore.__init__(self)
        self.is_durable = True
        self.promises: list[Deferred[None]] = []

    def promised(self) -> Any:
        """Promise."""
        promise: Deferred[None] = Deferred()
        self.promises.append(promise)
        return promise

    def settle(self) -> None:
        """Keep what has been promised."""
        promises, self.promises = self.promises, []
        for promise in promises:
            promise.callback(None)

    def fail(self) -> None:
        """Break it."""
        promises, self.promises = self.promises, []
        for promise in promises:
            promise.errback(ValueError("the disk is full"))


class Host:
    """What registrar and location table use of a server; time passes in `advance`."""

    def __init__(self, store: KeptStore | None = None) -> None:
        listen = Listen("udp", "127.0.0.1")
        self.identity = Identity(["example.test"], ["sip.example.test"], [listen])
        self.clock = Clock()
        self.wheel = Wheel(self._raised)
        self.ticker = Ticker(self.clock, self.wheel)
        self.ticker.start()
        self.users: Any = {ALICE, b"bob@example.test", b"a b@example.test"}
        self.credentials = self
        self.store = store or KeptStore(STARTED)
        self.location = LocationTable(self, self)

    def _raised(self, sleeper: Sleeper) -> None:
        raise AssertionError(f"{sleeper} raised") from None

    def advance(self, seconds: float) -> None:
        """Let time pass, a tick at a time."""
        for _ in range(round(seconds / TICK)):
            self.clock.advance(TICK)

    # Flows

    def lasting_name(self, flow: Flow) -> bytes:
        """Return the name of a flow that has one."""
        return b"" if flow.reliable else b"udp"

    def find_again(self, name: bytes) -> Flow | None:
        """Return a flow in its place."""
        return Flow()

    # IHost

    def now(self) -> float:
        """Return the time."""
        return self.clock.seconds()

    def wake(self, sleeper: Sleeper, seconds: float) -> None:
        """Make an appointment."""
        self.ticker.wake(sleeper, seconds)

    def forget(self, sleeper: Sleeper) -> None:
        """Drop an appointment."""
        self.ticker.forget(sleeper)

    def known(self, aor: bytes) -> Any:
        """Tell whether there is such a user; the test may have a Deferred there."""
        return aor in self.users if isinstance(self.users, set) else self.users

    def respond(
        self,
        request: Request,
        transaction: Transaction,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Note a response."""
        transaction.responses.append(make_response(request, status, b"t", reason, headers))


class Bench:
    """A registrar with its table, and a client that counts its CSeq."""

    def __init__(self, store: KeptStore | None = None, **options: Any) -> None:
        self.host = Host(store)
        self.gruus = Gruus(bytes(range(KEY_LENGTH)), STARTED, self.host.now)
        self.host.identity.unveil = self.gruus.user
        self.registrar = Registrar(RegistrarOptions(**options), self.host, self.gruus)
        self.cseq = 0

    def request(self, *contacts: str, **headers: str) -> Request:
        """Return a REGISTER; ``headers`` have ``_`` for ``-``, an empty one is left out."""
        self.cseq += 1
        lines = {
            "Via": "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
            "From": "<sip:alice@example.test>;tag=1",
            "To": "<sip:alice@example.test>",
            "Call-ID": "1",
            "CSeq": f"{self.cseq} REGISTER",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        head = [f"{name}: {value}" for name, value in lines.items() if value]
        head += [f"Contact: {contact}" for contact in contacts]
        data = "\r\n".join(["REGISTER sip:example.test SIP/2.0", *head, "", ""])
        request = parse_datagram(data.encode())
        assert isinstance(request, Request)
        return request

    def register(self, *contacts: str, flow: Flow | None = None, **headers: str) -> Response:
        """Send a REGISTER of alice's and return its answer; raises `SipError`."""
        return self.handle(self.request(*contacts, **headers), flow)

    def handle(self, request: Request, flow: Flow | None = None) -> Response:
        """Hand a request to the registrar and return its answer; raises `SipError`."""
        transaction = Transaction(flow or Flow())
        self.pass_on(request, transaction)
        (response,) = transaction.responses
        return response

    def pass_on(self, request: Request, transaction: Transaction) -> Any:
        """Hand a request to the registrar, which may answer it later; raises `SipError`."""
        return self.registrar.handle(request, transaction, Sender(ALICE, is_user=True))

    def refused(self, *contacts: str, **headers: str) -> SipError:
        """Send a REGISTER that is refused."""
        try:
            response = self.register(*contacts, **headers)
        except SipError as error:
            return error
        raise AssertionError(f"not refused, but {response}")

    def contacts(self) -> dict[str, int]:
        """Return alice's bindings: URI to seconds left."""
        left = {}
        for binding in self.host.location.bindings(ALICE):
            uri = binding.contact.raw_uri.decode()
            left[uri] = round(binding.expires_at - self.host.now())
        return left
