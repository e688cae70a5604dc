"""Why a watcher sees of a presentity what it does: the server's side of ``sipctl explain``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lxml import etree

from sipproxy.ctl.watching import HANDLING, publications_of, shown, watchers_of
from sipproxy.events.telling import ACTIVE, PENDING
from sipproxy.interfaces.events import BLOCK, CONFIRM, POLITE_BLOCK, Watcher
from sipproxy.presence.authorization import Decision
from sipproxy.presence.namespaces import BASIC, DEVICE, PERSON, STATUS, TUPLE
from sipproxy.presence.package import PresencePackage
from sipproxy.presence.permissions import CLASS, EVERY, FULL, Permissions
from sipproxy.presence.views import PIDF_XML
from sipproxy.sip.uri import aor_uri

if TYPE_CHECKING:
    from sipproxy.events.subscription import Subscription
    from sipproxy.interfaces.events import Body, Verdict
    from sipproxy.node import Node

ANYBODY = b"anonymous@anonymous.invalid"  # whom nobody vouches for
_INPUT = {0: "withheld", 10: "bare", 20: "with thresholds", FULL: "whole"}


class Onlooker:
    """Stands in for a subscription, so that what its watcher would be shown can be seen."""

    package = b"presence"
    media_type = PIDF_XML
    accepted = (PIDF_XML,)
    id = b"onlooker"
    status = ACTIVE
    event = b"subscribe"
    memory: Any = None

    def __init__(self, resource: bytes, watcher: Watcher, verdict: Verdict, now: float) -> None:
        self.resource = resource
        self.watcher = watcher
        self.verdict = verdict
        self.terms: Any = None
        self.began_at = now
        self.expires_at = now + 3600.0


class Explanation:
    """What the server knows of one watcher and one presentity, at this moment.

    Raises ValueError where nothing can be explained.
    """

    def __init__(self, node: Node, watcher: bytes, presentity: bytes) -> None:
        package: Any = node.notifier.packages.find(b"presence")
        if not isinstance(package, PresencePackage):
            raise ValueError("nobody is told of presence: add it to [events] packages")
        self._node = node
        self._now = node.now()
        self._package = package
        self._aor = presentity
        self._watches = [
            one
            for one in node.notifier.subscriptions(b"presence", presentity)
            if one.watcher.aor == watcher
        ]
        identity = b"" if watcher == ANYBODY else aor_uri(watcher)
        self._watcher = self._watches[-1].watcher if self._watches else Watcher(watcher, identity)
        self._sphere = package.sphere(presentity)
        judge: Any = package.authorization
        self._decision: Decision = judge.decide(presentity, self._watcher, self._sphere)
        self._faults: dict[str, str] = judge.faults(presentity)

    def describe(self) -> dict[str, Any]:
        """Return all of it, and the same in words: first what the watcher sees, or why nothing."""
        body = self._body()
        document = None if body is None else body.data.decode()
        policy = self._decision.policy
        settings = self._node.settings.presence
        return {
            "presentity": shown(self._aor),
            "watcher": shown(self._watcher.aor),
            "identity": shown(self._watcher.identity) or None,
            "exists": self._exists,
            "devices": [one.describe(self._now)["contact"] for one in self._bindings],
            "publications": publications_of(self._node, b"presence", self._aor),
            "sphere": self._sphere and shown(self._sphere),
            "policy": policy,
            "unknown_watchers": settings.unknown_watchers,
            "unreadable": self._faults,
            "rules": [f"{one.document}#{one.id}" for one in self._decision.rules],
            "handling": HANDLING[self._handling],
            "granted": _granted(self._view),
            "changes": self._changes,
            "subscriptions": self._subscriptions(),
            "document": document,
            "words": [self._conclusion(body), *self._reasons()],
        }

    # What there is

    @property
    def _exists(self) -> bool:
        return bool(self._package.exists(self._aor))

    @property
    def _bindings(self) -> list[Any]:
        return list(self._node.location.bindings(self._aor))

    @property
    def _handling(self) -> int:
        return self._decision.verdict.handling

    @property
    def _view(self) -> Permissions | None:
        view = self._decision.verdict.view
        return view if isinstance(view, Permissions) else None

    @property
    def _changes(self) -> str | None:
        """When a rule begins or ends, by the wall clock."""
        until = self._decision.verdict.until
        if until is None:
            return None
        at = self._node.wall() + until - self._now
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

    def _subscriptions(self) -> list[dict[str, Any]]:
        every = watchers_of(self._node, b"presence", self._aor)
        return [row for row in every if row["watcher"] == shown(self._watcher.aor)]

    def _body(self) -> Body | None:
        """Return what would be sent now, whole; None where nothing would."""
        if not self._exists or self._handling <= CONFIRM:
            return None
        verdict = self._package.authorize(self._aor, self._watcher)
        onlooker: Any = Onlooker(self._aor, self._watcher, verdict, self._now)
        if self._watches:
            onlooker.terms = self._watches[-1].terms
        body: Body | None = self._package.render(self._package.compose(self._aor), onlooker, True)
        return body

    # In words

    def _conclusion(self, body: Body | None) -> str:
        who, whom = shown(self._watcher.aor), shown(self._aor)
        if not self._exists:
            return f"Nothing is sent: there is no user {whom}; a SUBSCRIBE is answered 404."
        if self._handling == BLOCK:
            return f"Nothing is sent: {who} is blocked; a SUBSCRIBE is answered 403."
        if not self._watches:
            told = f"told this: {_in(body)}" if body is not None else "pending, without a document"
            return f"Nothing is sent: {who} has no subscription; one would be {told}."
        if self._handling == CONFIRM:
            return f"Nothing is sent: {who} waits for {whom}'s permission."
        if body is None:
            return f"Nothing is sent: the filter of {who} leaves nothing of what it may see."
        polite = ", politely blocked: it is the same whatever happens"
        return f"{who} sees {_in(body)}" + (polite if self._handling == POLITE_BLOCK else "") + "."

    def _reasons(self) -> list[str]:
        every = [self._known(), self._published(), self._said(), self._ruled()]
        return [*every, *self._unread(), *self._shown(), *map(self._told, self._watches)]

    def _unread(self) -> list[str]:
        """Say which documents of rules cannot be read: they are as good as empty."""
        text = "The rules {} cannot be read, and grant nothing: {}."
        return [text.format(name, problem) for name, problem in self._faults.items()]

    def _known(self) -> str:
        """Say what the registrations contribute."""
        count = len(self._bindings)
        if not self._node.settings.presence.registrations:
            return "Registrations are not shown: [presence] registrations is false."
        return f"Registered: {_counted(count, 'device')}."

    def _published(self) -> str:
        rows = publications_of(self._node, b"presence", self._aor)
        stale = sum(row["stale"] for row in rows)
        text = f"Published: {_counted(len(rows), 'document')}"
        return text + (f", {stale} of which by a connection that has closed." if stale else ".")

    def _said(self) -> str:
        if self._sphere is None:
            return "Sphere: undefined, for none is published, or several that differ."
        return f"Sphere: {shown(self._sphere)}."

    def _ruled(self) -> str:
        decision, handling = self._decision, HANDLING[self._handling]
        if decision.policy == "owner":
            return "Policy: a user sees all that is known of it."
        if decision.policy == "unknown_watchers":
            return f'Policy: there are no rules, and [presence] unknown_watchers is "{handling}".'
        if not decision.rules:
            return "Policy: there are rules, none of which matches: block."
        names = ", ".join(_named(decision))
        return f"Policy: of the rules these match: {names}; together they say {handling}."

    def _shown(self) -> list[str]:
        """Say what is granted, and what looks granted and is not."""
        view, lines = self._view, []
        if view is not None:
            granted = _granted(view) or {}
            lines = ["Granted: " + "; ".join(f"{name}: {what}" for name, what in granted.items())]
            lines[0] += "."
            if _is_by_class_alone(view):
                text = "What is chosen by class is not shown, for provide-class is not granted"
                lines.append(f"{text} (RFC 5025 §4).")
        if self._changes is not None:
            lines.append(f"A rule begins or ends, or is looked at again, at {self._changes}.")
        return lines

    def _told(self, one: Subscription) -> str:
        """Say how a subscription is, and what keeps it from being told."""
        name = f"Subscription {shown(one.id)}: "
        if one.dialog is None:
            return name + "waiting; it ran out before anybody decided."
        text = f"{name}{shown(one.status)}, for {one.expires_at - self._now:.0f} s more"
        if one.status == PENDING:
            return text + "; no document until it is allowed."
        if one.is_unanswered:
            text += "; a NOTIFY is on its way, and the next one waits for its answer"
        elif one.tells_at is not None and one.tells_at > self._now:
            text += f"; a change is told in {one.tells_at - self._now:.1f} s"
        if one.was_refused:
            text += "; it has refused what it was told last, and is told all with the next change"
        if one.is_conditional:
            text += "; it is not told what it has said that it knows (Suppress-If-Match)"
        return text + ("; it has a filter." if one.terms is not None else ".")


def _named(decision: Decision) -> list[str]:
    return [f"{one.document}#{one.id}" for one in decision.rules]


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _in(body: Body | None) -> str:
    """Say what is in a document."""
    if body is None:
        return "no document"
    root = etree.fromstring(body.data)
    services = root.findall(TUPLE)
    is_open = [one.findtext(f"{STATUS}/{BASIC}") == "open" for one in services]
    counts = (
        _counted(len(services), "service") + (f" ({sum(is_open)} open)" if services else ""),
        _counted(len(root.findall(PERSON)), "person"),
        _counted(len(root.findall(DEVICE)), "device"),
    )
    return ", ".join(counts)


def _granted(view: Permissions | None) -> dict[str, str] | None:
    """Return what is granted, by what it is of."""
    if view is None:
        return None
    sets = {"services": view.services, "persons": view.persons, "devices": view.devices}
    granted = {
        name: "all" if EVERY in chosen else ", ".join(sorted(map("=".join, chosen))) or "none"
        for name, chosen in sets.items()
    }
    if view.all_attributes:
        return {**granted, "attributes": "all"}
    names = [*sorted(view.attributes), *sorted(view.unknown)]
    if view.user_input:
        names.append(f"user-input ({_INPUT[view.user_input]})")
    return {**granted, "attributes": ", ".join(names) or "none"}


def _is_by_class_alone(view: Permissions) -> bool:
    chosen = view.services | view.persons | view.devices
    return CLASS not in view.attributes and any(how == CLASS for how, _ in chosen)


def explain(node: Node, watcher: bytes, presentity: bytes) -> dict[str, Any]:
    """Return what `Explanation.describe` does."""
    return Explanation(node, watcher, presentity).describe()
