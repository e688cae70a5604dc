"""Documents that nobody may take, and what it costs to refuse each.

``python -m tests.torture.bodies`` prints it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator

from tests.torture.agents import Agent

NAMESPACE = "urn:ietf:params:xml:ns:pidf"
FILTER = "urn:ietf:params:xml:ns:simple-filter"
STATUS = "<status><basic>open</basic></status>"
TUPLE = f'<tuple id="t">{STATUS}</tuple>'
INCLUDE = "<include>/*[local-name()='presence']</include>"
DEEP = 5000
ROUNDS = 5

Case = tuple[str, bytes, str]  # name, body, allowed statuses with a bar between them


def document(inner: str = TUPLE, before: str = "", entity: str = "sip:alice@example.test") -> bytes:
    """Return a presence document; ``before`` stands before its root."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}'
        f'<presence xmlns="{NAMESPACE}" entity="{entity}">{inner}</presence>'
    ).encode()


def filters(inner: str = "", before: str = "", attributes: str = 'id="f"') -> bytes:
    """Return a filter document of one filter."""
    inner = inner or f'<what><include type="namespace">{NAMESPACE}</include></what>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}<filter-set xmlns="{FILTER}">'
        f"<filter {attributes}>{inner}</filter></filter-set>"
    ).encode()


def bomb(levels: int = 10) -> str:
    """Return a document type in which each entity is ten of the one before (CVE-2003-1564)."""
    entities = ['<!ENTITY e0 "ha">']
    for level in range(1, levels):
        entities.append(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">')
    return f"<!DOCTYPE presence [{''.join(entities)}]>"


def befores(port: int) -> Iterator[tuple[str, str, str]]:
    """Return document types: a name, what stands before the root, and what within."""
    url = f"http://127.0.0.1:{port}"
    external = f'<!DOCTYPE presence [<!ENTITY e SYSTEM "{url}/entity">]>'
    parameter = f'<!DOCTYPE presence [<!ENTITY % e SYSTEM "{url}/parameter"> %e;]>'
    yield "a document type", "<!DOCTYPE presence>", ""
    yield "an external document type", f'<!DOCTYPE presence SYSTEM "{url}/type">', ""
    yield "a public document type", f'<!DOCTYPE presence PUBLIC "-//x" "{url}/public">', ""
    yield "an external entity", external, "<note>&e;</note>"
    yield "a file", external.replace(f"{url}/entity", "file:///etc/passwd"), "<note>&e;</note>"
    yield "a parameter entity", parameter, ""
    yield "an entity bomb", bomb(), "<note>&e9;</note>"
    yield "a quadratic bomb", f'<!DOCTYPE p [<!ENTITY e "{"a" * 20000}">]>', "&e;" * 5000
    yield "an attribute by default", '<!DOCTYPE p [<!ATTLIST tuple id CDATA "x">]>', ""
    yield "a document type behind a comment", f"<!-- <a> -->{external}", "<note>&e;</note>"


def encodings(good: bytes) -> Iterator[Case]:
    """Return a document that is good but for its encoding (RFC 3863 §4.1: UTF-8)."""
    text = good.decode()
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037"):
        declared = text.replace('"UTF-8"', f'"{name}"')
        yield f"{name}, declared", declared.encode(name), "400"
        if name != "utf-7":  # of which ASCII is a part
            yield f"{name}, undeclared", text.replace(' encoding="UTF-8"', "").encode(name), "400"
    for name in ("ISO-8859-1", "UTF-16", "UTF-7", "EBCDIC", "x-nobody-knows", ""):
        yield f"declared as {name!r}", text.replace("UTF-8", name).encode(), "400"
    yield "Latin 1, undeclared", good.replace(b">", b">\xe9", 2), "400"
    yield "overlong UTF-8", good.replace(b'"><', b'">\xc0\xbc<', 1), "400"
    yield "a surrogate", good.replace(b'"><', b'">\xed\xa0\x80<', 1), "400"
    yield "a NUL", good.replace(b'"><', b'">\0<', 1), "400"
    yield "a control character", good.replace(b'"><', b'">\x01<', 1), "400"


def broken(good: bytes) -> Iterator[Case]:
    """Return what is not well-formed, or too much."""
    yield "nothing but blanks", b"   ", "400"
    yield "text", b"hello", "400"
    yield "JSON", b'{"presence": {}}', "400"
    yield "a declaration", good[: good.index(b"?>") + 2], "400"
    yield "cut off", good[:-5], "400"
    yield "two roots", good + good[good.index(b"?>") + 2 :], "400"
    yield "something behind it", good + b"x", "400"
    yield "an end of something else", good[:-3] + b"x>", "400"
    yield "an attribute twice", good.replace(b'id="', b'id="a" id="', 1), "400"
    yield "a prefix of nothing", good.replace(b"?><", b"?><x:", 1), "400"
    yield "an entity of nothing", good.replace(b'"><', b'">&e;<', 1), "400"
    yield "a character that is none", good.replace(b'"><', b'">&#0;<', 1), "400"
    yield "deep", good.replace(b'"><', b'">' + b"<a>" * DEEP + b"</a>" * DEEP + b"<", 1), "400|413"
    yield "deep, without an end", good[: good.index(b'"><') + 2] + b"<a>" * 20_000, "400|413"
    names = b" ".join(b'a%d=""' % number for number in range(20_000))
    yield "20,000 attributes", good.replace(b'"><', b'" ' + names + b"><", 1), "400|413"
    short = b" ".join(b'a%d=""' % number for number in range(5_000))
    yield "5,000 attributes", good.replace(b'"><', b'" ' + short + b"><", 1), "400|413"
    spaces = b" ".join(b'xmlns:a%d="%d"' % (number, number) for number in range(2_000))
    yield "2,000 namespaces", good.replace(b'"><', b'" ' + spaces + b"><", 1), "400|413"
    many = b"<x/>" * 15_000
    yield "15,000 elements", good.replace(b'"><', b'">' + many + b"<", 1), "400|413"
    comment = b"<!--" + b"-" * 60_000
    yield "a comment without an end", good.replace(b'"><', b'">' + comment, 1), "400|413"
    quotes = b'<a b="' + b"<" * 7_000
    yield "brackets in an attribute", good.replace(b'"><', b'">' + quotes, 1), "400|413"


def publications(port: int = 9) -> Iterator[Case]:
    """Return what PUBLISH is refused for: RFC 3903 §6, RFC 3863 §4."""
    good = document()
    yield from encodings(good)
    yield from broken(good)
    for name, before, inner in befores(port):
        yield name, document(TUPLE + inner, before), "400|413"
    yield "another root", good.replace(b"presence", b"absence"), "400"
    yield "another namespace", good.replace(b":pidf", b":pidf2"), "400"
    yield "no namespace", good.replace(f' xmlns="{NAMESPACE}"'.encode(), b""), "400"
    for entity in ("sip:bob@example.test", "pres:bob@example.test", "im:bob@example.test",
                   "sips:bob@example.test", "sip:alice@elsewhere.test", "tel:+1"):  # fmt: skip
        yield f"of {entity}", document(entity=entity), "403"
    for entity in ("", " ", "alice", "sip:", "sip:alice@", "\ufffd"):
        yield f"of {entity!r}", document(entity=entity), "400|403"
    tuples = "".join(f'<tuple id="t{number}">{STATUS}</tuple>' for number in range(2_000))
    yield "2,000 tuples", document(tuples), "400|413"
    tuples = "".join(f'<tuple id="t{number}">{STATUS}</tuple>' for number in range(1001))
    yield "1,001 tuples", document(tuples), "413"
    yield "1,001 notes", document(TUPLE + "<note/>" * 1001), "413"
    yield "a name twice", document(TUPLE + TUPLE), "400"
    yield "64 KB", document(f"{TUPLE}<note>{'x' * 65_536}</note>"), "413"
    include = (
        f'<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="http://127.0.0.1:{port}"/>'
    )
    yield "XInclude without a tuple's status", document(f'<tuple id="t">{include}</tuple>'), "400"


def subscriptions(port: int = 9) -> Iterator[Case]:
    """Return what SUBSCRIBE is refused for: RFC 4660 §5.4, RFC 4661."""
    good = filters()
    yield from encodings(good)
    yield from broken(good)
    for name, before, inner in befores(port):
        yield name, filters(f"<what>{INCLUDE}{inner}</what>", before), "400|413"
    yield "another root", good.replace(b"filter-set", b"set-filter"), "488"
    yield "another namespace", good.replace(b":simple-filter", b":simple"), "488"
    yield "no namespace", good.replace(f' xmlns="{FILTER}"'.encode(), b""), "488"
    yield "of another package", good.replace(b"<filter-set ", b'<filter-set package="x" '), "488"
    for path in ("//*[//*[//*]]", "/presence[count(//*)>1]", "document('http://127.0.0.1')", "/..",
                 "id('x')", "((((", "//" * 3000, "/a[" * 3000, "'" * 999, "/a" * 9000):  # fmt: skip
        yield f"{path[:30]}", filters(f"<what><include>{path}</include></what>"), "488|413"
    many = "<include>/a</include>" * 41
    yield "41 includes", filters(f"<what>{many}</what>"), "488"
    yield "no id", filters(attributes=""), "488"


def measured(method: str, case: Case) -> tuple[int, float]:
    """Return the answer to a body, and the least seconds of CPU that it took in some rounds."""
    best = float("inf")
    with tempfile.TemporaryDirectory(prefix="bodies-") as directory:
        agent = Agent(directory)
        for _ in range(ROUNDS):
            data = agent.request(method, case[1])
            began = time.process_time()
            status = agent.send(data)
            best = min(best, time.process_time() - began)
    return status, best


def main() -> None:
    """Print a table."""
    for method, cases in (("PUBLISH", publications()), ("SUBSCRIBE", subscriptions())):
        for case in cases:
            status, seconds = measured(method, case)
            print(f"{method:9} {case[0]:36} {len(case[1]):8} {status} {seconds * 1000:7.2f} ms")


if __name__ == "__main__":
    main()
