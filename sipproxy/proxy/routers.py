"""The built-in routers: our users' bindings, configured domains, and the DNS (RFC 3261 §16.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from sipproxy.interfaces import IRouter, Sender, Target, then
from sipproxy.proxy.callers import preferred
from sipproxy.proxy.core import Core
from sipproxy.proxy.instances import Found
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request
from sipproxy.sip.uri import Uri, equivalent, parse_uri, request_form

if TYPE_CHECKING:
    from sipproxy.registrar.binding import Binding


@implementer(IRouter)
class LocationRouter:
    """Routes requests for our users to their bindings."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def targets(self, request: Request, sender: Sender) -> Any:
        """Return a target per binding; 404 for who does not exist, 480 for who is not there.

        An empty list says that nobody is left of whom the caller wants (RFC 3841 §7.2.4).
        """
        uri = request.uri
        domain = self._core.identity.domain_of(uri)
        if domain is None:
            return None
        aor = self._core.identity.canonical(uri)
        if b"gr" in uri.params and self._bound(uri, domain, aor) is None:
            raise SipError(404)  # RFC 5627 §6.1
        found: Found = []
        self._collect(uri, domain, aor, found, {aor})
        if not found:
            return then(self._core.credentials.known(aor), _refuse)
        targets = preferred(request, found)
        if b"gr" in uri.params and b"route" in request.names:
            for target in targets:  # RFC 5627 §6.1: the Route of a dialog leads there, not Path
                target.routes = ()
        return targets

    def _bound(self, uri: Uri, domain: bytes, aor: bytes) -> Sequence[Binding] | None:
        """Return the bindings that a URI means; None for a GRUU that is not valid."""
        bindings = self._core.location.bindings(aor)
        if b"gr" in uri.params:
            return self._core.gruus.bound(uri, domain, bindings)
        return bindings

    def _collect(
        self, uri: Uri, domain: bytes, aor: bytes, found: Found, visited: set[bytes]
    ) -> None:
        """Add the targets of an address-of-record or GRUU, and of those of ours it points to."""
        identity = self._core.identity
        for binding in self._bound(uri, domain, aor) or ():
            contact: Uri = binding.contact.uri
            if not contact.is_sip or contact.scheme == b"sips" or not binding.is_reachable:
                continue
            ours = identity.domain_of(contact) if binding.flow is None else None
            if ours is not None:
                other = identity.canonical(contact)
                if other not in visited:
                    visited.add(other)
                    self._collect(contact, ours, other, found, visited)
            elif binding.is_flow or not _is_among(contact, found):
                found.append((self._target(binding, aor), binding))

    def _target(self, binding: Binding, aor: bytes) -> Target:
        uri = binding.contact.uri
        group = b"" if binding.instance is None else aor + b"\0" + binding.instance.urn
        return Target(
            request_form(uri),
            binding.path,
            binding.flow,
            self._core.peers.hop(uri.host),
            is_user=True,
            instance=group,
            q=binding.q,
        )


def _refuse(known: bool) -> list[Target]:
    raise SipError(480 if known else 404)


def _is_among(uri: Uri, found: Found) -> bool:
    for target, _ in found:
        if target.uri == uri.raw or equivalent(parse_uri(target.uri), uri):
            return True
    return False


@implementer(IRouter)
class DomainsRouter:
    """Routes requests for a domain of a ``[[route]]`` entry to its next hop."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def targets(self, request: Request, sender: Sender) -> Any:
        """Return the one target of a configured domain."""
        hop = self._core.peers.hop(request.uri.host)
        return None if hop is None else [Target(request.raw_uri, hop=hop)]


@implementer(IRouter)
class DnsRouter:
    """Routes all other requests for foreign domains where their URI says (RFC 3263)."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def targets(self, request: Request, sender: Sender) -> Any:
        """Return the Request-URI; 416 where its scheme says no host (§16.3 step 2)."""
        if self._core.identity.domain_of(request.uri) is not None:
            return None
        if request.uri.scheme != b"sip" and b"route" not in request.names:
            raise SipError(416)
        return [Target(request.raw_uri)]
