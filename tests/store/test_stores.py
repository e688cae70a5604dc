"""What every store does, the one that forgets and the one in SQLite alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipproxy.interfaces import IStore
from sipproxy.store.memory import MemoryStore
from sipproxy.store.settings import StoreSettings
from sipproxy.store.sqlite import CHECKPOINT, SqliteStore


class StoreRules:
    """The rules, for a store that the case makes (`stored`) and has written (`settle`)."""

    def setUp(self: Any) -> None:
        """Make the store."""
        self.store = self.stored()

    def rows(self: Any, kind: str) -> list[tuple[bytes, Any]]:
        """Return what a kind has, in order."""
        self.settle()
        return sorted(self.store.load(kind))

    def test_it_is_a_store(self: Any) -> None:
        verifyObject(IStore, self.store)

    def test_nothing_at_first(self: Any) -> None:
        self.assertEqual(self.rows("binding"), [])

    def test_what_was_put_is_loaded(self: Any) -> None:
        self.store.put("binding", b"a", 1)
        self.store.put("binding", b"b", [2, b"\xff", "ü", None, 1.5, {"k": [True]}])
        self.store.put("rule", b"a", 3)
        second = [2, b"\xff", "ü", None, 1.5, {"k": [True]}]
        self.assertEqual(self.rows("binding"), [(b"a", 1), (b"b", second)])
        self.assertEqual(self.rows("rule"), [(b"a", 3)])

    def test_put_replaces(self: Any) -> None:
        self.store.put("rule", b"a", 1)
        self.settle()
        self.store.put("rule", b"a", 2)
        self.assertEqual(self.rows("rule"), [(b"a", 2)])

    def test_put_twice_before_it_is_written(self: Any) -> None:
        self.store.put("rule", b"a", 1)
        self.store.put("rule", b"a", 2)
        self.assertEqual(self.rows("rule"), [(b"a", 2)])

    def test_remove(self: Any) -> None:
        self.store.put("rule", b"a", 1)
        self.settle()
        self.store.remove("rule", b"a")
        self.store.remove("rule", b"a")
        self.store.remove("never", b"a")
        self.assertEqual(self.rows("rule"), [])

    def test_put_after_remove(self: Any) -> None:
        self.store.put("rule", b"a", 1)
        self.store.remove("rule", b"a")
        self.store.put("rule", b"a", 2)
        self.assertEqual(self.rows("rule"), [(b"a", 2)])

    def test_what_is_loaded_is_a_copy(self: Any) -> None:
        self.store.put("rule", b"a", 1)
        self.settle()
        for key, _ in self.store.load("rule"):
            self.store.remove("rule", key)
        self.assertEqual(self.rows("rule"), [])

    def test_dates_are_moments_again(self: Any) -> None:
        self.assertAlmostEqual(self.store.moment(self.store.date(5.5)), 5.5, 6)
        self.assertEqual(self.store.date(6.0) - self.store.date(5.0), 1.0)

    def test_commit(self: Any) -> None:
        self.store.put("rule", b"a", 1)
        committed = maybeDeferred(self.store.commit)
        self.settle()
        self.assertIsNone(self.successResultOf(committed))
        self.assertIsNone(self.successResultOf(maybeDeferred(self.store.commit)))


class MemoryTests(StoreRules, SynchronousTestCase):
    """The store that forgets."""

    def stored(self) -> MemoryStore:
        """Return a new store."""
        return MemoryStore()

    def settle(self) -> None:
        """Nothing is ever written."""


class Thread:
    """A thread that works when the test says so."""

    def __init__(self) -> None:
        self.work: list[tuple[Any, ...]] = []

    def __call__(self, function: Any, *arguments: Any) -> Deferred[None]:
        """Take a piece of work."""
        done: Deferred[None] = Deferred()
        self.work.append((done, function, arguments))
        return done

    def start(self) -> None:
        """Nothing works by itself."""

    def stop(self) -> None:
        """Nothing works by itself."""

    def run(self) -> int:
        """Do what there is to do now, and return how many pieces that were."""
        work, self.work = self.work, []
        for done, function, arguments in work:
            try:
                result = function(*arguments)
            except Exception:
                done.errback()
            else:
                done.callback(result)
        return len(work)


class SqliteCase(SynchronousTestCase):
    """A store in SQLite with a clock and a thread of the test's."""

    durable = False

    def opened(self, directory: Path) -> SqliteStore:
        """Open the store of a directory."""
        store = SqliteStore(directory, StoreSettings(durable=self.durable), self.clock)
        store.worker = self.thread
        store.startService()
        return store

    def stored(self) -> SqliteStore:
        """Return a new store."""
        self.clock = Clock()
        self.thread = Thread()
        self.directory = Path(self.mktemp())
        return self.opened(self.directory)

    def settle(self) -> None:
        """Have everything written."""
        self.clock.advance(0.05)
        while self.thread.run():
            self.clock.advance(0.05)


class SqliteTests(StoreRules, SqliteCase):
    """The store in SQLite."""


class DurableTests(StoreRules, SqliteCase):
    """The store in SQLite, where every commit is to outlive a power cut."""

    durable = True


class WritingTests(SqliteCase):
    """When the store in SQLite writes, and what when it cannot."""

    def setUp(self) -> None:
        self.store = self.stored()

    def again(self) -> dict[bytes, Any]:
        """Return what another server finds in the file."""
        return dict(self.opened(self.directory).load("k"))

    def fill_the_disk(self) -> None:
        """Leave no room for another page."""
        pages = self.store._database.execute("PRAGMA page_count").fetchone()[0]
        self.store._database.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self) -> None:
        """Undo `fill_the_disk`."""
        self.store._database.execute("PRAGMA max_page_count = 1073741823")

    def test_changes_are_written_together_within_50_ms(self) -> None:
        for number in range(10):
            self.store.put("k", b"%d" % number, number)
        self.clock.advance(0.049)
        self.assertEqual(self.thread.work, [])
        self.clock.advance(0.001)
        self.assertEqual(self.thread.run(), 1)
        self.assertEqual(len(self.again()), 10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_at_once(self) -> None:
        """However many, in statements of a few sizes."""
        for count in (1, 9, 10, 11, 99, 1110, 2345):
            for number in range(count):
                self.store.put("k", b"%d" % number, number)
            self.settle()
            self.assertEqual(len(self.again()), count)
            for number in range(0, count, 2):
                self.store.remove("k", b"%d" % number)
            self.settle()
            self.assertEqual(set(self.again().values()), set(range(1, count, 2)))
            for number in range(1, count, 2):
                self.store.remove("k", b"%d" % number)
            self.settle()

    def test_the_log_is_moved_into_the_database(self) -> None:
        """By another connection, while what changes is written on."""
        for number in range(CHECKPOINT + 1):
            self.store.put("k", b"%d" % number, bytes(100))
        committed = self.store.commit()
        self.assertEqual(self.thread.run(), 1)
        self.successResultOf(committed)
        path = self.directory / "sipproxy.sqlite"
        before = path.stat().st_size
        self.assertEqual(self.thread.run(), 1)
        self.assertGreater(path.stat().st_size, before + 100 * CHECKPOINT)
        self.assertEqual(self.thread.work, [])

    def test_what_is_written_later_is_made_once(self) -> None:
        """Of many changes the latest is made into a value, when it is written."""
        made: list[bytes] = []

        def current(key: bytes) -> Any:
            made.append(key)
            return None if key == b"gone" else len(made)

        self.store.put("k", b"gone", 1)
        self.settle()
        for _ in range(3):
            self.store.later("k", b"a", current)
        self.store.later("k", b"gone", current)
        self.assertEqual(made, [])
        self.settle()
        self.assertEqual(made, [b"a", b"gone"])
        self.assertEqual(self.again(), {b"a": 1})

    def test_one_that_cannot_be_made_keeps_no_other_back(self) -> None:
        def broken(key: bytes) -> Any:
            raise KeyError(key)

        self.store.later("k", b"bad", broken)
        self.store.put("k", b"good", 1)
        self.settle()
        self.assertEqual(self.again(), {b"good": 1})
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_commit_does_not_wait(self) -> None:
        self.store.put("k", b"a", 1)
        committed = self.store.commit()
        self.assertNoResult(committed)
        self.thread.run()
        self.successResultOf(committed)
        self.assertEqual(self.again(), {b"a": 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_changes_meanwhile_is_in_the_next_transaction(self) -> None:
        self.store.put("k", b"a", 1)
        first = self.store.commit()
        self.store.put("k", b"a", 2)
        self.store.put("k", b"b", 3)
        second, third = self.store.commit(), self.store.commit()
        self.assertEqual(self.thread.run(), 1)
        self.successResultOf(first)
        self.assertNoResult(second)
        self.assertEqual(self.again(), {b"a": 1})
        self.assertEqual(self.thread.run(), 1)
        self.successResultOf(second)
        self.successResultOf(third)
        self.assertEqual(self.again(), {b"a": 2, b"b": 3})

    def test_what_has_waited_for_a_transaction_has_waited(self) -> None:
        """Nothing waits longer than 50 ms for others, beside for who is being written."""
        self.store.put("k", b"a", 1)
        self.clock.advance(0.05)
        self.store.put("k", b"b", 2)
        self.clock.advance(0.04)
        self.thread.run()
        self.clock.advance(0.009)
        self.assertEqual(self.thread.work, [])
        self.clock.advance(0.002)
        self.assertEqual(self.thread.run(), 1)
        self.store.put("k", b"c", 3)
        self.clock.advance(0.05)
        self.store.put("k", b"d", 4)
        self.clock.advance(1.0)
        self.thread.run()
        self.clock.advance(0)
        self.assertEqual(self.thread.run(), 1)

    def test_commit_waits_for_what_is_being_written(self) -> None:
        self.store.put("k", b"a", 1)
        self.clock.advance(0.05)
        committed = self.store.commit()
        self.assertNoResult(committed)
        self.thread.run()
        self.successResultOf(committed)

    def test_a_full_disk(self) -> None:
        """Who waits is told, nothing is lost, and it is written when there is room again."""
        self.store.put("k", b"a", 1)
        self.settle()
        self.fill_the_disk()
        self.store.put("k", b"b", b"x" * 100_000)
        self.store.remove("k", b"a")
        committed = self.store.commit()
        self.thread.run()
        self.assertIn("the disk is full: make room", str(self.failureResultOf(committed).value))
        self.assertEqual(self.again(), {b"a": 1})  # all or nothing
        self.store.put("k", b"c", 3)
        self.make_room()
        self.clock.advance(1.0)
        self.settle()
        self.assertEqual(self.again(), {b"b": b"x" * 100_000, b"c": 3})
        self.assertEqual(len(self.store), 0)

    def test_what_has_changed_since_a_failure_counts(self) -> None:
        self.fill_the_disk()
        self.store.put("k", b"a", b"x" * 100_000)
        self.clock.advance(0.05)
        self.store.put("k", b"a", 2)
        self.thread.run()
        self.make_room()
        self.clock.advance(1.0)
        self.settle()
        self.assertEqual(self.again(), {b"a": 2})

    def test_a_value_that_cannot_be_read_is_left_out(self) -> None:
        self.store.put("k", b"a", 1)
        self.store._changes["k", b"b"] = b"\xc1"
        self.settle()
        self.assertEqual(self.again(), {b"a": 1})

    def test_nothing_is_kept_after_the_stop(self) -> None:
        self.successResultOf(self.store.stopService())
        self.store.put("k", b"a", 1)
        self.assertEqual((len(self.store), self.clock.getDelayedCalls()), (0, []))
        self.successResultOf(self.store.commit())
        self.assertEqual(self.again(), {})

    def test_stopped_before_it_was_started(self) -> None:
        store = SqliteStore(self.directory, StoreSettings(), self.clock)
        self.successResultOf(store.stopService())

    def test_no_connection_is_carried_over_a_fork(self) -> None:
        """A daemon is made between the two, and has none of its parent's locks."""
        store = SqliteStore(self.directory, StoreSettings(), self.clock)
        self.assertFalse(hasattr(store, "_database"))
        store.worker = self.thread
        store.startService()
        self.assertEqual(list(store.load("k")), [])

    def test_dates_go_on_where_they_were_left(self) -> None:
        """The clock of the machine is the same; the wall clock has stepped."""
        self.store.put("k", b"a", 1)
        self.settle()
        date = self.store.date(self.clock.seconds())
        self.clock.advance(10)
        store = SqliteStore(self.directory, StoreSettings(), self.clock, lambda: 1.0)
        self.assertAlmostEqual(store.date(self.clock.seconds()), date + 10, 3)

    def test_a_calendar_that_cannot_be_read(self) -> None:
        """The wall clock begins another."""
        self.store._changes["store", b"calendar"] = b"\xc1"
        self.store._transact(self.store._changes, b"\xc1")
        store = SqliteStore(self.directory, StoreSettings(), self.clock, lambda: 1000.0)
        self.assertEqual(store.date(self.clock.seconds()), 1000.0)

    def test_nothing_is_promised(self) -> None:
        self.store.put("k", b"a", 1)
        self.assertIsNone(self.store.promised())
        self.assertEqual(self.thread.work, [])

    def test_stopping_writes_what_is_left(self) -> None:
        self.store.put("k", b"a", 1)
        stopped = self.store.stopService()
        self.thread.run()
        self.successResultOf(stopped)
        self.assertEqual(self.again(), {b"a": 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_with_a_full_disk_ends_all_the_same(self) -> None:
        self.fill_the_disk()
        self.store.put("k", b"a", b"x" * 100_000)
        stopped = self.store.stopService()
        self.thread.run()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PromiseTests(SqliteCase):
    """``[store] durable = true``."""

    durable = True

    def setUp(self) -> None:
        self.store = self.stored()

    def test_it_is_kept_when_all_is_on_disk(self) -> None:
        self.store.put("k", b"a", 1)
        promised = self.store.promised()
        assert promised is not None
        self.assertNoResult(promised)
        self.thread.run()
        self.successResultOf(promised)

    def test_it_is_broken_by_a_disk_that_is_full(self) -> None:
        """Whoever relied on it puts back what there was, and that is what is written then."""
        self.store.put("k", b"a", 1)
        self.settle()
        pages = self.store._database.execute("PRAGMA page_count").fetchone()[0]
        self.store._database.execute(f"PRAGMA max_page_count = {pages}")
        self.store.put("k", b"a", b"x" * 100_000)
        promised = self.store.promised()
        assert promised is not None
        promised.addErrback(lambda _: self.store.put("k", b"a", 1))
        self.thread.run()
        self.successResultOf(promised)
        self.clock.advance(1.0)
        self.settle()
        self.assertEqual(list(self.store.load("k")), [(b"a", 1)])
        self.assertFalse(self.store.is_failing)

    def test_a_commit_outlives_a_power_cut(self) -> None:
        for store, level in ((self.store, 2), (self.other(), 1)):
            found = store._database.execute("PRAGMA synchronous").fetchone()[0]
            self.assertEqual(found, level)

    def other(self) -> SqliteStore:
        """Return a store that promises nothing."""
        store = SqliteStore(self.directory, StoreSettings(), self.clock)
        store.startService()
        self.addCleanup(store.worker.stop)
        return store
