"""Certificates: reading them, what they may be used for, and whose they are (RFC 5922)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import is_host
from sipproxy.sip.uri import Uri, canonical_host, parse_uri

SIP_DOMAIN = ObjectIdentifier("1.3.6.1.5.5.7.3.20")  # id-kp-sipDomain (RFC 5924 §4.1)
NOBODY: frozenset[bytes] = frozenset()
_FOR_SIP = {SIP_DOMAIN, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class CertificateError(Exception):
    """A file of the configuration cannot be used: its key there, and what is wrong."""

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        self.problem = problem
        super().__init__(f"{key}: {problem}")


class Pair(msgspec.Struct, frozen=True):
    """A certificate of ours, those that it was issued by, and its private key.

    ``key`` and ``file`` say where the configuration has it.
    """

    key: str
    file: str
    chain: tuple[x509.Certificate, ...]
    private_key: PrivateKeyTypes

    @property
    def expires(self) -> datetime:
        """When the first of the chain to expire does."""
        return min(one.not_valid_after_utc for one in self.chain)

    @property
    def domains(self) -> list[str]:
        """Whose it is."""
        return sorted(domain.decode("ascii") for domain in identities(self.chain[0]))

    def describe(self) -> dict[str, Any]:
        """Return what an operator is shown."""
        expires = self.expires.isoformat(" ", "minutes")
        return {"key": self.key, "file": self.file, "domains": self.domains, "expires": expires}


def read_pair(prefix: str, certificate: Path, private_key: Path) -> Pair:
    """Read a certificate with its chain, and its key, both PEM; raises `CertificateError`."""
    key = f"{prefix}certificate"
    try:
        chain = tuple(x509.load_pem_x509_certificates(read(key, certificate)))
    except ValueError:
        raise CertificateError(key, f"{certificate}: holds no certificate in PEM") from None
    other = f"{prefix}private_key"
    data = read(other, private_key)
    try:
        secret = load_pem_private_key(data, None)
    except TypeError:
        problem = f"{private_key}: is encrypted; write it without a passphrase"
        raise CertificateError(other, problem) from None
    except Exception:  # the library has many errors for it, none of them says more
        raise CertificateError(other, f"{private_key}: holds no private key in PEM") from None
    if secret.public_key() != chain[0].public_key():
        problem = f"{private_key}: is not the key of {certificate}; name the one that is"
        raise CertificateError(other, problem)
    return Pair(key, str(certificate), chain, secret)


def read(key: str, file: Path) -> bytes:
    """Read a file; raises `CertificateError`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateError(key, f"{file}: cannot be read: {error.strerror}") from None


def identities(certificate: x509.Certificate) -> frozenset[bytes]:
    """Return the SIP domains that a valid certificate is for (RFC 5922 §7.1).

    URIs of the scheme sip without a user part; if there is none, DNS names; the common name only
    where there is no subjectAltName at all. What cannot be read is nobody's.
    """
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return _hosts(str(name.value) for name in names)
    except ValueError:
        return NOBODY
    uris = found.value.get_values_for_type(x509.UniformResourceIdentifier)
    domains = frozenset(host for uri in uris if (host := _domain(uri)))
    return domains or _hosts(found.value.get_values_for_type(x509.DNSName))


def _hosts(names: Iterable[str]) -> frozenset[bytes]:
    """Return the names that are DNS names: no address, none with a NUL or an asterisk in it."""
    hosts = (canonical_host(name.encode("ascii", "replace")) for name in names)
    return frozenset(host for host in hosts if is_host(host) and not is_numeric(host))


def is_numeric(host: bytes) -> bool:
    """Tell whether a host is an address and no name."""
    return host[:1] == b"[" or host.replace(b".", b"").isdigit()


def _domain(text: str) -> bytes | None:
    try:
        uri = parse_uri(text.encode("ascii", "replace"))
    except SipError:
        return None
    is_domain = uri.scheme == b"sip" and uri.user is None and "@" not in text
    return uri.host if is_domain else None


def matches(found: frozenset[bytes], wanted: Iterable[bytes]) -> bool:
    """Tell whether one of the identities is one of the domains (RFC 5922 §7.2).

    Whole names are compared, in the form of `canonical_host`: no suffix, and never a wildcard.
    """
    return any(domain in found for domain in wanted)


def is_usable(certificate: x509.Certificate, is_client: bool, strict: bool) -> bool:
    """Tell whether a peer may use a certificate in its role (RFC 5922 §7.1, RFC 5280 §4.2.1.12).

    Without extendedKeyUsage it may, and for what names SIP or any purpose (RFC 5924 §5); else for
    the purpose of its role. Public authorities certify servers alone: unless ``strict``, a domain
    that connects to us may use such a certificate, too.
    """
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False
    wanted = {_CLIENT} if is_client else {_SERVER}
    if not strict:
        wanted.add(_SERVER)
    return not _FOR_SIP.union(wanted).isdisjoint(usage)


class NextHop(Uri):
    """The configured way to a domain: its certificate may name the domain itself, too."""

    __slots__ = ("domain",)

    def __init__(self, uri: Uri, domain: bytes) -> None:
        Uri.__init__(
            self,
            *(uri.raw, uri.scheme, uri.user, uri.password, uri.host, uri.port),
            *(uri.params, uri.headers),
        )
        self.domain = domain


def wanted_domains(uri: Uri) -> tuple[bytes, ...]:
    """Return what a certificate at the next hop of a URI may be for (RFC 5922 §4, §7.3).

    It is the name before any look-up; the domain first that we name to the server (§7.8).
    """
    if isinstance(uri, NextHop) and uri.domain != uri.host:
        return uri.domain, uri.host
    return (uri.host,)
