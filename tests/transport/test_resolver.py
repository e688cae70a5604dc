"""From a host name to addresses."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred

from sipproxy.transport.resolver import Resolver, Unreachable
from tests.sip.tables import TableCase, rows


class Names:
    """A reactor with a name resolver that answers when the test says so."""

    def __init__(self) -> None:
        self.nameResolver = self
        self.asked: list[str] = []
        self.receiver: Any = None

    def resolveHostName(self, receiver: Any, host: str) -> None:
        """Begin."""
        self.receiver = receiver
        self.asked.append(host)
        receiver.resolutionBegan(self)


class ResolverTest(TableCase):
    """Addresses of hosts."""

    def setUp(self) -> None:
        self.names = Names()
        self.resolver = Resolver(self.names)

    @rows(
        {
            "IPv4": ("192.0.2.1", "192.0.2.1"),
            "IPv6": ("2001:db8::1", "2001:db8::1"),
            "IPv6 at length": ("2001:DB8:0:0::1", "2001:db8::1"),
        }
    )
    def test_numeric(self, host: str, address: str) -> None:
        """RFC 3263 §4.1: nobody is asked for an address."""
        self.assertEqual(self.resolver.addresses(host), [address])
        self.assertEqual(self.names.asked, [])

    def test_name(self) -> None:
        found = self.resolver.addresses("b.test")
        assert isinstance(found, Deferred)
        for address in (
            IPv6Address("TCP", "2001:db8::1", 0),
            IPv4Address("TCP", "192.0.2.1", 0),
            IPv4Address("UDP", "192.0.2.1", 0),
        ):
            self.names.receiver.addressResolved(address)
        self.assertNoResult(found)
        self.names.receiver.resolutionComplete()
        self.assertEqual(self.successResultOf(found), ["2001:db8::1", "192.0.2.1"])
        self.assertEqual(self.names.asked, ["b.test"])

    def test_no_address(self) -> None:
        found = self.resolver.addresses("b.test")
        self.names.receiver.resolutionComplete()
        failure = self.failureResultOf(found, Unreachable)
        self.assertIn("b.test", str(failure.value))
