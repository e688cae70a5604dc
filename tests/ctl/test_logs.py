"""Logs: an event is one line, as text or as JSON."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl import logs


class LinesTests(SynchronousTestCase):
    """What is written of an event."""

    def setUp(self) -> None:
        self.text, self.json = io.StringIO(), io.StringIO()
        self.log = Logger(namespace="sipproxy.proxy", observer=self.observe)

    def observe(self, event: Any) -> None:
        """Write an event both ways."""
        event["log_time"] = 1_700_000_000.25
        logs.Lines(self.text, logs.text_line)(event)
        logs.Lines(self.json, logs.json_line)(event)

    def record(self) -> Any:
        """Return the one JSON object that was written."""
        (line,) = self.json.getvalue().splitlines()
        return json.loads(line)

    def test_an_event(self) -> None:
        self.log.warn("{user} did {what}", user="alice", what=b"so", call_id=b"\xff1", count=3)
        expected = "2023-11-14T22:13:20.250+00:00 warn sipproxy.proxy: alice did b'so'\n"
        self.assertEqual(self.text.getvalue(), expected)
        record = self.record()
        self.assertEqual((record["user"], record["what"], record["count"]), ("alice", "so", 3))
        self.assertEqual((record["level"], record["text"]), ("warn", "alice did b'so'"))
        self.assertEqual(record["call_id"], "\ufffd1")

    def test_a_failure_is_one_line(self) -> None:
        try:
            raise KeyError("a\nb")
        except KeyError:
            self.log.failure("a bug")
        self.assertEqual(len(self.text.getvalue().splitlines()), 1)
        self.assertIn("a bug; Traceback", self.text.getvalue())
        self.assertIn("KeyError", self.record()["traceback"])

    def test_whatever_is_in_it_is_one_line_that_a_terminal_survives(self) -> None:
        self.log.info("{what}", what="a\r\nb\x1b[2J\x00ü")
        self.assertEqual(len(self.text.getvalue().split("\n")), 2)
        self.assertIn("a\\x0d\\x0ab\\x1b[2J\\x00ü", self.text.getvalue())
        self.assertEqual(self.record()["what"], "a\r\nb\x1b[2J\x00ü")

    def test_an_object_that_cannot_be_shown(self) -> None:
        class Broken:
            def __repr__(self) -> str:
                raise ZeroDivisionError

            __str__ = __repr__

        self.log.info("{what}", what=Broken())
        self.assertEqual(len(self.text.getvalue().splitlines()), 1)

    def test_what_twistd_asks_for(self) -> None:
        self.assertIsInstance(logs.text(), logs.Lines)
        self.assertIsInstance(logs.json(), logs.Lines)
