"""What a response to a NOTIFY means for its subscription (RFC 6665 §4.2.2, RFC 5057 §5.1)."""

from __future__ import annotations

from sipproxy.sip.message import Response

# §4.2.2: "the notifier MUST remove the corresponding subscription".
_REMOVED = frozenset((404, 405, 410, 416, *range(480, 486), 489, 501, 604))
# RFC 3261 §12.2.1.2: 408 is as good as silence. RFC 5057 §5.1: 502 destroys the dialog.
_AS_GOOD = frozenset((408, 502))
_LONGEST = 3600.0  # seconds that a Retry-After is believed


def is_end(response: Response) -> bool:
    """Tell whether a failure of a NOTIFY ends its subscription.

    All others concern that one transaction; whoever says when to come back wants to hear more.
    """
    if response.status in _REMOVED:
        return True
    return response.status in _AS_GOOD and not retry_after(response)


def retry_after(response: Response) -> float:
    """Return in how many seconds a server that failed (5xx) wants to be asked again; 0: never."""
    if response.status < 500 or response.status >= 600:
        return 0.0
    value = response.value(b"retry-after") or b""
    text = value.partition(b";")[0].partition(b"(")[0].strip()
    if not text.isdigit() or len(text) > 10:
        return 0.0
    return min(max(1.0, float(text)), _LONGEST)
