"""Secrets that outlive the process, each a file in the data directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def kept_key(path: Path, length: int, random: Callable[[int], bytes]) -> bytes:
    """Return the key in a file; the first to ask makes it, for its owner alone (mode 0600).

    Raises OSError where it cannot be read or made, ValueError where it is not as we made it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(path, random(length))
    key = path.read_bytes()
    if len(key) != length:
        raise ValueError(f"{path} is damaged: remove it, and another is made")
    return key


def _make(path: Path, key: bytes) -> None:
    """Write it whole or not at all; of several who do so at once, one is first."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first, and its key is as good
    finally:
        draft.unlink(missing_ok=True)
