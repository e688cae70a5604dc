"""Logs as ``twistd --logger`` takes them: ``sipproxy.ctl.logs.text`` or ``sipproxy.ctl.logs.json``.

An event is one line, whatever is in it. JSON has the fields beside the text: ``call_id``, ``user``,
``address``. Neither passwords nor bodies are ever in one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TextIO

import msgspec
from twisted.logger import ILogObserver, formatEvent
from twisted.python.reflect import safe_str
from zope.interface import implementer

# What twisted.logger itself puts into an event; all else is a field of ours.
_OWN = ("log_", "format", "isError", "message", "time", "system", "failure", "why")


def _plain(value: Any) -> Any:
    """Return a value of a field as JSON has it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else safe_str(value)


def _moment(event: Mapping[str, Any]) -> str:
    return datetime.fromtimestamp(event.get("log_time", 0), UTC).isoformat(timespec="milliseconds")


def _said(event: Any) -> str:
    return formatEvent(event) or ""


def text_line(event: Any) -> str:
    """Return an event as text: when, where, how grave, and what; a traceback in the same line."""
    level = getattr(event.get("log_level"), "name", "info")
    where = event.get("log_namespace", "-")
    said = "; ".join(filter(None, (_said(event), _traceback(event))))
    line = f"{_moment(event)} {level} {where}: {said}"
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)


def json_line(event: Any) -> str:
    """Return an event as a JSON object."""
    record = {
        "time": _moment(event),
        "level": getattr(event.get("log_level"), "name", "info"),
        "namespace": event.get("log_namespace", "-"),
        "text": _said(event),
    }
    if traceback := _traceback(event):
        record["traceback"] = traceback
    fields = {name: _plain(v) for name, v in event.items() if not name.startswith(_OWN)}
    return msgspec.json.encode({**fields, **record}).decode()


def _traceback(event: Mapping[str, Any]) -> str:
    failure = event.get("log_failure")
    if failure is None:
        return ""
    written = StringIO()
    failure.printTraceback(file=written)
    return written.getvalue().strip().replace("\n", " | ")


@implementer(ILogObserver)
class Lines:
    """Writes each event as a line."""

    def __init__(self, file: TextIO, line: Callable[[Any], str]) -> None:
        self._file = file
        self._line = line

    def __call__(self, event: Any) -> None:
        """Write an event."""
        self._file.write(self._line(event) + "\n")
        self._file.flush()


def text() -> Lines:
    """Return the observer that writes text to standard output."""
    return Lines(sys.stdout, text_line)


def json() -> Lines:
    """Return the observer that writes JSON to standard output."""
    return Lines(sys.stdout, json_line)
