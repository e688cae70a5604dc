"""What becomes of what a user has here whose account is gone (RFC 6665 §4.1.3)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from sipproxy.sip.errors import SipError
from sipproxy.store.accounts import AccountTable
from sipproxy.testing import CONFIG, FakeServer
from tests.events.fakes import Listener, Phone
from tests.presence.test_survival import PUBLISH, document
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

OPEN = CONFIG + "[auth]\nrequired = false\n"
SETTINGS = (
    '[events]\npackages = ["presence", "reg"]\n[presence]\nnotify_interval = 0.0\n'
    'unknown_watchers = "allow"\n[components]\nstore = "sqlite"\n'
)
ALICE, BOB = b"alice@example.test", b"bob@example.test"
REGISTER = """
    REGISTER sip:example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK-register
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=1
    To: <sip:alice@example.test>
    Call-ID: register
    CSeq: 1 REGISTER
    Contact: <sip:alice@192.0.2.1>
    Content-Length: 0
    """


class Users:
    """Accounts that a test takes away."""

    def __init__(self, *users: bytes) -> None:
        self.users = set(users)
        self.later: Deferred[Any] | None = None

    def known(self, aor: bytes) -> Any:
        """Tell whether there is such a user, perhaps later."""
        if self.later is not None:
            return self.later.addCallback(lambda _: aor in self.users)
        return aor in self.users


class DepartureTests(TableCase):
    """Alice and bob watch each other; alice is registered, and has published."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN + SETTINGS)
        node = self.server.node
        self.users = node.credentials = Users(ALICE, BOB)
        self.listener = Listener()
        node.notifier.listen(self.listener)
        self.alice, self.bob = Phone(self.server), Phone(self.server, "bob", "192.0.2.2")
        self.alice.client.send(REGISTER)
        body = document()
        head = {"cseq": 1, "match": "", "media_type": "application/pidf+xml", "length": len(body)}
        self.alice.client.send(PUBLISH.format(**head, body=body).strip())
        for phone, to in ((self.alice, "bob"), (self.bob, "alice")):
            self.assertEqual(phone.subscribe(to=to, Event="presence").status, 200)
            phone.take()
        self.listener.heard.clear()

    def ended(self, phone: Phone) -> str:
        """Return what the one NOTIFY says that a phone got, and answer it."""
        (notify,) = phone.notified
        phone.take()
        return notify.partition(":")[0]

    @rfc(6665, "4.1.3", "noresource: what was watched no longer exists")
    @rfc(6665, "4.1.3", "rejected: the watcher may not have it any more")
    @rfc(3680, "4.7.1", "a contact of whoever is no user any more is rejected")
    def test_an_account_that_is_gone(self) -> None:
        node = self.server.node
        self.users.users.remove(ALICE)
        node.departures.look()
        self.assertEqual(self.ended(self.bob), "terminated;reason=noresource")
        self.assertEqual(self.ended(self.alice), "terminated;reason=rejected")
        expected = [
            "bob@example.test terminated noresource",
            "alice@example.test terminated rejected",
        ]
        self.assertEqual(self.listener.heard, expected)
        self.assertEqual((len(node.notifier), len(node.publications)), (0, 0))
        self.assertEqual(list(node.location.aors()), [])
        self.server.advance(40)
        self.assertEqual(self.alice.take() + self.bob.take(), [], "nothing is told any more")

    def test_nobody_else(self) -> None:
        node = self.server.node
        node.departures.look()
        self.assertEqual((len(node.notifier), len(node.publications)), (2, 1))
        self.assertEqual(self.listener.heard, [])

    def test_a_watcher_of_another_domain(self) -> None:
        """It has no account here, and needs none."""
        node = self.server.node
        for subscription in node.notifier.subscriptions(b"presence", ALICE):
            subscription.watcher = type(subscription.watcher)(b"bob@b.test", b"sip:bob@b.test")
        self.users.users.remove(BOB)
        node.departures.look()
        self.assertEqual(len(node.notifier.subscriptions(b"presence", ALICE)), 1)

    def test_who_knows_later(self) -> None:
        self.users.users.remove(ALICE)
        self.users.later = Deferred()
        self.server.node.departures.look()
        self.assertEqual(self.listener.heard, [])
        self.users.later.callback(None)
        self.assertEqual(len(self.server.node.notifier), 0)
        self.assertEqual(list(self.server.node.location.aors()), [])

    @rows({"raises": (ValueError,), "fails": (fail, ValueError)})
    def test_who_cannot_tell(self, *how: Any) -> None:
        """An account that nobody can ask about is not gone, and keeps no other from going."""
        first, *arguments = how
        known = self.users.known

        def asked(aor: bytes) -> Any:
            if aor != ALICE:
                return known(aor)
            if not arguments:
                raise first("no answer")
            return first(arguments[0]("no answer"))

        self.users.known = asked  # type: ignore[method-assign]
        self.users.users.remove(BOB)
        self.server.node.departures.look()
        self.assertTrue(self.flushLoggedErrors(ValueError))
        self.assertEqual(self.ended(self.alice), "terminated;reason=noresource")
        self.assertEqual(self.ended(self.bob), "terminated;reason=rejected")
        self.assertEqual(len(self.server.node.publications), 1)

    def test_what_is_being_written(self) -> None:
        """A PUBLISH that is under way is done first, and then goes with the others."""
        node = self.server.node
        writing: Deferred[None] = Deferred()
        node.publications.turns.take(ALICE, lambda: writing)
        node.location.turns.take(ALICE, lambda: writing)
        self.users.users.remove(ALICE)
        node.departures.look()
        self.assertEqual((len(node.publications), len(list(node.location.aors()))), (1, 1))
        writing.callback(None)
        self.assertEqual((len(node.publications), len(list(node.location.aors()))), (0, 0))

    def test_a_disk_that_is_full(self) -> None:
        node = self.server.node
        self.patch(node.location, "commit", lambda *_: fail(SipError(500)))
        self.users.users.remove(ALICE)
        node.departures.look()
        self.assertEqual(len(self.flushLoggedErrors(SipError)), 1)
        self.assertEqual(len(node.publications), 0)

    def test_deleted_while_nobody_served(self) -> None:
        """The start finds what the account has left, and tells who watched it."""
        self.server.stop()
        home = self.server.config.home
        AccountTable(self.server.config.data).put(BOB.decode(), "secret", replace=False)
        self.server = FakeServer(str(home), CONFIG + SETTINGS, before=self.server)
        node = self.server.node
        for phone in (self.alice, self.bob):
            phone.client = self.server.client(phone.host)
        self.assertEqual(self.ended(self.bob), "terminated;reason=noresource")
        self.assertEqual(self.ended(self.alice), "terminated;reason=rejected")
        self.assertEqual((len(node.notifier), len(node.publications)), (0, 0))
        self.assertEqual(list(node.location.aors()), [])
