"""Who may see what: owner, rules, policy for strangers, and when to ask again (RFC 5025)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.interfaces.events import ALLOW, BLOCK, CONFIRM, POLITE_BLOCK, Verdict, Watcher
from sipproxy.presence.authorization import KIND, LONGEST, Authorization
from sipproxy.presence.permissions import EVERYTHING, Permissions
from sipproxy.presence.settings import Presence
from sipproxy.sip.uri import aor_uri
from sipproxy.transport.identity import Identity
from sipproxy.transport.settings import Listen
from tests.presence.rulesets import (
    NOON,
    choose,
    granted,
    identity,
    one,
    provide,
    rule,
    ruleset,
)
from tests.rfc import rfc

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "rules"
ALICE, BOB, CAROL = b"alice@example.test", b"bob@example.test", b"carol@b.test"


def known(aor: bytes) -> Watcher:
    """Return a watcher who has been authenticated."""
    return Watcher(aor, aor_uri(aor))


class Host:
    """What `Authorization` uses of a server: documents, a notifier that notes, two clocks."""

    def __init__(self) -> None:
        self.identity = Identity(
            ["example.test"], ["sip.example.test"], [Listen("udp", "127.0.0.1")]
        )
        self.notifier = self.log = self.documents = self
        self.judged: list[tuple[bytes, bytes]] = []
        self.errors: list[str] = []
        self.read = 0
        self.monotonic, self.wall = 1000.0, NOON
        self._kept: dict[tuple[bytes, str], dict[str, bytes]] = {}
        self._watchers: list[Callable[[bytes, str], None]] = []

    def now(self) -> float:
        """Return the monotonic time."""
        return self.monotonic

    def pass_time(self, seconds: float) -> None:
        """Let it pass on both clocks."""
        self.monotonic += seconds
        self.wall += seconds

    def judge(self, package: bytes, resource: bytes) -> None:
        """Note that watchers are to be judged anew."""
        self.judged.append((package, resource))

    def error(self, text: str, **values: Any) -> None:
        """Note what the log says."""
        self.errors.append(text.format(**values))

    def names(self, aor: bytes, kind: str) -> list[str]:
        """Return the names of a user's documents."""
        return sorted(self._kept.get((aor, kind), ()))

    def get(self, aor: bytes, kind: str, name: str) -> bytes | None:
        """Return a document."""
        self.read += 1
        return self._kept[aor, kind].get(name)

    def watch(self, changed: Callable[[bytes, str], None]) -> None:
        """Note who wants to know of changes."""
        self._watchers.append(changed)

    def keep(self, data: bytes, name: str = "index", aor: bytes = ALICE, kind: str = KIND) -> None:
        """Keep a document as it is."""
        self._kept.setdefault((aor, kind), {})[name] = data
        for changed in self._watchers:
            changed(aor, kind)

    def drop(self, name: str = "index") -> None:
        """Forget a document of alice's."""
        del self._kept[ALICE, KIND][name]
        for changed in self._watchers:
            changed(ALICE, KIND)


class WithRules(SynchronousTestCase):
    """A test that judges watchers of alice."""

    def setUp(self) -> None:
        self.host = Host()
        self.make()

    def make(self, **settings: Any) -> None:
        """Make what judges, with these settings."""
        host: Any = self.host
        self.authorization = Authorization(host, Presence(**settings), lambda: host.wall)

    def judge(self, watcher: Watcher, sphere: bytes | None = None) -> Verdict:
        """Return the verdict on a watcher."""
        return self.authorization.judge(ALICE, watcher, sphere)

    def handling(self, watcher: Watcher, sphere: bytes | None = None) -> int:
        """Return what becomes of a subscription."""
        return self.judge(watcher, sphere).handling


class Policy(WithRules):
    """The owner, and those of whom no rule speaks."""

    def test_the_owner_sees_everything(self) -> None:
        self.host.keep(ruleset())
        verdict = self.judge(known(ALICE))
        self.assertEqual((verdict.handling, verdict.view, verdict.until), (ALLOW, EVERYTHING, None))
        self.assertEqual(self.authorization.decide(ALICE, known(ALICE), None).policy, "owner")

    def test_who_is_not_the_owner(self) -> None:
        self.host.keep(ruleset())
        for watcher in (
            Watcher(ALICE),
            Watcher(ALICE, b"sip:bob@example.test"),
            Watcher(ALICE, b"tel:+12"),
            Watcher(BOB, b"sip:alice@example.test"),
            Watcher(ALICE, b"no URI"),
        ):
            self.assertEqual(self.handling(watcher), BLOCK, (watcher.aor, watcher.identity))

    def test_each_policy_for_strangers(self) -> None:
        for name, expected in {
            "allow": (ALLOW, EVERYTHING),
            "confirm": (CONFIRM, None),
            "polite-block": (POLITE_BLOCK, None),
            "block": (BLOCK, None),
        }.items():
            self.make(unknown_watchers=name)
            for watcher in (known(BOB), known(CAROL), Watcher(BOB)):
                verdict = self.judge(watcher)
                self.assertEqual((verdict.handling, verdict.view), expected, name)
                self.assertIsNone(verdict.until)
            decision = self.authorization.decide(ALICE, known(BOB), None)
            self.assertEqual((decision.policy, decision.rules), ("unknown_watchers", ()))

    @rfc(5025, "3.2.1", "where no rule says otherwise a subscription is blocked")
    def test_rules_that_do_not_match_block(self) -> None:
        self.make(unknown_watchers="allow")
        for data in (ruleset(), ruleset(rule(one("sip:bob@example.test")))):
            self.host.keep(data)
            self.assertEqual(self.handling(known(CAROL)), BLOCK)

    def test_documents_of_another_kind_say_nothing(self) -> None:
        self.host.keep(ruleset(), kind="resource-lists")
        self.assertEqual(self.handling(known(BOB)), CONFIRM)
        self.assertEqual(self.host.judged, [])


class Rules(WithRules):
    """Rules of a presentity."""

    def test_what_a_rule_grants(self) -> None:
        text = choose("services") + provide("note")
        self.host.keep(ruleset(rule(one("sip:bob@example.test"), text)))
        self.assertEqual(self.judge(known(BOB)).view, granted(text))
        self.assertEqual(self.handling(known(CAROL)), BLOCK)

    def test_only_who_is_allowed_has_a_view(self) -> None:
        for action in ("block", "confirm", "polite-block"):
            self.host.keep(ruleset(rule("", choose("services"), action)))
            self.assertIsNone(self.judge(known(BOB)).view, action)

    def test_those_who_see_the_same_have_one_view(self) -> None:
        everybody = rule("", choose("services"), name="b")
        friends = rule(one("sip:bob@example.test"), choose("services", occurrence_id="t1"))
        self.host.keep(ruleset(friends, everybody))
        views = {self.judge(known(aor)).view for aor in (BOB, CAROL)}
        self.assertEqual(len(views), 1)

    @rfc(5025, "9.7", "all documents of a user are used")
    def test_several_documents(self) -> None:
        self.host.keep(ruleset(rule("", provide("note"), "polite-block")))
        self.host.keep(ruleset(rule(identity("<many/>"), provide("mood"))), name="more")
        view = self.judge(known(BOB)).view
        self.assertEqual(view, Permissions(ALLOW, attributes=frozenset({"note", "mood"})))
        self.assertEqual(self.handling(Watcher(BOB)), POLITE_BLOCK)
        decision = self.authorization.decide(ALICE, known(BOB), None)
        self.assertEqual(
            [(one.document, one.id) for one in decision.rules], [("index", "a"), ("more", "a")]
        )

    def test_sphere(self) -> None:
        self.host.keep(ruleset(rule('<sphere value="work home"/>')))
        for sphere, expected in (
            (b"Work", ALLOW),
            (b"travel", BLOCK),
            (None, BLOCK),
            (b"\xff", BLOCK),
        ):
            self.assertEqual(self.handling(known(BOB), sphere), expected, sphere)

    @rfc(5025, "10", "a document that is not understood reveals nothing")
    def test_a_document_that_cannot_be_read(self) -> None:
        self.make(unknown_watchers="allow")
        self.host.keep(b"damaged")
        self.assertEqual([self.handling(known(BOB)) for _ in range(3)], [BLOCK] * 3)
        expected = (
            "rules index of b'alice@example.test' grant nothing: Malformed XML: it has to be UTF-8"
        )
        self.assertEqual(self.host.errors, [expected])

    def test_a_document_that_takes_too_long(self) -> None:
        """It may have been put where more was allowed."""
        self.make(unknown_watchers="allow", rules=1)
        self.host.keep(ruleset(rule(), rule(name="b")))
        self.assertEqual(self.handling(known(BOB)), BLOCK)
        self.assertIn("1 are allowed by [presence] rules", self.host.errors[0])

    @rfc(5025, "3.1.1.2", "aliases of a user are not related")
    def test_identities(self) -> None:
        self.host.keep(ruleset(rule(one("sip:bob@example.test"))))
        for watcher, expected in (
            (known(BOB), ALLOW),
            (Watcher(BOB), BLOCK),
            (Watcher(b"anonymous@anonymous.invalid", b"sip:bob@example.test"), ALLOW),
            (Watcher(BOB, b"sip:robert@example.test"), BLOCK),
            (Watcher(BOB, b"pres:bob@example.test"), BLOCK),
            (Watcher(BOB, b"sip:bob@sip.example.test"), BLOCK),
            (Watcher(CAROL, b"tel:+12", also=(b"sip:bob@example.test",)), ALLOW),
            (Watcher(BOB, b"sip:bob@"), BLOCK),
        ):
            self.assertEqual(self.handling(watcher), expected, watcher.identity)


class Cached(WithRules):
    """Documents are read when they have changed."""

    def test_once(self) -> None:
        self.host.keep(ruleset(rule()))
        for _ in range(5):
            self.judge(known(BOB))
        self.assertEqual(self.host.read, 1)

    def test_a_change_counts_at_once_and_is_told(self) -> None:
        self.host.keep(ruleset(rule()))
        self.assertEqual(self.handling(known(BOB)), ALLOW)
        self.host.keep(ruleset(rule(action="confirm")))
        self.assertEqual(self.handling(known(BOB)), CONFIRM)
        self.host.drop()
        self.assertEqual(self.handling(known(BOB)), CONFIRM)
        self.assertEqual(self.host.judged, [(b"presence", ALICE)] * 3)


def until(begin: str, end: str) -> str:
    """Return a validity of that day."""
    return f"<validity><from>2027-01-15T{begin}Z</from><until>2027-01-15T{end}Z</until></validity>"


@rfc(4745, "7.4", "a rule is valid while from <= now < until of any pair")
class Boundaries(WithRules):
    """When to ask again; it is 08:00:00 by the wall clock, and 1000 by the host's."""

    def test_until_a_rule_begins_and_ends(self) -> None:
        self.host.keep(ruleset(rule(until("08:10:00", "08:30:00"))))
        verdict = self.judge(known(BOB))
        self.assertEqual((verdict.handling, verdict.until), (BLOCK, 1600.0))
        self.host.pass_time(600.0)
        verdict = self.judge(known(BOB))
        self.assertEqual((verdict.handling, verdict.until), (ALLOW, 2800.0))
        self.host.pass_time(1200.0)
        verdict = self.judge(known(BOB))
        self.assertEqual((verdict.handling, verdict.until), (BLOCK, None))

    def test_only_rules_that_would_match(self) -> None:
        bob = one("sip:bob@example.test")
        self.host.keep(
            ruleset(
                rule(bob + until("08:10:00", "08:30:00")),
                rule('<sphere value="work"/>' + until("08:05:00", "08:30:00"), name="b"),
            )
        )
        self.assertEqual(self.judge(known(BOB)).until, 1600.0)
        self.assertIsNone(self.judge(known(CAROL)).until)
        self.assertEqual(self.judge(known(CAROL), b"work").until, 1300.0)

    def test_a_clock_that_is_set_is_noticed(self) -> None:
        self.host.keep(ruleset(rule(until("20:00:00", "21:00:00"))))
        self.assertEqual(self.judge(known(BOB)).until, 1000.0 + LONGEST)
        self.host.wall += 12 * 3600
        verdict = self.judge(known(BOB))
        self.assertEqual((verdict.handling, verdict.until), (ALLOW, 1000.0 + LONGEST))


class Large(WithRules):
    """Long lists of friends cost no more than short ones."""

    def test_hundreds_of_friends(self) -> None:
        ones = "".join(f'<one id="sip:friend{number}@b.test"/>' for number in range(490))
        exceptions = ones.replace("<one", "<except").replace("friend", "enemy")
        self.host.keep(
            ruleset(
                rule(identity(ones)),
                rule(identity(f'<many domain="b.test">{exceptions}</many>'), name="b"),
            )
        )
        for user, rules in ((b"friend7", 2), (b"enemy7", 0), (b"carol", 1)):
            decision = self.authorization.decide(ALICE, known(user + b"@b.test"), None)
            self.assertEqual(len(decision.rules), rules, user)


class ReadyMade(WithRules):
    """What comes in examples/rules, asked as the operator's guide describes it."""

    def keep(self, name: str) -> None:
        """Give alice one of them."""
        self.host.keep((EXAMPLES / f"{name}.xml").read_bytes(), name)

    def rules(self, watcher: Watcher, sphere: bytes | None = None) -> tuple[int, list[str]]:
        """Return what becomes of a watcher, and by which rules."""
        decision = self.authorization.decide(ALICE, watcher, sphere)
        return decision.verdict.handling, [rule.id for rule in decision.rules]

    def test_everyday(self) -> None:
        self.keep("everyday")
        colleagues = ["colleagues", "ask-me"]
        for watcher, sphere, expected in (
            (known(BOB), None, (ALLOW, ["friends", *colleagues])),
            (known(CAROL), None, (ALLOW, ["friends", "ask-me"])),
            (known(b"dave@example.test"), None, (ALLOW, colleagues)),
            (
                known(b"dave@example.test"),
                b"work",
                (ALLOW, ["colleagues", "colleagues-at-work", "ask-me"]),
            ),
            (known(b"mallory@example.test"), b"work", (BLOCK, [])),
            (known(b"eve@other.test"), None, (POLITE_BLOCK, ["never-there"])),
            (known(b"eve@b.test"), None, (CONFIRM, ["ask-me"])),
            (Watcher(BOB), None, (BLOCK, [])),
        ):
            self.assertEqual(self.rules(watcher, sphere), expected, watcher.aor)
        self.assertEqual(self.judge(known(BOB)).view, EVERYTHING)

    def test_public(self) -> None:
        self.keep("public")
        self.assertEqual(self.rules(Watcher(b"")), (ALLOW, ["everybody"]))

    def test_project_beside_another(self) -> None:
        self.keep("everyday")
        self.keep("project")
        self.assertEqual(self.rules(known(b"eve@b.test")), (ALLOW, ["ask-me", "project"]))
        self.host.pass_time(365 * 86400.0)
        self.assertEqual(self.rules(known(b"eve@b.test")), (CONFIRM, ["ask-me"]))
