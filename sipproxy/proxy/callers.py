"""Caller preferences applied to the targets of our users (RFC 3841 §7)."""

from __future__ import annotations

from collections.abc import Sequence

from sipproxy.interfaces import Target
from sipproxy.proxy.instances import Found, in_turn
from sipproxy.sip.features import features_of
from sipproxy.sip.message import Request
from sipproxy.sip.preferences import (
    Preferences,
    disposition,
    explicit_preferences,
    implicit_preferences,
)

_HEADERS = frozenset((b"accept-contact", b"reject-contact", b"request-disposition"))


def preferred(request: Request, found: Found) -> list[Target]:
    """Return the targets as the caller prefers them; raises `SipError` 400.

    What the request asks for explicitly may leave none. Method and event package are looked at only
    where a contact has said which it knows, and never leave none (§7.2.4).
    """
    is_explicit = not _HEADERS.isdisjoint(request.names)
    if len(found) == 1 and not is_explicit:  # whatever method and package ask for, it stays
        return [found[0][0]]
    preferences = explicit_preferences(request) if is_explicit else None
    if preferences is not None:
        found = _weighed(preferences, found)
    elif _speak(found):
        found = _weighed(implicit_preferences(request), found) or found
    targets = [target for target, _ in in_turn(found)]
    return _unforked(request, targets) if is_explicit else targets


def _speak(found: Found) -> bool:
    """Tell whether a contact has declared methods or event packages (RFC 3840 §10.12, §10.14)."""
    for _, binding in found:
        params = binding.contact.params
        if params and (b"methods" in params or b"events" in params):
            return True
    return False


def _weighed(preferences: Preferences, found: Found) -> Found:
    """Drop what is not wanted; order by q, and by Qa what is of one q (§7.2.4)."""
    kept = []
    for target, binding in found:
        weight = preferences.weigh(features_of(binding.contact.params))
        if weight is not None:
            kept.append((-target.q, -weight, target, binding))
    kept.sort(key=lambda one: one[:2])
    return [(target, binding) for _, _, target, binding in kept]


def _unforked(request: Request, targets: Sequence[Target]) -> list[Target]:
    """Return the best target alone, by each of its flows, where the caller wants that (§9.1)."""
    if disposition(request).forks is not False or not targets:
        return list(targets)
    best = targets[0]
    return [one for one in targets if one is best or (one.instance == best.instance != b"")]
