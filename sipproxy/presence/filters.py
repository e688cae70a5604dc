"""What filters may not take out of a presence document (RFC 4660 §5.3.1)."""

from __future__ import annotations

from typing import Final

from sipproxy.events.excerpts import Needs, Schema

_PIDF = "{urn:ietf:params:xml:ns:pidf}"
_MODEL = "{urn:ietf:params:xml:ns:pidf:data-model}"
_RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"
_TIMED = "{urn:ietf:params:xml:ns:pidf:timed-status}"
_CAPS = "{urn:ietf:params:xml:ns:pidf:caps}"

_NOTHING = Needs()
_ANY_CHILD = Needs(besides=frozenset())
_MORE_THAN_NOTES = Needs(besides=frozenset([_RPID + "note"]))
_OF_A_LIST = Needs(children=(_CAPS + "s", _CAPS + "l"))

# What the schemas of RFC 3863, 4479, 4480, 4481 and 5196 have as required, and RFC 3863 §4.1.3: a
# <status> has at least one child. Elements without an entry, those of unknown extensions among
# them, keep their attributes.
SCHEMA: Final[Schema] = {
    _PIDF + "presence": Needs(("entity",)),
    _PIDF + "tuple": Needs(("id",), (_PIDF + "status",)),
    _PIDF + "status": _ANY_CHILD,
    _PIDF + "basic": _NOTHING,
    _PIDF + "contact": _NOTHING,
    _PIDF + "note": _NOTHING,
    _PIDF + "timestamp": _NOTHING,
    _MODEL + "person": Needs(("id",)),
    _MODEL + "device": Needs(("id",), (_MODEL + "deviceID",)),
    _TIMED + "timed-status": Needs(("from",)),
    _RPID + "activities": _NOTHING,
    _RPID + "mood": _MORE_THAN_NOTES,
    _RPID + "place-is": _NOTHING,
    _RPID + "place-type": _MORE_THAN_NOTES,
    _RPID + "audio": _ANY_CHILD,  # how it is in a place
    _RPID + "video": _ANY_CHILD,
    _RPID + "text": _ANY_CHILD,
    _RPID + "service-class": _MORE_THAN_NOTES,
    _RPID + "sphere": _NOTHING,
    _CAPS + "supported": _OF_A_LIST,
    _CAPS + "notsupported": _OF_A_LIST,
    _CAPS + "servcaps": _NOTHING,
    _CAPS + "devcaps": _NOTHING,
}
