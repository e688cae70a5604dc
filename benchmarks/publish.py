"""CPU time of one PUBLISH without watchers, without sockets: from the parser to the entity-tag.

Usage: ``python -m benchmarks.publish [ROUNDS] [--profile]``
"""

from __future__ import annotations

import cProfile
import sys
import tempfile
import time

from sipproxy.sip.message import Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.testing import CONFIG, FakeClient, FakeServer, octets

USERS = 1000
ROUNDS = 15
SETTINGS = CONFIG + '[auth]\nrequired = false\n[events]\npackages = ["presence"]\n'
DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf"
    xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
    xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="pres:{user}@example.test">
<tuple id="t{number}"><status><basic>open</basic></status>
<contact priority="0.8">sip:{user}@127.0.0.1:40000</contact>
<note>I am here, and number {number}</note></tuple>
<dm:person id="p1"><rpid:activities><rpid:busy/></rpid:activities></dm:person>
</presence>"""


def publish(number: int, tag: str, has_body: bool, expires: int) -> bytes:
    """Return a PUBLISH of one of the users: initial without a tag, a refresh without a body."""
    user = f"user{number % USERS:06}"
    body = DOCUMENT.format(user=user, number=number) if has_body else ""
    condition = f"SIP-If-Match: {tag}" if tag else "Subject: none"
    kind = "Content-Type: application/pidf+xml" if has_body else "Accept: */*"
    head = octets(f"""PUBLISH sip:{user}@example.test SIP/2.0
        Via: SIP/2.0/UDP 127.0.0.1:40000;rport;branch=z9hG4bK12345678-P{number}x{has_body}
        Max-Forwards: 70
        From: "{user}" <sip:{user}@example.test>;tag=12345678P{number}
        To: <sip:{user}@example.test>
        Call-ID: 12345678-P{number}@127.0.0.1
        CSeq: {number} PUBLISH
        User-Agent: sipload/1.0 (bench)
        Event: presence
        Expires: {expires}
        {condition}
        {kind}
        Content-Length: {len(body)}""")
    return head + body.encode()


def serve(server: FakeServer, client: FakeClient, requests: list[bytes]) -> tuple[float, list[str]]:
    """Send requests; return the server's CPU seconds and the entity-tags."""
    tags, spent, now = [], 0.0, time.process_time
    for start in range(0, len(requests), 64):
        began = now()
        for request in requests[start : start + 64]:
            server.deliver(request, client.flow)
        spent += now() - began
        for data in client.flow.sent:
            answer = parse_datagram(data)
            assert isinstance(answer, Response) and answer.status == 200, answer
            tags.append((answer.value(b"sip-etag") or b"").decode())
        client.clear()
    began = now()
    server.advance(1)
    return spent + now() - began, tags


class Bench:
    """A server with the presence package, and a client that publishes for all its users.

    Each of them has one publication, as ordinary people do.
    """

    def __init__(self, directory: str) -> None:
        self.server = FakeServer(directory, SETTINGS)
        self.client = self.server.client("127.0.0.1", 40000)
        self.first = 0
        self.tags = [""] * USERS

    def round(self, has_body: bool = True, expires: int = 3600) -> float:
        """Publish once for every user; return the CPU seconds of one."""
        numbers = range(self.first, self.first + USERS)
        self.first += USERS
        requests = [publish(n, self.tags[n % USERS], has_body, expires) for n in numbers]
        seconds, self.tags = serve(self.server, self.client, requests)
        return seconds / USERS

    def cycle(self) -> tuple[float, float, float]:
        """Publish, modify, refresh and remove; return what the first three of them took."""
        spent = self.round(), self.round(), self.round(has_body=False)
        self.round(has_body=False, expires=0)
        self.tags = [""] * USERS
        return spent


def main() -> None:
    """Print the best of some rounds, for noise only ever adds."""
    arguments = [argument for argument in sys.argv[1:] if argument.isdigit()]
    rounds = int(arguments[0]) if arguments else ROUNDS
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        bench.cycle()
        if "--profile" in sys.argv:
            with cProfile.Profile() as profile:
                bench.cycle()
            profile.print_stats("tottime")
        cycles = [bench.cycle() for _ in range(rounds)]
    for name, spent in zip(
        ("initial", "modifying", "refreshing"), zip(*cycles, strict=True), strict=True
    ):
        best = min(spent) * 1e6
        print(f"PUBLISH, {name}, no watcher, no sockets: {best:.1f} us of CPU each")


if __name__ == "__main__":
    main()
