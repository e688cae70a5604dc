"""Packages by name, and templates of them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.events.packages import Packages
from tests.events.fakes import News


def template(base: Any) -> News:
    """Return a package of a package."""
    made = News()
    made.name = base.name + b".winfo"
    return made


class Finding(SynchronousTestCase):
    """`Packages.find`."""

    def setUp(self) -> None:
        self.packages = Packages({b"winfo": template})
        self.news = News()

    def test_none(self) -> None:
        self.assertFalse(self.packages)
        self.assertIsNone(self.packages.find(b"news"))
        self.assertIsNone(self.packages.find(b"winfo"))

    def test_by_name(self) -> None:
        self.packages.add(self.news)
        self.assertTrue(self.packages)
        self.assertIs(self.packages.find(b"news"), self.news)
        for name in (b"News", b"new", b"news.", b".news", b"", b"news.other", b".winfo"):
            self.assertIsNone(self.packages.find(name), name)

    def test_a_name_is_taken_once(self) -> None:
        self.packages.add(self.news)
        self.assertRaises(ValueError, self.packages.add, News())

    def test_templates_are_made_once_and_two_deep(self) -> None:
        self.packages.add(self.news)
        first = self.packages.find(b"news.winfo")
        self.assertIsNotNone(first)
        self.assertIs(self.packages.find(b"news.winfo"), first)
        self.assertIsNotNone(self.packages.find(b"news.winfo.winfo"))
        self.assertIsNone(self.packages.find(b"news.winfo.winfo.winfo"))
        self.assertIsNone(self.packages.find(b"weather.winfo"))

    def test_allow_events_names_no_template(self) -> None:
        """RFC 6665 §4.4.4."""
        self.packages.add(self.news)
        self.packages.find(b"news.winfo")
        self.assertEqual(self.packages.allow_events, b"news")
