"""A small blocking SIP client, which ``sipctl try`` acts with."""

from __future__ import annotations

import os
import socket
import ssl
import time

from sipproxy.sip.digest import credentials, named_algorithm
from sipproxy.sip.framing import PING, Framer
from sipproxy.sip.headers import parse_authorization
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import BadMessage, parse_datagram, parse_framed
from sipproxy.sip.response import make_response

T1 = 0.5  # seconds
PATIENCE = 8.0  # seconds


class NoAnswer(Exception):
    """Nothing came in time; the text says what was waited for."""


def unverified() -> ssl.SSLContext:
    """Return what a client uses that has the server's address from its own configuration."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """One user with a socket of its own: registers, sends MESSAGEs and receives them.

    ``context`` is for TLS alone.
    """

    def __init__(
        self,
        transport: str,
        server: tuple[str, int],
        aor: str,
        password: str,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.aor = aor
        self.password = password
        self.transport = transport
        self._server = server
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(family, kind)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(server)
            if transport == "tls":
                self._socket = (context or unverified()).wrap_socket(self._socket)
        except OSError:
            self._socket.close()
            raise
        self._framer = Framer(65536, 1 << 20)
        self._waiting: list[Request | Response] = []
        self._cseq = 0
        self._call_id = os.urandom(8).hex().encode()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @property
    def address(self) -> bytes:
        """Our own address, as Via and Contact want it."""
        host, port = self._socket.getsockname()[:2]
        return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()

    @property
    def contact(self) -> bytes:
        """Our URI, as Contact has it."""
        user = self.aor.rpartition("@")[0].encode()
        suffix = b"" if self.transport == "udp" else b";transport=" + self.transport.encode()
        return b"sip:%s@%s%s" % (user, self.address, suffix)

    def register(self, expires: int) -> Response:
        """Register our contact, or with 0 end the binding."""
        domain = self.aor.rpartition("@")[2].encode()
        contact = b"<%s>;expires=%d" % (self.contact, expires)
        headers = [(b"Contact", contact)]
        return self.authenticated(b"REGISTER", b"sip:" + domain, self.aor, headers)

    def message(self, to: str, body: bytes, challenged: bool, scheme: bytes = b"sip") -> bytes:
        """Send a MESSAGE, with credentials if it is to be challenged, and return its branch.

        The answer is waited for with `final`, for its receiver has to act before it comes.
        """
        uri = scheme + b":" + to.encode()
        headers = [(b"Content-Type", b"text/plain;charset=UTF-8")]
        if not challenged:
            return self.send(b"MESSAGE", uri, to, headers, body)
        first = self.final(self.send(b"MESSAGE", uri, to, headers, body))
        if first.status != 407:
            raise NoAnswer(f"a challenge to MESSAGE; it was answered {first.status}")
        headers.append(self._authorized(first, b"MESSAGE", uri))
        return self.send(b"MESSAGE", uri, to, headers, body)

    def authenticated(
        self,
        method: bytes,
        uri: bytes,
        to: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes = b"",
    ) -> Response:
        """Send a request, answer its challenge if there is one, and return the final response."""
        response = self.final(self.send(method, uri, to, headers, body))
        if response.status in (401, 407):
            headers = [*headers, self._authorized(response, method, uri)]
            response = self.final(self.send(method, uri, to, headers, body))
        return response

    def _authorized(self, challenge: Response, method: bytes, uri: bytes) -> tuple[bytes, bytes]:
        asked = b"www-authenticate" if challenge.status == 401 else b"proxy-authenticate"
        name = b"Authorization" if challenge.status == 401 else b"Proxy-Authorization"
        user = self.aor.rpartition("@")[0].encode()
        for value in challenge.raw_values(asked):
            params = parse_authorization(value).params
            if named_algorithm(params) is not None:
                cnonce = os.urandom(8).hex().encode()
                answer = credentials(params, user, self.password.encode(), method, uri, cnonce)
                return name, answer
        raise NoAnswer("a challenge with an algorithm that is known here")

    def send(
        self,
        method: bytes,
        uri: bytes,
        to: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes = b"",
    ) -> bytes:
        """Send a request and return its branch."""
        self._cseq += 1
        branch = b"z9hG4bK" + os.urandom(8).hex().encode()
        via = (self.transport.upper().encode(), self.address, branch)
        common = [
            (b"Via", b"SIP/2.0/%s %s;rport;branch=%s" % via),
            (b"Max-Forwards", b"70"),
            (b"From", b"<sip:%s>;tag=%s" % (self.aor.encode(), self._call_id[:8])),
            (b"To", b"<sip:%s>" % to.encode()),
            (b"Call-ID", self._call_id),
            (b"CSeq", b"%d %s" % (self._cseq, method)),
        ]
        self._last = Request.build(method, uri, [*common, *headers], body).encode()
        self._socket.send(self._last)
        return branch

    def final(self, branch: bytes) -> Response:
        """Wait for the final response of a branch; raises `NoAnswer`."""
        deadline, interval = time.monotonic() + PATIENCE, T1
        while time.monotonic() < deadline:
            for message in self._waiting:
                if isinstance(message, Response) and message.via.branch == branch:
                    self._waiting.remove(message)
                    if message.status >= 200:
                        return message
                    break
            else:
                if not self._receive(interval) and self.transport == "udp":
                    self._socket.send(self._last)
                    interval = min(2 * interval, 4.0)
        raise NoAnswer("an answer")

    def request(self) -> Request:
        """Wait for a request, and answer it 200; raises `NoAnswer`."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for message in self._waiting:
                if isinstance(message, Request):
                    self._waiting.remove(message)
                    self._socket.send(make_response(message, 200, b"try").encode())
                    return message
            self._receive(deadline - time.monotonic())
        raise NoAnswer("a request")

    def _receive(self, seconds: float) -> bool:
        """Read once; False when nothing came in time."""
        self._socket.settimeout(max(0.01, seconds))
        try:
            data = self._socket.recv(65535)
            if self.transport == "udp":
                self._waiting.append(parse_datagram(data))
            else:
                for frame in self._framer.feed(data):
                    if isinstance(frame, bytes) and frame is not PING:
                        self._waiting.append(parse_framed(frame))
        except TimeoutError:
            return False
        except (BadMessage, ConnectionRefusedError):
            return True
        return bool(data) or self.transport == "udp"
