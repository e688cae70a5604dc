"""``twistd`` that reaches nothing beyond this machine, whatever it is made to try."""

from __future__ import annotations

import errno
import os
import socket
import sys
from ipaddress import ip_address
from typing import Any

MARK = "kept in: "  # begins a line on the standard error stream for each attempt


def _is_near(host: Any) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse, as the network would, to send or connect elsewhere, and to look up any name."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_near(address[0]):
            os.write(2, f"{MARK}{event} {address[0]!r}\n".encode())
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _is_near(arguments[0]):
        os.write(2, f"{MARK}{event} {arguments[0]!r}\n".encode())
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


if __name__ == "__main__":
    from twisted.scripts.twistd import run

    sys.addaudithook(guard)
    sys.argv[0] = "twistd"
    run()
