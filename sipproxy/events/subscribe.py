"""Processing SUBSCRIBE requests (RFC 6665 §4.2.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from sipproxy.events.asked import Asked, read_event
from sipproxy.events.contacts import is_ours, own_tag
from sipproxy.events.dialog import TAG, Dialog
from sipproxy.events.notifier import Notifier
from sipproxy.events.subscription import Subscription
from sipproxy.events.watchers import watcher_of
from sipproxy.interfaces import IRequestHandler, Sender, then
from sipproxy.interfaces.events import BLOCK, CONFIRM, IEventPackage, Verdict, Watcher
from sipproxy.interfaces.reload import IReconfigurable
from sipproxy.interfaces.turns import Turns
from sipproxy.proxy.core import Core
from sipproxy.sip.errors import SipError
from sipproxy.sip.gruu import is_gruu
from sipproxy.sip.message import Request
from sipproxy.sip.options import refuse_unknown
from sipproxy.sip.response import make_response
from sipproxy.sip.uri import parse_uri

if TYPE_CHECKING:
    from sipproxy.events.settings import Events
    from sipproxy.sip.headers import Event
    from sipproxy.transaction.parties import Flow
    from sipproxy.transaction.server import ServerTransaction

SUPPORTED: frozenset[bytes] = frozenset()
_WAITING = 10  # requests of one dialog, while one before them is written; beyond: 503


@implementer(IRequestHandler, IReconfigurable)
class Subscribe:
    """Answers SUBSCRIBE to our users for our packages, and in the dialogs that come of it."""

    methods = frozenset((b"SUBSCRIBE",))

    def __init__(self, core: Core, notifier: Notifier, settings: Events) -> None:
        self._notifier = notifier
        self._packages = notifier.packages
        self._turns = Turns()
        self._follow(core, settings)

    def _follow(self, core: Core, settings: Events) -> None:
        self._core = core
        self._forwarded = frozenset(name.encode() for name in settings.forward)

    def reconfigured(self, options: Any, host: Any) -> Callable[[], None]:
        """Go on with another core, and what the notifier has been told."""
        return lambda: self._follow(host.core, host.settings.events)

    def claims(self, request: Request) -> bool:
        """Take what is for our users and packages, and what is in a dialog of ours.

        A GRUU of a user's names the device: it goes there (RFC 6665 §4.5.1).
        """
        if request.method != b"SUBSCRIBE" or not self._packages:
            return False
        if is_ours(request):
            return True
        if request.to.tag is not None:
            return self._notifier.find(request.to.tag) is not None
        if request.uri.user is None or is_gruu(request.uri):
            return False
        event = request.value(b"event") or b""
        return event.partition(b";")[0].rstrip() not in self._forwarded

    def handle(self, request: Request, transaction: ServerTransaction, sender: Sender) -> Any:
        """Follow §4.2.1.1 for a new subscription, §4.2.1.4 for one that there is."""
        refuse_unknown(request, b"require", SUPPORTED)
        event = read_event(request)
        package = None if event is None else self._packages.find(event.package)
        if event is None or package is None:  # §4.2.1.1; §4.2.3 for none
            raise SipError(489, headers=[(b"Allow-Events", self._packages.allow_events)])
        if request.to.tag is not None:
            return self._turns.take(
                request.to.tag,
                lambda: self._refresh(request, transaction, sender, event),
                _WAITING,
            )
        flow, resource = transaction.flow, self._resource(request)

        def found(exists: bool) -> Any:
            if not exists:
                raise SipError(404)
            if flow is None or transaction.is_answered:
                return None
            return self._subscribe(request, transaction, sender, event, package, resource, flow)

        return then(package.exists(resource), found)

    def _resource(self, request: Request) -> bytes:
        """Return what is to be watched: our own GRUU stands for what its dialog is about."""
        if not is_ours(request):
            aor: bytes = self._core.identity.canonical(request.uri)
            return aor
        known = self._notifier.find(own_tag(request))
        if known is None:
            raise SipError(404)
        return known.resource

    def _subscribe(
        self,
        request: Request,
        transaction: ServerTransaction,
        sender: Sender,
        event: Event,
        package: IEventPackage,
        aor: bytes,
        flow: Flow,
    ) -> Any:
        """Make a subscription, once it is safe: all of it or nothing."""
        notifier, watcher = self._notifier, watcher_of(request, sender)
        asked = Asked(request, event, package, aor, notifier.settings)
        dialog = self._dialog(request, sender, event, flow)
        verdict = self._verdict(package, aor, watcher, flow)
        resource = notifier.resource(package, aor)
        subscription = Subscription(notifier, resource, dialog, watcher, verdict, flow.host)
        subscription.ask(asked)
        if not asked.seconds and verdict.handling != CONFIRM:
            self._accept(request, transaction, dialog, 0)
            return subscription.fetched()
        began = notifier.host.now()

        def done() -> None:
            if notifier.host.now() != began:
                subscription.doubt()
            self._begin(request, transaction, dialog, subscription, asked)

        return notifier.archive.begin(subscription, done)

    def _verdict(self, package: IEventPackage, aor: bytes, watcher: Watcher, flow: Flow) -> Verdict:
        """Return what a watcher may have; raises `SipError` 403 where that is nothing, or full."""
        verdict, census = package.authorize(aor, watcher), self._notifier.census
        if verdict.handling == BLOCK:
            raise SipError(403)  # RFC 5025 §3.2.1
        census.refuse_more(watcher, flow.host)
        if verdict.handling == CONFIRM:
            census.make_room(watcher)
        return verdict

    def _dialog(self, request: Request, sender: Sender, event: Event, flow: Flow) -> Dialog:
        tag = self._core.random(TAG).hex().encode()
        dialog = Dialog(request, event, flow, tag, self._core.identity)
        dialog.is_proven = self._is_own(dialog, sender)
        if dialog.size > self._notifier.settings.dialog:
            raise SipError(513, limit="dialog")
        self._refuse_inside(dialog)
        return dialog

    def _refuse_inside(self, dialog: Dialog) -> None:
        if self._notifier.post.leads_inside(dialog):
            raise SipError(403, "Contact Is Not To Be Reached From Here")

    def _begin(
        self,
        request: Request,
        transaction: ServerTransaction,
        dialog: Dialog,
        subscription: Subscription,
        asked: Asked,
    ) -> None:
        """Let a new subscription count, unless its SUBSCRIBE has been given up meanwhile."""
        if transaction.is_answered:
            self._notifier.archive.withdraw(subscription)
            return
        self._notifier.enter(subscription)
        self._accept(request, transaction, dialog, asked.seconds)
        if asked.seconds:
            subscription.begin()
            subscription.answer()
        else:
            subscription.wait()

    def _is_own(self, dialog: Dialog, sender: Sender) -> bool:
        """Tell whether requests go by the flow that a challenge was answered by, or to a binding.

        The binding, of a user whose own GRUU is the Contact, was registered with a password, too.
        """
        if dialog.flow is not None:
            return sender.is_here
        if not sender.is_authenticated or dialog.routes:
            return False  # a Record-Route leads wherever it says
        target = parse_uri(dialog.target)
        identity = self._core.identity
        return identity.domain_of(target) is not None and identity.canonical(target) == sender.aor

    def _refresh(
        self, request: Request, transaction: ServerTransaction, sender: Sender, event: Event
    ) -> Any:
        """Change a subscription as its watcher asks, or end it, once that is safe."""
        subscription = self._notifier.find(request.to.tag)
        dialog = None if subscription is None else subscription.dialog
        if subscription is None or dialog is None or not dialog.matches(request):
            raise SipError(481, "Subscription Does Not Exist")
        if request.cseq.number < dialog.remote_cseq:
            raise SipError(500, "CSeq Out Of Order")  # RFC 3261 §12.2.2
        if sender.aor != subscription.watcher.aor:
            raise SipError(403, "The Subscription Is Another User's")
        if subscription.watcher.identity and not sender.is_proven:
            raise SipError(403, "Not Proven To Be The Subscriber")
        dialog.remote_cseq = request.cseq.number  # whatever it is answered
        if not dialog.is_about(event):
            raise SipError(403, "Dialog Sharing Is Not Supported")  # §4.5.2
        flow, package = transaction.flow, subscription.described
        settings, earlier = self._notifier.settings, subscription.terms
        asked = Asked(request, event, package, subscription.resource, settings, earlier)
        if flow is None:
            return None  # it is answered already, or given up
        turn = dialog.turned(request, flow, self._core.identity)
        self._refuse_inside(dialog.after(turn))

        def done() -> None:
            if subscription.dialog is None:
                raise SipError(481, "Subscription Does Not Exist")  # it has ended meanwhile
            dialog.take(turn)
            subscription.ask(asked)
            is_known = subscription.knows()
            status = 204 if is_known else 200  # RFC 5839 §6.3
            self._accept(request, transaction, dialog, asked.seconds, status)
            subscription.answer(is_known)

        return self._notifier.archive.follow(subscription, asked, turn, done)

    def _accept(
        self,
        request: Request,
        transaction: ServerTransaction,
        dialog: Dialog,
        seconds: int,
        status: int = 200,
    ) -> None:
        """Answer 200, never 202 (§8.3.1); the NOTIFY comes after it."""
        routes = dialog.routes if request.to.tag is None else ()  # RFC 3261 §12.1.1
        headers = [
            *((b"Record-Route", route) for route in routes),
            (b"Contact", dialog.contact),
            (b"Expires", b"%d" % seconds),
            (b"Allow-Events", self._packages.allow_events),
        ]
        response = make_response(request, status, dialog.tag, headers=headers)
        self._core.respond_with(request, transaction, response)
