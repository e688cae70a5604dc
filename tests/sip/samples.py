"""Valid messages to start from."""

from __future__ import annotations

HEAD = {
    b"Via": b"SIP/2.0/UDP host.atlanta.com;branch=z9hG4bK776asdhds",
    b"Max-Forwards": b"70",
    b"From": b"Alice <sip:alice@atlanta.com>;tag=1928301774",
    b"To": b"Bob <sip:bob@biloxi.com>",
    b"Call-ID": b"a84b4c76e66710@host.atlanta.com",
    b"CSeq": b"314159 MESSAGE",
}
START = b"MESSAGE sip:bob@biloxi.com SIP/2.0"
OK = b"SIP/2.0 200 OK"


def octets(
    *extra: bytes,
    start: bytes = START,
    body: bytes = b"",
    without: tuple[bytes, ...] = (),
    **changed: bytes,
) -> bytes:
    """Return a message with other header values and more lines.

    ``changed`` names headers with ``_`` for ``-`` (``Max_Forwards=b"1"``).
    """
    head = HEAD | {name.replace("_", "-").encode(): value for name, value in changed.items()}
    lines = [name + b": " + value for name, value in head.items() if name not in without]
    return b"\r\n".join([start, *lines, *extra, b"", body])


def request(
    method: bytes, *extra: bytes, uri: bytes = b"sip:bob@biloxi.com", **more: bytes
) -> bytes:
    """Return a request with this method in its request line and CSeq."""
    more.setdefault("CSeq", b"314159 " + method)
    return octets(*extra, start=method + b" " + uri + b" SIP/2.0", **more)
