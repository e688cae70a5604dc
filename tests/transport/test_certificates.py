"""Whose a certificate is and what for (RFC 5922 §7.1, §7.2; RFC 5924), and files that hold one."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from sipproxy.sip.uri import parse_uri
from sipproxy.transport.certificates import (
    SIP_DOMAIN,
    CertificateError,
    NextHop,
    identities,
    is_usable,
    matches,
    read_pair,
    wanted_domains,
)
from tests.authority import DAY, Authority, dns, pem, uris
from tests.sip.tables import TableCase, rows

AUTHORITY = Authority()
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY, CODE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.CODE_SIGNING
IP = x509.IPAddress(ip_address("192.0.2.1"))


class IdentitiesTest(TableCase):
    """RFC 5922 §7.1."""

    @rows(
        {
            "sip URI": (uris("sip:a.test"), {"a.test"}),
            "scheme and host in any case": (uris("SIP:A.Test"), {"a.test"}),
            "sip URI with a port and parameters": (uris("sip:a.test:5061;lr"), {"a.test"}),
            "several sip URIs": (uris("sip:a.test", "sip:b.test"), {"a.test", "b.test"}),
            "sip URI of an address": (uris("sip:192.0.2.1"), {"192.0.2.1"}),
            "URI of a user": (uris("sip:alice@a.test"), set()),
            "URI of an empty user": (uris("sip:@a.test"), set()),
            "sips URI": (uris("sips:a.test"), set()),
            "URI of another scheme": (uris("https://a.test/"), set()),
            "URI that is none": (uris("sip:a..test"), set()),
            "URI with a NUL": (uris("sip:a.test\0.evil.test"), set()),
            "DNS": (dns("a.test"), {"a.test"}),
            "DNS, final dot": (dns("A.test."), {"a.test"}),
            "several DNS": (dns("a.test", "b.test"), {"a.test", "b.test"}),
            "DNS beside a sip URI": (uris("sip:a.test") + dns("b.test"), {"a.test"}),
            "DNS beside the URI of a user": (uris("sip:x@a.test") + dns("b.test"), {"b.test"}),
            "DNS beside another URI": (uris("https://a.test") + dns("b.test"), {"b.test"}),
            "DNS with a NUL": (dns("a.test\0.evil.test"), set()),
            "DNS wildcard": (dns("*.a.test"), set()),
            "DNS wildcard beside a name": (dns("*.a.test", "a.test"), {"a.test"}),
            "DNS with a leading dot": (dns(".a.test"), set()),
            "DNS that is an address": (dns("192.0.2.1"), set()),
            "DNS that is empty": (dns(""), set()),
            "IP address": ([IP], set()),
            "mail address": ([x509.RFC822Name("a@a.test")], set()),
        }
    )
    def test_subject_alt_name(self, names: list[x509.GeneralName], domains: set[str]) -> None:
        """The common name, which says something else, does not count beside it."""
        certificate, _ = AUTHORITY.issue(names, "cn.test")
        self.assertEqual(identities(certificate), {domain.encode() for domain in domains})

    @rows(
        {
            "name": ("CN.test", {"cn.test"}),
            "words": ("The Company", set()),
            "wildcard": ("*.cn.test", set()),
            "address": ("192.0.2.1", set()),
            "not in ASCII": ("bücher.test", set()),
        }
    )
    def test_common_name_alone(self, name: str, domains: set[str]) -> None:
        certificate, _ = AUTHORITY.issue(None, name)
        self.assertEqual(identities(certificate), {domain.encode() for domain in domains})


class MatchesTest(TableCase):
    """RFC 5922 §7.2: whole names, and nothing is inferred from them."""

    @rows(
        {
            "same": ("a.test", "a.test", True),
            "another": ("a.test", "b.test", False),
            "below": ("a.test", "x.a.test", False),
            "above": ("x.a.test", "a.test", False),
            "suffix": ("a.test", "evila.test", False),
            "wildcard": ("*.a.test", "x.a.test", False),
            "none": ("", "a.test", False),
        }
    )
    def test_matches(self, found: str, wanted: str, does: bool) -> None:
        has = frozenset({found.encode()} if found else ())
        self.assertIs(matches(has, (wanted.encode(),)), does)

    def test_one_of_several(self) -> None:
        self.assertTrue(matches(frozenset({b"a.test", b"b.test"}), (b"c.test", b"b.test")))


class UsableTest(TableCase):
    """RFC 5280 §4.2.1.12 with RFC 5924 §5: as a server; as a client, lenient and strict."""

    @rows(
        {
            "nothing said": ([], True, True, True),
            "both": ([SERVER, CLIENT], True, True, True),
            "server": ([SERVER], True, True, False),
            "client": ([CLIENT], False, True, True),
            "sip domain": ([SIP_DOMAIN], True, True, True),
            "any": ([ANY], True, True, True),
            "code signing": ([CODE], False, False, False),
            "code signing, and sip domain": ([CODE, SIP_DOMAIN], True, True, True),
        }
    )
    def test_usable(self, usages: list[x509.ObjectIdentifier], *may: bool) -> None:
        certificate, _ = AUTHORITY.issue(dns("a.test"), usages=usages)
        found = [
            is_usable(certificate, is_client=False, strict=True),
            is_usable(certificate, is_client=True, strict=False),
            is_usable(certificate, is_client=True, strict=True),
        ]
        self.assertEqual(found, list(may))
        self.assertEqual(is_usable(certificate, is_client=False, strict=False), may[0])


class WantedTest(TableCase):
    """RFC 5922 §4: the name before any look-up."""

    def test_uri(self) -> None:
        """Not where maddr leads: whoever wrote it says not who may stand there."""
        self.assertEqual(wanted_domains(parse_uri(b"sips:x@A.test;maddr=b.test")), (b"a.test",))

    def test_configured_hop(self) -> None:
        hop = NextHop(parse_uri(b"sip:edge.a.test;transport=tls"), b"a.test")
        self.assertEqual(wanted_domains(hop), (b"a.test", b"edge.a.test"))


class PairTest(TableCase):
    """Files: one that is right, and what is said of each that is not."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir()
        AUTHORITY.write(self.place, "a", *dns("a.test"))
        AUTHORITY.write(self.place, "b", *dns("b.test"))
        self.place.joinpath("text").write_text("no PEM")
        secret = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        self.place.joinpath("locked").write_bytes(secret)

    def test_right(self) -> None:
        pair = read_pair("listen[0].", self.place / "a.pem", self.place / "a.key")
        self.assertEqual(pair.domains, ["a.test"])
        self.assertEqual(pair.expires, pair.chain[0].not_valid_after_utc)

    @rows(
        {
            "certificate missing": ("c.pem", "a.key", "certificate", "cannot be read: No such"),
            "certificate a directory": (".", "a.key", "certificate", "cannot be read: Is a dir"),
            "certificate no PEM": ("text", "a.key", "certificate", "holds no certificate in PEM"),
            "key missing": ("a.pem", "c.key", "private_key", "cannot be read: No such file"),
            "key no PEM": ("a.pem", "text", "private_key", "holds no private key in PEM"),
            "key a certificate": ("a.pem", "a.pem", "private_key", "holds no private key in PEM"),
            "key encrypted": ("a.pem", "locked", "private_key", "is encrypted; write it without"),
            "key of another": ("a.pem", "b.key", "private_key", "is not the key of "),
        }
    )
    def test_wrong(self, certificate: str, key: str, name: str, problem: str) -> None:
        with self.assertRaises(CertificateError) as caught:
            read_pair("listen[0].", self.place / certificate, self.place / key)
        self.assertEqual(caught.exception.key, f"listen[0].{name}")
        self.assertIn(problem, caught.exception.problem)
        self.assertNotIn("\n", str(caught.exception))

    def test_first_to_expire(self) -> None:
        """The chain is as good as the first of it to expire."""
        above = self.place.joinpath("a.pem").read_bytes()
        other, key = AUTHORITY.issue(dns("a.test"), ends=60 * DAY)
        self.place.joinpath("chain.pem").write_bytes(other.public_bytes(Encoding.PEM) + above)
        self.place.joinpath("chain.key").write_bytes(pem(key))
        pair = read_pair("", self.place / "chain.pem", self.place / "chain.key")
        self.assertLess(pair.expires, other.not_valid_after_utc)
