"""Binding the listeners: all or none (real sockets on loopback)."""

from __future__ import annotations

import os
import resource
import socket

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.transport.settings import Listen
from sipproxy.transport.sockets import BindError, Bound, bind_all, bind_new, close_all, room
from tests.sip.tables import TableCase, rows


class BindTest(SynchronousTestCase):
    """Sockets that are closed again."""

    def bound(self, *listens: Listen) -> list[Bound]:
        found = bind_all(listens)
        self.addCleanup(close_all, found)
        return found

    def test_ports_of_the_kernel(self) -> None:
        for one in self.bound(Listen("udp", "127.0.0.1", 0), Listen("tcp", "127.0.0.1", 0)):
            self.assertEqual(one.socket.getsockname(), ("127.0.0.1", one.listen.port))
            self.assertGreater(one.listen.port, 0)
            self.assertFalse(one.socket.getblocking())

    def test_same_port_over_udp_and_tcp(self) -> None:
        (tcp,) = self.bound(Listen("tcp", "127.0.0.1", 0))  # more of these are taken by others
        (udp,) = self.bound(Listen("udp", "127.0.0.1", tcp.listen.port))
        self.assertEqual(tcp.listen.port, udp.listen.port)

    def test_ipv4_and_ipv6_on_one_port(self) -> None:
        """V6ONLY: else ``::`` would take the IPv4 port too."""
        (four,) = self.bound(Listen("udp", "0.0.0.0", 0, "a.test"))
        (six,) = self.bound(Listen("udp", "::", four.listen.port, "a.test"))
        self.assertEqual(six.family, socket.AF_INET6)

    def test_taken(self) -> None:
        """The error names the listener; nothing is left open, not even what came before it."""
        for transport in ("udp", "tcp"):
            (taken,) = self.bound(Listen(transport, "127.0.0.1", 0))
            port = taken.listen.port
            before = os.listdir("/proc/self/fd")
            free = Listen("tcp", "127.0.0.1", 0)
            error = self.assertRaises(
                BindError, bind_all, [free, free, Listen(transport, "127.0.0.1", port)]
            )
            self.assertEqual((error.index, error.listen.port), (2, port))
            self.assertIn(f"{transport} 127.0.0.1:{port}", str(error))
            self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))

    def test_standing(self) -> None:
        """What has the same place keeps its socket, whatever else is said of it."""
        one, two = Listen("udp", "127.0.0.1", 0), Listen("tcp", "127.0.0.1", 0)
        before = self.bound(one, two)
        new = bind_new([Listen("tcp", "127.0.0.1", 0, "a.test"), one], before)
        self.assertEqual([b.socket for b in new], [b.socket for b in reversed(before)])
        self.assertEqual(new[0].listen.advertise, "a.test")
        self.assertEqual(new[0].listen.port, before[1].listen.port)
        again = bind_new([two], new)
        self.assertIs(again[0].socket, before[1].socket)

    def test_one_of_a_place(self) -> None:
        """The second of two of one place has to be bound, and cannot."""
        (one,) = before = self.bound(Listen("udp", "127.0.0.1", 0))
        listen = Listen("udp", "127.0.0.1", one.listen.port)
        (standing,) = bind_new([listen], [Bound(listen, one.socket, one.family)])
        error = self.assertRaises(BindError, bind_new, [listen, listen], [standing])
        self.assertEqual((error.index, error.is_ours), (1, True))
        self.assertEqual(before[0].socket.getsockname()[1], one.listen.port)

    def test_two_of_the_kernels(self) -> None:
        """Ports that the kernel chose are those of listeners that asked for none."""
        two = [Listen("udp", "127.0.0.1", 0)] * 2
        before = self.bound(*two)
        self.assertEqual({b.socket for b in bind_new(two, before)}, {b.socket for b in before})

    def test_who_is_in_the_way(self) -> None:
        """A wildcard is, and so is what a wildcard has; another address is not."""
        (ours,) = self.bound(Listen("udp", "127.0.0.1", 0))
        port = ours.listen.port
        wildcard = Listen("udp", "0.0.0.0", port, "a.test")
        error = self.assertRaises(BindError, bind_new, [wildcard], [ours])
        self.assertTrue(error.is_ours)
        (other,) = self.bound(Listen("udp", "127.0.0.2", port))
        error = self.assertRaises(BindError, bind_new, [other.listen], [ours])
        self.assertFalse(error.is_ours)

    def test_taken_beside_what_stands(self) -> None:
        """What was opened is closed again; what stood goes on."""
        standing = self.bound(Listen("udp", "127.0.0.1", 0))
        (taken,) = self.bound(Listen("udp", "127.0.0.1", 0))
        before = os.listdir("/proc/self/fd")
        wanted = [Listen("tcp", "127.0.0.1", 0), Listen("udp", "127.0.0.1", taken.listen.port)]
        error = self.assertRaises(BindError, bind_new, wanted, standing)
        self.assertEqual((error.index, error.is_ours), (1, False))
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))
        self.assertGreater(standing[0].socket.fileno(), 0)

    def test_address_of_another(self) -> None:
        error = self.assertRaises(BindError, bind_all, [Listen("udp", "192.0.2.1", 0)])
        self.assertEqual(error.index, 0)

    def test_a_port_is_free_again_at_once(self) -> None:
        """SO_REUSEADDR: connections of the server before do not keep the port."""
        (first,) = bind_all([Listen("tcp", "127.0.0.1", 0)])
        with socket.create_connection(("127.0.0.1", first.listen.port)) as client:
            accepted = self.accept(first.socket)
            accepted.close()
            client.recv(1)
        close_all([first])
        self.bound(Listen("tcp", "127.0.0.1", first.listen.port))

    def accept(self, listening: socket.socket) -> socket.socket:
        listening.settimeout(5)
        return listening.accept()[0]


class RoomTest(TableCase):
    """How many connections there are descriptors for."""

    @rows(
        {
            "more than enough": (100_000, 100_000, 20_000, None),
            "as many as need be": (1024, 100_000, 20_000, 20_064),
            "not as many": (1024, 4096, 4032, 4096),
            "nothing to raise": (1024, 1024, 960, 1024),
            "no limit": (-1, -1, 20_000, None),
            "no hard limit": (1024, -1, 20_000, 20_064),
            "hardly any": (32, 32, 1, 32),
        }
    )
    def test_room(self, soft: int, hard: int, found: int, raised: int | None) -> None:
        told: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda kind: (soft, hard))
        self.patch(resource, "setrlimit", lambda kind, limits: told.append(limits))
        self.assertEqual(room(20_000), found)
        self.assertEqual(told, [] if raised is None else [(raised, hard)])
