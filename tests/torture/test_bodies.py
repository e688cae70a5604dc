"""Documents in PUBLISH and SUBSCRIBE that nobody may take: refused, nothing kept or fetched."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.torture.agents import FOREVER, SOURCE, Agent
from tests.torture.bodies import Case, document, filters, publications, subscriptions
from tests.torture.connection import Connection
from tests.torture.table import CLOSE

SLOW = 2.0  # seconds; what takes longer is no linear time
MEGABYTE = 1_048_576
TABLES: dict[str, Callable[[int], Iterator[Case]]] = {
    "PUBLISH": publications, "SUBSCRIBE": subscriptions,
}  # fmt: skip


class Bodies(SynchronousTestCase):
    """Sends bodies to one server after the other."""

    def setUp(self) -> None:
        self.agent = Agent(self.mktemp())

    def refuses(self, case: str, data: bytes, allowed: str) -> None:
        """Send a request, and see it refused and forgotten."""
        began = time.process_time()
        status = self.agent.send(data)
        self.assertLess(time.process_time() - began, SLOW, case)
        self.assertIn(str(status), allowed.split("|"), case)
        self.assertEqual((self.agent.notifies, self.agent.kept), ([], {}), case)


class DatagramTests(Bodies):
    """As datagrams."""

    def test_tables(self) -> None:
        for method, cases in TABLES.items():
            for case, body, allowed in cases(9):
                data = self.agent.request(method, body)
                self.refuses(f"{method}: {case}", data, allowed)
        self.agent.server.advance(FOREVER)
        self.assertEqual(self.agent.lingers, {})

    def test_a_bug_is_never_the_answer(self) -> None:
        """Bodies of one kind where those of the other belong."""
        for method, cases in (("PUBLISH", subscriptions()), ("SUBSCRIBE", publications())):
            for case, body, _ in cases:
                data = self.agent.request(method, body)
                self.refuses(f"{method}: {case}", data, "400|403|413|488")

    def test_nothing_is_fetched(self) -> None:
        """Whatever a document refers to: nobody connects, before it is refused or after."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            port = listener.getsockname()[1]
            for method, cases in TABLES.items():
                for _, body, _ in cases(port):
                    self.agent.send(self.agent.request(method, body))
            for body in referring(port):
                self.agent.publish(body)
                self.agent.subscribe()
                self.agent.answer()
            self.assertRaises(BlockingIOError, listener.accept)

    def test_as_large_as_a_datagram(self) -> None:
        """64 KB of a document, and of a filter."""
        for method, body in (
            ("PUBLISH", document("<a>" * 21_567)),
            ("SUBSCRIBE", filters(f"<what><include>{'x' * 64_700}</include></what>")),
        ):
            data = self.agent.request(method, body)
            self.assertTrue(65_000 < len(data) < 65_507)
            self.refuses(method, data, "400|413")

    def test_types(self) -> None:
        """RFC 3903 §6 step 5, RFC 4660 §5.4: what is no document of the kind that is asked for."""
        for body_type in ("text/plain", "application/xml", "x", "", "a/b/c", "\udcff", "a" * 9000):
            for method, body in (("PUBLISH", document()), ("SUBSCRIBE", filters())):
                data = self.agent.request(method, body, Content_Type=body_type)
                self.refuses(f"{method} of {body_type[:20]!r}", data, "400|415")
        for encoding in ("gzip", "deflate, gzip", "x" * 9000):
            data = self.agent.request("PUBLISH", document(), Content_Encoding=encoding)
            self.refuses(encoding[:20], data, "415")


class StreamTests(Bodies):
    """Over TCP, where a body may have a megabyte."""

    def send(self, method: str, body: bytes) -> list[str]:
        """Send a request by a connection of its own, and return the outcome."""
        data = self.agent.request(method, body).replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP", 1)
        connection = Connection(self.agent.server)
        connection.write(data, 65536)
        outcome = connection.outcome().split()
        connection.flow.close()
        connection.flow.connectionLost()
        return outcome

    def test_a_megabyte(self) -> None:
        filler = "<!--" + "x" * MEGABYTE
        for method, body in (
            ("PUBLISH", document(filler)[: MEGABYTE - 1000]),
            ("PUBLISH", document("<a>" * MEGABYTE)[: MEGABYTE - 1000]),
            ("SUBSCRIBE", filters(filler)[: MEGABYTE - 1000]),
            ("SUBSCRIBE", filters(f"<what>{'<a>' * MEGABYTE}</what>")[: MEGABYTE - 1000]),
        ):
            began = time.process_time()
            self.assertEqual(self.send(method, body), ["413"])
            self.assertLess(time.process_time() - began, SLOW)
            self.assertEqual(self.agent.kept, {})

    def test_more(self) -> None:
        """513 or 413, and the end: nobody reads what is not wanted (RFC 3261 §21.4.11)."""
        outcome = self.send("PUBLISH", b"x" * (MEGABYTE + 1))
        self.assertEqual(outcome, ["413", CLOSE])
        self.assertEqual(self.agent.kept, {})

    def test_tables(self) -> None:
        """What is refused as a datagram is refused."""
        for method, cases in TABLES.items():
            for case, body, allowed in cases(9):
                (status,) = self.send(method, body)
                self.assertIn(status, allowed.split("|"), f"{method}: {case}")
                self.assertEqual(self.agent.kept, {}, case)
        self.agent.server.advance(FOREVER)
        self.assertEqual(self.agent.lingers, {})


def referring(port: int) -> Iterator[bytes]:
    """Return documents that may be taken, and name something elsewhere."""
    url = f"http://127.0.0.1:{port}"
    schema = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
    status = "<status><basic>open</basic></status>"
    yield document(before=f'<?xml-stylesheet href="{url}/style" type="text/xsl"?>')
    yield document(f'<tuple id="t" {schema} i:schemaLocation="{url} {url}/schema">{status}</tuple>')
    included = f'<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="{url}/include"/>'
    yield document(f'<tuple id="t">{status}{included}</tuple>')
    yield document(f'<tuple id="t">{status}<contact>{url}/contact</contact></tuple>')
    yield document(f'<tuple id="t">{status}<contact>sip:a@{SOURCE}</contact></tuple>{included}')
