"""An authority for tests: issues certificates on the fly, right ones and wrong ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

DAY = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey


def uris(*values: str) -> list[x509.GeneralName]:
    """Return names of the type URI."""
    return [x509.UniformResourceIdentifier(value) for value in values]


def dns(*values: str) -> list[x509.GeneralName]:
    """Return names of the type DNS, whatever is in them."""
    return [x509.DNSName._init_without_validation(value) for value in values]


def named(common_name: str) -> x509.Name:
    """Return a subject."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """Issues certificates, itself or through an authority below it."""

    def __init__(self, name: str = "an authority", above: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.above = above
        self.name = named(name)
        self.certificate = self._issued(
            *((above or self).key, (above or self).name, self.name, self.key),
            [(x509.BasicConstraints(ca=True, path_length=None), True)],
        )

    def _issued(
        self,
        by: Key,
        issuer: x509.Name,
        subject: x509.Name,
        key: Key,
        extensions: Iterable[tuple[x509.ExtensionType, bool]],
        begins: timedelta = -DAY,
        ends: timedelta = 30 * DAY,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer, subject, key.public_key(), x509.random_serial_number(), now + begins, now + ends
        )
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(by, hashes.SHA256())

    def issue(
        self,
        names: list[x509.GeneralName] | None = None,
        common_name: str = "somebody",
        usages: Iterable[ObjectIdentifier] = (),
        begins: timedelta = -DAY,
        ends: timedelta = 30 * DAY,
    ) -> tuple[x509.Certificate, Key]:
        """Return a certificate, with a subjectAltName where names are given, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions: list[tuple[x509.ExtensionType, bool]] = []
        if names is not None:
            extensions.append((x509.SubjectAlternativeName(names), False))
        if usages := list(usages):
            extensions.append((x509.ExtendedKeyUsage(usages), False))
        subject = named(common_name)
        made = self._issued(self.key, self.name, subject, key, extensions, begins, ends)
        return made, key

    def write(
        self,
        place: Path,
        name: str,
        *names: x509.GeneralName,
        usages: Iterable[ObjectIdentifier] = (),
        begins: timedelta = -DAY,
        ends: timedelta = 30 * DAY,
    ) -> tuple[str, str]:
        """Write NAME.pem, with the authorities below the topmost, NAME.key and ca.pem.

        Returns the first two file names.
        """
        certificate, key = self.issue(list(names), "somebody", usages, begins, ends)
        chain, one = [certificate], self
        while one.above is not None:
            chain.append(one.certificate)
            one = one.above
        text = b"".join(each.public_bytes(Encoding.PEM) for each in chain)
        place.joinpath(f"{name}.pem").write_bytes(text)
        place.joinpath(f"{name}.key").write_bytes(pem(key))
        place.joinpath("ca.pem").write_bytes(one.certificate.public_bytes(Encoding.PEM))
        return f"{name}.pem", f"{name}.key"


def pem(key: Key) -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
