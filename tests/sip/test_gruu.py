"""Instance IDs and public GRUUs (RFC 5626 §4.1, §10, RFC 5627 §5.4)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sipproxy.sip.gruu import canonical_urn, gr_value, instance_of, names_instance, public_gruu
from sipproxy.sip.headers import parse_name_addr
from sipproxy.sip.uri import address_of_record, equivalent, parse_uri
from tests.sip.tables import TableCase, rows

UUID = b"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
ALICE = b"alice@example.test"


def instance(value: str) -> bytes:
    """Return the instance ID of a Contact with this value of +sip.instance."""
    return instance_of(parse_name_addr(b"<sip:a@h.test>;+sip.instance" + value.encode()))


class InstanceTest(TableCase):
    """What ``+sip.instance`` may say."""

    @rows(
        {
            "a UUID": ('="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"', UUID),
            "in capitals (RFC 4122 §3)": (f'="<{UUID.decode().upper()}>"', UUID),
            "another URN": ('="<URN:IMEI:90420156-025763-0;vers=0>"',
                            b"urn:imei:90420156-025763-0;vers=0"),
            "its own part has case (RFC 2141 §5)": ('="<urn:X:AbC%2f>"', b"urn:x:AbC%2f"),
            "but not its escapes": ('="<urn:x:a%2F>"', b"urn:x:a%2f"),
            "no URN": ('="<Phone;1,2?3=4>"', b"Phone;1,2?3=4"),
            "hardly a URN": ('="<urn:>"', b"urn::"),
        }
    )  # fmt: skip
    def test_read(self, value: str, expected: bytes) -> None:
        self.assertEqual(instance(value), expected)

    def test_none(self) -> None:
        self.assertEqual(instance_of(parse_name_addr(b"<sip:a@h.test>;q=0.1")), b"")

    @rows(
        {
            "no value": "",
            "empty": '=""',
            "no URN in it": '="<>"',
            "no brackets": '="urn:uuid:1"',
            "one bracket": '="<urn:uuid:1"',
            "a space": '="<urn: uuid>"',
            "a quote": r'="<urn:\"x>"',
            "half an escape": '="<urn:x:%2>"',
            "brackets within": '="<urn:<x>>"',
            "no ASCII": '="<urn:x:é>"',
            "too long": '="<urn:x:' + "y" * 512 + '>"',
        }
    )
    def test_refused(self, value: str) -> None:
        self.refuses(400, instance, value)


class PublicTest(TableCase):
    """The GRUU that shows its address-of-record."""

    def test_as_in_the_rfc(self) -> None:
        gruu = public_gruu(b"sip", b"callee@example.com", UUID)
        self.assertEqual(gruu, b"sip:callee@example.com;gr=" + UUID)
        self.assertEqual(public_gruu(b"sips", ALICE, UUID)[:24], b"sips:alice@example.test;")

    def test_capitals_count(self) -> None:
        """§5.4: two instances never have equal GRUUs, and URIs compare gr without case."""
        first, second = (parse_uri(public_gruu(b"sip", ALICE, b"urn:x:" + x)) for x in (b"a", b"A"))
        self.assertFalse(equivalent(first, second))
        self.assertFalse(names_instance(first, b"urn:x:A"))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
    def test_whatever_characters_there_are(self, text: str) -> None:
        """What is given is a URI of this address-of-record that means this instance."""
        urn = canonical_urn(text.encode())
        uri = parse_uri(public_gruu(b"sip", b"a b;c@example.test", urn))
        self.assertEqual(address_of_record(uri), b"a b;c@example.test")
        self.assertTrue(names_instance(uri, urn))
        self.assertFalse(names_instance(uri, urn + b"x"))

    def test_long_ones_are_shortened(self) -> None:
        self.assertLess(len(gr_value(b"urn:x:" + b"y" * 500)), 50)
