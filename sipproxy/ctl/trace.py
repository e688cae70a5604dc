"""Traces: which of the messages on the tape are wanted, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sipproxy.ctl import pcapng
from sipproxy.sip.grammar import unescape

if TYPE_CHECKING:
    from sipproxy.transport.tape import Record

MOST = 500  # messages in one answer
_call_id = re.compile(rb"^(?:Call-ID|i)[ \t]*:\s*(\S+)", re.I | re.M).search
_parties = re.compile(rb"^(?:From|To|f|t|P-Asserted-Identity)[ \t]*:([^\r\n]*)", re.I | re.M)
_uris = re.compile(rb"(?:sips?|im|pres):([^@\s;>]+)@([^\s;>:?]+)", re.I).findall
Wanted = Callable[["Record"], bool]


def wanted(user: str | None, call_id: str | None, peer: str | None) -> Wanted:
    """Return what tells whether a message is wanted; a user is ``user`` or ``user@domain``."""
    tests: list[Wanted] = []
    if user is not None:
        tests.append(_names(user.encode()))
    if call_id is not None:
        tests.append(lambda record: _call_of(record.data) == call_id.encode())
    if peer is not None:
        host, _, port = peer.rpartition(":") if peer.count(":") == 1 else (peer, "", "")
        tests.append(_is_peer(host.strip("[]").encode(), port))
    return lambda record: all(test(record) for test in tests)


def _call_of(data: bytes) -> bytes | None:
    found = _call_id(data)
    return found and found.group(1)


def _names(user: bytes) -> Wanted:
    name, _, domain = user.removeprefix(b"sip:").partition(b"@")

    def test(record: Record) -> bool:
        head = record.data.partition(b"\r\n\r\n")[0]
        start = head.partition(b"\r\n")[0]
        for text in (start, *_parties.findall(head)):
            for known, host in _uris(text):
                if unescape(known) == name and domain.lower() in (b"", host.lower()):
                    return True
        return False

    return test


def _is_peer(host: bytes, port: str) -> Wanted:
    def test(record: Record) -> bool:
        flow = record.flow
        return flow.host == host and port in ("", str(flow.port))

    return test


def describe(record: Record) -> dict[str, Any]:
    """Return a message as the control socket carries it; octets are written as Latin 1."""
    flow = record.flow
    our = flow.sent_by
    return {
        "number": record.number,
        "time": record.time,
        "is_sent": record.is_sent,
        "transport": flow.via_transport.decode(),
        "local": [our.host.decode().strip("[]"), our.port],
        "peer": [flow.host.decode(), flow.port],
        "data": record.data.decode("latin-1"),
    }


def shown(row: dict[str, Any]) -> str:
    """Return a message as text: a line that says when and where, then the message."""
    when = datetime.fromtimestamp(row["time"]).isoformat(" ", "milliseconds")
    arrow = "->" if row["is_sent"] else "<-"
    data = row["data"].encode("latin-1").decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in _lines(data))
    return f"--- {when} {row['transport']} {arrow} {_place(row['peer'])}\n{text.rstrip()}\n"


def _lines(data: str) -> str:
    return data.replace("\r\n", "\n").replace("\t", "    ")


def _place(place: list[Any]) -> str:
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def captured(row: dict[str, Any]) -> bytes:
    """Return a message as a packet of a capture file."""
    local, peer = _numeric(row["local"]), _numeric(row["peer"])
    source, destination = (local, peer) if row["is_sent"] else (peer, local)
    data = row["data"].encode("latin-1")
    return pcapng.packet(row["time"], source, destination, data, f"carried by {row['transport']}")


def _numeric(place: list[Any]) -> pcapng.Place:
    """Return a place by its address; one that we know a name of alone is 0.0.0.0."""
    host, port = str(place[0]).partition("%")[0], int(place[1])
    is_address = ":" in host or host.replace(".", "").isdigit()
    return (host if is_address else "0.0.0.0"), port
