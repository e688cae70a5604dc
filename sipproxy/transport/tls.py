"""TLS: the contexts of our listeners and connections, and the flow that a handshake makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
)
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from sipproxy.transport.certificates import (
    NOBODY,
    CertificateError,
    Pair,
    identities,
    is_numeric,
    is_usable,
    matches,
    read,
    read_pair,
)
from sipproxy.transport.counts import BROKEN, REFUSED, SECURED, SLOW
from sipproxy.transport.identity import SentBy
from sipproxy.transport.resolver import Unreachable
from sipproxy.transport.settings import Listen, Tls
from sipproxy.transport.stream import ReplyPath, StreamFlow, Surroundings

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all fit
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET
_VERIFY = {
    "none": SSL.VERIFY_NONE,
    "request": SSL.VERIFY_PEER,
    "require": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}
_INVALID_PURPOSE = 26  # X509_V_ERR_INVALID_PURPOSE
# What X509_verify_cert found, in our words; <openssl/x509_vfy.h>.
_PROBLEMS = {
    2: "is of an authority that is not known here",
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself alone",
    19: "is of an authority that is not known here",
    20: "is of an authority that is not known here",
    21: "is of an authority that is not known here",
    _INVALID_PURPOSE: "is not for this use",
}


class Contexts:
    """What handshakes are made with; ``reload`` puts new ones in the place of all, or of none.

    ``home`` is the directory that file names are relative to. Raises `CertificateError`.
    """

    def __init__(self, listens: Iterable[Listen], settings: Tls, home: Path) -> None:
        self._listens = tuple(listens)
        self._settings = settings
        self._home = home
        self.pairs: list[Pair] = []
        self._servers: dict[tuple[str, str], SSL.Context] = {}
        self._client: SSL.Context | None = None
        self.reload()

    def reload(self) -> None:
        """Read every file anew; connections keep what they were made with."""
        pairs: list[Pair] = []
        servers: dict[tuple[str, str], SSL.Context] = {}
        settings = self._settings
        for index, listen in enumerate(self._listens):
            if listen.transport == "tls":
                pair = self._pair(f"listen[{index}].", listen.certificate, listen.private_key)
                pairs.append(pair)
                servers[listen.certificate, listen.private_key] = self._server(pair)
        ours = pairs[0] if pairs else None
        if settings.client_certificate:
            files = settings.client_certificate, settings.client_private_key
            ours = self._pair("tls.client_", *files)
            pairs.append(ours)
        # The authorities of a system are many: a server without TLS does not read them at start.
        client = self._context(ours, is_client=True) if ours or settings.ca else None
        self.pairs, self._servers, self._client = pairs, servers, client

    def _pair(self, prefix: str, certificate: str, private_key: str) -> Pair:
        return read_pair(prefix, self._home / certificate, self._home / private_key)

    def _server(self, pair: Pair) -> SSL.Context:
        return self._context(pair, is_client=False)

    def _context(self, pair: Pair | None, is_client: bool) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(_OPTIONS)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # who is silent holds no room for a record
        context.set_cipher_list(CIPHERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # every handshake shows certificates
        if pair is not None:
            _use(context, pair)
        mode = SSL.VERIFY_PEER if is_client else _VERIFY[self._settings.verify_clients]
        context.set_verify(mode, _verifier(not is_client, self._settings.strict_purposes))
        if mode != SSL.VERIFY_NONE:
            self._trust(context)
        return context

    def _trust(self, context: SSL.Context) -> None:
        if not self._settings.ca:
            context.set_default_verify_paths()
            return
        file = self._home / self._settings.ca
        read("tls.ca", file)
        try:
            context.load_verify_locations(str(file))
        except SSL.Error:
            raise CertificateError("tls.ca", f"{file}: holds no certificates in PEM") from None

    def server(self, listen: Listen) -> SSL.Context:
        """Return what the next connection to a listener is made with."""
        return self._servers[listen.certificate, listen.private_key]

    def client(self) -> SSL.Context:
        """Return what the next connection of ours is made with."""
        if self._client is None:
            self._client = self._context(None, is_client=True)
        return self._client


def _use(context: SSL.Context, pair: Pair) -> None:
    try:
        context.use_certificate(pair.chain[0])
        for one in pair.chain[1:]:
            context.add_extra_chain_cert(one)
        context.use_privatekey(pair.private_key)  # type: ignore[arg-type]
        context.check_privatekey()
    except (SSL.Error, TypeError) as error:
        problem = f"{pair.file}: cannot be used with TLS: {explain(error)}"
        raise CertificateError(pair.key, problem) from None


def _verifier(of_clients: bool, strict: bool) -> Callable[..., bool]:
    """Return what OpenSSL asks of each certificate in a peer's chain."""

    def verify(connection: SSL.Connection, found: Any, error: int, depth: int, ok: int) -> bool:
        if ok:
            return True
        certificate: x509.Certificate = found.to_cryptography()
        if error == _INVALID_PURPOSE and _may(certificate, depth, of_clients, strict):
            return True
        flow = connection.get_app_data().wrappedProtocol
        flow.problem = f"its certificate {_PROBLEMS.get(error, f'fails (OpenSSL: {error})')}"
        return False

    return verify


def _may(certificate: x509.Certificate, depth: int, is_client: bool, strict: bool) -> bool:
    """Tell whether a purpose that OpenSSL refuses is one that SIP accepts (RFC 5924 §5).

    OpenSSL says the same of a key usage that does not fit, which stays refused.
    """
    try:
        if depth:  # authorities of servers have no other purpose, either
            found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            return found.value.ca and is_usable(certificate, is_client, strict)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature or usage.key_agreement):
            return False
    except x509.ExtensionNotFound:
        if depth:
            return False
    except ValueError:
        return False
    return is_usable(certificate, is_client, strict)


def explain(error: BaseException | None) -> str:
    """Return one line about why a connection or a handshake failed."""
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        reasons = [entry[2] for entry in error.args[0] if entry[2]]
        return ", ".join(reasons) or "the handshake failed"
    return "the connection has ended" if error is None else str(error) or type(error).__name__


@implementer(IHandshakeListener, IPushProducer)
class TlsFlow(StreamFlow):
    """A connection with TLS: a flow once its handshake is over and its peer is who was wanted.

    ``wanted`` are the domains of which the certificate has to be for one, where we connect;
    ``ready`` is then told the outcome. ``proven_domains`` are those of the peer's certificate,
    which OpenSSL has verified: one that it refuses ends the handshake.

    Twisted tells when too much waits for the kernel.
    """

    via_transport = b"TLS"
    is_pushing = True

    def __init__(
        self,
        surroundings: Surroundings,
        name: bytes,
        sent_by: SentBy,
        wanted: tuple[bytes, ...] = (),
        ready: Deferred[TlsFlow] | None = None,
    ) -> None:
        StreamFlow.__init__(self, surroundings, name, sent_by)
        self.proven_domains = NOBODY
        self.version = ""  # of TLS, once the handshake is over
        self.problem = ""
        self.wanted = wanted
        self._ready = ready
        self._is_secured = self._is_slow = False

    def _begin(self) -> None:
        """TCP stands: the handshake has so much time, however busy the peer is with it."""
        self.surroundings.wake(self, self.surroundings.limits.handshake)

    def handshakeCompleted(self) -> None:
        """The handshake is over; is it who we wanted (RFC 5922 §7.3)?"""
        found = self._wire.getPeerCertificate()
        if found is not None:
            self.proven_domains = _identities(found)
        if self.wanted and not matches(self.proven_domains, self.wanted):
            theirs = b", ".join(sorted(self.proven_domains)) or b"no SIP domain"
            names = theirs.decode("ascii"), b" or ".join(self.wanted).decode("ascii", "replace")
            self.problem = "its certificate is for {}, not for {}".format(*names)
            self._abort()
            return
        self._is_secured = True
        self.version = self._wire.getHandle().get_protocol_version_name()
        self._count(SECURED)
        self.surroundings.counts.secured(self)
        StreamFlow._begin(self)
        if self._ready is not None:
            ready, self._ready = self._ready, None
            ready.callback(self)

    @property
    def cipher(self) -> str:
        """How an open connection is encrypted; empty before its handshake is over."""
        return (self._wire.getHandle().get_cipher_name() or "") if self._is_secured else ""

    def _count(self, outcome: str) -> None:
        self.surroundings.counts.handshakes["out" if self.wanted else "in", outcome] += 1

    def flush(self) -> None:
        """Send what was gathered, in as few records as may be, unless too much waits already."""
        if self._closing or self._stalled is not None or not self._gathered:
            return
        data, self._gathered, self._queued = b"".join(self._gathered), [], 0
        self._wire.write(data)
        socket = self._wire.transport
        if socket is not None and not socket.disconnecting:
            socket.doWrite()  # now, and not in another turn; an error the reactor will find, too

    def pauseProducing(self) -> None:
        """Twisted's buffer is full: what comes now is gathered until there is room."""
        if self._stalled is None:
            self._stalled = self.surroundings.seconds()
            self._sleep()

    def woken(self) -> None:
        """Close what is too slow, idle, half a message, or stalled."""
        if not self._is_secured and not self.problem:
            self.problem = "the handshake took too long"
            self._is_slow = True
            self.surroundings.counts.closed["handshake"] += 1
        StreamFlow.woken(self)

    def connectionLost(self, reason: Any = None) -> None:
        """The connection has ended, perhaps before it was one."""
        StreamFlow.connectionLost(self, reason)
        if not self._is_secured:
            self._count(SLOW if self._is_slow else REFUSED if self.problem else BROKEN)
            why = self.problem or explain(None if reason is None else reason.value)
            self._log.info("{flow}: no TLS: {why}", flow=self, why=why)
            if self._ready is not None:
                ready, self._ready = self._ready, None
                ready.errback(Unreachable(why))

    def close(self) -> None:
        """Close as `StreamFlow` does; a handshake ends at once."""
        if self._is_secured:
            StreamFlow.close(self)
        elif self.is_open:
            self._abort()

    def leave(self) -> None:
        """Say goodbye, and do not wait for the peer's."""
        wire = self._wire
        self.close()
        if wire is not None and wire.transport is not None:
            wire.transport.loseConnection()

    def reply_path(self, via: Any) -> ReplyPath:
        """Return where responses go; what asks for it becomes an alias (RFC 5923 §8.2)."""
        if b"alias" in via.params and self.proven_domains:
            self.surroundings.alias(self, via.effective_port)
        return StreamFlow.reply_path(self, via)  # type: ignore[return-value]


def _identities(found: Any) -> frozenset[bytes]:
    try:
        return identities(found.to_cryptography())
    except ValueError:  # OpenSSL can read it, but we cannot
        return NOBODY


@implementer(IOpenSSLServerConnectionCreator)
class _Accepting:
    """Begins the handshakes of a listener, each with what is loaded then."""

    def __init__(self, context: Callable[[], SSL.Context]) -> None:
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Return the connection of a handshake."""
        connection = SSL.Connection(self._context(), None)
        connection.set_app_data(tlsProtocol)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class _Connecting:
    """Begins a handshake of ours, and names the domain that we want (RFC 5922 §7.8)."""

    def __init__(self, contexts: Contexts, domain: bytes) -> None:
        self._contexts = contexts
        self._domain = domain

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Return the connection of a handshake."""
        connection = SSL.Connection(self._contexts.client(), None)
        connection.set_app_data(tlsProtocol)
        if not is_numeric(self._domain):
            connection.set_tlsext_host_name(self._domain)
        return connection


class _One(Factory):
    """Gives the protocol of the one connection that we make, and holds it no longer."""

    noisy = False

    def __init__(self, flow: TlsFlow) -> None:
        self._flow: TlsFlow | None = flow

    def buildProtocol(self, addr: Any) -> TlsFlow | None:
        """Return it."""
        flow, self._flow = self._flow, None
        return flow


class _Wrapping(TLSMemoryBIOProtocol):
    """TLS between a connection and its flow, without a cycle where it ends as it should not.

    Twisted keeps the Failure of a broken TLS in a local name of the frame that its traceback leads
    to: with it 60 KiB of OpenSSL's would wait for the collector, for whoever opens a connection and
    leaves amid the handshake. `_tlsShutdownFinished` is told of each; nothing public is. What a
    turn writes it need not gather: flows do.
    """

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is not None:
            reason.cleanFailure()
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]


class _Securing(TLSMemoryBIOFactory):
    """Makes them."""

    protocol = _Wrapping


def accepting(context: Callable[[], SSL.Context], flows: Factory, clock: Any) -> Any:
    """Return the factory of a listener, whose flows another factory makes."""
    return _Securing(_Accepting(context), False, flows, clock)


def connect(contexts: Contexts, endpoint: Any, flow: TlsFlow, clock: Any) -> None:
    """Connect by an endpoint; the ``ready`` of the flow is told the outcome of the handshake."""
    ready = flow._ready
    assert ready is not None
    creator = _Connecting(contexts, flow.wanted[0])
    attempt = endpoint.connect(_Securing(creator, True, _One(flow), clock))
    attempt.addErrback(ready.errback)
