"""Who may see what of a presentity: its documents, or the policy for those without (RFC 5025)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK, Verdict, Watcher
from sipproxy.presence.conditions import Circumstances
from sipproxy.presence.equivalence import Entity
from sipproxy.presence.permissions import EVERYTHING, combined
from sipproxy.presence.rules import Rule, read_rules
from sipproxy.presence.settings import Presence
from sipproxy.sip.errors import SipError
from sipproxy.sip.uri import Uri, parse_uri

if TYPE_CHECKING:
    from sipproxy.interfaces.events import IEventHost

KIND = "pres-rules"  # the XCAP application usage (RFC 5025 §9.1)
# The wall clock may be set, and the time of an appointment is by another one: look as often.
LONGEST = 3600.0  # seconds
_UNKNOWN = {"allow": ALLOW, "confirm": CONFIRM, "polite-block": POLITE_BLOCK, "block": BLOCK}


class Decision:
    """A verdict and what has led to it.

    ``policy`` is "owner", "unknown_watchers" or "rules"; ``rules`` are those that match.
    """

    __slots__ = ("policy", "rules", "verdict")

    def __init__(self, verdict: Verdict, policy: str, rules: tuple[Rule, ...] = ()) -> None:
        self.verdict = verdict
        self.policy = policy
        self.rules = rules


class Authorization:
    """Judges watchers; the presence package asks it.

    ``wall`` is the time in seconds since 1970, which rules speak of: `Verdict.until` is the next
    one of its moments that matters, put on the clock of ``host``.
    """

    def __init__(
        self, host: IEventHost, settings: Presence, wall: Callable[[], float] = time.time
    ) -> None:
        self._host = host
        self._wall = wall
        self._rules: dict[bytes, tuple[Rule, ...]] = {}
        self._faults: dict[bytes, dict[str, str]] = {}  # of those that cannot be read
        host.documents.watch(self._changed)
        self.follow(settings)

    def follow(self, settings: Presence) -> None:
        """Have another policy for those without rules, and another limit of these."""
        self._most = settings.rules
        self._rules.clear()
        self._faults.clear()
        handling = _UNKNOWN[settings.unknown_watchers]
        self._unknown = Verdict(handling, EVERYTHING if handling == ALLOW else None)

    def judge(self, resource: bytes, watcher: Watcher, sphere: bytes | None) -> Verdict:
        """Return what a watcher may have of a presentity whose sphere is, or None: undefined."""
        return self.decide(resource, watcher, sphere).verdict

    def decide(self, resource: bytes, watcher: Watcher, sphere: bytes | None) -> Decision:
        """Return what `judge` does, and why."""
        identities = _identities(watcher)
        if watcher.aor == resource and self._is_owner(resource, identities):
            return Decision(Verdict(ALLOW, EVERYTHING), "owner")
        rules = self._rules_of(resource)
        if rules is None:
            return Decision(self._unknown, "unknown_watchers")
        known = None if sphere is None else sphere.decode("utf-8", "replace")
        entities = tuple(map(Entity, identities))
        circumstances = Circumstances(entities, known, self._wall())
        concerned = [rule for rule in rules if rule.concerns(circumstances)]
        matching = tuple(rule for rule in concerned if rule.is_valid(circumstances))
        granted = combined(rule.permissions for rule in matching)
        view = granted if granted.handling == ALLOW else None
        until = self._until(concerned, circumstances.time)
        return Decision(Verdict(granted.handling, view, until), "rules", matching)

    def faults(self, resource: bytes) -> dict[str, str]:
        """Return why documents of a presentity cannot be read, by name; they grant nothing."""
        self._rules_of(resource)
        return dict(self._faults.get(resource, {}))

    def _is_owner(self, resource: bytes, identities: tuple[Uri, ...]) -> bool:
        """Tell whether the presentity itself is asking, and has proven it."""
        canonical = self._host.identity.canonical
        return any(uri.is_sip and canonical(uri) == resource for uri in identities)

    def _until(self, rules: list[Rule], now: float) -> float | None:
        """Return when the next of these rules becomes or ceases to be valid, by the host's clock.

        Never in the past, and looked at again after `LONGEST`.
        """
        wait = min((rule.change(now) for rule in rules), default=float("inf")) - now
        return None if wait == float("inf") else self._host.now() + min(wait, LONGEST)

    # Documents

    def _rules_of(self, resource: bytes) -> tuple[Rule, ...] | None:
        """Return all rules of a presentity (RFC 5025 §9.7), None where it has no document."""
        names = self._host.documents.names(resource, KIND)
        if names and resource not in self._rules:
            every = (rule for name in names for rule in self._read(resource, name))
            self._rules[resource] = tuple(every)
        return self._rules[resource] if names else None

    def _read(self, resource: bytes, name: str) -> list[Rule]:
        """A document that is not understood grants nothing (RFC 5025 §10)."""
        try:
            data = self._host.documents.get(resource, KIND, name) or b""
            return read_rules(data, name, self._most)
        except ValueError as error:
            self._faults.setdefault(resource, {})[name] = str(error)
            self._host.log.error(
                "rules {name} of {user!r} grant nothing: {problem}",
                name=name,
                user=resource,
                problem=error,
            )
            return []

    def _changed(self, aor: bytes, kind: str) -> None:
        if kind == KIND:
            self._rules.pop(aor, None)
            self._faults.pop(aor, None)
            self._host.notifier.judge(b"presence", aor)


def _identities(watcher: Watcher) -> tuple[Uri, ...]:
    """Return the URIs that a watcher has been authenticated as; none that cannot be read."""
    found = []
    for raw in (watcher.identity, *watcher.also):
        try:
            found += [parse_uri(raw)] if raw else []
        except SipError:
            continue
    return tuple(found)
