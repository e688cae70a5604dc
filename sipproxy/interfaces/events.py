"""PUBLIC: what an event package provides, and what it may use (RFC 6665 §5.4)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from sipproxy.interfaces import IHost

if TYPE_CHECKING:
    from sipproxy.sip.message import Request
    from sipproxy.transaction.parties import Flow

# What becomes of a subscription (RFC 5025 §3.2.1): the larger number wins.
BLOCK, CONFIRM, POLITE_BLOCK, ALLOW = 0, 10, 20, 30


class Watcher:
    """Who subscribes.

    ``aor`` is the canonical address-of-record in From. ``identity`` is the URI, as octets, that has
    been authenticated, by us or by a peer that may speak for its domain; empty for the anonymous
    and for those whom nobody vouches for; ``also`` are further URIs that a trusted peer asserts of
    the same sender (RFC 5025 §3.1.1.2). ``display`` is the display name, as written. Who
    ``is_private`` has an identity for rules, which nobody else may be told (RFC 3323, RFC 3325).
    """

    __slots__ = ("_aor", "_rest", "display", "identity")

    def __init__(
        self,
        aor: bytes,
        identity: bytes = b"",
        display: bytes = b"",
        also: tuple[bytes, ...] = (),
        is_private: bool = False,
    ) -> None:
        # There may be very many: most have an identity that says the address-of-record.
        self._aor = None if identity[4:] == aor else aor
        self._rest = (also, is_private) if also or is_private else _PLAIN
        self.identity = identity
        self.display = display

    @property
    def aor(self) -> bytes:
        """The canonical address-of-record in From."""
        return self.identity[4:] if self._aor is None else self._aor

    @property
    def also(self) -> tuple[bytes, ...]:
        """Further URIs of the same sender."""
        return self._rest[0]

    @property
    def is_private(self) -> bool:
        """Whether nobody else may be told the identity."""
        return self._rest[1]


_PLAIN: tuple[tuple[bytes, ...], bool] = ((), False)


class Verdict:
    """What a watcher may have.

    ``handling`` is `BLOCK`, `CONFIRM`, `POLITE_BLOCK` or `ALLOW`. ``view`` is hashable and the
    package's own: watchers of one view see the same. ``until`` is when to ask again, in seconds of
    `IHost.now`; None where nothing changes by itself.
    """

    __slots__ = ("handling", "until", "view")

    def __init__(self, handling: int, view: Hashable = None, until: float | None = None) -> None:
        self.handling = handling
        self.view = view
        self.until = until


class Body:
    """What a NOTIFY carries: octets, their media type, and the entity-tag of what they show.

    ``tag`` tells two states of a view apart (RFC 5839 §4.1): two bodies that show the same have the
    same, though one is a document and one a difference. The packages make bodies once and share
    them among watchers.
    """

    __slots__ = ("data", "media_type", "tag")

    def __init__(self, media_type: bytes, data: bytes, tag: bytes) -> None:
        self.media_type = media_type
        self.data = data
        self.tag = tag


class Publication:
    """A piece of state that a publisher has put (RFC 3903).

    ``content`` is what `IEventPackage.check` made of the body; ``media_type`` and ``data`` are as
    they came. ``order`` rises with each change of any publication; a refresh is none. ``flow`` is
    what it came by, None where that is a connection of a proxy's.
    """

    __slots__ = ("content", "data", "expires_at", "flow", "media_type", "order", "tag")

    def __init__(
        self,
        tag: bytes,
        media_type: bytes,
        data: bytes,
        content: Any,
        expires_at: float,
        order: int,
        flow: Flow | None = None,
    ) -> None:
        self.tag = tag
        self.media_type = media_type
        self.data = data
        self.content = content
        self.expires_at = expires_at
        self.order = order
        self.flow = flow

    @property
    def is_stale(self) -> bool:
        """Whether the connection that it came by has closed, so that its publisher is gone."""
        return self.flow is not None and self.flow.reliable and not self.flow.is_open


class ISubscription(Interface):
    """A subscription as packages see it (RFC 6665)."""

    package = Attribute("bytes: the event package.")
    resource = Attribute("bytes: the canonical address-of-record that is watched.")
    watcher = Attribute("The `Watcher`.")
    verdict = Attribute("The `Verdict` that holds now.")
    media_type = Attribute("bytes: what its bodies are to be, of the package's body types.")
    accepted = Attribute("tuple of bytes: which of the body types it accepts, preferred first.")
    terms = Attribute("What `IEventPackage.terms` made of the latest SUBSCRIBE with a body.")
    memory = Attribute("The package's own: what this watcher has been told. None at first.")
    sent = Attribute("int: bodies that were sent so far; what is rendered is sent next, or never.")
    id = Attribute("bytes: names it for as long as it lasts, unique on this server; a token.")
    status = Attribute('bytes: "pending", "active", "waiting" or "terminated" (RFC 3857 §4.7.1).')
    event = Attribute("bytes: why it has this status, as `ISubscriptionListener.moved` was told.")
    began_at = Attribute("float: when it was made, on `IHost.now`.")
    expires_at = Attribute("float: when it expires, on `IHost.now`.")


class IEventPackage(Interface):
    """An event package (RFC 6665 §5.4); nothing in it waits."""

    name = Attribute('bytes: what Event calls it: b"presence".')
    body_types = Attribute("tuple of bytes: media types that NOTIFY may carry; the default first.")
    publication_types = Attribute("tuple of bytes: those of PUBLISH; empty: nobody publishes.")
    default_expires = Attribute("int, seconds: where SUBSCRIBE does not say (RFC 6665 §5.4.3).")
    notify_interval = Attribute("float, seconds: the least between changes told to one watcher.")

    def exists(resource: bytes) -> Any:
        """Tell whether there is such a resource; where there is none a SUBSCRIBE gets 404."""

    def authorize(resource: bytes, watcher: Watcher) -> Verdict:
        """Return what a watcher may have now; asked again after `INotifier.judge`."""

    def terms(request: Request, resource: bytes, earlier: Any) -> Any:
        """Return what the body of a SUBSCRIBE asks for; raises `SipError` 400, 415 or 488.

        ``earlier`` is what this returned before in the same dialog, None at first: a body may
        change a part of it (RFC 4660 §5.2.2). A SUBSCRIBE without a body asks for no change.
        """

    def check(resource: bytes, media_type: bytes, data: bytes, replaced: Publication | None) -> Any:
        """Return the content of a publication, in place of another or not; raises `SipError`."""

    def compose(resource: bytes) -> Any:
        """Return the state of a resource now: at most once a turn, whoever watches.

        It is asked whenever the resource has changed, also where no watcher may be told: so it may
        call `INotifier.judge`.
        """

    def render(state: Any, subscription: ISubscription, is_full: bool) -> Body | None:
        """Return what a subscription is told of a state, None for nothing.

        ``is_full`` asks for the whole of it, as the answer to a SUBSCRIBE has to be (RFC 6665
        §5.3.2); else what has changed since ``subscription.memory`` will do. Bodies are shared by
        subscriptions of one view wherever possible. Never asked while the verdict is `CONFIRM`.

        What is rendered is not always sent: not a change that the watcher has been told already (it
        has the same ``tag``), nor what it says that it knows (RFC 5839). Then ``memory`` is what it
        was before, so put another object there and do not edit it.
        """


class IKeepsStates(Interface):
    """A package whose states hold until `INotifier.changed` says that they do not.

    What others compose is good for one turn of the reactor.
    """

    def rest(state: Any) -> bool:
        """Let go of what few ask for at the end of a turn; False where it is not worth its room."""


class IKeepsContents(Interface):
    """A package whose contents of publications hold more than `IEventPackage.check` could read.

    After a restart the contents of all others are checked as if they had come just then.
    """

    def kept(publication: Publication) -> Any:
        """Return, of what msgpack can say, what `restored` makes the content of again."""

    def restored(resource: bytes, data: bytes, kept: Any) -> Any:
        """Return the content of a publication of before a restart, beside those restored so far.

        ``data`` is its body. Raises `SipError`, or ValueError, for what is none (any more).
        """


class IComposer(Interface):
    """Makes one presence document of all that is known of a presentity (RFC 4479 §3.5)."""

    def compose(
        resource: bytes, publications: Sequence[Publication], services: Sequence[Any], now: float
    ) -> tuple[Any, float | None]:
        """Return the root of a PIDF document, valid, and until when it holds.

        None in place of the root where nothing is known. The contents of ``publications`` are
        `sipproxy.presence.pidf.Document`; ``services`` are what the bindings say, each a
        `sipproxy.presence.registration.Service`. ``now``, and the time that is returned, are wall
        clock in seconds; None there, too, where nothing changes by itself. What is the same gives
        the same document, and neither what is given nor what was returned is ever edited.
        """


class ISubscriptionListener(Interface):
    """Hears how subscriptions move (RFC 3857 §4.7.1)."""

    def moved(subscription: ISubscription, event: bytes) -> None:
        """A subscription has a new ``status``.

        ``event`` is why: subscribe, approved, deactivated, probation, rejected, timeout, giveup or
        noresource.
        """


class INotifier(Interface):
    """Tells watchers what has changed (RFC 6665 §4.2), once a turn of the reactor, in slices."""

    def changed(package: bytes, resource: bytes) -> None:
        """A resource has a new state: it is composed anew, and its watchers are told."""

    def judge(package: bytes, resource: bytes) -> None:
        """What watchers of a resource may have is to be asked again; they are told what follows."""

    def end(package: bytes, resource: bytes, reason: bytes, retry_after: int | None = None) -> None:
        """End the subscriptions to a resource for a reason of RFC 6665 §4.1.3.

        Such as ``noresource`` where it is no more, ``deactivated`` where watchers are to come back
        at once, ``probation`` where after so many seconds.
        """

    def subscriptions(package: bytes, resource: bytes) -> Sequence[ISubscription]:
        """Return the subscriptions to a resource, pending ones too."""

    def publications(package: bytes, resource: bytes) -> Sequence[Publication]:
        """Return the publications of a resource that have not expired, the oldest first."""

    def listen(listener: ISubscriptionListener) -> None:
        """Have a listener hear how subscriptions of every package move."""


class IEventHost(IHost):
    """What an event package may use of the server that it is part of."""

    notifier = Attribute("Who tells watchers: provides `INotifier`.")
    documents = Attribute("What users keep with us: provides `sipproxy.interfaces.IDocuments`.")
