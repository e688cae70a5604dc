"""The namespaces of presence documents, as lxml writes them before a name."""

from __future__ import annotations

from typing import Any

PIDF_NAMESPACE = "urn:ietf:params:xml:ns:pidf"
PIDF = f"{{{PIDF_NAMESPACE}}}"  # RFC 3863
MODEL = f"{{{PIDF_NAMESPACE}:data-model}}"  # RFC 4479
RPID = f"{{{PIDF_NAMESPACE}:rpid}}"  # RFC 4480
TIMED = f"{{{PIDF_NAMESPACE}:timed-status}}"  # RFC 4481
CAPS = f"{{{PIDF_NAMESPACE}:caps}}"  # RFC 5196
XML = "{http://www.w3.org/XML/1998/namespace}"

DECLARED: Any = {None: PIDF_NAMESPACE}  # for elements that nobody else has named yet

PRESENCE = PIDF + "presence"
TUPLE, STATUS, BASIC = PIDF + "tuple", PIDF + "status", PIDF + "basic"
CONTACT, NOTE, TIMESTAMP = PIDF + "contact", PIDF + "note", PIDF + "timestamp"
PERSON, DEVICE, DEVICE_ID = MODEL + "person", MODEL + "device", MODEL + "deviceID"
MODEL_NOTE, MODEL_TIMESTAMP = MODEL + "note", MODEL + "timestamp"
SPHERE = RPID + "sphere"
TIMED_STATUS = TIMED + "timed-status"
