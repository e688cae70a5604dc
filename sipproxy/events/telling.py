"""Telling a watcher: when a NOTIFY is sent, and what its answer means (RFC 6665 §4.2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipproxy.events.conditions import WHOLE
from sipproxy.events.content import EMPTY, Content
from sipproxy.events.dialog import Dialog
from sipproxy.events.outcomes import is_end, retry_after
from sipproxy.events.rare import NEVER, USUAL, changed
from sipproxy.events.rates import Rates, answered_rates, rate_params
from sipproxy.events.way import Flight, Watching
from sipproxy.interfaces.events import CONFIRM, Verdict

if TYPE_CHECKING:
    from sipproxy.events.notifier import Notifier
    from sipproxy.events.resources import Resource
    from sipproxy.sip.message import Response

PENDING, ACTIVE, WAITING, TERMINATED = b"pending", b"active", b"waiting", b"terminated"
REWRITTEN = 500  # NOTIFYs after which it is written again


class _Leaving:
    """Stands for a NOTIFY that is just being sent."""

    def abandon(self) -> None:
        """It cannot be stopped."""


_LEAVING = _Leaving()


class Telling:
    """The half of a subscription that sends NOTIFYs and hears what becomes of them.

    There is at most one without an answer; what changes meanwhile is told after it, once. A
    SUBSCRIBE, or a new status, is told at once, and what was under way is given up for it.

    ::

        _flight   _is_owed  _rendered_version  then (once `_earliest`, and judged if need be)
        set       any       any                its answer is waited for, and this looked at again
        None      no        the resource's     nothing; all, where a least rate is due (RFC 6446)
        None      no        another            what has changed is told; all, if `_was_refused`
        None      yes       any                all is told, whether it has changed or not

    It is owed where a body was withheld, a refusal said Retry-After (not before ``_not_before``),
    what is asked for has changed, or a restart has forgotten what was told. ``_was_refused``: the
    watcher does not know what was told last. ``memory`` is the package's: what it has told this
    watcher; put back where what was rendered is not sent. ``rare`` is what most have not.
    """

    __slots__ = (
        *("_flight", "_is_owed", "_judged_version", "_not_before", "_notifier"),
        *("_rendered_version", "_resource", "_told_tag", "_was_refused", "dialog", "expires_at"),
        *("memory", "rare", "sent", "status", "verdict"),
    )

    def __init__(
        self, notifier: Notifier, resource: Resource, dialog: Dialog | None, verdict: Verdict
    ) -> None:
        self._notifier = notifier
        self._resource = resource
        self.dialog = dialog  # None: it waits, or is over
        self.verdict = verdict
        self.status = PENDING if verdict.handling == CONFIRM else ACTIVE
        self.expires_at = notifier.host.now()
        self._judged_version = resource.judged
        self._rendered_version = 0  # the version that was rendered last
        self._is_owed = False  # it is to be told, whether it has changed or not
        self._flight: Flight | None = None
        self.memory: Any = None
        self._told_tag = b""  # the entity-tag that was told last
        self._not_before = -NEVER  # when the next change may be told
        self._was_refused = False  # a NOTIFY was refused
        self.sent = 0  # bodies
        self.rare = USUAL

    @property
    def is_unanswered(self) -> bool:
        """Whether a NOTIFY is under way, so that the next one has to wait."""
        return self._flight is not None

    @property
    def was_refused(self) -> bool:
        """Whether its watcher has refused what it was told last."""
        return self._was_refused

    @property
    def tells_at(self) -> float | None:
        """When what has changed may be told; None where there is nothing to tell."""
        return self._earliest() if self.has_news and self.dialog is not None else None

    @property
    def acknowledged(self) -> bytes:
        """The entity-tag that the watcher is known to have, empty where that is not known."""
        is_unknown = self._flight is not None or self._was_refused or self._is_owed
        return b"" if is_unknown or self.dialog is None else self._told_tag

    def recover(self, told: bytes) -> None:
        """Have it told after a restart what it does not know, once it is woken."""
        self._told_tag = told
        dialog = self.dialog
        if dialog is None or dialog.is_lost:
            self._rendered_version = self._resource.version
        else:
            self._rendered_version, self._is_owed = -1, not told

    # What the states do

    def judge(self) -> None:
        """Ask for the verdict again, and follow it."""
        raise NotImplementedError

    def lose(self) -> None:
        """The watcher is gone: nothing can be told."""
        raise NotImplementedError

    def expire(self) -> None:
        """Its time is over."""
        raise NotImplementedError

    def sleep(self, now: float) -> None:
        """Wake when the first of all that may happen is due."""
        raise NotImplementedError

    def show(self, is_full: bool) -> Content | None:
        """Return what the package shows to the watcher."""
        raise NotImplementedError

    def confirm(self) -> None:
        """The watcher has shown that it is there."""
        raise NotImplementedError

    def agree(self, rates: Rates) -> None:
        """Take the rates that a SUBSCRIBE, or the answer to a NOTIFY, asks for (RFC 6446)."""
        raise NotImplementedError

    def keep(self) -> None:
        """Have the store know how it is now."""
        raise NotImplementedError

    def farewell(self) -> Watching:
        """Return who hears what becomes of the last NOTIFY."""
        raise NotImplementedError

    @property
    def is_unsure(self) -> bool:
        """Whether the verdict is to be asked for before anything else is told."""
        return self._judged_version != self._resource.judged

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell."""
        is_new = self.status == ACTIVE and self._rendered_version != self._resource.version
        return self._is_owed or is_new or self._is_due()

    def alter(self, **values: Any) -> None:
        """Have other values in ``rare``."""
        self.rare = changed(self.rare, **values)

    def knows(self) -> bool:
        """Tell whether, by its condition, nothing is to follow a SUBSCRIBE in the dialog.

        RFC 5839 §6.3: its answer is 204 then. What a verdict yet to come says is told in any case.
        """
        condition = self.rare.condition
        if condition is None or self.is_unsure:
            return False
        tag, before = self._told_tag, self.memory
        if self.has_news or self._was_refused:
            prepared = self._rendered(is_full=True) or EMPTY
            self.alter(prepared=prepared)
            tag = prepared.tag
        if not condition.holds(tag):
            return False
        self._told_tag, self.memory = tag, before
        return True

    # Sending

    def flush(self) -> None:
        """Tell what there is to tell, unless a NOTIFY is unanswered or it is too soon."""
        now = self._notifier.host.now()
        if self.dialog is not None and self.expires_at <= now:
            self.expire()  # its appointment is late, for we were, or slept
            return
        if self.is_unsure:
            self.judge()
        if self._flight is not None or self.dialog is None or not self.has_news:
            return
        if self._earliest() > now:
            self.sleep(now)
            return
        is_asked = self._is_owed or self._is_due()
        self._is_owed = False
        before = self.memory
        content = (self._rendered(is_full=True) or EMPTY) if is_asked else self._news()
        if content is None or not self._tell(content, now):
            self.memory = before  # the watcher has not seen what was rendered
        if self.rare.pace is not None:
            self.sleep(now)

    def _news(self) -> Content | None:
        """Return what has changed, None for nothing; after a NOTIFY that was refused, all there is.

        To repeat what was refused would tell of a change that this watcher may not see.
        """
        before, content = self.memory, self._rendered(is_full=False)
        if content is None or content.tag == self._told_tag:
            return None
        if self._was_refused:
            self.memory = before
            content = self._rendered(is_full=True) or EMPTY
        return content

    def _tell(self, content: Content, now: float) -> bool:
        """Tell a change, unless the watcher has said that it knows (RFC 5839 §6.3); say which."""
        condition, pace = self.rare.condition, self.rare.pace
        if condition is None or condition.after_change(content.tag, self._was_refused) == WHOLE:
            self._notify(content, now)
            return True
        if self._was_refused:
            self._notify(Content(None, content.tag), now)
        elif pace is not None:
            pace.sent(now)
        self._told_tag = content.tag
        return False

    def _tell_all(self, now: float) -> None:
        """Tell the whole state now, whatever was under way."""
        self._abandon()
        self._is_owed = False
        try:
            self._notify(self._whole(), now)
        finally:
            self.sleep(now)  # whatever becomes of it, it expires

    def _finish(self, status: bytes, state: bytes, shows_state: bool) -> None:
        """Send the last NOTIFY of the dialog; its answer changes nothing."""
        dialog, self.dialog = self.dialog, None
        assert dialog is not None
        self._hang_up(dialog)
        content = self._whole() if shows_state and status == ACTIVE else EMPTY
        if self._notifier.post.withholds(dialog, content) and not dialog.by_connection():
            content = EMPTY
        self._notifier.post.send(dialog, state, content, self.farewell())

    def _hang_up(self, dialog: Dialog) -> None:
        self._abandon()
        self._is_owed = False
        dialog.close()

    def _abandon(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.abandon()

    def _notify(self, content: Content, now: float) -> None:
        dialog = self.dialog
        assert dialog is not None
        self._was_refused = False
        if is_withheld := self._notifier.post.withholds(dialog, content):
            content, self._is_owed = EMPTY, True  # it follows the answer
        self.sent += content.body is not None
        self._told_tag = content.tag
        interval, pace = self._resource.package.notify_interval, self.rare.pace
        self._not_before = -NEVER if is_withheld or not interval else now + interval
        if pace is not None:
            pace.sent(now)
        self._flight, flight = _LEAVING, None
        try:
            flight = self._notifier.post.send(dialog, self._state(now), content, self)
        finally:
            if self._flight is _LEAVING:  # nothing was heard of it yet
                self._flight = flight
        if dialog.cseq % REWRITTEN == 0:
            self.keep()

    def _state(self, now: float) -> bytes:
        """Return Subscription-State with the time that is left (§4.2.2)."""
        left = int(self.expires_at - now + 0.05)  # it lasts to the end of a tick
        state = b"%b;expires=%d" % (self.status, left)
        pace = self.rare.pace
        return state if pace is None else state + rate_params(pace.rates)

    def _rendered(self, is_full: bool) -> Content | None:
        """Return what the watcher is told; nothing while it has no permission."""
        self._rendered_version = self._resource.version
        return EMPTY if self.verdict.handling <= CONFIRM else self.show(is_full)

    def _whole(self) -> Content:
        """Return all there is to tell; no body where the watcher has it (RFC 5839 §6.2)."""
        before, condition, content = self.memory, self.rare.condition, self.rare.prepared
        if content is None:
            content = self._rendered(is_full=True) or EMPTY
        else:
            self.alter(prepared=None)
        if condition is not None and condition.holds(content.tag):
            self.memory = before
            return Content(None, content.tag)
        return content

    def _earliest(self) -> float:
        """Return when a change may be told."""
        pace = self.rare.pace
        return self._not_before if pace is None else max(pace.earliest, self._not_before)

    def hasten(self) -> None:
        """Have another interval of the package hold at once; who was refused waits as asked."""
        if not self._was_refused:
            interval: float = self._resource.package.notify_interval
            self._not_before = min(self._not_before, self._notifier.host.now() + interval)

    def _latest(self) -> float:
        """Return when something is to be told though nothing has changed (RFC 6446 §6.2)."""
        pace = self.rare.pace
        if pace is None or self.status != ACTIVE:
            return NEVER
        latest = pace.latest
        return NEVER if latest is None else latest

    def _is_due(self) -> bool:
        return self.rare.pace is not None and self._latest() <= self._notifier.host.now()

    # ClientUser

    def answered(self, response: Response, flight: Any) -> None:
        """A response came; only the one to the last NOTIFY counts."""
        if response.status < 200 or not self._is_current(flight):
            return
        self._flight = None
        self._notifier.post.outcomes[f"{response.status // 100}xx"] += 1
        if self.dialog is not None:
            self.dialog.is_proven = True
        if response.status < 300:
            self._accepted(response)
        elif is_end(response):
            self.lose()
        else:
            self._refused(response)
        if self.has_news:
            self.flush()
        elif self.rare.pace is not None:
            self.sleep(self._notifier.host.now())

    def timed_out(self, flight: Any) -> None:
        """Timer F fired: the watcher is gone (§4.2.2)."""
        self._gone(flight, "silent")

    def failed(self, flight: Any) -> None:
        """The NOTIFY could not be delivered, or there is no way."""
        self._gone(flight, "failed")

    def _gone(self, flight: Any, outcome: str) -> None:
        if self._is_current(flight):
            self._flight = None
            self._notifier.post.outcomes[outcome] += 1
            self.lose()

    def _is_current(self, flight: Any) -> bool:
        return self._flight is not None and self._flight in (flight, _LEAVING)

    def _accepted(self, response: Response) -> None:
        self.confirm()
        names = response.names
        dialog = self.dialog
        if b"contact" in names and dialog is not None and dialog.retarget(response):
            self.keep()
        pace = self.rare.pace
        if b"event" in names and pace is not None:
            package = self._resource.package.name
            rates = answered_rates(response, package, pace.wanted)
            if rates is not None:
                self.agree(rates)

    def _refused(self, response: Response) -> None:
        """What was told is unknown to the watcher: all of it is told again, later."""
        self._was_refused = True
        seconds = retry_after(response)
        if seconds:
            self._is_owed = True
            self._not_before = max(self._not_before, self._notifier.host.now() + seconds)
        if self.dialog is not None:
            self.dialog.way = None
