"""``sipctl watchers`` and ``publications``, as an operator types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sipproxy.ctl.following import changes
from sipproxy.interfaces.events import CONFIRM, POLITE_BLOCK, Verdict
from sipproxy.testing import FakeServer
from tests.ctl.test_main import WithCommand
from tests.ctl.test_server import REGISTER
from tests.events.fakes import NEWS, NewsFactory, Phone
from tests.installed import install_also

BOB = "bob@example.test"
PUBLISH = """
PUBLISH sip:bob@example.test SIP/2.0
Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK-{0};rport
Max-Forwards: 70
From: <sip:bob@example.test>;tag=b
To: <sip:bob@example.test>
Call-ID: p{0}
CSeq: {0} PUBLISH
Event: news
Expires: 600
Content-Type: text/plain
Content-Length: 5

hello
"""


class Listings(WithCommand):
    """A server with news of bob, whom alice watches."""

    def setUp(self) -> None:
        WithCommand.setUp(self)
        factory, self.count = NewsFactory(), 0
        install_also(self, [factory])
        server = FakeServer(str(self.home), NEWS)
        self.node, self.server = server.node, server
        self.news = factory.built
        self.alice, self.bob = Phone(server), server.client("192.0.2.2")
        self.steps: list[Callable[[], Any]] = []

    def step(self) -> bool:
        """Let the next thing happen; after the last, the operator goes."""
        if not self.steps:
            raise KeyboardInterrupt
        return self.steps.pop(0)() is not False

    def rows(self, *words: str) -> Any:
        """Return what a command prints as JSON."""
        return json.loads(self.passes(*words, "--json"))

    def followed(self, *words: str) -> list[Any]:
        """Return each line of a command that follows, without its time."""
        lines = [
            json.loads(line) for line in self.passes(*words, "--follow", "--json").splitlines()
        ]
        self.assertTrue(all(line.pop("time") for line in lines))
        return lines

    def test_nobody(self) -> None:
        self.assertEqual(self.passes("watchers"), "no watchers\n")
        self.assertEqual(self.passes("publications"), "no publications\n")
        self.assertEqual(self.rows("watchers") + self.rows("publications"), [])

    def test_watchers(self) -> None:
        self.alice.subscribe(600)
        self.alice.take()
        self.server.advance(100)
        (row,) = self.rows("watchers")
        self.assertEqual(row.pop("id"), self.called())
        expected = {
            "presentity": BOB,
            "package": "news",
            "watcher": "alice@example.test",
            "identity": "sip:alice@example.test",
            "status": "active",
            "handling": "allow",
            "expires": 500,
            "age": 100,
        }
        self.assertEqual(row, expected)
        self.assertEqual(len(self.rows("watchers", "sip:bob@EXAMPLE.test")), 1)
        self.assertEqual(self.rows("watchers", "alice@example.test"), [])
        self.assertIn(BOB, self.passes("watchers").splitlines()[1])

    def called(self) -> str:
        """Return how alice's subscription is called."""
        (one,) = self.node.notifier.subscriptions(b"news", BOB.encode())
        return str(one.id.decode())

    def test_publications(self) -> None:
        self.bob.send(PUBLISH.format(1))
        self.server.advance(100)
        (row,) = self.rows("publications", BOB)
        self.assertEqual(len(row.pop("tag")), 32)
        self.assertEqual(row.pop("id"), 1)
        expected = {
            "presentity": BOB,
            "package": "news",
            "type": "text/plain",
            "bytes": 5,
            "expires": 500,
            "stale": False,
            "from": "UDP 192.0.2.2:5060",
        }
        self.assertEqual(row, expected)
        self.assertEqual(self.rows("publications", "alice@example.test"), [])

    def test_following_watchers(self) -> None:
        self.alice.subscribe(600)
        self.steps += [lambda: self.server.advance(10), lambda: self.alice.ask(0), self.again]
        lines = self.followed("watchers", BOB)
        self.assertEqual([line["change"] for line in lines], ["gone", "new"])
        self.assertEqual([line["watcher"] for line in lines], ["alice@example.test"] * 2)

    def test_following_what_a_watcher_may(self) -> None:
        self.alice.subscribe(600)
        self.alice.take()

        def judge(handling: int) -> None:
            self.news.verdicts[b"alice@example.test"] = Verdict(handling)
            self.node.notifier.judge(b"news", BOB.encode())
            self.server.advance(1)

        self.steps += [lambda: judge(POLITE_BLOCK), lambda: judge(CONFIRM)]
        lines = self.followed("watchers")
        self.assertEqual([line["change"] for line in lines], ["changed"] * 2)
        self.assertEqual([line["handling"] for line in lines], ["polite-block", "confirm"])
        self.assertEqual([line["status"] for line in lines], ["active", "pending"])

    def test_watchers_that_are_looked_for(self) -> None:
        self.alice.subscribe(600)
        for words, count in (
            (("--watcher", "alice@example.test"), 1),
            (("--watcher", BOB), 0),
            (("--package", "news"), 1),
            (("--package", "presence"), 0),
            (("--status", "active"), 1),
            (("--status", "waiting"), 0),
        ):
            self.assertEqual(len(self.rows("watchers", *words)), count, words)

    def again(self) -> None:
        """Let alice subscribe once more."""
        self.alice.subscribe(600)

    def test_following_publications(self) -> None:
        self.steps += [lambda: self.bob.send(PUBLISH.format(1)), lambda: None]
        (line,) = self.followed("publications")
        self.assertEqual((line["change"], line["presentity"]), ("new", BOB))

    def test_following_a_refresh(self) -> None:
        """It is the same publication, with another tag."""
        self.bob.send(PUBLISH.format(1))
        (known,) = self.rows("publications")
        refresh = PUBLISH.format(2).partition("Content-Type")[0]
        refresh += f"SIP-If-Match: {known['tag']}\nContent-Length: 0\n"
        self.steps += [lambda: self.bob.send(refresh)]
        (line,) = self.followed("publications")
        self.assertEqual((line["change"], line["id"]), ("changed", known["id"]))
        self.assertNotEqual(line["tag"], known["tag"])

    def test_following_bindings(self) -> None:
        self.steps += [self.register, self.register, lambda: self.server.advance(601)]
        lines = self.followed("bindings", "alice@example.test")
        self.assertEqual([line["change"] for line in lines], ["new", "gone"])

    def register(self) -> None:
        """Let alice register, again and again, and somebody else."""
        for user in ("alice", "carol"):
            self.count += 1
            text = REGISTER.format(user=user).replace(
                "branch=z9hG4bK", f"branch=z9hG4bK{self.count}"
            )
            text = text.replace("CSeq: 1", f"CSeq: {self.count}")
            self.server.client("192.0.2.1").send(text)

    def test_what_is_followed_as_text(self) -> None:
        self.steps += [lambda: self.alice.subscribe(600) and None]
        (line,) = self.passes("watchers", "--follow").splitlines()
        who = f"{BOB}  news  alice@example.test  sip:alice@example.test"
        self.assertIn(f"  new      {who}  active  allow  600  0  ", line)

    def test_a_server_that_ends_meanwhile(self) -> None:
        self.steps.append(lambda: False)
        line = self.fails("watchers", "--follow")
        self.assertEqual(line, "sipctl: the server has ended")

    def test_changes(self) -> None:
        one, two = {"id": 1, "age": 1}, {"id": 2, "status": "pending", "age": 1}
        after = {("2",): {**two, "status": "active"}, ("3",): {"id": 3}}
        self.assertEqual(
            list(changes({("1",): one, ("2",): two}, after)),
            [("gone", one), ("changed", after["2",]), ("new", after["3",])],
        )
        self.assertEqual(list(changes({("1",): one}, {("1",): {"id": 1, "age": 2}})), [])

    def test_what_is_no_address(self) -> None:
        for word in ("bindings", "watchers", "publications", "flows"):
            line = self.fails(word, "bob")
            self.assertEqual(line, "sipctl: 'bob' is no address: write user@domain")
