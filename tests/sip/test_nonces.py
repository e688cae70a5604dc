"""Nonces: time and integrity in them, and each count once (RFC 7616 §3.3, §3.4, §5.4)."""

from __future__ import annotations

import tracemalloc

from sipproxy.sip.nonces import FORGED, FRESH, STALE, Nonces
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

KEY, REALM, SALT = b"secret", b"example.test", b"12345678"
NOW, LIFETIME = 1_700_000_000.5, 300.0


class JudgeTests(TableCase):
    """RFC 7616 §3.3: a nonce that is ours, and still good."""

    def setUp(self) -> None:
        self.nonces = Nonces(KEY, LIFETIME)
        self.nonce = self.nonces.make(REALM, NOW, SALT)

    @rows(
        {
            "at once": (0.0, FRESH),
            "before its lifetime ends": (LIFETIME - 1, FRESH),
            "after its lifetime": (LIFETIME + 1, STALE),
            "long after": (1e9, STALE),
        }
    )
    def test_age(self, age: float, verdict: int) -> None:
        self.assertEqual(self.nonces.judge(self.nonce, REALM, NOW + age), verdict)

    def test_other_realm(self) -> None:
        self.assertEqual(self.nonces.judge(self.nonce, b"other.test", NOW), FORGED)

    def test_other_key(self) -> None:
        other = Nonces(b"another", LIFETIME)
        self.assertEqual(other.judge(self.nonce, REALM, NOW), FORGED)

    def test_same_key_in_another_process(self) -> None:
        self.assertEqual(Nonces(KEY, LIFETIME).judge(self.nonce, REALM, NOW), FRESH)

    def test_each_octet_counts(self) -> None:
        for index in range(len(self.nonce)):
            changed = bytearray(self.nonce)
            changed[index] ^= 1
            verdict = self.nonces.judge(bytes(changed), REALM, NOW)
            self.assertEqual(verdict, FORGED, f"octet {index}")

    def test_for_whom(self) -> None:
        """A nonce is sent to an address; another address has not shown that it is there."""
        here, there = b"192.0.2.1", b"198.51.100.7"
        nonce = self.nonces.make(REALM, NOW, self.nonces.salt(b"abcd", here))
        self.assertEqual(self.nonces.judge(nonce, REALM, NOW), FRESH)
        self.assertTrue(self.nonces.is_for(nonce, here))
        self.assertFalse(self.nonces.is_for(nonce, there))
        for nonsense in (b"", nonce[:20], b"\xff" * 52, b"zz" * 26, self.nonce):
            self.assertFalse(self.nonces.is_for(nonsense, here), nonsense)

    @rows(
        {
            "empty": b"",
            "short": b"00",
            "beyond ASCII": b"\xff" * 52,
            "longer": b"0" * 500,
            "no time in it": b"zz" * 26,
        }
    )
    def test_nonsense(self, nonce: bytes) -> None:
        self.assertEqual(self.nonces.judge(nonce, REALM, NOW), FORGED)

    def test_longer_by_an_octet(self) -> None:
        self.assertEqual(self.nonces.judge(self.nonce + b"0", REALM, NOW), FORGED)

    def test_salt_tells_nonces_apart(self) -> None:
        self.assertNotEqual(self.nonces.make(REALM, NOW, b"abcdefgh"), self.nonce)

    def test_needs_no_quoting(self) -> None:
        self.assertTrue(self.nonce.isalnum())


@rfc(7616, "3.4", "a nonce count passes once")
class CountTests(TableCase):
    """RFC 7616 §3.4 (nc): a server keeps its own copy of the count to detect replays."""

    def setUp(self) -> None:
        self.nonces = Nonces(KEY, LIFETIME)

    @rows(
        {
            "in order": [(1, True), (2, True), (3, True)],
            "replay": [(1, True), (1, False), (2, True), (1, False), (2, False)],
            "zero": [(0, False), (1, True), (0, False)],
            "out of order, as datagrams come": [
                *[(3, True), (1, True), (2, True)],
                *[(1, False), (2, False), (3, False)],
            ],
            "gap": [(1, True), (1000, True), (999, True), (999, False)],
            "window": [(100, True), (37, True), (36, False), (37, False)],
            "window moves": [(37, True), (100, True), (37, False), (101, True), (37, False)],
            "far ahead and back": [(1, True), (2**32 - 1, True), (1, False), (2**32 - 2, True)],
        }
    )
    def test_counts(self, uses: list[tuple[int, bool]]) -> None:
        for place, (count, expected) in enumerate(uses):
            self.assertIs(self.nonces.use(b"n", count, 1.0), expected, f"use {place}: {count}")

    def test_nonces_count_apart(self) -> None:
        self.assertTrue(self.nonces.use(b"a", 1, 1.0))
        self.assertTrue(self.nonces.use(b"b", 1, 1.0))
        self.assertFalse(self.nonces.use(b"a", 1, 1.0))

    def test_far_behind_costs_nothing(self) -> None:
        """A count far below the highest is refused without a number of as many bits."""
        self.nonces.use(b"n", 2**32 - 1, 1.0)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.assertFalse(self.nonces.use(b"n", 1, 1.0))
        self.assertLess(tracemalloc.get_traced_memory()[1], 1 << 20)


class RotationTests(TableCase):
    """Counts are kept while their nonce is good, and not for ever."""

    @rfc(7616, "5.5", "a replay is challenged anew")
    def test_replay_is_seen_for_a_whole_lifetime(self) -> None:
        nonces = Nonces(KEY, 10.0)
        for start in range(0, 200, 7):
            name = b"%d" % start
            self.assertTrue(nonces.use(name, 1, float(start)))
            nonces.use(b"other", start + 1, start + 5.0)
            self.assertFalse(nonces.use(name, 1, start + 10.0), f"begun at {start}")

    def test_memory_is_bounded(self) -> None:
        nonces = Nonces(KEY, 10.0)
        for second in range(1000):
            self.assertTrue(nonces.use(b"%d" % second, 1, float(second)))
            kept = len(nonces._used) + len(nonces._used_before)
            self.assertLessEqual(kept, 22, f"second {second}")

    def test_count_goes_on_across_a_rotation(self) -> None:
        nonces = Nonces(KEY, 10.0)
        self.assertTrue(nonces.use(b"n", 5, 11.0))
        self.assertTrue(nonces.use(b"n", 6, 22.0))
        self.assertFalse(nonces.use(b"n", 5, 23.0))


class LastTests(TableCase):
    """Another lifetime, while nonces are about."""

    def setUp(self) -> None:
        self.nonces = Nonces(KEY, LIFETIME)
        self.nonce = self.nonces.make(REALM, NOW, SALT)

    def judge(self, nonce: bytes, age: float) -> int:
        return self.nonces.judge(nonce, REALM, NOW + age)

    def test_longer(self) -> None:
        """What was made before lives no longer: whose counts were used is forgotten."""
        self.nonces.last(9000.0, NOW + 10)
        later = self.nonces.make(REALM, NOW + 11, SALT)
        self.assertEqual(self.judge(self.nonce, LIFETIME - 1), FRESH)
        self.assertEqual(self.judge(self.nonce, LIFETIME + 1), STALE)
        self.assertEqual(self.judge(later, 9000.0), FRESH)

    def test_longer_and_longer(self) -> None:
        self.nonces.last(1000.0, NOW + 10)
        self.nonces.last(9000.0, NOW + 20)
        self.assertEqual(self.judge(self.nonce, LIFETIME + 1), STALE)

    def test_shorter(self) -> None:
        self.nonces.last(60.0, NOW + 10)
        self.assertEqual(self.judge(self.nonce, 59.0), FRESH)
        self.assertEqual(self.judge(self.nonce, 61.0), STALE)

    def test_the_same(self) -> None:
        self.nonces.last(LIFETIME, NOW + 10)
        self.nonces.last(9000.0, NOW - 10)
        self.assertEqual(self.judge(self.nonce, LIFETIME + 1), FRESH)
