"""The threads that write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool


class Works(Protocol):
    """Who writes to the file: threads, but in tests."""

    def __call__(self, function: Callable[..., None], *arguments: Any) -> Deferred[None]:
        """Call a function."""

    def start(self) -> None:
        """Begin to."""

    def stop(self) -> None:
        """End once all is done."""


class Worker:
    """Two threads: one for transactions, and one that moves their log into the database."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(1, 2, "store")

    def __call__(self, function: Callable[..., None], *arguments: Any) -> Deferred[None]:
        """Call a function in a thread; what becomes of it is told in the reactor's."""
        return deferToThreadPool(self._reactor, self._pool, function, *arguments)

    def start(self) -> None:
        """Start them."""
        self._pool.start()

    def stop(self) -> None:
        """End them once they have done what they were given."""
        self._pool.stop()
