"""A server that is killed at any moment under load, and clients that know what it has promised."""

from __future__ import annotations

import math
import random
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import TestCase

from sipproxy.ctl.socket import NotRunning, ask
from sipproxy.sip.message import Request, Response
from sipproxy.sip.parser import parse_datagram
from sipproxy.sip.response import make_response
from tests.interop.processes import (
    HOST,
    Process,
    configuration,
    directory,
    free_port,
    program,
    wait_for,
)

DOMAIN = "a.test"
USERS = 40  # of each kind
AGAIN = 0.5  # seconds after which a request is sent again
SETTINGS = """
[auth]
required = false
[presence]
unknown_watchers = "allow"
notify_interval = 0.0
[events]
min_expires = 60
[store]
durable = {durable}
"""
HEAD = """{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{branch}
Max-Forwards: 70
From: <sip:{user}@{domain}>;tag={tag}
To: <{to}>{to_tag}
Call-ID: {call_id}
CSeq: {cseq} {method}
Contact: <sip:{user}@{host}:{port}>{params}
Expires: {expires}
{more}Content-Length: {length}

{body}"""
PIDF = (
    '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:{user}@{domain}">'
    '<tuple id="t"><status><basic>open</basic></status><note>{number}</note></tuple></presence>'
)


class KilledServer:
    """A server that comes back with the same data on the same port."""

    def __init__(self, case: TestCase, durable: bool) -> None:
        self._case = case
        self.port = free_port()
        self.place = directory(case)
        settings = SETTINGS.format(durable=str(durable).lower())
        text = configuration(DOMAIN, self.port, settings)
        self.place.joinpath("sipproxy.toml").write_text(text)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it serves."""
        arguments = [program("twistd"), "-n", "--pidfile=", "sipproxy"]
        self._process = Process(self._case, "server", arguments, self.place)
        self._process.wait_for(self._answers, "the server's control socket")

    def kill(self) -> float:
        """Kill it; return when."""
        at = time.monotonic()
        self._process.kill()
        self._process.wait(10.0)
        assert "Traceback" not in self._process.output, self._process.output
        return at

    def listed(self, command: str) -> list[dict[str, Any]]:
        """Return what it tells an operator."""
        rows: list[dict[str, Any]] = ask(self.place / "var", command)
        return rows

    def _answers(self) -> bool:
        try:
            return bool(ask(self.place / "var", "status")["pid"] == self._process.pid)
        except NotRunning:
            return False


class Actor:
    """One user who changes one thing, one request at a time.

    ``promised`` are the states that were answered 200, each with when; ``asked`` is the one that a
    request without an answer would make; None stands for nothing there. A request that has to be
    refused asks for `REFUSED`.
    """

    REFUSED = "refused"
    method = ""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.number = number
        self.user = f"{self.method.lower()}{number}"
        self.promised: list[tuple[float, Any]] = [(0.0, None)]
        self.asked: Any = self.REFUSED
        self.waiting = b""
        self.sent_at = 0.0
        self.cseq = self.count = 0

    @property
    def state(self) -> Any:
        """The state that was promised last."""
        return self.promised[-1][1]

    def ask(self, state: Any, expires: int, **fields: Any) -> None:
        """Send a request for a state."""
        self.asked = state
        self.cseq += 1
        body = fields.pop("body", "")
        uri = f"sip:{self.user}@{DOMAIN}"
        defaults = {
            "method": self.method,
            "uri": uri,
            "host": HOST,
            "port": self.load.port,
            "branch": f"{self.user}-{self.cseq}",
            "user": self.user,
            "domain": DOMAIN,
            "tag": f"{self.user}",
            "to": uri,
            "to_tag": "",
            "call_id": f"{self.user}-{self.count}",
            "cseq": self.cseq,
            "params": "",
            "expires": expires,
            "more": "",
            "length": len(body),
            "body": body,
        }
        text = HEAD.format(**(defaults | fields))
        self.waiting = text.replace("\n", "\r\n").encode()
        self.send(time.monotonic())

    def send(self, now: float) -> None:
        """Send it (again)."""
        self.sent_at = now
        self.load.send(self.waiting)

    def answered(self, response: Response, now: float) -> None:
        """Its answer came."""
        self.waiting = b""
        if response.status == 200:
            assert self.asked != self.REFUSED, f"{self.user}: {response.start!r}"
            self.promised.append((now, self.learn(response)))
        elif self.asked != self.REFUSED:
            raise AssertionError(f"{self.user}: {response.start!r}")
        self.asked = self.REFUSED

    def learn(self, response: Response) -> Any:
        """Return the state that a 200 has promised."""
        return self.asked

    def act(self, chance: random.Random) -> None:
        """Ask for something."""
        raise NotImplementedError

    def loss(self, found: Any, kept_since: float) -> float:
        """Return the time of the oldest promise that was broken, infinity for none.

        Raises AssertionError where what is found was never promised nor asked for, or where it is
        older than what was promised before ``kept_since``.
        """
        if self.asked != self.REFUSED and self.is_asked(found):
            return math.inf
        later = math.inf
        for at, state in reversed(self.promised):
            if state == found:
                return later
            assert at >= kept_since, f"{self.user}: {found!r} instead of {state!r} of {at}"
            later = at
        raise AssertionError(f"{self.user}: {found!r}, of {self.promised!r}")

    def is_asked(self, found: Any) -> bool:
        """Tell whether this is what the request without an answer has asked for."""
        return bool(found == self.asked)

    def go_on(self, found: Any) -> None:
        """Begin anew with what there is."""
        self.promised = [(0.0, found)]
        self.asked, self.waiting = self.REFUSED, b""


class Phone(Actor):
    """Registers, by a q that tells which time it was."""

    method = "REGISTER"

    def act(self, chance: random.Random) -> None:
        """Refresh, mostly; take it back; or ask for too little."""
        uri, draw = f"sip:{DOMAIN}", chance.random()
        if draw < 0.1:
            self.ask(None, 0, uri=uri)
        elif draw < 0.2:
            self.ask(self.REFUSED, 30, uri=uri, params=";q=0.999")
        else:
            q = self.cseq % 900 / 1000
            self.ask(q, 3600, uri=uri, params=f";q={q:.3f}")


class Publisher(Actor):
    """Publishes presence: a state is an entity-tag."""

    method = "PUBLISH"
    ANY = "some tag"

    def act(self, chance: random.Random) -> None:
        """Publish, change, refresh or remove; or write what cannot be read."""
        draw, tag = chance.random(), self.state
        more = f"Event: presence\n{f'SIP-If-Match: {tag}' if tag else 'Subject: new'}\n"
        kind = "Content-Type: application/pidf+xml\n"
        body = PIDF.format(user=self.user, domain=DOMAIN, number=self.cseq)
        if draw < 0.1:
            self.ask(self.REFUSED, 3600, more=more + kind, body="<presence/>")
        elif tag and draw < 0.2:
            self.ask(None, 0, more=more)
        elif tag and draw < 0.3:
            self.ask(self.ANY, 3600, more=more)
        else:
            self.ask(self.ANY, 3600, more=more + kind, body=body)

    def learn(self, response: Response) -> Any:
        """Return the entity-tag."""
        return self.asked and (response.value(b"sip-etag") or b"").decode()

    def is_asked(self, found: Any) -> bool:
        """Nobody has heard the tag that it would have."""
        is_new = all(found != state for _, state in self.promised)
        return is_new if self.asked == self.ANY else bool(found == self.asked)


class Watcher(Actor):
    """Watches a publisher: a state is a duration that tells which time it was."""

    method = "SUBSCRIBE"
    LEAST, STEP = 10000, 100

    def __init__(self, load: Load, number: int) -> None:
        Actor.__init__(self, load, number)
        self.to_tag = self.target = ""
        self._dialogs: dict[Any, tuple[int, str, str]] = {}

    def act(self, chance: random.Random) -> None:
        """Subscribe, refresh or end it; or ask for too little."""
        draw = chance.random()
        state = self.cseq % 700
        more = "Event: presence\nAccept: application/pidf+xml\n"
        if self.state is None:
            self.count += 1
            self.to_tag, self.target = "", f"sip:publish{self.number}@{DOMAIN}"
        where = {"uri": self.target, "to": f"sip:publish{self.number}@{DOMAIN}", "more": more}
        where["to_tag"] = f";tag={self.to_tag}" if self.to_tag else ""
        if draw < 0.1:
            self.ask(self.REFUSED, 30, **where)
        elif draw < 0.2 and self.to_tag:
            self.ask(None, 0, **where)
        else:
            self._note(state)
            self.ask(state, self.LEAST + self.STEP * state, **where)

    def _note(self, state: int) -> None:
        if self.to_tag:
            self._dialogs[state] = self.count, self.to_tag, self.target

    def learn(self, response: Response) -> Any:
        """Take the dialog."""
        if self.asked is not None:
            self.to_tag = (response.to.tag or b"").decode()
            self.target = response.addresses(b"contact")[0].raw_uri.decode()
            self._note(self.asked)
        return self.asked

    def go_on(self, found: Any) -> None:
        """Go on in the dialog that there is; as somebody else where its answer was lost."""
        Actor.go_on(self, found)
        if found in self._dialogs:
            self.count, self.to_tag, self.target = self._dialogs[found]
        elif found is not None:
            self.rename()
        self._dialogs = {found: self._dialogs[found]} if found in self._dialogs else {}

    def rename(self) -> None:
        """Be somebody else, with nothing."""
        self.user += "x"
        self.load.enter(self)
        Actor.go_on(self, None)


class Load:
    """The users, on one socket; and the CSeq of each NOTIFY that came, by dialog."""

    def __init__(self, server: KilledServer, seed: int) -> None:
        self.server = server
        self._chance = random.Random(seed)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((HOST, 0))
        self.port = self._socket.getsockname()[1]
        kinds = (Phone, Publisher, Watcher)
        self.actors = [kind(self, number) for kind in kinds for number in range(USERS)]
        self._by_user = {actor.user: actor for actor in self.actors}
        self._cseqs: dict[tuple[bytes, bytes | None], tuple[int, bytes]] = {}
        self.answers = self.notifies = 0

    def enter(self, actor: Actor) -> None:
        """Know a user by another name."""
        self._by_user[actor.user] = actor

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send a datagram to the server."""
        self._socket.sendto(data, (HOST, self.server.port))

    def run(self, seconds: float) -> None:
        """Let everybody ask and be answered for so long."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            for actor in self.actors:
                if not actor.waiting:
                    actor.act(self._chance)
                elif now - actor.sent_at > AGAIN:
                    actor.send(now)
            self.read(0.002)

    def read(self, seconds: float) -> None:
        """Take what came, and what comes within so many seconds."""
        while select.select([self._socket], [], [], seconds)[0]:
            data = self._socket.recv(65535)
            now, message = time.monotonic(), parse_datagram(data)
            if isinstance(message, Request):
                self._notified(message)
            else:
                self._answered(message, now)
            seconds = 0

    def _answered(self, response: Response, now: float) -> None:
        branch = (response.via.params.get(b"branch") or b"").decode().removeprefix("z9hG4bK")
        user, _, cseq = branch.rpartition("-")
        actor = self._by_user[user]
        if response.status >= 200 and actor.waiting and actor.cseq == int(cseq):
            self.answers += 1
            actor.answered(response, now)

    def _notified(self, notify: Request) -> None:
        """Answer a NOTIFY; each but a copy has a higher CSeq than all before (§12.2.1.1)."""
        branch = notify.via.params.get(b"branch") or b""
        dialog = notify.call_id, notify.from_.tag
        last, known = self._cseqs.get(dialog, (0, b""))
        number = notify.cseq.number
        if branch != known:
            assert number > last, f"{dialog}: CSeq {number} after {last}"
            self._cseqs[dialog] = number, branch
            self.notifies += 1
        self.send(make_response(notify, 200, b"w").encode())

    # After a crash

    def found(self) -> Iterator[tuple[Actor, Any]]:
        """Yield each user with the state that the server has now."""
        bindings = {row["aor"]: row["q"] for row in self.server.listed("bindings")}
        tags = {row["presentity"]: row["tag"] for row in self.server.listed("publications")}
        watchers = {
            row["watcher"]: math.ceil((row["expires"] - Watcher.LEAST) / Watcher.STEP)
            for row in self.server.listed("watchers")
        }
        every = {Phone: bindings, Publisher: tags, Watcher: watchers}
        for actor in self.actors:
            yield actor, every[type(actor)].get(f"{actor.user}@{DOMAIN}")

    def check(self, killed_at: float, slack: float) -> float:
        """Compare what there is with what was promised; return the age of the oldest loss.

        Nothing may be lost that was promised more than ``slack`` seconds before the end.
        """
        oldest = math.inf
        for actor, found in self.found():
            oldest = min(oldest, actor.loss(found, killed_at - slack))
            actor.go_on(found)
        return max(0.0, killed_at - oldest)


def crash(server: KilledServer, load: Load, seconds: float, slack: float) -> float:
    """Kill the server after so much load, start it, and return the age of the oldest loss."""
    load.run(seconds)
    killed_at = server.kill()
    load.read(0.0)
    server.start()
    wait_for(lambda: server.listed("watchers") is not None, "the control socket")
    return load.check(killed_at, slack)
