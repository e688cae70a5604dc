"""The thread that writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool


class Works(Protocol):
    """Who writes to the file: a thread, but in tests."""

    def __call__(self, function: Callable[..., None], *arguments: Any) -> Deferred[None]:
        """Call a function, after those that were given before."""

    def start(self) -> None:
        """Begin to."""

    def stop(self) -> None:
        """End once all is done."""


class Worker:
    """One thread that does one thing after the other."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(1, 1, "store")

    def __call__(self, function: Callable[..., None], *arguments: Any) -> Deferred[None]:
        """Call a function in the thread; what becomes of it is told in the reactor's."""
        return deferToThreadPool(self._reactor, self._pool, function, *arguments)

    def start(self) -> None:
        """Start the thread."""
        self._pool.start()

    def stop(self) -> None:
        """End it once it has done what it was given."""
        self._pool.stop()
