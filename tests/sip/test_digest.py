"""Digest authentication for both sides (RFC 7616, 8760, RFC 3261 §22)."""

from __future__ import annotations

import hashlib

from sipproxy.sip.digest import (
    ALGORITHMS,
    challenges,
    credentials,
    ha1,
    is_complete,
    named_algorithm,
    nonce_count,
    response_for,
    verify,
)
from sipproxy.sip.headers import parse_authorization
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

# RFC 7616 §3.9.1
EXAMPLE = {
    b"username": b"Mufasa",
    b"realm": b"http-auth@example.org",
    b"uri": b"/dir/index.html",
    b"nonce": b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    b"nc": b"00000001",
    b"cnonce": b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    b"qop": b"auth",
    b"opaque": b"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}
PASSWORD = b"Circle of Life"
MD5 = b"8ca523f5e9506fed4657c9700eebdbec"
SHA256 = b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


@rfc(7616, "3.9", "the examples of the RFC")
class ExampleTests(TableCase):
    """RFC 7616 §3.9: the examples."""

    @rows({"MD5": ("MD5", MD5), "SHA-256": ("SHA-256", SHA256)})
    def test_mufasa(self, algorithm: str, response: bytes) -> None:
        secret = ha1(algorithm, EXAMPLE[b"username"], EXAMPLE[b"realm"], PASSWORD)
        self.assertEqual(response_for(algorithm, secret, b"GET", EXAMPLE), response)
        given = {**EXAMPLE, b"response": response}
        self.assertTrue(verify(algorithm, secret, b"GET", given))
        self.assertTrue(verify(algorithm, secret, b"GET", {**given, b"response": response.upper()}))

    @rfc(7616, "3.4", "a response is checked with realm, nonce, nc, cnonce, qop, uri and method")
    @rows(
        {
            "method": (b"PUT", {}),
            "uri": (b"GET", {b"uri": b"/dir/"}),
            "nonce": (b"GET", {b"nonce": b"x"}),
            "cnonce": (b"GET", {b"cnonce": b"x"}),
            "count": (b"GET", {b"nc": b"00000002"}),
            "response": (b"GET", {b"response": SHA256[:-1] + b"0"}),
            "response cut short": (b"GET", {b"response": SHA256[:-1]}),
            "response beyond ASCII": (b"GET", {b"response": b"\xff"}),
        }
    )
    def test_anything_changed_fails(self, method: bytes, changed: dict[bytes, bytes]) -> None:
        secret = ha1("SHA-256", EXAMPLE[b"username"], EXAMPLE[b"realm"], PASSWORD)
        given = {**EXAMPLE, b"response": SHA256, **changed}
        self.assertFalse(verify("SHA-256", secret, method, given))

    def test_sha_512_256(self) -> None:
        """§3.9.2 with its formula (§3.4.1, §3.4.2): the printed digest is known to be wrong."""

        def h(text: bytes) -> bytes:
            return hashlib.new("sha512_256", text).hexdigest().encode()

        user, realm = b"J\xc3\xa4s\xc3\xb8n Doe", b"api@example.org"
        params = {
            b"uri": b"/doe.json",
            b"nonce": b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            b"nc": b"00000001",
            b"cnonce": b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            b"qop": b"auth",
        }
        secret = h(user + b":" + realm + b":Secret, or not?")
        self.assertEqual(ha1("SHA-512-256", user, realm, b"Secret, or not?"), secret)
        expected = h(
            b":".join(
                (
                    *(secret, params[b"nonce"], params[b"nc"], params[b"cnonce"], b"auth"),
                    h(b"GET:/doe.json"),
                )
            )
        )
        self.assertEqual(response_for("SHA-512-256", secret, b"GET", params), expected)
        self.assertEqual(len(expected), 64)


class ReadingTests(TableCase):
    """What credentials must have."""

    @rfc(7616, "3.3", "without algorithm it is MD5")
    @rows(
        {
            "absent is MD5": ({}, "MD5"),
            "MD5": ({b"algorithm": b"md5"}, "MD5"),
            "SHA-256": ({b"algorithm": b"Sha-256"}, "SHA-256"),
            "SHA-512-256": ({b"algorithm": b"SHA-512-256"}, "SHA-512-256"),
            "session variant": ({b"algorithm": b"MD5-sess"}, None),
            "unknown": ({b"algorithm": b"AKAv1-MD5"}, None),
            "beyond ASCII": ({b"algorithm": b"MD\xff"}, None),
            "empty": ({b"algorithm": b""}, None),
        }
    )
    def test_named_algorithm(self, params: dict[bytes, bytes], name: str | None) -> None:
        """RFC 7616 §3.3: if algorithm is not present, it is assumed to be MD5."""
        self.assertEqual(named_algorithm(params), name)

    @rows(
        {
            "first": (b"00000001", 1),
            "hexadecimal": (b"0000000a", 10),
            "upper case": (b"0000000A", 10),
            "largest": (b"ffffffff", 2**32 - 1),
            "seven digits": (b"0000001", None),
            "nine digits": (b"000000001", None),
            "no digit": (b"0000000g", None),
            "prefix": (b"0x000001", None),
            "sign": (b"+0000001", None),
            "underscore": (b"0_000001", None),
            "white space": (b" 0000001", None),
            "empty": (b"", None),
        }
    )
    def test_nonce_count(self, text: bytes, count: int | None) -> None:
        """RFC 7616 §3.4: nc-value = 8LHEX."""
        self.assertEqual(nonce_count({b"nc": text}), count)

    @rfc(8760, "2.6", "credentials without qop, nc or cnonce are not taken")
    @rows({name.decode(): name for name in EXAMPLE if name != b"opaque"})
    def test_incomplete(self, name: bytes) -> None:
        """RFC 8760 §2.6: credentials without qop, nc or cnonce are not taken."""
        whole = {**EXAMPLE, b"response": MD5}
        self.assertTrue(is_complete(whole))
        self.assertFalse(is_complete({key: whole[key] for key in whole if key != name}))
        self.assertFalse(is_complete({**whole, name: b""}))

    @rows({"auth-int": b"auth-int", "both": b"auth,auth-int"})
    def test_other_protection(self, qop: bytes) -> None:
        self.assertFalse(is_complete({**EXAMPLE, b"response": MD5, b"qop": qop}))

    def test_protection_in_another_case(self) -> None:
        self.assertTrue(is_complete({**EXAMPLE, b"response": MD5, b"qop": b"AUTH"}))


class ChallengeTests(TableCase):
    """RFC 8760 §2.3: one challenge for each algorithm, most preferred first."""

    @rfc(8760, "2.3", "a challenge for each algorithm, the most preferred first")
    def test_order(self) -> None:
        values = challenges(b'a "b"', b"nonce", ["SHA-256", "MD5"])
        read = [parse_authorization(value).params for value in values]
        self.assertEqual([params[b"algorithm"] for params in read], [b"SHA-256", b"MD5"])
        for params in read:
            expected = (b'a "b"', b"nonce", b"auth")
            self.assertEqual((params[b"realm"], params[b"nonce"], params[b"qop"]), expected)
            self.assertNotIn(b"stale", params)

    @rfc(7616, "3.3", "qop is quoted in a challenge, algorithm and stale are not")
    def test_qop_is_quoted_and_algorithm_is_not(self) -> None:
        """RFC 7616 §3.3: qop-options MUST be quoted; algorithm MUST NOT be."""
        (value,) = challenges(b"a", b"n", ["MD5"])
        self.assertEqual(value, b'Digest realm="a", nonce="n", algorithm=MD5, qop="auth"')

    def test_stale(self) -> None:
        for value in challenges(b"a", b"n", list(ALGORITHMS), stale=True):
            self.assertEqual(parse_authorization(value).params[b"stale"], b"true")


class CredentialsTests(TableCase):
    """What we answer a challenge with is what we would take."""

    @rows({name: name for name in ALGORITHMS})
    def test_round_trip(self, algorithm: str) -> None:
        (challenge,) = challenges(b'r"\\', b"no,nce", [algorithm])
        value = credentials(
            parse_authorization(challenge).params,
            *(b'al"ice', b"secret", b"MESSAGE", b'sip:b;x="y"@h', b"cn\\once", 17),
        )
        params = parse_authorization(value).params
        self.assertTrue(is_complete(params))
        self.assertEqual((named_algorithm(params), nonce_count(params)), (algorithm, 17))
        self.assertEqual((params[b"username"], params[b"realm"]), (b'al"ice', b'r"\\'))
        secret = ha1(algorithm, b'al"ice', b'r"\\', b"secret")
        self.assertTrue(verify(algorithm, secret, b"MESSAGE", params))
        self.assertFalse(verify(algorithm, secret, b"INVITE", params))
        self.assertNotIn(b"opaque", params)

    @rfc(7616, "3.3", "opaque comes back unchanged")
    @rows({"with a value": b'a"b', "empty": b""})
    def test_opaque_comes_back(self, opaque: bytes) -> None:
        """RFC 7616 §3.3: opaque SHOULD be returned by the client unchanged."""
        challenge = {b"realm": b"r", b"nonce": b"n", b"opaque": opaque}
        value = credentials(challenge, b"u", b"p", b"BYE", b"sip:h", b"c")
        self.assertEqual(parse_authorization(value).params[b"opaque"], opaque)

    def test_unknown_algorithm(self) -> None:
        challenge = {b"realm": b"r", b"nonce": b"n", b"algorithm": b"MD5-sess"}
        self.assertRaises(ValueError, credentials, challenge, b"u", b"p", b"BYE", b"sip:h", b"c")

    @rows({"realm": {b"nonce": b"n"}, "nonce": {b"realm": b"r"}})
    def test_challenge_without(self, challenge: dict[bytes, bytes]) -> None:
        self.assertRaises(KeyError, credentials, challenge, b"u", b"p", b"BYE", b"sip:h", b"c")
