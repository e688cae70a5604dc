"""Bindings as they are kept: a stable encoding of all that a binding is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from sipproxy.registrar.binding import Binding, Life
from sipproxy.registrar.gruu import Instance
from sipproxy.sip.errors import SipError
from sipproxy.sip.features import features_of
from sipproxy.sip.headers import NameAddr

if TYPE_CHECKING:
    from sipproxy.interfaces import IStore
    from sipproxy.transaction.parties import Flow

KIND = "bindings"  # by address-of-record
_VERSION = 1


class Flows(Protocol):
    """Who knows flows by names that outlive the process."""

    def lasting_name(self, flow: Flow) -> bytes:
        """Return what `find_again` knows the flow by; empty: it ends with us."""

    def find_again(self, name: bytes) -> Flow | None:
        """Return the flow of a lasting name, or None."""


class _Instance(msgspec.Struct, array_like=True, frozen=True):
    """`Instance`."""

    urn: bytes
    reg_id: int
    made: int
    since: int
    revives_before: int
    first_cseq: int


class _Binding(msgspec.Struct, array_like=True, frozen=True):
    """`Binding`; times are dates. ``flow`` is None for none, empty for one that ends with us."""

    display: bytes
    uri: bytes
    raw_params: bytes
    params: bytes
    q: float
    expires_on: float
    call_id: bytes
    cseq: int
    path: tuple[bytes, ...]
    flow: bytes | None
    instance: _Instance | None
    silence: float
    first_uri: bytes
    bound_on: float
    event: bytes


class _Record(msgspec.Struct, array_like=True, frozen=True):
    """The bindings of one address-of-record; what is added comes last, and has a default."""

    version: int
    bindings: tuple[_Binding, ...]


def kept_record(bindings: Sequence[Binding], store: IStore, flows: Flows) -> Any:
    """Return what is kept of the bindings of one address-of-record."""
    return _Record(_VERSION, tuple(_kept(binding, store, flows) for binding in bindings))


def recalled(value: Any, store: IStore, flows: Flows) -> tuple[list[Binding], list[Binding]]:
    """Return the bindings of a record, and those that have ended with the process before.

    Raises ValueError for a record that cannot be read.
    """
    standing: list[Binding] = []
    lost: list[Binding] = []
    try:
        read = msgspec.convert(value, _Record)
        if read.version != _VERSION:
            raise ValueError(f"it is of version {read.version}; this sipproxy knows {_VERSION}")
        _sort(read, store, flows, standing, lost)
    except (msgspec.MsgspecError, SipError) as error:
        raise ValueError(str(error)) from None
    return standing, lost


def _sort(
    read: _Record, store: IStore, flows: Flows, standing: list[Binding], lost: list[Binding]
) -> None:
    for kept in read.bindings:
        flow = flows.find_again(kept.flow) if kept.flow else None
        is_lost = kept.flow is not None and flow is None
        (lost if is_lost else standing).append(_binding(kept, store, flow))


def _kept(binding: Binding, store: IStore, flows: Flows) -> _Binding:
    contact, flow, instance, life = binding.contact, binding.flow, binding.instance, binding.life
    return _Binding(
        contact.display,
        contact.raw_uri,
        contact.raw_params,
        binding.params,
        binding.q,
        store.date(binding.expires_at),
        binding.call_id,
        binding.cseq,
        binding.path,
        None if flow is None else flows.lasting_name(flow),
        None if instance is None else _kept_instance(instance),
        binding.silence,
        life.uri,
        store.date(life.since),
        binding.event,
    )


def _kept_instance(instance: Instance) -> _Instance:
    return _Instance(*(getattr(instance, name) for name in _Instance.__struct_fields__))


def _binding(kept: _Binding, store: IStore, flow: Flow | None) -> Binding:
    """Return a binding; all of it is read now, so that nothing fails later."""
    contact = NameAddr(kept.display, kept.uri, kept.raw_params)
    _ = contact.uri, features_of(contact.params)
    contact.spare()
    if not (math.isfinite(kept.expires_on) and math.isfinite(kept.bound_on)):
        raise ValueError("a date that is none")
    instance = kept.instance
    return Binding(
        contact,
        kept.params,
        kept.q,
        store.moment(kept.expires_on),
        kept.call_id,
        kept.cseq,
        kept.path,
        flow,
        None if instance is None else Instance(*msgspec.structs.astuple(instance)),
        kept.silence,
        Life(kept.first_uri, store.moment(kept.bound_on)),
        kept.event,
    )
