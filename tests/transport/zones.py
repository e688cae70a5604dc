"""Zones as text, a DNS that answers from them when it is told to, and a real server of them.

A line is a name, a type, its values, and perhaps ``ttl=SECONDS`` (300 where nothing is said)::

    b.test            NAPTR 10 50 s SIP+D2U _sip._udp.b.test
    _sip._udp.b.test  SRV   0 1 5070 one.b.test  ttl=60
    one.b.test        A     198.51.100.7
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.names import dns
from twisted.names.authority import FileAuthority
from twisted.names.server import DNSServerFactory

TYPES = {"A": dns.A, "AAAA": dns.AAAA, "SRV": dns.SRV, "NAPTR": dns.NAPTR, "CNAME": dns.CNAME}
NAMES = {number: name for name, number in TYPES.items()}
SOA = dns.Record_SOA("ns.test", "hostmaster.test", minimum=20, expire=600, ttl=100)


def record(kind: str, values: list[str], ttl: int) -> Any:
    """Return a record of Twisted's."""
    if kind == "A":
        return dns.Record_A(values[0], ttl)
    if kind == "AAAA":
        return dns.Record_AAAA(values[0], ttl)
    if kind == "CNAME":
        return dns.Record_CNAME(values[0], ttl)
    if kind == "SRV":
        return dns.Record_SRV(*map(int, values[:3]), values[3].rstrip("."), ttl)
    order, preference, flags, service, replacement, *regexp = values
    texts = [text.encode() for text in (flags, service, "".join(regexp))]
    return dns.Record_NAPTR(int(order), int(preference), *texts, replacement, ttl)


def zone(text: str) -> dict[str, list[Any]]:
    """Return the records of a zone by name."""
    found: dict[str, list[Any]] = {}
    for name, kind, *values in filter(None, map(str.split, text.splitlines())):
        ttl = 300
        if values[-1].startswith("ttl="):
            ttl = int(values.pop()[4:])
        found.setdefault(name, []).append(record(kind, values, ttl))
    return found


class FakeDns:
    """Answers from a zone, and notes what it is asked.

    ``waits`` has it answer when `answer` says so; ``code`` is that of a server's failure.
    """

    def __init__(self, text: str = "") -> None:
        self.zone = zone(text)
        self.asked: list[str] = []
        self.waits = False
        self.fault: Exception | None = None
        self.soa: dns.Record_SOA | None = SOA
        self._waiting: list[tuple[Deferred[dns.Message], dns.Message]] = []

    def __call__(self, name: str, kind: int) -> Deferred[dns.Message]:
        """Look a name up."""
        self.asked.append(f"{name} {NAMES[kind]}")
        found: Deferred[dns.Message] = Deferred()
        if self.fault is not None:
            found.errback(self.fault)
        elif self.waits:
            self._waiting.append((found, self.message(name, kind)))
        else:
            return succeed(self.message(name, kind))
        return found

    def answer(self) -> None:
        """Answer what waits."""
        waiting, self._waiting = self._waiting, []
        for found, message in waiting:
            if not found.called:
                found.callback(message)

    def message(self, name: str, kind: int) -> dns.Message:
        """Return the answer of a server."""
        records = self.zone.get(name, [])
        message = dns.Message(answer=1, rCode=dns.OK if records else dns.ENAME)
        chosen = [one for one in records if one.TYPE in (kind, dns.CNAME)]
        message.answers = [dns.RRHeader(name, one.TYPE, dns.IN, one.ttl, one) for one in chosen]
        if not chosen and self.soa is not None:
            message.authority = [dns.RRHeader("test", dns.SOA, dns.IN, self.soa.ttl, self.soa)]
        return message


class Authority(FileAuthority):
    """A zone as Twisted's server answers for it."""

    def loadFile(self, filename: str) -> None:
        """Take the text of a zone in the place of a file."""
        self.soa = (b"test", SOA)
        self.records = {name.encode(): found for name, found in zone(filename).items()}


class Server(DNSServerFactory):
    """A DNS server that counts its answers, and cuts off what does not fit into 512 octets."""

    noisy = False

    def __init__(self, text: str) -> None:
        DNSServerFactory.__init__(self, authorities=[Authority(text)])
        self.replies = {"udp": 0, "tcp": 0}
        self.code: int | None = None

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        """Send an answer."""
        self.replies["tcp" if address is None else "udp"] += 1
        message.maxSize = 0 if address is None else 512
        if self.code is not None:
            message.rCode, message.answers = self.code, []
        DNSServerFactory.sendReply(self, protocol, message, address)
