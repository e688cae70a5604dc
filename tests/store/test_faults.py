"""What the disk, the file and other people do to a server: it says so in one line, or serves on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.config import ConfigError, parse
from sipproxy.ctl.http import problems
from sipproxy.node import Node
from sipproxy.sip.message import Response
from sipproxy.store.schema import FILE, STEPS
from sipproxy.store.settings import StoreSettings
from sipproxy.store.sqlite import SqliteStore
from sipproxy.testing import CONFIG, AtOnce, FakeServer
from tests.presence.test_survival import PUBLISH, document
from tests.registrar.test_survival import register
from tests.rfc import rfc

PAGE, FRAME, HEADER = 4096, 4096 + 24, 32  # of the database and of its log
OPEN = (
    CONFIG + '[auth]\nrequired = false\n[presence]\nunknown_watchers = "allow"\n'
    '[components]\nstore = "sqlite"\n'
)
DURABLE = OPEN + "[store]\ndurable = true\n"
SUBSCRIBE = """
    SUBSCRIBE sip:alice@example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-s{cseq};rport
    Max-Forwards: 70
    From: <sip:bob@example.test>;tag=1
    To: <sip:alice@example.test>
    Call-ID: subscribe{cseq}-{long}
    CSeq: {cseq} SUBSCRIBE
    Contact: <sip:bob@192.0.2.1>
    Event: presence
    Expires: 600
    Content-Length: 0"""


class FullDiskTests(SynchronousTestCase):
    """A disk that is full while the server runs."""

    def setUp(self) -> None:
        self.cseq = 0

    def serve(self, text: str) -> None:
        """Start a server, and have somebody there."""
        self.server = FakeServer(self.mktemp(), text)
        self.phone = self.server.client("192.0.2.1")
        self.store: Any = self.server.node.store
        self.assertEqual(self.statuses(), [200, 200, 200])
        self.server.advance(0.1)

    def statuses(self) -> list[int]:
        """Return what REGISTER, PUBLISH and SUBSCRIBE of somebody new are answered."""
        self.cseq += 1
        uri = f"<sip:user{self.cseq}@192.0.2.1;long={'x' * 1500}>"
        first = register(self.phone, uri, self.cseq, f"user{self.cseq}")
        body = document().replace("</presence>", f"<note>{'x' * 3000}</note></presence>")
        head = {"cseq": self.cseq, "match": "", "media_type": "application/pidf+xml"}
        publish = PUBLISH.format(**head, length=len(body), body=body).strip()
        subscribe = SUBSCRIBE.format(cseq=self.cseq, long="x" * 3000)
        return [first.status, self.status(publish), self.status(subscribe)]

    def status(self, text: str) -> int:
        """Return what a request is answered."""
        self.phone.clear()
        self.phone.send(text)
        return next(m.status for m in self.phone.received if isinstance(m, Response))

    def fill(self) -> None:
        """Leave no room for anything."""
        database = self.store._database
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        row = "INSERT INTO state VALUES ('filler', randomblob(16), zeroblob(500))"
        with self.assertRaises(sqlite3.OperationalError):
            for _ in range(1000):
                database.execute(row)

    def make_room(self) -> None:
        """Undo `fill`, and let the store find it out."""
        self.store._database.execute("PRAGMA max_page_count = 1073741823")
        self.server.advance(1.1)

    def kept(self) -> dict[str, int]:
        """Return how many records of each kind there are."""
        kinds = ("bindings", "publications", "subscriptions")
        return {kind: len(list(self.store.load(kind))) for kind in kinds}

    @rfc(3261, "10.3", "a commit that fails is answered 500, and the updates are undone")
    def test_durable(self) -> None:
        """What cannot be kept is refused, and all that was there stays, until there is room."""
        self.serve(DURABLE)
        before = self.kept()
        self.fill()
        self.assertEqual(self.statuses(), [500, 500, 500])
        self.assertEqual(problems(self.server.node), ["the store cannot be written"])
        self.assertEqual(len(list(self.server.node.location.aors())), 1)
        node = self.server.node
        self.assertEqual((len(node.publications), len(node.notifier)), (1, 1))
        self.make_room()
        self.assertEqual((self.kept(), problems(self.server.node)), (before, []))
        self.assertEqual(self.statuses(), [200, 200, 200])
        again = self.server.restarted(crashed=True)
        self.assertEqual(len(list(again.node.location.aors())), 2)

    def test_written_behind(self) -> None:
        """It serves from memory, says that it is not well, and writes all when there is room."""
        self.serve(OPEN)
        self.fill()
        self.assertEqual(self.statuses(), [200, 200, 200])
        self.server.advance(0.2)
        self.assertEqual(problems(self.server.node), ["the store cannot be written"])
        self.assertEqual(self.kept()["bindings"], 1)
        written, failed = self.store.took.up_to[-1][1], self.store.failures
        self.assertTrue(written and failed)
        self.assertEqual(self.statuses(), [200, 200, 200])
        self.make_room()
        self.assertEqual(problems(self.server.node), [])
        self.assertGreater(self.store.took.up_to[-1][1], written)
        again = self.server.restarted(crashed=True)
        self.assertEqual(len(list(again.node.location.aors())), 3)

    def test_from_the_start(self) -> None:
        """That it cannot be written keeps nobody from serving."""

        def full(*_: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        self.patch(SqliteStore, "_transact", full)
        server = FakeServer(self.mktemp(), OPEN)
        self.assertEqual(register(server.client("192.0.2.1"), "<sip:bob@192.0.2.1>").status, 200)
        self.assertEqual(server.node.store.starts, 1)


class FileTests(SynchronousTestCase):
    """Files that a server cannot, or may not, use: nothing is served, and nothing is touched."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        server = FakeServer(str(self.home), OPEN)
        for number in range(40):
            register(server.client("192.0.2.1"), "<sip:x@192.0.2.1>", 1, f"user{number}")
            server.advance(0.1)
        server.stop()
        self.path = self.home / "var" / FILE
        self.good = self.path.read_bytes()

    def line(self) -> str:
        """Return the line that the start ends with, empty where the server starts."""
        config = parse(self.home / "sipproxy.toml", OPEN)
        try:
            node: Any = Node(config, [], Clock())
            node.store.worker = AtOnce()
            node.store.startService()
        except ConfigError as error:
            self.assertNotIn("\n", str(error))
            self.assertIn("sipproxy.toml: ", str(error))
            return str(error)
        node.store.stopService()
        return ""

    def test_a_good_one(self) -> None:
        self.assertGreater(len(self.good), 5 * PAGE)
        self.assertEqual(self.line(), "")

    def test_torn_at_every_page(self) -> None:
        for end in range(PAGE, len(self.good), PAGE):
            for cut in (end, end + PAGE // 3):
                self.path.write_bytes(self.good[:cut])
                self.assertIn("is damaged", self.line(), cut)
                self.assertIn("restore a copy, or move it away and begin anew", self.line())

    def test_overwritten_at_every_page(self) -> None:
        for start in range(0, len(self.good), PAGE):
            torn = self.good[:start] + b"\xa5" * PAGE + self.good[start + PAGE :]
            self.path.write_bytes(torn)
            self.assertIn("is damaged", self.line(), start)
            self.assertEqual(self.path.read_bytes(), torn)

    def test_a_newer_version(self) -> None:
        with closing(sqlite3.connect(self.path)) as database:
            database.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
        self.assertIn("which a newer sipproxy has made", self.line())

    def test_what_may_not_be_written(self) -> None:
        """Neither the file nor its directory; the superuser may, so somebody else tries."""
        for mode, path in ((0o444, self.path), (0o555, self.path.parent)):
            with as_somebody_else(self.home):
                path.chmod(mode)
                line = self.line()
                path.chmod(0o700)
            self.assertIn("cannot be written: its directory and it have to be ours", line)

    def test_a_directory_that_cannot_be_made(self) -> None:
        config = parse(self.home / "sipproxy.toml", f'data = "/proc/1/sipproxy"\n{OPEN}')
        error = self.assertRaises(ConfigError, Node, config, [], Clock())
        self.assertIn("/proc/1/sipproxy", str(error))
        self.assertNotIn("\n", str(error))


@contextmanager
def as_somebody_else(place: Path) -> Iterator[None]:
    """Be nobody for a while, where we are the superuser, and let a place be nobody's."""
    if os.geteuid() != 0:
        yield
        return
    nobody, parents = 65534, list(place.resolve().parents)
    modes = [(parent, parent.stat().st_mode) for parent in parents]
    for path in (place, *place.rglob("*")):
        os.chown(path, nobody, nobody)
    for parent, mode in modes:
        if mode & 0o011 != 0o011:  # we are of the same group still
            parent.chmod(mode | 0o011)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)
        for parent, mode in modes:
            if parent.stat().st_mode != mode:
                parent.chmod(mode & 0o7777)


class LogTests(SynchronousTestCase):
    """A log that is cut anywhere, as a power cut may leave it: whole transactions are there."""

    TRANSACTIONS = 12

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        store = self.opened(self.directory)
        for number in range(1, self.TRANSACTIONS + 1):
            for name in (b"a", b"b", b"c"):
                store.put("k", name, [number, "x" * 3000])
            self.clock.advance(0.1)
        self.crashed = Path(self.mktemp())
        shutil.copytree(self.directory, self.crashed)
        self.log = (self.crashed / f"{FILE}-wal").read_bytes()

    def opened(self, directory: Path) -> SqliteStore:
        """Open the store of a directory."""
        self.clock = Clock()
        store = SqliteStore(directory, StoreSettings(), self.clock)
        store.worker = AtOnce()
        store.startService()
        self.addCleanup(store.stopService)
        return store

    def found(self, log: bytes) -> int:
        """Return the number of the transaction that the store is at, with such a log."""
        place = Path(self.mktemp())
        shutil.copytree(self.crashed, place)
        (place / f"{FILE}-wal").write_bytes(log)
        (place / f"{FILE}-shm").unlink(missing_ok=True)
        store = self.opened(place)
        numbers = [value[0] for _, value in store.load("k")]
        store.close()
        self.assertEqual(len(set(numbers)), min(1, len(numbers)))
        self.assertIn(len(numbers), (0, 3))
        return numbers[0] if numbers else 0

    def test_whole(self) -> None:
        self.assertEqual(self.found(self.log), self.TRANSACTIONS)

    def test_cut(self) -> None:
        """At the end of every frame, and within it."""
        last = 0
        for end in range(HEADER, len(self.log), FRAME):
            for cut in (end, end + FRAME // 2):
                number = self.found(self.log[:cut])
                self.assertGreaterEqual(number, last)
                last = number
        self.assertGreater(last, self.TRANSACTIONS // 2)

    def test_overwritten(self) -> None:
        """What comes after a frame that is not what it was does not count."""
        last = 0
        for start in range(HEADER, len(self.log), FRAME):
            torn = self.log[:start] + b"\xa5" * FRAME + self.log[start + FRAME :]
            number = self.found(torn)
            self.assertGreaterEqual(number, last)
            last = number

    def test_gone(self) -> None:
        self.assertLess(self.found(b""), self.TRANSACTIONS)
