"""Who watches, and whom a server believes it (RFC 4745 §7.1.1, RFC 3325)."""

from __future__ import annotations

from sipproxy.testing import FakeServer
from tests.events.fakes import NEWS, NewsFactory, Phone
from tests.installed import install_also
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

ROUTE = '[[route]]\ndomain = "b.test"\nto = "sip:198.51.100.7"\ntrusted = '


class Identities(TableCase):
    """`Watcher.identity`: whoever nobody vouches for has none."""

    def identity(
        self, inbound: str, trusted: str, host: str, sender: str, **headers: str
    ) -> tuple[bytes, bytes]:
        """Subscribe, and return who the package was told it is: by From, and in truth."""
        factory = NewsFactory()
        install_also(self, [factory])
        text = f'{NEWS}{ROUTE}{trusted}\n[federation]\ninbound = "{inbound}"\n'
        server = FakeServer(self.mktemp(), text)
        phone = Phone(server, "alice", host)
        status = phone.subscribe(0, From=f"<sip:{sender}>;tag=1", **headers).status
        if status != 200:
            return b"", b"%d" % status
        (watcher,) = factory.built.watchers
        return watcher.aor, watcher.identity

    @rfc(
        3856, "6.6.1", "a subscription is authenticated: a watcher whom nobody vouches for is none"
    )
    @rows(
        {
            "a user of ours": (
                *("listed", "false", "192.0.2.1", "alice@example.test"),
                (b"alice@example.test", b"sip:alice@example.test"),
            ),
            "under another name of ours": (
                *("listed", "false", "192.0.2.1", "alice@127.0.0.1"),
                (b"alice@example.test", b"sip:alice@example.test"),
            ),
            "a listed peer": (
                *("listed", "false", "198.51.100.7", "carol@b.test"),
                (b"carol@b.test", b"sip:carol@b.test"),
            ),
            "a listed peer, elsewhere": (
                *("listed", "false", "198.51.100.8", "carol@b.test"),
                (b"", b"403"),
            ),
            "a listed peer, through the open door": (
                *("open", "false", "198.51.100.7", "carol@b.test"),
                (b"carol@b.test", b"sip:carol@b.test"),
            ),
            "who says to be a listed peer": (
                *("open", "false", "198.51.100.8", "carol@b.test"),
                (b"carol@b.test", b""),
            ),
            "a stranger": (
                *("open", "false", "198.51.100.8", "mallory@evil.test"),
                (b"mallory@evil.test", b""),
            ),
        }
    )
    def test_from(
        self, inbound: str, trusted: str, host: str, sender: str, expected: tuple[bytes, bytes]
    ) -> None:
        self.assertEqual(self.identity(inbound, trusted, host, sender), expected)

    @rfc(5025, "3.1.1.2", "an anonymous From with an asserted identity counts as that identity")
    @rows(
        {
            "trusted": ("true", "<sip:carol@b.test>", (b"carol@b.test", b"sip:carol@b.test")),
            "of another domain": ("true", "<sip:x@evil.test>", (b"", b"403")),
            "a number alone": ("true", "<tel:+123>", (b"", b"403")),
        }
    )
    def test_anonymous(self, trusted: str, value: str, expected: tuple[bytes, bytes]) -> None:
        sender = "anonymous@anonymous.invalid"
        found = self.identity("listed", trusted, "198.51.100.7", sender, P_Asserted_Identity=value)
        self.assertEqual(found, expected)

    @rows(
        {
            "trusted": ("true", b"sip:dave@b.test"),
            "not trusted": ("false", b"sip:carol@b.test"),
        }
    )
    def test_what_a_peer_asserts_counts_more_than_from(self, trusted: str, identity: bytes) -> None:
        found = self.identity(
            *("listed", trusted, "198.51.100.7", "carol@b.test"),
            P_Asserted_Identity="<sip:dave@b.test>",
        )
        self.assertEqual(found, (b"carol@b.test", identity))
