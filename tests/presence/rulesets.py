"""Rulesets and presence documents for tests, written short."""

from __future__ import annotations

from sipproxy.presence.conditions import Circumstances
from sipproxy.presence.equivalence import Entity
from sipproxy.presence.permissions import Permissions, combined
from sipproxy.presence.rules import read_rules
from sipproxy.sip.uri import parse_uri

NOON = 1_800_000_000.0  # 2027-01-15T08:00:00Z
XMLNS = (
    'xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:pr="urn:ietf:params:xml:ns:pres-rules"'
    ' xmlns:x="urn:example:x"'
)


def provide(*attributes: str) -> str:
    """Return transformations, each TRUE."""
    return "".join(f"<pr:provide-{name}>true</pr:provide-{name}>" for name in attributes)


def unknown(name: str, namespace: str, value: str = "true") -> str:
    """Return a transformation."""
    element = "pr:provide-unknown-attribute"
    return f'<{element} name="{name}" ns="{namespace}">{value}</{element}>'


def choose(kind: str, **members: str) -> str:
    """Return a transformation: kind is persons, devices or services."""
    inner = "".join(
        f"<pr:{name.replace('_', '-')}>{value}</pr:{name.replace('_', '-')}>"
        for name, value in members.items()
    )
    return f"<pr:provide-{kind}>{inner or f'<pr:all-{kind}/>'}</pr:provide-{kind}>"


def handling(value: str) -> str:
    """Return an action."""
    return f"<pr:sub-handling>{value}</pr:sub-handling>"


def rule(conditions: str = "", granted: str = "", action: str = "allow", name: str = "a") -> str:
    """Return a rule."""
    return (
        f'<rule id="{name}"><conditions>{conditions}</conditions>'
        f"<actions>{handling(action)}</actions><transformations>{granted}</transformations></rule>"
    )


def ruleset(*rules: str) -> bytes:
    """Return a document."""
    return f"<ruleset {XMLNS}>{''.join(rules)}</ruleset>".encode()


def identity(children: str) -> str:
    """Return a condition."""
    return f"<identity>{children}</identity>"


def one(uri: str) -> str:
    """Return the condition for one identity."""
    return identity(f'<one id="{uri}"/>')


def circumstances(*who: str, sphere: str | None = None, time: float = NOON) -> Circumstances:
    """Return who asks, and when."""
    return Circumstances(tuple(Entity(parse_uri(uri.encode())) for uri in who), sphere, time)


def matches(conditions: str, asked: Circumstances) -> bool:
    """Tell whether a rule with these conditions matches."""
    (found,) = read_rules(ruleset(rule(conditions)))
    return found.concerns(asked) and found.is_valid(asked)


def granted(*transformations: str) -> Permissions:
    """Return what rules with these transformations grant together."""
    rules = [rule("", text, name=f"r{number}") for number, text in enumerate(transformations)]
    return combined(found.permissions for found in read_rules(ruleset(*rules)))


PRESENCE = """<presence xmlns="urn:ietf:params:xml:ns:pidf"
 xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
 xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" xmlns:x="urn:example:x" xmlns:s="urn:example:secret"
 entity="sip:alice@example.test">{}</presence>"""


def presence(body: str) -> bytes:
    """Return a presence document."""
    return PRESENCE.format(body).encode()


ALL = choose("persons") + choose("devices") + choose("services")
WHOLE = ALL + "<pr:provide-all-attributes/>"
