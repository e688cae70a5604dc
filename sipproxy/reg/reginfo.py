"""Registration information documents, and what each watcher has been told by them (RFC 3680 §5)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from lxml import etree

from sipproxy.events.xml import write_xml, xml_seconds, xml_text, xml_uri
from sipproxy.interfaces import DEACTIVATED, EXPIRED, Ending
from sipproxy.registrar.binding import Binding
from sipproxy.sip.grammar import unquote
from sipproxy.sip.uri import aor_uri

NAMESPACE = "urn:ietf:params:xml:ns:reginfo"
GRUU_NAMESPACE = "urn:ietf:params:xml:ns:gruuinfo"  # RFC 5628 §9
MEDIA_TYPE = b"application/reginfo+xml"

_ROOT, _REGISTRATION, _CONTACT, _URI, _DISPLAY, _PARAM = (
    f"{{{NAMESPACE}}}{name}"
    for name in ("reginfo", "registration", "contact", "uri", "display-name", "unknown-param")
)
_PUBLIC, _TEMPORARY = (f"{{{GRUU_NAMESPACE}}}{name}" for name in ("pub-gruu", "temp-gruu"))
_PREFIXES = {None: NAMESPACE, "gr": GRUU_NAMESPACE}
# What RFC 3261 has for a Contact of a REGISTER, and what is ours to say.
_KNOWN_PARAMS = frozenset((b"q", b"expires", b"pub-gruu", b"temp-gruu"))


class Contact:
    """A contact as a watcher is shown it: a binding, its id, and the GRUUs that they may know.

    The GRUUs are empty where there are none; ``ending`` is why the contact is bound no more.
    """

    __slots__ = ("binding", "ending", "name", "public", "temporary")

    def __init__(
        self, name: bytes, binding: Binding, public: bytes = b"", temporary: bytes = b""
    ) -> None:
        self.name = name
        self.binding = binding
        self.public = public
        self.temporary = temporary
        self.ending: Ending | None = None

    def ended(self, binding: Binding, ending: Ending) -> Contact:
        """Return this contact at its end, by its last binding."""
        over = Contact(self.name, binding, self.public)
        over.ending = ending
        return over

    @property
    def first_cseq(self) -> int:
        """The CSeq that the oldest valid temporary GRUU came of (RFC 5628 §5)."""
        instance = self.binding.instance
        return instance.first_cseq if instance and self.temporary else 0

    @property
    def facts(self) -> tuple[object, ...]:
        """What is shown but for the time: two contacts that show the same have the same."""
        bound = self.binding
        return (
            *(self.name, self.public, self.temporary, self.first_cseq),
            *(bound.contact.raw_uri, bound.contact.display, bound.params, bound.event),
            # To a tenth of a second: moments are found again after a restart, but for the rounding.
            *(bound.call_id, bound.cseq, round(bound.life.since, 1), round(bound.expires_at, 1)),
        )


class Told:
    """What a watcher knows: the memory of its subscription.

    ``known`` are the contacts by id as they were told last; ``ended`` those of them that have ended
    since, with their last bindings and why.
    """

    __slots__ = ("ended", "known")

    def __init__(self, contacts: Sequence[Contact] = ()) -> None:
        self.known = {contact.name: contact for contact in contacts}
        self.ended: dict[bytes, tuple[Binding, Ending]] = {}

    def changed(self, contacts: Sequence[Contact]) -> list[Contact]:
        """Return those of the contacts of which the watcher knows something else, or nothing."""
        known = self.known
        return [c for c in contacts if c.name not in known or known[c.name].facts != c.facts]

    def over(self, contacts: Sequence[Contact], now: float) -> list[Contact]:
        """Return the contacts that the watcher knows and that are not among these any more."""
        kept = {contact.name for contact in contacts}
        gone = [contact for name, contact in self.known.items() if name not in kept]
        return [one.ended(*self.ended.get(one.name) or _why(one.binding, now)) for one in gone]

    @property
    def tag(self) -> bytes:
        """The entity-tag of what the watcher knows."""
        facts = sorted(repr(contact.facts) for contact in self.known.values())
        return hashlib.blake2b("\n".join(facts).encode(), digest_size=12).hexdigest().encode()


def _why(binding: Binding, now: float) -> tuple[Binding, Ending]:
    """Return the end of a binding of which nothing was heard: the table has yet to tell of it."""
    return binding, EXPIRED if binding.expires_at <= now else DEACTIVATED


def document(
    version: int,
    is_full: bool,
    registration: tuple[bytes, bytes, str],
    contacts: Sequence[Contact],
    now: float,
) -> bytes:
    """Return the document about a registration and some of its contacts (§5.1).

    A registration is an address-of-record, its id and its state.
    """
    aor, name, state = registration
    root = etree.Element(_ROOT, nsmap=_PREFIXES)  # type: ignore[arg-type]
    root.set("version", str(version))
    root.set("state", "full" if is_full else "partial")
    element = etree.SubElement(root, _REGISTRATION)
    element.set("aor", xml_uri(aor_uri(aor)))
    element.set("id", name.decode())
    element.set("state", state)
    for contact in contacts:
        _add(element, contact, now)
    return write_xml(root)


def _add(registration: etree._Element, contact: Contact, now: float) -> None:
    element = etree.SubElement(registration, _CONTACT)
    bound, ending = contact.binding, contact.ending
    element.set("id", contact.name.decode())
    element.set("state", "terminated" if ending else "active")
    element.set("event", (ending.event if ending else bound.event).decode())
    element.set("duration-registered", xml_seconds(now - bound.life.since))
    if ending is None:  # beside shortened it has to be there
        element.set("expires", xml_seconds(bound.expires_at - now))
    elif ending.event == b"probation":
        element.set("retry-after", str(ending.retry_after))
    if b"q" in bound.contact.params:
        element.set("q", xml_text(bound.contact.params[b"q"] or b""))
    element.set("callid", xml_text(bound.call_id))
    element.set("cseq", str(bound.cseq))
    _describe(element, contact)


def _describe(element: etree._Element, contact: Contact) -> None:
    """Add what a contact has inside, in the order of the schema (§5.4)."""
    bound = contact.binding
    etree.SubElement(element, _URI).text = xml_uri(bound.contact.raw_uri)
    if bound.contact.display:
        etree.SubElement(element, _DISPLAY).text = xml_text(unquote(bound.contact.display))
    for name, value in bound.contact.params.items():
        if name not in _KNOWN_PARAMS:
            param = etree.SubElement(element, _PARAM)
            param.set("name", name.decode())
            param.text = xml_text(value or b"")
    if contact.public:
        etree.SubElement(element, _PUBLIC).set("uri", xml_uri(contact.public))
    if contact.temporary:
        temporary = etree.SubElement(element, _TEMPORARY)
        temporary.set("uri", xml_uri(contact.temporary))
        temporary.set("first-cseq", str(contact.first_cseq))
