"""Record-Route tokens: what they say of the sides of a dialog, and whom they let pass (§16.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipproxy.sip.headers import NameAddr
from sipproxy.sip.message import Request
from sipproxy.sip.uri import address_of_record

if TYPE_CHECKING:
    from sipproxy.interfaces import Sender
    from sipproxy.proxy.core import Core
    from sipproxy.transaction.parties import Flow
    from sipproxy.transport.network import AnyFlow
    from sipproxy.transport.tokens import FlowTokens

_BY_FLOW, _PROVEN = 1, 2
_IN_DIALOG = frozenset((b"ACK", b"BYE", b"INFO", b"NOTIFY", b"PRACK", b"UPDATE"))


class Side:
    """One side of a dialog: the flow to it, by name.

    ``is_by_flow``: it can be reached by that flow alone. ``is_proven``: the flow is that of a user
    who was authenticated, or whose binding it is, and who is the party that From or To names.
    """

    __slots__ = ("is_by_flow", "is_proven", "name")

    def __init__(self, name: bytes, is_by_flow: bool, is_proven: bool) -> None:
        self.name = name
        self.is_by_flow = is_by_flow
        self.is_proven = is_proven

    def encode(self) -> bytes:
        """Return what a token holds of this side."""
        return bytes((self.is_by_flow * _BY_FLOW | self.is_proven * _PROVEN,)) + self.name


def decode_side(text: bytes) -> Side:
    """Undo `Side.encode`."""
    return Side(text[1:], bool(text[0] & _BY_FLOW), bool(text[0] & _PROVEN))


class Passage:
    """What a token of ours says of the request that carries it: its own side and the other."""

    __slots__ = ("other", "own")

    def __init__(self, own: Side, other: Side) -> None:
        self.own = own
        self.other = other

    def proves(self, arrived: bytes, is_reliable: bool, method: bytes) -> bool:
        """Tell whether a request that came by the flow ``arrived`` is its side's beyond doubt.

        A datagram's source can be forged by whoever has seen the token: good enough for what means
        nothing outside of its dialog, but not for what people read, or what rings.
        """
        own = self.own
        is_enough = is_reliable or method in _IN_DIALOG
        return own.is_proven and own.name == arrived and is_enough


def read_token(token: bytes, request: Request, tokens: FlowTokens) -> Passage | None:
    """Return what a token says, or None if it is not ours or not of the dialog of this request.

    A request in a dialog has a To tag; its From or its To is the party that began the dialog.
    """
    if request.to.tag is None:
        return None
    ends = (request.from_, request.to)
    for caller, callee in (ends, ends[::-1]):
        sides = tokens.read(token, dialog_name(request.call_id, caller, callee))
        if sides is not None:
            upstream, downstream = map(decode_side, sides)
            if caller is request.from_:
                return Passage(upstream, downstream)
            return Passage(downstream, upstream)
    return None


def dialog_name(call_id: bytes, caller: NameAddr, callee: NameAddr) -> bytes:
    """Return what names a dialog from its first request on, each part with its length.

    The callee's tag is not among it: nobody knows it yet.
    """
    parties = address_of_record(caller.uri), address_of_record(callee.uri)
    parts = (call_id, caller.tag or b"", *parties)
    return b"".join(b"%d:%s" % (len(part), part) for part in parts)


class RecordRoute:
    """Makes the Record-Route value of a dialog-forming request, for each branch its own.

    ``by_token``: a token says where the request goes, so that its URIs prove nothing. Raises
    `SipError` 400 where From, To or Via cannot be read.
    """

    __slots__ = ("_callee_is_target", "_core", "_dialog", "_near", "_up")

    def __init__(
        self, core: Core, request: Request, sender: Sender, near: Flow, by_token: bool = False
    ) -> None:
        self._core = core
        self._near = near
        self._dialog = dialog_name(request.call_id, request.from_, request.to)
        via = request.via
        by_flow = len(request.values(b"via")) == 1 and (near.reliable or b"rport" in via.params)
        flow = near if near.reliable or by_flow else near.reply_path(via)
        self._up = Side(core.network.name(flow), by_flow, sender.is_user)  # type: ignore[arg-type]
        self._callee_is_target = (
            sender.peer_is_proven if by_token else self._is_callee_target(request)
        )

    def _is_callee_target(self, request: Request) -> bool:
        """Tell whether a target that the location table gave is that of the party in To."""
        identity = self._core.identity
        if identity.domain_of(request.uri) is None:
            return False
        return identity.canonical(request.uri) == identity.canonical(request.to.uri)

    def values(self, flow: AnyFlow, is_users: bool, is_sips: bool) -> list[bytes]:
        """Return the values for a branch by ``flow``, which is a user's own or just the way.

        They are sips where the request goes to such a URI (§16.6 step 4): it came by TLS, too.

        Each is to be pushed before the last. There are two where the sides differ in transport or
        address of ours: each then sees the one that leads from it to us (RFC 5658 §4).
        """
        core = self._core
        down = Side(core.network.name(flow), is_users, is_users and self._callee_is_target)
        token = core.tokens.make(self._up.encode(), down.encode(), self._dialog)
        values = [_route(token, side, is_sips) for side in (self._near, flow)]
        return values if values[0] != values[1] else values[:1]


def _route(token: bytes, flow: Flow, is_sips: bool) -> bytes:
    our, transport = flow.sent_by, flow.via_transport.lower()
    if is_sips:
        return b"<sips:%s@%s:%d;lr>" % (token, our.host, our.port)
    named = b"" if transport == b"udp" else b";transport=" + transport
    return b"<sip:%s@%s:%d%s;lr>" % (token, our.host, our.port, named)
