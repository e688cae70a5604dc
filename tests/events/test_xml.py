"""XML from elsewhere: what is read, and what is refused before it can do harm."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.events.xml import read_xml, write_xml, xml_seconds, xml_text, xml_uri
from sipproxy.sip.errors import SipError
from tests.sip.tables import TableCase, rows

GOOD = b'<?xml version="1.0" encoding="UTF-8"?>\n<a xmlns="urn:x"><b c="1">d</b></a>'


def attributes(count: int) -> bytes:
    """Return so many attributes."""
    return b" ".join(b'a%d="1"' % number for number in range(count))


ACCEPTED = {
    "a document": GOOD,
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "white space before it": b"\r\n" + GOOD,
    "no declaration": b"<a/>",
    "US-ASCII": GOOD.replace(b"UTF-8", b"us-ascii"),
    "a value with a greater-than sign": b'<a b=">"/>',
    "the five entities": b"<a>&lt;&gt;&amp;&quot;&apos;</a>",
    "a comment": b"<a><!-- so it is --></a>",
}

REFUSED = {
    "nothing": b"",
    "no XML": b"hello",
    "cut off": GOOD[:-5],
    "a document type": b"<!DOCTYPE a SYSTEM 'http://192.0.2.1/a.dtd'><a/>",
    "an external entity": b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
    "an entity bomb": b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>',
    "an entity that nobody declared": b"<a>&e;</a>",
    "UTF-16": GOOD.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    "Latin 1": GOOD.replace(b"UTF-8", b"ISO-8859-1"),
    "octets that are no UTF-8": b"<a>\xff\xfe</a>",
    "a NUL": b"<a>\0</a>",
    "too deep": b"<a>" * 65 + b"</a>" * 65,
    "much too deep": b"<a>" * 20000 + b"</a>" * 20000,
    "too many elements": b"<a>" + b"<b/>" * 4001 + b"</a>",
    "too many attributes": b"<a " + attributes(65) + b"/>",
    "20,000 attributes": b"<a " + attributes(20000) + b"/>",
    "20,000 attributes after a greater-than sign": b'<a b=">" ' + attributes(20000) + b"/>",
    "an attribute twice": b'<a b="1" b="2"/>',
    "a prefix that is not bound": b"<p:a/>",
    "two roots": b"<a/><a/>",
}


class ReadingTests(SynchronousTestCase):
    """What `read_xml` makes of octets."""

    def test_accepted(self) -> None:
        for name, data in ACCEPTED.items():
            self.assertTrue(read_xml(data).tag.endswith("a"), name)

    def test_refused(self) -> None:
        for name, data in REFUSED.items():
            error = self.assertRaises(SipError, read_xml, data)
            self.assertEqual(error.status, 400, name)
            self.assertTrue(str(error).isascii() and str(error).isprintable(), name)

    def test_written_as_it_was_read(self) -> None:
        written = write_xml(read_xml(GOOD))
        self.assertEqual(written.replace(b"'", b'"'), GOOD)


class WrittenTest(TableCase):
    """What peers have written, as our documents have it."""

    @rows(
        {
            "as it should be": (b"sip:alice@b.test;transport=tcp?a=b", "as it is"),
            "an escape": (b"sip:a%20b@b.test", "as it is"),
            "a percent sign": (b"sip:100%@b.test", "sip:100%25@b.test"),
            "an IPv6 reference": (b"sip:a@[2001:db8::1]:5060;maddr=[::1]", "as it is"),
            "other brackets": (b"sip:[a]@b.test", "sip:%5Ba%5D@b.test"),
            "what is no ASCII": (b"sip:\xc3\xa9@b.test", "sip:%C3%A9@b.test"),
            "what URIs do not know": (b'sip:a\x0b <">@b.test#', "sip:a%0B%20%3C%22%3E@b.test%23"),
            "any scheme": (b"tel:+1-201-555-0123", "as it is"),
        }
    )
    def test_uri(self, octets: bytes, text: str) -> None:
        self.assertEqual(xml_uri(octets), octets.decode() if text == "as it is" else text)

    @rows(
        {
            "plain": (b"Bob & <Carol>", "Bob & <Carol>"),
            "UTF-8": ("Ж 𝄞".encode(), "Ж 𝄞"),
            "no UTF-8": (b"a\xff", "a\ufffd"),
            "control characters": (b"a\0\x0b\tb", "a\ufffd\ufffd\tb"),
            "what is no character": ("\uffff\ufffe".encode(), "\ufffd\ufffd"),
            "half a surrogate pair": (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        }
    )
    def test_text(self, octets: bytes, text: str) -> None:
        self.assertEqual(xml_text(octets), text)

    @rows({"past": (-1.0, "0"), "a tick short": (4.9, "4"), "by rounding": (4.999999, "5")})
    def test_seconds(self, seconds: float, text: str) -> None:
        self.assertEqual(xml_seconds(seconds), text)
