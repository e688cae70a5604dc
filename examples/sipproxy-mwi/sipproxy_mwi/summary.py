"""Message summaries as text: ``application/simple-message-summary`` (RFC 3842 §5.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sipproxy.sip.errors import SipError
from sipproxy.sip.uri import parse_uri

MOST = 2**32 - 1
Counts = tuple[int, int, int, int]  # new, old, and of these urgent: new, old

_status = re.compile(rb"messages-waiting\s*:\s*(yes|no)\s*", re.I).fullmatch
_account = re.compile(rb"message-account\s*:\s*(\S+)\s*", re.I).fullmatch
_count = re.compile(
    rb"((?:voice|fax|pager|multimedia|text)-message|none)\s*:"
    rb"\s*([0-9]{1,10})\s*/\s*([0-9]{1,10})"
    rb"(?:\s*\(\s*([0-9]{1,10})\s*/\s*([0-9]{1,10})\s*\))?\s*",
    re.I,
).fullmatch
_header = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]+\s*:.*|[ \t].*", re.S).fullmatch


class Summary(NamedTuple):
    """Whether messages wait, whose they are (a URI, empty for unknown), and how many of a kind."""

    is_waiting: bool = False
    account: bytes = b""
    counts: tuple[tuple[bytes, Counts], ...] = ()


NOTHING = Summary()


def read_summary(data: bytes) -> Summary:
    """Read a body; raises `SipError` 400. Headers of single messages are checked, and left out."""
    lines = [line.removesuffix(b"\r") for line in data.rstrip(b"\r\n").split(b"\n")]
    status = _status(lines.pop(0))
    if status is None:
        raise SipError(400, "Bad Messages-Waiting")
    account = _account(lines[0]) if lines else None
    if account is not None:
        parse_uri(account.group(1))
        del lines[0]
    end = lines.index(b"") if b"" in lines else len(lines)
    counts = _counts(lines[:end])
    if not all(line == b"" or _header(line) for line in lines[end:]):
        raise SipError(400, "Bad Message Headers")
    return Summary(status.group(1).lower() == b"yes", account.group(1) if account else b"", counts)


def _counts(lines: Iterable[bytes]) -> tuple[tuple[bytes, Counts], ...]:
    counts: dict[bytes, Counts] = {}
    for line in lines:
        match = _count(line)
        if match is None or match.group(1).title() in counts:
            raise SipError(400, "Bad Message Count")
        new, old, new_urgent, old_urgent = (min(int(n or 0), MOST) for n in match.groups()[1:])
        counts[match.group(1).title()] = new, old, new_urgent, old_urgent
    return tuple(counts.items())


def total(summaries: Iterable[Summary]) -> Summary:
    """Return what several mailboxes of one user come to."""
    is_waiting, account = False, b""
    counts: dict[bytes, Counts] = {}
    for one in summaries:
        is_waiting = is_waiting or one.is_waiting
        account = account or one.account
        for kind, added in one.counts:
            known = counts.get(kind, (0, 0, 0, 0))
            new, old, new_urgent, old_urgent = (
                min(a + b, MOST) for a, b in zip(known, added, strict=True)
            )
            counts[kind] = new, old, new_urgent, old_urgent
    return Summary(is_waiting, account, tuple(counts.items()))


def write_summary(summary: Summary) -> bytes:
    """Return the body that says this."""
    lines = [b"Messages-Waiting: " + (b"yes" if summary.is_waiting else b"no")]
    if summary.account:
        lines.append(b"Message-Account: " + summary.account)
    for kind, (new, old, new_urgent, old_urgent) in summary.counts:
        urgent = b" (%d/%d)" % (new_urgent, old_urgent) if new_urgent or old_urgent else b""
        lines.append(b"%s: %d/%d%s" % (kind, new, old, urgent))
    return b"".join(line + b"\r\n" for line in lines)
