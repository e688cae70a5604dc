"""One server for one database file, whatever names its data directory goes by."""

from __future__ import annotations

import fcntl
import os
from io import FileIO
from pathlib import Path

from sipproxy.store.schema import FILE


def hold(directory: Path) -> FileIO:
    """Lock a data directory's database for this process, and return what holds the lock.

    It stays held until that is closed or the process ends, also over a fork. Raises
    `BlockingIOError` where another server holds it, and other OSErrors where it cannot be made.
    """
    path = Path(os.path.realpath(directory / FILE) + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileIO(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock
