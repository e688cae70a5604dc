"""Many clients in a process of their own, which a test starts, talks to by lines, and kills.

``python crowd.py fleet|udp|slow|hello|pairs HOST PORT COUNT``. It imports nothing of the project.

- ``fleet``: a connection for each of COUNT users, who all register; then it waits.
- ``udp``: COUNT users on one UDP socket, who register and answer every MESSAGE.
- ``slow``: COUNT connections that write an octet of a message each second.
- ``hello``: COUNT connections that write an octet of a TLS handshake each second.
- ``pairs``: COUNT users, half of them by TCP, who send each other MESSAGEs for as many seconds as
  a line says; then it prints the median time to an answer, and how many were sent and answered.

It prints ``ready`` once all stands.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Iterator

DOMAIN = "a.test"
RATE = 4  # MESSAGEs a second of each client
LATE = 3.0  # seconds that answers may take after the last request
HEAD = """{method} sip:{to} SIP/2.0\r
Via: SIP/2.0/{transport} {host}:{port};rport;branch=z9hG4bK{id}\r
Max-Forwards: 70\r
From: <sip:{user}@{domain}>;tag=1\r
To: <sip:{to_user}@{domain}>\r
Call-ID: {id}\r
CSeq: 1 {method}\r
"""
REGISTER = "Contact: <sip:{user}@{host}:{port};transport={transport}>\r\nExpires: 600\r\n"
EMPTY = "Content-Length: 0\r\n\r\n"
HELLO = "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
COPIED = (b"via", b"from", b"to", b"call-id", b"cseq")


class Client:
    """A socket to the server."""

    def __init__(self, transport: str, server: tuple[str, int]) -> None:
        self.transport = transport
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        if transport == "udp":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.connect(server)
        self.host, self.port = self.socket.getsockname()
        self._octets = b""

    def head(self, method: str, user: str, to: str, id: str) -> str:
        """Return the lines that every request has."""
        uri = DOMAIN if method == "REGISTER" else f"{to}@{DOMAIN}"
        place = {"host": self.host, "port": self.port, "transport": self.transport.upper()}
        return HEAD.format(
            method=method, to=uri, user=user, to_user=to, id=id, domain=DOMAIN, **place
        )

    def register(self, user: str) -> None:
        """Register, and wait for the 200."""
        contact = REGISTER.format(
            user=user, host=self.host, port=self.port, transport=self.transport
        )
        text = self.head("REGISTER", user, user, f"r-{user}-{self.port}") + contact + EMPTY
        self.socket.sendall(text.encode())
        answer = next(self.read())
        assert answer.startswith(b"SIP/2.0 200"), answer

    def read(self) -> Iterator[bytes]:
        """Read what is there, and return the messages in it."""
        octets = self.socket.recv(65535)
        if self.transport == "udp":
            yield octets
            return
        assert octets, "the server has closed a connection"
        self._octets += octets
        while (end := self._octets.find(b"\r\n\r\n")) >= 0:
            end += 4 + (5 if b"Content-Length: 5\r\n" in self._octets[: end + 2] else 0)
            if end > len(self._octets):
                return
            message, self._octets = self._octets[:end], self._octets[end:]
            yield message

    def answer(self, request: bytes) -> None:
        """Answer a request 200."""
        lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        copied = [line for line in lines if line.partition(b":")[0].lower() in COPIED]
        head = [b"SIP/2.0 200 OK", *copied, b"Content-Length: 0", b"", b""]
        self.socket.sendall(b"\r\n".join(head))


def fleet(server: tuple[str, int], count: int) -> None:
    """Register each user by a connection."""
    clients = []
    for number in range(count):
        client = Client("tcp", server)
        client.register(f"user{number}")
        clients.append(client)
    _ready()
    sys.stdin.read()


def udp(server: tuple[str, int], count: int) -> None:
    """Register all users by one socket, and answer."""
    client = Client("udp", server)
    for number in range(count):
        client.register(f"user{number}")
    _ready()
    while True:
        for message in client.read():
            if message.startswith(b"MESSAGE "):
                client.answer(message)


def slow(server: tuple[str, int], count: int) -> None:
    """Write a request that never ends."""
    text = b"MESSAGE sip:nobody@a.test SIP/2.0\r\nVia: SIP/2.0/TCP " + b"x" * 10_000
    _by_octets(server, count, text)


def hello(server: tuple[str, int], count: int) -> None:
    """Write the beginning of a ClientHello, that of a record of 512 octets."""
    _by_octets(server, count, bytes.fromhex("1603010200 010001fc 0303") + b"x" * 500)


def _by_octets(server: tuple[str, int], count: int, text: bytes) -> None:
    """Write an octet a second on each connection, all round the second, until all are closed."""
    sockets = {number: _connected(server) for number in range(count)}
    _ready()
    began = time.monotonic()
    for number in range(len(text) * count):
        turn, which = divmod(number, count)
        delay = began + turn + which / count - time.monotonic()
        if delay > 0.005:
            time.sleep(delay)
        if which in sockets:
            try:
                sockets[which].send(text[turn : turn + 1])
            except OSError:
                sockets.pop(which).close()
        elif not sockets:
            print("closed", flush=True)
            return


def _connected(server: tuple[str, int]) -> socket.socket:
    """Return a connection; where it is refused, one to nowhere."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with contextlib.suppress(ConnectionError):
        made.connect(server)
    return made


class Pairs:
    """Clients who all send to each other."""

    def __init__(self, server: tuple[str, int], count: int) -> None:
        self._clients = [Client(("udp", "tcp")[n % 2], server) for n in range(count)]
        self._selector = selectors.DefaultSelector()
        for number, client in enumerate(self._clients):
            client.register(f"good{number}")
            self._selector.register(client.socket, selectors.EVENT_READ, client)
        self._sent: dict[bytes, float] = {}
        self._took: list[float] = []
        self._count = 0

    def measure(self, seconds: float) -> dict[str, float]:
        """Send for so many seconds, and return what was found."""
        self._sent, self._took = {}, []
        step = 1 / RATE / len(self._clients)
        began, first = time.monotonic(), self._count
        while (now := time.monotonic()) < began + seconds:
            if now >= began + (self._count - first) * step:
                self._send()
            else:
                self._read(step / 4)
        deadline = time.monotonic() + LATE
        while self._sent and time.monotonic() < deadline:
            self._read(0.05)
        median = statistics.median(self._took)
        sent = self._count - first
        return {"median": median, "sent": sent, "answered": len(self._took)}

    def _send(self) -> None:
        self._count += 1
        number, id = self._count % len(self._clients), f"m-{self._count}"
        client, to = self._clients[number], (number * 7 + 1) % len(self._clients)
        text = client.head("MESSAGE", f"good{number}", f"good{to}", id) + HELLO
        self._sent[id.encode()] = time.monotonic()
        client.socket.sendall(text.encode())

    def _read(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            for message in key.data.read():
                if message.startswith(b"MESSAGE "):
                    key.data.answer(message)
                elif message.startswith(b"SIP/2.0 200"):
                    id = message.partition(b"Call-ID: ")[2].partition(b"\r\n")[0]
                    sent = self._sent.pop(id, None)
                    if sent is not None:
                        self._took.append(time.monotonic() - sent)


def pairs(server: tuple[str, int], count: int) -> None:
    """Measure whenever a line says for how long."""
    clients = Pairs(server, count)
    _ready()
    for line in sys.stdin:
        print(json.dumps(clients.measure(float(line))), flush=True)


def _ready() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    mode, host, port, count = sys.argv[1:]
    modes = {"fleet": fleet, "udp": udp, "slow": slow, "hello": hello, "pairs": pairs}
    modes[mode]((host, int(port)), int(count))
