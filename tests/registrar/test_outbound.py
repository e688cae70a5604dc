"""Client-initiated connections at the registrar (RFC 5626 §6, §7)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.registrar.options import RegistrarOptions
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Response
from tests.registrar.fakes import ALICE, Bench, Flow
from tests.sip.tables import TableCase, rows

ONE, TWO = "urn:uuid:00000000-0000-1000-8000-aabbccddeeff", "urn:x:2"
LINE = "sip:line1@192.0.2.2;transport=tcp"
PLAIN = "sip:alice@192.0.2.9"
TWO_VIAS = "SIP/2.0/TCP ep1.test;branch=z9hG4bK2, SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK1"
EDGE = "<sip:VskztcQ/S8p4WPbOnHbuyh5iJvJIW3ib@ep1.test;lr;ob>"


def contact(reg_id: object = 1, urn: str = ONE, uri: str = LINE, params: str = "") -> str:
    """Return a Contact that registers its flow."""
    return f'<{uri}>;reg-id={reg_id};+sip.instance="<{urn}>"{params}'


class OutboundCase(TableCase):
    """A registrar, and clients with flows."""

    def setUp(self) -> None:
        self.bench = Bench(flow_timer=120)

    def register(self, *contacts: str, **given: Any) -> Response:
        """Register with outbound, by TCP unless another flow is given."""
        given = {"Supported": "path, outbound", "flow": Flow(True)} | given
        return self.bench.register(*contacts, **given)

    def flows(self) -> list[tuple[int, Flow | None]]:
        """Return alice's bindings as reg-id and flow."""
        bindings = self.bench.host.location.bindings(ALICE)
        return [(b.instance.reg_id if b.instance else 0, b.flow) for b in bindings]


class BindingTest(OutboundCase):
    """§6: a binding is of instance and reg-id, whatever its Contact."""

    def test_several_flows(self) -> None:
        first, second = Flow(True), Flow(True)
        self.register(contact(1), flow=first)
        self.register(contact(2), flow=second)
        self.assertEqual(self.flows(), [(1, first), (2, second)])

    @rows(
        {
            "the same": contact(1),
            "another Contact": contact(1, uri="sip:line1@203.0.113.5:9"),
            "the URN written otherwise": contact(1, ONE.upper()),
            "zeros before it": contact("0001"),
        }
    )
    def test_the_same_flow_is_replaced(self, again: str) -> None:
        old, new = Flow(True), Flow(True)
        self.register(contact(1), flow=old)
        self.register(again, flow=new)
        self.assertEqual(self.flows(), [(1, new)])
        self.assertEqual((len(old.watching), len(new.watching)), (0, 1))

    def test_another_instance_is_not(self) -> None:
        self.register(contact(1))
        self.register(contact(1, TWO))
        self.register(f"<{LINE}>")
        self.register(f'<{LINE}>;+sip.instance="<{ONE}>"', Call_ID="2")
        self.assertEqual([reg_id for reg_id, _ in self.flows()], [1, 1, 0])

    def test_ended_by_reg_id(self) -> None:
        self.register(contact(1))
        self.register(contact(2))
        self.register(contact(1, uri="sip:other@h.test", params=";expires=0"))
        self.assertEqual([reg_id for reg_id, _ in self.flows()], [2])
        self.register(f"<{LINE}>;expires=0")  # that is no flow
        self.assertEqual([reg_id for reg_id, _ in self.flows()], [2])
        self.register(contact(3), f"<{LINE}>;expires=0", contact(2, params=";expires=0"))
        self.assertEqual([reg_id for reg_id, _ in self.flows()], [3])

    def test_order_holds(self) -> None:
        """RFC 3261 §10.3 step 7, for the flow's own binding."""
        self.register(contact(1), CSeq="9 REGISTER")
        error = self.bench.refused(contact(1, uri=PLAIN), CSeq="9 REGISTER")
        self.assertEqual(error.status, 500)

    @rows(
        {
            "zero": "0",
            "too large (§10)": str(2**31),
            "far too large": "9" * 99,
            "negative": "-1",
            "no number": "one",
            "empty": '""',
        }
    )
    def test_bad_reg_id(self, reg_id: str) -> None:
        self.assertEqual(self.bench.refused(contact(reg_id)).status, 400)
        self.assertEqual(self.bench.contacts(), {})

    def test_the_largest_reg_id(self) -> None:
        self.register(contact(2**31 - 1))
        self.assertEqual(self.flows()[0][0], 2**31 - 1)

    def test_a_thousand_flows(self) -> None:
        """The limit of bindings holds, and those that are there stay."""
        statuses = set()
        for reg_id in range(1, 1001):
            if reg_id <= 10:
                self.register(contact(reg_id))
            else:
                statuses.add(self.bench.refused(contact(reg_id)).status)
        self.assertEqual(statuses, {403})
        self.assertEqual([reg_id for reg_id, _ in self.flows()], list(range(1, 11)))
        many = [contact(n, params=";expires=0") for n in range(1, 1001)]
        self.assertEqual(self.bench.refused(*many).status, 403)

    @rows(
        {
            "two flows": (contact(1), contact(2)),
            "a flow and another": (contact(1), f"<{PLAIN}>"),
        }
    )
    def test_one_at_a_time(self, *contacts: str) -> None:
        """§6."""
        self.assertEqual(self.bench.refused(*contacts).status, 400)
        self.assertEqual(self.bench.contacts(), {})

    def test_temporary_gruus_of_all_flows(self) -> None:
        """RFC 5627 §5.1: another Call-ID for one reg-id ends them all; for a new one, none."""

        def since() -> list[int]:
            return [b.instance.since for b in self.bench.host.location.bindings(ALICE)]

        self.register(contact(1), Call_ID="1")
        begun = since()
        self.register(contact(2), Call_ID="2")
        self.assertEqual(since(), begun * 2)
        self.register(contact(1), Call_ID="3")
        self.assertEqual(len(set(since())), 1)
        self.assertGreater(since()[0], begun[0])


class FirstHopTest(OutboundCase):
    """§6: the first hop has to hold the flow."""

    @rows(
        {
            "we are the first": ("", "", True),
            "an edge proxy is": (TWO_VIAS, EDGE, True),
            "another one in between (RFC 3327 §5.2)": (TWO_VIAS, f"<sip:p3.test;lr>, {EDGE}", True),
            "it says nothing": (TWO_VIAS, "<sip:ep1.test;lr>", False),
            "no Path": (TWO_VIAS, "", False),
        }
    )
    def test_applied(self, via: str, path: str, is_applied: bool) -> None:
        headers = {"Path": path} | ({"Via": via} if via else {})
        if not is_applied:
            error = self.bench.refused(contact(), Supported="outbound", **headers)
            self.assertEqual((error.status, self.bench.contacts()), (439, {}))
            response = self.register(contact(), Supported="path", **headers)
            self.assertEqual((self.flows(), response.value(b"require")), ([(0, None)], None))
            return
        response = self.register(contact(), **headers)
        self.assertEqual(response.value(b"require"), b"outbound")
        self.assertEqual(self.flows()[0][0], 1)
        self.assertEqual(self.flows()[0][1] is None, bool(path))

    def test_the_way_back_is_by_the_path(self) -> None:
        self.register(contact(), Via=TWO_VIAS, Path=EDGE)
        (binding,) = self.bench.host.location.bindings(ALICE)
        self.assertEqual((binding.path, binding.silence), ((EDGE.encode(),), 0))

    @rows(
        {
            "a name elsewhere": (True, "sip:alice@b.test"),
            "UDP without rport": (False, "sip:alice@10.0.0.2"),
        }
    )
    def test_the_flow_is_the_way(self, reliable: bool, uri: str) -> None:
        """§7: whatever the Contact says."""
        flow = Flow(reliable)
        via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"
        self.register(contact(uri=uri), flow=flow, Via=via)
        self.assertEqual(self.flows(), [(1, flow)])


class ResponseTest(OutboundCase):
    """What the 200 says."""

    @rows(
        {
            "outbound": (contact(), "outbound", b"outbound", b"120"),
            "OUTBOUND, which is the same": (contact(), "path, OUTBOUND", b"outbound", b"120"),
            "not supported by the client": (contact(), "path", None, None),
            "no reg-id": (f'<{LINE}>;+sip.instance="<{ONE}>"', "outbound", None, None),
            "no instance": (f"<{LINE}>;reg-id=1", "outbound", None, None),
            "neither": (f"<{LINE}>", "outbound", None, None),
            "a query": ("", "outbound", None, None),
        }
    )
    def test_require_and_flow_timer(
        self, value: str, supported: str, require: bytes | None, timer: bytes | None
    ) -> None:
        response = self.register(*[value] if value else [], Supported=supported)
        self.assertEqual(response.value(b"require"), require)
        self.assertEqual(response.value(b"flow-timer"), timer)

    def test_the_edge_gives_the_timer(self) -> None:
        """§5.4: it is the last proxy's to say."""
        response = self.register(contact(), Via=TWO_VIAS, Path=EDGE)
        self.assertEqual(response.value(b"require"), b"outbound")
        self.assertIsNone(response.value(b"flow-timer"))

    def test_no_timer(self) -> None:
        self.bench = Bench(flow_timer=0)
        response = self.register(contact())
        self.assertEqual(response.value(b"require"), b"outbound")
        self.assertIsNone(response.value(b"flow-timer"))
        self.assertRaises(ValueError, RegistrarOptions, flow_timer=-1)

    def test_required_by_the_client(self) -> None:
        self.assertEqual(self.register(contact(), Require="outbound, path").status, 200)


class SilenceTest(OutboundCase):
    """§5.4, §7: a flow of which nothing is heard is dead."""

    @rows({"TCP": True, "UDP": False})
    def test_silent(self, reliable: bool) -> None:
        flow = Flow(reliable)
        self.register(contact(), flow=flow)
        self.bench.host.advance(149)
        self.assertEqual(len(self.flows()), 1)
        self.bench.host.advance(2)
        self.assertEqual((self.flows(), flow.watching), ([], []))

    def test_heard(self) -> None:
        flow = Flow(False)
        self.register(contact(), flow=flow)
        for _ in range(20):
            self.bench.host.advance(110)
            flow.heard_at = self.bench.host.now()
        self.assertEqual(len(self.flows()), 1)
        self.bench.host.advance(151)
        self.assertEqual(self.flows(), [])

    def test_another_flow_stays(self) -> None:
        flow, other = Flow(False), Flow(True)
        self.register(contact(1), flow=flow)
        self.register(contact(2), flow=other)
        self.bench.host.advance(100)
        other.heard_at = self.bench.host.now()
        self.bench.host.advance(60)
        self.assertEqual(self.flows(), [(2, other)])

    def test_no_promise(self) -> None:
        """Who was told no Flow-Timer may be silent; so may who registers no flow."""
        self.register(contact(1), Supported="path")
        self.register(f"<{PLAIN}>")
        self.bench.host.advance(600)
        self.assertEqual(len(self.flows()), 2)

    def test_expiry_comes_first(self) -> None:
        self.register(contact(params=";expires=60"))
        self.bench.host.advance(61)
        self.assertEqual(self.flows(), [])

    @rows({"TCP": True, "UDP": False})
    def test_closed(self, reliable: bool) -> None:
        """§7: at once, and every binding that uses it."""
        flow = Flow(reliable)
        self.register(contact(1), flow=flow)
        self.register(contact(2, TWO), flow=flow)
        flow.close()
        self.assertEqual(self.flows(), [])


_contacts = st.builds(
    lambda reg_id, urn, uri, expires: (
        f"<{uri}>;expires={expires}"
        + (f";reg-id={reg_id}" if reg_id else "")
        + (f'+sip.instance="<{urn}>"'.join((";", "")) if urn else "")
    ),
    st.sampled_from(["", "1", "2", "3", "0", "x"]),
    st.sampled_from(["", ONE, ONE.upper(), TWO, "urn: x"]),
    st.sampled_from([LINE, PLAIN, "sip:alice@example.test", "tel:1"]),
    st.sampled_from([0, 60, 600, 1]),
)
_steps = st.tuples(
    st.lists(_contacts, min_size=1, max_size=3),
    st.integers(0, 3),  # the flow
    st.sampled_from(["", "path, outbound, gruu"]),
    st.sampled_from(["1", "2"]),  # the Call-ID
    st.sampled_from([0, 0, 5, 61, 151]),  # seconds before it
    st.sampled_from([False, False, False, True]),  # a flow closes before it
)


class AnythingTest(SynchronousTestCase):
    """Whatever comes, in any order."""

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.lists(_steps, max_size=12))
    def test_what_always_holds(self, steps: list[Any]) -> None:
        """One binding per flow or contact, no dead ones, and whoever is relied on is watched."""
        bench = Bench(max_bindings=4, min_expires=60)
        flows = [Flow(False), Flow(True), Flow(False), Flow(True)]
        for contacts, number, supported, call_id, wait, closes in steps:
            bench.host.advance(wait)
            if closes:
                flows[number].close()
                flows[number] = Flow(flows[number].reliable)
            flows[number].heard_at = bench.host.now()
            before = bench.host.location.bindings(ALICE)
            try:
                bench.register(*contacts, flow=flows[number], Supported=supported, Call_ID=call_id)
            except SipError:
                self.assertEqual(bench.host.location.bindings(ALICE), before)
            self.check(bench, flows)

    def check(self, bench: Bench, flows: list[Flow]) -> None:
        """Look at alice's bindings, and at who is watched."""
        bindings = bench.host.location.bindings(ALICE)
        keys = [
            (b.instance.urn, b.instance.reg_id) if b.is_flow else b.contact.raw_uri
            for b in bindings
        ]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertLessEqual(len(bindings), 4)
        self.assertTrue(all(b.is_reachable and b.ends_at > bench.host.now() for b in bindings))
        since = {(b.instance.urn, b.instance.since) for b in bindings if b.instance}
        self.assertEqual(len(since), len({urn for urn, _ in since}))
        relied = {b.watched for b in bindings} - {None}
        self.assertEqual({flow for flow in flows if flow.watching}, relied)
        self.assertTrue(all(len(flow.watching) <= 1 for flow in flows))
