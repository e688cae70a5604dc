"""Users who forward to each other, in one domain and through several (RFC 5393 §3, §4, §5)."""

from __future__ import annotations

from itertools import product

from tests.proxy.rings import Ring
from tests.sip.tables import TableCase, rows

BREADTH = 60
THREE = {
    "alice@a.test": ["bob@b.test", "carol@c.test"],
    "bob@b.test": ["alice@a.test", "carol@c.test"],
    "carol@c.test": ["alice@a.test", "bob@b.test"],
}


class RingCase(TableCase):
    """What holds for every ring."""

    def ring(self, names: str, forwards: dict[str, list[str]]) -> Ring:
        """Return a ring."""
        return Ring(self.mktemp(), names, forwards)

    def ends(self, ring: Ring) -> None:
        """It has ended, by itself and before hops were used up; nobody keeps anything of it."""
        self.assertEqual((ring.held, len(ring.waiting)), (0, 0))
        self.assertNotIn(483, ring.statuses)
        self.assertLessEqual(ring.alive, BREADTH)


class LoopTest(RingCase):
    """A loop is answered 482 where it closes, and the answer goes all the way back."""

    @rows({"MESSAGE": "MESSAGE", "INVITE": "INVITE"})
    def test_two(self, method: str) -> None:
        ring = self.ring("ab", {"alice@a.test": ["bob@b.test"], "bob@b.test": ["alice@a.test"]})
        self.assertEqual(ring.send("alice@a.test", method)[-1], 482)
        self.assertEqual(ring.requests[method], 2)
        self.assertEqual(ring.statuses[482], 2)
        self.ends(ring)

    def test_three_in_a_row(self) -> None:
        forwards = {
            "alice@a.test": ["bob@b.test"],
            "bob@b.test": ["carol@c.test"],
            "carol@c.test": ["alice@a.test"],
        }
        ring = self.ring("abc", forwards)
        self.assertEqual(ring.send("alice@a.test"), [482])
        self.assertEqual((ring.requests["MESSAGE"], ring.statuses[482]), (3, 3))
        self.ends(ring)

    def test_a_loop_that_is_entered_from_outside(self) -> None:
        """It closes where it began, not where the sender is."""
        forwards = {
            "alice@a.test": ["bob@b.test"],
            "bob@b.test": ["carol@c.test"],
            "carol@c.test": ["bob@b.test"],
        }
        ring = self.ring("abc", forwards)
        self.assertEqual(ring.send("alice@a.test"), [482])
        self.assertEqual((ring.requests["MESSAGE"], ring.statuses[482]), (3, 3))
        self.ends(ring)

    def test_a_spiral_is_none(self) -> None:
        """Through the same servers again, but to another user (§4.2.2); dora is not there."""
        forwards = {"alice@a.test": ["bob@b.test"], "bob@b.test": ["dora@a.test"]}
        ring = self.ring("ab", forwards)
        self.assertEqual(ring.send("alice@a.test"), [480])
        self.ends(ring)

    def test_within_one_domain(self) -> None:
        """Nothing is sent: each is visited once."""
        ring = self.ring("a", {"alice@a.test": ["bob@a.test"], "bob@a.test": ["alice@a.test"]})
        self.assertEqual(ring.send("alice@a.test"), [480])
        self.assertEqual(sum(ring.requests.values()), 0)
        self.ends(ring)

    def test_twice(self) -> None:
        """A loop of one request says nothing about the next (§4.2.4)."""
        ring = self.ring("ab", {"alice@a.test": ["bob@b.test"], "bob@b.test": ["alice@a.test"]})
        for _ in range(2):
            self.assertEqual(ring.send("alice@a.test"), [482])
        self.assertEqual(ring.requests["MESSAGE"], 4)


class ForkTest(RingCase):
    """Rings that fork: the attack of §3."""

    @rows({"MESSAGE": "MESSAGE", "INVITE": "INVITE"})
    def test_three_that_fork_into_each_other(self, method: str) -> None:
        """Each path ends where it comes back to: 2 + 4 + 8 requests at most, then 482."""
        ring = self.ring("abc", THREE)
        self.assertEqual(ring.send("alice@a.test", method)[-1], 482)
        self.assertLessEqual(ring.requests[method], 14)
        self.assertEqual(ring.statuses[482], ring.requests[method])
        self.ends(ring)

    def test_the_attack(self) -> None:
        """Ten users, each forwarding to the five of the other domain.

        Without a bound that would be five branches at each of seventy hops.
        """
        users = [f"{name}{number}" for name, number in product("ab", range(5))]
        forwards = {
            f"{user}@{user[0]}.test": [f"{o}@{o[0]}.test" for o in users if o[0] != user[0]]
            for user in users
        }
        ring = self.ring("ab", forwards)
        (status,) = ring.send("a0@a.test")
        self.assertIn(status, (440, 482))
        self.assertGreater(ring.statuses[440], 0)
        self.assertLess(ring.requests["MESSAGE"], 2 * BREADTH)
        self.ends(ring)

    def test_a_breadth_that_is_asked_for(self) -> None:
        """§5.3.3: who asks for less gets less."""
        ring = self.ring("abc", THREE)
        self.assertEqual(ring.send("alice@a.test", more="Max-Breadth: 1"), [440])
        self.assertEqual(sum(ring.requests.values()), 0)


class WayTest(RingCase):
    """What Via says of a long way."""

    def test_a_hundred_vias(self) -> None:
        """They come back as they were, beneath none of ours, and one of them that is is no loop."""
        vias = [f"Via: SIP/2.0/UDP 192.0.2.9:{port};branch=z9hG4bK-{port}" for port in range(99)]
        vias[50] = "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-50.l0123456789abcdef"
        ring = self.ring("ab", {"alice@a.test": ["bob@b.test"]})
        self.assertEqual(ring.send("alice@a.test", more="\n".join(vias)), [480])
        (answer,) = ring.phone.received
        found = answer.values(b"via")
        self.assertEqual(len(found), 100)
        self.assertEqual(found[1:], [via.removeprefix("Via: ").encode() for via in vias])
