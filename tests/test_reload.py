"""Another configuration while the server runs: all of it from one request on, or nothing."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sipproxy import config, interfaces
from sipproxy.config import ConfigError
from sipproxy.interfaces.reload import IReconfigurable
from sipproxy.sip.message import Response
from sipproxy.store.memory import MemoryStore
from sipproxy.testing import CONFIG, FakeServer, authorized
from tests.installed import install_also
from tests.test_plugins import Factory, Size

OPEN = CONFIG + "[auth]\nrequired = false\n"
TWO = OPEN.replace('["example.test"]', '["example.test", "b.test"]')
REQUEST = """
    {method} sip:{to} SIP/2.0
    Via: SIP/2.0/UDP {host};rport;branch=z9hG4bK{number}
    Max-Forwards: 70
    From: <sip:{sender}>;tag=1
    To: <sip:{to}>
    Call-ID: {number}
    CSeq: 1 {method}
    Contact: <sip:{host}>
    """


class WithServer(SynchronousTestCase):
    """A test with a server, and with alice at 192.0.2.1, bob at 192.0.2.2."""

    text = OPEN

    def setUp(self) -> None:
        self.number = 0
        self.server = FakeServer(self.mktemp(), self.text, {"bob@example.test": "secret"})
        self.node = self.server.node
        self.alice = self.server.client("192.0.2.1")
        self.bob = self.server.client("192.0.2.2")

    def request(
        self, client: Any, method: str, to: str, sender: str = "alice@example.test", more: str = ""
    ) -> str:
        """Return a new request."""
        self.number += 1
        host = client.flow.host.decode()
        facts = {"method": method, "to": to, "sender": sender, "host": host}
        return REQUEST.format(number=self.number, **facts).rstrip() + f"\n    {more}\n"

    def status(self, client: Any, method: str, to: str, *more: str) -> int:
        """Send a request, and return the status of what came for it last."""
        client.clear()
        client.send(self.request(client, method, to, *more))
        answers = [one for one in client.received if isinstance(one, Response)]
        return answers[-1].status if answers else 0

    def register(self, aor: str = "bob@example.test") -> int:
        """Register bob."""
        return self.status(self.bob, "REGISTER", aor, aor)

    def refused(self, text: str) -> str:
        """Reload what cannot be; return why, once it is sure that nothing has changed."""
        before = vars(self.node).copy()
        audiences = [list(one) for one in self.node.audiences]
        error = self.assertRaises(ConfigError, self.server.reload, text)
        self.assertEqual(vars(self.node), before)
        self.assertEqual(self.node.audiences, audiences)
        self.assertIs(self.node.layer.user, before["front"])
        return f"{error.key}: {error.problem}"


class Domains(WithServer):
    """Who we are."""

    text = TWO

    def test_a_new_domain_is_served(self) -> None:
        to = "bob@c.test"
        self.assertEqual(self.status(self.alice, "REGISTER", to, to), 403)
        self.server.reload(TWO.replace('"b.test"', '"c.test"'))
        self.assertEqual(self.status(self.alice, "REGISTER", to, to), 200)

    def test_a_removed_domain_is_a_foreign_one(self) -> None:
        foreign = self.status(self.alice, "MESSAGE", "bob@foreign.test", "x@foreign.test")
        self.assertEqual(self.register("bob@b.test"), 200)
        self.server.reload(OPEN)
        for sender in ("bob@b.test", "x@foreign.test"):
            self.assertEqual(self.status(self.alice, "MESSAGE", "bob@b.test", sender), foreign)

    def test_an_alias(self) -> None:
        self.register()
        text = OPEN.replace("[[listen]]", 'aliases = ["sip.example.test"]\n[[listen]]', 1)
        self.assertEqual(self.status(self.alice, "MESSAGE", "bob@sip.example.test"), 500)
        self.server.reload(text)
        self.bob.clear()
        self.status(self.alice, "MESSAGE", "bob@sip.example.test")
        self.assertEqual(self.bob.received[0].method, b"MESSAGE")  # type: ignore[union-attr]

    def test_bindings_stay(self) -> None:
        self.register()
        bindings = self.node.location.bindings(b"bob@example.test")
        self.server.reload(OPEN)
        self.assertEqual(self.node.location.bindings(b"bob@example.test"), bindings)


class Under(WithServer):
    """A request that is under way has begun under the configuration before."""

    def test_an_answer_finds_its_way(self) -> None:
        self.register()
        self.bob.clear()
        self.alice.clear()
        self.alice.send(self.request(self.alice, "MESSAGE", "bob@example.test"))
        self.server.reload(OPEN.replace("example.test", "c.test"))
        self.bob.answer(200)
        self.assertEqual(self.alice.received[-1].status, 200)  # type: ignore[union-attr]

    def test_it_goes_on_through_the_filters_that_it_met_first(self) -> None:
        slow: Deferred[None] = Deferred()
        Waiting.slow, Waiting.seen = slow, []
        install_also(self, [Factory(n, interfaces.IRequestFilter, Waiting) for n in ("one", "two")])
        self.server.reload(OPEN + '[proxy]\nfilters = ["one", "two"]\n')
        self.alice.send(self.request(self.alice, "MESSAGE", "bob@example.test"))
        self.server.reload(OPEN + '[proxy]\nfilters = ["two"]\n')
        slow.callback(None)
        self.assertEqual(Waiting.seen, ["one", "two"])

    def test_what_was_counted_goes_on(self) -> None:
        """And what is under way counts there, too."""
        core, refused = self.node.core, self.node.pressure.refused
        self.server.reload(OPEN + "[proxy]\nmax_forwards = 20\n")
        self.assertIsNot(self.node.core, core)
        self.assertIs(self.node.core.answers, core.answers)
        self.assertIs(self.node.core.limited, core.limited)
        self.assertIs(self.node.pressure.refused, refused)


@implementer(interfaces.IRequestFilter)
class Waiting:
    """A filter that takes its time."""

    slow: ClassVar[Any] = None
    seen: ClassVar[list[str]] = []

    def __init__(self, name: str) -> None:
        self.name = name

    def request(self, request: Any, sender: Any) -> Any:
        """Note it, and wait."""
        self.seen.append(self.name)
        return self.slow if self.name == "one" else None


class Settings(WithServer):
    """What takes effect, table by table."""

    def test_auth(self) -> None:
        self.assertEqual(self.register(), 200)
        text = CONFIG + '[auth]\nalgorithms = ["MD5"]\n'
        self.server.reload(text)
        self.assertEqual(self.register(), 401)
        (challenge,) = self.bob.received
        self.assertEqual(len(challenge.raw_values(b"www-authenticate")), 1)
        self.server.reload(CONFIG + "[auth]\nnonce_lifetime = 100\n")
        again = self.request(self.bob, "REGISTER", "bob@example.test", "bob@example.test")
        self.bob.send(authorized(again, challenge, "bob", "secret"))
        self.assertEqual(self.bob.received[-1].status, 200)  # type: ignore[union-attr]

    def test_federation_and_routes(self) -> None:
        sent = ("MESSAGE", "bob@example.test", "x@far.test")
        self.assertEqual(self.status(self.alice, *sent), 403)
        self.server.reload(OPEN + '[federation]\ninbound = "open"\n')
        self.assertEqual(self.status(self.alice, *sent), 480)
        route = '[[route]]\ndomain = "far.test"\nto = "sip:192.0.2.9"\nfrom = ["192.0.2.1"]\n'
        self.server.reload(OPEN + route)
        self.assertEqual(self.status(self.alice, *sent), 480)
        far = self.server.client("192.0.2.9")
        self.status(self.alice, "MESSAGE", "x@far.test")
        self.assertEqual(len(far.received), 1)

    def test_proxy(self) -> None:
        self.register()
        self.server.reload(OPEN + "[proxy]\nmax_forwards = 20\npatience = 1.0\n")
        self.bob.clear()
        text = self.request(self.alice, "MESSAGE", "bob@example.test")
        self.alice.send(text.replace("    Max-Forwards: 70\n", ""))
        self.assertEqual(self.bob.received[0].max_forwards, 20)  # type: ignore[union-attr]
        self.server.advance(1.2)
        self.assertEqual(self.alice.received[-1].status, 480)  # type: ignore[union-attr]

    def test_handlers(self) -> None:
        self.server.reload(OPEN + '[proxy]\nhandlers = ["publish", "subscribe"]\n')
        self.assertNotEqual(self.register(), 200)

    def test_limits(self) -> None:
        self.server.reload(OPEN + "[limits]\nsource_rate = 1\nunlimited = []\ntransactions = 9\n")
        self.assertEqual([self.register(), self.register()], [200, 503])
        self.assertEqual(self.node.layer.limit, 9)

    def test_no_tape(self) -> None:
        self.server.reload(OPEN + "[limits]\ntape = 0\n")
        self.assertEqual((self.node.tape, self.node.layer.tape), (None, None))
        self.server.reload(OPEN)
        self.register()
        assert self.node.tape is not None
        self.assertEqual(len(self.node.tape), 1)

    def test_a_collector(self) -> None:
        for end in ("[hep]\ncollector = '127.0.0.1:1'\n", ""):
            self.server.reload(OPEN + end)
            self.register()
        self.assertIsNone(self.node._collector)

    def test_linger(self) -> None:
        self.server.reload(OPEN + "[transactions]\nlinger = 1.0\n")
        self.register()
        self.server.advance(1.2)
        self.assertEqual(len(self.node.layer), 0)

    def test_dns(self) -> None:
        resolver = self.node.network.resolver
        self.server.reload(OPEN + "[dns]\nprivate = true\n")
        self.assertIs(self.node.network.resolver, resolver)
        self.assertFalse(resolver.is_inside("10.0.0.1"))

    def test_the_registrar(self) -> None:
        self.server.reload(OPEN + "[plugin.registrar]\nmax_expires = 100\ndefault_expires = 80\n")
        self.register()
        self.assertIn(b"expires=80", self.bob.received[0].value(b"contact") or b"")

    def test_documents(self) -> None:
        self.server.reload(OPEN + "[plugin.documents]\nmax_size = 10\n")
        put = self.node.documents.put
        error = self.assertRaises(
            ValueError, put, b"a@example.test", "pres-rules", "index", b"x" * 11
        )
        self.assertIn("10 are allowed", str(error))


class Watching(WithServer):
    """Subscriptions and publications go on, and follow."""

    def setUp(self) -> None:
        WithServer.setUp(self)
        self.subscribe()

    def subscribe(self, event: str = "presence") -> None:
        """Have alice watch bob."""
        more = f"Event: {event}\n    Expires: 600"
        self.assertEqual(
            self.status(self.alice, "SUBSCRIBE", "bob@example.test", "alice@example.test", more),
            200,
        )
        self.alice.answer(200)

    def told(self, text: str) -> list[bytes]:
        """Reload; return the states that alice is told of then."""
        self.alice.clear()
        self.server.reload(text)
        states = []
        for _ in range(10):
            if self.alice.received:
                (notify,) = self.alice.received
                states.append((notify.value(b"subscription-state") or b"").partition(b";")[0])
                self.alice.answer(200)
                self.alice.clear()
            self.server.advance(1)
        return states

    def test_another_policy(self) -> None:
        text = OPEN + '[presence]\nunknown_watchers = "{}"\n'
        self.assertEqual(self.told(text.format("allow")), [b"active"])
        self.assertEqual(self.told(text.format("confirm")), [b"pending"])
        self.assertEqual(self.told(text.format("block")), [b"terminated"])
        self.assertEqual(len(self.node.notifier), 0)

    def test_what_is_shown(self) -> None:
        text = OPEN + '[presence]\nunknown_watchers = "allow"\nnotify_interval = 0.0\n'
        self.told(text)
        self.register()
        self.alice.answer(200)
        self.assertEqual(self.told(text + "registrations = false\n"), [b"active"])

    def test_who_knows_it_is_told_nothing(self) -> None:
        self.assertEqual(self.told(OPEN + "[events]\nmin_expires = 50\n"), [])
        self.assertEqual(self.told(OPEN + "[proxy]\nmax_breadth = 7\n"), [])

    def test_a_package_that_is_no_more(self) -> None:
        self.assertEqual(self.told(OPEN + '[events]\npackages = ["reg"]\n'), [b"terminated"])
        more = "Event: presence"
        asked = ("SUBSCRIBE", "bob@example.test", "alice@example.test", more)
        self.assertEqual(self.status(self.alice, *asked), 489)
        self.assertEqual(self.told(OPEN), [])
        self.subscribe()

    def test_watcher_information_goes_on(self) -> None:
        own = ("bob@example.test", "bob@example.test", "Event: presence.winfo\n    Expires: 600")
        self.assertEqual(self.status(self.bob, "SUBSCRIBE", *own), 200)
        self.bob.answer(200)
        listeners = len(self.node.notifier.audiences[0])
        self.server.reload(OPEN + "[events]\nwinfo_interval = 0.0\n")
        self.bob.clear()
        self.subscribe()
        self.assertEqual(len(self.bob.received), 1)
        self.assertEqual(len(self.node.notifier.audiences[0]), listeners)
        self.server.reload(OPEN + "[events]\npackages = []\n")
        self.assertEqual(self.node.notifier.audiences[0], [])

    def test_notifies_follow_max_forwards(self) -> None:
        self.told(OPEN + '[presence]\nunknown_watchers = "allow"\n')
        text = OPEN + '[presence]\nunknown_watchers = "confirm"\n[proxy]\nmax_forwards = 9\n'
        self.alice.clear()
        self.server.reload(text)
        self.assertEqual(self.alice.received[0].max_forwards, 9)  # type: ignore[union-attr]


@implementer(interfaces.IRequestFilter)
class Kept(Service):  # type: ignore[misc]
    """A component that starts, stops, and watches."""

    log: ClassVar[list[str]] = []

    def __init__(self, options: Size, host: Any) -> None:
        self.size = options.size
        if options.colour == "black":
            raise ValueError("black is no colour")
        host.location.watch(self.moved)

    def moved(self, aor: bytes) -> None:
        """Note it."""
        self.log.append(f"{self.size} moved")

    def request(self, request: Any, sender: Any) -> None:
        """Note it."""
        self.log.append(f"{self.size} filters")

    def startService(self) -> None:
        """Note it."""
        self.log.append(f"{self.size} starts")
        if self.size == 7:
            raise ZeroDivisionError

    def stopService(self) -> None:
        """Note it."""
        self.log.append(f"{self.size} stops")


@implementer(IReconfigurable)
class Lasting(Kept):
    """A component that goes on."""

    def reconfigured(self, options: Size, host: Any) -> Callable[[], None]:
        """Take another size; a colour only with a restart."""
        if options.colour != "red":
            raise ValueError("colour needs a restart")

        def switch() -> None:
            if options.size == 8:
                raise ZeroDivisionError
            self.size = options.size
            self.log.append(f"{self.size} switches")

        return switch


class Made(Factory):
    """Builds components of options and host."""

    def build(self, options: Size, host: Any) -> Any:
        """Build one."""
        return self.kind(options, host)


class Components(WithServer):
    """What others write."""

    text = OPEN + '[proxy]\nfilters = ["{}"]\n[plugin.{}]\nsize = {}\ncolour = "{}"\n'

    def setUp(self) -> None:
        kinds = {"kept": Kept, "lasting": Lasting}
        factories = [Made(n, interfaces.IRequestFilter, kind) for n, kind in kinds.items()]
        install_also(self, factories)
        self.patch(Kept, "log", [])
        self.patch(self, "text", self.of("kept", 1))
        WithServer.setUp(self)
        self.told()

    def of(self, name: str, size: int, colour: str = "red") -> str:
        """Return a configuration with one component."""
        return Components.text.format(name, name, size, colour)

    def told(self) -> list[str]:
        """Return what was noted since the last call."""
        found, Kept.log[:] = list(Kept.log), []
        return found

    def test_the_same_options(self) -> None:
        self.server.reload(self.of("kept", 1) + "[transactions]\nlinger = 1.0\n")
        self.register()
        self.assertEqual(self.told(), ["1 filters", "1 moved"])

    def test_other_options(self) -> None:
        self.server.reload(self.of("kept", 2))
        self.register()
        self.assertEqual(self.told(), ["2 starts", "1 stops", "2 filters", "2 moved"])

    def test_who_we_are(self) -> None:
        """What is built may hold names of ours."""
        self.server.reload(self.of("kept", 1).replace('"example.test"', '"example.test", "b.test"'))
        self.assertEqual(self.told(), ["1 starts", "1 stops"])

    def test_what_stands(self) -> None:
        """A store of others that says nothing of it is never built again."""
        install_also(self, [Factory("attic", interfaces.IStore, lambda name: MemoryStore(0.0))])
        text = OPEN + '[components]\nstore = "attic"\n'
        self.server = FakeServer(self.mktemp(), text)
        self.node, store = self.server.node, self.server.node.store
        self.server.reload(text.replace('"example.test"', '"example.test", "b.test"'))
        self.assertIs(self.node.store, store)
        expected = "plugin.attic: other options need a restart"
        self.assertEqual(self.refused(text + "[plugin.attic]\nsize = 2\n"), expected)

    def test_it_is_left_out(self) -> None:
        self.server.reload(OPEN)
        self.register()
        self.assertEqual(self.told(), ["1 stops"])

    def test_it_goes_on(self) -> None:
        self.server.reload(self.of("lasting", 2))
        self.told()
        self.server.reload(self.of("lasting", 3))
        self.register()
        self.assertEqual(self.told(), ["3 switches", "3 filters", "3 moved"])

    def test_what_needs_a_restart(self) -> None:
        self.server.reload(self.of("lasting", 2))
        expected = "plugin.lasting: colour needs a restart"
        self.assertEqual(self.refused(self.of("lasting", 2, "blue")), expected)

    def test_what_cannot_be_built(self) -> None:
        cases = [
            (self.of("kept", 2, "black"), "plugin.kept: black is no colour"),
            (self.of("kept", 10), "plugin.kept: size has to be at most 9"),
            (self.of("nobody", 1), "plugin.nobody: no component 'nobody' is installed; "),
            (
                self.of("kept", 2) + '[plugin.registrar]\nservice_route = "sip:far.test;lr"\n',
                "plugin.registrar: service_route: 'sip:far.test;lr' is not us",
            ),
            (
                self.of("kept", 2) + '[plugin.reg]\nwatchers = ["@"]\n',
                "plugin.reg: watchers: '@' is no address",
            ),
            (
                self.of("kept", 2) + '[events]\npackages = ["presence", "presence"]\n',
                "events.packages[1]: there are two packages 'presence'",
            ),
            (self.of("kept", 2) + '[components]\nforwarder = "dns"\n', "components.forwarder: "),
        ]
        for text, expected in cases:
            self.assertIn(expected, self.refused(text))
        self.register()
        self.assertEqual(self.told(), ["1 filters", "1 moved"])

    def test_what_fails_where_it_must_not(self) -> None:
        """All else has taken effect, and an operator is told."""
        self.server.reload(self.of("lasting", 2))
        self.server.reload(self.of("lasting", 8) + "[transactions]\nlinger = 1.0\n")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.node.unswitched, ["lasting"])
        self.assertEqual(self.node.layer.timers.linger, 10)
        self.server.reload(self.of("lasting", 3))
        self.assertEqual(self.node.unswitched, [])

    def test_what_cannot_start(self) -> None:
        self.assertRaises(ZeroDivisionError, self.server.reload, self.of("kept", 7))
        self.register()
        self.assertEqual(self.told(), ["7 starts", "7 stops", "1 filters", "1 moved"])

    def test_a_trial_changes_nothing(self) -> None:
        before, audiences = vars(self.node).copy(), [list(one) for one in self.node.audiences]
        changed = self.server._parsed(self.of("kept", 2))
        self.node.reconfigure(changed, [], is_trial=True)
        self.assertEqual(vars(self.node), before)
        self.assertEqual(self.node.audiences, audiences)
        self.assertEqual(self.told(), [])


class Restarts(WithServer):
    """What stands from the start to the end."""

    def test_refused(self) -> None:
        table = [
            ('data = "other"\n' + OPEN, "data", '/other" needs a restart: restart, or put it back'),
            (OPEN + "[store]\ndurable = true\n", "store.durable", "false -> true needs a restart"),
            (OPEN + '[components]\nstore = "sqlite"\n', "components.store", '"memory" -> "sqlite"'),
            (OPEN + '[components]\nlocation = "x"\n', "components.location", '"bindings" -> "x"'),
            (OPEN + '[components]\ndocuments = "x"\n', "components.documents", "needs a restart"),
        ]
        for text, key, problem in table:
            line = self.refused(text)
            self.assertTrue(line.startswith(f"{key}: "), line)
            self.assertIn(problem, line)


class Alike(WithServer):
    """A server that was reloaded answers as one that was started so, whatever it was before."""

    CONFIGURATIONS: ClassVar[list[str]] = [
        OPEN,
        TWO,
        CONFIG,
        CONFIG + '[auth]\nalgorithms = ["MD5"]\n',
        OPEN + '[federation]\ninbound = "open"\n',
        OPEN + '[[route]]\ndomain = "far.test"\nto = "sip:192.0.2.9"\nfrom = ["192.0.2.1"]\n',
        OPEN + '[proxy]\nhandlers = ["publish"]\nrouters = ["dns"]\nmax_forwards = 9\n',
        OPEN + "[events]\npackages = []\n",
        OPEN + '[events]\npackages = ["reg"]\nforward = []\nmin_expires = 600\n',
        OPEN + '[presence]\nunknown_watchers = "block"\ndocument = 10\n',
        OPEN + '[plugin.registrar]\nmin_expires = 3000\nservice_route = "sip:example.test;lr"\n',
        OPEN.replace("[[listen]]", 'aliases = ["far.test"]\n[[listen]]', 1),
        OPEN.replace("127.0.0.1", "127.0.0.2"),
    ]
    PROBES: ClassVar[list[tuple[str, ...]]] = [
        ("OPTIONS", "example.test"),
        ("REGISTER", "alice@example.test", "alice@example.test", "Expires: 2000"),
        ("REGISTER", "alice@b.test", "alice@b.test"),
        ("REGISTER", "alice@far.test", "alice@far.test"),
        ("MESSAGE", "nobody@example.test"),
        ("MESSAGE", "bob@far.test"),
        ("MESSAGE", "bob@127.0.0.2"),
        ("MESSAGE", "nobody@example.test", "x@far.test"),
        ("MESSAGE", "nobody@example.test", "x@foreign.test"),
        ("SUBSCRIBE", "bob@example.test", "alice@example.test", "Event: presence\n    Expires: 60"),
        ("SUBSCRIBE", "bob@example.test", "alice@example.test", "Event: reg\n    Expires: 900"),
        ("SUBSCRIBE", "bob@example.test", "alice@example.test", "Event: dialog"),
        (
            *("PUBLISH", "alice@example.test", "alice@example.test"),
            "Event: presence\n    Content-Type: application/pidf+xml\n\n<presence/>",
        ),
    ]
    CHANGING = re.compile(rb"[0-9a-f]{8,}|(?<=nonce=)[^,\r]*|(?<=Date: )[^\r]*")

    def answers(self) -> list[list[bytes]]:
        """Return what comes of each probe, without what is never the same."""
        found = []
        for probe in self.PROBES:
            self.status(self.alice, *probe)
            found.append([self.CHANGING.sub(b"", data) for data in self.alice.flow.sent])
        return found

    def test_from_each_to_each(self) -> None:
        fresh = []
        for text in self.CONFIGURATIONS:
            self.patch(self, "text", text)
            self.setUp()
            fresh.append(self.answers())
        self.assertEqual(len({repr(one) for one in fresh}), len(fresh))
        for first, text in enumerate(self.CONFIGURATIONS):
            self.patch(self, "text", text)
            for second, other in enumerate(self.CONFIGURATIONS):
                self.setUp()
                self.server.reload(other)
                self.assertEqual(self.answers(), fresh[second], f"from {first} to {second}")


class Decided(SynchronousTestCase):
    """Whoever adds a table decides who follows it."""

    FOLLOWED: ClassVar[dict[str, set[str]]] = {
        "by what is built anew": {"aliases", "auth", "domains", "federation", "proxy", "route"},
        "by what goes on, or is built anew": {"components", "events", "plugin", "presence"},
        "by what stands": {"dns", "hep", "limits", "listen", "tls", "transactions"},
        "by the service": {"http"},
        "not while it runs": {"data", "store"},
    }

    def test_every_table(self) -> None:
        names = [name for tables in self.FOLLOWED.values() for name in tables]
        self.assertEqual(sorted(names), sorted(config.Settings.__struct_fields__))


class Leaving(WithServer):
    """What was made of the configuration before goes with it."""

    def test_nothing_is_kept(self) -> None:
        self.server.reload(TWO)
        old = [weakref.ref(one) for one in (self.node.core, self.node.front, self.node.pressure)]
        self.register()
        self.server.reload(OPEN)
        gc.collect()
        self.assertEqual([one() for one in old], [None] * 3)

    def test_audiences_do_not_grow(self) -> None:
        before = [len(one) for one in self.node.audiences]
        for text in (TWO, OPEN, TWO):
            self.server.reload(text)
        self.assertEqual([len(one) for one in self.node.audiences], before)

    def test_publications_of_a_package_that_is_no_more(self) -> None:
        document = (
            '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@example.test">'
            '<tuple id="a"><status><basic>open</basic></status></tuple></presence>'
        )
        own = "bob@example.test"
        more = f"Event: presence\n    Content-Type: application/pidf+xml\n\n{document}"
        self.assertEqual(self.status(self.bob, "PUBLISH", own, own, more), 200)
        self.server.reload(OPEN + "[transactions]\nlinger = 2.0\n")
        self.assertEqual(len(self.node.publications), 1)
        self.server.reload(OPEN + '[events]\npackages = ["reg"]\n')
        self.assertEqual(len(self.node.publications), 0)
