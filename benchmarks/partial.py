"""CPU time of presence in parts and of filters: what is ordinary, and the most one may ask.

Usage: ``python -m benchmarks.partial [COUNT]``
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks.presence import measured
from sipproxy.events.excerpts import Selection, What
from sipproxy.events.expressions import parse_expression
from sipproxy.events.filters import Criteria
from sipproxy.events.triggers import CHANGED, Condition, Trigger
from sipproxy.events.xml import read_xml
from sipproxy.presence.filters import SCHEMA
from sipproxy.presence.partial import PIDF_DIFF
from sipproxy.presence.patches import MAX_OPERATIONS, patched
from tests.events.test_filters import filter_set, subscribe
from tests.presence.fakes import ALICE, Agent, person, pidf, service

P = 'xmlns:p="urn:ietf:params:xml:ns:pidf-diff" xmlns="urn:ietf:params:xml:ns:pidf"'
OPEN = '<filter id="1"><what><include>//p:tuple[p:status/p:basic="open"]</include></what></filter>'
FLAT = b"<d>" + b"<n/>" * 3900 + b"</d>"
WIDE = "<d {}/>".format(" ".join(f"xmlns:a{number}='urn:a'" for number in range(60)))
PATCHES = {
    "replacing in a large document": (FLAT, "<replace sel='*/n[1]'><n/></replace>"),
    "looking for an id": (FLAT, "<remove sel=\"id('x')\"/>"),
    "adding much": (FLAT, "<add sel='d'>" + "<n/>" * 30 + "</add>"),
    "adding to many namespaces": (WIDE.encode(), "<add sel='d'><n xmlns='urn:a'/></add>"),
    "going deep": (
        b"<d>" + b"<n>" * 60 + b"</n>" * 60 + b"</d>",
        f"<add sel='{'/'.join('*' * 60)}'><n/></add>",
    ),
}


def document(number: int) -> bytes:
    """Return a document that is not the one before."""
    services = [service(f"t{tuple_}", contact=f"sip:a@{tuple_}") for tuple_ in range(4)]
    basic = "open" if number % 2 else "closed"
    activity = "<rpid:activities><rpid:away/></rpid:activities>"
    return pidf(service("t4", basic), *services, person("p1", activity))


def told(media_type: bytes, filters: str, count: int, name: str) -> None:
    """Measure a change published whole, and told to one watcher."""
    agent = Agent()
    known = [agent.publish(document(1))]
    watcher: Any = agent.watch()
    watcher.media_type = media_type
    if filters:
        watcher.terms = agent.package.terms(subscribe(filter_set(filters)), ALICE, None)
    agent.package.render(agent.state(), watcher, True)

    def change(number: int) -> None:
        known[0] = agent.publish(document(number), known[0])
        agent.package.render(agent.state(), watcher, False)

    measured(name, change, count)


def published(count: int) -> None:
    """Measure a change that is published in parts, and told to nobody."""
    agent = Agent()
    known = [agent.publish(document(1))]
    selector = "*/tuple[@id='t4']/status/basic/text()"

    def change(number: int) -> None:
        word = "open" if number % 2 else "closed"
        data = f'<p:pidf-diff {P}><p:replace sel="{selector}">{word}</p:replace></p:pidf-diff>'
        known[0].content = agent.package.check(ALICE, PIDF_DIFF, data.encode(), known[0])

    measured("a change published in parts", change, count)


def applied(data: bytes, operation: str) -> Callable[[int], object]:
    """Return a call that applies as many operations as there may be, or gives up."""
    root = read_xml(data)
    operations = list(read_xml(f"<diff>{operation * MAX_OPERATIONS}</diff>".encode()))

    def call(number: int) -> None:
        try:
            patched(root, operations)
        except ValueError:
            return

    return call


def filtered(expression: str) -> Callable[[int], object]:
    """Return a call that filters a large document by an expression, again and again."""
    found = parse_expression(expression, {})
    criteria = Criteria(
        What((Selection(found),) * 40, ()), (Trigger((Condition(CHANGED, found),) * 40),)
    )
    old, new = read_xml(FLAT), read_xml(FLAT)

    def call(number: int) -> None:
        criteria.filtered(old, SCHEMA)
        criteria.is_triggered(old, new)

    return call


def main() -> None:
    """Print what each costs."""
    arguments = [argument for argument in sys.argv[1:] if argument.isdigit()]
    count = int(arguments[0]) if arguments else 2000
    told(b"application/pidf+xml", "", count, "a change told whole")
    told(PIDF_DIFF, "", count, "the same in parts")
    told(b"application/pidf+xml", OPEN, count, "the same filtered")
    told(PIDF_DIFF, OPEN, count, "the same filtered, in parts")
    published(count)
    for name, (data, operation) in PATCHES.items():
        measured(f"at most, a patch: {name}", applied(data, operation), 5)
    for expression in ("//n", "//*[.='1' or ..='2']"):
        measured(f"at most, a filter: {expression}", filtered(expression), 5)


if __name__ == "__main__":
    main()
