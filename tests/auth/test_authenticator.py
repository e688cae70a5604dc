"""Digest challenges and checks (RFC 3261 §22, RFC 7616, RFC 8760)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from sipproxy.auth.authenticator import Authenticator, consume
from sipproxy.auth.settings import Auth
from sipproxy.sip.digest import ALGORITHMS, credentials, ha1
from sipproxy.sip.errors import SipError
from sipproxy.sip.headers import parse_authorization
from sipproxy.sip.message import Request
from sipproxy.transport.identity import Identity
from sipproxy.transport.settings import Listen
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

REALM = b"example.test"
URI = b"sip:bob@example.test"
ALICE = b"alice@example.test"
OTHER_REALM = b'Digest realm="other.test", username="alice", nonce="x", uri="sip:x", response="y"'
MALFORMED = [b'Digest realm="a", realm="a"', b"Digest realm", b'Digest ="x"']
IDENTITY = Identity(["example.test"], ["sip.example.test"], [Listen("udp", "192.0.2.9")])
Params = dict[bytes, bytes]


class Secrets:
    """A credential store that answers at once, or when the test says so."""

    def __init__(self, passwords: Mapping[bytes, bytes]) -> None:
        self._passwords = passwords
        self.asked: list[tuple[bytes, str]] = []
        self.waiting: Deferred[bytes | None] | None = None

    def secret(self, aor: bytes, algorithm: str) -> Any:
        """Return the HA1 of a user."""
        self.asked.append((aor, algorithm))
        if self.waiting is not None:
            return self.waiting
        return self.ha1(aor, algorithm)

    def ha1(self, aor: bytes, algorithm: str) -> bytes | None:
        """Return what a store with these passwords has."""
        password = self._passwords.get(aor)
        user, _, realm = aor.rpartition(b"@")
        return None if password is None else ha1(algorithm, user, realm, password)


class AuthenticatorCase(TableCase):
    """An authenticator on a clock that the test moves."""

    algorithms: tuple[Any, ...] = ("SHA-256", "MD5")

    def setUp(self) -> None:
        self.now = 1000.0
        self.salt = 0
        self.secrets = Secrets({ALICE: b"secret", b"carol@example.test": b"other"})
        self.authenticator = Authenticator(
            Auth(algorithms=self.algorithms),
            self.secrets,
            IDENTITY.canonical,
            lambda: self.now,
            self.random,
        )

    def random(self, length: int) -> bytes:
        self.salt += 1
        return b"%0*d" % (length, self.salt)

    def request(
        self, *lines: tuple[bytes, bytes], method: bytes = b"MESSAGE", uri: bytes = URI
    ) -> Request:
        return Request.build(method, uri, [(b"From", b"<sip:alice@example.test>"), *lines])

    def challenged(self, request: Request) -> list[Params]:
        """Return the challenges that a request meets."""
        error = self.refuses(407, self.authenticator.authenticate, request, REALM)
        return [parse_authorization(value).params for _, value in error.headers]

    def is_stale(self, request: Request) -> bool:
        """Tell whether a request is asked to try again with a new nonce."""
        found = {params.get(b"stale") for params in self.challenged(request)}
        self.assertEqual(len(found), 1)
        return found == {b"true"}

    def fresh(self, algorithm: str = "SHA-256", realm: bytes = REALM) -> Params:
        """Return a new challenge for an algorithm."""
        request = self.request()
        error = self.refuses(407, self.authenticator.authenticate, request, realm)
        all_ = [parse_authorization(value).params for _, value in error.headers]
        return next(params for params in all_ if params[b"algorithm"] == algorithm.encode())

    def answer(self, challenge: Params, count: int = 1, **changed: bytes) -> bytes:
        """Return credentials; ``changed`` has other values of user, password, method and uri."""
        facts = {"user": b"alice", "password": b"secret", "method": b"MESSAGE", "uri": URI}
        return credentials(challenge, cnonce=b"0a4f113b", count=count, **(facts | changed))

    def try_(self, *values: bytes) -> Any:
        """Authenticate a MESSAGE with these credentials."""
        request = self.request(*((b"Proxy-Authorization", value) for value in values))
        return self.authenticator.authenticate(request, REALM)


class ChallengeTest(AuthenticatorCase):
    """What a request without credentials is answered (RFC 3261 §22.1, RFC 8760 §2.3)."""

    @rfc(
        3261,
        "22.1",
        "what we answer is challenged by 401, what we send on by 407, ACK and CANCEL never",
    )
    @rows(
        {
            "registrar": (b"REGISTER", 401, b"WWW-Authenticate"),
            "proxy": (b"MESSAGE", 407, b"Proxy-Authenticate"),
            "proxy, REGISTER for elsewhere": (b"REGISTER", 407, b"Proxy-Authenticate"),
        }
    )
    def test_status(self, method: bytes, status: int, header: bytes) -> None:
        request = self.request(method=method)
        error = self.refuses(status, self.authenticator.authenticate, request, REALM, status)
        self.assertEqual([name for name, _ in error.headers], [header, header])

    @rfc(8760, "2.3", "a challenge for each algorithm, the most preferred first")
    def test_one_challenge_for_each_algorithm_in_order(self) -> None:
        found = self.challenged(self.request())
        self.assertEqual([params[b"algorithm"] for params in found], [b"SHA-256", b"MD5"])
        for params in found:
            self.assertEqual((params[b"realm"], params[b"qop"]), (REALM, b"auth"))
            self.assertNotIn(b"stale", params)

    def test_nonces_differ(self) -> None:
        first, second = self.fresh(), self.fresh()
        self.assertNotEqual(first[b"nonce"], second[b"nonce"])


class AllAlgorithmsTest(AuthenticatorCase):
    """Each algorithm that is offered is accepted, and no other (RFC 8760 §2.6)."""

    algorithms = tuple(reversed(ALGORITHMS))

    @rfc(8760, "2.3", "a challenge for each algorithm, the most preferred first")
    def test_order_is_that_of_the_configuration(self) -> None:
        found = [params[b"algorithm"].decode() for params in self.challenged(self.request())]
        self.assertEqual(found, list(self.algorithms))

    @rfc(8760, "2.6", "an algorithm that is not offered is not taken")
    @rows({name: name for name in ALGORITHMS})
    def test_accepted(self, algorithm: str) -> None:
        self.assertEqual(self.try_(self.answer(self.fresh(algorithm))), ALICE)
        self.assertEqual(self.secrets.asked, [(ALICE, algorithm)])

    @rfc(7616, "3.3", "without algorithm it is MD5")
    def test_default_is_md5(self) -> None:
        """RFC 7616 §3.3: where the algorithm is not said it is MD5."""
        value = self.answer(self.fresh("MD5")).replace(b" algorithm=MD5,", b"")
        self.assertEqual(self.try_(value), ALICE)


@rfc(8760, "2.6", "an algorithm that is not offered is not taken")
class Sha256Test(AuthenticatorCase):
    """A server that does not offer MD5 does not take it (RFC 8760 §2.6: no bid down)."""

    algorithms = ("SHA-256",)

    def test_md5_is_challenged(self) -> None:
        challenge = self.fresh() | {b"algorithm": b"MD5"}
        request = self.request((b"Proxy-Authorization", self.answer(challenge)))
        self.assertFalse(self.is_stale(request))
        self.assertEqual(self.secrets.asked, [])


class CheckTest(AuthenticatorCase):
    """Which credentials prove a user (RFC 7616 §3.4)."""

    def test_right_ones(self) -> None:
        self.assertEqual(self.try_(self.answer(self.fresh())), ALICE)

    @rfc(7616, "3.4", "a response is checked with realm, nonce, nc, cnonce, qop, uri and method")
    @rows(
        {
            "password": {"password": b"wrong"},
            "user": {"user": b"carol"},
            "user who does not exist": {"user": b"nobody"},
            "method": {"method": b"INVITE"},
        }
    )
    def test_wrong(self, changed: dict[str, bytes]) -> None:
        """Nothing in the answer tells a wrong user from a wrong password."""
        value = self.answer(self.fresh(), **changed)
        found = self.challenged(self.request((b"Proxy-Authorization", value)))
        for params in found:
            params[b"nonce"] = b""
        base = {b"realm": REALM, b"qop": b"auth", b"nonce": b""}
        self.assertEqual(found, [base | {b"algorithm": b"SHA-256"}, base | {b"algorithm": b"MD5"}])

    @rows(
        {
            "realm": (b'realm="example.test"', b'realm="other.test"'),
            "algorithm": (b"algorithm=SHA-256", b"algorithm=SHA-384"),
            "algorithm, session": (b"algorithm=SHA-256", b"algorithm=SHA-256-sess"),
            "no qop": (b", qop=auth", b""),
            "qop": (b"qop=auth", b"qop=auth-int"),
            "no nc": (b"nc=00000001, ", b""),
            "nc": (b"nc=00000001", b"nc=1"),
            "no cnonce": (b'cnonce="0a4f113b", ', b""),
            "no username": (b'username="alice", ', b""),
            "no uri": (b'uri="sip:bob@example.test", ', b""),
            "scheme": (b"Digest", b"Basic"),
            "nonce": (b'nonce="0', b'nonce="1'),
            "response": (b'response="', b'response="0'),
        }
    )
    def test_challenged_anew(self, old: bytes, new: bytes) -> None:
        value = self.answer(self.fresh())
        self.assertIn(old, value)
        request = self.request((b"Proxy-Authorization", value.replace(old, new)))
        self.assertFalse(self.is_stale(request))
        self.assertIn(b"proxy-authorization", request.names)

    @rfc(3261, "16.3 step 1", "what the proxy does not use is forwarded as it came")
    @rows(
        {
            "repeated parameter": b'Digest realm="a", realm="a"',
            "no value": b"Digest realm",
            "no name": b'Digest ="x"',
            "ours": b'Digest realm="example.test", nonce="x", nonce="y"',
        }
    )
    def test_unreadable(self, value: bytes) -> None:
        """RFC 3261 §16.3 step 1: what a proxy does not use is no reason to refuse."""
        self.assertFalse(self.is_stale(self.request((b"Proxy-Authorization", value))))
        self.assertEqual(self.try_(value, self.answer(self.fresh())), ALICE)
        self.assertEqual(self.try_(self.answer(self.fresh()), value), ALICE)

    def test_uri_that_is_none(self) -> None:
        value = self.answer(self.fresh(), uri=b"sip:")
        self.assertFalse(self.is_stale(self.request((b"Proxy-Authorization", value))))

    @rfc(7616, "3.4", "the uri parameter means the resource of the Request-URI")
    @rows(
        {
            "port": b"sip:bob@example.test:5060",
            "parameters": b"sip:bob@example.test;transport=tcp",
            "escapes": b"sip:%62ob@EXAMPLE.test",
            "sips": b"sips:bob@example.test",
            "alias": b"sip:bob@sip.example.test",
            "address": b"sip:bob@192.0.2.9:5060",
        }
    )
    def test_same_resource(self, uri: bytes) -> None:
        """RFC 8760 §2.6: the uri may be written otherwise than the Request-URI."""
        self.assertEqual(self.try_(self.answer(self.fresh(), uri=uri)), ALICE)

    @rows(
        {
            "alias": b"sip:bob@sip.example.test",
            "address": b"sip:bob@192.0.2.9",
            "im": b"im:" + URI[4:],
        }
    )
    def test_same_resource_by_another_name_of_ours(self, uri: bytes) -> None:
        """RFC 8760 §2.6: the uri names the domain, the Request-URI what leads there."""
        header = (b"Proxy-Authorization", self.answer(self.fresh()))
        request = self.request(header, uri=uri)
        self.assertEqual(self.authenticator.authenticate(request, REALM), ALICE)

    def test_no_two_uris_of_another_scheme_are_the_same(self) -> None:
        header = (b"Proxy-Authorization", self.answer(self.fresh(), uri=b"tel:1"))
        request = self.request(header, uri=b"tel:2")
        self.refuses(403, self.authenticator.authenticate, request, REALM)

    @rfc(7616, "3.4", "the uri parameter means the resource of the Request-URI")
    @rows({"user": b"sip:carol@example.test", "host": b"sip:bob@b.test", "scheme": b"tel:1"})
    def test_other_resource(self, uri: bytes) -> None:
        self.refuses(403, self.try_, self.answer(self.fresh(), uri=uri))

    def test_nonce_of_another_realm(self) -> None:
        """A nonce is good for the realm that it was made for alone."""
        challenge = self.fresh(realm=b"second.test") | {b"realm": REALM}
        request = self.request((b"Proxy-Authorization", self.answer(challenge)))
        self.assertFalse(self.is_stale(request))

    def test_authorization_is_not_for_a_proxy(self) -> None:
        request = self.request((b"Authorization", self.answer(self.fresh())))
        self.refuses(407, self.authenticator.authenticate, request, REALM)


class TimeTest(AuthenticatorCase):
    """Nonces age, and no count passes twice (RFC 7616 §3.3, §5.5)."""

    @rfc(7616, "3.3", "stale is for a nonce that is only too old")
    def test_stale(self) -> None:
        """``stale`` is for a nonce that is only too old: the password was right."""
        challenge = self.fresh()
        self.now += 300
        self.assertEqual(self.try_(self.answer(challenge)), ALICE)
        self.now += 1.5
        request = self.request((b"Proxy-Authorization", self.answer(challenge, 2)))
        self.assertTrue(self.is_stale(request))

    @rfc(7616, "3.3", "stale is for a nonce that is only too old")
    def test_stale_with_a_wrong_password(self) -> None:
        challenge = self.fresh()
        self.now += 1000
        value = self.answer(challenge, password=b"wrong")
        self.assertFalse(self.is_stale(self.request((b"Proxy-Authorization", value))))

    @rfc(7616, "5.5", "a replay is challenged anew")
    def test_replay(self) -> None:
        value = self.answer(self.fresh())
        self.try_(value)
        self.assertTrue(self.is_stale(self.request((b"Proxy-Authorization", value))))

    @rfc(7616, "3.4", "a nonce count passes once")
    def test_counting_on(self) -> None:
        challenge = self.fresh()
        for count in (1, 2, 5, 3, 4, 6):  # datagrams overtake each other
            self.assertEqual(self.try_(self.answer(challenge, count)), ALICE)
        for count in (0, 3, 6):
            self.refuses(407, self.try_, self.answer(challenge, count))

    def test_a_wrong_password_uses_no_count_up(self) -> None:
        challenge = self.fresh()
        self.refuses(407, self.try_, self.answer(challenge, password=b"wrong"))
        self.assertEqual(self.try_(self.answer(challenge)), ALICE)


@rfc(3261, "22.3", "credentials for another realm are left in the request, in their order")
class ConsumedTest(AuthenticatorCase):
    """A proxy takes out the credentials for its realm, and no others (RFC 3261 §22.3)."""

    def test_ours_go_others_stay(self) -> None:
        ours = self.answer(self.fresh())
        header = b"Proxy-Authorization"
        request = self.request((header, OTHER_REALM), (header, ours), (header, b"Basic eA=="))
        self.assertEqual(self.authenticator.authenticate(request, REALM), ALICE)
        self.assertEqual(request.raw_values(b"proxy-authorization"), [OTHER_REALM, b"Basic eA=="])

    @rows({str(index): value for index, value in enumerate(MALFORMED)})
    def test_what_cannot_be_read_stays(self, value: bytes) -> None:
        header = b"Proxy-Authorization"
        request = self.request((header, value), (header, self.answer(self.fresh())))
        consume(request, (REALM,))
        self.assertEqual(request.raw_values(b"proxy-authorization"), [value])

    def test_authorization_of_a_register_stays(self) -> None:
        value = self.answer(self.fresh(), method=b"REGISTER")
        request = self.request((b"Authorization", value), method=b"REGISTER")
        self.assertEqual(self.authenticator.authenticate(request, REALM, 401), ALICE)
        self.assertEqual(request.raw_values(b"authorization"), [value])

    def test_the_line_that_fits_counts(self) -> None:
        """Of several for our realm the first whose algorithm we offer is checked."""
        challenge = self.fresh()
        unknown = self.answer(challenge).replace(b"SHA-256", b"SHA3")
        header = b"Proxy-Authorization"
        request = self.request((header, unknown), (header, self.answer(challenge)))
        self.assertEqual(self.authenticator.authenticate(request, REALM), ALICE)
        self.assertEqual(request.raw_values(b"proxy-authorization"), [])  # all were for us


@rfc(3261, "22.3", "credentials for another realm are left in the request, in their order")
class SeveralTest(AuthenticatorCase):
    """Of several credentials for our realm one has to be good (RFC 3261 §22.3)."""

    def wrong(self, kind: str) -> bytes:
        """Return credentials that prove nothing."""
        if kind == "password":
            return self.answer(self.fresh(), password=b"wrong")
        if kind == "resource":
            return self.answer(self.fresh(), uri=b"sip:carol@example.test")
        if kind == "nonce":
            return self.answer(self.fresh() | {b"nonce": b"0" * 52})
        challenge = self.fresh()
        self.now += 1000
        return self.answer(challenge)

    @rows({name: name for name in ("password", "resource", "nonce", "age")})
    def test_one_is_good(self, kind: str) -> None:
        wrong = self.wrong(kind)
        self.assertEqual(self.try_(wrong, wrong, self.answer(self.fresh())), ALICE)
        self.assertEqual(self.try_(self.answer(self.fresh()), wrong), ALICE)

    @rows(
        {
            "password": (("password", "password"), 407),
            "resource, then password": (("resource", "password"), 407),
            "password, then resource": (("password", "resource"), 403),
        }
    )
    def test_none_is_good(self, kinds: tuple[str, ...], status: int) -> None:
        """The last one counts."""
        self.refuses(status, self.try_, *map(self.wrong, kinds))

    def test_the_last_one_is_only_old(self) -> None:
        header = b"Proxy-Authorization"
        values = [self.wrong("password"), self.wrong("age")]
        self.assertTrue(self.is_stale(self.request(*((header, value) for value in values))))

    def test_not_without_end(self) -> None:
        wrong = [self.wrong("password")] * 8
        self.refuses(407, self.try_, *wrong, self.answer(self.fresh()))
        self.assertEqual(len(self.secrets.asked), 8)
        self.assertEqual(self.try_(*wrong[1:], self.answer(self.fresh())), ALICE)


class DeferredTest(AuthenticatorCase):
    """A credential store may take its time."""

    def begin(self, value: bytes) -> tuple[Request, Deferred[bytes]]:
        self.secrets.waiting = Deferred()
        request = self.request((b"Proxy-Authorization", value))
        found: Deferred[bytes] = self.authenticator.authenticate(request, REALM)
        self.assertNoResult(found)
        return request, found

    def finish(self, secret: bytes | None) -> None:
        assert self.secrets.waiting is not None
        self.secrets.waiting.callback(secret)

    def test_right(self) -> None:
        request, found = self.begin(self.answer(self.fresh()))
        self.assertIn(b"proxy-authorization", request.names)
        self.finish(self.secrets.ha1(ALICE, "SHA-256"))
        self.assertEqual(self.successResultOf(found), ALICE)
        self.assertNotIn(b"proxy-authorization", request.names)

    def test_the_second_of_two(self) -> None:
        self.secrets.waiting = Deferred()
        values = [self.answer(self.fresh(), user=b"carol"), self.answer(self.fresh())]
        request = self.request(*((b"Proxy-Authorization", value) for value in values))
        found = self.authenticator.authenticate(request, REALM)
        first, self.secrets.waiting = self.secrets.waiting, Deferred()
        first.callback(None)
        self.assertNoResult(found)
        self.finish(self.secrets.ha1(ALICE, "SHA-256"))
        self.assertEqual(self.successResultOf(found), ALICE)

    @rows({"no such user": None, "wrong password": b"0" * 64})
    def test_refused(self, secret: bytes | None) -> None:
        _, found = self.begin(self.answer(self.fresh()))
        self.finish(secret)
        self.assertEqual(self.failureResultOf(found, SipError).value.status, 407)


class NothingElseTest(AuthenticatorCase):
    """No octets from the network raise anything but `SipError`."""

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=60), st.integers(0, 300), st.integers(0, 300))
    def test_noise(self, noise: bytes, start: int, end: int) -> None:
        value = self.answer(self.fresh())
        noise = noise.replace(b"\r", b"").replace(b"\n", b"")
        request = self.request((b"Proxy-Authorization", value[:start] + noise + value[end:]))
        try:
            found = self.authenticator.authenticate(request, REALM)
        except SipError as error:
            self.assertIn(error.status, (403, 407))
        else:
            self.assertEqual(found, ALICE)
