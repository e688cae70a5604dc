"""What a caller prefers: Accept-Contact, Reject-Contact and Request-Disposition (RFC 3841)."""

from __future__ import annotations

from collections.abc import Sequence

from sipproxy.sip.features import Features, Terms, features_of
from sipproxy.sip.grammar import Params, malformed, parse_params
from sipproxy.sip.headers import parse_event
from sipproxy.sip.message import Request

MOST_PREDICATES = 20  # in one request; beyond: 400
_MATCHING = frozenset((b"accept-contact", b"reject-contact"))


class Predicate:
    """The feature set of an Accept-Contact value, and how much it is wanted (§7.2.1)."""

    __slots__ = ("features", "is_explicit", "is_required")

    def __init__(self, features: Features, is_required: bool, is_explicit: bool = False) -> None:
        self.features = features
        self.is_required = is_required
        self.is_explicit = is_explicit

    def score(self, contact: Features) -> float:
        """Return how many of the tags a contact speaks of at all, 0.0 to 1.0 (§7.2.4)."""
        if not self.features:
            return 1.0
        return sum(tag in contact for tag in self.features) / len(self.features)


class Preferences:
    """Which contacts a caller wants, and which not."""

    def __init__(self, accept: Sequence[Predicate], reject: Sequence[Features] = ()) -> None:
        self._accept = accept
        self._reject = reject

    def weigh(self, contact: Features) -> float | None:
        """Return the overall preference Qa of a contact, or None where it is dropped (§7.2.4).

        A contact without features is immune: it has 1.0.
        """
        if not contact:
            return 1.0
        for unwanted in self._reject:
            if all(tag in contact for tag in unwanted) and _match(unwanted, contact):
                return None
        scores = []
        for predicate in self._accept:
            if not _match(predicate.features, contact):
                if predicate.is_required:
                    return None
                continue
            score = predicate.score(contact)
            if score < 1.0 and predicate.is_explicit:
                if predicate.is_required:
                    return None
                score = 0.0
            scores.append(score)
        if not self._accept:
            return 1.0
        return sum(scores) / len(scores) if scores else 0.0


def _match(wanted: Features, contact: Features) -> bool:
    """RFC 2533: a tag that one of them does not speak of may have any value."""
    return all(terms.meets(contact[tag]) for tag, terms in wanted.items() if tag in contact)


def explicit_preferences(request: Request) -> Preferences | None:
    """Return what the request says, or None where it says nothing (§7.2.1).

    Raises `SipError` 400 for what cannot be read, or is more than anybody needs.
    """
    if _MATCHING.isdisjoint(request.names):
        return None
    accepted, rejected = request.values(b"accept-contact"), request.values(b"reject-contact")
    if len(accepted) + len(rejected) > MOST_PREDICATES:
        raise malformed("Accept-Contact")
    accept = [_predicate(_read(value)) for value in accepted]
    reject = [features_of(_read(value)) for value in rejected]
    return Preferences(accept, reject)


def _read(value: bytes) -> Params:
    if value[:1] != b"*":
        raise malformed("Accept-Contact")
    return parse_params(value[1:])


def _predicate(params: Params) -> Predicate:
    return Predicate(features_of(params), b"require" in params, b"explicit" in params)


def implicit_preferences(request: Request) -> Preferences:
    """Return what method and event package ask for (§7.2.2); only where nothing is explicit."""
    features: Features = {b"sip.methods": Terms([request.method])}
    if request.method == b"SUBSCRIBE" and (event := request.value(b"event")) is not None:
        features[b"sip.events"] = Terms([parse_event(event).package])
    return Preferences([Predicate(features, is_required=True)])


class Disposition:
    """How a caller wants a request to be processed (§9.1); None where nothing is said of it."""

    __slots__ = ("cancels", "forks", "is_parallel", "proxies", "queues", "recurses")

    def __init__(self) -> None:
        self.proxies: bool | None = None
        self.cancels: bool | None = None
        self.forks: bool | None = None
        self.recurses: bool | None = None
        self.is_parallel: bool | None = None
        self.queues: bool | None = None


_DIRECTIVES = {
    b"proxy": ("proxies", True),
    b"redirect": ("proxies", False),
    b"cancel": ("cancels", True),
    b"no-cancel": ("cancels", False),
    b"fork": ("forks", True),
    b"no-fork": ("forks", False),
    b"recurse": ("recurses", True),
    b"no-recurse": ("recurses", False),
    b"parallel": ("is_parallel", True),
    b"sequential": ("is_parallel", False),
    b"queue": ("queues", True),
    b"no-queue": ("queues", False),
}


def disposition(request: Request) -> Disposition:
    """Return the directives of Request-Disposition; unknown ones are passed over.

    Raises `SipError` 400 where two of one type contradict each other.
    """
    found = Disposition()
    if b"request-disposition" not in request.names:
        return found
    for value in request.values(b"request-disposition"):
        name, wanted = _DIRECTIVES.get(value.lower(), ("", False))
        if name and getattr(found, name) not in (None, wanted):
            raise malformed("Request-Disposition")
        if name:
            setattr(found, name, wanted)
    return found
