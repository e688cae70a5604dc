"""Publications in parts: <pidf-full> and <pidf-diff> in PUBLISH (RFC 5264)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from lxml import etree

from sipproxy.events.xml import read_xml, write_xml
from sipproxy.presence.namespaces import PRESENCE
from sipproxy.presence.partial import DIFF, FULL
from sipproxy.presence.patches import patched
from sipproxy.presence.trees import PatchError
from sipproxy.sip.errors import SipError
from sipproxy.sip.uri import parse_uri

if TYPE_CHECKING:
    from sipproxy.transport.identity import Identity


def whole_document(data: bytes, before: bytes | None, resource: bytes, identity: Identity) -> bytes:
    """Return the PIDF document that a publication in parts comes to.

    ``before`` is the document that it changes, None where SIP-If-Match names none, and ``resource``
    whose it is. Its version means nothing: the entity-tag says what it applies to (§3.2). Raises
    `SipError` 400, where nothing has changed yet (§4.3).
    """
    root = read_xml(data)
    if root.tag == FULL:
        return write_xml(_presence(root))
    if root.tag != DIFF:
        raise SipError(400, "Bad Presence Document: neither pidf-full nor pidf-diff")
    if before is None:
        raise SipError(400, "Invalid Partial Publication")  # §4.3.2
    entity = root.get("entity")
    if entity is not None and not _names(str(entity), resource, identity):  # RFC 5262 §3.2
        raise _refused("invalid-attribute-value: its entity is another")
    try:
        return write_xml(patched(read_xml(before), list(root.iterchildren("*"))))
    except PatchError as error:
        raise _refused(str(error)) from None


def _names(entity: str, resource: bytes, identity: Identity) -> bool:
    """Tell whether a URI is one of a presentity of ours."""
    try:
        uri = parse_uri(entity.strip().encode())
    except SipError:
        return False
    return uri.is_sip and identity.canonical(uri) == resource


def _presence(whole: etree._Element) -> etree._Element:
    """Return a full document as <presence> (RFC 5262 §3: all but the root is the same)."""
    root = etree.Element(PRESENCE, nsmap=whole.nsmap)  # type: ignore[arg-type]
    root.attrib.update(whole.attrib)
    if "version" in root.attrib:
        del root.attrib["version"]
    root.text = whole.text
    root.extend(copy.deepcopy(child) for child in whole)  # libxml2 has a table of their IDs
    return root


def _refused(problem: str) -> SipError:
    plain = "".join(c if " " <= c <= "~" else "?" for c in problem)
    return SipError(400, f"Invalid Partial Publication: {plain[:120]}")
