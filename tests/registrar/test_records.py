"""Bindings as they are kept: nothing is lost on the way, and nothing that is broken comes in."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.registrar.binding import REFRESHED, REGISTERED, SHORTENED, Binding, Life
from sipproxy.registrar.gruu import Instance
from sipproxy.registrar.records import kept_record, recalled
from sipproxy.sip.headers import parse_name_addr
from tests.registrar.fakes import Flow, KeptStore

BEFORE, AFTER = KeptStore(1_000_000.0), KeptStore(1_000_500.0)  # the same dates, other moments
CONTACTS = [
    b"<sip:alice@192.0.2.1>",
    b'"Alice \\"A\\"" <sip:alice@192.0.2.1:5062;transport=tcp?x=y>;q=0.5;+sip.instance="<urn:x:1>"',
    b"sip:alice@[2001:db8::1];methods=MESSAGE",
    b"<sips:%61lice@h.example.test;gr=urn:x>;reg-id=1;expires=60",
]
moments = st.floats(0, 1e6, allow_nan=False)
stamps = st.integers(0, 2**47)
numbers = st.integers(0, 2**31 - 1)
instances = st.builds(Instance, st.binary(), numbers, stamps, stamps, stamps, numbers)
bindings = st.builds(
    Binding,
    contact=st.sampled_from(CONTACTS).map(parse_name_addr),
    params=st.binary(),
    q=st.floats(0, 1, allow_nan=False),
    expires_at=moments,
    call_id=st.binary(),
    cseq=numbers,
    path=st.lists(st.binary(), max_size=3).map(tuple),
    flow=st.none() | st.just(Flow()),
    instance=st.none() | instances,
    silence=st.sampled_from([0, 150.0]),
    life=st.none() | st.builds(Life, st.binary(), moments),
    event=st.sampled_from([REGISTERED, REFRESHED, SHORTENED]),
)


class Flows:
    """Knows one flow again: that over UDP."""

    flow = Flow()

    def lasting_name(self, flow: Any) -> bytes:
        """Return the name of a flow that has one."""
        return b"" if flow.reliable else b"udp"

    def find_again(self, name: bytes) -> Any:
        """Return the flow."""
        return self.flow if name == b"udp" else None


def facts(binding: Binding, moment: Any = lambda moment: moment) -> list[Any]:
    """Return all that a binding is, but for its flow, with its times as dates."""
    contact, instance, life = binding.contact, binding.instance, binding.life
    return [
        *(contact.display, contact.raw_uri, contact.raw_params, binding.params, binding.q),
        *(binding.call_id, binding.cseq, binding.path, binding.silence, binding.event, life.uri),
        instance and [getattr(instance, name) for name in Instance.__slots__],
        *(round(moment(time), 3) for time in (binding.expires_at, life.since)),
    ]


class RoundTripTests(SynchronousTestCase):
    """What is written is read, by a process whose monotonic clock is another one."""

    def through(self, *given: Binding) -> tuple[list[Binding], list[Binding]]:
        """Write and read."""
        data = msgspec.msgpack.encode(kept_record(given, BEFORE, Flows()))
        return recalled(msgspec.msgpack.decode(data), AFTER, Flows())

    @given(st.lists(bindings, max_size=4))
    def test_all_that_a_binding_is(self, given: list[Binding]) -> None:
        standing, lost = self.through(*given)
        self.assertEqual(lost, [])
        before = [facts(binding, BEFORE.date) for binding in given]
        self.assertEqual([facts(binding, AFTER.date) for binding in standing], before)
        flows = [binding.flow and Flows.flow for binding in given]
        self.assertEqual([binding.flow for binding in standing], flows)

    def test_every_slot_is_thought_of(self) -> None:
        """Whoever adds a fact to a binding finds it missing here."""
        told = "call_id contact cseq event expires_at flow instance life params path q silence"
        self.assertEqual(sorted(Binding.__slots__), told.split())
        told = "first_cseq made reg_id revives_before since urn"
        self.assertEqual(sorted(Instance.__slots__), told.split())
        self.assertEqual(sorted(Life.__slots__), ["since", "uri"])

    def test_the_encoding_is_stable(self) -> None:
        """A file of yesterday is read tomorrow: change this by adding what has a default."""
        instance = [b"urn:x:1", 1, 5, 4, 3, 2]
        kept = [b"", b"sip:a@192.0.2.1", b";q=0.5", b";q=0.5", 0.5, 1_000_600.0, b"c", 7]
        kept += [
            [b"<sip:p;lr>"],
            b"udp",
            instance,
            150.0,
            b"sip:a@192.0.2.1",
            1_000_100.0,
            b"refreshed",
        ]
        ((binding,), lost) = recalled([1, [kept]], AFTER, Flows())
        self.assertEqual((binding.expires_at, binding.life.since), (100.0, -400.0))
        self.assertEqual((binding.flow, binding.path, lost), (Flows.flow, (b"<sip:p;lr>",), []))
        data = msgspec.msgpack.encode(kept_record([binding], AFTER, Flows()))
        self.assertEqual(msgspec.msgpack.decode(data), [1, [kept]])

    def binding(self, flow: Any) -> Binding:
        """Return a binding that is reached by a flow."""
        contact = parse_name_addr(b"<sip:alice@192.0.2.1>")
        return Binding(contact, b"", 1.0, 60.0, b"c", 1, (), flow)

    def test_a_connection_ends_with_the_process(self) -> None:
        standing, (lost,) = self.through(self.binding(Flow(reliable=True)))
        self.assertEqual((standing, lost.contact.raw_uri), ([], b"sip:alice@192.0.2.1"))

    def test_a_listener_that_is_gone(self) -> None:
        kept = kept_record([self.binding(Flow())], BEFORE, Flows())
        flows = Flows()
        flows.find_again = lambda name: None  # type: ignore[method-assign]
        standing, lost = recalled(kept, AFTER, flows)
        self.assertEqual((standing, len(lost)), ([], 1))


class BrokenTests(SynchronousTestCase):
    """A record that cannot be read is a ValueError, and nothing else."""

    def test_records_that_are_none(self) -> None:
        (good,) = msgspec.to_builtins(
            kept_record([RoundTripTests().binding(None)], BEFORE, Flows()), builtin_types=(bytes,)
        )[1]
        for name, value in {
            "nothing": None,
            "no version": [],
            "another version": [2, [good]],
            "another type": [1, [[*good[:4], "much", *good[5:]]]],
            "a date that is none": [1, [[*good[:5], float("nan"), *good[6:]]]],
            "too short": [1, [good[:-1]]],
            "a URI that is none": [1, [[good[0], b"sip:", *good[2:]]]],
            "a flow that is none": [1, [[*good[:9], b"udp", *good[10:]]]],
        }.items():
            flows = Flows()
            flows.find_again = self.broken  # type: ignore[method-assign]
            self.assertRaises(ValueError, recalled, value, AFTER, flows)
            self.assertTrue(name)
        recalled([1, [good]], AFTER, Flows())

    def broken(self, name: bytes) -> Any:
        """Find that a name is none."""
        raise ValueError

    @given(st.recursive(st.none() | st.integers() | st.floats() | st.binary(), st.lists))
    def test_anything(self, value: Any) -> None:
        try:
            recalled(value, AFTER, Flows())
        except ValueError:
            return
        self.assertEqual(value[0], 1)
