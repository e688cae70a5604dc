"""Overload: who has to come again later, who hears nothing, and who is never sent away."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from sipproxy.testing import FakeFlow
from sipproxy.transport.pressure import SILENCE, SURE, WINDOW, Pressure
from sipproxy.transport.settings import Limits
from sipproxy.transport.ticker import TICK
from tests.proxy.fakes import request
from tests.sip.tables import TableCase, rows

LATE = (1.0, 0.0)
FULL = (0.0, 0.9)
WELL = (0.0, 0.1)


class PressureCase(TableCase):
    """Three requests a second from a source, two on a connection, two refusals, four sources."""

    listed: Any = False

    def setUp(self) -> None:
        self.asked: list[bytes] = []
        self.chance = 0
        self.make()

    def make(self, **changed: Any) -> None:
        """Build it anew, with other limits."""
        limits = {"source_rate": 3, "connection_rate": 2, "refusals": 2, "sources": 4, **changed}
        self.pressure = Pressure(Limits(**limits), self.random, self.is_listed)

    def random(self, length: int) -> bytes:
        """Return octets that were not there before."""
        self.chance += 1
        return bytes([self.chance % 256]) * length

    def is_listed(self, source: bytes) -> Any:
        """Note who is asked about."""
        self.asked.append(source)
        return self.listed

    def answers(self, count: int, *flows: FakeFlow) -> list[str]:
        """Let so many requests come by each flow; return what becomes of them."""
        one = request()
        answers = [self.pressure.admit(one, flow) for _ in range(count) for flow in flows]
        return [_word(answer) for answer in answers]

    def second(self) -> None:
        """Let a second pass."""
        self.ticks(WELL, round(WINDOW / TICK))

    def ticks(self, sign: tuple[float, float], count: int) -> None:
        """Let ticks pass that all have one sign."""
        for _ in range(count):
            self.pressure.ticked(*sign)


def _word(answer: int) -> str:
    return {0: "admitted", SILENCE: "nothing"}.get(answer, "503")


def phone(host: str = "192.0.2.1", transport: str = "udp", port: int = 5060) -> FakeFlow:
    """Return the flow of a source."""
    return FakeFlow(host, port, transport)


REFUSED = ["503", "503", "nothing", "nothing"]


class RateTest(PressureCase):
    """What one source, and one connection, may begin in a second."""

    def test_a_source(self) -> None:
        """So many are admitted, so many answered 503, and the rest nothing."""
        self.assertEqual(self.answers(7, phone()), ["admitted"] * 3 + REFUSED)
        self.assertEqual(self.pressure.refused, {"rate": 2, "silently": 2, "behind": 0})

    def test_the_next_second(self) -> None:
        self.answers(7, phone())
        self.second()
        self.assertEqual(self.answers(4, phone()), ["admitted"] * 3 + ["503"])

    def test_late_ticks(self) -> None:
        """A second is a second, also where ticks are late."""
        self.answers(7, phone())
        self.ticks((0.2, 0.0), 2)
        self.assertEqual(self.answers(1, phone()), ["nothing"])
        self.ticks((0.2, 0.0), 2)
        self.assertEqual(self.answers(1, phone()), ["admitted"])

    def test_its_ports_and_connections_together(self) -> None:
        flows = [phone(port=1), phone(port=2), phone(transport="tcp"), phone(transport="tcp")]
        self.assertEqual(self.answers(1, *flows), ["admitted"] * 3 + ["503"])

    def test_another_source(self) -> None:
        self.answers(9, phone())
        self.assertEqual(self.answers(3, phone("192.0.2.2")), ["admitted"] * 3)

    @rows(
        {
            "one network of IPv6": ("2001:db8::1", "2001:db8::2:1", "503"),
            "another": ("2001:db8::1", "2001:db8:0:1::1", "admitted"),
            "a link, with its scope": ("fe80::1%eth0", "fe80::2%eth0", "503"),
        }
    )
    def test_source_of_ipv6(self, one: str, other: str, expected: str) -> None:
        self.answers(3, phone(one))
        self.assertEqual(self.answers(1, phone(other)), [expected])

    def test_a_connection(self) -> None:
        self.make(source_rate=0)
        one, other = phone(transport="tcp"), phone(transport="tcp")
        self.assertEqual(self.answers(6, one), ["admitted"] * 2 + REFUSED)
        self.assertEqual(self.answers(2, other), ["admitted"] * 2)
        self.assertEqual(self.answers(9, phone()), ["admitted"] * 9)  # UDP has none

    def test_in_dialog_too(self) -> None:
        """A tag in To is for anybody to write: it saves nobody from a rate."""
        self.answers(3, phone())
        self.assertNotEqual(self.pressure.admit(request(method="CANCEL"), phone()), 0)

    def test_no_limit(self) -> None:
        self.make(source_rate=0, connection_rate=0)
        flows = [phone(), phone(transport="tcp")]
        self.assertEqual(set(self.answers(5000, *flows)), {"admitted"})

    def test_no_refusals(self) -> None:
        self.make(refusals=0)
        self.assertEqual(self.answers(5, phone()), ["admitted"] * 3 + ["nothing"] * 2)

    def test_the_table_is_bounded(self) -> None:
        """Beyond so many sources nobody is counted who was not before."""
        known = phone()
        self.answers(2, known)
        for number in range(2, 200):
            self.assertEqual(self.answers(5, phone(f"192.0.2.{number}"))[:3], ["admitted"] * 3)
        self.assertLessEqual(len(self.pressure._counts), 4)
        self.assertEqual(self.answers(2, known), ["admitted", "503"])


class UnlimitedTest(PressureCase):
    """Who is never too fast."""

    @rows(
        {
            "loopback": ("127.0.0.1", True),
            "loopback, another": ("127.9.9.9", True),
            "loopback, IPv6": ("::1", True),
            "anybody": ("192.0.2.1", False),
            "anybody, IPv6": ("2001:db8::1", False),
        }
    )
    def test_by_default(self, host: str, is_unlimited: bool) -> None:
        expected = {"admitted"} if is_unlimited else {"admitted", "503", "nothing"}
        flows = [phone(host), phone(host, "tcp")]
        self.assertEqual(set(self.answers(100, *flows)), expected)

    def test_configured(self) -> None:
        self.make(unlimited=("192.0.2.0/24",))
        self.assertEqual(set(self.answers(100, phone())), {"admitted"})
        self.assertIn("503", self.answers(100, phone("127.0.0.1")))

    def test_peers(self) -> None:
        """Asked once in a window, and only about who is beyond a rate."""
        self.listed = True
        self.answers(3, phone())
        self.assertEqual(self.asked, [])
        self.assertEqual(set(self.answers(100, phone())), {"admitted"})
        self.assertEqual(self.asked, [b"192.0.2.1"])

    def test_nobody_is_asked_about_twice(self) -> None:
        self.answers(100, phone())
        self.assertEqual(self.asked, [b"192.0.2.1"])

    @rows({"a peer": (True, "admitted"), "none": (False, "503")})
    def test_peers_by_name(self, is_listed: bool, then: str) -> None:
        """Until its name has been looked up, a source is given the benefit of the doubt."""
        self.listed = found = Deferred()
        self.assertEqual(set(self.answers(50, phone())), {"admitted"})
        found.callback(is_listed)
        self.assertEqual(self.answers(1, phone()), [then])

    def test_peers_by_name_known(self) -> None:
        self.listed = succeed(True)
        self.assertEqual(set(self.answers(50, phone())), {"admitted"})


class BehindTest(PressureCase):
    """The server is behind: what begins something comes again later."""

    @rows({"late": (LATE,), "full": (FULL,)})
    def test_signs(self, sign: tuple[float, float]) -> None:
        self.ticks(sign, SURE - 1)
        self.assertFalse(self.pressure.is_behind)
        self.ticks(sign, 1)
        self.assertTrue(self.pressure.is_behind)

    def test_a_machine_that_stood_still(self) -> None:
        """Once, for however long, is no overload."""
        self.ticks((3600.0, 1.0), 1)
        self.assertFalse(self.pressure.is_behind)

    def test_every_other_tick(self) -> None:
        for _ in range(50):
            self.ticks(FULL, 1)
            self.ticks(WELL, 1)
        self.assertFalse(self.pressure.is_behind)

    def test_over(self) -> None:
        """However long it was, it is over at once."""
        self.ticks(FULL, 1000)
        self.ticks(WELL, 2)
        self.assertFalse(self.pressure.is_behind)

    @rows({"late": ("lateness", LATE), "full": ("queue", FULL)})
    def test_signs_switched_off(self, name: str, sign: tuple[float, float]) -> None:
        self.make(**{name: 0})
        self.ticks(sign, 10)
        self.assertFalse(self.pressure.is_behind)

    @rows(
        {
            "MESSAGE": (request(), "503"),
            "INVITE": (request(method="INVITE"), "503"),
            "REGISTER": (request(method="REGISTER"), "503"),
            "CANCEL": (request(method="CANCEL"), "admitted"),
            "in a dialog": (None, "admitted"),
        }
    )
    def test_what_goes_before(self, one: Any, expected: str) -> None:
        self.ticks(FULL, SURE)
        if one is None:
            one = request(method="BYE")
            one.put(b"To", b"<sip:bob@example.test>;tag=2")
        self.assertEqual(_word(self.pressure.admit(one, phone())), expected)

    def test_a_to_that_cannot_be_read(self) -> None:
        self.ticks(FULL, SURE)
        one = request()
        one.put(b"To", b"<sip:bob")
        self.assertEqual(_word(self.pressure.admit(one, phone())), "503")

    def test_everybody(self) -> None:
        """A peer without a rate as well."""
        self.ticks(LATE, SURE)
        self.assertEqual(self.answers(4, phone("127.0.0.1")), ["503"] * 4)
        self.assertEqual(self.pressure.refused, {"rate": 0, "silently": 0, "behind": 4})

    def test_they_do_not_come_back_together(self) -> None:
        self.make(source_rate=0)
        self.ticks(LATE, SURE)
        one, flow = request(), phone()
        after = {self.pressure.admit(one, flow) for _ in range(500)}
        self.assertEqual(after - {0}, set(range(2, 11)))

    def test_a_flood(self) -> None:
        """It may take all the time that there is to refuse it: some are served nevertheless."""
        self.ticks(FULL, SURE)
        self.assertEqual(self.answers(16, phone("127.0.0.1")), [*["503"] * 7, "admitted"] * 2)
