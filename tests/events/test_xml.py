"""XML from elsewhere: what is read, and what is refused before it can do harm."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.events.xml import read_xml, write_xml
from sipproxy.sip.errors import SipError

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
