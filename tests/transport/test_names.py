"""What is known of names, for how long, and who asks (RFC 1035, RFC 2308)."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.names import dns

from sipproxy.transport.hops import Unreachable
from sipproxy.transport.names import MOST_RECORDS, NAPTR, SRV, A, Hosts, Names, Slots
from sipproxy.transport.settings import Dns
from tests.sip.tables import TableCase, rows
from tests.transport.zones import FakeDns, zone

ZONE = """
    one.test    A      198.51.100.7  ttl=60
    one.test    A      198.51.100.8  ttl=30
    zero.test   A      198.51.100.9  ttl=0
    alias.test  CNAME  mid.test      ttl=10
    mid.test    CNAME  one.test
    _s.test     SRV    1 2 5070 One.Test.
    _s.test     SRV    0 0 5060 .
    n.test      NAPTR  1 2 S SIP+D2U _s.test
    loop.test   CNAME  pool.test
    pool.test   CNAME  loop.test
    self.test   CNAME  self.test
    to.test     CNAME  nowhere.test
"""


class NamesCase(TableCase):
    """Names on a clock, and the DNS behind them."""

    def setUp(self) -> None:
        self.dns = FakeDns(ZONE)
        self.clock = Clock()
        self.names = self.known()

    def known(self, **settings: Any) -> Names:
        return Names(self.clock, Dns(**settings), self.dns)

    def values(self, name: str, kind: int = A) -> tuple[Any, ...]:
        found = self.names.ask(name, kind)
        return self.successResultOf(found) if isinstance(found, Deferred) else found

    def problem(self, name: str, kind: int = A) -> str:
        return str(self.failureResultOf(self.names.ask(name, kind), Unreachable).value)


class ValuesTest(NamesCase):
    """Records as values."""

    def test_addresses(self) -> None:
        self.assertEqual(self.values("one.test"), ("198.51.100.7", "198.51.100.8"))

    def test_services(self) -> None:
        """Favourites first; the root is nobody's name."""
        self.assertEqual(self.values("_s.test", SRV), ((0, 0, 5060, "."), (1, 2, 5070, "one.test")))

    def test_what_is_counted(self) -> None:
        """Answers by type and outcome, how long they took, and those that were known."""
        self.names = self.known(queries=1)
        for name, kind in (("one.test", A), ("one.test", A), ("nothing.test", SRV)):
            self.values(name, kind)
        self.problem("loop.test")
        slow = Names(self.clock, Dns(queries=1), lambda name, kind: Deferred())
        waiting = slow.ask("one.test", A)
        self.assertEqual(slow.under_way, 1)
        self.failureResultOf(slow.ask("two.test", A), Unreachable)
        self.clock.advance(10)
        self.failureResultOf(waiting, Unreachable)
        known = {("A", "found"): 1, ("SRV", "none"): 1, ("A", "failed"): 1}
        self.assertEqual((self.names.outcomes, self.names.hits), (known, 1))
        self.assertEqual(slow.outcomes, {("A", "refused"): 1, ("A", "failed"): 1})
        self.assertEqual((slow.took.total, slow.under_way), (10.0, 0))

    def test_naptr(self) -> None:
        self.assertEqual(self.values("n.test", NAPTR), ((1, 2, b"S", b"SIP+D2U", b"", "_s.test"),))

    def test_of_too_many_the_favourites_are_kept(self) -> None:
        """A thousand records: what is kept of them is bounded."""
        text = "\n".join(f"_m.test SRV {n} 0 5060 h{n}.test" for n in reversed(range(1000)))
        self.dns.zone = zone(text)
        found = self.values("_m.test", SRV)
        self.assertEqual([one.priority for one in found], list(range(MOST_RECORDS)))

    def test_what_belongs_to_others_is_passed_over(self) -> None:
        """An answer speaks of the name that was asked for, whatever else it says."""
        message = self.dns.message("one.test", A)
        names = Names(self.clock, Dns(), lambda name, kind: _later(message))
        self.assertEqual(self.successResultOf(names.ask("two.test", A)), ())


def _later(message: dns.Message) -> Deferred[dns.Message]:
    found: Deferred[dns.Message] = Deferred()
    found.callback(message)
    return found


class AliasTest(NamesCase):
    """CNAME."""

    def test_followed(self) -> None:
        self.assertEqual(self.values("alias.test"), ("198.51.100.7", "198.51.100.8"))
        self.assertEqual(self.dns.asked, ["alias.test A", "mid.test A", "one.test A"])

    def test_followed_by_the_server(self) -> None:
        """A recursive server puts the whole chain into one answer."""
        message = self.dns.message("alias.test", A)
        for name in ("mid.test", "one.test"):
            message.answers += self.dns.message(name, A).answers
        self.names = Names(self.clock, Dns(), lambda name, kind: _later(message))
        self.assertEqual(self.values("alias.test"), ("198.51.100.7", "198.51.100.8"))

    def test_the_time_is_that_of_the_shortest(self) -> None:
        self.values("alias.test")
        self.clock.advance(9)
        self.values("alias.test")
        self.assertEqual(len(self.dns.asked), 3)
        self.clock.advance(1)
        self.values("alias.test")
        self.assertEqual(len(self.dns.asked), 6)

    @rows({"of two": "loop.test", "of one": "self.test"})
    def test_loop(self, name: str) -> None:
        self.assertEqual(self.problem(name), f"{name}: its aliases lead nowhere")
        self.assertLessEqual(len(self.dns.asked), 3)

    def test_too_long(self) -> None:
        self.dns.zone = zone("\n".join(f"a{n}.test CNAME a{n + 1}.test" for n in range(99)))
        self.assertIn("lead nowhere", self.problem("a0.test"))
        self.assertLess(len(self.dns.asked), 12)

    def test_to_nothing(self) -> None:
        self.assertEqual(self.values("to.test"), ())


class CacheTest(NamesCase):
    """Kept for its time, and bounded."""

    def asked_after(self, name: str, seconds: float) -> int:
        """Return how often the DNS is asked if a name is, twice."""
        before = len(self.dns.asked)
        for time in (seconds, 0):
            found = self.names.ask(name, A)
            if isinstance(found, Deferred):
                found.addErrback(lambda _: None)
            self.clock.advance(time)
        return len(self.dns.asked) - before

    @rows(
        {
            "within its time": ("one.test", 29.9, 1),
            "after it": ("one.test", 30, 2),
            "no time at all": ("zero.test", 0, 2),
            "nothing, within the SOA's minimum": ("none.test", 19.9, 1),
            "nothing, after it": ("none.test", 20, 2),
        }
    )
    def test_time(self, name: str, seconds: float, asked: int) -> None:
        self.assertEqual(self.asked_after(name, seconds), asked)

    def test_nothing_without_soa(self) -> None:
        """RFC 2308 §5: it is not kept."""
        self.dns.soa = None
        self.assertEqual(self.asked_after("none.test", 0), 2)

    def test_no_time_is_longer_than_ours(self) -> None:
        self.names = self.known(max_ttl=5.0, max_negative_ttl=3.0)
        self.assertEqual(self.asked_after("one.test", 5), 2)
        self.assertEqual(self.asked_after("none.test", 3), 2)

    @rows({"for a while": (4.9, 1), "after it": (5, 2)})
    def test_failure_is_kept(self, seconds: float, asked: int) -> None:
        """RFC 2308 §7: a server that fails is not asked for every request."""
        self.dns.fault = Unreachable("one.test: no DNS server answers")
        self.assertEqual(self.asked_after("one.test", seconds), asked)
        self.assertEqual(self.problem("one.test"), "one.test: no DNS server answers")

    def test_what_was_not_expected_is_a_failure_too(self) -> None:
        self.dns.fault = ValueError("x")
        self.assertIn("ValueError('x')", self.problem("one.test"))

    def test_bounded(self) -> None:
        self.names = self.known(cache=3)
        self.dns.zone = zone("\n".join(f"h{n}.test A 198.51.100.1" for n in range(10)))
        for n in range(10):
            self.values(f"h{n}.test")
            self.assertLessEqual(len(self.names), 3)
        asked = len(self.dns.asked)
        self.values("h9.test")
        self.values("h7.test")
        self.assertEqual(len(self.dns.asked), asked)
        self.values("h6.test")
        self.assertEqual(len(self.dns.asked), asked + 1)


class AskingTest(NamesCase):
    """Questions under way."""

    def setUp(self) -> None:
        super().setUp()
        self.dns.waits = True

    def test_once(self) -> None:
        found = [self.names.ask("one.test", A) for _ in range(3)]
        self.assertEqual(self.dns.asked, ["one.test A"])
        self.dns.answer()
        self.assertEqual(len({self.successResultOf(one) for one in found}), 1)
        self.assertEqual(self.names._asking, {})

    def test_who_leaves_takes_nothing_with_him(self) -> None:
        first, second = self.names.ask("one.test", A), self.names.ask("one.test", A)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.dns.answer()
        self.assertTrue(self.successResultOf(second))

    def test_bounded(self) -> None:
        self.names = self.known(queries=2)
        found = [self.names.ask(f"h{n}.test", A) for n in range(2)]
        self.assertIn("too many DNS queries", self.problem("h3.test"))
        self.dns.answer()
        self.assertEqual([self.successResultOf(one) for one in found], [(), ()])
        self.dns.waits = False
        self.assertEqual(self.values("h3.test"), ())

    def test_no_answer_at_all(self) -> None:
        found = self.names.ask("one.test", A)
        self.clock.advance(9.9)
        self.assertNoResult(found)
        self.clock.advance(0.1)
        problem = self.failureResultOf(found, Unreachable).value
        self.assertEqual(str(problem), "one.test: nothing from the DNS within 10 s")
        self.assertEqual((self.names._asking, self.clock.getDelayedCalls()), ({}, []))


class SharesTest(TableCase):
    """Who asks for names that nobody answers for leaves slots to those who ask for others."""

    MOST = 240

    def setUp(self) -> None:
        self.slots = Slots(self.MOST)

    def most(self, pattern: str) -> int:
        """Take as many as there are for names of a pattern."""
        return sum(self.slots.take(pattern.format(number)) for number in range(2 * self.MOST))

    @rows(
        {
            "hosts": ("h{}.evil.test", 120),
            "one host": ("h.evil.test", 80),
            "the domain itself": ("evil.test", 80),
            "labels": ("a.b{}.c.evil.test", 80),
            "labels all over": ("a.b.c{}.evil.test", 120),
            "below what many share": ("h{}.evil.co.test", 80),
        }
    )
    def test_one_domain(self, pattern: str, most: int) -> None:
        self.assertEqual(self.most(pattern), most)
        self.assertTrue(self.slots.take("good.test"))

    def test_two_domains(self) -> None:
        """One after the other takes half of what is left."""
        self.assertEqual([self.most(name) for name in ("h{}.a.test", "h{}.b.test")], [120, 60])
        self.assertTrue(self.slots.take("good.test"))

    def test_two_domains_below_what_many_share(self) -> None:
        taken = [self.most(name) for name in ("h{}.a.co.test", "h{}.b.co.test")]
        self.assertEqual(taken, [80, 27])
        self.assertTrue(self.slots.take("h.good.co.test"))
        self.assertTrue(self.slots.take("good.test"))

    def test_who_holds_none_gets_the_last(self) -> None:
        """As many as there are domains are served at once, and no more than that."""
        self.assertEqual(self.most("{}.test"), self.MOST)
        self.assertFalse(self.slots.take("good.test"))
        self.slots.give_back("7.test")
        self.assertTrue(self.slots.take("good.test"))

    def test_given_back(self) -> None:
        """Nothing is kept of it."""
        names = [f"h{number}.a.test" for number in range(50)]
        for _ in range(10):
            self.assertTrue(all(self.slots.take(name) for name in names))
            for name in names:
                self.slots.give_back(name)
        self.assertEqual(len(self.slots), 0)
        self.assertEqual(self.most("h{}.a.test"), 120)


class StarvedTest(NamesCase):
    """The same by the questions of senders."""

    def setUp(self) -> None:
        super().setUp()
        self.dns.waits = True
        self.found = [self.names.ask(f"h{n}.evil.test", A) for n in range(256)]

    def test_others_get_theirs(self) -> None:
        """256 names of one domain, which never answers: half of them are not asked for."""
        self.assertEqual(len(self.dns.asked), 128)
        for found in self.found[128:]:
            problem = self.failureResultOf(found, Unreachable).value
            self.assertIn("too many DNS queries", str(problem))
        self.dns.waits = False
        self.assertEqual(self.values("one.test"), ("198.51.100.7", "198.51.100.8"))

    def test_afterwards(self) -> None:
        """Each question gives its slot back, answered or not."""
        self.clock.advance(10)
        for found in self.found:
            self.failureResultOf(found, Unreachable)
        self.assertEqual(len(self.names._slots), 0)
        self.dns.waits = False
        self.assertEqual(self.values("h1000.evil.test"), ())


class HostsTest(TableCase):
    """/etc/hosts."""

    def test_read_again_when_it_has_changed(self) -> None:
        path, clock = self.mktemp(), Clock()
        hosts = Hosts(clock, path)
        self.assertEqual(hosts.addresses("a.test"), [])
        text = "# nobody\n\n192.0.2.1 A.test a # b.test\n0:0::1 a.test\nbad a.test\nfe80::1%x a\n"
        self.write(path, text, 1)
        clock.advance(29)
        self.assertEqual(hosts.addresses("a.test"), [])
        clock.advance(1)
        self.assertEqual(hosts.addresses("a.test"), ["192.0.2.1", "::1"])
        self.assertEqual((hosts.addresses("a"), hosts.addresses("b.test")), (["192.0.2.1"], []))
        self.write(path, "192.0.2.2 a.test", 2)
        clock.advance(30)
        self.assertEqual(hosts.addresses("a.test"), ["192.0.2.2"])

    def write(self, path: str, text: str, changed: int) -> None:
        """Write a file that says when it was changed."""
        with open(path, "w") as file:
            file.write(text)
        os.utime(path, (changed, changed))
