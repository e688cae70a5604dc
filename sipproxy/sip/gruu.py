"""Instance IDs and the public GRUUs made of them, as text (RFC 5626 §4.1, 5627 §3.1)."""

from __future__ import annotations

import hashlib
import re

from sipproxy.sip.grammar import malformed, unquote
from sipproxy.sip.headers import NameAddr
from sipproxy.sip.uri import Uri, aor_uri

LONGEST_INSTANCE = 512  # bytes; an ordinary one, a UUID, has 45
_LONGEST_VALUE = 100  # bytes of a gr parameter, before escaping
_uric = re.compile(rb"(?:[A-Za-z0-9;/?:@&=+$,\-_.!~*'()\[\]]++|%[0-9A-Fa-f]{2})+").fullmatch
_escape = re.compile(rb"%[0-9A-Fa-f]{2}")
_unsafe = re.compile(rb"[^A-Za-z0-9\[\]/:&+$\-_.!~*'()]")  # in a pvalue (RFC 3261 §25.1)


def instance_of(contact: NameAddr) -> bytes:
    """Return the instance ID of a Contact in its canonical form, or nothing where it has none.

    Raises `SipError` 400 for one that RFC 5626 §10 does not allow.
    """
    if b"+sip.instance" not in contact.params:
        return b""
    value = unquote(contact.params[b"+sip.instance"] or b"")
    urn = value[1:-1]
    if value[:1] + value[-1:] != b"<>" or len(urn) > LONGEST_INSTANCE or _uric(urn) is None:
        raise malformed("+sip.instance")
    return canonical_urn(urn)


def canonical_urn(urn: bytes) -> bytes:
    """Return the one form of URNs that are lexically equal (RFC 2141 §5).

    ``urn:``, the namespace and the digits of escapes have no case, a UUID has none at all (RFC 4122
    §3). What is no URN stays as it is.
    """
    scheme, namespace, rest = (urn.split(b":", 2) + [b"", b""])[:3]
    if scheme.lower() != b"urn":
        return urn
    if namespace.lower() == b"uuid":
        return urn.lower()
    specific = _escape.sub(lambda match: match.group().lower(), rest)
    return b":".join((b"urn", namespace.lower(), specific))


def gr_value(instance: bytes) -> bytes:
    """Return what the ``gr`` parameter says of an instance.

    URIs compare their parameters without case (RFC 3261 §19.1.4), so that an instance ID with
    capital letters stands there by a digest: two instances never have equal GRUUs (RFC 5627 §5.4).
    """
    if len(instance) <= _LONGEST_VALUE and instance == instance.lower():
        return instance
    return b"x-" + hashlib.sha256(instance).hexdigest()[:40].encode()


def public_gruu(scheme: bytes, aor: bytes, instance: bytes) -> bytes:
    """Return the public GRUU of an instance: the address-of-record with ``gr`` (RFC 5627 §A.1)."""
    value = _unsafe.sub(lambda match: b"%%%02X" % match.group()[0], gr_value(instance))
    return scheme + aor_uri(aor)[3:] + b";gr=" + value


def is_gruu(uri: Uri) -> bool:
    """Tell whether a URI says that it is a GRUU (RFC 5627 §3.1)."""
    return b"gr" in uri.params


def names_instance(uri: Uri, instance: bytes) -> bool:
    """Tell whether the ``gr`` parameter of a public GRUU means an instance."""
    return (uri.params[b"gr"] or b"").lower() == gr_value(instance)
