"""Presence documents as they are kept: what a publication's body alone does not say."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sipproxy.presence.pidf import Document, Reader
from sipproxy.presence.times import read_time, write_time


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """`Document`; ``data`` is None where it is the body of the publication."""

    data: bytes | None
    received: float
    key: int
    renamed: dict[str, str]
    stamps: dict[str, str]


def kept_document(document: Document, body: bytes) -> Any:
    """Return what is kept of a document besides the body that it came by."""
    return _Kept(
        None if document.data == body else document.data,
        document.received,
        document.key,
        document.renamed,
        {name: write_time(time) for name, (_, time) in document.stamps.items()},
    )


def restored_document(reader: Reader, resource: bytes, body: bytes, kept: Any) -> Document:
    """Return a document of before a restart, read anew; raises `SipError`, or ValueError."""
    try:
        one = msgspec.convert(kept, _Kept)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if not math.isfinite(one.received):
        raise ValueError("a time that is none")
    data = body if one.data is None else one.data
    found = reader.read(resource, data, one.received)
    stamps = {name: read_time(text) for name, text in one.stamps.items()}
    reader.remember(found, one.key, stamps, one.renamed)
    return found
