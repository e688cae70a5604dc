"""Caller preferences (RFC 3841 §7.2, §9.1)."""

from __future__ import annotations

from sipproxy.sip.features import features_of
from sipproxy.sip.grammar import parse_params
from sipproxy.sip.message import Request
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.preferences import (
    Disposition,
    disposition,
    explicit_preferences,
    implicit_preferences,
)
from tests.sip.tables import TableCase, rows

EXAMPLE = (
    'Reject-Contact: *;actor="msg-taker";video',
    "Accept-Contact: *;audio;require",
    "Accept-Contact: *;video;explicit",
    'Accept-Contact: *;methods="BYE";class="business";q=1.0',
)


def request(*lines: str, method: str = "INVITE") -> Request:
    """Return a request with these header lines."""
    head = [
        f"{method} sip:user@example.com SIP/2.0",
        "Via: SIP/2.0/UDP h.test;branch=z9hG4bK1",
        "From: <sip:a@h.test>;tag=1",
        "To: <sip:user@example.com>",
        "Call-ID: 1",
        f"CSeq: 1 {method}",
        *lines,
    ]
    parsed = parse_datagram("\r\n".join([*head, "", ""]).encode())
    assert isinstance(parsed, Request)
    return parsed


def weight(contact: str, *lines: str) -> float | None:
    """Return Qa of a contact with these parameters, rounded as the RFC does."""
    preferences = explicit_preferences(request(*lines))
    assert preferences is not None
    found = preferences.weigh(features_of(parse_params(contact.encode())))
    return found if found is None else round(found, 2)


class MatchingTest(TableCase):
    """§7.2.4."""

    @rows(
        {
            "u1 fits all": (';audio;video;methods="INVITE,BYE";q=0.2', 0.83),
            "u2 has no audio": (
                ';audio="FALSE";methods="INVITE";actor="msg-taker";q=0.2', None),
            "u3 is rejected": (';audio;actor="msg-taker";methods="INVITE";video;q=0.3', None),
            "u4 fits in part": (';audio;methods="INVITE,OPTIONS";q=0.2', 0.5),
            "u5 is immune": (";q=0.5", 1.0),
        }
    )  # fmt: skip
    def test_the_example(self, contact: str, expected: float | None) -> None:
        """§7.2.5."""
        self.assertEqual(weight(contact, *EXAMPLE), expected)

    @rows(
        {
            "nothing said": ("Accept-Contact: *;audio", ";video", 0.0),
            "said": ("Accept-Contact: *;audio", ";audio", 1.0),
            "said otherwise": ("Accept-Contact: *;audio", ';audio="FALSE"', 0.0),
            "half of it": ("Accept-Contact: *;audio;video", ";audio", 0.5),
            "required, and nothing said": ("Accept-Contact: *;audio;require", ";video", 0.0),
            "required, and said otherwise": (
                "Accept-Contact: *;audio;require", ';audio="FALSE"', None),
            "explicit, half of it": ("Accept-Contact: *;audio;video;explicit", ";audio", 0.0),
            "explicit, all of it": ("Accept-Contact: *;audio;explicit", ";audio;video", 1.0),
            "both, half of it": (
                "Accept-Contact: *;audio;video;explicit;require", ";audio", None),
            "both, all of it": ("Accept-Contact: *;audio;explicit;require", ";audio", 1.0),
            "several values in one line": ("a: *;audio, *;video", ";audio", 0.5),
            "none of several": ("a: *;audio, *;text", ';audio="FALSE";text="FALSE"', 0.0),
            "no tag is asked for": ("Accept-Contact: *", ";audio", 1.0),
            "rejected": ("Reject-Contact: *;audio", ";audio;video", None),
            "not rejected, for nothing was said": ("j: *;audio;video", ";audio", 1.0),
            "not rejected, for it is otherwise": ("j: *;audio", ';audio="FALSE"', 1.0),
            "rejected by one of two": ("j: *;text, *;audio", ";audio", None),
            "an instance": (
                'a: *;+sip.instance="<urn:x:A>";require', ';+sip.instance="<urn:x:A>"', 1.0),
            "another instance": (
                'a: *;+sip.instance="<urn:x:A>";require', ';+sip.instance="<urn:x:a>"', None),
        }
    )  # fmt: skip
    def test_rules(self, line: str, contact: str, expected: float | None) -> None:
        self.assertEqual(weight(contact, line), expected)

    def test_nothing_explicit(self) -> None:
        self.assertIsNone(explicit_preferences(request("Request-Disposition: fork")))

    @rows(
        {
            "no star": "Accept-Contact: <sip:a@h.test>;audio",
            "no parameters": "Reject-Contact: *audio",
            "a tag twice": "Accept-Contact: *;audio;audio",
            "empty": "Accept-Contact:",
            "too many values": "Accept-Contact: " + ",".join(["*;audio"] * 21),
            "too long a list": 'Reject-Contact: *;methods="' + "a," * 100 + '"',
        }
    )
    def test_refused(self, line: str) -> None:
        self.refuses(400, explicit_preferences, request(line))


class ImplicitTest(TableCase):
    """§7.2.2: what method and event package ask for."""

    @rows(
        {
            "it knows the method": ("MESSAGE", ';methods="INVITE,MESSAGE"', 1.0),
            "written otherwise": ("MESSAGE", ';methods="invite, message"', 1.0),
            "it does not": ("MESSAGE", ';methods="INVITE"', None),
            "it does not say": ("MESSAGE", ";audio", 0.0),
            "nor the package": ("SUBSCRIBE", ';methods="SUBSCRIBE"', 0.5),
            "it knows the package": (
                "SUBSCRIBE", ';methods="SUBSCRIBE";events="presence,dialog"', 1.0),
            "it knows another": ("SUBSCRIBE", ';methods="SUBSCRIBE";events="dialog"', None),
            "only subscriptions have one": ("PUBLISH", ';events="dialog"', 0.0),
        }
    )  # fmt: skip
    def test_rules(self, method: str, contact: str, expected: float | None) -> None:
        preferences = implicit_preferences(request("Event: presence;id=1", method=method))
        found = preferences.weigh(features_of(parse_params(contact.encode())))
        self.assertEqual(found, expected)


class DispositionTest(TableCase):
    """§9.1."""

    @rows(
        {
            "proxy": ("proxy", "proxies", True),
            "redirect": ("redirect", "proxies", False),
            "cancel": ("cancel", "cancels", True),
            "no-cancel": ("no-cancel", "cancels", False),
            "fork": ("fork", "forks", True),
            "no-fork": ("no-fork", "forks", False),
            "recurse": ("recurse", "recurses", True),
            "no-recurse": ("no-recurse", "recurses", False),
            "parallel": ("parallel", "is_parallel", True),
            "Sequential": ("Sequential", "is_parallel", False),
            "queue": ("queue", "queues", True),
            "no-queue": ("no-queue", "queues", False),
        }
    )
    def test_directives(self, directive: str, name: str, wanted: bool) -> None:
        self.assertEqual(self.said(f"Request-Disposition: {directive}"), {name: wanted})

    def said(self, *lines: str) -> dict[str, bool]:
        """Return what directives say, without what they leave open."""
        found = disposition(request(*lines))
        every = {name: getattr(found, name) for name in Disposition.__slots__}
        return {name: value for name, value in every.items() if value is not None}

    def test_the_example(self) -> None:
        said = self.said("Request-Disposition: proxy, recurse, parallel")
        self.assertEqual(said, {"proxies": True, "recurses": True, "is_parallel": True})

    def test_nothing(self) -> None:
        self.assertEqual(self.said(), {})

    def test_twice_the_same_and_unknown_ones(self) -> None:
        self.assertEqual(self.said("d: NO-FORK, hurry", "d: no-fork"), {"forks": False})

    def test_a_contradiction(self) -> None:
        self.refuses(400, disposition, request("d: fork, no-fork"))
