"""Servers to which a torture message's Request-URI is near or far, and what they make of it."""

from __future__ import annotations

import re

from sipproxy.proxy.routers import parse_uri
from sipproxy.registrar.binding import Binding
from sipproxy.sip.headers import parse_name_addr
from sipproxy.sip.message import Request
from sipproxy.sip.parser import BadMessage, parse_datagram
from sipproxy.sip.uri import Uri
from sipproxy.testing import FakeClient, FakeServer
from tests.torture.table import DROP, FORWARD

CONFIG = """
domains = [{domains}]
[auth]
required = {required}
[federation]
inbound = "open"
[transactions]
linger = 1
[[listen]]
transport = "udp"
address = "127.0.0.1"
[[listen]]
transport = "tcp"
address = "127.0.0.1"
"""
# Addresses that are Request-URIs of RFC 5118; a server without sockets may claim to have them.
_LISTEN = """
[[listen]]
transport = "udp"
address = "{}"
port = {}
"""
_OWN = (("2001:db8::10", 5060), ("2001:db8::10", 5070), ("2001:db8::192.0.2.1", 5060))
# `port-ambiguous` means another host, which has to stay foreign.
_DOMAINS = ["example.com", "example.net", "example.org", "company.com"]
_DOMAINS += [f"{name}.example.com" for name in ("chair-dnrc", "east", "registrar")]
_DOMAINS += ["host.example.net"]
SOURCE = "192.0.2.66"
PHONE = "192.0.2.200"
# All that holds an INVITE's transactions: Timer B, then Timer H and Timer I (RFC 3261 §17).
FOREVER = 72.0
# All that holds any other's: Timer J and an answer that does not come (patience, Timer K).
LINGER = 12.0


class World:
    """A server, somebody who sends to it, and all who may be sent to."""

    def __init__(
        self,
        directory: str,
        domains: list[str],
        required: bool = False,
        accounts: dict[str, str] | None = None,
        more: str = "",
    ) -> None:
        names = ", ".join(f'"{name}"' for name in domains)
        text = CONFIG.format(domains=names, required=str(required).lower())
        if domains == _DOMAINS:
            text += "".join(_LISTEN.format(*one) for one in _OWN)
        self.server = FakeServer(directory, text + more, accounts)
        self.sender = self.server.client(SOURCE)
        self.phones: list[FakeClient] = [self.server.client(PHONE)]

    def furnish(self, message: bytes) -> None:
        """Put whoever a request is for where it can be found."""
        uri = target_of(message)
        if uri is None:
            return
        identity = self.server.node.identity
        if identity.domain_of(uri) is not None:
            register(self.server, identity.canonical(uri), b"<sip:phone@%s>" % PHONE.encode())
        elif uri.is_sip:
            self.phones.append(self.server.client(uri.address, uri.effective_port))
        # The next hops of mpart01 and wsinv.
        self.phones.append(self.server.client("127.0.0.1", 5080))
        self.phones.append(self.server.client("services.example.com"))

    @property
    def forwarded(self) -> list[bytes]:
        """What was sent to anybody else."""
        return [data for phone in self.phones for data in phone.flow.sent]

    def outcome(self) -> str:
        """Return what became of a message, in the table's words."""
        words = [data[8:11].decode() for data in self.sender.flow.sent]
        words += [FORWARD] * len(self.forwarded)
        return " ".join(words) or DROP

    def state(self) -> list[tuple[bytes, bytes]]:
        """Return every binding."""
        location = self.server.node.location
        return sorted(
            (aor, binding.contact.raw_uri)
            for aor in location.aors()
            for binding in location.bindings(aor)
        )


def ours(directory: str, message: bytes, required: bool = False, more: str = "") -> World:
    """Return a world where every Request-URI is ours."""
    world = World(directory, _DOMAINS, required, more=more)
    world.furnish(message)
    return world


def foreign(directory: str, message: bytes) -> World:
    """Return a world where nothing in a message is ours."""
    world = World(directory, ["ours.test"])
    world.furnish(message)
    return world


def outbound(directory: str, message: bytes) -> World:
    """Return a world where the sender of a message is ours, and its Request-URI is not."""
    sender = re.search(rb"\r\n(?:From|f) *:[^\r\n]*@([a-z.]+)", message)
    world = World(directory, [sender.group(1).decode() if sender else "ours.test"])
    world.furnish(message)
    return world


def target_of(message: bytes) -> Uri | None:
    """Return the Request-URI of a request that can be read."""
    try:
        parsed = parse_datagram(message)
    except BadMessage:
        return None
    return parse_uri(parsed.raw_uri) if isinstance(parsed, Request) else None


def register(server: FakeServer, aor: bytes, contact: bytes) -> None:
    """Bind a contact that is not reached by a flow, for ever."""
    binding = Binding(parse_name_addr(contact), b"", 1.0, 1e9, b"bound", 1, (), None)
    server.node.location.commit(aor, [binding])
