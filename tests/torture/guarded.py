"""``twistd`` that reaches nothing beyond this machine, whatever it is made to try."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import sys
from ipaddress import ip_address
from typing import Any

MARK = "kept in: "  # begins a line on the standard error stream for each attempt
TRIM = signal.SIGUSR2  # asks for what is free to be given back


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


def trim(number: int, frame: Any) -> None:
    """Give memory that is free back to the system, so that what is left is in use."""
    ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    from twisted.scripts.twistd import run

    sys.addaudithook(guard)
    signal.signal(TRIM, trim)
    sys.argv[0] = "twistd"
    run()
