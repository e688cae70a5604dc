"""The RFCs' schemas and example documents, for tests of what we send and read."""

from __future__ import annotations

import functools
import json

from lxml import etree

from tests.shared import SHARED

SCHEMA = SHARED / "schemas" / "all.xsd"


@functools.cache
def _schema() -> etree.XMLSchema | None:
    return etree.XMLSchema(etree.parse(SCHEMA)) if SCHEMA.exists() else None


def assert_valid(data: bytes) -> etree._Element:
    """Return the root of a document; AssertionError where the RFC's schema does not allow it.

    Without the reference material it only has to be well-formed.
    """
    root = etree.fromstring(data)
    schema = _schema()
    if schema is not None and not schema.validate(root):
        raise AssertionError(f"{schema.error_log.last_error}\n{data.decode()}")
    return root


def canonical(data: bytes | etree._Element) -> bytes:
    """Return the one form of a document: without comments and space between elements."""
    root = etree.fromstring(data) if isinstance(data, bytes) else data
    copy = etree.fromstring(etree.tostring(root), etree.XMLParser(remove_blank_text=True))
    return etree.tostring(copy, method="c14n2", strip_text=True)


def examples(rfc: int) -> dict[str, bytes]:
    """Return the example documents of an RFC by their file, those that are valid by its schema."""
    index = SHARED / "examples" / "index.json"
    if not index.exists():
        return {}
    return {
        one["file"]: (SHARED / one["file"]).read_bytes()
        for one in json.loads(index.read_text())
        if one["rfc"] == rfc and one.get("validity") == "valid"
    }
