"""Feature parameters of a Contact as RFC 5196 shows them."""

from __future__ import annotations

from lxml import etree

from sipproxy.presence.capabilities import said_by, servcaps
from sipproxy.sip.headers import parse_name_addr
from tests.documents import assert_valid
from tests.presence.fakes import pidf
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

CAPABILITIES = {
    "nothing": ("", None),
    "what is none": (';+sip.instance="<urn:x:1>";q=0.5;reg-id=1;expires=60', None),
    "a feature that only some know": (";+example=1", None),
    "media": (";video;audio", "audio=true video=true"),
    "media that it does not have": (';audio;video="FALSE"', "audio=true video=false"),
    "not a medium": (';audio="!TRUE"', "audio=false"),
    "messages": (";+sip.message", "message=true"),
    "methods, in the order of the schema": (
        ';methods="MESSAGE,INVITE,ack"',
        "methods(supported(ACK INVITE MESSAGE))",
    ),
    "methods that it has not": (
        ';methods="INVITE,!REFER"',
        "methods(supported(INVITE) notsupported(REFER))",
    ),
    "methods that have no element": (';methods="PING"', None),
    "events": (
        ';events="winfo,presence,conference"',
        "event-packages(supported(conference presence winfo))",
    ),
    "extensions, one of which begins with a digit": (
        ';extensions="timer,100rel,histinfo"',
        "extensions(supported(rel100 hist-info timer))",
    ),
    "schemes": (';schemes="tel,sip"', "schemes(supported(s=sip s=tel))"),
    "languages": (';language="fr,!de"', "languages(supported(l=fr) notsupported(l=de))"),
    "types": (';type="text/plain,text/html"', "type=text/html type=text/plain"),
    "a description": (';description="<Desk \\"A\\">"', 'description=Desk "A"'),
    "a description with what XML has not": (';description="<a\x01b>"', "description=ab"),
    "what it is": (
        ';automata;isfocus;class="business";duplex="full";actor="principal,attendant"',
        "actor(supported(attendant principal)) automata=true class(supported(business)) "
        "duplex(supported(full)) isfocus=true",
    ),
    "the rest of the media": (
        ";application;control;data;text",
        "application=true control=true data=true text=true",
    ),
    "priorities": (
        ';priority="#<=10,#=30,#40:50,#>=60"',
        "priority(supported(equals higherhan lowerthan range))",
    ),
    "priorities by name": (';priority="urgent"', None),
}


def said(element: etree._Element) -> str:
    """Return an element as CAPABILITIES has it."""
    name = etree.QName(element).localname
    if len(element):
        return f"{name}({' '.join(map(said, element))})"
    return f"{name}={element.text}" if element.text else name


class CapabilitiesTest(TableCase):
    """Each feature tag, and that the schema allows what is made of it."""

    @rows(CAPABILITIES)
    @rfc(5196, "3.2.1", "what a Contact said of its capabilities is shown")
    def test_capabilities(self, params: str, expected: str | None) -> None:
        contact = parse_name_addr(f"<sip:a@192.0.2.1>{params}".encode())
        element = servcaps(said_by(contact.params))
        found = None if element is None else " ".join(map(said, element))
        self.assertEqual(found, expected)
        if element is not None:
            tuples = '<tuple id="t"><status><basic>open</basic></status></tuple>'
            root = etree.fromstring(pidf(tuples))
            root[0].append(element)
            assert_valid(etree.tostring(root))

    def test_each_has_its_own(self) -> None:
        """Phones of one make say the same, and what is made of it is not one element."""
        params = parse_name_addr(b"<sip:a@192.0.2.1>;audio").params
        self.assertIsNot(servcaps(said_by(params)), servcaps(said_by(params)))
