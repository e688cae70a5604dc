"""What is known of a presentity is the same after a restart, to the octet."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.presence.partial import PIDF_DIFF
from sipproxy.presence.records import restored_document
from sipproxy.presence.views import PIDF_XML
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Response
from sipproxy.testing import CONFIG, FakeServer
from tests.documents import assert_valid, canonical
from tests.events.fakes import Phone
from tests.presence.fakes import pidf

TEXT = (
    CONFIG + '[auth]\nrequired = false\n[events]\npackages = ["presence"]\n'
    '[presence]\nnotify_interval = 0.0\nunknown_watchers = "allow"\n'
    '[components]\nstore = "sqlite"\n'
)
PUBLISH = """
PUBLISH sip:alice@example.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-{cseq};rport
Max-Forwards: 70
From: <sip:alice@example.test>;tag=a
To: <sip:alice@example.test>
Call-ID: publish
CSeq: {cseq} PUBLISH
Event: presence
Expires: 3600
{match}Content-Type: {media_type}
Content-Length: {length}

{body}"""
DIFF = (
    '<p:pidf-diff xmlns="urn:ietf:params:xml:ns:pidf" xmlns:p="urn:ietf:params:xml:ns:pidf-diff"'
    ' entity="sip:alice@example.test"><p:replace sel="presence/tuple/status/basic/text()">'
    "closed</p:replace></p:pidf-diff>"
)


def document(basic: str = "open", name: str = "t") -> str:
    """Return a document whose tuple has no timestamp of its own."""
    text = pidf(f'<tuple id="{name}"><status><basic>{basic}</basic></status></tuple>').decode()
    return text.replace("\n", "")


class PresenceTests(SynchronousTestCase):
    """Alice publishes, the server stops, and bob fetches."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), TEXT)
        self.cseq, self.phones = 0, 9

    def publish(self, body: str, tag: str = "", media_type: bytes = PIDF_XML) -> str:
        """Let alice publish; return the entity-tag."""
        self.cseq += 1
        alice = self.server.client("192.0.2.1")
        alice.clear()
        match = f"SIP-If-Match: {tag}\n" if tag else ""
        length, kind = len(body.encode()), media_type.decode()
        head = {"cseq": self.cseq, "match": match, "media_type": kind, "length": length}
        alice.send(PUBLISH.format(**head, body=body).strip())
        response = alice.received[-1]
        assert isinstance(response, Response)
        self.assertEqual(response.status, 200)
        return (response.value(b"sip-etag") or b"").decode()

    def shown(self) -> bytes:
        """Return the document that bob is shown."""
        self.phones += 1
        bob = Phone(self.server, "bob", f"192.0.2.{self.phones}")
        bob.subscribe(0, "alice", Event="presence")
        notify = bob.received[-1]
        assert_valid(notify.body)
        return notify.body

    def restart(self, seconds: float = 60.0) -> None:
        """Start another server."""
        self.server = self.server.restarted(seconds=seconds)

    def test_the_time_of_a_change_is_when_it_came(self) -> None:
        """RFC 3863 §4.1.7: a tuple without a timestamp was given one."""
        self.publish(document())
        before = self.shown()
        self.assertIn(b"timestamp", before)
        for _ in range(2):
            self.restart()
            self.assertEqual(self.shown(), before)

    def test_names_that_two_publications_share(self) -> None:
        """RFC 3863 §4.1.2: each keeps the one that it was given."""
        first = self.publish(document("open"))
        self.server.advance(1)
        self.publish(document("closed"))
        before = self.shown()
        self.restart()
        self.assertEqual(self.shown(), before)
        self.publish(document("closed"), first)
        self.assertEqual(canonical(self.shown()).count(b'id="'), canonical(before).count(b'id="'))
        self.assertIn(b'id="t.2"', self.shown())

    def test_a_publication_in_parts(self) -> None:
        """RFC 5264: what patches apply to is there, though it never came whole."""
        tag = self.publish(DIFF, self.publish(document("open")), PIDF_DIFF)
        before = self.shown()
        self.assertIn(b"closed", before)
        self.restart()
        self.assertEqual(self.shown(), before)
        self.publish(DIFF.replace("closed", "open"), tag, PIDF_DIFF)
        self.assertIn(b"<basic>open", self.shown())

    def test_publishing_the_same_again_is_no_change(self) -> None:
        tag = self.publish(document())
        before = self.shown()
        self.restart()
        self.publish(document(), tag)
        self.assertEqual(self.shown(), before)

    def test_what_is_none_is_refused(self) -> None:
        reader = self.server.node.notifier.packages.find(b"presence")._reader
        body = document().encode()
        good = [None, 1e9, 1, {}, {}]
        self.assertTrue(
            restored_document(reader, b"alice@example.test", body, good).root is not None
        )
        for kept in (None, [], [b"<presence/>", *good[1:]], [None, float("nan"), 1, {}, {}]):
            read = (reader, b"alice@example.test", body, kept)
            self.assertRaises((ValueError, SipError), restored_document, *read)
