"""The scanner and the parsers in Python are one: whatever the scanner reads, they read alike."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import is_params, split_params
from sipproxy.sip.headers import (
    CSeq,
    NameAddr,
    Via,
    parse_name_addr,
    read_digest,
    read_name_addr,
)
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import (
    BadMessage,
    parse_datagram,
    parse_framed,
    read_datagram,
    read_framed,
)
from sipproxy.sip.scanner import (
    IS_BUILT,
    find_field,
    read_field,
    read_select,
    scan_address,
    scan_digest,
    scan_end,
    scan_message,
    scan_params,
    scan_uri,
    select,
)
from sipproxy.sip.uri import Uri, parse_uri, read_uri
from tests.shared import SHARED, needs_shared
from tests.sip.strategies import examples, messages, mutated, uris
from tests.torture.mutants import Mutator, realistic

MUTANTS = 15_000

built = None if IS_BUILT else "the scanner in C is not there: no compiler, or not wanted"

# Lines that stand in place of an ordinary one, and are read by the scanner all the same.
ORDINARY = {
    "no port": (b"Via", b"SIP/2.0/UDP a.test;branch=z9hG4bKx"),
    "final dot": (b"Via", b"SIP/2.0/UDP A.test.:5060;branch=z9hG4bKx"),
    "stamped": (b"Via", b"SIP/2.0/tcp 1.2.3.4:9;rport=5;received=1.2.3.4;branch=z9hG4bKx="),
    "bracket in value": (b"Via", b"SIP/2.0/UDP a;branch=z9hG4bK;x=a=[b"),
    "quoted value": (b"Via", b'SIP/2.0/UDP a;branch=z9hG4bKx;x="y, <;"'),
    "compact": (b"v", b"SIP/2.0/UDP a.test;branch=z9hG4bKx"),
    "strange case": (b"VIA", b"SIP/2.0/UDP a.test;branch=z9hG4bKx"),
    "quoted name": (b"From", b'"A, <B>" <sip:a@a.test>;tag=1'),
    "name of words": (b"From", b"Alice and Bob <sip:a@a.test>;tag=1"),
    "name in UTF-8": (b"f", b'"\xc3\xa4" <sip:a@a.test>;tag=1'),
    "no name": (b"From", b"<tel:1>;tag=1;x"),
    "no space": (b"CSeq", b"2147483647\tMESSAGE"),
    "no hops left": (b"Max-Forwards", b"0"),
    "unknown header": (b"X-Odd-One", b"whatever; \xff"),
}
# What it has to leave to the parser, right or wrong.
STRANGE = {
    "two Vias on a line": (b"Via", b"SIP/2.0/UDP a;branch=z9hG4bKx, SIP/2.0/UDP b"),
    "IPv6": (b"Via", b"SIP/2.0/UDP [::1];branch=z9hG4bKx"),
    "spaces": (b"Via", b"SIP / 2.0 / UDP a;branch=z9hG4bKx"),
    "an escape in a value": (b"Via", b'SIP/2.0/UDP a;branch=z9hG4bKx;x="\\""'),
    "an open value": (b"Via", b'SIP/2.0/UDP a;branch=z9hG4bKx;x="y'),
    "more after a quoted value": (b"Via", b'SIP/2.0/UDP a;branch=z9hG4bKx;x="y"z'),
    "a quote in a value": (b"Via", b'SIP/2.0/UDP a;branch=z9hG4bKx;x=y"z"'),
    "a parameter twice": (b"Via", b"SIP/2.0/UDP a;branch=z9hG4bKx;x;X"),
    "an empty value": (b"Via", b"SIP/2.0/UDP a;branch="),
    "a value that begins badly": (b"Via", b"SIP/2.0/UDP a;branch==x"),
    "two dots": (b"Via", b"SIP/2.0/UDP a..b;branch=z9hG4bKx"),
    "a dash at the end": (b"Via", b"SIP/2.0/UDP a-;branch=z9hG4bKx"),
    "port of six digits": (b"Via", b"SIP/2.0/UDP a:065535;branch=z9hG4bKx"),
    "port too high": (b"Via", b"SIP/2.0/UDP a:65536;branch=z9hG4bKx"),
    "no port after a colon": (b"Via", b"SIP/2.0/UDP a:;branch=z9hG4bKx"),
    "another version": (b"Via", b"SIP/3.0/UDP a;branch=z9hG4bKx"),
    "escaped quote": (b"From", b'"\\"" <sip:a@a.test>;tag=1'),
    "open quote": (b"From", b'"A <sip:a@a.test>;tag=1'),
    "no brackets": (b"From", b"sip:a@a.test;tag=1"),
    "bracket in a URI": (b"From", b"<sip:a<@a.test>;tag=1"),
    "open bracket": (b"From", b"<sip:a@a.test;tag=1"),
    "spaces around a parameter": (b"From", b"<sip:a@a.test> ; tag=1"),
    "another method": (b"CSeq", b"1 INVITE"),
    "unknown method": (b"CSeq", b"1 MESSAGES"),
    "a sequence number too high": (b"CSeq", b"2147483648 MESSAGE"),
    "no method": (b"CSeq", b"1 "),
    "eleven digits": (b"CSeq", b"00000000001 MESSAGE"),
    "hops beyond the limit": (b"Max-Forwards", b"256"),
    "no number of hops": (b"Max-Forwards", b"x"),
    "no hops": (b"Max-Forwards", b""),
    "length too high": (b"Content-Length", b"99"),
    "length of two numbers": (b"l", b"1, 1"),
    "no Call-ID": (b"Call-ID", b" "),
    "folded": (b"Subject", b"a\r\n b"),
    "space before the colon": (b"Subject ", b"a"),
    "bare line feed": (b"Subject", b"a\nb"),
    "bare return": (b"Subject", b"a\rb"),
    "NUL": (b"Subject", b"a\0b"),
    "no name at all": (b"", b"a"),
    "no token": (b"a b", b"c"),
    "twice": (b"Expires", b"1\r\nexpires: 2"),
}
URIS = [
    *(b"sip:a@b", b"sips:a@b:1", b"sip:b", b"sip:b:65535;x=y;z", b"sip:a;x=1&2@B.;lr"),
    *(b"sip:a%40@b", b"SIP:a@b", b"im:a@b", b"tel:1", b"sip:", b"sip:@b", b"sip:a@", b"sip:a@b;"),
    *(b"sip:a@b;;x", b"sip:a@b;x;X", b"sip:a@b;=y", b"sip:a@b;x=%41", b"sip:a@b?c=d"),
    *(b"sip:a:p@b", b"sip:a@b@c", b"sip:a@.b", b"sip:a@b..", b"sip:a@b:", b"sip:a@b:65536"),
    *(b"sip:a@b:000080", b"sip:a@[::1]", b"sip:a b@c", b"sip:a@b c", b"sip:a\0@b", b""),
    b"sip:a@b\n",
]  # fmt: skip

ADDRESSES = [
    *(b"<sip:a@b>", b"<sip:a@b>;tag=1", b'"A B" <sip:a@b>;tag=1;x', b" A <sip:a@b;c>;q=0.5"),
    *(b'<sip:a@b>;x="<;"', b'<sip:a@b>;x="";y', b'<sip:a@b>;+i="<u:\x00>"'),
    *(b"<tel:1>", b"Alice <>", b"<sip:a@b>;tag=1;TAG=2", b" <sip:a@b>"),
    *(b'<sip:a@b>;x="', b'<sip:a@b>;x="\\"', b'<sip:a@b>;x="\\""', b'<sip:a@b>;x="y"z'),
    *(b'A "B" <sip:a@b>', b"sip:a@b;tag=1", b"<sip:a@b> ;tag=1", b"<", b"<sip:a@b>;tag=1 "),
    *(b"<sip:a@b>;tag=", b"*", b"", b"<sip:a@b>tag=1", b"<sip:a@b>;x=[::1]"),
]  # fmt: skip
CREDENTIALS = [
    *(b'username="a", realm="b c", nc=00000001,qop=auth', b'A="x,;=<>",b=c', b'a=""', b"a=b=c"),
    *(b' a = "b" , c = d ', b'a="b"\t,c="\xff"', b"uri=sip:a@b"),
]
STRANGE_CREDENTIALS = [
    *(b"", b"a", b"a=", b"=b", b"a=b,", b",a=b", b"a=b,,c=d", b"a=b,A=c", b'a="b', b'a="\\""'),
    *(b'a="b"c', b'a=b"c"', b"a=b c", b"a b=c", b"a=b;c=d", b'a="b" c="d"'),
]
LINES = [b"To: a", b"T:b", b"Subject :  c ", b"Subject: d", b"X:", b"Y: \r\n e\r\n f ", b"Z: g:h"]
NAMES = [b"to", b"to", b"subject", b"subject", b"x", b"y", b"z"]


PREPARE = """
from sipproxy.sip import scanner
scanner.prepare = lambda *_: None
from sipproxy.sip._scan import prepare
from sipproxy.sip.parser import CSeq, NameAddr, Request, Response, Uri, Via
class More(Request):
    __slots__ = ("more",)
types, refused = (Via, CSeq, NameAddr, Uri, Request, Response), 0
for place in range(len(types)):
    for other in (int, More, 1):
        try:
            prepare({}, {}, (*types[:place], other, *types[place + 1 :]))
        except (AttributeError, ValueError):
            refused += 1
prepare({}, {}, types)
print(refused, "refused, 1 taken")
"""

SPELT = {b"v": b"Via", b"VIA": b"Via", b"f": b"From", b"l": b"Content-Length"}
TABLES = (ORDINARY, STRANGE)


def taken_apart(thing: Any) -> Any:
    """Return everything that a message or a value of it says, with the types."""
    if isinstance(thing, Uri):
        parts = (thing.raw, thing.scheme, thing.user, thing.password, thing.host, thing.port)
        return (*parts, thing.params, list(thing.params), thing.headers)
    if isinstance(thing, Via):
        parts = (thing.transport, thing.host, thing.port, thing.branch, thing.effective_port)
        return (*parts, list(thing.params.items()))
    if isinstance(thing, CSeq):
        return thing.number, thing.method
    if isinstance(thing, NameAddr):
        return thing.display, thing.raw_uri, thing.raw_params, uri_told(lambda _: thing.uri, b"")
    return thing


def told(read: Any, data: bytes) -> list[Any]:
    """Return all that a reader finds in octets, or what it answers them with."""
    try:
        message: Request | Response = read(data)
    except BadMessage as error:
        salvaged = error.salvage and error.salvage.encode()
        return [error.status, error.reason, error.headers, salvaged]
    parts = [type(message), message.start, message.names, message.lines, message.body, message.via]
    parts.append(message.cseq)
    if isinstance(message, Request):
        parts += [message.method, message.raw_uri, message.version, message.uri, message.from_]
        parts.append(message.max_forwards)
    else:
        parts += [message.status, message.reason]
    return [*map(taken_apart, parts), message.encode()]


def uri_told(read: Any, raw: bytes) -> Any:
    """Return what a reader finds in a URI, or what it answers it with."""
    try:
        return taken_apart(read(raw))
    except SipError as error:
        return error.status, error.reason


def replaced(name: bytes, line: bytes) -> bytes:
    """Return an ordinary MESSAGE with a line in place of that of a header, or besides all."""
    lines = {
        b"Via": b"Via: SIP/2.0/UDP a.test;rport;branch=z9hG4bKx",
        b"From": b"From: <sip:a@a.test>;tag=1",
        b"To": b"To: <sip:b@a.test>",
        b"Call-ID": b"Call-ID: 1",
        b"CSeq": b"CSeq: 1 MESSAGE",
        b"Max-Forwards": b"Max-Forwards: 70",
        b"Content-Length": b"Content-Length: 1",
    }
    lines[SPELT.get(name, name)] = line
    return b"\r\n".join((b"MESSAGE sip:b@a.test SIP/2.0", *lines.values(), b"", b"1"))


class MessageTests(SynchronousTestCase):
    """Messages, one way and the other."""

    skip = built

    def agree(self, data: bytes) -> None:
        """Check that both ways say the same of a datagram, and of a message cut from a stream."""
        self.assertEqual(told(parse_datagram, data), told(read_datagram, data), data)
        self.assertEqual(told(parse_framed, data), told(read_framed, data), data)

    def test_ordinary(self) -> None:
        """What clients send is read by the scanner, and read right."""
        for row, (name, value) in ORDINARY.items():
            data = replaced(name, name + b": " + value)
            self.assertIsNotNone(scan_message(data, True), row)
            self.agree(data)

    def test_realistic(self) -> None:
        """So is what softphones send, and what they answer."""
        for data in realistic(5060, "UDP"):
            self.assertIsNotNone(scan_message(data, True), data)
            self.agree(data)
            head = data.partition(b"\r\n")[2]
            for start in (b"SIP/2.0 200 OK", b"SIP/2.0 699", b"SIP/2.0 404 \xff a "):
                self.assertIsNotNone(scan_message(start + b"\r\n" + head, True), start)
                self.agree(start + b"\r\n" + head)

    def test_strange(self) -> None:
        """What is strange is the parser's."""
        for row, (name, value) in STRANGE.items():
            data = replaced(name, name + b": " + value)
            self.assertIsNone(scan_message(data, True), row)
            self.agree(data)

    def test_starts(self) -> None:
        """So is a start line that is not as usual."""
        rest = replaced(b"", b"X: y").partition(b"\r\n")[2]
        starts = [
            *(b"MESSAGE sip:b@a.test sip/2.0", b"MESSAGE  sip:b@a.test SIP/2.0", b"MESSAGE"),
            *(b"message sip:b@a.test SIP/2.0", b"INVITE sip:b@a.test SIP/2.0", b" ", b""),
            *(b"MESSAGE sip:b@a.test?x=y SIP/2.0", b"MESSAGE tel:1 SIP/2.0", b"SIP/2.0 "),
            *(b"SIP/2.0 99 x", b"SIP/2.0 700 x", b"SIP/2.0 200x", b"sip/2.0 200 OK", b"SIP/2.0 20"),
            *(b"MESSAGE sip:b@a.test SIP/2.0 ", b"MESSAGE  SIP/2.0", b"SIP/2.0 2 0 OK"),
        ]
        for start in starts:
            self.assertIsNone(scan_message(start + b"\r\n" + rest, True), start)
            self.agree(start + b"\r\n" + rest)

    def test_every_end(self) -> None:
        """A message may end anywhere."""
        data = realistic(5060, "UDP")[0]
        for end in range(len(data)):
            self.agree(data[:end])

    def test_many_lines(self) -> None:
        """There may be more header lines than the scanner has room for."""
        for count in range(50, 70):
            self.agree(replaced(b"", b"\r\n".join([b"X: y"] * count)))

    def test_missing(self) -> None:
        """A mandatory field may be missing, and any field may come twice."""
        lines = replaced(b"", b"Contact: <sip:a@b>").split(b"\r\n")
        for place in range(len(lines) - 2):
            self.agree(b"\r\n".join(lines[:place] + lines[place + 1 :]))
            self.agree(b"\r\n".join(lines[:place] + [lines[place]] + lines[place:]))

    @given(messages())
    @examples(300)
    def test_drawn(self, data: bytes) -> None:
        """Whatever the grammar allows."""
        self.agree(data)

    @given(mutated())
    @examples(300)
    def test_spoiled(self, data: bytes) -> None:
        """And what it does not."""
        self.agree(data)

    @needs_shared("sipmsgs", "index.json")
    def test_mutants(self) -> None:
        """What the RFCs print, whole and spoiled by chance."""
        printed = [
            path.read_bytes()
            for folder, kind in (("sipmsgs", "*.sip"), ("torture", "*.dat"))
            for path in sorted((SHARED / folder).rglob(kind))
        ]
        for data in printed:
            self.agree(data)
        usual = [data for data in printed if scan_message(data, True) is not None]
        self.assertGreater(len(usual), 100)
        mutator = Mutator(1, [*realistic(5060, "UDP") * 20, *usual])
        scanned = 0
        for _ in range(MUTANTS):
            data = mutator.make()
            scanned += scan_message(data, True) is not None
            self.agree(data)
        self.assertGreater(scanned, MUTANTS // 4)

    def test_nothing_is_kept(self) -> None:
        """Neither a message that is read nor one that is not leaves anything behind."""
        lines = [(name, name + b": " + value) for t in TABLES for name, value in t.values()]
        several = [replaced(place, line) for place, line in lines]
        for data in several * 10:
            scan_message(data, True)
        before = sys.getallocatedblocks()
        for data in several * 100:
            scan_message(data, True)
        self.assertLess(sys.getallocatedblocks() - before, 100)

    def test_every_slot(self) -> None:
        """Nothing is left out of what the scanner makes: no attribute is missing."""
        data = replaced(b"", b"X: y")
        answer = b"SIP/2.0 200 OK\r\n" + data.partition(b"\r\n")[2]
        for read in (scan_message(data, True), scan_message(answer, True)):
            assert read is not None
            made = [read, read.via, read.cseq, read._from, read._from and read._from.uri]
            for one in filter(None, made):
                classes = type(one).__mro__[:-1]
                slots = [name for kind in classes for name in kind.__dict__["__slots__"]]
                for name in slots:
                    self.assertTrue(hasattr(one, name), (one, name))

    def test_other_classes(self) -> None:
        """It makes objects of classes whose slots it knows, and of no others."""
        run = [sys.executable, "-c", PREPARE]
        told = subprocess.run(run, capture_output=True, text=True, check=False)
        self.assertEqual((told.stdout, told.stderr), ("18 refused, 1 taken\n", ""))

    def test_no_memory(self) -> None:
        """Wherever memory runs out, it says so, and leaves nothing behind."""
        try:
            from _testcapi import remove_mem_hooks, set_nomemory
        except ImportError:
            raise SkipTest("this Python has no _testcapi") from None
        data = replaced(b"", b"X: y")
        answer = b"SIP/2.0 200 OK\r\n" + data.partition(b"\r\n")[2]

        def starve(message: bytes, place: int) -> bool:
            """Have one allocation fail; tell whether it was one of the scanner's."""
            set_nomemory(place, place + 1)
            try:
                return scan_message(message, True) is None
            except MemoryError:
                return True
            finally:
                remove_mem_hooks()

        for message in (data, answer):
            before, places = 0, 0
            for turn in range(20):
                places = next(n for n in range(1, 500) if not starve(message, n))
                before = before if turn else sys.getallocatedblocks()
            self.assertGreater(places, 20)
            self.assertLess(sys.getallocatedblocks() - before, 20)

    def test_wrong_types(self) -> None:
        """It takes octets, and is prepared once."""
        self.assertRaises(TypeError, scan_message, "text", True)
        self.assertRaises(TypeError, scan_message, b"")
        for scan in (scan_uri, scan_address, scan_params, scan_digest):
            self.assertRaises(TypeError, scan, None)
        for wrong in ((b"",), ("", 0, 0, 0), (b"", None, 0, 0), (b"", 0, 0, "")):
            self.assertRaises(TypeError, scan_end, *wrong)
        self.assertRaises(OverflowError, scan_end, b"", 1 << 64, 0, 0)
        self.assertRaises(TypeError, find_field, (), [], b"to")
        self.assertRaises(TypeError, find_field, [], [])


class UriTests(SynchronousTestCase):
    """URIs, one way and the other."""

    skip = built

    def test_table(self) -> None:
        """Each row is read alike; the first six are ordinary."""
        for place, raw in enumerate(URIS):
            self.assertEqual(uri_told(parse_uri, raw), uri_told(read_uri, raw), raw)
            self.assertEqual(scan_uri(raw) is not None, place < 6, raw)

    def test_every_octet(self) -> None:
        """Any octet in any part."""
        whole = b"sip:user@host.x:50;p=v"
        for place, octet in itertools.product(range(len(whole) + 1), range(256)):
            raw = whole[:place] + bytes((octet,)) + whole[place:]
            self.assertEqual(uri_told(parse_uri, raw), uri_told(read_uri, raw), raw)

    @given(uris() | st.text("sip:a@b;=.[]%", max_size=20).map(str.encode))
    @examples(500)
    def test_drawn(self, raw: bytes) -> None:
        """Whatever is drawn."""
        self.assertEqual(uri_told(parse_uri, raw), uri_told(read_uri, raw))


class ValueTests(SynchronousTestCase):
    """Addresses, parameters and fields, one way and the other."""

    skip = built

    def agree(self, value: bytes) -> None:
        """Check that both ways say the same of an address, and of its end as parameters."""
        self.assertEqual(address_told(parse_name_addr, value), address_told(read_name_addr, value))
        text = value.rpartition(b">")[2]
        found = scan_params(text)
        if found is not None:
            self.assertTrue(is_params(text), text)
            self.assertEqual(list(found.items()), list(split_params(text).items()), text)

    def test_table(self) -> None:
        """Each row is read alike; the first eleven are ordinary."""
        for place, value in enumerate(ADDRESSES):
            self.agree(value)
            self.assertEqual(scan_address(value) is not None, place < 11, value)

    def test_every_octet(self) -> None:
        """Any octet in any part."""
        whole = b'"A" <sip:a@b>;x=y;z="<t>"'
        for place, octet in itertools.product(range(len(whole) + 1), range(256)):
            self.agree(whole[:place] + bytes((octet,)) + whole[place:])

    @given(st.text('sip:a@b;=.[]%<>" \t\r\n,', max_size=20).map(str.encode))
    @examples(500)
    def test_drawn(self, value: bytes) -> None:
        """Whatever is drawn."""
        self.agree(value)
        self.agree(b"<sip:a@b>" + value)

    def test_fields(self) -> None:
        """The first of a name counts, as it is written."""
        for name in (*NAMES, b"tox", b"t", b"", b"w"):
            found = find_field(NAMES, LINES, name)
            self.assertEqual(found, read_field(NAMES, LINES, name), name)

    def test_selected(self) -> None:
        """Those of several names, in their order."""
        for wanted in (frozenset[bytes](), frozenset(NAMES), frozenset((b"to", b"via", b"no"))):
            found = select(NAMES, LINES, wanted)
            self.assertEqual(found, read_select(NAMES, LINES, wanted))
            self.assertEqual(len(found[0]), len(found[1]))
        self.assertRaises(TypeError, select, [], [], ())
        self.assertRaises(TypeError, select, [[]], [b""], frozenset((b"to",)))

    def test_ends(self) -> None:
        """Where a message ends is told within the limits, wherever it begins."""
        head = b"OPTIONS sip:a SIP/2.0\r\nl: 5"
        data = head + b"\r\n\r\nhello"
        for start in (0, 3):
            inside = (b"x" * start + data, start)
            self.assertEqual(scan_end(*inside, len(head), 5), start + len(data))
            self.assertEqual(scan_end(*inside, len(head) - 1, 5), 0)
            self.assertEqual(scan_end(*inside, len(head), 4), 0)
        self.assertEqual(scan_end(data[:-5], 0, 99, 5), len(data))
        for end in range(len(data) - 5):
            self.assertEqual(scan_end(data[:end], 0, 99, 5), 0, data[:end])
        for start in (-1, len(data), len(data) + 1):
            self.assertEqual(scan_end(data, start, 99, 5), 0, start)

    def test_nothing_is_kept(self) -> None:
        """Nothing that was read, or refused, leaves anything behind."""
        for _ in range(10):
            self.test_table()
        before = sys.getallocatedblocks()
        for _ in range(100):
            self.test_table()
        self.assertLess(sys.getallocatedblocks() - before, 100)


class DigestTests(SynchronousTestCase):
    """What credentials say, one way and the other (RFC 7616 §3.4)."""

    skip = built

    def agree(self, text: bytes) -> bool:
        """Check that what the scanner reads the parser reads alike; tell whether it does."""
        found = scan_digest(text)
        if found is not None:
            self.assertEqual(list(found.items()), list(read_digest(text).items()), text)
        return found is not None

    def test_table(self) -> None:
        """Each row is read alike, or left to the parser."""
        for text in CREDENTIALS:
            self.assertTrue(self.agree(text), text)
        for text in STRANGE_CREDENTIALS:
            self.assertFalse(self.agree(text), text)

    def test_every_octet(self) -> None:
        """Any octet in any place."""
        whole = b'a="b", c=d'
        for place, octet in itertools.product(range(len(whole) + 1), range(256)):
            self.agree(whole[:place] + bytes((octet,)) + whole[place:])

    @given(st.text('ab="\\, \t;<', max_size=20).map(str.encode))
    @examples(500)
    def test_drawn(self, text: bytes) -> None:
        """Whatever is drawn."""
        self.agree(text)
        self.agree(b"x=y," + text)

    def test_nothing_is_kept(self) -> None:
        """Nothing that was read, or refused, leaves anything behind."""
        self.test_table()
        before = sys.getallocatedblocks()
        for _ in range(100):
            self.test_table()
        self.assertLess(sys.getallocatedblocks() - before, 100)


def address_told(read: Any, value: bytes) -> Any:
    """Return what a reader finds in an address, or what it answers it with."""
    try:
        address: NameAddr = read(value)
        return taken_apart(address), address.tag
    except SipError as error:
        return error.status, error.reason
