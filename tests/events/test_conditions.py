"""Conditional notification (RFC 5839): every rule for the notifier, and the RFC's figures."""

from __future__ import annotations

from sipproxy.events.conditions import (
    BODILESS,
    SUPPRESSED,
    WHOLE,
    Condition,
    asked_condition,
    entity_tag,
)
from sipproxy.interfaces.events import Body
from sipproxy.sip.grammar import is_token
from sipproxy.sip.message import Request
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

OLD, NOW, NEW = b"ffee2", b"ca89a", b"b4cf7"


class AfterSubscribeTest(TableCase):
    """What becomes of the NOTIFY that answers a SUBSCRIBE."""

    @rfc(5839, "6.3", "within a dialog a true condition suppresses the NOTIFY, and 204 is answered")
    @rfc(5839, "6.2", "outside of a dialog a true condition suppresses the body alone")
    @rfc(5839, "6.3", "a condition of * is always true")
    @rows(
        {
            "none, in the dialog": (None, True, WHOLE),
            "none, outside": (None, False, WHOLE),
            "the current one, in the dialog": (NOW, True, SUPPRESSED),
            "the current one, outside": (NOW, False, BODILESS),
            "an old one, in the dialog": (OLD, True, WHOLE),
            "an old one, outside": (OLD, False, WHOLE),
            "in another case": (NOW.upper(), True, WHOLE),
            "the beginning of it": (NOW[:4], True, WHOLE),
            "any, in the dialog": (b"*", True, SUPPRESSED),
            "any, outside": (b"*", False, BODILESS),
        }
    )
    def test_rule(self, tag: bytes | None, in_dialog: bool, expected: int) -> None:
        """Whether it begins, extends or ends the subscription makes no difference."""
        self.assertEqual(Condition(tag).after_subscribe(NOW, in_dialog), expected)


class AfterChangeTest(TableCase):
    """What becomes of every other NOTIFY."""

    @rfc(5839, "6.3", "as long as the condition is true, all NOTIFYs are suppressed")
    @rfc(5839, "6.2", "a new state of the subscription is told without the body")
    @rows(
        {
            "none": (None, False, WHOLE),
            "none, a new status": (None, True, WHOLE),
            "true": (NOW, False, SUPPRESSED),
            "true, a new status": (NOW, True, BODILESS),
            "false": (OLD, False, WHOLE),
            "false, a new status": (OLD, True, WHOLE),
            "any": (b"*", False, SUPPRESSED),
            "any, a new status": (b"*", True, BODILESS),
        }
    )
    def test_rule(self, tag: bytes | None, is_status_new: bool, expected: int) -> None:
        """The same where the NOTIFY is due by a minimum rate (RFC 6446 §6.2)."""
        condition = Condition(tag)
        for _ in range(2):
            self.assertEqual(condition.after_change(NOW, is_status_new), expected)

    def test_what_was_false_once_stays_so(self) -> None:
        """The state was NOW, is NEW, which the watcher is told, and then as it was before."""
        condition = Condition(NOW)
        self.assertEqual(condition.after_subscribe(NOW, True), SUPPRESSED)
        self.assertEqual(condition.after_change(NEW, False), WHOLE)
        self.assertEqual(condition.after_change(NOW, False), WHOLE)

    def test_any_holds_for_ever(self) -> None:
        condition = Condition(b"*")
        for tag in (OLD, NOW, NEW, NOW):
            self.assertEqual(condition.after_change(tag, False), SUPPRESSED)


class HeaderTest(TableCase):
    """Suppress-If-Match as it comes (§7.3)."""

    def asked(self, *values: str) -> Condition:
        """Return the condition of a SUBSCRIBE."""
        headers = [(b"Suppress-If-Match", value.encode()) for value in values]
        return asked_condition(Request.build(b"SUBSCRIBE", b"sip:a@b.test", headers))

    def test_none(self) -> None:
        self.assertFalse(self.asked().holds(NOW))

    def test_example(self) -> None:
        """§5.2: an entity-tag, and the wildcard."""
        self.assertTrue(self.asked("b4cf7").holds(NEW))
        self.assertTrue(self.asked("*").holds(NOW))

    @rfc(5839, "5.2", "a SUBSCRIBE has a single condition")
    @rows(
        {
            "empty": ("",),
            "two": ("a, b",),
            "two lines": ("a", "a"),
            "quoted": ('"a"',),
            "with a parameter": ("a;b",),
            "two words": ("a b",),
        }
    )
    def test_malformed(self, *values: str) -> None:
        """400 (RFC 3261 §21.4.1)."""
        self.refuses(400, self.asked, *values)


class EntityTagTest(TableCase):
    """The SIP-ETag of what is sent."""

    PIDF, DIFF = b"application/pidf+xml", b"application/pidf-diff+xml"

    @rfc(5839, "6.1", "an entity-tag is a token, and never *")
    @rows({"octets": bytes(range(256)), "empty": b"", "any": b"*", "a token": b"b4cf7"})
    def test_token(self, tag: bytes) -> None:
        """Whatever a package takes for a tag."""
        made = entity_tag(Body(self.PIDF, b"<presence/>", tag))
        self.assertTrue(is_token(made))
        self.assertNotEqual(made, b"*")

    @rfc(5839, "6.1", "an entity-tag stands for one presentation of the state")
    @rfc(5839, "4", "whatever changes of the entity, its Content-Type too, changes the tag")
    def test_one_for_each(self) -> None:
        bodies = [Body(kind, b"", tag) for kind in (self.PIDF, self.DIFF) for tag in (b"1", b"2")]
        tags = {entity_tag(body) for body in (*bodies, None)}
        self.assertEqual(len(tags), 5)

    @rfc(5839, "4", "the tag of a difference is that of the whole state")
    def test_a_difference_has_the_tag_of_its_state(self) -> None:
        whole, difference = Body(self.DIFF, b"<full/>", b"1"), Body(self.DIFF, b"<diff/>", b"1")
        self.assertEqual(entity_tag(whole), entity_tag(difference))

    def test_remade_it_is_the_same(self) -> None:
        """§6.1: we have to be able to calculate it again, in another process even."""
        expected = b"9e357ce555b398a373ad9cf8a2538344"
        for data in (b"", b"x"):
            self.assertEqual(entity_tag(Body(self.PIDF, data, b"1")), expected)


class FigureTest(TableCase):
    """The message flows that the RFC draws."""

    def test_1(self) -> None:
        """Figure 1: a subscription, its refresh, a change, its end."""
        self.assertEqual(Condition(None).after_subscribe(OLD, False), WHOLE)  # (3)
        refresh = Condition(OLD)
        self.assertEqual(refresh.after_subscribe(OLD, True), SUPPRESSED)  # (6): 204
        self.assertEqual(refresh.after_change(NOW, False), WHOLE)  # (7)
        self.assertEqual(Condition(NOW).after_subscribe(NOW, True), SUPPRESSED)  # (10): 204

    def test_3(self) -> None:
        """Figure 3: polling."""
        self.assertEqual(Condition(None).after_subscribe(b"f2e45", False), WHOLE)  # (3)
        self.assertEqual(Condition(b"f2e45").after_subscribe(b"f2e45", False), BODILESS)  # (7)

    def test_4(self) -> None:
        """Figure 4: resuming, where the state is the same and where it is not."""
        self.assertEqual(Condition(b"ega23").after_subscribe(b"ega23", False), BODILESS)  # (3)
        self.assertEqual(Condition(b"ega23").after_subscribe(NEW, False), WHOLE)

    def test_5_and_6(self) -> None:
        """Figures 5 and 6: refreshing and terminating."""
        for tag in (b"aba91", b"ega23"):
            self.assertEqual(Condition(tag).after_subscribe(tag, True), SUPPRESSED)  # (2): 204
