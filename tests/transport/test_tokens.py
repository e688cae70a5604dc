"""Tokens that name flows (RFC 5626 §5.2)."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.uri import parse_uri
from sipproxy.transport.tokens import FlowTokens

TOKENS = FlowTokens(b"a secret")
_names = st.binary(max_size=30)


class TokensTest(SynchronousTestCase):
    """What was made is read, and nothing else is."""

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(_names, _names, st.binary(max_size=20))
    def test_round_trip(self, up: bytes, down: bytes, dialog: bytes) -> None:
        token = TOKENS.make(up, down, dialog)
        self.assertEqual(TOKENS.read(token, dialog), (up, down))
        self.assertIsNone(TOKENS.read(token, dialog + b"x"))
        self.assertIsNone(FlowTokens(b"another").read(token, dialog))

    def test_fit_for_a_user_part(self) -> None:
        token = TOKENS.make(bytes(range(200, 256)), b"", b"1")
        self.assertTrue(re.fullmatch(rb"[A-Za-z0-9_-]+", token))
        self.assertEqual(parse_uri(b"sip:%s@h" % token).user, token)

    def test_bit_flips(self) -> None:
        """No change of a bit names other flows; most are no token at all."""
        names = (b"u\x00\x13\xc4\xc0\x00\x02\x01", b"s12345678")
        token = TOKENS.make(*names, b"1")
        accepted = 0
        for place in range(8 * len(token)):
            flipped = bytearray(token)
            flipped[place // 8] ^= 1 << place % 8
            found = TOKENS.read(bytes(flipped), b"1")
            self.assertIn(found, (None, names))
            accepted += found is not None
        self.assertLess(accepted, 5)  # the bits that base64 leaves over at the end

    def test_parts_do_not_move(self) -> None:
        """What is upstream cannot be passed off as downstream."""
        token = TOKENS.make(b"ab", b"c", b"1")
        self.assertNotEqual(token, TOKENS.make(b"a", b"bc", b"1"))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.one_of(st.binary(max_size=60), st.text("abcXYZ019-_=", max_size=60).map(str.encode)))
    def test_noise(self, noise: bytes) -> None:
        self.assertIsNone(TOKENS.read(noise, b"1"))

    def test_cut(self) -> None:
        token = TOKENS.make(b"up", b"down", b"1")
        for length in range(len(token)):
            self.assertIsNone(TOKENS.read(token[:length], b"1"))
