"""A binding: one contact of an address-of-record, and how it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipproxy.sip.headers import NameAddr
from sipproxy.sip.uri import equivalent

if TYPE_CHECKING:
    from sipproxy.registrar.gruu import Instance
    from sipproxy.transaction.parties import Flow


# What made a binding what it is (RFC 3680 §4.7.1).
REGISTERED, CREATED, REFRESHED, SHORTENED = b"registered", b"created", b"refreshed", b"shortened"


class Life:
    """How long a contact has been bound: bindings that refresh one another share it.

    ``uri`` is the contact as it was first written, ``since`` when that was, in seconds.
    """

    __slots__ = ("since", "uri")

    def __init__(self, uri: bytes, since: float = 0.0) -> None:
        self.uri = uri
        self.since = since


class Binding:
    """A contact address with what its REGISTER said (RFC 3261 §10.3 step 7).

    ``expires_at`` is on the clock that the location table is given, in seconds. ``flow`` is how the
    client came, where requests have to go that way. ``instance`` is the device, where it said which
    one it is. The flow is dead once it was silent for ``silence`` seconds (0: it may be silent for
    ever). ``event`` is what made it: `REGISTERED`, `CREATED`, `REFRESHED` or `SHORTENED`. Never
    changed once made: an update is another binding in its place, with the same ``life``.
    """

    __slots__ = (
        "call_id",
        "contact",
        "cseq",
        "event",
        "expires_at",
        "flow",
        "instance",
        "life",
        "params",
        "path",
        "q",
        "silence",
    )

    def __init__(
        self,
        contact: NameAddr,
        params: bytes,
        q: float,
        expires_at: float,
        call_id: bytes,
        cseq: int,
        path: tuple[bytes, ...],
        flow: Flow | None,
        instance: Instance | None = None,
        silence: float = 0,
        life: Life | None = None,
        event: bytes = REGISTERED,
    ) -> None:
        self.contact = contact
        self.params = params
        self.q = q
        self.expires_at = expires_at
        self.call_id = call_id
        self.cseq = cseq
        self.path = path
        self.flow = flow
        self.instance = instance
        self.silence = silence
        self.life = life or Life(contact.raw_uri)
        self.event = event

    @property
    def is_reachable(self) -> bool:
        """Whether the flow, if it has one, still stands."""
        return self.flow is None or self.flow.is_open

    @property
    def ends_at(self) -> float:
        """When it ends if nothing more is heard: by its expiry, or the silence of its flow."""
        if not self.silence or self.flow is None:
            return self.expires_at
        return min(self.expires_at, self.flow.heard_at + self.silence)

    @property
    def watched(self) -> Flow | None:
        """The flow whose end, or silence, would be its end."""
        return self.flow if self.flow and (self.flow.reliable or self.silence) else None

    @property
    def is_flow(self) -> bool:
        """Whether it registers one of several flows of its instance (RFC 5626 §4.2)."""
        return self.instance is not None and self.instance.reg_id > 0

    def of(self, instance: Instance) -> Binding:
        """Return this binding with other facts of its instance."""
        return self._but(self.expires_at, instance, self.event)

    def shortened(self, expires_at: float) -> Binding:
        """Return this binding with another end, which is not its client's wish (RFC 3680 §3.1)."""
        return self._but(expires_at, self.instance, SHORTENED)

    def _but(self, expires_at: float, instance: Instance | None, event: bytes) -> Binding:
        facts = (self.contact, self.params, self.q, expires_at, self.call_id, self.cseq)
        route = (self.path, self.flow, instance, self.silence)
        return Binding(*facts, *route, self.life, event)

    def same_contact(self, contact: NameAddr) -> bool:
        """Tell whether this is the binding of a contact (RFC 3261 §19.1.4)."""
        return self.contact.raw_uri == contact.raw_uri or equivalent(self.contact.uri, contact.uri)

    def is_written_as(self, contact: NameAddr) -> bool:
        """Tell whether its contact has the octets of another."""
        own = self.contact
        return (
            own.raw_uri == contact.raw_uri
            and own.raw_params == contact.raw_params
            and own.display == contact.display
        )

    @property
    def written(self) -> tuple[NameAddr, bytes, float]:
        """The contact, and what it says."""
        return self.contact, self.params, self.q

    def contact_value(self, now: float) -> bytes:
        """Return the Contact value of a 200: as registered, with the time that is left."""
        left = max(0, round(self.expires_at - now))
        display = self.contact.display + b" " if self.contact.display else b""
        return b"%s<%s>%s;expires=%d" % (display, self.contact.raw_uri, self.params, left)

    def describe(self, now: float) -> dict[str, Any]:
        """Return what an operator is shown."""
        return {
            "contact": self.contact.raw_uri.decode("utf-8", "replace"),
            "expires": max(0, round(self.expires_at - now)),
            "q": self.q,
            "path": [value.decode("utf-8", "replace") for value in self.path],
            "instance": self.instance and self.instance.urn.decode("utf-8", "replace"),
            "reg_id": self.instance and self.instance.reg_id or None,
            "flow": None
            if self.flow is None
            else f"{self.flow.via_transport.decode()} {self.flow.host.decode()}:{self.flow.port}",
        }
