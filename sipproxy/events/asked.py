"""What one SUBSCRIBE asks for (RFC 6665 §4.2.1)."""

from __future__ import annotations

import hashlib
from typing import Any

from sipproxy.events.conditions import asked_condition
from sipproxy.events.rates import parse_rates
from sipproxy.events.settings import Events
from sipproxy.events.terms import refuse_encoding
from sipproxy.interfaces.events import IEventPackage
from sipproxy.sip.accept import accepted
from sipproxy.sip.errors import SipError
from sipproxy.sip.headers import Event, parse_event, parse_expires
from sipproxy.sip.message import Request

_HOUR = 3600
# What is no part of what is asked for, and Content-Length, which the body has.
_NOT_KEPT = frozenset(
    (b"via", b"route", b"record-route", b"authorization", b"proxy-authorization")
    + (b"content-length", b"max-forwards", b"user-agent", b"call-id", b"cseq")
)
_GENERIC = (b"id", b"max-rate", b"min-rate", b"adaptive-min-rate")  # of no package


class Asked:
    """What a SUBSCRIBE asks of a package; raises `SipError` 400, 406, 415, 423 or 488.

    ``earlier`` are the terms that hold in the same dialog, if it is in one.
    ``seconds`` is the duration that is granted, ``accepted`` which of the body types are wanted,
    preferred first. ``likeness`` is the same for requests that ask for the same (RFC 3857 §4.7.1).
    ``request`` is what the terms can be read from again, empty where there is no body.
    """

    __slots__ = (
        *("accepted", "condition", "event", "has_body", "likeness", "rates", "request"),
        *("seconds", "terms"),
    )

    def __init__(
        self,
        request: Request,
        event: Event,
        package: IEventPackage,
        resource: bytes,
        settings: Events,
        earlier: Any = None,
    ) -> None:
        self.event = event
        self.seconds = _duration(request, package, settings)
        self.accepted = accepted(request, package.body_types)
        if not self.accepted:
            raise SipError(406)  # §4.1.2.1
        self.rates = parse_rates(event.params)
        has_condition = b"suppress-if-match" in request.names
        self.condition = asked_condition(request) if has_condition else None
        self.has_body = bool(request.body)
        if self.has_body:
            refuse_encoding(request)
        self.terms: Any = package.terms(request, resource, earlier) if self.has_body else None
        self.request = _kept(request) if self.has_body else ()
        self.likeness = _likeness(request, event)


def _kept(request: Request) -> tuple[Any, ...]:
    """Return the Request-URI, what the head says of more than the way here, and the body."""
    fields = [
        (name, request.line_value(place))
        for place, name in enumerate(request.names)
        if name not in _NOT_KEPT
    ]
    return request.raw_uri, tuple(fields), request.body


def read_event(request: Request) -> Event | None:
    """Return what Event names, or None where it is not there; raises `SipError` 400.

    Two of them, or two packages in one, are refused as malformed (§8.2.1).
    """
    value = request.value(b"event")
    return None if value is None else parse_event(value)


def named(event: Event) -> bytes:
    """Return the Event of a NOTIFY: the package, and the ``id`` that came (§4.5.2)."""
    if b"id" not in event.params:
        return event.package
    return event.package + b";id=" + (event.params[b"id"] or b"")


def _duration(request: Request, package: IEventPackage, settings: Events) -> int:
    """Return the seconds that are granted, never more than were asked for (§3.1.1).

    What is brief may be refused only where it is less than an hour (§4.2.1.1), and never 0.
    """
    value = request.value(b"expires")
    wanted = int(package.default_expires) if value is None else parse_expires(value)
    if 0 < wanted < min(settings.min_expires, _HOUR):
        raise SipError(423, headers=[(b"Min-Expires", b"%d" % settings.min_expires)])
    return min(wanted, settings.max_expires)


def _likeness(request: Request, event: Event) -> bytes:
    """Return what names the parameters of the package and the filter; nothing for none."""
    own = ((name, value) for name, value in event.params.items() if name not in _GENERIC)
    params = sorted((name, value or b"") for name, value in own)
    if not params and not request.body:
        return b""
    digest = hashlib.blake2s(repr(params).encode(), digest_size=16)
    digest.update(request.body)
    return digest.digest()
