"""Tables of cases: each row becomes a test method that bears its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.errors import SipError

_Test = Callable[..., None]


def rows(table: Mapping[str, object]) -> Callable[[_Test], _Test]:
    """Call a test method once for each row, with the row's tuple (or single value) as arguments."""

    def decorate(test: _Test) -> _Test:
        test.rows = table  # type: ignore[attr-defined]
        return test

    return decorate


class TableCase(SynchronousTestCase):
    """A test case whose methods may have rows."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, test in list(vars(cls).items()):
            table = getattr(test, "rows", None)
            if table is not None:
                delattr(cls, name)
                for title, row in table.items():
                    method = _of_row(test, row)
                    method.__name__ = re.sub(r"\W+", "_", f"{name}_{title}")
                    setattr(cls, method.__name__, method)

    def refuses(self, status: int, function: Callable[..., object], *args: object) -> SipError:
        """Check that a call raises a `SipError` with this status, and return it."""
        error: SipError = self.assertRaises(SipError, function, *args)
        self.assertEqual(error.status, status, error.reason)
        return error


def _of_row(test: _Test, row: object) -> _Test:
    arguments = row if isinstance(row, tuple) else (row,)

    def method(self: TableCase) -> None:
        test(self, *arguments)

    method.__doc__ = test.__doc__
    return method
