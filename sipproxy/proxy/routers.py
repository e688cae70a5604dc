"""The built-in routers: our users' bindings, configured domains, and the DNS (RFC 3261 §16.5)."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from sipproxy.interfaces import IRouter, Sender, Target, then
from sipproxy.proxy.core import Core
from sipproxy.proxy.secure import secured, sips_not_allowed, unsecured
from sipproxy.sip.errors import SipError
from sipproxy.sip.message import Request
from sipproxy.sip.uri import Uri, equivalent, parse_uri, request_form


@implementer(IRouter)
class LocationRouter:
    """Routes requests for our users to their bindings."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def targets(self, request: Request, sender: Sender) -> Any:
        """Return a target per binding; 404 for who does not exist, 480 for who is not there.

        A request to a sips URI reaches sips contacts alone (RFC 5630 §5.3).
        """
        uri = request.uri
        if self._core.identity.domain_of(uri) is None:
            return None
        aor = self._core.identity.canonical(uri)
        targets: list[Target] = []
        is_sips = uri.scheme == b"sips"
        self._collect(aor, targets, {aor}, is_sips)
        if targets:
            return targets
        if is_sips and self._core.location.bindings(aor):
            raise sips_not_allowed()

        def absent(known: bool) -> list[Target]:
            raise SipError(480 if known else 404)

        return then(self._core.credentials.known(aor), absent)

    def _collect(
        self, aor: bytes, targets: list[Target], visited: set[bytes], is_sips: bool
    ) -> None:
        """Add the targets of an address-of-record, and of those of ours that it points to.

        A sips contact goes by TLS, and keeps its scheme only where the request came with it.
        """
        for binding in self._core.location.bindings(aor):
            uri: Uri = binding.contact.uri
            if not uri.is_sip or not binding.is_reachable:
                continue
            if is_sips and uri.scheme != b"sips":
                continue
            if binding.flow is None and self._core.identity.domain_of(uri) is not None:
                other = self._core.identity.canonical(uri)
                if other not in visited:
                    visited.add(other)
                    self._collect(other, targets, visited, is_sips)
            elif not _is_among(uri, targets):
                form, hop = request_form(uri), self._core.peers.hop(uri.host)
                if uri.scheme == b"sips" and not is_sips:
                    form, hop = unsecured(form), secured(hop or uri)
                flow, q = binding.flow, binding.q
                targets.append(Target(form, binding.path, flow, hop, is_user=True, q=q))


def _is_among(uri: Uri, targets: list[Target]) -> bool:
    for target in targets:
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
        domain, peers = request.uri.host, self._core.peers
        hop = peers.hop(domain)
        if hop is None:
            return None
        return [Target(request.raw_uri, hop=hop, is_trusted=peers.is_trusted(domain))]


@implementer(IRouter)
class DnsRouter:
    """Routes all other requests for foreign domains where their URI says (RFC 3263, RFC 3861)."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def targets(self, request: Request, sender: Sender) -> Any:
        """Return the Request-URI, not ours to change (§16.5); 416 for a scheme of others."""
        if self._core.identity.domain_of(request.uri) is not None:
            return None
        if not request.uri.is_sip and b"route" not in request.names:
            raise SipError(416)
        return [Target(request.raw_uri)]
