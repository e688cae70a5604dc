"""How much work one document may make: looked at in nodes, so that it is the same everywhere."""

from __future__ import annotations


class OutOfPatience(ValueError):
    """A document asks for more work than any honest one does."""


class Patience:
    """How many nodes may yet be looked at, for the sake of one document."""

    __slots__ = ("left",)

    def __init__(self, nodes: int) -> None:
        self.left = nodes

    def spend(self, nodes: int) -> None:
        """Take something off; raises `OutOfPatience` where nothing is left."""
        self.left -= nodes
        if self.left < 0:
            raise OutOfPatience("too much work")
