"""A registrar, its location table, and who is told of alice's registrations."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from sipproxy.interfaces import Sender
from sipproxy.interfaces.events import Watcher
from sipproxy.reg.options import RegOptions
from sipproxy.reg.package import KEY_LENGTH, RegPackage
from sipproxy.sip.message import Request
from sipproxy.sip.parser import parse_datagram
from sipproxy.transport.identity import Identity
from tests.events.watching import Notifier, Subscriber, known
from tests.registrar.fakes import ALICE, Bench, Flow, Transaction

PHONE, DESK = "sip:alice@192.0.2.1", "sip:alice@192.0.2.2"
INSTANCE = '+sip.instance="<urn:x:1>"'
APPLICATION = b"app@example.test"
KEY = bytes(KEY_LENGTH)


class RegBench(Bench):
    """A registrar with the registration package; ``options`` are the registrar's."""

    def __init__(self, domain: str = "example.test", **options: Any) -> None:
        Bench.__init__(self, **options)
        host: Any = self.host
        host.identity = Identity([domain], [], [])
        host.identity.unveil = self.gruus.user
        host.notifier = self.notifier = Notifier()
        self.package = self.made(watchers=("app@example.test", "edge.test"))

    def made(self, key: bytes = KEY, **options: Any) -> RegPackage:
        """Return a package with options of its own."""
        host: Any = self.host
        return RegPackage(RegOptions(**options), host, self.gruus, key)

    def subscriber(self, aor: bytes = ALICE, who: Watcher | None = None) -> Subscriber:
        """Return one who subscribes: the user, unless it is somebody else."""
        host: Any = self.host
        return Subscriber(host, self.package, aor, who or known(aor))

    def application(self) -> Subscriber:
        """Return a listed application that subscribes to alice's registrations."""
        return self.subscriber(ALICE, known(APPLICATION))

    def bind(self, uri: str, flow: Flow | None = None, reg_id: int = 0, **headers: str) -> None:
        """Register a contact of an instance, as a flow where it has a reg-id."""
        contact = f"<{uri}>;{INSTANCE}" + (f";reg-id={reg_id}" if reg_id else "")
        self.register(contact, flow=flow, **({"Supported": "outbound, path, gruu"} | headers))

    def take(self, text: str | bytes, aor: bytes) -> None:
        """Let the registrar have a REGISTER as it stands in an RFC, from a user of that name."""
        self.host.users.add(aor)
        head = (text if isinstance(text, str) else text.decode()).strip()
        lines = [line for line in head.splitlines() if not line.startswith("Content-Length")]
        lines += [] if "\nVia:" in head else ["Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"]
        request = parse_datagram(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert isinstance(request, Request)
        transaction: Any = Transaction(Flow())
        self.registrar.handle(request, transaction, Sender(aor, is_user=True))
        assert transaction.responses[0].status == 200


def contacts(document: etree._Element | None) -> list[tuple[str, str, str]]:
    """Return what a document says of each contact: URI, state and event."""
    assert document is not None
    return [
        (contact[0].text or "", contact.get("state", ""), contact.get("event", ""))
        for contact in document[0]
    ]


def unfolded(example: bytes) -> bytes:
    """Return an example whose long lines are written as RFC 4475 §2.1 does."""

    def joined(match: re.Match[bytes]) -> bytes:
        return b"".join(line.strip() for line in match.group(1).splitlines())

    return re.sub(rb"(?s)<allOneLine>(.*?)</allOneLine>", joined, example)
