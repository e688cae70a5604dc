"""The built-in routers: our users' bindings, configured domains, and the DNS (RFC 3261 §16.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from sipproxy.interfaces import IRouter, Sender, Target, then
from sipproxy.proxy.callers import preferred
from sipproxy.proxy.core import Core
from sipproxy.proxy.instances import Found
from sipproxy.proxy.secure import secured, sips_not_allowed, unsecured
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

        An empty list says that nobody is left of whom the caller wants (RFC 3841 §7.2.4). A request
        to a sips URI reaches sips contacts alone (RFC 5630 §5.3).
        """
        uri = request.uri
        core = self._core
        domain = core.identity.domain_of(uri)
        if domain is None:
            return None
        aor = core.identity.canonical(uri, domain)
        bindings: Sequence[Binding] = core.location.bindings(aor)
        is_gruu = b"gr" in uri.params
        if is_gruu:
            meant = core.gruus.bound(uri, domain, bindings)
            if meant is None:
                raise core.astray(request)  # RFC 5627 §6.1
            bindings = meant
        found: Found = []
        is_sips = uri.scheme == b"sips"
        self._collect(bindings, aor, found, {aor}, is_sips)
        if not found:
            if is_sips and bindings:
                raise sips_not_allowed()
            return then(core.credentials.known(aor), _refuse)
        targets = preferred(request, found)
        if is_gruu and b"route" in request.names:
            for target in targets:  # RFC 5627 §6.1: the Route of a dialog leads there, not Path
                target.routes = ()
        return targets

    def _collect(
        self,
        bindings: Sequence[Binding],
        aor: bytes,
        found: Found,
        visited: set[bytes],
        is_sips: bool,
    ) -> None:
        """Add the targets of an address-of-record or GRUU, and of those of ours it points to.

        A sips contact goes by TLS, and keeps its scheme only where the request came with it.
        """
        for binding in bindings:
            uri: Uri = binding.contact.uri
            if not uri.is_sip or not binding.is_reachable:
                continue
            if is_sips and uri.scheme != b"sips":
                continue
            flow, ours, hop = binding.flow, None, None
            if flow is None:  # else it is the way, whatever the contact says
                ours, hop = self._core.identity.domain_of(uri), self._core.peers.hop(uri.host)
            if ours is not None:
                self._follow(uri, ours, found, visited, is_sips)
            elif not found or binding.is_flow or not _is_among(uri, found):
                form, path = request_form(uri), binding.path
                if uri.scheme == b"sips" and not is_sips:
                    form, hop = unsecured(form), secured(hop or uri)
                target = Target(form, path, flow, hop, True, False, b"", binding.q)
                if binding.instance is not None:
                    target.instance = aor + b"\0" + binding.instance.urn
                found.append((target, binding))

    def _follow(
        self, uri: Uri, domain: bytes, found: Found, visited: set[bytes], is_sips: bool
    ) -> None:
        """Add the targets of a contact that is another user of ours, or a GRUU of one."""
        aor = self._core.identity.canonical(uri, domain)
        if aor in visited:
            return
        visited.add(aor)
        bindings: Sequence[Binding] = self._core.location.bindings(aor)
        if b"gr" in uri.params:
            bindings = self._core.gruus.bound(uri, domain, bindings) or ()
        self._collect(bindings, aor, found, visited, is_sips)


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
