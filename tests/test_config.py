"""The configuration: each fault is one line that names the file, the key and the remedy."""

from __future__ import annotations

from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.config import ConfigError, Mistake, convert, load, parse

DOMAINS = 'domains = ["example.test"]\n'
LISTEN = '[[listen]]\ntransport = "udp"\naddress = "127.0.0.1"\n'
GOOD = DOMAINS + LISTEN
ROUTE = GOOD + '[[route]]\ndomain = "b.test"\nto = "sip:b.test"\n'

TOP = (
    "aliases, auth, components, data, dns, domains, events, federation, hep, http, limits, "
    "listen, plugin, presence, proxy, "
    "route, store, tls, transactions"
)
WILDCARD = (
    "listen[0].advertise: is required where address is a wildcard: the host[:port] that peers "
    "reach us by"
)


def listen(**keys: str) -> str:
    """Return a configuration whose one listener has these keys."""
    table = {"transport": '"udp"', "address": '"127.0.0.1"', **keys}
    return DOMAINS + "[[listen]]\n" + "".join(f"{key} = {table[key]}\n" for key in table)


def route(**keys: str) -> str:
    """Return a configuration whose one route has these keys."""
    table = {"domain": '"b.test"', "to": '"sip:b.test"', **keys}
    return GOOD + "[[route]]\n" + "".join(f"{key} = {table[key]}\n" for key in table)


# name: (text, what the line says after the name of the file)
FAULTS = {
    "nothing": ("", "domains: is missing; add it"),
    "no TOML": (
        'domains = ["a.test"',
        "is no TOML: Unclosed array (at end of document)",
    ),
    "an unknown key": (
        DOMAINS + 'domain = "a.test"\n' + LISTEN,
        f"domain: unknown key; remove it, or use: {TOP}",
    ),
    "an unknown table": (
        GOOD + "[presense]\n",
        f"presense: unknown key; remove it, or use: {TOP}",
    ),
    "domains: a string": (
        'domains = "a.test"\n' + LISTEN,
        "domains: needs an array [...], not a string in quotes",
    ),
    "domains: a number in it": (
        "domains = [1]\n" + LISTEN,
        "domains[0]: needs a string in quotes, not a whole number",
    ),
    "domains: none": (
        "domains = []\n" + LISTEN,
        'domains: name at least one domain: domains = ["example.test"]',
    ),
    "domains: no name": (
        'domains = ["a.test", "b b"]\n' + LISTEN,
        "domains[1]: 'b b' is no host name",
    ),
    "domains: with a port": (
        'domains = ["a.test:5060"]\n' + LISTEN,
        "domains[0]: 'a.test:5060' is no host name",
    ),
    "domains: not in ASCII": (
        'domains = ["bücher.test"]\n' + LISTEN,
        "domains[0]: 'bücher.test' is no host name: write it as xn--...",
    ),
    "aliases: no name": (
        DOMAINS + 'aliases = ["a/b"]\n' + LISTEN,
        "aliases[0]: 'a/b' is no host name",
    ),
    "data: a number": (
        DOMAINS + "data = 1\n" + LISTEN,
        "data: needs a string in quotes, not a whole number",
    ),
    "listen: missing": (DOMAINS, "listen: is missing; add it"),
    "listen: empty": (
        DOMAINS + "listen = []",
        "listen: nothing to listen on: add a [[listen]] table",
    ),
    "listen: one table": (
        DOMAINS + '[listen]\ntransport = "udp"\naddress = "127.0.0.1"',
        "listen: needs an array [...], not a table",
    ),
    "listen: an unknown key": (
        listen(adress='"::1"'),
        "listen[0].adress: unknown key; remove it, or use: address, advertise, "
        "certificate, port, private_key, transport",
    ),
    "listen: in the second": (
        GOOD + '[[listen]]\ntransport = "udp"',
        "listen[1].address: is missing; add it",
    ),
    "listen: a transport that is none": (
        listen(transport='"sctp"'),
        "listen[0].transport: 'sctp' is none of 'udp', 'tcp', 'tls'",
    ),
    "listen: a name": (
        listen(address='"localhost"'),
        "listen[0].address: 'localhost' is no IPv4 or IPv6 address; names go into advertise",
    ),
    "listen: a port in quotes": (
        listen(port='"5060"'),
        "listen[0].port: needs a whole number, not a string in quotes",
    ),
    "listen: half a port": (
        listen(port="5060.5"),
        "listen[0].port: needs a whole number, not a number",
    ),
    "listen: a large port": (
        listen(port="70000"),
        "listen[0].port: 70000 is no port: 1 to 65535",
    ),
    "listen: a negative port": (
        listen(port="-1"),
        "listen[0].port: -1 is no port: 1 to 65535",
    ),
    "listen: 0.0.0.0": (listen(address='"0.0.0.0"'), WILDCARD),
    "listen: ::": (listen(address='"::"'), WILDCARD),
    "auth: a string": (
        GOOD + '[auth]\nrequired = "yes"',
        "auth.required: needs true or false, not a string in quotes",
    ),
    "auth: an unknown key": (
        GOOD + '[auth]\nrealm = "x"',
        "auth.realm: unknown key; remove it, or use: algorithms, nonce_lifetime, required",
    ),
    "auth: an unknown algorithm": (
        GOOD + '[auth]\nalgorithms = ["MD5", "SHA1"]',
        "auth.algorithms[1]: 'SHA1' is none of 'MD5', 'SHA-256', 'SHA-512-256'",
    ),
    "auth: no algorithm": (
        GOOD + "[auth]\nalgorithms = []",
        'auth.algorithms: offer at least one: ["SHA-256", "MD5"]',
    ),
    "auth: one algorithm twice": (
        GOOD + '[auth]\nalgorithms = ["MD5", "MD5"]',
        "auth.algorithms: names one twice: each challenge needs its own",
    ),
    "auth: no time": (
        GOOD + "[auth]\nnonce_lifetime = 0",
        "auth.nonce_lifetime: has to be more than 0, and finite",
    ),
    "federation: no policy": (
        GOOD + '[federation]\ninbound = "all"',
        "federation.inbound: 'all' is none of 'listed', 'open', 'closed'",
    ),
    "route: no way": (
        GOOD + '[[route]]\ndomain = "b.test"',
        "route[0].to: is missing; add it",
    ),
    "route: no domain": (route(domain='"b b"'), "route[0].domain: 'b b' is no host name"),
    "route: not in ASCII": (
        route(domain='"bücher.test"'),
        "route[0].domain: 'bücher.test' is no host name: write it as xn--...",
    ),
    "route: a domain of ours": (
        route(domain='"Example.test"'),
        "route[0].domain: Example.test is in domains, or in a [[route]] before: remove one",
    ),
    "route: a domain of ours with a final dot": (
        route(domain='"example.test."'),
        "route[0].domain: example.test. is in domains, or in a [[route]] before: remove one",
    ),
    "route: twice": (
        ROUTE + '[[route]]\ndomain = "B.test"\nto = "sip:c.test"',
        "route[1].domain: B.test is in domains, or in a [[route]] before: remove one",
    ),
    "route: a host, no URI": (
        route(to='"b.test"'),
        "route[0].to: 'b.test' is no SIP URI: write \"sip:HOST:PORT\"",
    ),
    "route: a transport that there is none of": (
        route(to='"sip:b.test;transport=sctp"'),
        "route[0].to: 'sip:b.test;transport=sctp': transport can be udp, tcp, tls",
    ),
    "route: sips by UDP": (
        route(to='"sips:b.test;transport=udp"'),
        "route[0].to: 'sips:b.test;transport=udp': transport can be tcp, tls",
    ),
    "listen: TLS without a certificate": (
        listen(transport='"tls"', private_key='"a.key"'),
        "listen[0].certificate: is missing; name the PEM file",
    ),
    "listen: TLS without a key": (
        listen(transport='"tls"', certificate='"a.pem"'),
        "listen[0].private_key: is missing; name the PEM file",
    ),
    "listen: a certificate without TLS": (
        listen(certificate='"a.pem"'),
        'listen[0].certificate: is for transport = "tls" alone: remove it',
    ),
    "tls: a certificate without its key": (
        GOOD + '[tls]\nclient_certificate = "a.pem"',
        "tls: client_certificate and client_private_key need each other",
    ),
    "tls: whom to ask": (
        GOOD + '[tls]\nverify_clients = "always"',
        "tls.verify_clients: 'always' is none of 'none', 'request', 'require'",
    ),
    "route: a source that is none": (
        route(**{"from": '["192.0.2.1", "10.0.0.1/8"]'}),
        "route[0].from[1]: '10.0.0.1/8' is no address and no network: "
        "write 192.0.2.7 or 192.0.2.0/24",
    ),
    "route: from is no array": (
        route(**{"from": '"192.0.2.1"'}),
        "route[0].from: needs an array [...], not a string in quotes",
    ),
    "proxy: an unknown key": (
        GOOD + "[proxy]\npriority = 1",
        "proxy.priority: unknown key; remove it, or use: filters, handlers, longest_ring, "
        "max_breadth, max_forwards, next_group, patience, ring, routers",
    ),
    "proxy: a filter that is no name": (
        GOOD + '[proxy]\nfilters = ["a", 1]',
        "proxy.filters[1]: needs a string in quotes, not a whole number",
    ),
    "proxy: no patience": (
        GOOD + "[proxy]\npatience = 0",
        "proxy.patience: has to be more than 0, and finite",
    ),
    "proxy: a Timer C that is too short": (
        GOOD + "[proxy]\nring = 180",
        "proxy.ring: has to be more than 180: Timer C of RFC 3261 §16.6",
    ),
    "http: a name": (
        GOOD + '[http]\naddress = "localhost"',
        "http.address: 'localhost' is no IPv4 or IPv6 address",
    ),
    "http: no port": (
        GOOD + "[http]\nport = 65536",
        "http.port: 65536 is no port: 1 to 65535",
    ),
    "events: subscriptions shorter than they may be": (
        GOOD + "[events]\nmin_expires = 90000",
        "events: needs 0 < min_expires <= max_expires",
    ),
    "events: nobody may wait": (
        GOOD + "[events]\nwaiting = 0.0",
        "events: waiting has to be more than 0, and finite",
    ),
    "events: nobody may watch": (
        GOOD + "[events]\nper_watcher = 0",
        "events: per_watcher has to be at least 1",
    ),
    "events: publications shorter than they may be": (
        GOOD + "[events]\nmin_publication = 4000",
        "events: needs 0 < min_publication <= default_publication <= max_publication",
    ),
    "events: a publisher who is nobody": (
        GOOD + '[events.publishers]\npresence = ["pbx"]',
        "events: publishers: 'pbx' is no address: write user@domain",
    ),
    "events: a rate that cannot be written": (
        GOOD + "[events]\nhighest_min_rate = 100",
        "events: highest_min_rate has to be more than 0, and less than 100",
    ),
    "events: no publications": (
        GOOD + "[events]\npublications = 0",
        "events: publications has to be at least 1",
    ),
    "events: a publisher without a list": (
        GOOD + '[events.publishers]\npresence = "pbx@a.test"',
        "events.publishers[...]: needs an array [...], not a string in quotes",
    ),
    "presence: a time before now": (
        GOOD + "[presence]\nnotify_interval = -1",
        "presence.notify_interval: has to be 0 or more, and finite",
    ),
    "events: a time before now": (
        GOOD + "[events]\nwinfo_interval = -1",
        "events: winfo_interval has to be 0 or more, and finite",
    ),
    "events: documents about nobody": (
        GOOD + "[events]\nwinfo_watchers = 0",
        "events: winfo_watchers has to be at least 1",
    ),
    "presence: an unknown policy": (
        GOOD + '[presence]\nunknown_watchers = "maybe"',
        "presence.unknown_watchers: 'maybe' is none of 'allow', 'confirm', 'polite-block', 'block'",
    ),
    "proxy: no breadth": (
        GOOD + "[proxy]\nmax_breadth = -1",
        "proxy.max_breadth: has to be more than 0, and finite",
    ),
    "transactions: for ever": (
        GOOD + "[transactions]\nlinger = inf",
        "transactions.linger: has to be more than 0, and finite",
    ),
    "transactions: no number": (
        GOOD + "[transactions]\nlinger = nan",
        "transactions.linger: has to be more than 0, and finite",
    ),
    "limits: half a byte": (
        GOOD + "[limits]\nhead = 1.5",
        "limits.head: needs a whole number, not a number",
    ),
    "limits: nothing": (
        GOOD + "[limits]\nbody = 0",
        "limits.body: has to be more than 0, and finite",
    ),
    "dns: no server": (
        GOOD + '[dns]\nservers = ["192.0.2.53", "ns.test"]',
        """dns.servers[1]: 'ns.test' is no address with a port: write "192.0.2.53:53" or """
        '"[::1]:53"',
    ),
    "dns: no port": (
        GOOD + '[dns]\nservers = ["192.0.2.53:0"]',
        """dns.servers[0]: '192.0.2.53:0' is no address with a port: write "192.0.2.53:53" or """
        '"[::1]:53"',
    ),
    "dns: no time": (
        GOOD + "[dns]\ntimeouts = []",
        "dns.timeouts: needs times of more than 0 seconds: [1.0, 2.0, 3.0]",
    ),
    "dns: no time at all": (
        GOOD + "[dns]\ntimeouts = [1.0, 0.0]",
        "dns.timeouts: needs times of more than 0 seconds: [1.0, 2.0, 3.0]",
    ),
    "dns: no hops": (
        GOOD + "[dns]\nhops = 0",
        "dns.hops: has to be more than 0, and finite",
    ),
    "limits: a rate below nothing": (
        GOOD + "[limits]\nsource_rate = -1",
        "limits.source_rate: has to be 0, for no limit, or more, and finite",
    ),
    "limits: no number": (
        GOOD + "[limits]\nlateness = nan",
        "limits.lateness: has to be 0, for no limit, or more, and finite",
    ),
    "limits: no network": (
        GOOD + '[limits]\nunlimited = ["::1", "peer.test"]',
        "limits.unlimited[1]: 'peer.test' is no address and no network: write 192.0.2.7 or "
        "192.0.2.0/24",
    ),
    "components: an unknown part": (
        GOOD + '[components]\nstorage = "memory"',
        "components.storage: unknown key; remove it, or use: composer, credentials, documents, "
        "forwarder, location, store",
    ),
    "plugin: no table": (
        GOOD + "[plugin]\necho = 1",
        "plugin[...]: needs a table, not a whole number",
    ),
}
NO_ADVERTISE = [
    *("a b", ":5060", "a.test:x", "a.test:0", "a.test:99999", "ü.test", "[::1", "2001:db8::1")
]


class Faults(SynchronousTestCase):
    """Every row of the table."""

    def line(self, text: str) -> str:
        """Return the line that a configuration is refused with."""
        error = self.assertRaises(ConfigError, parse, Path("dir", "s.toml"), text)
        line = str(error)
        self.assertNotIn("\n", line)
        return line

    def test_each_is_one_line(self) -> None:
        for name, (text, expected) in FAULTS.items():
            self.assertEqual(self.line(text), f"dir/s.toml: {expected}", name)

    def test_what_is_advertised_is_a_host(self) -> None:
        for value in NO_ADVERTISE:
            expected = f"dir/s.toml: listen[0].advertise: {value!r} is no host[:port]"
            self.assertEqual(self.line(listen(advertise=f'"{value}"')), expected)

    def test_the_error_names_its_parts(self) -> None:
        error = self.assertRaises(ConfigError, parse, Path("s.toml"), DOMAINS)
        self.assertEqual((error.file, error.key), ("s.toml", "listen"))
        self.assertEqual(error.problem, "is missing; add it")


class Files(SynchronousTestCase):
    """What can be wrong with the file itself."""

    def test_no_file(self) -> None:
        error = self.assertRaises(ConfigError, load, "no/such.toml")
        remedy = "no such file; write one, or name another with --config"
        self.assertEqual(str(error), f"no/such.toml: {remedy}")

    def test_a_directory(self) -> None:
        directory = self.mktemp()
        Path(directory).mkdir()
        error = self.assertRaises(ConfigError, load, directory)
        self.assertTrue(str(error).startswith(f"{directory}: cannot be read: "), error)

    def test_no_text(self) -> None:
        file = Path(self.mktemp())
        file.write_bytes(b'domains = ["\xff"]')
        error = self.assertRaises(ConfigError, load, file)
        self.assertTrue(str(error).startswith(f"{file}: cannot be read: "), error)

    def test_a_good_one(self) -> None:
        file = Path(self.mktemp())
        file.write_text(GOOD)
        config = load(str(file))
        self.assertEqual(config.settings.domains, ("example.test",))
        self.assertEqual(config.data, file.resolve().parent / "var")


class Values(SynchronousTestCase):
    """What is not written has its default, and what is written counts."""

    def test_defaults(self) -> None:
        settings = parse(Path("s.toml"), GOOD).settings
        self.assertEqual(settings.listen[0].port, 5060)

    def test_port_of_tls(self) -> None:
        files = {"certificate": '"a.pem"', "private_key": '"a.key"'}
        settings = parse(Path("s.toml"), listen(transport='"tls"', **files)).settings
        self.assertEqual(settings.listen[0].port, 5061)
        self.assertTrue(settings.auth.required)
        self.assertEqual(settings.auth.algorithms, ("SHA-256", "MD5"))
        self.assertEqual(settings.federation.inbound, "listed")
        self.assertEqual(settings.proxy.routers, ("location", "domains", "dns"))
        self.assertEqual(settings.transactions.linger, 32.0)

    def test_a_wildcard_that_advertises(self) -> None:
        for address in ("0.0.0.0", "::"):
            text = listen(address=f'"{address}"', advertise='"sip.example.test:5080"')
            advertised = parse(Path("s.toml"), text).settings.listen[0].advertise
            self.assertEqual(advertised, "sip.example.test:5080")

    def test_what_may_be_advertised(self) -> None:
        for value in ("a.test", "a.test:5080", "192.0.2.1", "[2001:db8::1]", "[2001:db8::1]:5080"):
            parse(Path("s.toml"), listen(advertise=f'"{value}"'))

    def test_a_whole_number_is_a_number(self) -> None:
        settings = parse(Path("s.toml"), GOOD + "[proxy]\npatience = 3").settings
        self.assertEqual(settings.proxy.patience, 3.0)

    def test_data_is_beside_the_file(self) -> None:
        for data, expected in (("here", "/etc/sipproxy/here"), ("/var/lib/s", "/var/lib/s")):
            text = f'data = "{data}"\n{GOOD}'
            config = parse(Path("/etc/sipproxy/s.toml"), text)
            self.assertEqual(config.data, Path(expected))


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A table in a table."""

    size: int = 1


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    """The options of a component that likes structure."""

    named: dict[str, Inner] = {}
    maybe: Inner | None = None
    lists: tuple[list[Inner], ...] = ()


class OptionsOfPlugins(SynchronousTestCase):
    """`convert` finds the key in whatever typed class a plugin has."""

    def test_an_unknown_key_anywhere(self) -> None:
        table = {
            "plugin.x.named[...].siz": {"named": {"a": {"siz": 1}}},
            "plugin.x.maybe.siz": {"maybe": {"siz": 1}},
            "plugin.x.lists[0][1].siz": {"lists": [[{}, {"siz": 1}]]},
        }
        for key, options in table.items():
            mistake = self.assertRaises(Mistake, convert, options, Outer, "plugin.x")
            self.assertEqual(mistake.key, key)
            self.assertEqual(mistake.problem, "unknown key; remove it, or use: size")

    def test_a_wrong_type_of_several(self) -> None:
        mistake = self.assertRaises(Mistake, convert, {"maybe": 1}, Outer, "plugin.x")
        self.assertEqual(str(mistake), "plugin.x.maybe: needs a table or null, not a whole number")
