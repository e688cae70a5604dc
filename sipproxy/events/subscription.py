"""A subscription and its states (RFC 6665 §4.2.2, RFC 3857 §4.7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from sipproxy.events.content import Content
from sipproxy.events.dialog import Dialog
from sipproxy.events.rare import NEVER
from sipproxy.events.telling import ACTIVE, PENDING, TERMINATED, WAITING
from sipproxy.events.way import Watching
from sipproxy.events.wishing import Wishing
from sipproxy.interfaces.events import (
    BLOCK,
    CONFIRM,
    IEventPackage,
    ISubscription,
    Verdict,
    Watcher,
)
from sipproxy.proxy.branch import NOBODY

if TYPE_CHECKING:
    from sipproxy.events.notifier import Notifier
    from sipproxy.events.resources import Resource


@implementer(ISubscription)
class Subscription(Wishing):
    """What one watcher wants to know of one resource.

    ::

        pending --approved--> active --timeout, rejected, deactivated, probation, noresource--.
           |  '--rejected, giveup, deactivated, probation, noresource--> terminated <---------'
           '--timeout--> waiting --approved, rejected, giveup, noresource--^

    An active one goes back to pending where the verdict does (RFC 5025 §3.2.1).
    """

    __slots__ = ("booked", "due", "watcher")

    def __init__(
        self,
        notifier: Notifier,
        resource: Resource,
        dialog: Dialog | None,
        watcher: Watcher,
        verdict: Verdict,
        source: bytes,
    ) -> None:
        Wishing.__init__(self, notifier, resource, dialog, verdict)
        self.watcher = watcher
        self.source = source
        if not watcher.identity:
            self.alter(is_confirmed=False)
        self.due = self.booked = 0

    @property
    def package(self) -> bytes:
        """The name of the event package."""
        name: bytes = self._resource.package.name
        return name

    @property
    def described(self) -> IEventPackage:
        """The event package itself."""
        return self._resource.package

    @property
    def watched(self) -> Resource:
        """What is watched."""
        return self._resource

    @property
    def resource(self) -> bytes:
        """The canonical address-of-record that is watched."""
        return self._resource.aor

    # What the watcher asks

    def join(self, resource: Resource) -> None:
        """Watch a resource that is kept, perhaps since this was made."""
        if resource is not self._resource:
            self._resource = resource
            self._rendered_version = -1
        if self.dialog is not None:
            resource.opening = self.dialog.share(resource.opening)

    def begin(self) -> None:
        """It has been entered."""
        self._moved(self.status, b"subscribe")

    def answer(self, is_known: bool = False) -> None:
        """Send the NOTIFY that follows each SUBSCRIBE at once (§4.2.1.2), or the last one.

        ``is_known``: there is none, since the watcher knows what it would say (RFC 5839 §6.3).
        """
        if self.is_unsure:
            self.judge()
        now = self._notifier.host.now()
        if self.status == TERMINATED:
            return
        if self.expires_at <= now:
            self.expire(shows_state=True, is_known=is_known)  # §4.4.3
        elif is_known:
            self._is_owed = self._was_refused = False
            self.sleep(now)
        else:
            self._tell_all(now)
        if self.rare.prepared is not None:
            self.alter(prepared=None)

    def fetched(self) -> None:
        """Tell the state once: it was never entered, and nobody hears of it (RFC 3857 §4.7.2)."""
        self._finish(ACTIVE, b"terminated;reason=timeout", shows_state=True)

    def wait(self, is_known: bool = False) -> None:
        """Remember that permission was asked for; the dialog is over.

        Nobody could be told who it is that nobody vouches for, and anybody could have much
        remembered: such a one gives up at once (RFC 3857 §4.7.1).
        """
        if is_known:
            self._drop_dialog()
        if not self.watcher.identity:
            self._end(b"giveup", b"timeout")
            return
        self._moved(WAITING, b"timeout")
        if not is_known:
            self._finish(PENDING, b"terminated;reason=timeout", shows_state=False)
        self.keep()
        self.sleep(self._notifier.host.now())

    # What becomes of it

    def approve(self) -> None:
        """The watcher may have it: a waiting one has to ask again."""
        if self.status == WAITING:
            self._end(b"approved")
        else:
            self._moved(ACTIVE, b"approved")
            self.keep()
            self._tell_all(self._notifier.host.now())

    def suspend(self) -> None:
        """Permission is asked for once more: no more is told (RFC 5025 §3.2.1)."""
        self._moved(PENDING, b"subscribe")
        self.keep()
        self._tell_all(self._notifier.host.now())

    def expire(self, shows_state: bool = False, is_known: bool = False) -> None:
        """Its time is over, by the clock or by the watcher's wish (§4.2.1.4).

        ``is_known``: the watcher need not be told (RFC 5839 §5.7).
        """
        if self.status == PENDING:
            self.wait(is_known)
        elif is_known:
            self._leave(b"timeout")
        else:
            self._end(b"timeout", b"timeout", shows_state)

    def reject(self) -> None:
        """The watcher may not have it any more."""
        self._end(b"rejected", b"rejected")

    def give_up(self) -> None:
        """Nobody has decided for too long, or there is no room to wait any longer."""
        self._end(b"giveup", b"giveup")

    def dismiss(self, reason: bytes, retry_after: int | None = None) -> None:
        """End it for a reason of the server's or the package's (§4.1.3)."""
        event = _EVENTS.get(reason, b"deactivated")
        told = reason if retry_after is None else b"%b;retry-after=%d" % (reason, retry_after)
        self._end(event, told)

    def lose(self) -> None:
        """The watcher is gone: nothing can be told."""
        self._leave(b"timeout" if self.status == ACTIVE else b"giveup")

    def _leave(self, event: bytes) -> None:
        """End it without a word."""
        self._drop_dialog()
        self._forget(event)

    def _drop_dialog(self) -> None:
        dialog, self.dialog = self.dialog, None
        if dialog is not None:
            self._hang_up(dialog)

    def _end(self, event: bytes, reason: bytes = b"", shows_state: bool = False) -> None:
        status, dialog = self.status, self.dialog
        self._forget(event)
        if dialog is not None:
            self._finish(status, b"terminated;reason=" + reason, shows_state)

    def _forget(self, event: bytes) -> None:
        self._notifier.host.forget(self)
        self._notifier.forget(self)
        self.status, self.event = TERMINATED, event
        self._notifier.moved(self, event)

    def _moved(self, status: bytes, event: bytes) -> None:
        if status != ACTIVE and self.rare.gives_up_at == NEVER:
            waiting = self._notifier.settings.waiting
            self.alter(gives_up_at=self._notifier.host.now() + waiting)
        elif status == ACTIVE and self.rare.gives_up_at != NEVER:
            self.alter(gives_up_at=NEVER)
        self._notifier.census.restate(self, status)
        self.status, self.event = status, event
        self._notifier.moved(self, event)

    # What the presentity decides

    def judge(self) -> None:
        """Ask for the verdict again, and follow it (RFC 5025 §3.2.1)."""
        self._judged_version = self._resource.judged
        if self.status == TERMINATED:
            return
        known, self.verdict = self.verdict, self._notifier.verdict(self._resource, self)
        handling = self.verdict.handling
        if handling == BLOCK:
            self.reject()
        elif handling == CONFIRM:
            if self.status == ACTIVE:
                self.suspend()
        elif self.status != ACTIVE:
            self.approve()
        elif (known.handling, known.view) != (handling, self.verdict.view):
            self._rendered_version = -1
            self._notifier.judged(self)
        self.sleep(self._notifier.host.now())

    def show(self, is_full: bool) -> Content | None:
        """Return what the package shows to the watcher."""
        return self._notifier.rendered(self._resource, self, is_full)

    def confirm(self) -> None:
        """The watcher has shown that it is there."""
        self._notifier.census.confirm(self)

    def keep(self) -> None:
        """Have the store know how it is now."""
        self._notifier.archive.note(self)

    def farewell(self) -> Watching:
        """Return who hears what becomes of the last NOTIFY."""
        return NOBODY if self.is_confirmed else self._notifier.census.farewell(self)

    # Sleeper

    def sleep(self, now: float) -> None:
        """Wake when the first of all that may happen is due."""
        if self.status == TERMINATED:
            return
        until = self.verdict.until
        first = NEVER if until is None else max(until, now)
        if self.status != WAITING:
            first = min(first, self.expires_at)
        if self.status != ACTIVE:
            first = min(first, self.rare.gives_up_at)
        if self._flight is None and self.has_news:
            first = min(first, self._earliest())
        elif self._flight is None:
            first = min(first, self._latest())
        self._notifier.host.wake(self, max(first - now, 0.0))

    def woken(self) -> None:
        """Something is due."""
        now = self._notifier.host.now()
        if self.status != ACTIVE and now >= self.rare.gives_up_at:
            self.give_up()
        elif self.status != WAITING and now >= self.expires_at:
            self.expire()
        else:
            until = self.verdict.until
            if until is not None and now >= until:
                self._judged_version = -1
            self.flush()
            self.sleep(now)


# What a reason is in the state machine of RFC 3857, where it is an event of it.
_EVENTS = {
    reason: reason for reason in b"deactivated probation rejected timeout giveup noresource".split()
}
