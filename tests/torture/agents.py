"""A server that notifies of presence, somebody who tries it, and a count of all that it keeps."""

from __future__ import annotations

from sipproxy.sip.message import Request, Response
from sipproxy.testing import CONFIG, FakeClient, FakeFlow, FakeServer

AGENT = (
    CONFIG
    + """
[auth]
required = false
[federation]
inbound = "open"
[limits]
source_rate = 0
[events]
packages = ["presence", "reg"]
{events}
[presence]
unknown_watchers = "allow"
notify_interval = 0.0
"""
)
SOURCE = "192.0.2.66"
ALICE = b"alice@example.test"
PIDF_XML = "application/pidf+xml"
FILTER_XML = "application/simple-filter+xml"
# Timer F of a NOTIFY that nobody answers, then what transactions linger for (RFC 3261 §17).
FOREVER = 72.0


class Agent:
    """A server of which alice is a user, and whoever sends to it from `SOURCE`."""

    def __init__(self, directory: str, events: str = "") -> None:
        self.server = FakeServer(directory, AGENT.format(events=events))
        self.node = self.server.node
        self.client: FakeClient = self.server.client(SOURCE)
        self._sent = 0

    # Requests

    def request(self, method: str, body: bytes = b"", **headers: str | None) -> bytes:
        """Return a request to alice; ``headers`` have ``_`` for ``-``, None leaves one out."""
        self._sent += 1
        who = "alice" if method == "PUBLISH" else "bob"
        lines: dict[str, str | None] = {
            "Via": f"SIP/2.0/UDP {SOURCE}:5060;rport;branch=z9hG4bK-{self._sent}",
            "Max-Forwards": "70",
            "From": f"<sip:{who}@example.test>;tag=a{self._sent}",
            "To": "<sip:alice@example.test>",
            "Call-ID": f"call-{self._sent}@{SOURCE}",
            "CSeq": f"{self._sent} {method}",
            "Event": "presence",
            "Expires": "600",
            "Contact": f"<sip:{who}@{SOURCE}:5060>" if method == "SUBSCRIBE" else None,
        }
        if body:
            lines["Content-Type"] = PIDF_XML if method == "PUBLISH" else FILTER_XML
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines["Content-Length"] = str(len(body))
        start = f"{method} {headers.get('uri') or 'sip:alice@example.test'} SIP/2.0"
        lines.pop("uri", None)
        head = [start, *(f"{name}: {value}" for name, value in lines.items() if value is not None)]
        return "\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + body

    def send(self, data: bytes) -> int:
        """Send a request, and return the status of the answer, 0 where there is none."""
        self.client.clear()
        self.client.send(data)
        answers = [one for one in self.client.received if isinstance(one, Response)]
        return answers[-1].status if answers else 0

    def publish(self, body: bytes = b"", **headers: str | None) -> int:
        """Publish for alice."""
        return self.send(self.request("PUBLISH", body, **headers))

    def subscribe(self, body: bytes = b"", **headers: str | None) -> int:
        """Watch alice, as bob."""
        return self.send(self.request("SUBSCRIBE", body, **headers))

    def answer(self, status: int = 200) -> None:
        """Answer the NOTIFY that came, if there is one."""
        if self.notifies:
            self.client.answer(status)

    # What there is

    @property
    def notifies(self) -> list[Request]:
        """The NOTIFYs that came to who asked."""
        return [one for one in self.client.received if isinstance(one, Request)]

    @property
    def flows(self) -> list[FakeFlow]:
        """Everybody who can be reached, whoever was."""
        return list(self.server.network.peers.values())

    @property
    def kept(self) -> dict[str, int]:
        """How much is kept of subscriptions and publications, by table; what is 0 is left out."""
        node, notifier = self.node, self.node.notifier
        package = notifier.packages.find(b"presence")
        tables = {
            "dialogs": len(notifier),
            "resources": len(notifier.resources()),
            "changed": len(notifier._changed),
            "composed": len(notifier.states),
            "queue": len(notifier._passes),
            "census": len(notifier.census),
            "publications": len(node.publications),
            "moments": len(package._moments),  # type: ignore[union-attr]
            "services": len(package._services._known),  # type: ignore[union-attr]
            "bindings": len(list(node.location.aors())),
            "flows": sum(flow.watchers for flow in self.flows),
        }
        return {name: count for name, count in tables.items() if count}

    @property
    def lingers(self) -> dict[str, int]:
        """The same, and what goes by itself: transactions and appointments."""
        also = {"transactions": len(self.node.layer), "wheel": len(self.node.wheel)}
        return self.kept | {name: count for name, count in also.items() if count}
