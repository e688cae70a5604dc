"""Memory of one connection, by TCP and by TLS, whose user is registered and says nothing.

Usage: ``python -m benchmarks.idle [COUNT]``
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sipproxy.ctl.socket import NotRunning, ask
from sipproxy.transport.sockets import room
from tests.authority import Authority, dns

COUNT = 2000
CONFIG = """
domains = ["example.test"]
[auth]
required = false
[[listen]]
transport = "tcp"
address = "127.0.0.1"
port = 0
[[listen]]
transport = "tls"
address = "127.0.0.1"
port = 0
certificate = "our.pem"
private_key = "our.key"
"""
REGISTER = """REGISTER sip:example.test SIP/2.0\r
Via: SIP/2.0/{transport} 127.0.0.1:5060;rport;branch=z9hG4bK{number}\r
Max-Forwards: 70\r
From: <sip:user{number}@example.test>;tag=1\r
To: <sip:user{number}@example.test>\r
Call-ID: {number}\r
CSeq: 1 REGISTER\r
Contact: <sip:user{number}@127.0.0.1:5060;transport=tcp>\r
Expires: 3600\r
Content-Length: 0\r
\r
"""
_resident = re.compile(r"VmRSS:\s+(\d+) kB").search


class Server:
    """``twistd sipproxy`` in a directory of its own."""

    def __init__(self, home: Path) -> None:
        Authority().write(home, "our", *dns("example.test"))
        (home / "sipproxy.toml").write_text(CONFIG)
        start = "from twisted.scripts.twistd import run; run()"
        command = [sys.executable, "-c", start, "-n", "--pidfile=", "-l", "log", "sipproxy"]
        self.process = subprocess.Popen(command, cwd=home)
        self._data = home / "var"

    def ports(self) -> dict[str, int]:
        """Wait for the listeners, and return their ports."""
        for _ in range(200):
            try:
                return {
                    one["transport"]: one["port"] for one in ask(self._data, "status")["listen"]
                }
            except NotRunning:
                time.sleep(0.05)
        raise SystemExit("the server does not start")

    def resident(self) -> int:
        """Memory of the process, in KiB."""
        match = _resident(Path(f"/proc/{self.process.pid}/status").read_text())
        assert match is not None
        return int(match.group(1))


CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname, CLIENT.verify_mode = False, ssl.CERT_NONE


def connect(port: int, transport: str, number: int) -> socket.socket:
    """Register a user by a connection of its own."""
    plain = socket.create_connection(("127.0.0.1", port))
    if transport == "tls":
        plain = CLIENT.wrap_socket(plain)
    plain.sendall(REGISTER.format(transport=transport.upper(), number=number).encode())
    assert plain.recv(4096).startswith(b"SIP/2.0 200 ")
    return plain


def measure(server: Server, port: int, transport: str, count: int) -> float:
    """Return the KiB that each of so many connections adds."""
    warm = [connect(port, transport, number) for number in range(100)]
    before = server.resident()
    idle = [connect(port, transport, number) for number in range(100, 100 + count)]
    added = server.resident() - before
    for plain in (*warm, *idle):
        plain.close()
    return added / count


def main() -> None:
    """Print what a connection takes."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    room(count + 200)
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory))
        try:
            for transport, port in server.ports().items():
                each = measure(server, port, transport, count)
                print(f"{transport}: {each:.1f} KiB for a connection and its binding")
        finally:
            server.process.terminate()
            server.process.wait()


if __name__ == "__main__":
    main()
