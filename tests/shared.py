"""Where the reference material lies that the project's own developers have beside it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"

_Tested = TypeVar("_Tested", bound=Callable[..., Any])


def needs_shared(*parts: str) -> Callable[[_Tested], _Tested]:
    """Make a test method or class skip, with a reason, where a part of `SHARED` is not there."""

    def decorate(tested: _Tested) -> _Tested:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            tested.skip = f"needs the reference material in ../{SHARED.name}/{'/'.join(parts)}"  # type: ignore[attr-defined]
        return tested

    return decorate
