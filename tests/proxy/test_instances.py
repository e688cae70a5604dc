"""Requests for instances: GRUUs, and several contacts of one device (RFC 5627 §6, 5626 §7)."""

from __future__ import annotations

from typing import Any

from sipproxy.interfaces import Sender, Target
from sipproxy.proxy.instances import first_of_each, in_turn
from sipproxy.proxy.routers import LocationRouter
from sipproxy.registrar.binding import Binding
from sipproxy.registrar.gruu import Instance
from sipproxy.sip.headers import parse_name_addr
from sipproxy.testing import FakeFlow, FakeServer
from tests.proxy.fakes import OPEN, request
from tests.sip.tables import TableCase, rows

ALICE = Sender(b"alice@example.test", is_user=True)
BOB = "sip:bob@example.test"


def binding(
    host: str, urn: bytes | None, made: int = 1, reg_id: int = 0, q: float = 1.0, **changed: Any
) -> Binding:
    """Return a binding of an instance, or of none."""
    instance = urn and Instance(urn, reg_id, made, 0, False)
    facts: dict[str, Any] = {"path": (), "flow": None} | changed
    return Binding(
        contact=parse_name_addr(f"<sip:b@{host}>".encode()),
        params=b"",
        q=q,
        expires_at=1000.0,
        call_id=b"1",
        cseq=1,
        instance=instance or None,
        **facts,
    )


class RouterCase(TableCase):
    """The location router of a server whose bindings the test makes."""

    def setUp(self) -> None:
        self.core = FakeServer(self.mktemp(), OPEN).node.core
        self.router = LocationRouter(self.core)

    def bind(self, *bindings: Binding, user: bytes = b"bob") -> None:
        self.core.location.commit(user + b"@example.test", bindings)

    def targets(self, uri: str = BOB, *lines: str) -> Any:
        return self.router.targets(request(*lines, uri=uri), ALICE)

    def hosts(self, uri: str = BOB) -> list[str]:
        """Return the hosts of the targets, in order."""
        return [target.uri.decode().partition("@")[2] for target in self.targets(uri)]

    def temporary(self, aor: bytes, bound: Binding) -> str:
        return self.core.gruus.temporary(b"sip", aor, bound).decode()


class GruuTest(RouterCase):
    """§6.1: a GRUU is an address-of-record with only some of its bindings."""

    def setUp(self) -> None:
        RouterCase.setUp(self)
        self.phone = binding("1.test", b"urn:x:1", made=1)
        self.bind(self.phone, binding("2.test", b"urn:x:2"), binding("3.test", None))

    @rows(
        {
            "none": (BOB, ["1.test", "2.test", "3.test"]),
            "public": (BOB + ";gr=urn:x:1", ["1.test"]),
            "escaped, in capitals": (BOB + ";GR=%75rn:X:2", ["2.test"]),
            "by an alias": ("sip:bob@127.0.0.1;gr=urn:x:1", ["1.test"]),
        }
    )
    def test_who_is_meant(self, uri: str, hosts: list[str]) -> None:
        self.assertEqual(self.hosts(uri), hosts)

    def test_temporary(self) -> None:
        gruu = self.temporary(b"bob@example.test", self.phone)
        self.assertEqual(self.hosts(gruu), ["1.test"])
        self.assertEqual(self.hosts(gruu.replace("tgruu", "%74gruu")), ["1.test"])

    @rows(
        {
            "no contact of the instance": (BOB + ";gr=urn:x:9", 480),
            "no value and no seal": (BOB + ";gr", 404),
            "forged": ("sip:tgruu.AAAA@example.test;gr", 404),
        }
    )
    def test_refused(self, uri: str, status: int) -> None:
        self.refuses(status, self.targets, uri)

    def test_of_somebody_else(self) -> None:
        """A temporary GRUU names its address-of-record, whose binding it has to be."""
        self.refuses(404, self.targets, self.temporary(b"carol@example.test", self.phone))

    def test_an_instance_that_cannot_be_reached(self) -> None:
        flow = FakeFlow("192.0.2.2", 5060, "tcp")
        gone = binding("1.test", b"urn:x:1", flow=flow)
        self.bind(gone)
        gruu = self.temporary(b"bob@example.test", gone)
        flow.is_open = False
        self.refuses(480, self.targets, gruu)

    def test_path(self) -> None:
        """§6.1: what the Route of a dialog says takes the place of Path."""
        self.bind(binding("1.test", b"urn:x:1", path=(b"<sip:edge.test;lr>",)))
        gruu, route = BOB + ";gr=urn:x:1", "Route: <sip:other.test;lr>"
        self.assertEqual(self.targets(gruu)[0].routes, (b"<sip:edge.test;lr>",))
        self.assertEqual(self.targets(gruu, route)[0].routes, ())
        self.assertEqual(self.targets(BOB, route)[0].routes, (b"<sip:edge.test;lr>",))

    def test_a_contact_that_is_a_gruu(self) -> None:
        """Somebody else's GRUU is a contact like any other; where it is invalid, it is none."""
        self.bind(binding("x", None), user=b"carol")
        for uri, hosts in {
            BOB + ";gr=urn:x:2": ["2.test"],
            self.temporary(b"bob@example.test", self.phone): ["1.test"],
        }.items():
            contact = binding("x", None)
            contact.contact = parse_name_addr(f"<{uri}>".encode())
            self.bind(contact, user=b"carol")
            self.assertEqual(self.hosts("sip:carol@example.test"), hosts)
        contact.contact = parse_name_addr(b"<sip:tgruu.AAAA@example.test;gr>")
        self.bind(contact, binding("4.test", None), user=b"carol")
        self.assertEqual(self.hosts("sip:carol@example.test"), ["4.test"])

    def test_canonical(self) -> None:
        """§5.4: each belongs to one address-of-record, and the handlers are told which."""
        canonical = self.core.identity.canonical
        temporary = self.temporary(b"bob@example.test", self.phone)
        for uri in (BOB + ";gr=urn:x:1", temporary, temporary.replace("sip:", "sips:")):
            self.assertEqual(canonical(request(uri=uri).uri), b"bob@example.test")
        forged = request(uri="sip:tgruu.AAAA@example.test;gr").uri
        self.assertEqual(canonical(forged), b"tgruu.AAAA@example.test")


class SeveralTest(RouterCase):
    """More than one contact of an instance (RFC 5626 §7, RFC 5627 §6.1)."""

    def test_one_after_the_other(self) -> None:
        """The most recent first, whatever q is; what is of no instance keeps its place."""
        self.bind(
            binding("a.test", b"urn:x:1", made=1, q=1.0),
            binding("b.test", None, q=0.9),
            binding("c.test", b"urn:x:2", made=2, q=0.8),
            binding("d.test", b"urn:x:1", made=3, q=0.7),
        )
        targets = self.targets()
        self.assertEqual(self.hosts(), ["d.test", "a.test", "b.test", "c.test"])
        self.assertEqual([target.q for target in targets], [0.7, 1.0, 0.9, 0.8])
        groups = [target.instance for target in targets]
        self.assertEqual(groups[0], groups[1])
        self.assertEqual((groups[2], len(set(groups))), (b"", 3))
        self.assertEqual([t.uri for t in first_of_each(targets)], [
            b"sip:b@d.test", b"sip:b@b.test", b"sip:b@c.test"])  # fmt: skip

    def test_the_same_instance_of_two_users(self) -> None:
        """RFC 5626 §7 speaks of one address-of-record and one instance."""
        carol = binding("x", None)
        carol.contact = parse_name_addr(b"<sip:carol@example.test>")
        self.bind(carol, binding("1.test", b"urn:x:1"))
        self.bind(binding("2.test", b"urn:x:1"), user=b"carol")
        self.assertEqual(len(first_of_each(self.targets())), 2)

    def test_flows_share_a_contact(self) -> None:
        """Two flows to one Contact URI are two ways to it."""
        flows = [FakeFlow("192.0.2.2", port, "tcp") for port in (1, 2)]
        self.bind(*(
            binding("1.test", b"urn:x:1", made=n, reg_id=n, flow=flow)
            for n, flow in enumerate(flows, 1)
        ))  # fmt: skip
        self.assertEqual([target.flow for target in self.targets()], flows[::-1])

    def test_nothing_to_choose(self) -> None:
        alone = [Target(b"sip:a@1.test")]
        self.assertIs(first_of_each(alone), alone)
        one = [(alone[0], binding("1.test", None))]
        self.assertIs(in_turn(one), one)
