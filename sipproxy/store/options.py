"""What an operator can set of the stores."""

from __future__ import annotations

import msgspec


class DocumentsOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[plugin.documents]`` table."""

    max_size: int = 65536  # bytes of one document
    max_documents: int = 10  # of one kind, for each user

    def __post_init__(self) -> None:
        if self.max_size < 1:
            raise ValueError("max_size has to be at least 1")
        if self.max_documents < 1:
            raise ValueError("max_documents has to be at least 1")
