"""The HTTP port: metrics that Prometheus reads, and health."""

from __future__ import annotations

import json

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from sipproxy.ctl.http import problems, site
from sipproxy.testing import CONFIG, FakeServer

OPEN = CONFIG + "[auth]\nrequired = false\n"
MESSAGE = """
    MESSAGE sip:bob@example.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK{number}
    Max-Forwards: 70
    From: <sip:alice@example.test>;tag=1
    To: <sip:bob@example.test>
    Call-ID: {number}
    CSeq: 1 {method}
    Content-Length: 0
    """


class HttpCase(SynchronousTestCase):
    """A server and its HTTP port."""

    def setUp(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN)
        self.node = self.server.node
        self.site: Site = site(self.node)
        self.site.timeOut = None  # it would wait in the reactor's time

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes, bytes]:
        """Return status, head and body of an answer."""
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
        wire = StringTransport()
        protocol.makeConnection(wire)
        protocol.dataReceived(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = wire.value().partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Return every sample by its name and label values."""
        status, head, body = self.get("/metrics")
        self.assertEqual(status, 200)
        self.assertIn(b"text/plain; version=0.0.4", head)
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }


class MetricsTests(HttpCase):
    """What is counted."""

    def send(self, number: int, method: str = "MESSAGE") -> None:
        """Have a request arrive."""
        text = MESSAGE.format(number=number, method=method)
        self.server.client("192.0.2.1").send(text.replace("MESSAGE sip", f"{method} sip"))

    def test_nothing_at_first(self) -> None:
        found = self.metrics()
        self.assertEqual(found["sipproxy_requests_total", "MESSAGE"], 0)
        self.assertEqual(found["sipproxy_connections",], 0)

    def test_requests_and_responses(self) -> None:
        for number in range(3):
            self.send(number)
        found = self.metrics()
        self.assertEqual(found["sipproxy_requests_total", "MESSAGE"], 3)
        self.assertEqual(found["sipproxy_responses_total", "4xx", "MESSAGE"], 3)
        self.assertEqual(found["sipproxy_transactions", "server"], 3)

    def test_a_retransmission_is_no_request(self) -> None:
        self.send(1)
        self.send(1)
        self.assertEqual(self.metrics()["sipproxy_requests_total", "MESSAGE"], 1)

    def test_strange_methods_are_one(self) -> None:
        """Whoever invents methods invents no metrics."""
        for number in range(50):
            self.send(number, f"M{number}")
        found = self.metrics()
        self.assertEqual(found["sipproxy_requests_total", "other"], 50)
        self.assertEqual(found["sipproxy_responses_total", "4xx", "other"], 50)
        self.assertLess(len(found), 80)

    def test_subscriptions(self) -> None:
        watcher = self.server.client("192.0.2.1")
        head = MESSAGE.replace("MESSAGE", "SUBSCRIBE").replace(
            "Content-Length",
            "Event: presence\nContact: <sip:alice@192.0.2.1>\nExpires: 600\nContent-Length",
        )
        watcher.send(head.format(number=1, method="SUBSCRIBE"))
        watcher.answer(200)
        found = self.metrics()
        self.assertEqual(found["sipproxy_subscriptions", "pending", "presence"], 1)
        self.assertEqual(found["sipproxy_notifications_total",], 1)
        self.server.advance(601)
        found = self.metrics()
        self.assertEqual(found["sipproxy_subscriptions", "presence", "waiting"], 1)
        self.assertNotIn(("sipproxy_subscriptions", "pending", "presence"), found)

    def test_lag(self) -> None:
        self.server.clock.advance(3.0)
        self.assertGreater(self.metrics()["sipproxy_reactor_lag_seconds_total",], 2.8)

    def test_refusals(self) -> None:
        self.node.pressure.refused["rate"] += 5
        self.assertEqual(self.metrics()["sipproxy_refused_total", "rate"], 5)


class HealthTests(HttpCase):
    """Whether to restart it, and whether to send it work."""

    def test_live(self) -> None:
        self.assertEqual(self.get("/health/live")[0], 200)

    def test_ready(self) -> None:
        status, _, body = self.get("/health/ready")
        self.assertEqual((status, json.loads(body)), (200, {"ready": True, "problems": []}))

    def test_stopping(self) -> None:
        self.node.front.is_draining = True
        status, _, body = self.get("/health/ready")
        self.assertEqual(status, 503)
        self.assertEqual(json.loads(body)["problems"], ["it is stopping"])
        self.assertEqual(self.get("/health/live")[0], 200)

    def test_behind(self) -> None:
        self.node.pressure.is_behind = True
        self.assertEqual(problems(self.node), ["it is behind with its work"])

    def test_a_store_that_cannot_be_written(self) -> None:
        vars(self.node.store)["is_failing"] = True
        self.assertEqual(problems(self.node), ["the store cannot be written"])

    def test_nothing_else_is_there(self) -> None:
        for path in ("/", "/health/x", "/../etc/passwd"):
            self.assertEqual(self.get(path)[0], 404, path)

    def test_nothing_can_be_written(self) -> None:
        self.assertEqual(self.get("/metrics", "POST")[0], 405)
