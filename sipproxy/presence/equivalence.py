"""When two URIs are the same, by the rules of their scheme, and when two domains are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import unescape
from sipproxy.sip.uri import Uri, equivalent, parse_uri

_LONGEST_DOMAIN = 1024  # characters; no name of the DNS has a quarter of it
_VISUAL = re.compile(rb"[-.()]")  # visual separators of RFC 3966 §5.1.1
_escape = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_at = re.compile(rb"(?P<user>[^@/?#]*)@(?P<domain>[^/?#;:]*)").match


def to_ascii(domain: str) -> bytes | None:
    """Return the one form of a domain, None for what is none.

    RFC 4745 §7.1.3: percent-encoding is undone, ToASCII done (RFC 3490 §4.1); labels are then
    compared without case (RFC 3490 §3.1).
    """
    if not 0 < len(domain) <= _LONGEST_DOMAIN:
        return None
    try:
        ascii_form = unescape(domain.encode()).decode().encode("idna")
    except UnicodeError:
        return None
    return ascii_form.lower().removesuffix(b".") or None


def identifier(text: str) -> Uri | None:
    """Return the URI that an XML document names, None for what is none.

    An IRI stands for the URI that it is mapped to (RFC 3987 §3.1).
    """
    text = text.strip()
    try:
        return parse_uri(text.encode() if text.isascii() else _mapped(text))
    except SipError:
        return None


def _mapped(text: str) -> bytes:
    before, at, after = text.rpartition("@")
    if at and not after.isascii():
        end = re.search(r"[/?#;:]|$", after)
        assert end is not None
        domain = to_ascii(after[: end.start()])
        after = (domain or b"").decode() + after[end.start() :]
    return quote(before + at + after, safe="%/:=&?~#+!$,;'@()*[]").encode()


def domain_of(uri: Uri) -> bytes | None:
    """Return the domain that an identity belongs to, None for one without (a number)."""
    if uri.is_sip:
        return to_ascii(uri.host.decode("ascii", "replace"))
    if uri.scheme == b"tel":
        return None
    match = _at(uri.raw.partition(b":")[2])
    return to_ascii(match["domain"].decode("ascii", "replace")) if match else None


def same(a: Uri, b: Uri) -> bool:
    """Tell whether two URIs are equivalent; those of two schemes never are (RFC 5025 §3.1.1.2)."""
    return a.scheme == b.scheme and (equivalent(a, b) if a.is_sip else _form(a) == _form(b))


class Entity:
    """Whom a URI names, made ready to be compared with many (RFC 4745 §7.2)."""

    __slots__ = ("domain", "form", "uri")

    def __init__(self, uri: Uri) -> None:
        self.uri = uri
        self.form = _form(uri)
        self.domain = domain_of(uri)


class UriSet:
    """URIs, each of which stands for all that are equivalent to it."""

    __slots__ = ("_known",)

    def __init__(self, uris: Iterable[Uri]) -> None:
        self._known: dict[object, list[Uri]] = {}
        for uri in uris:
            self._known.setdefault(_form(uri), []).append(uri)

    def __contains__(self, entity: Entity) -> bool:
        return any(same(entity.uri, known) for known in self._known.get(entity.form, ()))


def _form(uri: Uri) -> object:
    """Return what equivalent URIs have in common; beside SIP's, they alone (RFC 3261 §19.1.4)."""
    if uri.is_sip:
        return uri.scheme, unescape(uri.user or b""), uri.host, uri.port
    if uri.scheme == b"tel":
        return _number(uri.raw)
    return _normal(uri.raw)


def _number(raw: bytes) -> bytes:
    """RFC 3966 §4: digits without separators, parameters in any order, nothing with case."""
    number, *params = raw.lower().partition(b":")[2].split(b";")
    named = [param.partition(b"=") for param in params]
    kept = (
        name + equals + (_VISUAL.sub(b"", value) if _is_number(name, value) else value)
        for name, equals, value in named
    )
    return b"tel:" + b";".join([_VISUAL.sub(b"", number), *sorted(kept)])


def _is_number(name: bytes, value: bytes) -> bool:
    return name == b"ext" or (name == b"phone-context" and value[:1] == b"+")


def _normal(raw: bytes) -> bytes:
    """RFC 3986 §6.2.2: the case of scheme, host and escapes, and escapes that need not be."""
    scheme, _, rest = raw.partition(b":")
    scheme, rest = scheme.lower(), _escape.sub(_undo, rest)
    if scheme == b"urn":  # RFC 8141 §3.1, and RFC 9562 §4 for UUIDs
        name, _, specific = rest.partition(b":")
        rest = name.lower() + b":" + (specific.lower() if name.lower() == b"uuid" else specific)
    elif rest[:2] == b"//":
        authority, slash, path = rest[2:].partition(b"/")
        user, at, host = authority.rpartition(b"@")
        rest = b"//" + user + at + host.lower() + slash + path
    elif match := _at(rest):
        rest = match["user"] + b"@" + match["domain"].lower() + rest[match.end() :]
    return scheme + b":" + rest


def _undo(escape: re.Match[bytes]) -> bytes:
    octet = int(escape.group(1), 16)
    return bytes((octet,)) if octet in _UNRESERVED else escape.group().upper()
