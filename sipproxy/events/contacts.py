"""Our Contacts, one for each subscription, and what is said to requests that are no SUBSCRIBE."""

from __future__ import annotations

import re

from sipproxy.events.dialog import MARK, TAG
from sipproxy.events.notifier import Notifier
from sipproxy.sip.errors import SipError
from sipproxy.sip.gruu import is_gruu
from sipproxy.sip.message import Request
from sipproxy.sip.names import METHODS

_ALLOW = (b"Allow", b"OPTIONS, SUBSCRIBE")
_own = re.compile(rb"%b[0-9a-f]{16,%d}" % (MARK, 2 * TAG)).fullmatch  # 16: of old


def is_ours(request: Request) -> bool:
    """Tell whether the Request-URI is a Contact that we made."""
    uri = request.uri
    if uri.user is None or not is_gruu(uri) or uri.params[b"gr"]:
        return False
    return _own(uri.user) is not None


def own_tag(request: Request) -> bytes:
    """Return the tag of the dialog that a Contact of ours was made for."""
    return (request.uri.user or b"")[len(MARK) :]


class Contacts:
    """What is at our Contacts: a user agent that takes SUBSCRIBE alone."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def has(self, request: Request) -> bool:
        """Tell whether a request is to one that there is, and in its dialog if in any."""
        return is_ours(request) and self._missing(request) is None

    def refusal(self, request: Request) -> SipError:
        """Return what is answered to a request for a GRUU that nobody has registered.

        481 where there is no such dialog (RFC 3261 §12.2.2, for NOTIFY RFC 6665 §4.1.3), else 405,
        or 501 for a method that is not known (RFC 3261 §8.2.1, §21.5.2).
        """
        if not is_ours(request):
            return SipError(404)  # RFC 5627 §6.1
        missing = self._missing(request)
        if missing is not None:
            return missing
        if request.method == b"NOTIFY":
            return SipError(481)  # we have not subscribed to anything
        return SipError(405 if request.method in METHODS else 501, headers=[_ALLOW])

    def _missing(self, request: Request) -> SipError | None:
        tag = request.to.tag
        found = self._notifier.find(own_tag(request))
        if tag is None:
            return SipError(404) if found is None else None
        dialog = None if found is None else found.dialog
        if dialog is None or dialog.tag != tag or not dialog.matches(request):
            return SipError(481)
        return None
