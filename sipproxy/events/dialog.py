"""Our side of a dialog that a SUBSCRIBE made (RFC 3261 §12)."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, NamedTuple

from sipproxy.events.asked import named
from sipproxy.proxy.secure import is_secure, is_sips
from sipproxy.registrar.outbound import is_by_flow
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import malformed
from sipproxy.sip.headers import Event, NameAddr, parse_name_addr
from sipproxy.sip.message import Request, Response
from sipproxy.sip.uri import Uri, parse_uri, request_form
from sipproxy.transport.hops import is_outside

if TYPE_CHECKING:
    from sipproxy.events.way import Way
    from sipproxy.transaction.parties import Flow
    from sipproxy.transport.identity import Identity

MARK = b"s-"  # begins the user part of our Contact
TAG = 13  # random bytes of our tag, which is in hexadecimal digits
_NAME = 15  # digits of it that name the subscription, and may be known to others; the rest are not
_LONGEST = 2048  # bytes of a Contact
_FIELDS = [b"From", b"To", b"Call-ID", b"Contact", b"Event"]  # those of our lines


class Turn(NamedTuple):
    """What a target refresh request changes of a dialog; ``target`` is empty for nothing more."""

    remote_cseq: int
    target: bytes = b""
    flow: Flow | None = None


class Dialog:
    """What both sides know of each other, as the UAS has it (§12.1.1).

    ``tag`` is ours. ``flow`` is how the subscriber came, where requests have to go that way; else
    they go to ``target`` past ``routes``; the ``lines`` that each has are in three parts, of which
    the first is much the same for all who watch one, and the last for all. ``way`` is how they
    went last, where that had to be found. ``is_proven``: a request of ours was answered there.
    ``is_outside``: the subscriber came from a public address. Raises `SipError` 400 for a request
    that makes no dialog.

    There may be very many, so what the lines say is not kept a second time.
    """

    __slots__ = (
        *("closing", "cseq", "flow", "is_lost", "is_outside", "is_proven", "opening", "own"),
        *("remote_cseq", "routes", "target", "way"),
    )
    holds = "dialogs"  # of the flow that it watches

    def __init__(
        self, request: Request, event: Event, flow: Flow, tag: bytes, identity: Identity
    ) -> None:
        contact = _contact(request)
        if contact is None:
            raise malformed("Contact")
        self.remote_cseq = request.cseq.number
        self.cseq = 0
        self.routes = tuple(_routes(request))
        nearest = parse_name_addr(self.routes[0]) if self.routes else contact
        our = local_target(request, nearest.raw_uri, flow, tag)
        before, _, after = our.partition(tag)
        peer = request.value(b"from") or b""
        self.opening = b"From: %b;tag=" % (request.value(b"to") or b"")
        self.own = b"%b\r\nTo: %b\r\nCall-ID: %b\r\nContact: %b%b" % (
            *(tag, peer, request.call_id, before, tag),
        )
        self.closing = _shared(b"%b\r\nEvent: %b\r\n" % (after, named(event)))
        self.flow: Flow | None = None
        self.is_lost = False  # its flow has closed, and there is no other way
        self.is_outside = is_outside(flow.host)
        self.is_proven = False
        self.way: Way | None = None
        self.target = b""
        self._turn(self._turned(request, contact.uri, flow, identity))

    def open(self) -> None:
        """Begin to rely on the flow: a connection with a dialog is not idle."""
        if self.flow is not None and self.flow.reliable:
            self.flow.watch(self.flow_closed)

    def matches(self, request: Request) -> bool:
        """Tell whether a request with our tag is of this dialog (§12.2.2)."""
        known = dict(self.fields)
        remote_tag = parse_name_addr(known[b"To"]).tag
        return request.call_id == known[b"Call-ID"] and request.from_.tag == remote_tag

    def is_about(self, event: Event) -> bool:
        """Tell whether an Event means the subscription of this dialog (RFC 6665 §8.2.1)."""
        return named(event) == dict(self.fields)[b"Event"]

    def turned(self, request: Request, flow: Flow, identity: Identity) -> Turn:
        """Return the remote target and the flow of a target refresh request (§12.2.2).

        Raises `SipError` 400.
        """
        contact = _contact(request)
        if contact is None:
            return Turn(request.cseq.number)
        return self._turned(request, contact.uri, flow, identity)

    def take(self, turn: Turn) -> None:
        """Follow a target refresh request."""
        self.remote_cseq = turn.remote_cseq
        if turn.target:
            self.close()
            self._turn(turn)
            self.open()

    def after(self, turn: Turn) -> Dialog:
        """Return what this would be; it relies on no flow."""
        twin = copy.copy(self)
        twin.remote_cseq = turn.remote_cseq
        if turn.target:
            twin._turn(turn)
        return twin

    def retarget(self, response: Response) -> bool:
        """Take the remote target of a 2xx, where it has one that can be read (§12.2.1.2).

        Tells whether it is another.
        """
        try:
            contact = _contact(response)
            if contact is None or request_form(contact.uri) == self.target:
                return False
        except SipError:
            return False
        self.target = request_form(contact.uri)
        self.way = None
        if is_sips(self.target) and not is_secure(self.flow):
            self.close()
            self.flow = None  # the target may be reached by TLS, and by nothing less
        self.is_proven = self.is_proven and self.flow is not None
        return True

    def by_connection(self) -> bool:
        """Have the last request go by TCP, and by nothing else; False where routes say how."""
        if self.routes:
            return False
        self.flow = self.way = None
        uri = parse_uri(self.target)
        if not is_sips(self.target) and b"transport" not in uri.params:
            self.target += b";transport=tcp"
        return is_sips(self.target) or parse_uri(self.target).params[b"transport"] != b"udp"

    def _turned(self, request: Request, target: Uri, flow: Flow, identity: Identity) -> Turn:
        form = request_form(target)
        by_flow = not self.routes and is_by_flow(request, target, flow, identity)
        if is_sips(form) and not is_secure(flow):
            by_flow = False
        return Turn(request.cseq.number, form, flow if by_flow else None)

    def _turn(self, turn: Turn) -> None:
        before = _place(self.flow), self.target
        self.flow, self.target = turn.flow, turn.target
        self.is_proven = self.is_proven and before == (_place(self.flow), self.target)
        self.way = None
        self.is_lost = False

    def close(self) -> None:
        """Rely on the flow no longer."""
        if self.flow is not None and self.flow.reliable:
            self.flow.unwatch(self.flow_closed)

    def flow_closed(self) -> None:
        """The connection has ended: is the subscriber anywhere else?

        A Contact at the address that the connection came from can be connected to, or a name be
        looked up; any other address is one behind a NAT, and another's here.
        """
        if self.flow is not None:
            self.lose(self.flow.host)

    def lose(self, address: bytes) -> None:
        """The flow to an address has ended, or did with the process before."""
        self.flow = self.way = None
        host = parse_uri(self.target).host.strip(b"[]")
        is_address = b":" in host or host.replace(b".", b"").isdigit()
        self.is_lost = is_address and host != address

    @property
    def name(self) -> int:
        """What names the subscription, none of which shares a dialog."""
        name = name_in(self.tag)
        assert name is not None
        return name

    @property
    def next_hop(self) -> Uri:
        """The URI that our requests go to where they do not go by the flow (§12.2.1.1)."""
        return parse_name_addr(self.routes[0]).uri if self.routes else parse_uri(self.target)

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        lines = len(self.opening) + len(self.own) + len(self.closing)
        return lines + len(self.target) + sum(map(len, self.routes))

    @property
    def contact(self) -> bytes:
        """Our Contact, the same in all requests and responses."""
        return self.own.rpartition(b"Contact: ")[2] + self.closing.partition(b"\r\n")[0]

    @property
    def tag(self) -> bytes:
        """Our tag."""
        return self.own.partition(b"\r\n")[0]

    @property
    def lines(self) -> bytes:
        """What each of our requests has, from From to Event."""
        return self.opening + self.own + self.closing

    def write(self, tag: bytes, lines: bytes) -> None:
        """Take our tag and the lines of before a restart; raises ValueError for what is none."""
        first, last = lines.index(tag), lines.rindex(tag) + len(tag)
        self.opening, self.own = lines[:first], lines[first:last]
        self.closing = _shared(lines[last:])
        if self.tag != tag or [name for name, _ in self.fields] != _FIELDS:
            raise ValueError("a dialog that is none")

    def share(self, opening: bytes) -> bytes:
        """Have what it begins with no second time, if it is that; return what there is to share."""
        if self.opening == opening:
            self.opening = opening
        return opening or self.opening

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The header fields of ``lines``."""
        pairs = (line.partition(b": ") for line in self.lines.split(b"\r\n")[:-1])
        return [(name, value) for name, _, value in pairs]


@functools.lru_cache(256)
def _shared(text: bytes) -> bytes:
    """Return the same octets for the same text, where it is a usual one."""
    return text


def name_in(tag: bytes) -> int | None:
    """Return what a tag of ours names the subscription of its dialog by; None where it is not ours.

    A number of 60 bits takes half the room of octets.
    """
    try:
        return int(tag[:_NAME], 16)
    except ValueError:
        return None


def name_text(name: int) -> bytes:
    """Return the name of a subscription as others are told it."""
    return b"%015x" % name  # `_NAME` digits


def local_target(request: Request, nearest: bytes, flow: Flow, tag: bytes) -> bytes:
    """Return the Contact that leads to us: a GRUU of our own making (RFC 6665 §4.5.1, 5627 §4.3).

    ``nearest`` is the first Record-Route, or the Contact of the request where there is none.
    It is sips where RFC 3261 §12.1.1 asks for it; 400 where nothing that came by TLS does.
    """
    our, transport = flow.sent_by, flow.via_transport.lower()
    if is_sips(request.raw_uri) or is_sips(nearest):
        if not is_secure(flow):
            raise SipError(400, "SIPS Needs TLS")
        return b"<sips:%b%b@%b:%d;gr>" % (MARK, tag, our.host, our.port)
    way = b"" if transport == b"udp" else b";transport=" + transport
    return b"<sip:%b%b@%b:%d%b;gr>" % (MARK, tag, our.host, our.port, way)


def _place(flow: Flow | None) -> tuple[bytes, int] | None:
    return None if flow is None else (flow.host, flow.port)


def _routes(request: Request) -> list[bytes]:
    """Return the route set: Record-Route in its order (§12.1.1); raises `SipError` 400."""
    if b"record-route" not in request.names:
        return []
    routes = request.values(b"record-route")
    for value in routes:
        if not parse_name_addr(value).uri.is_sip:
            raise malformed("Record-Route")
    return routes


def _contact(message: Request | Response) -> NameAddr | None:
    """Return the one Contact that makes a remote target (§8.1.1.8); raises `SipError` 400."""
    value = message.value(b"contact")
    if value is None:
        return None
    if len(value) > _LONGEST:
        raise malformed("Contact: it is too long")
    contact = parse_name_addr(value)  # two in one line are no address
    if message.names.count(b"contact") > 1 or not contact.uri.is_sip:
        raise malformed("Contact")
    return contact
