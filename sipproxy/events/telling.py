"""Telling a watcher: when a NOTIFY is sent, and what its answer means (RFC 6665 §4.2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipproxy.events.dialog import Dialog
from sipproxy.events.outcomes import is_end, retry_after
from sipproxy.events.way import Field, Flight
from sipproxy.interfaces.events import CONFIRM, Body, Verdict
from sipproxy.proxy.branch import NOBODY

if TYPE_CHECKING:
    from sipproxy.events.notifier import Notifier, Resource
    from sipproxy.sip.message import Response

PENDING, ACTIVE, WAITING, TERMINATED = b"pending", b"active", b"waiting", b"terminated"
NOTHING, CHANGE, FULL = range(3)  # what there is to tell
NEVER = float("inf")


class _Leaving:
    """Stands for a NOTIFY that is just being sent."""

    def abandon(self) -> None:
        """It cannot be stopped."""


_LEAVING = _Leaving()


class Telling:
    """The half of a subscription that sends NOTIFYs and hears what becomes of them.

    There is at most one without an answer; what changes meanwhile is told after it, once. A
    SUBSCRIBE, or a new status, is told at once, and what was under way is given up for it.
    """

    __slots__ = (
        *("_flight", "_full_after", "_is_behind", "_need", "_notifier", "_resource", "_told"),
        *("_told_at", "dialog", "expires_at", "is_unsure", "status", "verdict"),
    )

    def __init__(
        self, notifier: Notifier, resource: Resource, dialog: Dialog, verdict: Verdict
    ) -> None:
        self._notifier = notifier
        self._resource = resource
        self.dialog: Dialog | None = dialog  # None: it waits, or is over
        self.verdict = verdict
        self.status = PENDING if verdict.handling == CONFIRM else ACTIVE
        self.expires_at = notifier.host.now()
        self.is_unsure = False  # the verdict is to be asked for before anything else is told
        self._need = NOTHING
        self._flight: Flight | None = None
        self._told = b""  # the tag of the body that was told last
        self._told_at = self._full_after = -NEVER
        self._is_behind = False  # a NOTIFY was refused

    @property
    def is_unanswered(self) -> bool:
        """Whether a NOTIFY is under way, so that the next one has to wait."""
        return self._flight is not None

    @property
    def tells_at(self) -> float | None:
        """When what has changed may be told; None where there is nothing to tell."""
        return self._earliest() if self._need and self.dialog is not None else None

    # What the states do

    def judge(self) -> None:
        """Ask for the verdict again, and follow it."""
        raise NotImplementedError

    def lose(self) -> None:
        """The watcher is gone: nothing can be told."""
        raise NotImplementedError

    def sleep(self, now: float) -> None:
        """Wake when the first of all that may happen is due."""
        raise NotImplementedError

    def show(self, is_full: bool) -> Body | None:
        """Return what the package shows to the watcher."""
        raise NotImplementedError

    def confirm(self) -> None:
        """The watcher has shown that it is there."""
        raise NotImplementedError

    # Sending

    def mark(self) -> bool:
        """Note that the resource has changed; tell whether this is to be flushed."""
        if self.status != ACTIVE or self._need:
            return False
        self._need = CHANGE
        return self._flight is None

    def flush(self) -> None:
        """Tell what there is to tell, unless a NOTIFY is unanswered or it is too soon."""
        if self.is_unsure:
            self.judge()
        if not self._need or self._flight is not None or self.dialog is None:
            return
        now = self._notifier.host.now()
        if self._earliest() > now:
            self.sleep(now)
            return
        is_full = self._need == FULL or self._is_behind
        self._need = NOTHING
        body = self._rendered(is_full)
        if is_full or (body is not None and body.tag != self._told):
            self._notify(body, now)

    def _tell_all(self, now: float) -> None:
        """Tell the whole state now, whatever was under way."""
        self._abandon()
        self._need = NOTHING
        self._full_after = -NEVER
        self._notify(self._rendered(is_full=True), now)
        self.sleep(now)

    def _finish(self, status: bytes, state: bytes, shows_state: bool) -> None:
        """Send the last NOTIFY of the dialog; nobody waits for its answer."""
        dialog, self.dialog = self.dialog, None
        assert dialog is not None
        self._hang_up(dialog)
        body = self._rendered(is_full=True) if shows_state and status == ACTIVE else None
        self._notifier.post.send(dialog, state, self._fields(body), body, NOBODY)

    def _hang_up(self, dialog: Dialog) -> None:
        self._abandon()
        self._need = NOTHING
        dialog.close()
        self._notifier.hang_up(dialog)

    def _abandon(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.abandon()

    def _notify(self, body: Body | None, now: float) -> None:
        dialog = self.dialog
        assert dialog is not None
        self._is_behind = False
        self._told = b"" if body is None else body.tag
        self._told_at = now
        self._flight = _LEAVING
        flight = self._notifier.post.send(dialog, self._state(now), self._fields(body), body, self)
        if self._flight is _LEAVING:
            self._flight = flight

    def _state(self, now: float) -> bytes:
        """Return Subscription-State with the time that is left (§4.2.2)."""
        left = int(self.expires_at - now + 0.05)  # it lasts to the end of a tick
        return b"%b;expires=%d" % (self.status, left)

    def _fields(self, body: Body | None) -> tuple[Field, ...]:
        """Return what else the head of a NOTIFY says."""
        return ()

    def _rendered(self, is_full: bool) -> Body | None:
        """Return what the watcher is told; nothing while it has no permission."""
        return None if self.verdict.handling <= CONFIRM else self.show(is_full)

    def _earliest(self) -> float:
        """Return when a change may be told."""
        interval: float = self._resource.package.notify_interval
        return max(self._told_at + interval, self._full_after)

    # ClientUser

    def answered(self, response: Response, flight: Any) -> None:
        """A response came; only the one to the last NOTIFY counts."""
        if response.status < 200 or not self._is_current(flight):
            return
        self._flight = None
        if response.status < 300:
            self.confirm()
            if b"contact" in response.names and self.dialog is not None:
                self.dialog.retarget(response)
        elif is_end(response):
            self.lose()
        else:
            self._refused(response)
        if self._need:
            self.flush()

    def timed_out(self, flight: Any) -> None:
        """Timer F fired: the watcher is gone (§4.2.2)."""
        self.failed(flight)

    def failed(self, flight: Any) -> None:
        """The NOTIFY could not be delivered, or there is no way."""
        if self._is_current(flight):
            self._flight = None
            self.lose()

    def _is_current(self, flight: Any) -> bool:
        return self._flight is not None and self._flight in (flight, _LEAVING)

    def _refused(self, response: Response) -> None:
        """What was told is unknown to the watcher: all of it is told again, later."""
        self._is_behind = True
        seconds = retry_after(response)
        if seconds:
            self._need = FULL
            self._full_after = self._notifier.host.now() + seconds
        if self.dialog is not None:
            self.dialog.way = None
