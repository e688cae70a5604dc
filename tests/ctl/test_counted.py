"""What is counted by whoever knows, as metrics have it."""

from __future__ import annotations

from sipproxy.ctl.http import site
from sipproxy.testing import FakeServer
from tests.ctl.test_http import OPEN, HttpCase
from tests.ctl.test_server import REGISTER
from tests.events.fakes import NEWS, NewsFactory, Phone
from tests.installed import install_also


class LimitTests(HttpCase):
    """Requests that are refused, by the limit that they met."""

    def test_bindings(self) -> None:
        self.server = FakeServer(self.mktemp(), OPEN + "[plugin.registrar]\nmax_bindings = 1\n")
        self.use(self.server)
        phone = self.server.client("192.0.2.1")
        for number in (1, 2):
            text = REGISTER.format(user="alice").replace("Call-ID: alice", f"Call-ID: {number}")
            text = text.replace("z9hG4bKalice", f"z9hG4bK{number}")
            phone.send(text.replace("<sip:alice@192.0.2.1>", f"<sip:alice@192.0.2.{number}>"))
        self.assertEqual(phone.received[-1].status, 403)
        found = self.metrics()
        self.assertEqual(found["sipproxy_refused_total", "max_bindings"], 1)
        self.assertEqual(found["sipproxy_bindings",], 1)
        self.server.advance(601)
        self.assertEqual(self.metrics()["sipproxy_bindings",], 0)

    def use(self, server: FakeServer) -> None:
        """Have another server's port."""
        self.node, self.site = server.node, site(server.node)
        self.site.timeOut = None

    def news(self, text: str = "") -> Phone:
        """Serve news; return who watches."""
        install_also(self, [NewsFactory()])
        self.server = FakeServer(self.mktemp(), NEWS + text)
        self.use(self.server)
        return Phone(self.server)

    def test_subscriptions(self) -> None:
        phone = self.news("per_watcher = 1\n")
        for status in (200, 403):
            self.assertEqual(phone.subscribe(600).status, status)
        self.assertEqual(self.metrics()["sipproxy_refused_total", "per_watcher"], 1)

    def test_notifications(self) -> None:
        phone = self.news()
        phone.subscribe(600)
        phone.take()
        self.assertEqual(self.metrics()["sipproxy_notification_outcomes_total", "2xx"], 1)

    def test_notifications_that_nobody_answers(self) -> None:
        phone = self.news()
        phone.subscribe(600)
        self.server.advance(40)
        self.assertEqual(self.metrics()["sipproxy_notification_outcomes_total", "silent"], 1)
