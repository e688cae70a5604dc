"""Subscribes, publishes and lets expire by the hundred thousand, in one process without sockets.

``python -m tests.torture.presence_soak [COUNT [SEED]]``
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sipproxy.sip.message import Request, Response
from sipproxy.sip.response import make_response
from sipproxy.testing import FakeClient
from tests.torture.agents import FILTER_XML, SOURCE, Agent
from tests.torture.bodies import document, filters

COUNT = 100_000
SEED = 20_263
GROWTH = 1.02  # what the second half may add to the memory after the first
USERS = 40
SHORTEST, LONGEST = 60, 90  # seconds that anything lasts
STEP = 5  # seconds that pass
BATCH = 50  # cycles, between two steps
# The longest that anything lasts, twice (a publication that is refreshed), and Timer F and J.
QUIET = 2 * LONGEST + 72
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB").search


class Figures(NamedTuple):
    """What a soak measured."""

    count: int
    seconds: float
    first: int  # KiB, after each half
    second: int
    seen: Counter[str]
    held: dict[str, int]  # at the end, by table

    @property
    def growth(self) -> float:
        """Memory after the second half, by that after the first."""
        return self.second / self.first

    def __str__(self) -> str:
        seen = ", ".join(f"{what} x{times}" for what, times in self.seen.most_common())
        return (
            f"{self.count} cycles in {self.seconds:.0f} s\n"
            f"memory: {self.first} KiB, then {self.second} KiB ({self.growth - 1:+.2%})\n"
            f"seen: {seen}\nheld at the end: {self.held or 'nothing'}"
        )


class Soak:
    """Many who watch each other and publish; some refresh, some leave, some fall silent."""

    def __init__(self, directory: str, seed: int) -> None:
        events = "per_watcher = 100000\nunproven = 100000\nwinfo_interval = 1.0"
        self.agent = Agent(directory, events)
        self.seen: Counter[str] = Counter()
        self._client = self.agent.client
        self._random = random.Random(seed)
        self._clients = [self.agent.client, self.agent.server.client(SOURCE, 5060, "tcp")]
        self._tags: dict[int, str] = {}
        self._dialogs: list[dict[str, str]] = []
        self._ways: tuple[Callable[[], None], ...] = (
            *[self._watch] * 60, *[self._publish] * 40, *[self._refresh] * 10,
            *[self._leave] * 10, self._hang_up,
        )  # fmt: skip

    def run(self, count: int) -> None:
        """Do so many things, and let time pass between them; at the end, until all has expired."""
        for number in range(count):
            self._random.choice(self._ways)()
            self._read()
            if number % BATCH == BATCH - 1:
                self._pass(STEP)
        self._dialogs.clear()
        self._tags.clear()
        self._pass(QUIET)

    def _pass(self, seconds: int) -> None:
        for _ in range(seconds):
            self.agent.server.advance(1)
            self._read()

    def _read(self) -> None:
        """Answer most NOTIFYs, as watchers do; nine in ten with 200."""
        for client in self._clients:
            while client.flow.sent:
                received = client.received
                client.clear()
                for message in received:
                    self._heard(client, message)

    def _heard(self, client: FakeClient, message: Request | Response) -> None:
        if not isinstance(message, Request):
            self.seen[str(message.status)] += 1
            return
        self.seen["NOTIFY"] += 1
        drawn = self._random.random()
        if drawn < 0.97:
            refusals = (481, 500, 503, 404, 408)
            status = 200 if drawn < 0.9 else self._random.choice(refusals)
            client.send(make_response(message, status, b"soak"))

    def _hang_up(self) -> None:
        """Close the connection, and with it whatever relies on it; there is another one."""
        self._clients[1].flow.close()
        self._clients[1] = self.agent.server.client(SOURCE, 5060, "tcp")

    def _send(self, method: str, user: int, body: bytes = b"", **headers: str | None) -> None:
        aor = f"sip:user{user}@example.test"
        seconds = str(self._random.randint(SHORTEST, LONGEST))
        fields: dict[str, str | None] = {"uri": aor, "To": f"<{aor}>", "Expires": seconds}
        self._client = self._random.choice(self._clients)
        data = self.agent.request(method, body, **{**fields, **headers})
        if self._client is self._clients[1]:
            data = data.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP", 1)
            data = data.replace(b":5060>\r\n", b":5060;transport=tcp>\r\n", 1)
        self._client.send(data)

    def _someone(self) -> int:
        return self._random.randrange(USERS)

    def _watch(self) -> None:
        """Subscribe: to presence, to registrations, to watchers; with a filter, or once."""
        user, watcher = self._someone(), self._someone()
        event = self._random.choice(("presence",) * 6 + ("reg", "presence.winfo", "reg.winfo"))
        if event != "presence":
            watcher = user
        headers: dict[str, str | None] = {
            "Event": event,
            "From": f"<sip:user{watcher}@example.test>;tag=w{self._random.random()}",
        }
        if self._random.random() < 0.1:
            headers["Expires"] = "0"
        body = filters() if event == "presence" and self._random.random() < 0.2 else b""
        if body:
            headers["Content_Type"] = FILTER_XML
        self._send("SUBSCRIBE", user, body, **headers)
        for message in self._client.received:
            if not isinstance(message, Request) and message.status == 200:
                contact = (message.value(b"contact") or b"").decode().strip("<>")
                names = {"From": b"from", "To": b"to", "Call_ID": b"call-id"}
                known = {name: (message.value(of) or b"").decode() for name, of in names.items()}
                self._dialogs.append({**known, "uri": contact, "Event": event})
                del self._dialogs[:-500]

    def _publish(self) -> None:
        """Publish something new, or change, refresh or remove what there is."""
        user, chance = self._someone(), self._random
        tag = self._tags.pop(user, None) if chance.random() < 0.8 else None
        aor = f"sip:user{user}@example.test"
        body = document(f"<note>{chance.random()}</note>", entity=aor)
        headers: dict[str, str | None] = {"From": f"<{aor}>;tag=p", "SIP_If_Match": tag}
        if tag is not None and chance.random() < 0.4:
            body = b""
        if tag is not None and chance.random() < 0.3:
            headers["Expires"] = "0"
        self._send("PUBLISH", user, body, **headers)
        for message in self._client.received:
            if not isinstance(message, Request) and b"sip-etag" in message.names:
                self._tags[user] = (message.value(b"sip-etag") or b"").decode()

    def _refresh(self) -> None:
        self._again()

    def _leave(self) -> None:
        self._again(Expires="0")

    def _again(self, **headers: str) -> None:
        """Send a SUBSCRIBE in a dialog that there was."""
        if self._dialogs:
            at = self._random.randrange(len(self._dialogs))
            self._send("SUBSCRIBE", 0, **{**self._dialogs.pop(at), **headers})


def resident() -> int:
    """Return the memory that is in use, in KiB; what is free is given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    match = _RESIDENT(Path("/proc/self/status").read_text())
    assert match is not None
    return int(match.group(1))


def soak(count: int, seed: int, report: Callable[[str], None]) -> Figures:
    """Do ``count`` things in two halves, and return what was measured."""
    found: list[int] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        sender = Soak(directory, seed)
        sender.run(count // 10)  # caches find their level before anything is compared
        for half in (count // 2, count - count // 2):
            sender.run(half)
            found.append(resident())
            report(f"{half} cycles: {found[-1]} KiB, held: {sender.agent.lingers or 'nothing'}")
        seconds = time.monotonic() - began
        return Figures(count, seconds, *found, sender.seen, sender.agent.lingers)


def main() -> int:
    """Run from the command line; 0 where everything held."""
    parser = argparse.ArgumentParser(prog="tests.torture.presence_soak", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=COUNT)
    parser.add_argument("seed", nargs="?", type=int, default=SEED)
    arguments = parser.parse_args()
    figures = soak(arguments.count, arguments.seed, print)
    print(figures)
    return 0 if figures.growth <= GROWTH and not figures.held else 1


if __name__ == "__main__":
    sys.exit(main())
