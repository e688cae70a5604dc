"""The connections, and the flows of UDP that bindings use, as the control socket tells of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sipproxy.ctl.tables import Row, in_order, wanted_aor, wanted_word
from sipproxy.ctl.watching import shown

if TYPE_CHECKING:
    from sipproxy.node import Node
    from sipproxy.transaction.parties import Flow
    from sipproxy.transport.stream import StreamFlow

USERS = 10  # that are named of those whose bindings hold a flow


class Flows:
    """What there is between us and others.

    A key is a connection, or an address-of-record for the flows of UDP that its bindings use: of
    UDP there is nothing else to be kept open. Connections come before users.
    """

    def __init__(self, node: Node, filters: Mapping[str, Any]) -> None:
        self._node = node
        self._user = wanted_aor(filters, "user")
        self._transport = (wanted_word(filters, "transport") or "").upper()
        self._peer = wanted_word(filters, "peer")

    def keys(self) -> Iterator[Any]:
        """Yield connections, the oldest first, then users."""
        yield from self._node.network.flows
        if self._user is not None:
            yield self._user
        else:
            yield from in_order(list(self._node.location.aors()))

    def name(self, key: StreamFlow | bytes) -> str:
        """Return the user, or a name of the connection's own."""
        return shown(key) if isinstance(key, bytes) else key.name.hex()

    def rows(self, key: StreamFlow | bytes) -> Sequence[Row]:
        """Return the row of a connection, or those of a user's flows."""
        if isinstance(key, bytes):
            return self._by_udp(key) if self._user in (None, key) else ()
        if not key.is_open or not self._is_wanted(key):
            return ()
        held = _held(key)
        if self._user is not None and self._user not in held["users"]:
            return ()
        return [self._connection(key, held)]

    def _is_wanted(self, flow: Flow) -> bool:
        address, port = shown(flow.host), f"{shown(flow.host)}:{flow.port}"
        is_peer = self._peer is None or self._peer in (address, port)
        return is_peer and self._transport in ("", flow.via_transport.decode())

    def _connection(self, flow: StreamFlow, held: Mapping[str, Any]) -> Row:
        now = self._node.now()
        users = sorted(held["users"])
        return {
            **_ends(flow, flow.local),
            "since": self._date(flow.since),
            "idle": round(now - flow.heard_at),
            "users": [shown(user) for user in users[:USERS]],
            "holds": held["counts"],
            "tls": flow.version or None,
            "cipher": flow.cipher or None,
            "domains": sorted(shown(domain) for domain in flow.proven_domains),
        }

    def _by_udp(self, aor: bytes) -> list[Row]:
        """Return a row for each place that a user is reached at over UDP."""
        found: dict[Flow, list[Any]] = {}
        for binding in self._node.location.bindings(aor):
            flow = binding.flow
            if flow is not None and not flow.reliable and self._is_wanted(flow):
                found.setdefault(flow, []).append(binding)
        return [self._place(flow, bindings, aor) for flow, bindings in found.items()]

    def _place(self, flow: Any, bindings: Sequence[Any], aor: bytes) -> Row:
        idle = self._node.now() - flow.heard_at
        return {
            **_ends(flow, flow.local),
            "since": self._date(min(binding.life.since for binding in bindings)),
            "idle": None if idle == float("inf") else round(idle),
            "users": [shown(aor)],
            "holds": {"bindings": len(bindings)},
            "tls": None,
            "cipher": None,
            "domains": [],
        }

    def _date(self, moment: float) -> str:
        seconds = self._node.wall() - (self._node.now() - moment)
        return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")[:19] + "Z"


def _ends(flow: Any, local: tuple[str, int]) -> Row:
    host = f"[{local[0]}]" if ":" in local[0] else local[0]
    peer = f"[{shown(flow.host)}]" if b":" in flow.host else shown(flow.host)
    return {
        "transport": flow.via_transport.decode(),
        "peer": f"{peer}:{flow.port}",
        "local": f"{host}:{local[1]}",
    }


def _held(flow: Any) -> dict[str, Any]:
    """Return who relies on a connection: the users of bindings, and how much of what there is."""
    counts: Counter[str] = Counter()
    users = set()
    for holder in flow.holders:
        holds = getattr(holder, "holds", "transactions")
        if holds == "bindings":
            users.add(holder.aor)
            counts[holds] += sum(binding.flow is flow for binding in holder.bindings)
        else:
            counts[holds] += 1
    return {"users": users, "counts": dict(sorted(counts.items()))}
