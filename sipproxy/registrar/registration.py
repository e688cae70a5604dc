"""What one REGISTER makes of the bindings that there are (RFC 3261 §10.3 steps 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sipproxy.registrar.binding import REFRESHED, REGISTERED, Binding, Life
from sipproxy.registrar.gruu import Instance
from sipproxy.registrar.options import RegistrarOptions
from sipproxy.registrar.outbound import GRACE, effective_reg_id, is_by_flow, is_direct
from sipproxy.sip.errors import SipError
from sipproxy.sip.features import features_of
from sipproxy.sip.grammar import malformed, split_quoted
from sipproxy.sip.gruu import instance_of, is_gruu
from sipproxy.sip.headers import NameAddr, parse_expires, parse_name_addr, parse_qvalue
from sipproxy.sip.message import Request
from sipproxy.sip.options import supports

if TYPE_CHECKING:
    from sipproxy.interfaces import IHost
    from sipproxy.registrar.gruu import Gruus
    from sipproxy.transaction.parties import Flow

_HOUR = 3600
# Contacts in one request by bindings that there may be: each is compared with each.
_REPEATED = 10
# What is ours to say of a contact (RFC 3261 §10.3 step 8, RFC 5627 §5.1).
_OURS = frozenset((b"expires", b"pub-gruu", b"temp-gruu"))


class Asked:
    """A contact that a REGISTER names, for how many seconds, and the instance that it is of.

    ``reg_id`` is 0 where it registers no flow of its own (RFC 5626 §4.2). ``read`` is a binding
    whose contact is written the same, so that what was read then holds.
    """

    __slots__ = ("contact", "duration", "read", "reg_id", "urn")

    def __init__(
        self, contact: NameAddr, duration: int, urn: bytes, reg_id: int, read: Binding | None
    ) -> None:
        self.contact = contact
        self.duration = duration
        self.urn = urn
        self.reg_id = reg_id
        self.read = read

    def means(self, binding: Binding) -> bool:
        """Tell whether this is a refresh, or the end, of a binding.

        A flow is known by instance and reg-id, whatever its Contact (RFC 5626 §6).
        """
        instance = binding.instance
        if instance is not None and instance.reg_id:
            return (instance.urn, instance.reg_id) == (self.urn, self.reg_id)
        return not self.reg_id and binding.same_contact(self.contact)

    def among(self, bindings: Sequence[Binding]) -> Binding | None:
        """Return the binding that this is a refresh, or the end, of."""
        for binding in bindings:
            if self.means(binding):
                return binding
        return None


class Registration:
    """A REGISTER of an address-of-record; it changes nothing, and says what is to be."""

    def __init__(
        self, request: Request, aor: bytes, flow: Flow | None, options: RegistrarOptions
    ) -> None:
        self._request = request
        self._aor = aor
        self._flow = flow
        self._options = options
        self._call_id, self._cseq = request.call_id, request.cseq.number
        self.is_outbound = False  # it was about a flow: known once `updated` has run

    def updated(self, host: IHost, gruus: Gruus, current: Sequence[Binding]) -> list[Binding]:
        """Return the bindings as the request wants them; raises `SipError`: all of it or nothing.

        What has been asked for twice in one request counts as it was asked for last.
        """
        raw = self._request.values(b"contact")
        if b"*" in raw:
            return self._all_removed(raw, current)
        if len(raw) > _REPEATED * self._options.max_bindings + len(current):
            raise SipError(403, "Too Many Bindings", limit="max_bindings")
        path, now = self._path(), host.now()
        bindings = list(current)
        fresh: list[Binding] = []
        for asked in self._all_asked(raw, current):
            if asked.duration:
                self._refuse_circle(host, asked)
            instance = self._instance(gruus, asked, bindings)
            known = asked.among(bindings)
            if known is not None:
                if known not in fresh:
                    self._check_order(known)
                bindings.remove(known)
            if asked.duration:
                if instance is not None:
                    bindings = [_aligned(binding, instance) for binding in bindings]
                expires_at = now + asked.duration
                life, event = _life(asked.contact, known, fresh, now)
                fresh.append(self._bind(host, asked, path, instance, expires_at, life, event))
                bindings.append(fresh[-1])
        if len(bindings) > max(self._options.max_bindings, len(current)):
            raise SipError(403, "Too Many Bindings", limit="max_bindings")
        return bindings

    def _all_removed(self, raw: list[bytes], current: Sequence[Binding]) -> list[Binding]:
        """Step 6: ``*`` stands alone and asks for an end."""
        expires = self._request.value(b"expires")
        if len(raw) > 1 or expires is None or parse_expires(expires) != 0:
            raise SipError(400, "Contact * Needs Expires 0 And Stands Alone")
        for binding in current:
            self._check_order(binding)
        return []

    def _all_asked(self, raw: list[bytes], current: Sequence[Binding]) -> list[Asked]:
        """Read the contacts; 400 where one that registers its flow is not alone (RFC 5626 §6)."""
        every = [self._asked(value, current) for value in raw]
        if len(every) == 1:
            self.is_outbound = every[0].reg_id > 0
            return every
        kept = [asked for asked in every if asked.duration]
        if len(kept) > 1 and any(asked.reg_id for asked in kept):
            raise SipError(400, "Another Contact Beside A reg-id")
        self.is_outbound = any(asked.reg_id for asked in every)
        return every

    def _asked(self, value: bytes, current: Sequence[Binding]) -> Asked:
        if len(value) > self._options.max_contact:
            raise malformed("Contact: it is too long")
        contact = parse_name_addr(value)
        read = _written_as(contact, current)
        if read is None:
            _check_contact(contact)
            urn = instance_of(contact)
        else:
            urn = read.instance.urn if read.instance else b""
        if contact.uri.scheme == b"sips":
            self._check_sips()
        reg_id = effective_reg_id(self._request, contact, urn)
        return Asked(contact, self._duration(contact), urn, reg_id, read)

    def _check_sips(self) -> None:
        """RFC 5630 §5.2: a sips contact is bound where Request-URI and Path are sips, else 400."""
        path = (address.uri for address in self._request.addresses(b"path"))
        if any(uri.scheme != b"sips" for uri in (self._request.uri, *path)):
            raise SipError(400, "SIPS Contact Needs SIPS All The Way")

    def _duration(self, contact: NameAddr) -> int:
        """Step 7: what is asked for, cut to what we grant; 423 where it is too brief."""
        options = self._options
        asked = options.default_expires
        params = contact.params
        if b"expires" in params:
            asked = parse_expires(params[b"expires"])
        elif (header := self._request.value(b"expires")) is not None:
            asked = parse_expires(header)
        if 0 < asked < min(options.min_expires, _HOUR):
            raise SipError(423, headers=[(b"Min-Expires", b"%d" % options.min_expires)])
        return min(asked, options.max_expires)

    def _refuse_circle(self, host: IHost, asked: Asked) -> None:
        """RFC 5627 §5.1: an instance is a device, and not who registers it, under any name."""
        uri = asked.contact.uri
        if not (asked.urn or is_gruu(uri)):
            return
        if not uri.is_sip:
            raise SipError(403, "An Instance Needs A SIP Contact")
        if host.identity.domain_of(uri) is not None and host.identity.canonical(uri) == self._aor:
            raise SipError(403, "Contact Leads Back To Its Own Address-of-Record")

    def _instance(self, gruus: Gruus, asked: Asked, bindings: Sequence[Binding]) -> Instance | None:
        if not asked.urn or not asked.duration:
            return None
        asking = (asked.urn, asked.reg_id, self._call_id)
        return gruus.begin(*asking, bindings, self._options.max_expires, self._cseq)

    def _check_order(self, binding: Binding) -> None:
        """Steps 6 and 7: what is older than what we know, or the same, changes nothing."""
        if binding.call_id == self._call_id and self._cseq <= binding.cseq:
            raise SipError(500, "CSeq Out Of Order")

    def _path(self) -> tuple[bytes, ...]:
        """RFC 3327 §5.3: the vector is kept with the bindings; §4: its URIs are loose routers."""
        if b"path" not in self._request.names:
            return ()
        addresses = self._request.addresses(b"path")
        if len(addresses) > self._options.max_path:
            raise malformed("Path")
        if not all(address.uri.is_sip and address.uri.is_loose_router for address in addresses):
            raise malformed("Path")
        return tuple(self._request.values(b"path"))

    def _bind(
        self,
        host: IHost,
        asked: Asked,
        path: tuple[bytes, ...],
        instance: Instance | None,
        expires_at: float,
        life: Life,
        event: bytes,
    ) -> Binding:
        read = asked.read
        flow = self._flow if self._is_by_flow(host, asked) else None
        contact, params, q = _kept(asked.contact) if read is None else read.written
        return Binding(
            contact=contact,
            params=params,
            q=q,
            expires_at=expires_at,
            call_id=self._call_id,
            cseq=self._cseq,
            path=path,
            flow=flow,
            instance=instance,
            silence=self._silence(asked),
            life=life,
            event=event,
        )

    def _silence(self, asked: Asked) -> float:
        """Return after how many silent seconds the flow is dead; 0: never (RFC 5626 §5.4)."""
        timer = self.flow_timer if asked.reg_id else 0
        return timer + GRACE if timer else 0

    @property
    def flow_timer(self) -> int:
        """The Flow-Timer that the client is told (RFC 5626 §6); 0 for none."""
        counts = self.is_outbound and is_direct(self._request)
        return self._options.flow_timer if counts and supports(self._request, b"outbound") else 0

    def _is_by_flow(self, host: IHost, asked: Asked) -> bool:
        """Tell whether the contact is the client that sent this, reachable by its flow alone.

        It is if it registers that flow with us (RFC 5626 §6).
        """
        uri, flow = asked.contact.uri, self._flow
        if asked.reg_id and flow is not None and uri.is_sip and is_direct(self._request):
            return True
        return is_by_flow(self._request, uri, flow, host.identity)


def _written_as(contact: NameAddr, bindings: Sequence[Binding]) -> Binding | None:
    """Return the binding whose contact has the octets of another."""
    for binding in bindings:
        if binding.is_written_as(contact):
            return binding
    return None


def _check_contact(contact: NameAddr) -> None:
    """Read a Contact of a REGISTER whole, so that nothing fails later; raises `SipError` 400."""
    _ = contact.uri, parse_qvalue(contact.params.get(b"q")), features_of(contact.params)


def _kept(contact: NameAddr) -> tuple[NameAddr, bytes, float]:
    """Return what a binding keeps of a contact: it, its parameters but for ours, and its q."""
    params, q = contact.params, parse_qvalue(contact.params.get(b"q"))
    is_ours = not _OURS.isdisjoint(params)
    contact.spare()
    return contact, _but_ours(contact.raw_params) if is_ours else contact.raw_params.strip(), q


def _life(
    contact: NameAddr, known: Binding | None, fresh: Sequence[Binding], now: float
) -> tuple[Life, bytes]:
    """Return the life that a binding is part of, and what made it (RFC 3680 §4.7.1).

    A flow that is registered anew with another contact is another contact (RFC 3680 §5.1).
    """
    if known is None or not known.same_contact(contact):
        return Life(contact.raw_uri, now), REGISTERED
    return known.life, known.event if known in fresh else REFRESHED


def _but_ours(params: bytes) -> bytes:
    """Return a contact's parameters as written, but for the ones that we give."""
    pieces = split_quoted(params, b";")[1:]
    kept = [p for p in pieces if p.partition(b"=")[0].strip().lower() not in _OURS]
    return b"".join(b";" + piece for piece in kept)


def _aligned(binding: Binding, instance: Instance | None) -> Binding:
    """Return a binding whose temporary GRUUs end where those of its instance do (RFC 5627 §5.1)."""
    known = binding.instance
    if known is None or instance is None or known.urn != instance.urn:
        return binding
    if (known.since, known.revives_before) == (instance.since, instance.revives_before):
        return binding
    return binding.of(Instance(known.urn, known.reg_id, known.made, *instance.beginning))
