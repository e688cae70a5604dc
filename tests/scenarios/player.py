"""Plays a scenario against a server without sockets or clock."""

from __future__ import annotations

import re
from pathlib import Path

from sipproxy.interfaces.events import Verdict
from sipproxy.sip.message import Message, Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from sipproxy.testing import CONFIG, FakeClient, FakeServer, authorized, octets
from tests.documents import assert_valid
from tests.events.fakes import BOB, HANDLINGS, NewsFactory
from tests.presence.rulesets import ruleset
from tests.proxy.fakes import resolve
from tests.scenarios.script import ABSENT, Step, Text, filled, matches, steps
from tests.transport.zones import FakeDns

OURS = "example.test"
_party = re.compile(
    r"(\S+) is (\S+)@(\S+) at ([\w.:\[\]]+?)(?::(\d+))? by (udp|tcp|tls)(?: certified as (\S+))?"
).fullmatch
_news = re.compile(r"the news of (\S+) are").fullmatch
_rules = re.compile(r"the rules of (\S+) are").fullmatch
_verdict = re.compile(r"(\S+) is judged").fullmatch
_wait = re.compile(r"after ([\d.]+) seconds?").fullmatch


class Party:
    """A client or another server, with what it has sent and read."""

    def __init__(self, name: str, user: str, domain: str, client: FakeClient) -> None:
        self.name = name
        self.user = user
        self.domain = domain
        self.client = client
        self.sent = 0  # messages, for what has to be new in each
        self.read = 0  # messages received that the scenario has spoken of
        self.last: bytes = b""
        self.requests: dict[bytes, Request] = {}  # the last of each method; b"" of all

    @property
    def aor(self) -> str:
        """Its address-of-record."""
        return f"{self.user}@{self.domain}"

    @property
    def password(self) -> str:
        """Its password, if it is one of our users."""
        return f"secret of {self.user}"

    @property
    def place(self) -> str:
        """Its address and port, as Via has them."""
        flow = self.client.flow
        return f"{flow.host.decode()}:{flow.port}"

    @property
    def contact(self) -> str:
        """The URI at which it is."""
        transport = self.client.flow.via_transport.decode().lower()
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"sip:{self.user}@{self.place}{suffix}"

    def branch(self) -> str:
        """Return a branch that was not used before."""
        self.sent += 1
        return f"z9hG4bK-{self.name}-{self.sent}"

    def unread(self) -> list[Message]:
        """Return what the scenario has not spoken of yet."""
        return [parse_datagram(data) for data in self.client.flow.sent[self.read :]]

    def compose(self, text: Text, noted: dict[str, str]) -> str:
        """Return a request with everything that its author left to us."""
        given = [(name, filled(value, noted, self.branch)) for name, value in text.headers]
        start = filled(text.start, noted, self.branch)
        method, uri = start.split()[:2]
        transport = self.client.flow.via_transport.decode()
        number = self.sent + 1
        to = self.aor if method == "REGISTER" else uri.partition(":")[2]
        body = filled(text.body or "", noted, self.branch)
        defaults = {
            "Via": f"SIP/2.0/{transport} {self.place};branch={self.branch()};rport",
            "Max-Forwards": "70",
            "From": f"<sip:{self.aor}>;tag={self.name}",
            "To": f"<sip:{to}>",
            "Call-ID": f"{self.name}-{number}",
            "CSeq": f"{number} {method}",
            "Content-Length": str(len(body.replace("\n", "\r\n").encode())),
        }
        known = {name.lower() for name, _ in given}
        fields = [pair for pair in defaults.items() if pair[0].lower() not in known]
        lines = [f"{name}: {value}" for name, value in [*fields, *given] if value != ABSENT]
        return "\n".join([f"{method} {uri} SIP/2.0", *lines, "", body])


class Player:
    """A server, the parties of a scenario, and what has been noted of their messages."""

    def __init__(self, directory: str, path: Path, news: NewsFactory | None = None) -> None:
        self.news = news
        self.steps = list(steps(path))
        extra = "".join(step.block for step in self.steps if step.words == "config")
        zone = "".join(step.block for step in self.steps if step.words == "dns")
        own, *tables = re.split(r"^(?=\[)", extra, maxsplit=1, flags=re.M)
        self.parties: dict[str, Party] = {}
        self.noted: dict[str, str] = {}
        declared = filter(None, (_party(step.words) for step in self.steps))
        users = {match[2] for match in declared if match[3] == OURS}
        self.server = FakeServer(
            directory,
            "\n".join([own, CONFIG, *tables]),
            {f"{user}@{OURS}": f"secret of {user}" for user in users},
        )
        if zone:
            resolve(self.server, FakeDns(zone))

    def play(self) -> None:
        """Take every step; AssertionError says which one was not as written."""
        for step in self.steps:
            try:
                self._take(step)
            except AssertionError as problem:
                raise AssertionError(f"{step.place}: {step.words}: {problem}") from None
        for party in self.parties.values():
            assert not party.unread(), f"{party.name} also received {_shown(party.unread())}"

    def _take(self, step: Step) -> None:
        if step.words in ("config", "dns"):
            return
        if match := _party(step.words):
            name, user, domain, host, port, transport, certified = match.groups()
            port = int(port or (5061 if transport == "tls" else 5060))
            client = self.server.client(host, port, transport)
            if certified:
                client.flow.proven_domains = frozenset({certified.encode()})
            self.parties[name] = Party(name, user, domain, client)
        elif match := _wait(step.words):
            self.server.advance(float(match[1]))
        elif match := _news(step.words):
            self._tell(match[1].encode(), step.start.encode())
        elif match := _rules(step.words):
            rules = step.block.encode()
            self.server.node.documents.put(match[1].encode(), "pres-rules", "index", rules)
            self.server.clock.advance(0)
        elif match := _verdict(step.words):
            self._judge(match[1].encode(), HANDLINGS[step.start])
        else:
            name, _, verb = step.words.partition(" ")
            method = _VERBS.get(verb if verb in _VERBS else verb.partition(" ")[0])
            assert method is not None and name in self.parties, "is no step"
            method(self, self.parties[name], step)

    # What happens to the package of tests/events/fakes.py

    def _tell(self, resource: bytes, text: bytes) -> None:
        assert self.news is not None, "there is no such package"
        self.news.built.texts[resource] = text
        self.server.node.notifier.changed(b"news", resource)
        self.server.clock.advance(0)

    def _judge(self, watcher: bytes, handling: int) -> None:
        """Have another verdict on a watcher, whatever it watches."""
        assert self.news is not None, "there is no such package"
        self.news.built.verdicts[watcher] = Verdict(handling)
        self.server.node.notifier.judge(b"news", BOB)
        self.server.clock.advance(0)

    # What parties do

    def _has_rules(self, party: Party, step: Step) -> None:
        """Put rules in the place of those of before."""
        documents = self.server.node.documents
        documents.put(party.aor.encode(), "pres-rules", "index", ruleset(step.block))
        self.server.clock.advance(0)

    def _has_no_rules(self, party: Party, step: Step) -> None:
        self.server.node.documents.delete(party.aor.encode(), "pres-rules", "index")
        self.server.clock.advance(0)

    def _sends(self, party: Party, step: Step) -> None:
        party.last = octets(party.compose(step.text, self.noted))
        party.client.send(party.last)

    def _sends_again(self, party: Party, step: Step) -> None:
        party.client.send(party.last)

    def _sends_with_credentials(self, party: Party, step: Step) -> None:
        self._sends(party, step)
        self._authorizes(party, step.text)

    def _authorizes(self, party: Party, text: Text) -> None:
        """Send once more, with the credentials that the response to the first asked for."""
        unread = party.unread()
        assert len(unread) == 1 and isinstance(unread[0], Response), _shown(unread)
        assert unread[0].status in (401, 407), _shown(unread)
        party.read += 1
        request = party.compose(text, self.noted)
        again = authorized(request, unread[0], party.user, party.password)
        party.last = octets(again)
        party.client.send(party.last)

    def _registers(self, party: Party, step: Step) -> None:
        """REGISTER with credentials; what is written replaces Contact and Call-ID of ours."""
        written = step.text
        own = (("Contact", f"<{party.contact}>"), ("Call-ID", f"{party.name}-registers"))
        kept = tuple(pair for pair in own if pair[0].lower() not in written.names)
        text = Text(f"REGISTER sip:{OURS}", kept + written.headers, None)
        party.client.send(party.compose(text, self.noted))
        self._authorizes(party, text)
        (response,) = party.unread()
        assert isinstance(response, Response) and response.status == 200, _shown([response])
        party.read += 1

    def _answers(self, party: Party, step: Step) -> None:
        """Answer what was received last, or the last request of the method that is named."""
        method = step.words.partition(" answers ")[2].encode()
        request = party.requests.get(method)
        assert request is not None, "has received no such request"
        status, _, reason = step.start.partition(" ")
        text = step.text
        pairs = [
            (name.encode(), filled(value, self.noted, party.branch).encode())
            for name, value in text.headers
        ]
        tag = f"tag-of-{party.name}".encode()
        party.client.send(
            make_response(
                request, int(status), tag, reason or None, pairs, (text.body or "").encode()
            )
        )

    def _closes(self, party: Party, step: Step) -> None:
        flow = party.client.flow
        self.server.network.peers = {
            key: known for key, known in self.server.network.peers.items() if known is not flow
        }
        flow.close()

    # What parties are to have received

    def _receives_nothing(self, party: Party, step: Step) -> None:
        assert not party.unread(), f"but {_shown(party.unread())} came"

    def _receives(self, party: Party, step: Step) -> None:
        unread = party.unread()
        assert unread, "nothing came"
        message, text = unread[0], step.text
        party.read += 1
        if isinstance(message, Request):
            party.requests[b""] = party.requests[message.method] = message
        self._check_start(message, text.start)
        for name in text.names:
            self._check_header(message, name, text.given(name))
        if message.value(b"content-type") == b"application/pidf+xml":
            assert_valid(message.body)
        if text.body is not None:
            body = message.body.decode().replace("\r\n", "\n")
            assert matches(text.body, body, self.noted), f"the body was {body!r}"

    def _check_start(self, message: Message, pattern: str) -> None:
        start = message.start.decode().removeprefix("SIP/2.0 ").removesuffix(" SIP/2.0")
        if isinstance(message, Response) and pattern.isdigit():
            pattern += " {any}"
        assert matches(pattern, start, self.noted), f"it was {_shown([message])}"

    def _check_header(self, message: Message, name: str, patterns: list[str]) -> None:
        values = [value.decode() for value in message.raw_values(name.encode())]
        wanted = [] if patterns == [ABSENT] else patterns
        fits = len(values) == len(wanted) and all(
            matches(pattern, value, self.noted)
            for pattern, value in zip(wanted, values, strict=True)
        )
        assert fits, f"{name} should have been {wanted}, but was {values}"


_VERBS = {
    "sends": Player._sends,
    "sends it again": Player._sends_again,
    "sends with credentials": Player._sends_with_credentials,
    "registers": Player._registers,
    "has the rules": Player._has_rules,
    "has no rules": Player._has_no_rules,
    "answers": Player._answers,
    "receives": Player._receives,
    "receives nothing": Player._receives_nothing,
    "closes the connection": Player._closes,
}


def _shown(messages: list[Message]) -> str:
    return ", ".join(message.start.decode("utf-8", "replace") for message in messages) or "nothing"
