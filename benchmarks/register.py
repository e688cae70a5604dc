"""CPU time of REGISTER without sockets, and the memory of what it leaves.

A new binding, and one refreshed, each of a device with an instance ID; then what a binding takes,
and a finished transaction until Timer J. Usage: ``python -m benchmarks.register [COUNT]``
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
import tracemalloc

from sipproxy.testing import CONFIG, FakeClient, FakeServer, octets

ROUNDS = 5
LINGER = 40  # seconds: longer than Timer J
SETTINGS = CONFIG + '[auth]\nrequired = false\n[components]\nstore = "memory"\n[limits]\ntape = 0\n'


def register(number: int, cseq: int) -> bytes:
    """Return a REGISTER as ``sipload`` writes it."""
    user, instance = f"user{number:06}", f"urn:uuid:f81d4fae-7dec-11d0-a765-{number:012x}"
    return octets(f"""REGISTER sip:example.test SIP/2.0
        Via: SIP/2.0/UDP 127.0.0.1:40000;rport;branch=z9hG4bK12345678-R{number}x{cseq}
        Max-Forwards: 70
        From: "{user}" <sip:{user}@example.test>;tag=12345678R{number}
        To: <sip:{user}@example.test>
        Call-ID: 12345678-R{number}@127.0.0.1
        CSeq: {cseq} REGISTER
        Contact: <sip:{user}@127.0.0.1:40000>;+sip.instance="<{instance}>"
        Expires: 3600
        User-Agent: sipload/1.0 (bench)
        Content-Length: 0""")


def spent(server: FakeServer, client: FakeClient, count: int, cseq: int) -> float:
    """Return the CPU microseconds of one of ``count`` requests, their transactions' ends too."""
    requests = [register(number, cseq) for number in range(count)]
    gc.collect()
    began = time.process_time()
    for request in requests:
        server.deliver(request, client.flow)
        client.clear()
    server.advance(LINGER)
    return (time.process_time() - began) / count * 1e6


def kept(server: FakeServer, client: FakeClient, count: int) -> tuple[float, float]:
    """Return the bytes of a binding, and of a finished transaction."""
    requests = [register(number, 1) for number in range(count)]
    gc.collect()
    tracemalloc.start()
    for request in requests:
        server.deliver(bytes(bytearray(request)), client.flow)
        client.clear()
    gc.collect()
    lingering = tracemalloc.get_traced_memory()[0]
    server.advance(LINGER)
    gc.collect()
    bound = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return bound / count, (lingering - bound) / count


def main() -> None:
    """Print the best of some rounds, for noise only ever adds."""
    arguments = [argument for argument in sys.argv[1:] if argument.isdigit()]
    count = int(arguments[0]) if arguments else 3000
    new, refreshed = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as directory:
            server = FakeServer(directory, SETTINGS)
            client = server.client("127.0.0.1", 40000)
            new.append(spent(server, client, count, 1))
            refreshed += [spent(server, client, count, cseq) for cseq in (2, 3)]
    print(f"REGISTER, no sockets: {min(new):.1f} us of CPU new, {min(refreshed):.1f} refreshed")
    with tempfile.TemporaryDirectory() as directory:
        server = FakeServer(directory, SETTINGS)
        binding, finished = kept(server, server.client("127.0.0.1", 40000), count)
    print(f"a binding takes {binding:.0f} bytes, a finished transaction {finished:.0f}")


if __name__ == "__main__":
    main()
