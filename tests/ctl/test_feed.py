"""Tables on their way to who reads them slowly, and what changes of them meanwhile."""

from __future__ import annotations

import tracemalloc
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl import feed, tables
from sipproxy.ctl.feed import SLICE
from sipproxy.ctl.following import Known
from sipproxy.ctl.server import Commands
from sipproxy.ctl.tables import in_order
from sipproxy.registrar.binding import Binding
from sipproxy.sip.headers import parse_name_addr
from sipproxy.testing import CONFIG, FakeServer
from tests.ctl.reading import Reader

OK = {"ok": True}


class WithUsers(SynchronousTestCase):
    """A server with some users, and somebody who lists them."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), CONFIG)
        self.node = self.server.node
        self.commands = Commands(self.node)

    def bind(self, *numbers: int, expires: int = 600, host: str = "192.0.2.1") -> None:
        """Let users be somewhere."""
        until = self.node.now() + expires
        for number in numbers:
            contact = parse_name_addr(b"<sip:u@%s>" % host.encode())
            binding = Binding(contact, b"", 1.0, until, b"call", 1, (), None)
            self.node.location.commit(b"u%06d@example.test" % number, [binding])

    def unbind(self, *numbers: int) -> None:
        """Let users be nowhere."""
        for number in numbers:
            self.node.location.commit(b"u%06d@example.test" % number, [])

    def reader(self, follow: bool = True, **filters: Any) -> Reader:
        """Return who has asked for bindings."""
        reader = Reader(self.node, self.commands)
        reader.send("bindings", follow=follow, **filters)
        return reader


class Listing(WithUsers):
    """A whole table."""

    def test_in_order_a_slice_at_a_time(self) -> None:
        self.patch(tables, "CHUNK", 30)
        self.bind(*reversed(range(250)))
        reader = self.reader(follow=False)
        takes = []
        while (taken := reader.take()) or not takes:
            takes.append(taken)
        lines = [line for taken in takes for line in taken]
        self.assertEqual(lines.pop(), OK)
        names = [line["of"] for line in lines]
        self.assertEqual(names, [f"u{number:06}@example.test" for number in range(250)])
        self.assertLessEqual(max(map(len, takes)), SLICE + 1)
        self.assertIsNone(reader.wire.producer)

    def test_nothing_is_written_before_it_was_read(self) -> None:
        self.bind(*range(1000))
        reader = self.reader(follow=False)
        reader.take()
        before = len(reader.wire.value())
        self.server.advance(5)
        self.assertEqual(len(reader.wire.value()), before)
        self.assertLess(before, 300 * SLICE)

    def test_who_leaves_amid_it(self) -> None:
        self.bind(*range(1000))
        reader = self.reader()
        reader.take()
        reader.leave()
        self.assertEqual(len(self.commands.followers), 0)
        self.server.advance(1)
        self.assertLess(len(reader.wire.value()), 300 * SLICE)

    def test_what_goes_while_it_is_listed(self) -> None:
        self.bind(*range(300))
        reader = self.reader(follow=False)
        reader.take()
        self.unbind(*range(300))
        self.assertLess(len(reader.lines()), SLICE + 2)

    def test_many_are_in_memory_once(self) -> None:
        """What a listing needs beside the table is the order of its keys, and a slice."""
        self.bind(*range(20_000))
        reader = self.reader(follow=False)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        while reader.wire.producer is not None:
            reader.take()
        _, peak = tracemalloc.get_traced_memory()
        self.assertLess(peak, 20_000 * 50)

    def test_order(self) -> None:
        self.patch(tables, "CHUNK", 3)
        found = list(in_order([5, 1, 4, 2, 3, 9, 0]))
        self.assertEqual([one for one in found if one is not None], [0, 1, 2, 3, 4, 5, 9])
        self.assertEqual(found.count(None), 3)


class Following(WithUsers):
    """What changes after it."""

    def test_changes(self) -> None:
        self.bind(1)
        reader = self.reader()
        self.assertEqual(
            [line.get("of") for line in reader.lines()], ["u000001@example.test", None]
        )
        self.bind(2)
        self.unbind(1)
        new, gone = reader.lines()
        self.assertEqual(new["rows"][0]["aor"], "u000002@example.test")
        self.assertEqual(gone, {"of": "u000001@example.test", "rows": []})
        self.assertEqual(reader.lines(), [])

    def test_one_user_alone(self) -> None:
        self.bind(1, 2)
        reader = self.reader(aor="u000002@example.test")
        self.assertEqual(len(reader.lines()), 2)
        self.bind(1, 2, host="192.0.2.9")
        self.assertEqual([len(line["rows"]) for line in reader.lines()], [0, 1])

    def test_what_changes_again_is_told_once(self) -> None:
        reader = self.reader()
        reader.lines()
        for _ in range(50):
            self.bind(1)
            self.unbind(1)
        self.assertEqual(len(reader.lines()), 1)

    def test_what_changes_while_all_is_told(self) -> None:
        self.bind(*range(3 * SLICE))
        reader = self.reader()
        reader.take()
        lines = reader.take()
        self.bind(0, host="192.0.2.9")  # it has been told of
        lines += reader.lines()
        self.assertEqual(lines[-2], OK)
        self.assertEqual(lines[-1]["rows"][0]["contact"], "sip:u@192.0.2.9")

    def test_who_does_not_read_is_told_all_anew(self) -> None:
        """However much changes, what waits for a slow reader stays as it is."""
        self.patch(feed, "MOST", 100)
        self.bind(*range(500))
        reader = self.reader()
        known = Known(("aor", "contact"))
        for line in reader.lines():
            list(known.heard(line))
        self.bind(1000)
        self.server.clock.advance(0)  # it is written, and not read
        waiting = len(reader.wire.value())
        self.unbind(*range(400))
        self.bind(*range(2000, 2300))
        self.server.advance(10)
        self.assertEqual(len(reader.wire.value()), waiting)
        (followed,) = self.commands.followers._feeds["bindings"]
        self.assertLessEqual(len(followed._changed), 100)
        heard: dict[str, int] = {}
        for line in reader.lines():
            for change, _ in known.heard(line):
                heard[change] = heard.get(change, 0) + 1
        self.assertEqual(heard, {"gone": 400, "new": 301})
        self.assertEqual(reader.lines(), [])

    def test_several_at_a_time(self) -> None:
        one, other = self.reader(), self.reader()
        one.lines()
        other.lines()
        self.bind(1)
        self.assertEqual(len(one.lines()), 1)
        one.leave()
        self.bind(2)
        self.assertEqual(len(other.lines()), 2)
        self.assertEqual(len(self.commands.followers), 1)
