"""Who we are: our domains, names and addresses, and the one form of an address-of-record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sipproxy.sip.grammar import is_host
from sipproxy.sip.uri import DEFAULT_PORTS, Uri, address_of_record, canonical_host
from sipproxy.transport.settings import Listen


@dataclass(frozen=True, slots=True)
class SentBy:
    """What a listener writes of itself: a host, in brackets where it is IPv6, and a port.

    ``params`` are those that Via has besides, each after a semicolon.
    """

    transport: bytes
    host: bytes
    port: int
    params: bytes = b""

    def __bytes__(self) -> bytes:
        return b"%s:%d" % (self.host, self.port)


def bracketed(address: str) -> bytes:
    """Write an address as URIs and Via want it."""
    text = address.encode("ascii")
    return b"[" + text + b"]" if b":" in text and text[:1] != b"[" else text


def sent_by(listen: Listen) -> SentBy:
    """Return what a listener writes into Via, Record-Route and Contact.

    Raises ValueError where ``advertise`` is no host[:port].
    """
    transport = listen.transport.upper().encode()
    if not listen.advertise:
        return SentBy(transport, canonical_host(bracketed(listen.address)), listen.port)
    text = listen.advertise.encode("ascii")
    end = text.find(b"]") + 1 or len(text)
    colon = text.find(b":", 0 if text[:1] != b"[" else end)
    host, port = (text, b"") if colon < 0 else (text[:colon], text[colon + 1 :])
    if not is_host(host) or (port and not (port.isdigit() and 0 < int(port) <= 65535)):
        raise ValueError(f"{listen.advertise!r} is no host[:port]")
    return SentBy(transport, canonical_host(host), int(port) if port else listen.port)


class Identity:
    """Answers "is that us?" without asking anybody.

    ``domains`` are what we are responsible for, the first being the default realm; ``aliases`` are
    other names of ours, which stand for the first domain, as our addresses do. ``former`` is what
    we have written into Via before: answers come to it.
    """

    def __init__(
        self,
        domains: Sequence[str],
        aliases: Iterable[str],
        listens: Iterable[Listen],
        former: Iterable[tuple[bytes, int]] = (),
    ) -> None:
        self.domains = [canonical_host(bracketed(domain)) for domain in domains]
        self.aliases = frozenset(canonical_host(bracketed(alias)) for alias in aliases)
        self._domain_set = frozenset(self.domains)
        self._names = self._domain_set | self.aliases
        self._addresses: set[tuple[bytes, int]] = set()
        self.written: set[tuple[bytes, int]] = set(former)
        self._ports: set[int] = set(DEFAULT_PORTS.values())
        # Opens the user part of a temporary GRUU of a domain (RFC 5627); None where it is not ours.
        self.unveil: Callable[[bytes | None, bytes], bytes | None] = lambda user, domain: None
        for listen in listens:
            self.add(listen)

    def add(self, listen: Listen) -> None:
        """Count a listener's address, and what it advertises, as ours."""
        advertised = sent_by(listen)
        self._addresses.add((advertised.host, advertised.port))
        self._addresses.add((canonical_host(bracketed(listen.address)), listen.port))
        self._ports.update((advertised.port, listen.port))
        self.written |= self._addresses

    @property
    def domain(self) -> bytes:
        """The default domain."""
        return self.domains[0]

    def sent(self, host: bytes, port: int) -> bool:
        """Tell whether a Via's sent-by is one that we write, or have (RFC 3261 §18.1.2)."""
        return (host, port) in self.written

    def is_us(self, uri: Uri) -> bool:
        """Tell whether a URI leads to this server, by domain, alias or address (§16.4)."""
        if uri.host in self._names:
            return uri.port is None or uri.port in self._ports
        return (uri.host, uri.effective_port) in self._addresses

    def domain_of(self, uri: Uri) -> bytes | None:
        """Return the domain of ours that a URI belongs to, or None for a foreign one.

        With a maddr it leads there, whatever its domain (§16.5); one of ours has been taken off.
        """
        host = uri.host
        if b"maddr" in uri.params:
            return None
        if host in self._domain_set and (uri.port is None or uri.port in self._ports):
            return host
        return self.domains[0] if host and self.is_us(uri) else None

    def realm_of(self, uri: Uri) -> bytes | None:
        """Return the domain of ours that a From claims to belong to, whatever port it names."""
        if uri.host in self._names:
            return uri.host if uri.host in self._domain_set else self.domain
        return self.domain if uri.host and self.is_us(uri) else None

    def canonical(self, uri: Uri) -> bytes:
        """Return the one form of a URI's address-of-record, ``user@domain`` (§10.3 step 5).

        sip, sips, im and pres URIs of our domains, their aliases and our addresses are one; a GRUU
        has the one that it was made for (RFC 5627 §5.4).
        """
        aor = address_of_record(uri)
        domain = self.domain_of(uri)
        if b"gr" in uri.params and domain is not None and not uri.params[b"gr"]:
            user = self.unveil(uri.user, domain)
            return aor[: -len(uri.host)] + domain if user is None else user + b"@" + domain
        if domain is None or domain == uri.host:
            return aor
        return aor[: -len(uri.host)] + domain
