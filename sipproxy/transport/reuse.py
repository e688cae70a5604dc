"""Which connection leads where, and to whom: the alias table of RFC 5923."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipproxy.transport.certificates import matches

if TYPE_CHECKING:
    from sipproxy.transport.stream import StreamFlow

_Peer = tuple[bytes, bytes, int]


class AliasTable:
    """Connections by the transport, address and port of their peer (RFC 5923 §5).

    With TLS, one is good only for the domains in its peer's certificate (§8.1, §8.2).
    """

    def __init__(self) -> None:
        self._rows: dict[_Peer, list[StreamFlow]] = {}
        self._aliases: dict[StreamFlow, _Peer] = {}

    def add(self, flow: StreamFlow) -> None:
        """Enter a connection under the port that it comes from or goes to."""
        self._enter((flow.via_transport, flow.host, flow.port), flow)

    def alias(self, flow: StreamFlow, port: int) -> None:
        """Enter a connection under the port that its peer listens on, the last that it named."""
        self._remove(self._aliases.pop(flow, None), flow)
        peer = flow.via_transport, flow.host, port
        self._aliases[flow] = peer
        self._enter(peer, flow)

    def remove(self, flow: StreamFlow) -> None:
        """Forget a connection."""
        self._remove((flow.via_transport, flow.host, flow.port), flow)
        self._remove(self._aliases.pop(flow, None), flow)

    def find(
        self, transport: bytes, host: bytes, port: int, wanted: tuple[bytes, ...]
    ) -> StreamFlow | None:
        """Return a connection to an address that may be used for one of these domains."""
        for flow in self._rows.get((transport, host, port), ()):
            if flow.is_writable and (not wanted or matches(flow.proven_domains, wanted)):
                return flow
        return None

    def _enter(self, peer: _Peer, flow: StreamFlow) -> None:
        row = self._rows.setdefault(peer, [])
        if flow not in row:
            row.append(flow)

    def _remove(self, peer: _Peer | None, flow: StreamFlow) -> None:
        if peer is None:
            return
        row = self._rows.get(peer, [])
        if flow in row:
            row.remove(flow)
        if not row:
            self._rows.pop(peer, None)
