"""Polite blocking over time: two servers that a watcher cannot tell apart (RFC 3856 §6.6.2)."""

from __future__ import annotations

import random
import re

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.message import Message, Request, Response
from sipproxy.testing import CONFIG, FakeServer
from tests.events.fakes import Phone
from tests.presence.rulesets import ALL, WHOLE, presence, provide, rule, ruleset
from tests.presence.test_live import ALICE, FILTER, PUBLISH
from tests.rfc import rfc

SETTINGS = (
    CONFIG + '[auth]\nrequired = false\n[events]\npackages = ["presence"]\n'
    '[presence]\nunknown_watchers = "{}"\n'
)
SPHERE = (
    '<tuple id="t"><status><basic>{}</basic></status></tuple>'
    '<dm:person id="p"><r:sphere><r:{}/></r:sphere></dm:person>'
)
AT_WORK = rule('<sphere value="work"/>', "", "polite-block", name="b")
TRIGGER = FILTER.replace("what>", "trigger>").replace("include>", "changed>")
FILTERS = (FILTER.format("//pidf:basic"), FILTER.format("//pidf:note"), TRIGGER.format("//pidf:*"))
WHOLLY = "application/pidf+xml"
IN_PARTS = "application/pidf-diff+xml, application/pidf+xml;q=0.5"
RATES = ("", "", ";min-rate=0.07", ";max-rate=0.1")
# What names one dialog or one moment, which are another's in another server.
_own = re.compile(rb"(?:branch|tag|expires)=[^;\r]*|Contact: [^\r]*")

Act = tuple[str, int]


class Side:
    """A server, and bob who watches alice; where she ``is_there``, he is blocked politely."""

    def __init__(self, directory: str, is_there: bool) -> None:
        policy = "polite-block" if is_there else "allow"
        self.server = FakeServer(directory, SETTINGS.format(policy))
        self.bob = Phone(self.server, "bob", "192.0.2.2")
        self.bob.contact = "sip:alice@example.test"
        self.alice = self.server.client("192.0.2.1")
        self.is_there = is_there
        self.status = 200  # of his answers
        self.cseq = 0
        self.etags = ["none"]

    def publish(self, number: int) -> None:
        """Let alice publish; every third time something in another sphere."""
        self.cseq += 1
        body = SPHERE.format(("open", "closed")[number % 2], ("work", "home", "home")[number % 3])
        document = presence(body).decode()
        text = PUBLISH.format(cseq=self.cseq, length=len(document), body=document)
        self.alice.send(text.replace("Expires: 3600", f"Expires: {60 + number}"))

    def rules(self, number: int) -> None:
        """Let alice change her rules, which block politely as before."""
        granted = (WHOLE, ALL, provide("note"))[number % 3]
        all_rules = [rule("", granted, "polite-block"), AT_WORK][: 1 + number % 2]
        self.server.node.documents.put(ALICE, "pres-rules", "index", ruleset(*all_rules))

    def answers(self, number: int) -> None:
        """Let bob answer otherwise from now on."""
        self.status = (200, 200, 500, 302)[number % 4]

    def subscribe(self, number: int) -> None:
        """Let bob subscribe, or refresh, with wishes of all kinds."""
        wish = random.Random(number)
        headers = {"Event": "presence" + wish.choice(RATES)}
        headers["Accept"] = wish.choice((WHOLLY, IN_PARTS))
        condition = wish.choice(("", "", "*", self.etags[0], self.etags[-1]))
        headers["Suppress-If-Match"] = condition if self.bob.tag else ""
        body = wish.choice((*FILTERS, "", "", ""))
        headers["Content-Type"] = "application/simple-filter+xml" if body else ""
        self.bob.client.send(self.bob.request(600, body, **headers))

    def do(self, act: Act) -> list[bytes]:
        """Do something, wait for what follows, and return what bob was sent."""
        name, number = act
        if self.is_there or name not in ("publish", "rules"):
            getattr(self, name)(number)
        sent = []
        for _ in range(1 + 5 * (number % 10)):
            self.server.advance(0.2)
            for message in self.bob.received:
                self._take(message)
                sent.append(_own.sub(b"", message.encode()))
            self.bob.client.clear()
        return sent

    def _take(self, message: Message) -> None:
        if isinstance(message, Response):
            if message.status < 300:
                self.bob.tag = (message.to.tag or b"").decode()
                self.bob.contact = message.addresses(b"contact")[0].raw_uri.decode()
        elif isinstance(message, Request):
            self.etags.append((message.value(b"sip-etag") or b"").decode())
            self.bob.answer(self.status)


class OverTime(SynchronousTestCase):
    """Whatever alice does, and however bob asks."""

    @rfc(3856, "6.6.2", "the document of polite blocking does not tell that it is that")
    def test_as_one_who_is_never_there(self) -> None:
        acts = ("publish", "publish", "rules", "answers", "subscribe", "subscribe")
        for seed in range(20):
            chance, directory = random.Random(seed), self.mktemp()
            there, away = Side(directory, True), Side(directory, False)
            done: list[Act] = [("subscribe", 0)]
            while len(done) < 40:
                act = done[-1]
                self.assertEqual(there.do(act), away.do(act), (seed, done))
                done.append((chance.choice(acts), chance.randrange(1000)))
