"""``sipctl flows``: connections, and where bindings reach users over UDP."""

from __future__ import annotations

import json
from typing import Any

from sipproxy.testing import CONFIG, FakeFlow, FakeServer
from tests.ctl.test_main import WithCommand
from tests.ctl.test_server import REGISTER
from tests.events.fakes import NEWS, NewsFactory, Phone
from tests.installed import install_also

ALICE = "alice@example.test"


class Flows(WithCommand):
    """A server that alice and bob are registered with."""

    def setUp(self) -> None:
        WithCommand.setUp(self)
        self.server = FakeServer(str(self.home), CONFIG + "[auth]\nrequired = false")
        self.node: Any = self.server.node
        self.steps: list[Any] = []

    def step(self) -> bool:
        """Let the next thing happen; after the last, the operator goes."""
        if not self.steps:
            raise KeyboardInterrupt
        self.steps.pop(0)()
        return True

    def register(self, user: str, transport: str, port: int = 5060) -> FakeFlow:
        """Register a user from an address, and return the flow."""
        client = self.server.client("192.0.2.1", port, transport)
        client.flow.since = client.flow.heard_at = self.server.clock.seconds()
        text = REGISTER.format(user=user).replace("Path: <sip:edge.test;lr>", "Subject: none")
        via = f"{transport.upper()} 192.0.2.1:{port}"
        text = text.replace("UDP 192.0.2.1", via).replace(f"{user}@192", f"{user}@192")
        client.send(text)
        return client.flow

    def rows(self, *words: str) -> Any:
        """Return what is listed."""
        return json.loads(self.passes("flows", *words, "--json"))

    def test_nobody(self) -> None:
        self.assertEqual(self.passes("flows"), "no flows\n")

    def test_udp(self) -> None:
        self.register("alice", "udp")
        self.server.advance(20)
        (row,) = self.rows()
        self.assertLessEqual(row.pop("idle"), 21)
        expected = {
            "transport": "UDP",
            "peer": "192.0.2.1:5060",
            "local": "127.0.0.1:5060",
            "since": "2027-01-15 08:00:00Z",
            "users": [ALICE],
            "holds": {"bindings": 1},
            "tls": None,
            "cipher": None,
            "domains": [],
        }
        self.assertEqual(row, expected)

    def test_a_connection_with_tls(self) -> None:
        flow = self.register("alice", "tcp")
        flow.via_transport = b"TLS"
        flow.version, flow.cipher = "TLSv1.3", "TLS_AES_256_GCM_SHA384"
        flow.proven_domains = frozenset((b"b.test",))
        (row,) = self.rows()
        self.assertEqual(row["transport"], "TLS")
        self.assertEqual((row["tls"], row["cipher"]), ("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
        self.assertEqual(row["domains"], ["b.test"])
        self.assertEqual((row["users"], row["holds"]), ([ALICE], {"bindings": 1}))
        text = self.passes("flows").splitlines()[1]
        self.assertIn("bindings=1  TLSv1.3  TLS_AES_256_GCM_SHA384  b.test", text)

    def test_who_is_looked_for(self) -> None:
        self.register("alice", "udp")
        self.register("bob", "tcp", 40000)
        self.server.client("192.0.2.7", 1, "tcp")
        for words, peers in (
            ((), ["192.0.2.1:40000", "192.0.2.7:1", "192.0.2.1:5060"]),
            ((ALICE,), ["192.0.2.1:5060"]),
            (("bob@example.test",), ["192.0.2.1:40000"]),
            (("carol@example.test",), []),
            (("--transport", "tcp"), ["192.0.2.1:40000", "192.0.2.7:1"]),
            (("--peer", "192.0.2.1"), ["192.0.2.1:40000", "192.0.2.1:5060"]),
            (("--peer", "192.0.2.1:5060"), ["192.0.2.1:5060"]),
        ):
            self.assertEqual([row["peer"] for row in self.rows(*words)], peers, words)

    def test_following(self) -> None:
        """A user of UDP comes and goes; a connection, here, is told of when it is bound."""
        self.steps = [
            lambda: self.register("alice", "udp"),
            lambda: self.register("bob", "tcp", 40000),
            lambda: self.server.advance(601),
        ]
        lines = [
            json.loads(line) for line in self.passes("flows", "--follow", "--json").split("\n")[:-1]
        ]
        told = [(line["change"], line["transport"], line["users"]) for line in lines]
        expected = [("new", "UDP", [ALICE]), ("new", "TCP", ["bob@example.test"])]
        self.assertEqual(told, [*expected, ("gone", "UDP", [ALICE])])

    def test_a_connection_that_comes_and_goes(self) -> None:
        """The network says so."""
        made: list[FakeFlow] = []

        def come() -> None:
            made.append(self.server.client("192.0.2.7", 1, "tcp").flow)
            self.node.network.counts.begun(made[0])

        def go() -> None:
            made[0].close()
            self.node.network.counts.ended(made[0])

        self.steps = [come, go]
        lines = self.passes("flows", "--follow").splitlines()
        self.assertEqual([line.split()[2] for line in lines], ["new", "gone"])

    def test_dialogs(self) -> None:
        install_also(self, [NewsFactory()])
        self.server = FakeServer(self.mktemp(), NEWS)
        self.node = self.server.node
        phone = Phone(self.server, transport="tcp")
        phone.subscribe(600)
        (row,) = self.rows("--transport", "tcp")
        self.assertEqual(row["holds"]["dialogs"], 1)
        self.assertEqual(row["users"], [])
