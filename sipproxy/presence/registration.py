"""What registrations show of a presentity: a service for each device (RFC 3856 §7.2)."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lxml import etree

from sipproxy.presence.capabilities import Said, said_by, servcaps
from sipproxy.presence.namespaces import BASIC, CONTACT, DECLARED, STATUS, TIMESTAMP, TUPLE
from sipproxy.presence.times import write_time
from sipproxy.sip.gruu import names_instance, public_gruu
from sipproxy.sip.uri import Uri, aor_uri, equivalent

if TYPE_CHECKING:
    from sipproxy.interfaces.events import IEventHost, Publication
    from sipproxy.registrar.binding import Binding
    from sipproxy.transport.identity import Identity

_NAME_LENGTH = 8  # bytes


class Service:
    """A device that can be reached, or a contact that said no more of itself.

    ``id`` names its tuple. ``contact`` is its public GRUU, or where there is no instance the
    address-of-record: never the address in the binding, which is nobody's business. ``since`` is
    when it became what it is, in seconds of the wall clock.
    """

    __slots__ = ("_aor", "_bindings", "_identity", "_urn", "contact", "id", "since")

    def __init__(
        self, name: str, aor: bytes, bindings: Sequence[Binding], since: float, identity: Identity
    ) -> None:
        instance = bindings[0].instance
        self.id = name
        self.since = since
        self._aor = aor
        self._bindings = bindings
        self._identity = identity
        self._urn = instance.urn if instance is not None else b""
        self.contact = public_gruu(b"sip", aor, self._urn) if instance else aor_uri(aor)

    def element(self) -> etree._Element:
        """Return the tuple that shows it: open, with what its Contact said that it can."""
        said = said_by(_first(self._bindings).contact.params)
        preference = _preference(self._bindings)
        return copy.copy(_element(self.id, self.contact, said, preference, self.since))

    def is_published_by(self, publication: Publication) -> bool:
        """Tell whether a publication speaks of this device, so that it is not shown twice.

        It does where a contact says so: the device's GRUU or its registered address; or the
        address-of-record (or none), where that is all that there is to say of the device, or where
        both came by one connection. What a publisher said that is gone does not count.
        """
        if publication.is_stale:
            return False
        flow = publication.flow
        is_near = flow is not None and any(b.flow == flow for b in self._bindings)
        return any(self._is_meant(uri, is_near) for uri in publication.content.contacts)

    def _is_meant(self, uri: Uri | None, is_near: bool) -> bool:
        if uri is None:
            return is_near
        if self._identity.canonical(uri) == self._aor:
            if uri.params.get(b"gr"):
                return bool(self._urn) and names_instance(uri, self._urn)
            return is_near or not self._urn
        return any(equivalent(uri, binding.contact.uri) for binding in self._bindings)


@functools.lru_cache(1024)
def _element(
    name: str, contact: bytes, said: Said, preference: float, since: float
) -> etree._Element:
    element = etree.Element(TUPLE, {"id": name}, nsmap=DECLARED)
    etree.SubElement(etree.SubElement(element, STATUS), BASIC).text = "open"
    capabilities = servcaps(said)
    if capabilities is not None:
        element.append(capabilities)
    priority = f"{preference:.3f}".rstrip("0").rstrip(".")
    shown = etree.SubElement(element, CONTACT, priority=priority)
    shown.text = contact.decode("utf-8", "replace")
    etree.SubElement(element, TIMESTAMP).text = write_time(since)
    return element


class Services:
    """The services of every user who is registered, and since when they are what they are.

    ``key`` makes their names: they say nothing to whoever does not have it, and outlive us with it.
    ``changed`` is called with an address-of-record whenever its services may be others.
    """

    def __init__(
        self,
        host: IEventHost,
        key: bytes,
        wall: Callable[[], float],
        changed: Callable[[bytes], None],
    ) -> None:
        self._host = host
        self._key = key
        self._wall = wall
        self._changed = changed
        self._known: dict[bytes, tuple[_Known, ...]] = {}
        host.location.watch(self._moved)

    def of(self, aor: bytes) -> list[Service]:
        """Return the services that are registered now."""
        bindings = self._host.location.bindings(aor)
        if not bindings and aor not in self._known:
            return []
        groups = _by_device(bindings)
        since = {device: since for device, _, _, since in self._note(aor, groups)}
        identity = self._host.identity
        return [
            Service(self.name(aor, device), aor, group, since[device], identity)
            for device, group in groups.items()
        ]

    def name(self, aor: bytes, device: bytes = b"") -> str:
        """Return the name of the tuple of a device, or of the one that stands for none of them."""
        text = b"%d:%s%s" % (len(aor), aor, device)
        return "s" + hashlib.blake2b(text, key=self._key, digest_size=_NAME_LENGTH).hexdigest()

    def _moved(self, aor: bytes) -> None:
        self._note(aor, _by_device(self._host.location.bindings(aor)))
        self._changed(aor)

    def _note(self, aor: bytes, groups: dict[bytes, list[Binding]]) -> tuple[_Known, ...]:
        """Note since when each device shows what it shows."""
        before = self._known.get(aor, ())
        noted = tuple([self._since(before, device, group) for device, group in groups.items()])
        if noted:
            self._known[aor] = noted
        else:
            self._known.pop(aor, None)
        return noted

    def _since(self, before: Sequence[_Known], device: bytes, group: Sequence[Binding]) -> _Known:
        shown = (device, _first(group).params, _preference(group))
        for known in before:
            if known[:3] == shown:
                return known
        return (*shown, self._wall())


# A device, its Contact's parameters, how much it is preferred, and since when it shows these.
_Known = tuple[bytes, bytes, float, float]


def _by_device(bindings: Sequence[Binding]) -> dict[bytes, list[Binding]]:
    """Return the bindings of each device, which may have several flows (RFC 5626 §3.1)."""
    groups: dict[bytes, list[Binding]] = {}
    for binding in bindings:
        device = binding.instance.urn if binding.instance else binding.contact.raw_uri
        groups.setdefault(device, []).append(binding)
    return groups


def _first(group: Sequence[Binding]) -> Binding:
    """Return the binding that speaks for a device, whichever of its flows was refreshed last."""
    if len(group) == 1:
        return group[0]
    return min(group, key=lambda b: (b.instance.reg_id if b.instance else 0, b.contact.raw_uri))


def _preference(group: Sequence[Binding]) -> float:
    return max([binding.q for binding in group])
