"""The one door for XML that others have written: bounded, without DOCTYPE, nothing fetched."""

from __future__ import annotations

import re

from lxml import etree

from sipproxy.sip.errors import SipError

MAX_DEPTH = 64
MAX_ELEMENTS = 4000
MAX_ATTRIBUTES = 64  # of one element, namespace declarations included
HALF_A_TICK = 0.05  # seconds: our clock is not exacter
_SURELY_SMALL = 2000  # bytes

_declared = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([^\"']*)[\"']").match
_USUAL = b'<?xml version="1.0" encoding="UTF-8"?>'
_SPACES = b" \t\r\n"
_tag = re.compile(rb"<[^\s>/!?][^<>]*")
# XML 1.0 §2.2: what a document can hold not even by a reference.
_never = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_strange = re.compile(
    rb"(\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\])|%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9;/?:@&=+$,\-_.!~*'()%]"
)
_attributes = re.compile(rb"=\s*[\"']").findall
_PARSER = etree.XMLParser(
    resolve_entities=False,
    load_dtd=False,
    no_network=True,
    huge_tree=False,
    remove_pis=True,
    collect_ids=False,  # nobody asks for an element by its ID
)


def read_xml(data: bytes) -> etree._Element:
    """Return the root of a document; raises `SipError` 400 for what is none, or may do harm.

    RFC 4825 §8, RFC 3863 §4.1: it is UTF-8. A document type is refused before anything is parsed,
    and with it every entity but the five; so is what is deep, or has more parts than any document
    of ours needs.
    """
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(_SPACES)
    _refuse_strange(data)
    try:
        root = etree.fromstring(data, _PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SipError(400, f"Malformed XML: {_plain(error.args[0])}") from None
    if len(data) > _SURELY_SMALL or data.count(b"<") > MAX_DEPTH:
        _refuse_large(root)
    return root


def _refuse_strange(data: bytes) -> None:
    if not data:
        raise SipError(400, "Malformed XML: it is empty")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise SipError(400, "Malformed XML: it has to be UTF-8") from None
    if "!" in text and ("<!DOCTYPE" in text or "<!ENTITY" in text):
        raise SipError(400, "Malformed XML: a document type is not allowed")
    declared = None if data.startswith(_USUAL) else _declared(data)
    if declared is not None and declared.group(1).lower() not in (b"utf-8", b"us-ascii"):
        raise SipError(400, "Malformed XML: it has to be UTF-8")
    if text[0] != "<" or "\0" in text:
        raise SipError(400, "Malformed XML: it has to be UTF-8")
    if len(data) > _SURELY_SMALL and data.count(b"<") > 2 * MAX_ELEMENTS:
        raise SipError(400, "Malformed XML: it has too many elements")
    if data.count(b"=") <= MAX_ATTRIBUTES:
        return
    for tag in _tag.finditer(data):
        written = tag.group()
        if written.count(b"=") > MAX_ATTRIBUTES and len(_attributes(written)) > MAX_ATTRIBUTES:
            raise SipError(400, "Malformed XML: an element has too many attributes")


def _refuse_large(root: etree._Element) -> None:
    deepest = count = depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        count += event == "start"
        deepest = max(deepest, depth)
        if len(element.attrib) > MAX_ATTRIBUTES:
            raise SipError(400, "Malformed XML: an element has too many attributes")
    if deepest > MAX_DEPTH or count > MAX_ELEMENTS:
        raise SipError(400, "Malformed XML: it is too deep, or has too many elements")


def _plain(text: str) -> str:
    """Return a parser's complaint as a reason phrase may have it."""
    return text.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")[:80]


def write_xml(root: etree._Element) -> bytes:
    """Return a document of ours as octets, with the declaration that RFC 3863 §4.1 asks for."""
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def xml_text(octets: bytes) -> str:
    """Return text of a peer's as XML may hold it: what is no character there becomes U+FFFD."""
    return _never.sub("\ufffd", octets.decode("utf-8", "replace"))


def xml_uri(octets: bytes) -> str:
    """Return a URI of a peer's as ``xs:anyURI``: what URIs do not know is escaped (RFC 2396 §2).

    An IPv6 reference stays (RFC 2732 §3), for the escapes would mean nothing in a SIP URI.
    """
    return _strange.sub(_escaped, octets).decode("ascii")


def xml_seconds(seconds: float) -> str:
    """Return a time as ``xs:unsignedLong``; what is half a tick short of a second counts as it."""
    return str(max(0, int(seconds + HALF_A_TICK)))


def _escaped(match: re.Match[bytes]) -> bytes:
    return match.group(1) or b"%%%02X" % match.group()[0]
