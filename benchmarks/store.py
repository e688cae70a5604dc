"""CPU time of what changes state, kept in memory alone and in SQLite, in turn, without sockets.

All of it counts: the encoding, the writing behind (here at once, every 50 ms of the server's time)
and the log of the database. Usage: ``python -m benchmarks.store [COUNT]``
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable

from sipproxy.testing import CONFIG, FakeServer, octets

ROUNDS = 7
BATCH = 64  # requests within 50 ms
STORE = '[components]\nstore = "{}"\n'
SETTINGS = (
    CONFIG + "[auth]\nrequired = false\n[events]\nper_watcher = 1000000\nper_source = 1000000\n"
    '[presence]\nunknown_watchers = "allow"\n'
)
HEAD = """{method} {uri} SIP/2.0
    Via: SIP/2.0/UDP 127.0.0.1:40000;rport;branch=z9hG4bK12345678-{number}
    Max-Forwards: 70
    From: "user{number}" <sip:user{number}@example.test>;tag=12345678
    To: <{to}>
    Call-ID: 12345678-{number}@127.0.0.1
    CSeq: 1 {method}
    User-Agent: sipload/1.0 (bench)
    """
PIDF = (
    '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:user{number}@example.test">'
    '<tuple id="t{number}"><status><basic>open</basic></status></tuple></presence>'
)


def register(number: int) -> bytes:
    """Return a REGISTER of a user that has no binding yet."""
    head = HEAD.format(
        method="REGISTER",
        uri="sip:example.test",
        to=f"sip:user{number}@example.test",
        number=number,
    )
    return octets(
        f"{head}Contact: <sip:user{number}@127.0.0.1:40000>;expires=3600\nContent-Length: 0"
    )


def publish(number: int) -> bytes:
    """Return a PUBLISH of a user who has published nothing yet."""
    uri, body = f"sip:user{number}@example.test", PIDF.format(number=number)
    head = HEAD.format(method="PUBLISH", uri=uri, to=uri, number=number)
    more = "Event: presence\nExpires: 3600\nContent-Type: application/pidf+xml\n"
    return octets(f"{head}{more}Content-Length: {len(body)}\n\n{body}")


def subscribe(number: int) -> bytes:
    """Return a SUBSCRIBE to a user nobody watches yet."""
    uri = f"sip:friend{number}@example.test"
    head = HEAD.format(method="SUBSCRIBE", uri=uri, to=uri, number=number)
    more = f"Event: presence\nExpires: 3600\nContact: <sip:user{number}@127.0.0.1:40000>\n"
    return octets(f"{head}{more}Accept: application/pidf+xml\nContent-Length: 0")


def spent(store: str, request: Callable[[int], bytes], count: int) -> float:
    """Return the CPU seconds of ``count`` requests to a new server, what it sends left out."""
    with tempfile.TemporaryDirectory() as directory:
        server = FakeServer(directory, SETTINGS + STORE.format(store))
        client = server.client("127.0.0.1", 40000)
        requests = [request(number) for number in range(count)]
        gc.collect()
        total, now = 0.0, time.process_time
        for start in range(0, count, BATCH):
            began = now()
            for data in requests[start : start + BATCH]:
                server.deliver(data, client.flow)
            server.clock.advance(0.05)
            total += now() - began
            assert all(b" 200 OK" in d[:20] or d[:7] == b"NOTIFY " for d in client.flow.sent)
            client.clear()
        server.stop()
    return total


def main() -> None:
    """Print the best of some rounds each, for noise only ever adds."""
    arguments = [argument for argument in sys.argv[1:] if argument.isdigit()]
    count = int(arguments[0]) if arguments else 2000
    for request in (register, publish, subscribe):
        best = {"memory": float("inf"), "sqlite": float("inf")}
        for _ in range(ROUNDS):
            for store in best:
                best[store] = min(best[store], spent(store, request, count) / count * 1e6)
        memory, sqlite = best["memory"], best["sqlite"]
        name = request.__name__.upper()
        print(f"{name}: {memory:.1f} us of CPU in memory, {sqlite:.1f} in SQLite", end="")
        print(f": {sqlite / memory:.2f}")


if __name__ == "__main__":
    main()
