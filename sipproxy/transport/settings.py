"""The configuration of listeners and of the limits on what peers may use."""

from __future__ import annotations

from typing import Literal

import msgspec


class Listen(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One ``[[listen]]`` entry."""

    transport: Literal["udp", "tcp"]
    address: str
    port: int = 5060
    advertise: str = ""


class Limits(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[limits]`` table: sizes in bytes, times in seconds."""

    head: int = 32768  # on streams; beyond: 513 (a datagram may fill what UDP allows, §18.1.1)
    body: int = 1048576  # on streams; beyond: 413
    write_queue: int = 1048576  # a peer that lets more wait loses its connection
    write_stall: float = 30.0  # so does one that reads nothing for this long
    idle: float = 600.0  # a connection without bindings or dialogs that is silent this long
    partial: float = 30.0  # a message on a stream that is not whole by then
    connections: int = 20000  # of streams, all together
    connections_per_address: int = 10000
    transactions: int = 250000  # of server transactions; beyond: 503
    connect: float = 2.0  # an attempt by TCP
    source_rate: int = 1000  # new requests a second from one address; 0: any number
    connection_rate: int = 200  # the same on one connection
    unlimited: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # rates do not hold for these
    refusals: int = 10  # 503s a second to who is beyond a rate; after them, silence
    sources: int = 50000  # addresses and connections that are counted at a time
    lateness: float = 0.25  # a timer that fires so many seconds late is a sign of overload; 0: none
    queue: float = 0.75  # so is a UDP receive queue that is so full, of 1; 0: none
    datagram: int = 1300  # larger requests go by TCP (RFC 3261 §18.1.1)
