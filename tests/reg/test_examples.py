"""The examples of RFC 3680 and 5628: where a server sends them, we say the same."""

from __future__ import annotations

from typing import Any

from lxml import etree

from tests.documents import examples
from tests.events.watching import assert_shows, known
from tests.reg.fakes import RegBench, contacts, unfolded
from tests.rfc import rfc
from tests.shared import SHARED, needs_shared
from tests.sip.tables import TableCase

IDS = ("id",)  # each server has its own


def example(name: str) -> etree._Element:
    """Return an example document."""
    path = SHARED / "examples" / name
    return etree.fromstring(unfolded(path.read_bytes()))


def message(rfc: int, number: int) -> str:
    """Return a message of an RFC, as it stands there."""
    return (SHARED / "sipmsgs" / f"rfc{rfc}" / f"{number:03}.sip").read_text()


@needs_shared("examples", "rfc3680")
@needs_shared("sipmsgs", "rfc3680")
class Rfc3680Test(TableCase):
    """RFC 3680 §5.3, §6."""

    def test_all_of_them_are_here(self) -> None:
        self.assertEqual(len(examples(3680)), 3)

    @rfc(3680, "6", "the application learns that the user has registered")
    def test_call_flow(self) -> None:
        joe = b"joe@example.com"
        bench = RegBench("example.com")
        bench.package = bench.made(watchers=("app.example.com",))
        application = bench.subscriber(joe, known(b"@app.example.com"))
        bench.take(message(3680, 3), joe)
        application.hear()
        for document, name in zip(application.read, ("02", "03"), strict=True):
            assert_shows(document, example(f"rfc3680/{name}.xml"), but=IDS)
        self.assertEqual(len({document[0].get("id") for document in application.read}), 1)

    def test_document(self) -> None:
        """§5.3: one contact is there, another has expired; it was told of both before."""
        user = b"user@example.com"
        bench = RegBench("example.com", max_expires=10000)
        register = "\n".join(
            [
                "REGISTER sip:example.com SIP/2.0",
                "From: <sip:user@example.com>;tag=1",
                "To: <sip:user@example.com>",
                "Call-ID: {0}",
                "CSeq: 1 REGISTER",
                "Contact: <{0}>;{1}",
            ]
        )
        bench.take(register.format("sip:user@pc887.example.com", "q=0.8;expires=10000"), user)
        bench.host.advance(7322 - 3600)
        bench.take(register.format("sip:user@university.edu", "q=0.5;expires=3600"), user)
        watcher = bench.subscriber(user)
        bench.host.clock.rightNow += 3600
        assert_shows(watcher.refresh(), example("rfc3680/00.xml"), but=("version", *IDS))


@needs_shared("examples", "rfc5628")
@needs_shared("sipmsgs", "rfc5628")
class Rfc5628Test(TableCase):
    """RFC 5628 §7, §8.2.

    What the GRUUs look like is each registrar's own affair (RFC 5627 §3.1).
    """

    but = ("uri", *IDS)

    def test_sample(self) -> None:
        """§7: the CSeqs say that it was refreshed twenty times, so that we say "refreshed"."""
        user = b"user@example.com"
        bench = RegBench("example.com")
        bench.host.advance(7300)
        for cseq in range(54301, 54322):
            bench.take(self.register(cseq), user)
            bench.host.advance(1800 if cseq < 54321 else 1)
        document = bench.subscriber(user).read[0]
        assert_shows(document, example("rfc5628/00.xml"), but=("event", *self.but))
        self.assertEqual(contacts(document), [("sip:user@192.0.2.1", "active", "refreshed")])

    @staticmethod
    def register(cseq: int) -> str:
        """Return a REGISTER that the sample may have come of."""
        urn = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
        return "\n".join(
            [
                "REGISTER sip:example.com SIP/2.0",
                "From: <sip:user@example.com>;tag=1",
                "To: <sip:user@example.com>",
                "Call-ID: 1j9FpLxk3uxtm8tn@192.0.2.1",
                f"CSeq: {cseq} REGISTER",
                f'Contact: <sip:user@192.0.2.1>;q=0.8;+sip.instance="<{urn}>"',
            ]
        )

    @rfc(5628, "8.2", "who registers learns the GRUUs by the notification")
    def test_registration(self) -> None:
        """§8.2, the address-of-record that is registered; we register no others by implication.

        Its version 1 is an error (RFC 3680 §5.1: they start at 0), and so is its first-cseq: the
        REGISTER that the GRUU came of has the CSeq 23001.
        """
        user = b"user_aor_1@example.net"
        bench = RegBench("example.net")
        bench.host.advance(7300)
        bench.take(message(5628, 1).replace("\n  ;", ";"), user)
        bench.host.advance(1)
        ours, theirs = bench.subscriber(user).read[0][0], example("rfc5628/01.xml")[0]
        assert_shows(ours, theirs, but=("first-cseq", *self.but))
        temporary: Any = ours[0][-1]
        self.assertEqual(temporary.get("first-cseq"), "23001")
