"""What a response to a NOTIFY means."""

from __future__ import annotations

from sipproxy.events.outcomes import is_end, retry_after
from sipproxy.sip.message import Response
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

REMOVED = (404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604)
ALSO = (408, 502)


def response(status: int, after: bytes | None = None) -> Response:
    """Return a response with or without Retry-After."""
    made = Response(status, b"x", [], [])
    if after is not None:
        made.append(b"Retry-After", after)
    return made


class Outcomes(TableCase):
    """Every final status."""

    @rfc(6665, "4.2.2", "404, 405, 410, 416, 480 to 485, 489, 501 and 604 end the subscription")
    def test_what_ends_a_subscription(self) -> None:
        ends = [status for status in range(300, 700) if is_end(response(status))]
        self.assertEqual(ends, sorted(REMOVED + ALSO))

    def test_whoever_must_go_goes_whatever_is_said(self) -> None:
        ends = [status for status in range(300, 700) if is_end(response(status, b"5"))]
        self.assertEqual(ends, sorted({*REMOVED, *ALSO} - {502}))

    @rows(
        {
            "503": (503, b"5", 5.0),
            "500": (500, b"18 (in maintenance)", 18.0),
            "a parameter": (503, b"120;duration=60", 120.0),
            "now": (503, b"0", 1.0),
            "very late": (503, b"99999999", 3600.0),
            "no number": (503, b"soon", 0.0),
            "empty": (503, b"", 0.0),
            "huge": (503, b"9" * 4000, 0.0),
            "none": (503, None, 0.0),
            "4xx": (486, b"5", 0.0),
            "6xx": (600, b"5", 0.0),
        }
    )
    def test_retry_after(self, status: int, value: bytes | None, seconds: float) -> None:
        self.assertEqual(retry_after(response(status, value)), seconds)
