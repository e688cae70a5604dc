"""CPU time of one MESSAGE relayed, without sockets: parse, front door, routing, both transactions.

Usage: ``python -m benchmarks.relay [COUNT] [--profile]``
"""

from __future__ import annotations

import cProfile
import sys
import tempfile
import time

from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from sipproxy.testing import CONFIG, FakeClient, FakeServer, octets

USERS = 1000
ROUNDS = 5


def message(number: int) -> bytes:
    """Return a MESSAGE as ``sipload`` writes it."""
    to, sender = f"user{number % USERS:06}", f"user{(number + 1) % USERS:06}"
    return octets(f"""MESSAGE sip:{to}@example.test SIP/2.0
        Via: SIP/2.0/UDP 127.0.0.1:40000;rport;branch=z9hG4bK12345678-M{number}x0
        Max-Forwards: 70
        From: "{sender}" <sip:{sender}@example.test>;tag=12345678M{number}
        To: <sip:{to}@example.test>
        Call-ID: 12345678-M{number}@127.0.0.1
        CSeq: {number} MESSAGE
        User-Agent: sipload/1.0 (bench)
        Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, NOTIFY
        Content-Type: text/plain
        Content-Length: 100

        {"x" * 100}""")


def register(client: FakeClient) -> None:
    """Bind every user to one client."""
    for number in range(USERS):
        user = f"user{number:06}"
        client.send(f"""REGISTER sip:example.test SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:40001;rport;branch=z9hG4bK-r{number}
            From: <sip:{user}@example.test>;tag=1
            To: <sip:{user}@example.test>
            Call-ID: r{number}
            CSeq: 1 REGISTER
            Contact: <sip:{user}@127.0.0.1:40001>
            Expires: 3600
            Content-Length: 0""")
    client.clear()


def relay(server: FakeServer, caller: FakeClient, callee: FakeClient, first: int, n: int) -> float:
    """Relay ``n`` messages; return the server's CPU seconds, the clients' left out."""
    requests = [message(number) for number in range(first, first + n)]
    deliver, now = server.deliver, time.process_time
    spent = 0.0
    for start in range(0, n, 64):
        began = now()
        for request in requests[start : start + 64]:
            deliver(request, caller.flow)
        spent += now() - began
        forwarded = [parse_datagram(data) for data in callee.flow.sent]
        callee.clear()
        answers = [make_response(request, 200, b"t").encode() for request in forwarded]
        began = now()
        for answer in answers:
            deliver(answer, callee.flow)
        spent += now() - began
        assert len(caller.flow.sent) == len(answers)
        caller.clear()
    began = now()
    server.advance(1)
    return spent + now() - began


def main() -> None:
    """Print the best of some rounds, for noise only ever adds."""
    arguments = [argument for argument in sys.argv[1:] if argument.isdigit()]
    count = int(arguments[0]) if arguments else 5000
    with tempfile.TemporaryDirectory() as directory:
        server = FakeServer(directory, CONFIG + "[auth]\nrequired = false\n")
        caller, callee = server.client("127.0.0.1", 40000), server.client("127.0.0.1", 40001)
        register(callee)
        if "--profile" in sys.argv:
            with cProfile.Profile() as profile:
                relay(server, caller, callee, 10**6, count)
            profile.print_stats("tottime")
        rounds = [relay(server, caller, callee, count * i, count) for i in range(ROUNDS)]
        print(f"MESSAGE relayed, no sockets: {min(rounds) / count * 1e6:.1f} us of CPU each")


if __name__ == "__main__":
    main()
