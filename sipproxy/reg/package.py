"""The event package ``reg``: where a user is registered, and what becomes of it (RFC 3680)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from sipproxy.events.terms import refuse_body
from sipproxy.interfaces import Ending, IHost
from sipproxy.interfaces.events import (
    ALLOW,
    BLOCK,
    Body,
    IEventHost,
    IEventPackage,
    ISubscription,
    Publication,
    Verdict,
    Watcher,
)
from sipproxy.interfaces.reload import IReconfigurable
from sipproxy.reg.options import RegOptions
from sipproxy.reg.reginfo import MEDIA_TYPE, Contact, Told, document
from sipproxy.registrar.binding import Binding
from sipproxy.registrar.gruu import Gruus, newest
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import is_host
from sipproxy.sip.gruu import public_gruu
from sipproxy.sip.uri import normal_form, parse_uri

if TYPE_CHECKING:
    from sipproxy.sip.message import Request
    from sipproxy.transport.identity import Identity

KEY_LENGTH = 32  # bytes
_NAME_LENGTH = 9  # bytes of an id
OWNER, OTHER = "owner", "other"  # the views
_BLOCKED = Verdict(BLOCK)


@implementer(IEventPackage, IReconfigurable)
class RegPackage:
    """Tells of the bindings of an address-of-record (RFC 3680), with their GRUUs (RFC 5628).

    ``key`` makes the ids: it outlives the process, and so do they. Raises ValueError for watchers
    that are neither an address nor a domain.
    """

    name = b"reg"
    body_types = (MEDIA_TYPE,)
    publication_types: tuple[bytes, ...] = ()
    default_expires = 3761  # §4.4

    def __init__(self, options: RegOptions, host: IEventHost, gruus: Gruus, key: bytes) -> None:
        self._follow(options, _watchers(options, host.identity))
        self._host = host
        self._gruus = gruus
        self._key = key
        host.location.listen(self._ended)
        host.location.watch(self._changed)

    def _follow(self, options: RegOptions, watchers: frozenset[bytes]) -> None:
        self.notify_interval = options.notify_interval  # §4.10
        self._watchers = watchers

    def reconfigured(self, options: RegOptions, host: IHost) -> Callable[[], None]:
        """Follow other options; raises ValueError."""
        watchers = _watchers(options, host.identity)
        return lambda: self._follow(options, watchers)

    # IEventPackage

    def exists(self, resource: bytes) -> Any:
        """Tell whether there is such a user, registered or not (§4.7.1)."""
        return self._host.credentials.known(resource)

    def authorize(self, resource: bytes, watcher: Watcher) -> Verdict:
        """Allow the user, and whom the operator lists (§4.6)."""
        if not watcher.identity:
            return _BLOCKED
        aor = self._host.identity.canonical(parse_uri(watcher.identity))
        if aor == resource:
            return Verdict(ALLOW, OWNER)
        domain = b"@" + aor.rpartition(b"@")[2]
        is_listed = not self._watchers.isdisjoint((aor, domain))
        return Verdict(ALLOW, OTHER) if is_listed else _BLOCKED

    def terms(self, request: Request, resource: bytes, earlier: Any) -> Any:
        """Take no filters: §4.3 leaves them to others, RFC 4660 §5.2 has them refused."""
        refuse_body(request)

    def check(
        self, resource: bytes, media_type: bytes, data: bytes, replaced: Publication | None
    ) -> Any:
        """Refuse: nobody publishes where somebody is registered."""
        raise SipError(489)

    def compose(self, resource: bytes) -> tuple[bytes, list[Contact]]:
        """Return the address-of-record and its contacts now, with all that may be told of them."""
        bindings = self._host.location.bindings(resource)
        return resource, [self._contact(resource, binding, bindings) for binding in bindings]

    def _contact(self, aor: bytes, binding: Binding, bindings: list[Binding]) -> Contact:
        name = self._contact_name(aor, binding)
        if binding.instance is None:
            return Contact(name, binding)
        urn = binding.instance.urn
        latest = newest([b for b in bindings if b.instance and b.instance.urn == urn])
        temporary = self._gruus.temporary(b"sip", aor, latest)
        return Contact(name, binding, public_gruu(b"sip", aor, urn), temporary)

    def render(
        self, state: tuple[bytes, list[Contact]], subscription: ISubscription, is_full: bool
    ) -> Body | None:
        """Return all contacts, or those that have changed since the watcher was told last (§4.3).

        Temporary GRUUs are for those who may register them (RFC 5628 §5).
        """
        (aor, contacts), now = state, self._host.now()
        if subscription.verdict.view != OWNER:
            contacts = [Contact(c.name, c.binding, c.public) for c in contacts]
        memory: Told | None = subscription.memory
        told = memory or Told()
        is_full = is_full or memory is None
        shown, over = contacts if is_full else told.changed(contacts), told.over(contacts, now)
        if not is_full and not shown and not over:
            return None
        subscription.memory = told = Told(contacts)
        status = "active" if contacts else "terminated" if over else "init"  # §4.7.1
        about = (aor, self._id(b"registration", aor), status)
        data = document(subscription.sent, is_full, about, [*shown, *over], now)
        return Body(MEDIA_TYPE, data, told.tag)

    # Ids (§5.1)

    def _contact_name(self, aor: bytes, binding: Binding) -> bytes:
        """Return the id of a contact, the same as long as it is bound, and again after that.

        Two flows of an instance may have one URI, and are two contacts.
        """
        uri, instance = parse_uri(binding.life.uri), binding.instance
        flow = b"%d %b" % (instance.reg_id, instance.urn) if instance and instance.reg_id else b""
        return self._id(b"contact", aor, repr(normal_form(uri)).encode(), flow)

    def _id(self, *parts: bytes) -> bytes:
        text = b"".join(b"%d:%b" % (len(part), part) for part in parts)
        return hmac.digest(self._key, text, hashlib.sha256)[:_NAME_LENGTH].hex().encode()

    # What the location table tells

    def _ended(self, aor: bytes, binding: Binding, ending: Ending) -> None:
        """A contact is bound no more: who knows it is to be told why."""
        subscriptions = self._host.notifier.subscriptions(self.name, aor)
        name = self._contact_name(aor, binding) if subscriptions else b""
        for subscription in subscriptions:
            if subscription.memory is not None and name in subscription.memory.known:
                subscription.memory.ended[name] = (binding, ending)

    def _changed(self, aor: bytes) -> None:
        self._host.notifier.changed(self.name, aor)


def _watchers(options: RegOptions, identity: Identity) -> frozenset[bytes]:
    return frozenset(_listed(one, identity) for one in options.watchers)


def _listed(text: str, identity: Identity) -> bytes:
    """Return the canonical form of an address or a domain; raises ValueError."""
    try:
        uri = parse_uri(b"sip:" + text.encode().removeprefix(b"sip:"))
    except SipError:
        uri = None
    if uri is None or uri.params or uri.port or uri.headers or not is_host(uri.host):
        raise ValueError(f"watchers: {text!r} is no address and no domain: app@example.test")
    return identity.canonical(uri)
