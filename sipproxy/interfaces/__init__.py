"""PUBLIC: every interface that a plugin can provide or use.

A plugin is a named factory (`IComponentFactory`) in a ``twisted.plugins`` module. The configuration
table ``[plugin.NAME]`` is the factory's ``options``; what it builds provides one of the small
interfaces below, and is started and stopped with the server if it is an ``IService`` too.

A method that is declared to return Any may return a Deferred of its result instead; where it does
not, none is made (see `then`). All others answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from sipproxy.sip.errors import SipError

if TYPE_CHECKING:
    from sipproxy.sip.message import Request, Response
    from sipproxy.sip.uri import Uri
    from sipproxy.transaction.parties import ClientUser, Flow
    from sipproxy.transaction.server import ServerTransaction
    from sipproxy.transaction.wheel import Sleeper

T = TypeVar("T")


def is_deferred(result: object) -> TypeGuard[Deferred[Any]]:
    """Tell whether a result comes later; ``isinstance`` of a class that is an ABC costs more."""
    return hasattr(result, "addCallback")


def then(result: T | Deferred[T], go_on: Callable[[T], Any]) -> Any:
    """Call ``go_on`` with ``result``, at once where it is no Deferred.

    Returns what ``go_on`` returns, or the Deferred that it was added to.
    """
    if is_deferred(result):
        return result.addCallback(go_on)
    return go_on(result)  # type: ignore[arg-type]


def once_safe(store: Any, done: Callable[[], T], undone: Callable[[], object]) -> Any:
    """Call ``done`` when what was put into the store may count; see `IStore.promised`.

    Returns what it returns, or a Deferred of that. Where the store fails ``undone`` has to put back
    there what there was, and the Deferred fails with `SipError` 500.
    """
    safe = store.promised()
    if not is_deferred(safe):
        return done()

    def failed(_: object) -> None:
        undone()
        raise SipError(500)

    return safe.addCallbacks(lambda _: done(), failed)


class Target:
    """Where a request may go (RFC 3261 §16.5).

    ``uri`` becomes the Request-URI as it is. ``routes`` are name-addr values pushed before any
    Route. The request goes to the first Route value where it has one, else by ``flow``, else to
    ``hop`` (a URI), else to the URI, as RFC 3263 has it. ``is_user`` says that this is a user's own
    device, so that silence means 480 and not 504; ``past_routes`` that the flow is the way even
    where a Route names another; ``is_trusted`` that who is there may be told asserted identities
    in spite of ``Privacy: id``. Targets of one ``instance`` (empty: none) are tried one after the
    other, in the order given, the next after a 408, a 430 or none at all (RFC 5626 §7). ``q`` is
    what the user prefers, 0.0 to 1.0 (RFC 3261 §20.10): an INVITE is sent to the highest first.
    """

    __slots__ = (
        *("flow", "hop", "instance", "is_trusted", "is_user", "others", "past_routes", "q"),
        *("routes", "uri"),
    )

    def __init__(
        self,
        uri: bytes,
        routes: tuple[bytes, ...] = (),
        flow: Flow | None = None,
        hop: Uri | None = None,
        is_user: bool = False,
        past_routes: bool = False,
        instance: bytes = b"",
        q: float = 1.0,
        is_trusted: bool = False,
    ) -> None:
        self.uri = uri
        self.routes = routes
        self.flow = flow
        self.hop = hop
        self.past_routes = past_routes
        self.is_trusted = is_trusted
        self.is_user = is_user
        self.instance = instance
        self.others: tuple[Target, ...] = ()  # of the same instance, once they are put together
        self.q = q


class Sender:
    """Who a request is from.

    ``aor`` is the canonical address-of-record in From, empty for none; ``is_user`` says that it is
    one of ours and proven (or that ``[auth] required`` is false); ``by_token`` that the request
    belongs to a dialog that we have admitted, and ``peer_is_proven`` that the dialog's other side
    is a user of ours, too. We vouch for a user who ``is_authenticated``; a peer that ``is_trusted``
    does for its own (RFC 3325). ``is_proven`` says that From is who it says: a user of ours, or a
    domain known by its address or certificate, and not one that anybody may name. A subscriber who
    ``is_here`` has answered a challenge that was sent to the address that the request came from.
    """

    __slots__ = (
        *("aor", "by_token", "is_authenticated", "is_here", "is_proven", "is_trusted", "is_user"),
        "peer_is_proven",
    )

    def __init__(
        self,
        aor: bytes,
        is_user: bool,
        by_token: bool = False,
        peer_is_proven: bool = False,
        is_authenticated: bool = False,
        is_trusted: bool = False,
        is_proven: bool = False,
        is_here: bool = False,
    ) -> None:
        self.aor = aor
        self.is_here = is_here
        self.is_proven = is_proven
        self.is_user = is_user
        self.by_token = by_token
        self.peer_is_proven = peer_is_proven
        self.is_authenticated = is_authenticated
        self.is_trusted = is_trusted


class IDocuments(Interface):
    """Documents that users keep with us: authorization rules, and what XCAP will write."""

    def get(aor: bytes, kind: str, name: str) -> bytes | None:
        """Return a document, or None; ``kind`` is an XCAP AUID: "pres-rules"."""

    def put(aor: bytes, kind: str, name: str, data: bytes) -> None:
        """Keep a document; raises ValueError for one that is none of its kind."""

    def delete(aor: bytes, kind: str, name: str) -> bool:
        """Forget a document; tell whether there was one."""

    def names(aor: bytes, kind: str) -> Sequence[str]:
        """Return the names of a user's documents of a kind."""

    def watch(changed: Callable[[bytes, str], None]) -> None:
        """Call ``changed`` with the address-of-record and the kind whenever one has changed."""


class IComponentFactory(Interface):
    """Builds a component from its options; provide ``twisted.plugin.IPlugin`` beside it."""

    name = Attribute("str: what the configuration calls it; ``[plugin.NAME]`` holds its options.")
    provides = Attribute("The interface of this module that what it builds provides.")
    options = Attribute("A msgspec.Struct class; unknown keys and wrong types are errors.")
    # Optional: is_stateless, bool: it is built again with each configuration. See `reload`.

    def build(options: Any, host: IHost) -> Any:
        """Build the component from checked options. Raises ValueError for a mistake in them."""


class IHost(Interface):
    """What a component may use of the server that it is part of."""

    settings = Attribute("The whole configuration, as `sipproxy.config.Settings`.")
    identity = Attribute("Who we are: domains, addresses, canonical addresses-of-record.")
    location = Attribute("The bindings: provides `ILocation`.")
    credentials = Attribute("The accounts: provides `ICredentialStore`.")
    store = Attribute("What survives a restart: provides `IStore`.")
    log = Attribute("A twisted.logger.Logger.")

    def now() -> float:
        """Return the monotonic time in seconds."""

    def wake(sleeper: Sleeper, seconds: float) -> None:
        """Call ``sleeper.woken`` in so many seconds, to the tick.

        A sleeper has one appointment, the one that it made last.
        """

    def forget(sleeper: Sleeper) -> None:
        """Drop a sleeper and its appointment, if it has one; it is held no longer."""

    def random(length: int) -> bytes:
        """Return ``length`` random octets."""

    def respond(
        request: Request,
        transaction: ServerTransaction,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Answer a request, through the response filters."""

    def send(request: Request, user: ClientUser | None = None) -> None:
        """Send a request of ours wherever any request to its Request-URI goes.

        It is complete but for Via, Max-Forwards and Content-Length. ``user`` hears what becomes of
        each branch, of a request that never left from a response of our own and without a
        transaction; answers are dropped where there is none.
        """


class IRequestHandler(Interface):
    """Answers requests for our domains: a registrar, a bot, a gateway."""

    methods = Attribute("frozenset of bytes: the methods it answers: for others it is not asked.")

    def claims(request: Request) -> bool:
        """Tell whether this handler answers the request; by method, package or user."""

    def handle(request: Request, transaction: ServerTransaction, sender: Sender) -> Any:
        """Answer it. Raises `sipproxy.sip.errors.SipError` to refuse it."""


class IRequestFilter(Interface):
    """Looks at every request that passed authentication, before it is handled or routed.

    ACK and CANCEL pass no filter: they say nothing of their own.
    """

    def request(request: Request, sender: Sender) -> Any:
        """Let the request pass by returning, or raise `SipError`; it may edit the request."""


class IResponseFilter(Interface):
    """Looks at every response before it goes upstream."""

    def response(response: Response, request: Request) -> None:
        """Look at it, and edit it if need be.

        Where it raises, 500 goes in its place, and nothing in that of a provisional response; but a
        2xx to INVITE goes on as it was before (RFC 3261 §16.7 step 5).
        """


class IRouter(Interface):
    """Finds where requests go."""

    def targets(request: Request, sender: Sender) -> Any:
        """Return the targets (a list of `Target`), or None to pass to the next router.

        Raises `SipError` where the request has no target and no other router may look for one.
        """


class IForwarder(Interface):
    """Sends requests on and their answers back (RFC 3261 §16.6, §16.7)."""

    def forward(
        request: Request,
        transaction: ServerTransaction,
        targets: Sequence[Target],
        sender: Sender,
    ) -> None:
        """Forward a request to its targets, of which there is at least one; raises `SipError`."""

    def acknowledge(ack: Request, near: Flow, target: Target) -> None:
        """Forward the ACK to a 2xx, which came by ``near``; raises `SipError`."""


class ICredentialStore(Interface):
    """Knows the users of our domains."""

    def known(aor: bytes) -> Any:
        """Tell whether there is such a user."""

    def secret(aor: bytes, algorithm: str) -> Any:
        """Return the HA1 of a user for "MD5", "SHA-256" or "SHA-512-256", or None."""


class Ending:
    """Why a contact is bound no more (RFC 3680 §4.7.1).

    ``event`` is expired, deactivated, probation, unregistered or rejected; ``retry_after`` is when
    its user agent may register again, in seconds, and stands beside probation.
    """

    __slots__ = ("event", "retry_after")

    def __init__(self, event: bytes, retry_after: int = 0) -> None:
        self.event = event
        self.retry_after = retry_after


EXPIRED, UNREGISTERED = Ending(b"expired"), Ending(b"unregistered")
DEACTIVATED, REJECTED = Ending(b"deactivated"), Ending(b"rejected")


class ILocation(Interface):
    """Where the users of our domains are (RFC 3261 §10)."""

    turns = Attribute(
        """A `sipproxy.interfaces.turns.Turns`, by address-of-record.

        Whoever commits what was made of the current bindings takes a turn for it, from looking at
        them until what `commit` returned has fired: else it undoes what is written meanwhile.
        """
    )

    def bindings(aor: bytes) -> Sequence[Any]:
        """Return the current bindings of an address-of-record, as a sequence; best q first."""

    def commit(aor: bytes, bindings: Sequence[Any], ending: Any = UNREGISTERED) -> Any:
        """Put these bindings in the place of the current ones, all at once (§10.3 step 7).

        ``ending``, a `sipproxy.interfaces.Ending`, is why the contacts that are left out are bound
        no more. Where they count only once they are safe, they do when the Deferred that is
        returned has fired; it fails with `SipError` 500 where they never will.
        """

    def aors() -> Iterable[bytes]:
        """Return every address-of-record that has a binding."""

    def watch(changed: Callable[[bytes], None]) -> None:
        """Call ``changed`` with an address-of-record whenever its bindings have changed."""

    def listen(ended: Callable[[bytes, Any, Ending], None]) -> None:
        """Call ``ended`` with an address-of-record, a binding that goes for good, and why.

        One that another of the same contact replaces has not ended. Those who `watch` hear of the
        change after it.
        """


class IStore(Interface):
    """What survives a restart, by kind and key; reads happen at start alone.

    A value is what msgpack can say, or a ``msgspec.Struct`` of it; as it is loaded a tuple may be a
    list, so ``msgspec.convert`` makes of it what it was.
    """

    def load(kind: str) -> Any:
        """Return every (key, value) of a kind."""

    def put(kind: str, key: bytes, value: Any) -> Any:
        """Keep a value; written behind, unless `commit` is waited for."""

    def remove(kind: str, key: bytes) -> Any:
        """Forget a value."""

    def later(kind: str, key: bytes, current: Callable[[bytes], Any]) -> None:
        """Keep what ``current`` returns of the key when it is written, or forget it for None.

        Of many changes to a key the latest alone is made into a value, and none where nothing
        survives.
        """

    def commit() -> Any:
        """Return when all that was put and removed is safe."""

    def promised() -> Any:
        """Return when a request that has changed something may be answered.

        At once, or, where its answer promises that the change is safe, a Deferred that fails where
        it is not: then whoever changed it has to put back what there was.
        """

    is_durable = Attribute("bool: whether `promised` is to be waited for.")
    starts = Attribute("int: how often it was started, this time counted.")

    def date(moment: float) -> float:
        """Return a moment of `IHost.now` as a number that means the same after a restart."""

    def moment(date: float) -> float:
        """Return the moment of a date: what has passed since counts, as far as anybody knows."""
