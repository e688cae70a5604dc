"""TLS on the loopback address: handshakes that succeed, and those that must not (RFC 5922)."""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import ssl
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import SkipTest

from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from sipproxy.sip.response import make_response
from sipproxy.transport.certificates import SIP_DOMAIN, CertificateError, NextHop, parse_uri
from sipproxy.transport.resolver import Unreachable
from sipproxy.transport.settings import Listen, Tls
from sipproxy.transport.stream import StreamFlow
from sipproxy.transport.tls import Contexts
from tests.authority import DAY, Authority, dns, uris
from tests.transport.sites import FOUR, SIX, Site, SiteCase, has_ipv6, message

AUTHORITY, STRANGER = Authority(), Authority("a stranger")
BELOW = Authority("an authority below", AUTHORITY)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
CODE = ExtendedKeyUsageOID.CODE_SIGNING


class TlsCase(SiteCase):
    """A directory with the authority that all trust, and sites with certificates of it."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir()

    def tls(self, domain: str, **tls: Any) -> Site:
        """Return a site that listens for TLS with the certificate of a domain."""
        files = AUTHORITY.write(self.place, domain, *dns(domain))
        return self.listening(*files, **tls)

    def listening(self, certificate: str, private_key: str, **tls: Any) -> Site:
        """Return a site that listens for TLS with these files."""
        limits = {name: tls.pop(name) for name in ("handshake", "write_queue") if name in tls}
        listen = Listen("tls", FOUR, 0, "", certificate, private_key)
        contexts = Contexts([listen], Tls(ca="ca.pem", **tls), self.place)
        return self.site(listen, contexts=contexts, **limits)

    def uri(self, site: Site, domain: str = "a.test") -> str:
        """Return a URI of a domain that leads to a site, as if the DNS had said so."""
        return f"sips:{domain}:{site.port('tls')};maddr={FOUR}"

    async def why(self, site: Site, uri: str) -> str:
        """Return why a URI is not to be reached."""
        try:
            await self.reached(site, uri)
        except Unreachable as problem:
            return str(problem)
        raise AssertionError(f"{uri} was reached")

    async def pair(self, **tls: Any) -> tuple[Site, Site, Any]:
        """Return a site of a.test, one of b.test, and a flow from b to a."""
        a, b = self.tls("a.test", **tls), self.tls("b.test")
        return a, b, await self.reached(b, self.uri(a))


class ClientTests(TlsCase):
    """RFC 5922 §7.3: we connect to a domain, and its certificate is right or the way is closed."""

    async def test_message(self) -> None:
        """A request goes there with Via TLS, its answer comes back."""
        a, b, flow = await self.pair()
        self.assertEqual((flow.via_transport, flow.proven_domains), (b"TLS", {b"a.test"}))
        b.send(flow)
        await self.until(lambda: b.told)
        self.assertEqual(b.told, ["200"])
        via = b"SIP/2.0/TLS 127.0.0.1:%d" % b.port("tls")
        self.assertTrue((a.requests[0].value(b"via") or b"").startswith(via))
        self.assertEqual(a.flows[0].proven_domains, frozenset())

    async def test_what_is_told_of_it(self) -> None:
        """The operator sees what it is encrypted with, and since when it is there."""
        a, b, flow = await self.pair()
        await self.until(lambda: a.network.flows and a.network.flows[0].version)
        (other,) = a.network.flows
        self.assertEqual((flow.version, other.version), ("TLSv1.3", "TLSv1.3"))
        self.assertEqual(flow.cipher, other.cipher)
        self.assertIn("AES", flow.cipher)
        self.assertEqual(flow.local, (FOUR, other.port))
        self.assertLessEqual(flow.since, b.network.seconds())
        self.assertEqual(a.network.counts.handshakes, {("in", "secured"): 1})
        self.assertEqual(b.network.counts.handshakes, {("out", "secured"): 1})
        self.assertEqual(b.network.counts.versions, {"TLSv1.3": 1})
        flow.close()
        await self.until(lambda: not (a.network.flows or b.network.flows))
        self.assertEqual(sum(b.network.counts.versions.values()), 0)

    async def accepts(self, *names: Any, by: Authority = AUTHORITY, **how: Any) -> None:
        """Connect for a.test to a certificate."""
        peer = self.listening(*by.write(self.place, "peer", *names, **how))
        flow = await self.reached(self.tls("b.test"), self.uri(peer))
        self.assertTrue(flow.is_writable)

    async def refuses(
        self, reason: str, *names: Any, by: Authority = AUTHORITY, **how: Any
    ) -> None:
        """Connect for a.test to a certificate, in vain."""
        peer = self.listening(*by.write(self.place, "peer", *names, **how))
        self.last = self.tls("b.test")
        found = await self.why(self.last, self.uri(peer))
        self.assertEqual(found, f"TLS to {FOUR}:{peer.port('tls')}: its certificate {reason}")
        await self.until(lambda: not peer.network.connections)
        self.assertEqual(self.last.network.counts.handshakes, {("out", "refused"): 1})

    async def test_uri(self) -> None:
        await self.accepts(*uris("sip:a.test"))

    async def test_several_names(self) -> None:
        await self.accepts(*dns("c.test", "A.TEST"))

    async def test_authority_below(self) -> None:
        await self.accepts(*dns("a.test"), by=BELOW)

    async def test_use_by_servers(self) -> None:
        await self.accepts(*dns("a.test"), usages=[SERVER])

    async def test_use_by_sip(self) -> None:
        """RFC 5924 §5; OpenSSL alone would refuse it."""
        await self.accepts(*dns("a.test"), usages=[SIP_DOMAIN])

    async def test_wrong_name(self) -> None:
        await self.refuses("is for c.test, not for a.test", *dns("c.test"))

    async def test_name_below(self) -> None:
        await self.refuses("is for sip.a.test, not for a.test", *dns("sip.a.test"))

    async def test_wildcard(self) -> None:
        await self.refuses("is for no SIP domain, not for a.test", *dns("*.test", "*.a.test"))

    async def test_name_beside_a_uri(self) -> None:
        await self.refuses("is for c.test, not for a.test", *uris("sip:c.test"), *dns("a.test"))

    async def test_nul(self) -> None:
        await self.refuses("is for no SIP domain, not for a.test", *dns("a.test\0.c.test"))

    async def test_expired(self) -> None:
        await self.refuses("has expired", *dns("a.test"), begins=-2 * DAY, ends=-DAY)

    async def test_not_yet(self) -> None:
        await self.refuses("is not valid yet", *dns("a.test"), begins=DAY)

    async def test_use_by_clients(self) -> None:
        await self.refuses("is not for this use", *dns("a.test"), usages=[CLIENT])

    async def test_use_for_code(self) -> None:
        await self.refuses("is not for this use", *dns("a.test"), usages=[CODE])

    async def test_unknown_authority(self) -> None:
        files = STRANGER.write(self.place, "peer", *dns("a.test"))
        AUTHORITY.write(self.place, "b", *dns("b.test"))
        peer = self.listening(*files)
        found = await self.why(self.tls("b.test"), self.uri(peer))
        self.assertIn("its certificate is of an authority that is not known here", found)

    async def test_configured_hop(self) -> None:
        """The certificate of the domain is right, too, where its hop is configured."""
        a, b = self.tls("a.test"), self.tls("b.test")
        text = f"sip:{FOUR}:{a.port('tls')};transport=tls".encode()
        (hop,) = b.network.hops(NextHop(parse_uri(text), b"a.test"))
        flow = await b.network.reach(hop, 500)
        self.assertEqual(flow.proven_domains, {b"a.test"})
        found = await self.why(b, text.decode())
        self.assertIn("is for a.test, not for 127.0.0.1", found)

    async def test_ipv6(self) -> None:
        """The same, at ::1."""
        if not has_ipv6():
            raise SkipTest("there is no ::1")
        files = AUTHORITY.write(self.place, "six", *dns("a.test"))
        listen = Listen("tls", SIX, 0, "", *files)
        contexts = Contexts([listen], Tls(ca="ca.pem"), self.place)
        a, b = (self.site(listen, contexts=contexts) for _ in "ab")
        flow = await self.reached(b, f"sips:a.test:{a.port('tls', SIX)};maddr=[::1]")
        b.send(flow)
        await self.until(lambda: b.told)
        self.assertEqual(b.told, ["200"])

    async def test_peer_without_tls(self) -> None:
        """A listener for TCP answers the handshake with SIP, or not at all."""
        b, tcp = self.tls("b.test", handshake=0.3), self.site(Listen("tcp", FOUR, 0))
        port = tcp.port("tcp")
        self.assertIn("TLS to", await self.why(b, f"sips:a.test:{port};maddr={FOUR}"))

    async def test_peer_that_hangs_up(self) -> None:
        listening, b = self.listener(), self.tls("b.test")
        found = b.reach(f"sips:a.test:{listening.getsockname()[1]};maddr={FOUR}")
        (await self.accepted(listening)).close()
        await self.assertFailure(found, Unreachable)

    async def test_slow_peer(self) -> None:
        """One that accepts and says nothing has so long."""
        listening, b = self.listener(), self.tls("b.test", handshake=0.2)
        found = b.reach(f"sips:a.test:{listening.getsockname()[1]};maddr={FOUR}")
        await self.accepted(listening)
        problem = await self.assertFailure(found, Unreachable)
        self.assertIn("the handshake took too long", str(problem))
        self.assertEqual(b.network.connections, 0)
        self.assertEqual(b.network.counts.handshakes, {("out", "slow"): 1})
        self.assertEqual(b.network.counts.closed, {"handshake": 1})

    async def test_nobody_there(self) -> None:
        listening = self.listener()
        port = listening.getsockname()[1]
        listening.close()
        found = await self.why(self.tls("b.test"), f"sips:a.test:{port};maddr={FOUR}")
        self.assertIn("refused", found)


class MutualTests(TlsCase):
    """RFC 5922 §7.4: whoever connects shows a certificate, and what we make of it."""

    async def arrives(self, **tls: Any) -> Any:
        """Connect b.test to a.test, and return what a.test knows b.test by."""
        usages = tls.pop("usages", ())
        a = self.tls("a.test", **tls)
        files = AUTHORITY.write(self.place, "b", *dns("b.test", "sip.b.test"), usages=usages)
        b = self.listening(*files)
        b.send(await self.reached(b, self.uri(a)))
        await self.until(lambda: b.told)
        if b.told != ["200"]:
            self.assertEqual((b.told, a.requests), (["failed"], []))
            return None
        return a.flows[0].proven_domains

    async def test_require(self) -> None:
        found = await self.arrives(verify_clients="require")
        self.assertEqual(found, {b"b.test", b"sip.b.test"})

    async def test_request(self) -> None:
        found = await self.arrives(verify_clients="request")
        self.assertEqual(found, {b"b.test", b"sip.b.test"})

    async def test_none(self) -> None:
        """What is not asked for proves nothing."""
        self.assertEqual(await self.arrives(), frozenset())

    async def test_servers_certificate(self) -> None:
        """Public authorities certify nothing else."""
        found = await self.arrives(verify_clients="require", usages=[SERVER])
        self.assertEqual(found, {b"b.test", b"sip.b.test"})

    async def test_servers_certificate_strictly(self) -> None:
        tls = {"verify_clients": "require", "strict_purposes": True}
        self.assertIsNone(await self.arrives(usages=[SERVER], **tls))

    async def test_sip_certificate_strictly(self) -> None:
        tls = {"verify_clients": "require", "strict_purposes": True}
        self.assertIsNotNone(await self.arrives(usages=[SIP_DOMAIN], **tls))

    async def test_use_for_code(self) -> None:
        self.assertIsNone(await self.arrives(verify_clients="require", usages=[CODE]))

    async def shown(self, verify: str, **how: Any) -> Any:
        """Connect as a client that does not care who we are; return the flow, None if refused."""
        a = self.tls("a.test", verify_clients=verify)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if "by" in how:
            files = how.pop("by").write(self.place, "c", *dns("c.test"), **how)
            AUTHORITY.write(self.place, "x", *dns("x.test"))
            context.load_cert_chain(*(self.place / file for file in files))
        client = TlsClient(self, a, context)
        try:
            await client.handshake()
            client.tls.send(message("SIP/2.0/TLS 192.0.2.9;branch=z9hG4bKm"))
            await client.read()
        except (ssl.SSLError, ConnectionError):
            await self.until(lambda: not a.network.connections)
            return None
        return a.flows[0] if a.flows else None

    async def test_nothing_shown(self) -> None:
        flow = await self.shown("request")
        self.assertEqual(flow.proven_domains, frozenset())

    async def test_nothing_shown_where_required(self) -> None:
        self.assertIsNone(await self.shown("require"))

    async def test_shown(self) -> None:
        flow = await self.shown("request", by=AUTHORITY)
        self.assertEqual(flow.proven_domains, {b"c.test"})

    async def test_unknown_authority(self) -> None:
        """Nobody who shows a wrong certificate is let in as if there were none."""
        self.assertIsNone(await self.shown("request", by=STRANGER))

    async def test_expired(self) -> None:
        how = {"begins": -2 * DAY, "ends": -DAY}
        self.assertIsNone(await self.shown("request", by=AUTHORITY, **how))

    async def test_not_yet(self) -> None:
        self.assertIsNone(await self.shown("request", by=AUTHORITY, begins=DAY))


class TlsClient:
    """A plain socket with TLS on it, which does not block."""

    def __init__(self, case: SiteCase, site: Site, context: ssl.SSLContext) -> None:
        self._case = case
        plain = case.connect(FOUR, site.port("tls"))
        self.tls = context.wrap_socket(plain, do_handshake_on_connect=False)
        case.addCleanup(self.tls.close)

    async def handshake(self) -> None:
        """Take every step of it."""
        await self._again(self.tls.do_handshake)

    async def read(self) -> bytes:
        """Return the octets that come next; empty at the end."""
        found: bytes = await self._again(lambda: self.tls.recv(65535))
        return found

    async def _again(self, step: Any) -> Any:
        deadline = reactor.seconds() + 10
        while reactor.seconds() < deadline:
            try:
                return step()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                await deferLater(reactor, 0.001)
        raise AssertionError("waited in vain")


class ServerTests(TlsCase):
    """Listeners: who may connect, and for how long without a handshake."""

    async def ended(self, plain: Any) -> None:
        """Wait until the server has closed a connection, whatever it said before."""
        with contextlib.suppress(ConnectionResetError):
            while await self.read(plain):
                continue

    def context(self) -> ssl.SSLContext:
        """Return what a client uses that knows the authority."""
        context = ssl.create_default_context(cafile=str(self.place / "ca.pem"))
        context.check_hostname = False
        return context

    async def test_one_that_says_nothing(self) -> None:
        a = self.tls("a.test", handshake=0.2)
        plain = self.connect(FOUR, a.port("tls"))
        await self.until(lambda: a.network.connections)
        await self.ended(plain)
        await self.until(lambda: not a.network.connections)

    async def test_one_that_says_little(self) -> None:
        """However often it says something: the time is that of the whole handshake."""
        a = self.tls("a.test", handshake=0.2)
        plain = self.connect(FOUR, a.port("tls"))
        hello = bytes.fromhex("160301020001")
        for octet in hello:
            plain.send(bytes((octet,)))
            await self.until(lambda: a.network.connections)
        await self.ended(plain)
        await self.until(lambda: not a.network.connections)

    async def test_sip_without_tls(self) -> None:
        a = self.tls("a.test")
        plain = self.connect(FOUR, a.port("tls"))
        plain.send(message("SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKx"))
        await self.until(lambda: not a.network.connections)
        self.assertEqual(a.requests, [])

    async def refused(self, context: ssl.SSLContext) -> None:
        """Try a handshake that there must not be."""
        client = TlsClient(self, self.tls("a.test"), context)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            await client.handshake()

    async def test_old_version(self) -> None:
        AUTHORITY.write(self.place, "x", *dns("x.test"))
        context = self.context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        await self.refused(context)

    async def test_old_cipher(self) -> None:
        """Without forward secrecy, or with CBC."""
        AUTHORITY.write(self.place, "x", *dns("x.test"))
        for cipher in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"):
            context = self.context()
            context.set_ciphers(f"{cipher}:@SECLEVEL=0")
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            await self.refused(context)

    async def test_tls_1_2(self) -> None:
        a = self.tls("a.test")
        context = self.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        client = TlsClient(self, a, context)
        await client.handshake()
        self.assertIsNone(client.tls.compression())
        client.tls.send(message("SIP/2.0/TLS 192.0.2.9;branch=z9hG4bKx"))
        self.assertIn(b"SIP/2.0 200", await client.read())

    async def test_one_that_does_not_read(self) -> None:
        """Its queue is bounded as without TLS."""
        a = self.tls("a.test", write_queue=100_000)
        client = TlsClient(self, a, self.context())
        await client.handshake()
        client.tls.send(message("SIP/2.0/TLS 192.0.2.9;branch=z9hG4bKx"))
        await self.until(lambda: a.flows)
        flow = a.flows[0]

        def filled() -> bool:
            flow.send(bytes(60_000))
            return not flow.is_open

        await self.until(filled)
        self.assertEqual(a.network.connections, 0)

    async def flow(self, **limits: Any) -> tuple[TlsClient, Any]:
        """Return a client that has been answered, and the server's flow to it."""
        a = self.tls("a.test", **limits)
        client = TlsClient(self, a, self.context())
        await client.handshake()
        client.tls.send(message("SIP/2.0/TLS 192.0.2.9;branch=z9hG4bKx"))
        self.assertIn(b"SIP/2.0 200", await client.read())
        return client, a.flows[0]

    async def test_one_that_reads_late(self) -> None:
        """What the kernel has no room for is sent in its order, what came meanwhile after it."""
        client, flow = await self.flow(write_queue=20_000_000)
        wanted = b"".join(b"%07d\n" % number * 50_000 for number in range(20))
        for start in range(0, len(wanted), 400_000):
            flow.send(wanted[start : start + 400_000])
            await deferLater(reactor, 0)
        got = b""
        while len(got) < len(wanted):
            got += await client.read()
        self.assertEqual(got, wanted)

    async def test_a_bug_amid_writing(self) -> None:
        """Logged; whoever else is written to in that turn gets it."""
        client, flow = await self.flow()

        def broken() -> None:
            raise KeyError("x")

        other = StreamFlow(flow.surroundings, b"", flow.sent_by)
        self.patch(other, "flush", broken)
        flow.surroundings.gather(other)
        flow.send(b"a")
        self.assertEqual(await client.read(), b"a")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_one_record(self) -> None:
        """What is sent in one turn leaves when it is over, in one record."""
        client, flow = await self.flow()
        for text in (b"a", b"b", b"c"):
            flow.send(text)
        flow.flush()
        client.tls.settimeout(10)
        self.assertEqual(client.tls.recv(65535), b"abc")

    def test_no_room_for_who_is_silent(self) -> None:
        """OpenSSL keeps 32 KiB for the records of each connection, unless told not to."""
        a = self.tls("a.test")
        context = a.network.contexts.server(a.listens[0])
        self.assertTrue(context.set_mode(0) & SSL.MODE_RELEASE_BUFFERS)

    async def test_stop_amid_a_handshake(self) -> None:
        """The network closes what is no flow yet."""
        a = self.tls("a.test")
        plain = self.connect(FOUR, a.port("tls"))
        await self.until(lambda: a.network.connections)
        a.network.stop()
        await self.ended(plain)
        await self.until(lambda: not a.network.connections)

    async def test_goodbye(self) -> None:
        """An ordered end, both ways."""
        a, _, flow = await self.pair()
        flow.close()
        await self.until(lambda: not a.network.connections and not flow.is_open)


class ReloadTests(TlsCase):
    """New handshakes use new certificates; open connections stay."""

    async def test_reload(self) -> None:
        a, b, flow = await self.pair()
        AUTHORITY.write(self.place, "a.test", *dns("c.test"))
        self.assertIn("c.test", await self.anew(a, "c.test"))
        b.send(flow)
        await self.until(lambda: b.told)
        self.assertEqual(b.told, ["200"])
        self.assertIn("is for c.test", await self.why(b, self.uri(a, "d.test")))

    async def anew(self, a: Site, domain: str) -> str:
        """Load certificates, and tell whose one a new connection finds."""
        a.network.contexts.reload()
        flow = await self.reached(self.tls("e.test"), self.uri(a, domain))
        return str(sorted(flow.proven_domains))

    async def test_what_cannot_be_used(self) -> None:
        """All stays as it was."""
        a = self.tls("a.test")
        self.place.joinpath("a.test.pem").write_text("nothing")
        self.assertRaises(CertificateError, a.network.contexts.reload)
        flow = await self.reached(self.tls("b.test"), self.uri(a))
        self.assertEqual(flow.proven_domains, {b"a.test"})


class AnswerTests(TlsCase):
    """RFC 3261 §18.2.2: an answer whose connection is gone goes by another, to whom it is for."""

    async def asked(self, verify: str) -> tuple[Site, Site]:
        """Let b.test ask a.test, and close before there is an answer."""
        a, b, flow = await self.pair(verify_clients=verify)
        a.is_answering = False
        b.send(flow)
        await self.until(lambda: a.requests)
        flow.close()
        await self.until(lambda: not a.network.connections)
        return a, b

    async def test_anew(self) -> None:
        """The other end proves again that it is b.test."""
        a, b = await self.asked("request")
        a.servers[0].respond(make_response(a.requests[0], 200, b"tag"))
        await self.until(lambda: b.network.connections)
        (flow,) = await self.until(lambda: [f for f in a.network._flows.values() if f.is_writable])
        self.assertEqual(flow.proven_domains, {b"b.test"})

    async def test_one_that_proved_nothing(self) -> None:
        """Nobody knows who would stand there."""
        a, b = await self.asked("none")
        a.servers[0].respond(make_response(a.requests[0], 200, b"tag"))
        self.assertEqual((a.network._connecting, b.network.connections), ({}, 0))


class ReuseTests(TlsCase):
    """RFC 5923: a connection is used for whom its certificate names, and by alias the other way."""

    async def test_same_domain(self) -> None:
        a, b, flow = await self.pair()
        self.assertIs(b.reach(self.uri(a)), flow)

    async def test_while_it_is_under_way(self) -> None:
        a, b = self.tls("a.test"), self.tls("b.test")
        found = [b.reach(self.uri(a)) for _ in "12"]
        self.assertIs(await found[0], await found[1])

    async def test_another_domain(self) -> None:
        """The same address does not do."""
        a, b, _ = await self.pair()
        self.assertIn("not for c.test", await self.why(b, self.uri(a, "c.test")))

    async def test_another_domain_in_the_certificate(self) -> None:
        a = self.listening(*AUTHORITY.write(self.place, "a", *dns("a.test", "c.test")))
        b = self.tls("b.test")
        flow = await self.reached(b, self.uri(a))
        self.assertIs(b.reach(self.uri(a, "c.test")), flow)

    async def test_not_without_tls(self) -> None:
        """What goes by TCP does not go by it, nor the other way round."""
        a, b, _ = await self.pair()
        flow = b.reach(f"sip:{FOUR}:{a.port('tls')};transport=tcp")
        self.assertIsInstance(flow, Deferred)
        self.assertEqual((await flow).via_transport, b"TCP")

    async def requested(self, suffix: bytes, verify: str = "request") -> tuple[Site, Site, Any]:
        """Let b.test send to a.test, and return both, and the flow that a.test has."""
        a, b, flow = await self.pair(verify_clients=verify)
        via = b"SIP/2.0/TLS 127.0.0.1:%d;branch=z9hG4bKx%s" % (b.port("tls"), suffix)
        flow.send(message(via.decode()))
        await self.until(lambda: a.flows)
        return a, b, a.flows[0]

    async def test_alias(self) -> None:
        a, b, flow = await self.requested(b";alias")
        self.assertIs(a.reach(self.uri(b, "b.test")), flow)

    async def test_alias_for_another_domain(self) -> None:
        a, b, _ = await self.requested(b";alias")
        self.assertIn("not for c.test", await self.why(a, self.uri(b, "c.test")))

    async def test_no_alias(self) -> None:
        a, b, flow = await self.requested(b"")
        self.assertIsNot(await self.reached(a, self.uri(b, "b.test")), flow)

    async def test_alias_without_certificate(self) -> None:
        """§9.2: as if it were not there."""
        a, b, flow = await self.requested(b";alias", "none")
        self.assertIsNot(await self.reached(a, self.uri(b, "b.test")), flow)

    async def test_our_alias(self) -> None:
        """§8.1: we ask for it where we connect, and listen for TLS ourselves."""
        a, b, flow = await self.pair()
        ours = flow.sent_by
        self.assertEqual((ours.port, ours.params), (b.port("tls"), b";alias"))
        b.send(flow)
        await self.until(lambda: a.flows)
        self.assertEqual(a.flows[0].sent_by.params, b"")

    async def test_no_alias_of_ours(self) -> None:
        """Nobody could connect to what has no listener, nor know who it is without TLS."""
        a = self.tls("a.test")
        tcp = self.site(contexts=Contexts([], Tls(ca="ca.pem"), self.place))
        self.assertEqual((await self.reached(tcp, self.uri(a))).sent_by.params, b"")
        uri = f"sip:{FOUR}:{tcp.port('tcp')};transport=tcp"
        self.assertEqual((await self.reached(a, uri)).sent_by.params, b"")

    async def test_closed(self) -> None:
        """§8.2: what is gone is made anew."""
        a, b, flow = await self.requested(b";alias")
        flow.close()
        self.assertIsNot(await self.reached(a, self.uri(b, "b.test")), flow)
        await self.until(lambda: not flow.is_open)
        self.assertEqual(len(a.network._aliases._aliases), 0)


class CycleTests(TlsCase):
    """A flow that has ended is gone, without the cycle collector, which hardly ever runs.

    Twisted's connectors make cycles of their own, of which flows must not be part.
    """

    async def test_flows(self) -> None:
        a, b = self.tls("a.test"), self.tls("b.test")
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        flows = []
        for _ in range(3):
            flow = await self.reached(b, self.uri(a))
            b.send(flow)
            await self.until(lambda: b.told.pop() if b.told else None)
            flows += [weakref.ref(flow), weakref.ref(a.flows.pop())]
            flow.close()
            a.servers.clear()
            del flow
            await self.until(lambda: not a.network.connections and not b.network.connections)
        await self.until(lambda: not any(flow() for flow in flows))


class LeavingTests(TlsCase):
    """A TLS that ends as it should not leaves nothing of OpenSSL's to the collector, either.

    What Twisted would keep is known by `_tlsShutdownFinished`, which is private to it: should that
    be called no more, or with something else, these tests tell.
    """

    HELLO = bytes.fromhex("1603010200010001fc0303")  # the begin of one
    ALERT = bytes.fromhex("15030300020228")  # handshake_failure

    async def leaves_nothing(self, connection: Callable[[], Awaitable[Any]]) -> None:
        """Make connections one after another; the collector, could it run, would find nothing."""
        await connection()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        before = kept()
        for _ in range(20):
            await connection()
        await self.until(lambda: kept() <= before)

    async def accepting(self, say: Callable[[TlsClient], Awaitable[Any]], **limits: Any) -> None:
        """Let clients connect, say something, and be gone."""
        a = self.tls("a.test", **limits)
        context = ssl.create_default_context(cafile=str(self.place / "ca.pem"))
        context.check_hostname = False
        opened, count = [], a.network.opened
        self.patch(a.network, "opened", lambda flow: opened.append(None) or count(flow))

        async def connection() -> None:
            before = len(opened)
            client = TlsClient(self, a, context)
            await self.until(lambda: len(opened) > before)  # it may be gone when we look
            await say(client)
            await self.until(lambda: not a.network.connections)
            client.tls.close()

        await self.leaves_nothing(connection)

    async def connecting(self, octets: bytes, **limits: Any) -> None:
        """Connect to a peer that says something and hangs up, which it does not if it is mute."""
        listening, b = self.listener(), self.tls("b.test", **limits)
        uri = f"sips:a.test:{listening.getsockname()[1]};maddr={FOUR}"

        async def connection() -> None:
            found = b.reach(uri)
            plain = await self.accepted(listening)
            if not limits:
                plain.send(octets)
                plain.close()
            await self.assertFailure(found, Unreachable)

        await self.leaves_nothing(connection)

    async def test_nothing_said(self) -> None:
        async def say(client: TlsClient) -> None:
            client.tls.close()

        await self.accepting(say)

    async def test_half_a_hello(self) -> None:
        async def say(client: TlsClient) -> None:
            socket.socket.send(client.tls, self.HELLO)
            client.tls.close()

        await self.accepting(say)

    async def test_half_a_hello_for_too_long(self) -> None:
        async def say(client: TlsClient) -> None:
            with contextlib.suppress(ConnectionError):  # on a slow machine it was too long before
                socket.socket.send(client.tls, self.HELLO)

        await self.accepting(say, handshake=0.1)

    async def test_alert(self) -> None:
        async def say(client: TlsClient) -> None:
            socket.socket.send(client.tls, self.ALERT)

        await self.accepting(say)

    async def test_no_tls(self) -> None:
        async def say(client: TlsClient) -> None:
            socket.socket.send(client.tls, b"GET / HTTP/1.0\r\n\r\n")

        await self.accepting(say)

    async def test_hello_and_gone(self) -> None:
        """The server has answered."""

        async def say(client: TlsClient) -> None:
            with self.assertRaises(ssl.SSLWantReadError):
                client.tls.do_handshake()
            await self.until(lambda: select.select([client.tls], [], [], 0)[0])
            client.tls.close()

        await self.accepting(say)

    async def test_no_goodbye(self) -> None:
        """The handshake was complete."""

        async def say(client: TlsClient) -> None:
            await client.handshake()
            client.tls.send(message("SIP/2.0/TLS 192.0.2.9;branch=z9hG4bKx"))
            await client.read()
            client.tls.close()

        await self.accepting(say)

    async def test_no_record(self) -> None:
        """What comes after the handshake is nothing that it has agreed on."""

        async def say(client: TlsClient) -> None:
            await client.handshake()
            socket.socket.send(client.tls, bytes.fromhex("1703030020") + bytes(32))

        await self.accepting(say)

    async def test_peer_hangs_up(self) -> None:
        await self.connecting(b"")

    async def test_peer_says_no(self) -> None:
        await self.connecting(self.ALERT)

    async def test_peer_knows_no_tls(self) -> None:
        await self.connecting(b"SIP/2.0 400 Bad Request\r\n\r\n")

    async def test_mute_peer(self) -> None:
        await self.connecting(b"", handshake=0.1)


def kept() -> int:
    """Return how many handshakes and failures are in memory."""
    return sum(type(one) in (SSL.Connection, Failure) for one in gc.get_objects())
