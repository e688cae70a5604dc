"""Feeds the scanner spoiled messages by the million, in memory that is guarded octet by octet.

``python -m tests.torture.fuzz COUNT [SEED]``, run by `tests.torture.sanitized`.
"""

from __future__ import annotations

import ctypes
import random
import sys
import time
from collections.abc import Callable

from sipproxy.sip.parser import parse_datagram, read_datagram
from sipproxy.sip.scanner import scan_message, scan_uri
from sipproxy.sip.uri import parse_uri, read_uri
from tests.shared import SHARED
from tests.sip.test_scanner import ORDINARY, STRANGE, URIS, replaced, told, uri_told
from tests.torture.mutants import NASTY, realistic

SEED = 20_262
SAMPLE = 1000  # of so many messages one is read by the parser in Python, too
_PRINTED = (("sipmsgs", "*.sip"), ("torture", "*.dat"), ("examples", "*.xml"))


def is_guarded() -> bool:
    """Tell whether an octet beyond an object is none that may be read."""
    is_poisoned = getattr(ctypes.CDLL(None), "__asan_address_is_poisoned", None)
    data = bytes(100)
    return is_poisoned is not None and bool(
        is_poisoned(ctypes.c_void_p(id(data) + sys.getsizeof(data)))
    )


def originals() -> list[bytes]:
    """Return what is spoiled: ordinary messages, and what the RFCs print where that is there."""
    tables = [
        (name, name + b": " + value) for t in (ORDINARY, STRANGE) for name, value in t.values()
    ]
    usual = [replaced(*row) for row in tables] + realistic(5060, "UDP") * 20
    answers = [b"SIP/2.0 200 OK\r\n" + data.partition(b"\r\n")[2] for data in usual]
    printed = [
        path.read_bytes()[:4000]
        for folder, kind in _PRINTED
        for path in sorted((SHARED / folder).rglob(kind))
    ]
    times = 1 + len(printed) // len(usual)  # about as many of the one kind as of the other
    return [*usual * times, *answers * times, *printed]


class Spoiler:
    """Spoils messages, faster than `Mutator` and with less sense."""

    def __init__(self, seed: int, messages: list[bytes]) -> None:
        chance = random.Random(seed)
        self._random, self._messages = chance.random, messages
        self._ways: tuple[Callable[[bytes, int], bytes], ...] = (
            self._replace, self._delete, self._insert, self._insert, self._repeat, self._splice,
            self._end,
        )  # fmt: skip

    def below(self, limit: int) -> int:
        """Return a number from 0 on below a limit, which is at least 1."""
        return int(self._random() * limit)

    def spoil(self, data: bytes) -> bytes:
        """Change some octets, most often in one place."""
        for _ in range((1, 1, 1, 1, 2, 3)[self.below(6)]):
            way = self._ways[self.below(len(self._ways))]
            data = way(data, self.below(len(data) + 1))
        return data

    def make(self) -> bytes:
        """Return the next message."""
        return self.spoil(self._messages[self.below(len(self._messages))])

    def _replace(self, data: bytes, at: int) -> bytes:
        return data[:at] + bytes((self.below(256),)) + data[at + 1 :]

    def _delete(self, data: bytes, at: int) -> bytes:
        return data[:at] + data[at + 1 + self.below(9) :]

    def _insert(self, data: bytes, at: int) -> bytes:
        return data[:at] + NASTY[self.below(len(NASTY))] + data[at:]

    def _repeat(self, data: bytes, at: int) -> bytes:
        part = data[at : at + 1 + self.below(60)]
        return data[:at] + part * self.below(12) + data[at:]

    def _splice(self, data: bytes, at: int) -> bytes:
        other = self._messages[self.below(len(self._messages))]
        return data[:at] + other[self.below(len(other) + 1) :]

    def _end(self, data: bytes, at: int) -> bytes:
        return data[:at]


def fuzz(count: int, seed: int) -> str:
    """Scan so many messages and URIs; return what they were. Raises AssertionError."""
    messages = originals()
    spoiler, uris = Spoiler(seed, messages), [raw for raw in URIS if raw]
    scanned, compared = 0, 0
    for number in range(count):
        data = spoiler.make()
        scanned += scan_message(data, number % 2 == 0) is not None
        raw = spoiler.spoil(uris[number % len(uris)])
        scan_uri(raw)
        if number % SAMPLE == 0:
            compared += 1
            assert told(parse_datagram, data) == told(read_datagram, data), data
            assert uri_told(parse_uri, raw) == uri_told(read_uri, raw), raw
    return f"{count} messages and URIs, {scanned} scanned, {compared} read by both: no fault"


def main() -> int:
    """Fuzz, in guarded memory alone: else it would find little."""
    if not is_guarded():
        print("this is no process with AddressSanitizer and PYTHONMALLOC=malloc")
        return 2
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    print(f"{fuzz(count, seed)} in {time.process_time():.0f} s of CPU, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
