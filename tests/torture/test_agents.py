"""SUBSCRIBE, PUBLISH and NOTIFY gone wrong: refused or taken as the RFCs say, and forgotten."""

from __future__ import annotations

from sipproxy.sip.message import Request
from sipproxy.sip.response import make_response
from tests.torture.agents import FOREVER, Agent
from tests.torture.bodies import document
from tests.torture.test_bodies import Bodies

# Header fields of both methods, and what they have to meet with. None leaves a field out.
EVENTS: dict[str | None, str] = {
    None: "489", "": "400|489", " ": "400|489", "presence;id=1": "200", "presence;id=": "200|400",
    "presence;id": "200", "presence;id=1;id=2": "400", "presence, presence": "400",
    "presence\r\nEvent: presence": "400", "presence\r\no: presence": "400", "pres ence": "400",
    "Presence": "489", "presence.": "489", ".presence": "489", ".winfo": "489", ".": "489",
    "winfo": "489", "presence.wInfo": "489", "winfo.presence": "489", "presence;": "200|400",
    "presence;;": "400", "presence;=": "400", ";id=1": "400", "\udcff": "400", "a" * 60_000: "489",
    "presence" + ";a=b" * 15_000: "400", "presence" + ".winfo" * 9_000: "489",
    "presence.winfo.winfo.winfo": "489", "presence..winfo": "489", "presence;id=\"x": "400",
    "presence;" + "x" * 60_000: "200|400", "*": "489", "presence<": "400",
}  # fmt: skip
EXPIRES = {
    "0": 0, "1": None, "59": None, "4294967295": 86400, "4294967296": 86400, "9" * 30: 86400,
    "-1": 3600, "soon": 3600, "": 3600, "1.5": 3600, "600, 600": 3600, "0x10": 3600,
    "600;a=b": 3600, "\udcb2": 3600, "0" * 19 + "600": 86400, "7200\t": 7200,
}  # fmt: skip
ACCEPTS: dict[str, str] = {
    "": "406", " ": "406", ",": "406", "*": "400", "/": "400", "a/": "400", "a/b/c": "406",
    "application/pidf+xml;q=0": "406", "application/pidf+xml;q=2": "400", "*/*;q=x": "400",
    "text/plain": "406", "*/*": "200", "application/*": "200", "*/xml": "406",
    "\udcff/\udcff": "406",
    ", ".join(["a/b"] * 51): "400", "a/b," * 15_000: "400",
    "application/pidf+xml;" + "a" * 50_000: "200",
    'text/plain;a="': "400", "text/plain, application/pidf+xml": "200",
}  # fmt: skip


class HeaderTests(Bodies):
    """What the head of a SUBSCRIBE or PUBLISH says."""

    def ends(self) -> None:
        """Nothing is left of what was refused, nor of what was taken."""
        self.agent.server.advance(FOREVER)
        self.assertEqual(self.agent.lingers, {})

    def test_events(self) -> None:
        for event, allowed in EVENTS.items():
            for method, body in (("SUBSCRIBE", b""), ("PUBLISH", document())):
                seconds = "0" if method == "SUBSCRIBE" or "0" in allowed else "600"
                data = self.agent.request(method, body, Event=event, Expires=seconds)
                self.assertIn(str(self.agent.send(data)), allowed.split("|"), (event or "")[:40])
                self.agent.answer()
                self.assertEqual(self.agent.kept, {}, event)
        self.ends()

    def test_489_names_what_there_is(self) -> None:
        """RFC 6665 §8.2.2, RFC 3903 §6 step 2."""
        for method in ("SUBSCRIBE", "PUBLISH"):
            self.agent.send(self.agent.request(method, Event="x"))
            self.assertEqual(self.agent.client.received[0].value(b"allow-events"), b"presence, reg")

    def test_expires(self) -> None:
        """RFC 3261 §20.19: what is malformed is 3600; RFC 6665 §4.2.1.1, 3903 §6 step 4: 423."""
        for text, granted in EXPIRES.items():
            for method, body in (("SUBSCRIBE", b""), ("PUBLISH", document())):
                most = 7200 if method == "PUBLISH" else 86400
                status = self.agent.send(self.agent.request(method, body, Expires=text))
                self.assertEqual(status, 423 if granted is None else 200, (method, text))
                if granted is None:
                    self.assertEqual(self.agent.kept, {}, text)
                    continue
                (answer,) = [m for m in self.agent.client.received if not isinstance(m, Request)]
                self.assertEqual(answer.value(b"expires"), b"%d" % min(granted, most), text)
                self.agent.answer(481)
        self.agent.server.advance(7200)
        self.ends()

    def test_accept(self) -> None:
        for accept, allowed in ACCEPTS.items():
            status = self.agent.subscribe(Accept=accept, Expires="0")
            self.assertEqual(str(status), allowed, accept[:40])
            self.agent.answer()
            self.assertEqual(self.agent.kept, {}, accept[:40])
        self.ends()

    def test_entity_tags(self) -> None:
        """RFC 3903 §6 step 3: one token, and of this resource; else nothing is changed."""
        self.agent.publish(document())
        good = (self.agent.client.received[0].value(b"sip-etag") or b"").decode()
        kept = self.agent.kept
        for tag, status in {
            "": 400, " ": 400, "*": 412, "x": 412, good[:-1]: 412, good.upper() + "x": 412,
            f"{good}, {good}": 400, f'"{good}"': 400, f"{good}\r\nSIP-If-Match: {good}": 400,
            f"{good};a": 400, "\udcff": 400, "a" * 60_000: 412, f"W/{good}": 400,
        }.items():  # fmt: skip
            for seconds in ("0", "600"):
                for body in (b"", document("<note>other</note>")):
                    found = self.agent.publish(body, SIP_If_Match=tag, Expires=seconds)
                    self.assertEqual(found, status, (tag[:40], seconds))
                    self.assertEqual(self.agent.kept, kept, tag[:40])
        (publication,) = self.agent.node.publications.of(b"presence", b"alice@example.test")
        self.assertEqual((publication.tag, publication.data), (good.encode(), document()))

    def test_tags_of_others(self) -> None:
        """The tag of alice's is nobody else's, and of no other package's."""
        self.agent.publish(document())
        good = (self.agent.client.received[0].value(b"sip-etag") or b"").decode()
        bob = {"From": "<sip:bob@example.test>;tag=b", "To": "<sip:bob@example.test>"}
        where = {**bob, "uri": "sip:bob@example.test"}
        self.assertEqual(self.agent.publish(SIP_If_Match=good, **where), 412)
        self.assertEqual(self.agent.publish(SIP_If_Match=good, **bob), 403)
        self.assertEqual(self.agent.publish(SIP_If_Match=good, Event="reg"), 489)
        self.assertEqual(self.agent.publish(SIP_If_Match=good), 200)

    def test_races(self) -> None:
        """Of two that replace one publication, one does; the other is told so."""
        self.agent.publish(document())
        good = (self.agent.client.received[0].value(b"sip-etag") or b"").decode()
        bodies = [document(f"<note>{number}</note>") for number in range(50)]
        statuses = [self.agent.publish(body, SIP_If_Match=good) for body in bodies]
        self.assertEqual(statuses, [200] + [412] * 49)
        (publication,) = self.agent.node.publications.of(b"presence", b"alice@example.test")
        self.assertEqual(publication.data, bodies[0])

    def test_too_many_publications(self) -> None:
        """What is beyond the limit is refused, and goes with the rest of it."""
        limit = self.agent.node.settings.events.publications
        statuses = [self.agent.publish(document()) for _ in range(limit + 5)]
        self.assertEqual(statuses, [200] * limit + [403] * 5)
        big = document(f"<note>{'x' * 60_000}</note>")
        self.assertEqual(self.agent.publish(big, uri="sip:carol@example.test"), 403)
        self.agent.server.advance(601)
        self.ends()

    def test_to_whom(self) -> None:
        """No resource of ours, or none at all."""
        for uri, allowed in {
            "sip:example.test": "403|404|405|489|480", "sip:": "400", "x": "400",
            "tel:+1": "403|404|416",
            "sip:@example.test": "400|404", "sip:alice@elsewhere.test": "403|404|408|480|500",
            "sip:s-0000000000000000@127.0.0.1:5060;gr": "403|404|481",
            "sip:s-x@127.0.0.1;gr": "403|404|480|481",
        }.items():  # fmt: skip
            for method, body in (("SUBSCRIBE", b""), ("PUBLISH", document())):
                status = self.agent.send(self.agent.request(method, body, uri=uri))
                self.assertIn(str(status), allowed.split("|"), (method, uri))
                self.assertEqual(self.agent.kept, {}, (method, uri))
        self.ends()


class StrangerTests(Bodies):
    """What a third party sends who has only seen, or guessed, a dialog."""

    def setUp(self) -> None:
        Bodies.setUp(self)
        self.assertEqual(self.agent.subscribe(), 200)
        self.notify = self.agent.notifies[0]
        self.eve = self.agent.server.client("192.0.2.99")

    def test_responses(self) -> None:
        """RFC 3261 §17.1.3: an answer has our branch and the method, or it is none."""
        branch = self.notify.via.branch or b""
        good = self.answer(b"481 Gone")
        for data in (
            good.replace(branch, branch[:-1]),
            good.replace(branch, branch + b"0"),
            good.replace(branch, b"z9hG4bK"),
            good.replace(b"CSeq: 1 NOTIFY", b"CSeq: 1 SUBSCRIBE"),
            good.replace(b"127.0.0.1:5060", b"127.0.0.1:5070"),
            good.replace(b"127.0.0.1:5060", b"192.0.2.99:5060"),
        ):
            self.assertNotEqual(data, good)
            self.eve.send(data)
            self.assertEqual(self.agent.kept["dialogs"], 1, data)
        self.agent.client.send(good)
        self.assertEqual(self.agent.kept, {})

    def answer(self, status: bytes) -> bytes:
        """Return an answer to the NOTIFY as its receiver writes it."""
        names = (b"via", b"from", b"to", b"call-id", b"cseq")
        title = {b"call-id": b"Call-ID", b"cseq": b"CSeq"}
        lines = [
            title.get(name, name.title()) + b": " + (self.notify.value(name) or b"")
            for name in names
        ]
        return b"\r\n".join([b"SIP/2.0 " + status, *lines, b"Content-Length: 0", b"", b""])

    def test_requests_in_the_dialog(self) -> None:
        """RFC 3261 §12.2.2: Call-ID and both tags, or it is no dialog of anybody's."""
        to = (self.notify.value(b"from") or b"").decode()
        from_ = (self.notify.value(b"to") or b"").decode()
        call_id = (self.notify.value(b"call-id") or b"").decode()
        contact = (self.notify.value(b"contact") or b"").decode().strip("<>")
        good = {"To": to, "From": from_, "Call_ID": call_id, "uri": contact, "CSeq": "9 SUBSCRIBE"}
        for headers in (
            {"Call_ID": "x"}, {"From": "<sip:bob@example.test>;tag=x"}, {"To": to[:-1]},
            {"From": "<sip:bob@example.test>"}, {"To": to + "0"},
        ):  # fmt: skip
            status = self.agent.subscribe(**{**good, **headers, "Expires": "0"})
            self.assertIn(status, (400, 404, 481), headers)
            self.assertEqual(self.agent.kept["dialogs"], 1, headers)
        eve = {**good, "From": from_.replace("bob", "eve"), "Expires": "0"}
        self.assertEqual(self.agent.subscribe(**eve), 403)
        late = {**good, "CSeq": "0 SUBSCRIBE", "Expires": "0"}
        self.assertEqual(self.agent.subscribe(**late), 500)
        self.assertEqual(self.agent.kept["dialogs"], 1)
        self.assertEqual(self.agent.subscribe(**{**good, "Expires": "0"}), 200)
        self.assertEqual(self.agent.kept, {})

    def test_notify_to_us(self) -> None:
        """RFC 6665 §4.1.3: we subscribe to nothing, so no NOTIFY is ours; nobody is told of it."""
        kept = self.agent.kept
        contact = (self.notify.value(b"contact") or b"").decode().strip("<>")
        for uri in ("sip:127.0.0.1", "sip:example.test", contact):
            for state in ("active", "terminated;reason=noresource", "", "\udcff", "x" * 9000):
                data = self.agent.request(
                    "NOTIFY", document(), uri=uri, Subscription_State=state
                ).replace(
                    b"Content-Length", b"Content-Type: application/pidf+xml\r\nContent-Length"
                )
                self.assertIn(self.agent.send(data), (400, 403, 404, 405, 480, 481, 489), uri)
                self.assertEqual(self.agent.kept, kept, uri)
        self.assertEqual(self.agent.notifies, [])


class AnswerTests(Bodies):
    """RFC 6665 §4.2.2, RFC 5057: whatever a watcher answers."""

    def test_every_status(self) -> None:
        """Each ends the subscription or leaves it; what stays is ended by silence."""
        for status in range(300, 700):
            before = self.agent.kept.get("dialogs", 0)
            self.assertEqual(self.agent.subscribe(), 200)
            self.agent.answer(status)
            self.assertEqual(len(self.agent.notifies), 1, f"{status} is answered")
            left = self.agent.kept.get("dialogs", 0) - before
            self.assertIn(left, (0,) if status in (404, 481, 489) else (0, 1), status)
            self.agent.client.clear()
        self.agent.server.advance(600)
        self.agent.client.clear()
        self.agent.server.advance(FOREVER)
        self.assertEqual(self.agent.lingers, {})

    def test_retry_after(self) -> None:
        """However long, and of whatever form: it does not outlast the subscription."""
        for value in (
            "0",
            "1",
            "4294967296",
            "9" * 30,
            "-1",
            "x",
            "",
            "1;duration=x",
            "1 (a",
            "\udcff",
        ):
            self.agent.subscribe(Expires="60")
            self.agent.client.answer(503, Retry_After=value.encode("ascii", "replace").decode())
            self.agent.client.clear()
            self.agent.server.advance(62)
            self.assertLessEqual(len(self.agent.notifies), 12, value)
            self.agent.answer()
            self.agent.server.advance(12)
            self.assertEqual(self.agent.lingers, {}, value)

    def test_silence(self) -> None:
        """Timer F: the watcher is gone, and no entry, no timer is left of it."""
        for _ in range(20):
            self.agent.subscribe()
        self.agent.server.advance(FOREVER)
        self.assertEqual(self.agent.lingers, {})


class TemplateTests(Bodies):
    """Watchers of watchers of watchers (RFC 3857 §4.6)."""

    def test_depth(self) -> None:
        own = {"From": "<sip:alice@example.test>;tag=x"}
        for depth, status in enumerate((200, 200, 200, 489, 489)):
            event = "presence" + ".winfo" * depth
            self.assertEqual(self.agent.subscribe(Event=event, **own), status, event)
            self.agent.answer()
        packages = self.agent.node.notifier.packages._packages
        self.assertEqual(len(packages), 4)

    def test_watchers_of_oneself_come_to_rest(self) -> None:
        """Each NOTIFY moves nobody, so that those who watch each other do not tell for ever."""
        agent = Agent(self.mktemp(), "winfo_interval = 0.0")
        own = {"From": "<sip:alice@example.test>;tag=x"}
        for event in ("presence.winfo.winfo", "presence.winfo", "presence") * 5:
            self.assertEqual(agent.subscribe(Event=event, **own), 200)
            agent.answer()
        agent.client.clear()
        agent.server.advance(30)
        self.assertLess(len(agent.notifies), 15 * 12)  # repetitions of what has no answer
        agent.server.advance(FOREVER)
        self.assertLessEqual(agent.kept.get("dialogs", 0), 15)
        agent.client.clear()
        agent.server.advance(60)
        self.assertEqual(agent.notifies, [])


class FloodTests(Bodies):
    """More subscriptions than the limits of ``[events]``."""

    def flood(self, agent: Agent, count: int, **headers: str) -> list[int]:
        """Subscribe many times, and return which statuses came."""
        return [agent.subscribe(**headers) for _ in range(count)]

    def test_one_watcher(self) -> None:
        agent = Agent(self.mktemp(), "per_watcher = 10")
        self.assertEqual(self.flood(agent, 15), [200] * 10 + [403] * 5)
        agent.server.advance(FOREVER)
        self.assertEqual(agent.lingers, {})
        self.assertEqual(self.flood(agent, 11), [200] * 10 + [403])

    def test_one_address(self) -> None:
        """However many names it has."""
        agent = Agent(self.mktemp(), "per_source = 10")
        names = (f"<sip:u{number}@example.test>;tag=x" for number in range(15))
        statuses = [agent.subscribe(From=name) for name in names]
        self.assertEqual(statuses, [200] * 10 + [403] * 5)
        agent.server.advance(FOREVER)
        self.assertEqual(agent.lingers, {})

    def test_strangers(self) -> None:
        """Nobody vouches for them: so many from one address, until they answer."""
        agent = Agent(self.mktemp(), "unproven = 10")
        strangers = [f"<sip:eve{number}@far.test>;tag=x" for number in range(15)]
        statuses = [agent.subscribe(From=name) for name in strangers[:10]]
        last = agent.notifies
        self.assertEqual(statuses, [200] * 10)
        self.assertEqual([agent.subscribe(From=name) for name in strangers], [403] * 15)
        agent.client.send(make_response(last[0], 200, b"x"))
        self.assertEqual([agent.subscribe(From=name) for name in strangers[:2]], [200, 403])
        agent.server.advance(FOREVER)
        agent.client.clear()
        agent.server.advance(600)
        agent.server.advance(FOREVER)
        self.assertEqual(agent.lingers, {})

    def test_fetches(self) -> None:
        """Who asks once is not counted, for nothing is kept; and nothing stays."""
        self.assertEqual(self.flood(self.agent, 500, Expires="0"), [200] * 500)
        self.assertEqual(self.agent.kept, {})
        self.agent.server.advance(FOREVER)
        self.assertEqual(self.agent.lingers, {})
