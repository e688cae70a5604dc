"""The configuration file: TOML to typed settings, every fault one line with its key and remedy."""

from __future__ import annotations

import math
import re
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from sipproxy.auth.settings import Auth, Federation, Route
from sipproxy.ctl.settings import Http
from sipproxy.events.settings import Events
from sipproxy.presence.settings import Presence
from sipproxy.proxy.settings import Proxy
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import is_host
from sipproxy.sip.uri import canonical_host, parse_uri
from sipproxy.store.settings import StoreSettings
from sipproxy.transport.identity import sent_by
from sipproxy.transport.lookup import parse_server
from sipproxy.transport.settings import Dns, Hep, Limits, Listen, Tls

DEFAULT_FILE = "sipproxy.toml"


class ConfigError(Exception):
    """An operator's mistake: the file, the key, what is wrong, and what to do."""

    def __init__(self, file: str | Path, key: str, problem: str) -> None:
        self.file = str(file)
        self.key = key
        self.problem = problem
        super().__init__(": ".join(part for part in (self.file, key, problem) if part))


class Transactions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[transactions]`` table."""

    linger: float = 32.0  # seconds; RFC timer J and its kin


class Components(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``[components]`` table: which component serves as each single part."""

    location: str = "bindings"  # who is where: ILocation
    credentials: str = "accounts"  # who our users are: ICredentialStore
    store: str = "sqlite"  # what survives a restart: IStore
    forwarder: str = "proxy"  # what sends requests on: IForwarder
    documents: str = "documents"  # what users keep with us, their rules: IDocuments
    composer: str = "composition"  # what makes one presence document of several: IComposer


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole configuration."""

    domains: tuple[str, ...]  # what we are responsible for; the first is the default realm
    listen: tuple[Listen, ...]  # see [[listen]]
    aliases: tuple[str, ...] = ()  # our other names; listeners' addresses count by themselves
    data: str = "var"  # directory of the store and the control socket, relative to the file
    auth: Auth = Auth()
    tls: Tls = Tls()
    federation: Federation = Federation()
    route: tuple[Route, ...] = ()  # see [[route]]
    proxy: Proxy = Proxy()
    events: Events = Events()
    presence: Presence = Presence()
    store: StoreSettings = StoreSettings()
    http: Http = Http()
    hep: Hep = Hep()
    transactions: Transactions = Transactions()
    limits: Limits = Limits()
    dns: Dns = Dns()
    components: Components = Components()
    plugin: dict[str, dict[str, Any]] = {}  # by name of a component, its own keys


class Config:
    """Checked settings and where they came from."""

    def __init__(self, file: Path, settings: Settings) -> None:
        self.file = file
        self.place = file.absolute()  # whatever becomes of the working directory
        self.settings = settings
        self.home = file.resolve().parent
        self.data = self.home / settings.data

    def error(self, key: str, problem: str) -> ConfigError:
        """Return the error that names this file."""
        return ConfigError(self.file, key, problem)


def load(path: str | Path) -> Config:
    """Read and check a configuration file; raises `ConfigError`."""
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            file, "", "no such file; write one, or name another with --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file, "", f"cannot be read: {error}") from None
    return parse(file, text)


def parse(file: Path, text: str) -> Config:
    """Check the text of a configuration file; raises `ConfigError`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, "", f"is no TOML: {error}") from None
    try:
        settings = convert(table, Settings)
    except Mistake as mistake:
        raise ConfigError(file, mistake.key, mistake.problem) from None
    config = Config(file, settings)
    _check(config)
    return config


class Mistake(ValueError):
    """A table does not fit its typed class."""

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        self.problem = problem
        super().__init__(f"{key}: {problem}")


def convert(table: dict[str, Any], kind: Any, prefix: str = "") -> Any:
    """Turn a TOML table into its typed class; raises `Mistake` naming the key."""
    try:
        return msgspec.convert(table, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _mistake(str(error), kind, prefix) from None


_FAULT = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.S).fullmatch
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`").fullmatch
_MISSING = re.compile(r"Object missing required field `(.*)`").fullmatch
_STEPS = re.compile(r"\[([^\]]*)\]|([^.\[]+)").findall
_WRONG = re.compile(r"Expected `(.*)`, got `(.*)`").fullmatch


def _mistake(message: str, kind: Any, prefix: str) -> Mistake:
    match = _FAULT(message)
    what, path = (match.group("what"), match.group("path") or "") if match else (message, "")
    key = ".".join(part for part in (prefix, path.lstrip(".")) if part)
    if unknown := _UNKNOWN(what):
        known = ", ".join(_names(_type_at(kind, path)))
        return Mistake(_join(key, unknown.group(1)), f"unknown key; remove it, or use: {known}")
    if missing := _MISSING(what):
        return Mistake(_join(key, missing.group(1)), "is missing; add it")
    if wrong := _WRONG(what):
        return Mistake(key, f"needs {_kind(wrong.group(1))}, not {_kind(wrong.group(2))}")
    if what.startswith("Invalid enum value"):
        allowed = ", ".join(map(repr, get_args(_type_at(kind, path))))
        return Mistake(key, f"{what[len('Invalid enum value ') :]} is none of {allowed}")
    return Mistake(key, what[:1].lower() + what[1:])


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a string in quotes",
    "array": "an array [...]",
    "object": "a table",
}


def _kind(name: str) -> str:
    return " or ".join(_KINDS.get(part.strip(), part.strip()) for part in name.split("|"))


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _type_at(kind: Any, path: str) -> Any:
    """Return the type that the value at ``path`` has to have."""
    for _, name in _STEPS(path):
        kind = _bare(kind)
        if name:
            kind = next(f.type for f in msgspec.structs.fields(kind) if f.encode_name == name)
        else:
            kind = get_args(kind)[1 if get_origin(kind) is dict else 0]
    return _bare(kind)


def _bare(kind: Any) -> Any:
    """Return what a type is that may also be None."""
    if get_origin(kind) in (Union, UnionType):
        return next(one for one in get_args(kind) if one is not NoneType)
    return kind


def _names(kind: Any) -> list[str]:
    return sorted(field.encode_name for field in msgspec.structs.fields(kind))


def _check(config: Config) -> None:
    """What types cannot say."""
    settings = config.settings
    if not settings.domains:
        raise config.error("domains", 'name at least one domain: domains = ["example.test"]')
    for key in ("domains", "aliases"):
        for index, name in enumerate(getattr(settings, key)):
            _check_host(config, f"{key}[{index}]", name)
    if not settings.listen:
        raise config.error("listen", "nothing to listen on: add a [[listen]] table")
    _check_place(config, "http", settings.http.address, settings.http.port)
    for index, listen in enumerate(settings.listen):
        _check_listen(config, f"listen[{index}]", listen)
        _check_files(config, f"listen[{index}]", listen)
    if bool(settings.tls.client_certificate) != bool(settings.tls.client_private_key):
        raise config.error("tls", "client_certificate and client_private_key need each other")
    taken = {canonical_host(name.encode()) for name in settings.domains}
    for index, route in enumerate(settings.route):
        _check_route(config, f"route[{index}]", route, taken)
    _check_dns(config)
    _check_server(config, "hep.collector", settings.hep.collector or "127.0.0.1")
    _check_networks(config, "limits.unlimited", settings.limits.unlimited)
    _check_algorithms(config)
    _check_numbers(config)


def _check_dns(config: Config) -> None:
    dns = config.settings.dns
    for index, server in enumerate(dns.servers):
        _check_server(config, f"dns.servers[{index}]", server)
    if not dns.timeouts or not all(0 < seconds < math.inf for seconds in dns.timeouts):
        raise config.error("dns.timeouts", "needs times of more than 0 seconds: [1.0, 2.0, 3.0]")


def _check_server(config: Config, key: str, server: str) -> None:
    try:
        parse_server(server)
    except ValueError:
        problem = f'{server!r} is no address with a port: write "192.0.2.53:53" or "[::1]:53"'
        raise config.error(key, problem) from None


def _check_host(config: Config, key: str, name: str) -> None:
    if not is_host(name.encode("utf-8", "replace")):
        problem = f"{name!r} is no host name" + ("" if name.isascii() else ": write it as xn--...")
        raise config.error(key, problem)


def _check_place(config: Config, key: str, address: str, port: int, hint: str = "") -> None:
    try:
        ip_address(address)
    except ValueError:
        problem = f"{address!r} is no IPv4 or IPv6 address{hint}"
        raise config.error(f"{key}.address", problem) from None
    if not 0 <= port <= 65535:
        raise config.error(f"{key}.port", f"{port} is no port: 1 to 65535")


def _check_listen(config: Config, key: str, listen: Listen) -> None:
    _check_place(config, key, listen.address, listen.port, "; names go into advertise")
    address = ip_address(listen.address)
    if address.is_unspecified and not listen.advertise:
        problem = "is required where address is a wildcard: the host[:port] that peers reach us by"
        raise config.error(f"{key}.advertise", problem)
    try:
        sent_by(listen)
    except ValueError:
        raise config.error(f"{key}.advertise", f"{listen.advertise!r} is no host[:port]") from None


def _check_files(config: Config, key: str, listen: Listen) -> None:
    for name in ("certificate", "private_key"):
        if listen.transport == "tls" and not getattr(listen, name):
            raise config.error(f"{key}.{name}", "is missing; name the PEM file")
        if listen.transport != "tls" and getattr(listen, name):
            raise config.error(f"{key}.{name}", 'is for transport = "tls" alone: remove it')


def _check_route(config: Config, key: str, route: Route, taken: set[bytes]) -> None:
    _check_host(config, f"{key}.domain", route.domain)
    domain = canonical_host(route.domain.encode())
    if domain in taken:
        problem = f"{route.domain} is in domains, or in a [[route]] before: remove one"
        raise config.error(f"{key}.domain", problem)
    taken.add(domain)
    try:
        uri = parse_uri(route.to.encode())
    except SipError:
        uri = None
    if uri is None or uri.scheme not in (b"sip", b"sips"):
        raise config.error(f"{key}.to", f'{route.to!r} is no SIP URI: write "sip:HOST:PORT"')
    if (uri.params.get(b"transport") or b"tcp").lower() not in _TRANSPORTS[uri.scheme]:
        names = b", ".join(_TRANSPORTS[uri.scheme]).decode()
        raise config.error(f"{key}.to", f"{route.to!r}: transport can be {names}")
    _check_networks(config, f"{key}.from", route.from_)


def _check_networks(config: Config, key: str, networks: tuple[str, ...]) -> None:
    for index, network in enumerate(networks):
        try:
            ip_network(network)
        except ValueError:
            problem = f"{network!r} is no address and no network: write 192.0.2.7 or 192.0.2.0/24"
            raise config.error(f"{key}[{index}]", problem) from None


_MAY_BE_0 = ("connection_rate", "lateness", "queue", "refusals", "source_rate", "tape")


_TRANSPORTS = {b"sip": (b"udp", b"tcp", b"tls"), b"sips": (b"tcp", b"tls")}


def _check_algorithms(config: Config) -> None:
    algorithms = config.settings.auth.algorithms
    if not algorithms:
        raise config.error("auth.algorithms", 'offer at least one: ["SHA-256", "MD5"]')
    if len(set(algorithms)) < len(algorithms):
        raise config.error("auth.algorithms", "names one twice: each challenge needs its own")


def _check_numbers(config: Config) -> None:
    """Times and counts that would stop the server from working."""
    settings = config.settings
    positive = {
        "auth": (settings.auth, ["nonce_lifetime"]),
        "proxy": (
            settings.proxy,
            ["patience", "longest_ring", "next_group", "max_breadth", "max_forwards"],
        ),
        "store": (settings.store, ["delay"]),
        "transactions": (settings.transactions, ["linger"]),
        "limits": (settings.limits, sorted({*_names(Limits)} - {*_MAY_BE_0, "unlimited"})),
        "presence": (settings.presence, ["document", "elements"]),
        "dns": (settings.dns, ["patience", "hops", "queries", "cache", "max_ttl"]),
    }
    for table, (values, names) in positive.items():
        for name in names:
            if not 0 < getattr(values, name) < math.inf:
                raise config.error(f"{table}.{name}", "has to be more than 0, and finite")
    for name in _MAY_BE_0:
        if not 0 <= getattr(settings.limits, name) < math.inf:
            raise config.error(f"limits.{name}", "has to be 0, for no limit, or more, and finite")
    if not 0 <= settings.presence.notify_interval < math.inf:
        raise config.error("presence.notify_interval", "has to be 0 or more, and finite")
    if not 180 < settings.proxy.ring < math.inf:
        raise config.error("proxy.ring", "has to be more than 180: Timer C of RFC 3261 §16.6")
