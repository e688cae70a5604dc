"""The messages of RFC 4475 and RFC 5118, and what a forwarded copy may differ in."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from sipproxy.proxy.branch import DIALOG_FORMING
from tests.shared import SHARED

FOLDER = SHARED / "torture"

_line_end = re.compile(rb"\r\n(?![ \t])").split
_blanks = re.compile(rb"\s+")
_OUR_VIA = re.compile(rb"Via: SIP/2\.0/(UDP|TCP) 127\.0\.0\.1:5060;branch=z9hG4bK\S+").fullmatch


def listed() -> list[str]:
    """Return the files that the manifest names."""
    manifest = json.loads((FOLDER / "manifest.json").read_text("utf-8"))
    return [case["file"] for case in manifest["cases"]]


def octets(name: str) -> bytes:
    """Return a message as it is printed, by ``rfc4475/wsinv`` and the like."""
    return (FOLDER / f"{name}.dat").read_bytes()


def as_message(invite: bytes) -> bytes:
    """Return an INVITE as a MESSAGE, which is forwarded; all else stays as it was."""
    head, blank, body = invite.partition(b"\r\n\r\n")
    return head.replace(b"INVITE", b"MESSAGE") + blank + body


def with_method(data: bytes, method: bytes, *lines: bytes) -> bytes:
    """Return a request with another method, in CSeq too if it stands there, and more lines."""
    start, line_end, rest = data.lstrip().partition(b"\r\n")
    own = start.split(b" ")[0]
    if own.startswith(b"SIP/"):
        return data
    head, blank, body = rest.partition(b"\r\n\r\n")
    head = re.sub(rb"(?im)^(CSeq\s*:\s*\d+\s+)%b(?!\S)" % re.escape(own), rb"\1" + method, head)
    start = method + start[len(own) :]
    return start + line_end + b"".join(line + b"\r\n" for line in lines) + head + blank + body


class Parts(NamedTuple):
    """A message taken apart without the parser under test."""

    start: bytes
    lines: list[bytes]
    body: bytes

    def named(self, name: bytes) -> list[bytes]:
        """Return the lines of a header; ``name`` is lower-case."""
        return [line for line in self.lines if name_of(line) == name]

    def value(self, name: bytes) -> bytes:
        """Return the value of a header's first line, its folding undone."""
        return plain(self.named(name)[0].partition(b":")[2])


def name_of(line: bytes) -> bytes:
    """Return the lower-case long name of a header line."""
    name = line.partition(b":")[0].strip().lower()
    return {b"v": b"via", b"l": b"content-length"}.get(name, name)


def plain(text: bytes) -> bytes:
    """Return a text with each run of white space as one blank."""
    return _blanks.sub(b" ", text).strip()


def parts(data: bytes) -> Parts:
    """Take a message apart; octets beyond its Content-Length are no part of it."""
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = _line_end(head)
    taken = Parts(start, lines, body)
    lengths = taken.named(b"content-length")
    return taken._replace(body=body[: int(lengths[0].partition(b":")[2])]) if lengths else taken


def differences(sent: bytes, forwarded: bytes, source: bytes) -> list[str]:
    """Return what of a forwarded request is not as RFC 3261 §16.6 wants it.

    Beside our Via, Max-Forwards and Max-Breadth (RFC 5393 §5.3.3) nothing may change but the
    Request-URI, Route and, in the topmost Via, what it notes of the sender (§18.2.1).
    """
    before, after = parts(sent), parts(forwarded)
    faults = [] if before.body == after.body else ["the body"]
    if after.start.split(b" ")[0] != before.start.split(b" ")[0]:
        faults.append("the method")
    if not _OUR_VIA(after.lines[0]):
        faults.append("our Via")
    wanted = list(before.lines)
    ours = [b"max-breadth"]
    if after.start.split()[0] in DIALOG_FORMING:  # two where the transport changes (RFC 5658)
        ours.append(b"record-route")
        wanted = [line for line in wanted if name_of(line) != b"record-route"]
    lines = [line for line in after.lines[1:] if name_of(line) not in ours]
    if not before.named(b"max-forwards"):
        wanted.append(b"Max-Forwards: 71")
    if len(lines) != len(wanted):
        return [*faults, f"{len(lines)} lines for {len(wanted)}"]
    top = before.named(b"via")[0]
    for old, new in zip(wanted, lines, strict=True):
        if not _may_become(old, new, source if old is top else b""):
            faults.append(f"{old!r} became {new!r}")
    return faults


def _may_become(old: bytes, new: bytes, source: bytes) -> bool:
    name = name_of(old)
    if old == new or name == name_of(new) == b"route":
        return name != b"max-forwards"
    values = [plain(line.partition(b":")[2]) for line in (old, new)]
    if name != name_of(new):
        return False
    if name == b"max-forwards":
        return int(values[0]) - 1 == int(values[1])
    return bool(source) and values[1] == stamped(values[0], source)


def stamped(value: bytes, source: bytes) -> bytes:
    """Return a Via line's value with ``received``, and the port where ``rport`` asks for it."""
    first, comma, rest = value.partition(b",")
    first = first.rstrip()
    port = b";rport=5060" if b";rport" in first else b""
    kept = re.sub(rb";(rport|received=[^;]*)", b"", first)
    return kept + port + b";received=" + source + comma + rest
