"""What watchers are sent: in parts (RFC 5263 §4.4), and as their filters ask (RFC 4660 §5.3)."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from lxml import etree

from sipproxy.interfaces.events import ALLOW, POLITE_BLOCK, Body, Publication, Verdict
from sipproxy.presence.partial import DIFF, FULL, PIDF_DIFF, compact
from sipproxy.presence.patches import patched
from tests.documents import assert_valid
from tests.events.test_filters import filter_set, subscribe
from tests.presence.fakes import ALICE, PIDF_XML, Agent, Subscription, person, pidf, service
from tests.presence.trees import shape
from tests.rfc import rfc
from tests.sip.tables import TableCase

OPEN = '<filter id="1"><what><include>//p:tuple[p:status/p:basic="open"]</include></what></filter>'
TO_OPEN = (
    '<filter id="1"><trigger><changed to="open">//p:basic</changed></trigger></filter>'
)  # fmt: skip


class Reader:
    """A watcher that does as RFC 5263 §4.5 says, and notes what it is sent."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.root: etree._Element | None = None
        self.version = 0
        self.bodies: list[Body] = []

    def take(self, body: Body) -> None:
        """Take a body: a document, or changes to the one it has."""
        self.bodies.append(body)
        root = assert_valid(body.data)
        if body.media_type == PIDF_XML:
            self.root = root
            return
        version = int(root.get("version", ""))
        if root.tag == FULL:
            assert version > self.version
            del root.attrib["version"]
            self.root = root
        else:
            assert root.tag == DIFF and version == self.version + 1, (self.version, body.data)
            assert self.root is not None
            self.root = patched(self.root, list(root))
        self.version = version

    @property
    def told(self) -> list[str]:
        """What kinds of documents it was sent, with their versions."""
        names = []
        for body in self.bodies:
            root = etree.fromstring(body.data)
            names.append(f"{etree.QName(root).localname} {root.get('version', '')}".strip())
        return names


class ViewCase(TableCase):
    """Alice publishes; watchers are told."""

    def setUp(self) -> None:
        self.agent = Agent()
        self.publication: Publication | None = None
        self.publish(service("t1"), service("t2", "closed"))

    def publish(self, *parts: str) -> None:
        """Publish in place of what was."""
        self.publication = self.agent.publish(pidf(*parts), self.publication)

    def watch(
        self, media_type: bytes = PIDF_DIFF, filters: str = "", name: bytes = b"bob"
    ) -> Reader:
        """Subscribe."""
        subscription = self.agent.watch(b"sip:%b@example.test" % name)
        subscription.media_type = media_type
        if filters:
            self.filter(subscription, filters)
        return Reader(subscription)

    def filter(self, subscription: Subscription, filters: str) -> None:
        """Send a filter with a SUBSCRIBE."""
        request = subscribe(filter_set(filters))
        subscription.terms = self.agent.package.terms(request, ALICE, subscription.terms)

    def tell(self, *readers: Reader, is_full: bool = False) -> list[Body | None]:
        """Compose once, and tell watchers."""
        state, bodies = self.agent.state(), []
        for reader in readers:
            asked: Any = reader.subscription
            body = self.agent.package.render(state, asked, is_full)
            bodies.append(body)
            if body is not None:
                reader.take(body)
            elif is_full:
                reader.root = None  # a NOTIFY without a body
        return bodies


class PartsTest(ViewCase):
    """RFC 5263 §4.4."""

    @rfc(5263, "4.4", "the first document in parts is pidf-full, with version 1")
    @rfc(5263, "4.4", "the version rises by one with each document")
    def test_full_then_differences(self) -> None:
        bob = self.watch()
        self.tell(bob, is_full=True)
        self.publish(service("t1"), service("t2", "open"))
        self.tell(bob)
        self.publish(service("t1"), service("t2", "open"), service("t3"))
        self.tell(bob)
        self.assertEqual(bob.told, ["pidf-full 1", "pidf-diff 2", "pidf-diff 3"])
        self.assertEqual({body.media_type for body in bob.bodies}, {PIDF_DIFF})

    @rfc(5263, "4.4", "what follows a SUBSCRIBE is a full document, and the version is not reset")
    def test_full_after_a_refresh(self) -> None:
        bob = self.watch()
        self.tell(bob, is_full=True)
        self.tell(bob, is_full=True)
        self.publish(service("t1", "closed"))
        self.tell(bob, is_full=True)
        self.publish(service("t1", "open"))
        self.tell(bob)
        self.assertEqual(
            bob.told, ["pidf-full 1", "pidf-full 2", "pidf-full 3", "pidf-diff 4"]
        )  # fmt: skip

    def test_a_difference_shows_what_the_document_does(self) -> None:
        bob, carol = self.watch(), self.watch(PIDF_XML, name=b"carol")
        self.tell(bob, carol, is_full=True)
        for parts in (
            [service("t2", "open"), service("t1")],
            [service("t2", "open", more="<rpid:class>x</rpid:class>"), "<note>n</note>"],
            [service("t2", "open", more="<rpid:class>y</rpid:class>"), "<note>n</note>",
             person("p", "<rpid:activities><rpid:busy/></rpid:activities>")],
        ):  # fmt: skip
            self.publish(*parts)
            first, second = self.tell(bob, carol)
            assert first is not None and second is not None and bob.root is not None
            assert carol.root is not None
            self.assertEqual(first.tag, second.tag)
            self.assertEqual(
                [shape(child) for child in bob.root],
                [shape(child) for child in compact(carol.root)],
            )

    def test_no_change_has_no_version(self) -> None:
        bob = self.watch()
        self.tell(bob, is_full=True)
        self.assertEqual(self.tell(bob), [None])
        self.publish(service("t1", "closed"), service("t2", "closed"))
        self.publish(service("t1"), service("t2", "closed"))
        self.assertEqual(self.tell(bob), [None])
        self.publish(service("t1"))
        self.tell(bob)
        self.assertEqual(bob.told, ["pidf-full 1", "pidf-diff 2"])

    def test_who_was_told_later_gets_another_difference(self) -> None:
        bob, carol = self.watch(), self.watch(name=b"carol")
        self.tell(bob, carol, is_full=True)
        self.publish(service("t1", "closed"), service("t2", "closed"))
        self.tell(bob)
        self.publish(service("t1", "closed"), service("t2", "open"))
        self.tell(bob, carol)
        self.assertEqual(bob.told, ["pidf-full 1", "pidf-diff 2", "pidf-diff 3"])
        self.assertEqual(carol.told, ["pidf-full 1", "pidf-diff 2"])
        assert bob.root is not None and carol.root is not None
        self.assertEqual(shape(bob.root), shape(carol.root))

    @rfc(5262, "4", "where much has changed it is a full document")
    def test_a_change_of_everything_is_a_full_document(self) -> None:
        self.publish(*(service(f"s{number}") for number in range(20)))
        bob = self.watch()
        self.tell(bob, is_full=True)
        self.publish("<note>gone</note>")
        self.tell(bob)
        self.assertEqual(bob.told, ["pidf-full 1", "pidf-full 2"])

    @rfc(5263, "4.4", "after documents of another type the first in parts is a full one")
    def test_another_type_and_back(self) -> None:
        bob = self.watch()
        self.tell(bob, is_full=True)
        bob.subscription.media_type = PIDF_XML
        self.tell(bob, is_full=True)
        self.publish(service("t1"))
        self.tell(bob)
        bob.subscription.media_type = PIDF_DIFF
        self.publish(service("t1", "closed"))
        self.tell(bob)
        self.assertEqual(bob.told, ["pidf-full 1", "presence", "presence", "pidf-full 2"])

    def test_bodies_are_shared(self) -> None:
        bob, carol, dave = self.watch(), self.watch(name=b"carol"), self.watch(name=b"dave")
        self.tell(dave, is_full=True)
        first = self.tell(bob, carol, dave, is_full=True)
        self.assertIs(first[0], first[1])
        self.assertIsNot(first[0], first[2])
        self.publish(service("t1"))
        second = self.tell(bob, carol, dave)
        self.assertIs(second[0], second[1])
        self.assertEqual(dave.version, 3)

    def test_what_is_remembered_is_shared(self) -> None:
        readers = [self.watch(name=b"w%d" % number) for number in range(3)]
        self.tell(*readers, is_full=True)
        self.assertEqual(len({id(one.subscription.memory.shown) for one in readers}), 1)

    def test_of_whole_documents_nothing_is_remembered(self) -> None:
        bob = self.watch(PIDF_XML)
        self.tell(bob, is_full=True)
        self.publish(service("t1"))
        self.tell(bob)
        self.assertIsNone(bob.subscription.memory)
        self.assertEqual(bob.told, ["presence", "presence"])

    def test_another_view(self) -> None:
        """What a watcher may not see any more is taken out by a difference."""
        self.publish(service("t1"), person("p", "<rpid:class>x</rpid:class>"))
        bob = self.watch()
        self.tell(bob, is_full=True)
        view = bob.subscription.verdict.view._replace(permissions="tuples")  # type: ignore[attr-defined]
        bob.subscription.verdict = Verdict(ALLOW, view)
        self.tell(bob)
        assert bob.root is not None
        self.assertEqual([etree.QName(child).localname for child in bob.root], ["tuple"])

    def test_politely_blocked(self) -> None:
        """It looks as if nothing were known, and as if nothing ever changed."""
        bob = self.watch()
        bob.subscription.verdict = Verdict(POLITE_BLOCK, bob.subscription.verdict.view)
        self.tell(bob, is_full=True)
        self.publish(service("t3"))
        self.assertEqual(self.tell(bob), [None])
        self.assertEqual(bob.told, ["pidf-full 1"])
        self.assertNotIn(b"t1", bob.bodies[0].data)


class FilterTest(ViewCase):
    """RFC 4660 §5.3."""

    def names(self, reader: Reader) -> list[str | None]:
        """Return which tuples a watcher sees."""
        assert reader.root is not None
        return [one.get("id") for one in reader.root.iter("{*}tuple")]

    @rfc(4660, "5.3", "with what alone it is sent whenever anything of it has changed")
    def test_content(self) -> None:
        for media_type in (PIDF_XML, PIDF_DIFF):
            bob = self.watch(media_type, OPEN)
            self.publish(service("t1"), service("t2", "closed"))
            self.tell(bob, is_full=True)
            self.assertEqual(self.names(bob), ["t1"])
            self.publish(service("t1"), service("t2", "closed"), "<note>n</note>")
            self.assertEqual(self.tell(bob), [None])
            self.publish(service("t1"), service("t2", "open"))
            self.tell(bob)
            self.assertEqual(self.names(bob), ["t1", "t2"])

    @rfc(4660, "5.3", "with triggers alone all is sent when one is met")
    @rfc(4660, "5.3.1", "triggers do not count for what follows a SUBSCRIBE")
    def test_trigger(self) -> None:
        for media_type in (PIDF_XML, PIDF_DIFF):
            bob = self.watch(media_type, TO_OPEN)
            self.publish(service("t1"), service("t2", "closed"))
            self.tell(bob, is_full=True)
            self.publish(service("t1", "closed"), service("t2", "closed"))
            self.assertEqual(self.tell(bob), [None])
            self.publish(service("t1", "closed"), service("t2", "open"))
            self.tell(bob)
            self.assertEqual(self.names(bob), ["t1", "t2"])
            self.assertEqual(len(bob.bodies), 2)
            assert bob.root is not None
            self.assertEqual([b.text for b in bob.root.iter("{*}basic")], ["closed", "open"])

    @rfc(4661, "3.6.1", "a trigger compares with what the watcher was sent last")
    def test_a_trigger_compares_with_what_was_sent(self) -> None:
        bob = self.watch(PIDF_XML, TO_OPEN)
        self.tell(bob, is_full=True)
        self.publish(service("t1", "closed"), service("t2", "closed"))
        self.assertEqual(self.tell(bob), [None])
        self.publish(service("t1", "open"), service("t2", "closed"), "<note>n</note>")
        self.assertEqual(self.tell(bob), [None])
        self.tell(bob, is_full=True)
        self.assertIn(b"<note>", bob.bodies[-1].data)

    @rfc(4660, "5.3.1", "where nothing is left the NOTIFY has no body")
    def test_nothing_is_left(self) -> None:
        for media_type in (PIDF_XML, PIDF_DIFF):
            self.publish(service("t1", "closed"))
            bob = self.watch(media_type, OPEN)
            self.assertEqual(self.tell(bob, is_full=True), [None])
            self.publish(service("t1", "closed"), "<note>n</note>")
            self.assertEqual(self.tell(bob), [None])
            self.publish(service("t1", "open"))
            self.tell(bob)
            self.assertEqual(self.names(bob), ["t1"])
            self.assertEqual(bob.version, 1 if media_type == PIDF_DIFF else 0)
            self.publish(service("t1", "closed"))
            self.tell(bob)
            self.assertEqual(self.names(bob), [])
            self.assertEqual(self.tell(bob, is_full=True), [None])

    @rfc(4660, "5.2.2", "a filter persists until it is removed")
    def test_removed(self) -> None:
        bob = self.watch(PIDF_DIFF, OPEN)
        self.tell(bob, is_full=True)
        self.assertEqual(self.names(bob), ["t1"])
        self.filter(bob.subscription, '<filter id="1" remove="true"/>')
        self.tell(bob, is_full=True)
        self.assertEqual(self.names(bob), ["t1", "t2"])
        self.publish(service("t1"))
        self.tell(bob)
        self.assertEqual(bob.told, ["pidf-full 1", "pidf-full 2", "pidf-diff 3"])

    def test_a_refresh_without_a_body_keeps_it(self) -> None:
        bob = self.watch(PIDF_DIFF, OPEN)
        terms = bob.subscription.terms
        self.assertIs(self.agent.package.terms(subscribe(b"", "Subject: x"), ALICE, terms), terms)

    def test_watchers_who_ask_the_same_share_all(self) -> None:
        bob, carol = self.watch(filters=OPEN), self.watch(filters=OPEN, name=b"carol")
        first = self.tell(bob, carol, is_full=True)
        self.assertIs(first[0], first[1])
        self.assertIs(bob.subscription.terms, carol.subscription.terms)
        self.publish(service("t1"), service("t2"))
        second = self.tell(bob, carol)
        self.assertIs(second[0], second[1])

    def test_politely_blocked(self) -> None:
        """The filter is applied to what is shown to those who are."""
        bob = self.watch(PIDF_XML, OPEN)
        bob.subscription.verdict = Verdict(POLITE_BLOCK, bob.subscription.verdict.view)
        self.assertEqual(self.tell(bob, is_full=True), [None])

    def test_what_is_not_granted_is_not_found_either(self) -> None:
        """A filter sees what the rules let through, so it cannot probe what they do not."""
        self.publish(service("t1"), person("p", "<rpid:class>secret</rpid:class>"))
        guess = '//p:tuple[../dm:person/r:class="secret"]'
        asked = f'<filter id="1"><what><include>{guess}</include></what></filter>'
        self.refuses(
            488, self.agent.package.terms, subscribe(filter_set(asked)), ALICE, None
        )  # fmt: skip
        guess = '/p:presence[dm:person/r:class="secret"]/p:tuple'
        bob = self.watch(
            PIDF_XML, f'<filter id="1"><what><include>{guess}</include></what></filter>'
        )
        view = bob.subscription.verdict.view._replace(permissions="tuples")  # type: ignore[attr-defined]
        bob.subscription.verdict = Verdict(ALLOW, view)
        self.assertEqual(self.tell(bob, is_full=True), [None])


class Watchers(RuleBasedStateMachine):
    """Whatever is published, and whoever is told when: who is up to date sees the same."""

    @initialize()
    def begin(self) -> None:
        self.case = ViewCase()
        self.case.setUp()
        self.readers = [
            self.case.watch(media_type, filters, name=b"w%d" % number)
            for number, (media_type, filters) in enumerate(
                [(PIDF_XML, ""), (PIDF_DIFF, ""), (PIDF_DIFF, ""), (PIDF_XML, OPEN),
                 (PIDF_DIFF, OPEN), (PIDF_DIFF, OPEN)]
            )
        ]  # fmt: skip
        self.case.tell(*self.readers, is_full=True)

    @rule(
        services=st.dictionaries(
            st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["open", "closed"]), max_size=4
        ),
        note=st.sampled_from(["", "<note>x</note>", "<note>y</note><note>x</note>"]),
        doing=st.sampled_from(["", "<rpid:away/>", "<rpid:away/><rpid:busy/>", "<rpid:meal/>"]),
    )
    def publish(self, services: dict[str, str], note: str, doing: str) -> None:
        """Publish something else."""
        parts = [service(name, basic) for name, basic in services.items()]
        body = person("p", f"<rpid:activities>{doing}</rpid:activities>")
        self.case.publish(*parts, note, body)

    @rule(who=st.integers(0, 5), is_full=st.booleans())
    def tell(self, who: int, is_full: bool) -> None:
        """Tell one, on a refresh or as it happens."""
        self.case.tell(self.readers[who], is_full=is_full)

    @rule()
    def tell_all(self) -> None:
        """Tell everybody, and compare."""
        self.case.tell(*self.readers)
        for first, *others in (self.readers[:3], self.readers[3:]):
            for other in others:
                assert content(first) == content(other)


def content(reader: Reader) -> Any:
    """Return what a watcher sees; one that never was sent anything sees nothing."""
    if reader.root is None:
        return []
    return [shape(child) for child in compact(reader.root)]


class SequenceTest(TableCase):
    """Random sequences."""

    def test_watchers(self) -> None:
        run_state_machine_as_test(
            Watchers, settings=settings(max_examples=60, stateful_step_count=20, deadline=None)
        )
