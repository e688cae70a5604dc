"""Subscriptions as they are kept: a stable encoding of all that a restart must not forget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from sipproxy.events.asked import Asked
from sipproxy.events.dialog import Dialog, Turn, name_in
from sipproxy.events.subscription import Subscription
from sipproxy.events.telling import ACTIVE, REWRITTEN
from sipproxy.events.wishing import Past
from sipproxy.interfaces.events import CONFIRM, Verdict, Watcher
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request
from sipproxy.sip.uri import parse_uri
from sipproxy.transport.hops import is_outside

if TYPE_CHECKING:
    from sipproxy.events.notifier import Notifier
    from sipproxy.interfaces import IStore
    from sipproxy.registrar.records import Flows

KIND = "subscriptions"  # by id
# So many NOTIFYs a record is good for, as writing takes its time; after a restart a subscription
# goes on beyond them: no CSeq, and no version of a document, is ever sent twice.
RESERVED = 2 * REWRITTEN
_VERSION = 1


class _Watcher(msgspec.Struct, array_like=True, frozen=True):
    """`Watcher`."""

    aor: bytes
    identity: bytes
    display: bytes
    also: tuple[bytes, ...]
    is_private: bool


class _Dialog(msgspec.Struct, array_like=True, frozen=True):
    """`Dialog`; ``flow`` is None for none, empty for one that ends with us."""

    tag: bytes
    lines: bytes
    remote_cseq: int
    cseq: int
    routes: tuple[bytes, ...]
    target: bytes
    is_proven: bool
    flow: bytes | None


class _Record(msgspec.Struct, array_like=True, frozen=True):
    """A subscription; times are dates. What is added comes last, and has a default.

    ``start`` is the start of the server in which it was written; ``told`` is the entity-tag that
    the watcher had when the server stopped, empty while it runs.
    """

    version: int
    start: int
    package: bytes
    resource: bytes
    watcher: _Watcher
    dialog: _Dialog | None
    past: Past
    told: bytes


def kept_record(
    subscription: Subscription,
    store: IStore,
    flows: Flows,
    asked: Asked | None = None,
    turn: Turn | None = None,
    told: bytes = b"",
) -> Any:
    """Return what is kept of a subscription, as it is or as it will be after a SUBSCRIBE."""
    past, watcher = subscription.past(store.date, asked), subscription.watcher
    dialog = subscription.dialog
    if dialog is not None and turn is not None:
        dialog = dialog.after(turn)
    return _Record(
        _VERSION,
        store.starts,
        subscription.package,
        subscription.resource,
        _Watcher(watcher.aor, watcher.identity, watcher.display, watcher.also, watcher.is_private),
        None if dialog is None else _kept_dialog(dialog, flows),
        past,
        told,
    )


def _kept_dialog(dialog: Dialog, flows: Flows) -> _Dialog:
    flow = b"" if dialog.is_lost else None
    if dialog.flow is not None:
        flow = flows.lasting_name(dialog.flow)
    return _Dialog(
        dialog.tag,
        dialog.lines,
        dialog.remote_cseq,
        dialog.cseq,
        dialog.routes,
        dialog.target,
        dialog.is_proven,
        flow,
    )


def restored(value: Any, notifier: Notifier, store: IStore, flows: Flows) -> Subscription:
    """Return a subscription of before a restart; raises ValueError for what is none (any more)."""
    try:
        kept = msgspec.convert(value, _Record)
        if kept.version != _VERSION:
            raise ValueError(f"it is of version {kept.version}; this sipproxy knows {_VERSION}")
        return _subscription(kept, notifier, store, flows)
    except (msgspec.MsgspecError, SipError) as error:
        raise ValueError(str(error)) from None


def _subscription(kept: _Record, notifier: Notifier, store: IStore, flows: Flows) -> Subscription:
    package = notifier.packages.find(kept.package)
    if package is None:
        raise ValueError(f"there is no package {kept.package.decode('ascii', 'replace')} any more")
    past = kept.past
    is_dated = math.isfinite(past.began_at) and math.isfinite(past.expires_at)
    if not is_dated or math.isnan(past.gives_up_at):
        raise ValueError("a date that is none")
    accepted = tuple(kind for kind in past.accepted if kind in package.body_types)
    if not accepted:
        raise ValueError("its package has no document any more that it accepts")
    jump = RESERVED * max(1, store.starts - kept.start)
    dialog = None
    if kept.dialog is not None:
        dialog = _dialog(kept.dialog, past.source, jump, flows)
    watcher = Watcher(*msgspec.structs.astuple(kept.watcher))
    resource = notifier.resource(package, kept.resource)
    subscription = Subscription(notifier, resource, dialog, watcher, Verdict(CONFIRM), past.source)
    is_known = bool(kept.told) and store.starts == kept.start + 1
    past = msgspec.structs.replace(past, accepted=accepted)
    subscription.resume(past, store.moment, jump, kept.told if is_known else b"")
    subscription.verdict = verdict = notifier.verdict(resource, subscription)
    if (past.status == ACTIVE) != (verdict.handling > CONFIRM):
        subscription.doubt()
    try:
        for uri, fields, body in past.requests or ():
            request = Request.build(b"SUBSCRIBE", uri, fields, body)
            terms = package.terms(request, kept.resource, subscription.terms)
            subscription.alter(terms=terms)
    except SipError:
        subscription.alter(requests=None)  # what it asks for is not understood any more
    return subscription


def _dialog(kept: _Dialog, source: bytes, jump: int, flows: Flows) -> Dialog:
    """Return a dialog; all of it is read now, so that nothing fails later."""
    dialog = Dialog.__new__(Dialog)
    for name in ("remote_cseq", "routes", "target", "is_proven"):
        setattr(dialog, name, getattr(kept, name))
    parse_uri(kept.target)
    if name_in(kept.tag) is None:
        raise ValueError("a tag that is none of ours")
    dialog.write(kept.tag, kept.lines)
    dialog.cseq = kept.cseq + jump
    dialog.way, dialog.is_lost, dialog.is_outside = None, False, is_outside(source)
    dialog.flow = flows.find_again(kept.flow) if kept.flow else None
    if kept.flow is not None and dialog.flow is None:
        dialog.lose(source)
    return dialog
