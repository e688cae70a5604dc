"""What a log may show of a message: its head, without credentials; never a body."""

from __future__ import annotations

import re

_MOST = 4096  # bytes
_credentials = re.compile(
    rb"^((?:Proxy-)?Authorization[ \t]*:)[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*", re.I | re.M
)


def shown(data: bytes) -> str:
    """Return the head of a message as text without line ends, credentials taken out."""
    head = data.partition(b"\r\n\r\n")[0][:_MOST]
    lines = _credentials.sub(rb"\1 ...", head).decode("utf-8", "backslashreplace").split("\r\n")
    return " | ".join(lines)
