"""What a binding keeps of its REGISTER: the Path and the flow (RFC 3327, 5626, 3581)."""

from __future__ import annotations

from sipproxy.registrar.binding import Binding
from tests.registrar.fakes import ALICE, Bench, Flow
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

TWO_VIAS = "SIP/2.0/UDP e.test;branch=z9hG4bK2;rport, SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1"
RPORT = "SIP/2.0/UDP phone.test;branch=z9hG4bK1;rport"
NO_RPORT = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"


class BindingCase(TableCase):
    """A registrar with its table."""

    def setUp(self) -> None:
        self.bench = Bench()

    def bound(self, contact: str, flow: Flow | None = None, **headers: str) -> Binding:
        """Register a contact and return its binding."""
        self.bench.register(f"<{contact}>", flow=flow, **headers)
        (binding,) = self.bench.host.location.bindings(ALICE)
        return binding


@rfc(3327, "5.3", "the Path vector is kept with each binding, in its order, and echoed")
class PathTest(BindingCase):
    """RFC 3327 §5.3: the Path vector is kept with each binding, in order."""

    def test_kept_and_echoed(self) -> None:
        path = "<sip:a.test;lr>, <sip:b.test;lr;x=%20>"
        response = self.bench.register("<sip:alice@h.test>", Path=path)
        values = [b"<sip:a.test;lr>", b"<sip:b.test;lr;x=%20>"]
        self.assertEqual(response.raw_values(b"path"), values)
        (binding,) = self.bench.host.location.bindings(ALICE)
        self.assertEqual(binding.path, tuple(values))

    def test_replaced_as_a_whole(self) -> None:
        self.bound("sip:alice@h.test", Path="<sip:a.test;lr>")
        self.assertEqual(self.bound("sip:alice@h.test").path, ())

    @rows(
        {
            "no lr (§4)": "<sip:a.test>",
            "one without": "<sip:a.test;lr>, <sip:b.test>",
            "no SIP URI": "<tel:1;lr>",
            "malformed": "<sip:a.test;lr",
            "too many": ", ".join(["<sip:a.test;lr>"] * 11),
        }
    )
    def test_refused(self, path: str) -> None:
        self.assertEqual(self.bench.refused("<sip:alice@h.test>", Path=path).status, 400)
        self.assertEqual(self.bench.contacts(), {})


class FlowTest(BindingCase):
    """Requests use the flow of the REGISTER where that is the client itself."""

    @rows(
        {
            "UDP, rport": (False, "sip:alice@10.0.0.2", RPORT, True),
            "UDP, no rport": (False, "sip:alice@10.0.0.2", NO_RPORT, False),
            "TCP": (True, "sip:alice@10.0.0.2", NO_RPORT, True),
            "IPv6": (True, "sip:alice@[2001:db8::1]", NO_RPORT, True),
            "not adjacent": (True, "sip:alice@10.0.0.2", TWO_VIAS, False),
            "the name in its Via": (False, "sip:alice@phone.test", RPORT, True),
            "a name without address (RFC 7118)": (True, "sip:alice@x1.invalid", NO_RPORT, True),
            "a name elsewhere": (True, "sip:alice@b.test", RPORT, False),
            "another user of ours": (True, "sip:bob@example.test", RPORT, False),
            "our own address": (True, "sip:bob@127.0.0.1", RPORT, False),
            "no SIP URI": (True, "tel:+358555", RPORT, False),
        }
    )
    def test_by_flow(self, reliable: bool, contact: str, via: str, by_flow: bool) -> None:
        flow = Flow(reliable)
        binding = self.bound(contact, flow, Via=via)
        self.assertIs(binding.flow, flow if by_flow else None)

    def test_the_newest_flow_counts(self) -> None:
        old, new = Flow(True), Flow(True)
        self.bound("sip:alice@10.0.0.2", old)
        self.assertIs(self.bound("sip:alice@10.0.0.2", new).flow, new)
        self.assertEqual((len(old.watching), len(new.watching)), (0, 1))

    @rows({"flow": (True, "tcp 192.0.2.1:5060"), "none": (False, None)})
    def test_describe(self, by_flow: bool, shown: str | None) -> None:
        via = RPORT if by_flow else TWO_VIAS
        binding = self.bound("sip:a@10.0.0.2", Flow(True), Via=via, Path="<sip:p.test;lr>")
        self.assertEqual(
            binding.describe(self.bench.host.now()),
            {
                "contact": "sip:a@10.0.0.2",
                "expires": 3600,
                "q": 1.0,
                "path": ["<sip:p.test;lr>"],
                "instance": None,
                "reg_id": None,
                "flow": shown and shown.replace("tcp", "TCP"),
            },
        )
