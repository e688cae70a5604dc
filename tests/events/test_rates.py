"""Event rate control (RFC 6446): every rule for the notifier."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from sipproxy.events.rates import (
    NONE,
    Pace,
    Rates,
    agreed,
    answered_rates,
    parse_rates,
    rate_params,
)
from sipproxy.sip.headers import parse_event
from sipproxy.sip.message import Response
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

INTERVAL, MOST, HOUR = 5.0, 1.0, 3600.0
GRAMMAR = re.compile(rb"(;(max|min|adaptive-min)-rate=[0-9]{1,2}(\.[0-9]{1,10})?)*").fullmatch


class ParseTest(TableCase):
    """The parameters of Event (§9.2)."""

    def parsed(self, params: str) -> Rates:
        """Return the rates of an Event."""
        return parse_rates(parse_event(b"presence" + params.encode()).params)

    @rfc(6446, "5.2", "max-rate is extracted from the SUBSCRIBE")
    @rfc(6446, "6.2", "min-rate is extracted from the SUBSCRIBE")
    @rfc(6446, "7.2", "adaptive-min-rate is extracted from the SUBSCRIBE")
    @rows(
        {
            "none": ("", NONE),
            "others": (";id=1;max=2", NONE),
            "maximum": (";max-rate=0.05", Rates(max_rate=0.05)),
            "minimum": (";min-rate=1", Rates(min_rate=1)),
            "adaptive": (";adaptive-min-rate=99.9999999999", Rates(None, None, 99.9999999999)),
            "all": (";min-rate=01.0;id=x;Max-Rate = 2;adaptive-min-rate=1.5", Rates(2, 1, 1.5)),
            "the least": (";max-rate=0.0000000001", Rates(max_rate=1e-10)),
        }
    )
    def test_good(self, params: str, expected: Rates) -> None:
        """A positive number in decimals."""
        self.assertEqual(self.parsed(params), expected)

    @rfc(6446, "5.1", "zero is not an allowed rate")
    @rows(
        {
            **{value or "nothing": value for value in ("0", "00.000", "", "-1", "+1", "1.", ".5")},
            **{value: value for value in ("100", "1e1", "1,5", "inf", "0.12345678901", '"1"')},
            "another alphabet's": "٣",
        }
    )
    def test_bad(self, value: str) -> None:
        """400, whichever it is."""
        for name in ("max-rate", "min-rate", "adaptive-min-rate"):
            self.refuses(400, self.parsed, f";{name}={value}")
            self.refuses(400, self.parsed, f";{name}")


class AgreedTest(TableCase):
    """What becomes of what is wanted."""

    @rfc(6446, "5.3", "a max-rate that allows no NOTIFY before the expiry is increased")
    @rfc(6446, "8", "a min-rate above the max-rate is adjusted to it")
    @rfc(6446, "8", "an adaptive-min-rate above the max-rate is adjusted to it")
    @rfc(6446, "8", "a min-rate that is not lower than the adaptive-min-rate is not considered")
    @rows(
        {
            "nothing": (NONE, HOUR, NONE),
            "maximum": (Rates(0.1), HOUR, Rates(0.1)),
            "above what the package allows": (Rates(1), HOUR, Rates(0.2)),
            "one NOTIFY until the end": (Rates(0.00001), HOUR, Rates(1 / HOUR)),
            "no time left": (Rates(0.00001), 0, Rates(0.00001)),
            "less time left than the package's interval": (Rates(0.1), 2, Rates(0.2)),
            "minimum": (Rates(None, 0.01), HOUR, Rates(None, 0.01)),
            "minimum above the package's rate": (Rates(None, 0.5), HOUR, Rates(None, 0.2)),
            "minimum below max": (Rates(0.1, 0.05), HOUR, Rates(0.1, 0.05)),
            "minimum above max": (Rates(0.1, 0.15), HOUR, Rates(0.1, 0.1)),
            "both above the package's": (Rates(2, 3), HOUR, Rates(0.2, 0.2)),
            "adaptive above max": (Rates(0.1, None, 0.15), HOUR, Rates(0.1, None, 0.1)),
            "minimum below adaptive": (Rates(None, 0.01, 0.02), HOUR, Rates(None, 0.01, 0.02)),
            "minimum as adaptive": (Rates(None, 0.02, 0.02), HOUR, Rates(None, None, 0.02)),
            "minimum above adaptive": (Rates(None, 0.03, 0.02), HOUR, Rates(None, None, 0.02)),
            "all three": (Rates(0.1, 0.01, 0.02), HOUR, Rates(0.1, 0.01, 0.02)),
            "all three, both above max": (Rates(0.1, 0.2, 0.3), HOUR, Rates(0.1, 0.1, 0.1)),
            "all three, in no order": (Rates(0.1, 0.3, 0.2), HOUR, Rates(0.1, None, 0.1)),
        }
    )
    def test_rule(self, wanted: Rates, left: float, expected: Rates) -> None:
        """With a package that allows one NOTIFY in five seconds."""
        self.assertEqual(agreed(wanted, INTERVAL, MOST, left), expected)

    @rows(
        {
            "minimum": (Rates(None, 30), Rates(None, 1)),
            "adaptive": (Rates(None, None, 30), Rates(None, None, 1)),
            "maximum": (Rates(30), Rates(30)),
        }
    )
    def test_our_policy(self, wanted: Rates, expected: Rates) -> None:
        """§6.3, §7.3: nobody is told more often than we like, though a package has no interval."""
        self.assertEqual(agreed(wanted, 0, MOST, HOUR), expected)

    @rfc(6446, "4.2", "the rates that hold are told in Subscription-State")
    @rows(
        {
            "nothing": (NONE, b""),
            "a whole number": (Rates(2.0), b";max-rate=2"),
            "a fraction": (Rates(None, 0.05), b";min-rate=0.05"),
            "a third": (Rates(1 / 3), b";max-rate=0.3333333333"),
            "ten": (Rates(None, None, 10.0), b";adaptive-min-rate=10"),
            "all": (Rates(1, 0.5, 0.75), b";max-rate=1;min-rate=0.5;adaptive-min-rate=0.75"),
            "too small to write": (Rates(1e-12), b";max-rate=0.0000000001"),
            "too large to write": (Rates(100.0), b";max-rate=99.9999999999"),
        }
    )
    def test_written(self, rates: Rates, expected: bytes) -> None:
        """As §9.2 has it."""
        self.assertEqual(rate_params(rates), expected)
        self.assertIsNotNone(GRAMMAR(expected))


class AnswerTest(TableCase):
    """Rates in the 2xx to a NOTIFY (§9.3)."""

    WANTED = Rates(0.1, 0.01)

    @rfc(6446, "9.3", "the Event of a 2xx to a NOTIFY has all the rates that are wanted")
    @rfc(6446, "9.3", "other parameters there are ignored")
    @rows(
        {
            "no Event": ("", None),
            "another": ("presence;max-rate=0.05", Rates(0.05)),
            "others beside it": ("presence;id=7;min-rate=2;x", Rates(None, 2)),
            "none any more": ("presence", NONE),
            "of another package": ("reg;max-rate=0.05", None),
            "malformed": ("presence;max-rate=0", None),
            "no Event at all": ("@", None),
        }
    )
    def test_rule(self, event: str, expected: Rates | None) -> None:
        """None: everything stays as it is."""
        lines = [b"Event: " + event.encode()] if event else []
        response = Response(200, b"OK", [b"event"] * len(lines), lines)
        self.assertEqual(answered_rates(response, b"presence", self.WANTED), expected)

    @rfc(6446, "4.1", "a 2xx to a NOTIFY has no rates where the SUBSCRIBE had none")
    def test_not_without_a_subscribe(self) -> None:
        response = Response(200, b"OK", [b"event"], [b"Event: presence;max-rate=0.05"])
        self.assertIsNone(answered_rates(response, b"presence", NONE))


class PaceTest(TableCase):
    """When a NOTIFY may go, and when it has to; the subscription lasts an hour."""

    def pace(self, *rates: float | None, now: float = 100.0) -> Pace:
        """Return the pace of a subscription whose first NOTIFY has just gone."""
        pace = Pace(INTERVAL, MOST)
        pace.agree(Rates(*rates), now, now + HOUR)
        pace.sent(now)
        return pace

    def test_before_the_first(self) -> None:
        pace = Pace(INTERVAL, MOST)
        pace.agree(Rates(0.1), 0, HOUR)
        self.assertEqual((pace.earliest, pace.latest), (float("-inf"), None))

    @rfc(6446, "5.2", "no NOTIFY goes before the reciprocal of max-rate has passed")
    @rfc(6446, "6.2", "a NOTIFY goes when the reciprocal of min-rate has passed")
    @rfc(6446, "7.2", "a NOTIFY goes when the calculated time has passed")
    @rows(
        {
            "nothing": ((), 105, None),
            "maximum": ((0.05,), 120, None),
            "maximum beyond the package's": ((10,), 105, None),
            "minimum": ((None, 0.05), 105, 120),
            "minimum as often as may be": ((None, 1), 105, 105),
            "maximum and minimum": ((0.1, 0.05), 110, 120),
            "maximum below minimum": ((0.05, 0.1), 120, 120),
            "adaptive": ((None, None, 0.05), 105, 120),
            "adaptive and maximum": ((0.05, None, 0.05), 120, 120),
            "adaptive and minimum": ((None, 0.04, 0.05), 105, 120),
            "all three": ((0.1, 0.01, 0.05), 110, 120),
        }
    )
    def test_rule(self, rates: tuple[float, ...], earliest: float, latest: float | None) -> None:
        """The adaptive rate begins as a steady one."""
        pace = self.pace(*rates)
        self.assertAlmostEqual(pace.earliest, earliest)
        if latest is None:
            self.assertIsNone(pace.latest)
        else:
            self.assertAlmostEqual(pace.latest, latest)  # type: ignore[misc]

    @rfc(6446, "5.1", "a rate that a SUBSCRIBE does not repeat is no longer held")
    def test_removed(self) -> None:
        pace = self.pace(0.05, 0.01, 0.02)
        pace.agree(NONE, 110, 110 + HOUR)
        self.assertEqual((pace.earliest, pace.latest, pace.rates), (105, None, NONE))

    @rfc(6446, "5.3", "where the subscription is shortened the max-rate is increased")
    def test_shortened(self) -> None:
        pace = self.pace(0.001)
        self.assertEqual(pace.earliest, 1100)
        pace.agree(pace.wanted, 200, 700)
        self.assertAlmostEqual(pace.rates.max_rate, 1 / 500)  # type: ignore[misc]
        pace.agree(pace.wanted, 200, 200 + HOUR)
        self.assertEqual(pace.rates, Rates(0.001))

    @rfc(6446, "7.2", "the count begins with a history of period * adaptive-min-rate NOTIFYs")
    def test_steady(self) -> None:
        """Where nothing changes, an adaptive rate is a minimum rate."""
        pace, now = self.pace(None, None, 0.1), 100.0
        for _ in range(50):
            self.assertAlmostEqual(pace.latest, now + 10)  # type: ignore[misc]
            now = pace.latest or 0
            pace.sent(now)

    @rfc(6446, "7.4", "timeout = count / (adaptive-min-rate^2 * period)")
    def test_formula(self) -> None:
        """The period is ten times the reciprocal: 100 s; each NOTIFY adds a second."""
        pace = self.pace(None, None, 0.1)
        for n in range(1, 6):
            pace.sent(100 + n)
        self.assertAlmostEqual(pace.latest, 105 + 15 / (0.1**2 * 100))  # type: ignore[misc]
        pace.sent(200.5)  # nothing of before 100.5 counts: 5 since, and this one
        self.assertAlmostEqual(pace.latest, 200.5 + 6 / (0.1**2 * 100))  # type: ignore[misc]

    @rfc(6446, "7.4", "with a max-rate the timeout is never below its reciprocal")
    def test_formula_with_max_rate(self) -> None:
        pace = self.pace(0.08, None, 0.06)
        pace.sent(1000)  # after so long a silence the formula alone gives a tenth of 16.7 s
        self.assertAlmostEqual(pace.latest, 1012.5)  # type: ignore[misc]

    @rfc(6446, "8", "min-rate bounds the time that an adaptive-min-rate may leave")
    def test_minimum_holds_though_much_was_sent(self) -> None:
        pace = self.pace(None, 0.05, 0.1)
        for n in range(80):
            pace.sent(100 + n)
        self.assertAlmostEqual(pace.latest, 179 + 20)  # type: ignore[misc]

    def test_a_storm_does_not_silence_for_ever(self) -> None:
        """And it takes no memory."""
        pace = self.pace(None, None, 0.1)
        for n in range(10000):
            pace.sent(100 + n / 1000)
        self.assertLessEqual((pace.latest or 0) - pace.sent_at, 100)

    def test_agreed_again_the_history_stays(self) -> None:
        pace = self.pace(None, None, 0.1)
        for n in range(10):
            pace.sent(100 + n)
        before = pace.latest
        pace.agree(pace.wanted, 110, 110 + HOUR)
        self.assertEqual(pace.latest, before)
        pace.agree(Rates(None, None, 0.05), 110, 110 + HOUR)
        self.assertAlmostEqual(pace.latest, 109 + 20)  # type: ignore[misc]

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(st.none() | st.floats(1e-10, 99.0), min_size=3, max_size=3),
        st.floats(0, 10),
        st.floats(1, 1e5),
        st.lists(st.floats(0, 1000), max_size=20),
    )
    def test_bounds(
        self,
        wanted: list[float | None],
        interval: float,
        lasts: float,
        pauses: list[float],
    ) -> None:
        """However a subscription goes: what has to go may go, and rates are within the others'."""
        pace, now = Pace(interval, MOST), 0.0
        for pause in pauses:
            now += pause
            pace.agree(Rates(*wanted), now, now + lasts)
            pace.sent(now)
            highest, least, adaptive = pace.rates
            self.assertIsNotNone(GRAMMAR(rate_params(pace.rates)))
            self.assertGreaterEqual(pace.earliest, now)
            if pace.latest is not None:
                self.assertGreaterEqual(pace.latest, pace.earliest)
            self.assertEqual(pace.latest is None, least is None and adaptive is None)
            for rate in (least, adaptive):
                self.assertLessEqual(rate or 0, MOST)
                self.assertLessEqual(rate or 0, 100 if highest is None else highest)
