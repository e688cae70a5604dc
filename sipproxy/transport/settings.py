"""The configuration of listeners and of the limits on what peers may use."""

from __future__ import annotations

from typing import Literal

import msgspec

_UNNAMED = -(1 << 31)  # no port that anybody would write


class Listen(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One ``[[listen]]`` entry; the files are of TLS, PEM, relative to the configuration."""

    transport: Literal["udp", "tcp", "tls"]  # what it speaks
    address: str  # IPv4 or IPv6
    port: int = _UNNAMED  # 5060, and with tls 5061, where there is none
    advertise: str = ""  # host[:port] that peers reach it by; needed where address is a wildcard
    certificate: str = ""  # and the authorities below the topmost, after it
    private_key: str = ""  # not encrypted

    def __post_init__(self) -> None:
        if self.port == _UNNAMED:  # RFC 3261 §19.1.2
            port = 5061 if self.transport == "tls" else 5060
            msgspec.structs.force_setattr(self, "port", port)


class Tls(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[tls]`` table: whom we trust, and who we are where we connect."""

    ca: str = ""  # a PEM bundle; default: the system's
    # Whether whoever connects is to show a certificate.
    verify_clients: Literal["none", "request", "require"] = "none"
    client_certificate: str = ""  # default: that of the first listener with TLS
    client_private_key: str = ""  # of it
    strict_purposes: bool = False  # True: a certificate for servers alone is none of a client


class Limits(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[limits]`` table: sizes in bytes, times in seconds."""

    head: int = 32768  # on streams; beyond: 513 (a datagram may fill what UDP allows, §18.1.1)
    body: int = 1048576  # on streams; beyond: 413
    write_queue: int = 1048576  # a peer that lets more wait loses its connection
    write_stall: float = 30.0  # so does one that reads nothing for this long
    idle: float = 600.0  # a connection without bindings or dialogs that is silent this long
    partial: float = 30.0  # a message on a stream that is not whole by then
    connections: int = 20000  # of streams, all together
    connections_per_address: int = 10000  # beyond: closed
    transactions: int = 250000  # of server transactions; beyond: 503
    connect: float = 2.0  # an attempt by TCP
    handshake: float = 10.0  # of TLS, from the moment that TCP stands
    source_rate: int = 1000  # new requests a second from one address; 0: any number
    connection_rate: int = 200  # the same on one connection
    unlimited: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # rates do not hold for these
    refusals: int = 10  # 503s a second to who is beyond a rate; after them, silence
    sources: int = 50000  # addresses and connections that are counted at a time
    lateness: float = 0.25  # a timer that fires so many seconds late is a sign of overload; 0: none
    queue: float = 0.75  # so is a UDP receive queue that is so full, of 1; 0: none
    datagram: int = 1300  # larger requests go by TCP (RFC 3261 §18.1.1)
    tape: int = 4194304  # bytes of the last messages that `sipctl trace` shows; 0: none
    avoid: float = 30.0  # a next hop that failed is tried last this long
    retry_after: float = 300.0  # or as long as its 503 asks for, up to this


class Hep(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[hep]`` table: a Homer collector that is sent every message (HEPv3, by UDP)."""

    collector: str = ""  # address[:port], 9060 where there is none; empty: nobody
    agent: int = 2001  # the number that the collector knows us by


class Dns(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[dns]`` table: times in seconds."""

    servers: tuple[str, ...] = ()  # address[:port]; none: those of /etc/resolv.conf
    private: bool = False  # whether the DNS may give private addresses to foreign names
    patience: float = 10.0  # for all that one request asks
    timeouts: tuple[float, ...] = (1.0, 2.0, 3.0)  # for each server, round by round
    hops: int = 8  # of one request
    queries: int = 256  # under way at once; beyond: no way
    cache: int = 4096  # answers that are kept
    max_ttl: float = 86400.0  # and for how long at most
    max_negative_ttl: float = 300.0  # that there is nothing (RFC 2308)
    failure_ttl: float = 5.0  # that no server has answered
