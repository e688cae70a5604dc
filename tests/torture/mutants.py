"""Messages gone wrong by chance, from a seed: the same ones each time."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from tests.torture.running import DOMAIN

# Where all hosts of mutants are: on this machine, and nowhere that a server listens.
HOST = "127.77.0.1"
USERS = ("alice", "bob", "carol", "dave")

_NEAR = (DOMAIN.encode(), HOST.encode())
_NO_USER = rb"(?![^\s<>\"]{0,300}@)"
# A name or an address: what has a dot in it, and is neither a version nor a q value.
_dotted = re.compile(rb"(?<![/\w.%%-])[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+\.?%s" % _NO_USER)
_reference = re.compile(rb"\[[0-9A-Fa-f:.]+\]?")
# Whatever stands where a host has to.
_placed = re.compile(
    rb"(?i)((?:@|sips?:|maddr\s*=\s*|received\s*=\s*)\[?)([^\s;,<>:?\"@\[\]]+)%s" % _NO_USER
)
_person = re.compile(rb"(?i)(?:from|to|f|t)\s*:").match
_branch = re.compile(rb"branch\s*=\s*[^\s;,]+")
NASTY = (
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n ", b'"', b"\\", b"<", b">", b";", b",", b":", b"@", b"?",
    b"%", b"%00", b"%0d%0a", b"[", b"]", b"=", b"\xff", b"\xc3\xa9", b"-1", b"0", b"4294967296",
    b"99999999999999999999999", b"z9hG4bK", b";lr", b";maddr=" + HOST.encode(), b";tag=", b"*",
)  # fmt: skip

REALISTIC = """\
{method} {uri} SIP/2.0\r
Via: SIP/2.0/{transport} {host}:{port};rport;branch=z9hG4bKbranch\r
Max-Forwards: 70\r
From: "A. User" <sip:{sender}@{domain}>;tag=4fa3\r
To: <sip:{user}@{domain}>\r
Call-ID: {method}-{user}@{host}\r
CSeq: 17 {method}\r
{lines}\
Content-Length: {length}\r
\r
{body}"""
_LINES = {
    "MESSAGE": "Content-Type: text/plain\r\nUser-Agent: Softphone 3.1 (a; b)\r\n",
    "OPTIONS": "Accept: application/sdp, text/*;q=0.5\r\n",
    "SUBSCRIBE": "Event: presence\r\nContact: <sip:{user}@{host}:{port}>\r\nExpires: 600\r\n",
    "REGISTER": 'Contact: "Phone" <sip:{user}@{host}:{port};x=1>;q=0.7;expires=2\r\n'
    "Supported: path, outbound\r\nAllow: MESSAGE, OPTIONS\r\n",
}


def realistic(port: int, transport: str) -> list[bytes]:
    """Return what clients send all day; ``port`` is where their user is reached."""
    messages = []
    for method, lines in _LINES.items():
        for sender, user in zip(USERS, USERS[1:] + USERS[:1], strict=True):
            if method == "REGISTER":
                sender = user
            body = "Hello, there; how are <you>?" if method == "MESSAGE" else ""
            uri = f"sip:{DOMAIN}" if method == "REGISTER" else f"sip:{user}@{DOMAIN}"
            fields = {
                "method": method, "uri": uri, "transport": transport, "host": HOST, "port": port,
                "sender": sender, "user": user, "domain": DOMAIN, "body": body,
            }  # fmt: skip
            text = lines.format(**fields)
            messages.append(REALISTIC.format(lines=text, length=len(body), **fields).encode())
    return messages


def keep_near(data: bytes) -> bytes:
    """Write this machine in place of every host of a head; what is at the domain stays there."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if len(head) > 16384:
        return data  # made of one octet many times
    head = _dotted.sub(_near, _reference.sub(HOST.encode(), head))
    return _placed.sub(_near_after, head) + blank + body


def _near(match: re.Match[bytes]) -> bytes:
    host = match.group()
    is_number = host.replace(b".", b"").isdigit() and host.count(b".") < 3
    return host if is_number or host in _NEAR else HOST.encode()


def _near_after(match: re.Match[bytes]) -> bytes:
    before, host = match.groups()
    return match.group() if host in _NEAR else before + HOST.encode()


def at_home(data: bytes) -> bytes:
    """Make the people of a torture message ours, and all else this machine."""
    head, blank, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for index, line in enumerate(lines):
        if index == 0 or _person(line):
            lines[index] = _dotted.sub(DOMAIN.encode(), _reference.sub(DOMAIN.encode(), line))
    return keep_near(b"\r\n".join(lines) + blank + body)


class Mutator:
    """Takes messages and spoils them; what it makes is a matter of the seed alone."""

    def __init__(self, seed: int, messages: Sequence[bytes]) -> None:
        self._random = random.Random(seed)
        self._messages = list(messages)
        self._made = 0
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            self._flip, self._delete, self._insert, self._repeat_line, self._drop_line,
            self._swap_lines, self._swap_values, self._truncate, self._splice, self._repeat,
            self._rename,
        )  # fmt: skip

    def make(self) -> bytes:
        """Return the next message: one in eight is whole, most are no repetitions."""
        chance = self._random
        data = chance.choice(self._messages)
        if chance.random() < 0.9:
            data = self.fresh(data)
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            data = chance.choice(self._ways)(data)
        return keep_near(data)[:60000] or b"\r\n"

    def fresh(self, data: bytes) -> bytes:
        """Give a message a branch and a Call-ID of its own."""
        self._made += 1
        data = _branch.sub(b"branch=z9hG4bK%x" % self._made, data, count=1)
        return data.replace(b"\r\nCall-ID: ", b"\r\nCall-ID: %x-" % self._made, 1)

    def _place(self, data: bytes) -> int:
        """Return a place in a message, in its first kilobyte for the most part."""
        limit = len(data) if self._random.random() < 0.1 else min(len(data), 1000)
        return self._random.randrange(limit + 1)

    def _flip(self, data: bytes) -> bytes:
        at = self._place(data)
        spoiled = bytes((data[at] ^ 1 << self._random.randrange(8),)) if at < len(data) else b""
        return data[:at] + spoiled + data[at + 1 :]

    def _delete(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + data[at + self._random.choice((1, 1, 2, 5, 30)) :]

    def _insert(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + self._random.choice(NASTY) + data[at:]

    def _repeat(self, data: bytes) -> bytes:
        """Write a part again and again."""
        at = self._place(data)
        part = data[at : at + self._random.choice((1, 2, 8, 40))]
        return data[:at] + part * self._random.choice((2, 3, 10, 200)) + data[at:]

    def _lines(self, data: bytes) -> tuple[list[bytes], bytes]:
        head, blank, body = data.partition(b"\r\n\r\n")
        return head.split(b"\r\n"), blank + body

    def _repeat_line(self, data: bytes) -> bytes:
        lines, rest = self._lines(data)
        lines.insert(self._random.randrange(len(lines) + 1), self._random.choice(lines))
        return b"\r\n".join(lines) + rest

    def _drop_line(self, data: bytes) -> bytes:
        lines, rest = self._lines(data)
        del lines[self._random.randrange(len(lines))]
        return b"\r\n".join(lines) + rest

    def _swap_lines(self, data: bytes) -> bytes:
        lines, rest = self._lines(data)
        one, other = (self._random.randrange(len(lines)) for _ in "ab")
        lines[one], lines[other] = lines[other], lines[one]
        return b"\r\n".join(lines) + rest

    def _swap_values(self, data: bytes) -> bytes:
        """Give two headers each the other's value."""
        lines, rest = self._lines(data)
        one, other = (self._random.randrange(len(lines)) for _ in "ab")
        name, colon, value = lines[one].partition(b":")
        other_name, _, other_value = lines[other].partition(b":")
        lines[one], lines[other] = name + colon + other_value, other_name + colon + value
        return b"\r\n".join(lines) + rest

    def _rename(self, data: bytes) -> bytes:
        """Give a header another's name."""
        lines, rest = self._lines(data)
        at = self._random.randrange(len(lines))
        name = self._random.choice(lines).partition(b":")[0]
        lines[at] = name + b":" + lines[at].partition(b":")[2]
        return b"\r\n".join(lines) + rest

    def _truncate(self, data: bytes) -> bytes:
        return data[: self._place(data)]

    def _splice(self, data: bytes) -> bytes:
        """Begin as one message, and go on as another."""
        other = self._random.choice(self._messages)
        return data[: self._place(data)] + other[self._place(other) :]
